"""Reading recipes: files, packaged names and overrides."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from equipoise._checks import ArgumentError, listed, nearest
from equipoise._files import write_text
from equipoise._yaml import KeyPath, parse_yaml, read_yaml
from equipoise.recipe._agreement import all_weighed
from equipoise.recipe._errors import Places, explain
from equipoise.recipe._schema import Recipe
from equipoise.recipe._weights_text import with_key_text

if TYPE_CHECKING:
    from equipoise.balance import ClassWeights

_PATHS = (
    ("data", "table"), ("data", "images"), ("split", "file"), ("images", "cache"), ("model", "pretrained"),
)  # fmt: skip
_PACKAGED = Path(__file__).parents[1] / "recipes"


def packaged_recipes() -> dict[str, Path]:
    """Return the names and files of the recipes that come with Equipoise, sorted by name."""
    return {path.stem: path for path in sorted(_PACKAGED.glob("*.yaml"), key=lambda path: path.stem)}


def recipe_summary(path: Path) -> str:
    """Return the first comment line of a recipe file: what it is for, in one line."""
    first = path.read_text(encoding="utf-8").split("\n", maxsplit=1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def read_recipe(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    r"""Read a recipe from a YAML file, or a packaged one by its name, and apply `overrides`.

    Args:
        path_or_name: a path (it ends in .yaml or .yml, or holds a folder), or a name such as ``comorbidity``.
            Inside a file, a relative `data.table` or `split.file` is meant beside that file; in an override, in the
            current folder. The recipe holds full paths.
        overrides: texts ``key=value`` with a dotted key and a YAML value, such as ``"training.epochs=5"``; a
            later one wins over an earlier one and over the file. A dot inside a name is written ``\.``.

    Returns:
        The frozen recipe.

    Raises:
        ArgumentError: no recipe of that name, an unknown key, or a value that cannot work. Every error of the
            file is listed with line, key, what is allowed and the nearest name.
        DataError: the file cannot be read, is not UTF-8 or is not YAML.

    Example:
        >>> recipe = read_recipe("comorbidity", ["training.epochs=5", "balance.weights.scheme=sqrt"])
        >>> recipe.training.epochs, recipe.balance.weights.scheme
        (5, 'sqrt')
    """
    path = _locate(path_or_name)
    document = read_yaml(path)
    if document.values is None:
        document.values = {}
    if not isinstance(document.values, dict):
        raise ArgumentError(f"{path} must hold keys such as `training:`. Start from `equipoise recipes comorbidity`.")
    if path.parent != _PACKAGED:
        document.values.setdefault("name", path.stem)
        _resolve_paths(document.values, path.parent)
    return recipe_from(
        document.values,
        overrides,
        source=path.name if path.parent == _PACKAGED else str(path),
        lines=document.lines,
    )


def make_recipe(
    table: str | Path,
    labels: str | Sequence[str],
    *,
    overrides: Sequence[str] = (),
    base: str | Path = "table",
    **data: Any,
) -> Recipe:
    """Return what training without a recipe uses: the packaged `table` recipe with the data filled in.

    Args:
        table: path of the table; its stem becomes the recipe's name.
        labels: one label column or several.
        overrides: as for `read_recipe`.
        base: the recipe to fill in.
        **data: more keys of `data`, such as `groups="patient"`; None is left out.

    Returns:
        The frozen recipe.

    Raises:
        ArgumentError: as for `read_recipe`.

    Example:
        >>> make_recipe("cases.csv", ["stroke"], groups="patient").data.groups
        'patient'
    """
    path = _locate(base)
    document = read_yaml(path)
    values = dict(document.values or {})
    if path.parent == _PACKAGED:
        values["name"] = _stem(table)
    given = {key: value for key, value in data.items() if value is not None}
    values["data"] = {**(values.get("data") or {}), "table": str(table), "labels": labels, **given}
    return recipe_from(values, overrides, source=path.name, lines=document.lines)


def write_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write `recipe` as YAML that `read_recipe` reads back to an equal object; all of it or nothing."""
    write_text(path, recipe.to_yaml())


def recipe_from(
    values: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    source: str = "recipe",
    lines: Mapping[KeyPath, int] | None = None,
) -> Recipe:
    """Return the recipe of a mapping with overrides applied; `source` and `lines` give errors their place.

    Raises:
        ArgumentError: an unknown key or a value that cannot work.
    """
    changed: Any = {key: value for key, value in values.items() if value is not None}
    flags: dict[KeyPath, str] = {}
    for override in overrides:
        key, value = _parse_override(override)
        changed = with_value(changed, key, value)
        flags[key] = f"--set {override}"
    _let_the_later_win(changed, flags)
    try:
        return Recipe.model_validate(changed)
    except ValidationError as error:
        places = Places(source, dict(lines or {}), flags)
        said = [text for details in error.errors() for text in explain(details, places)]
        if len(said) == 1:
            raise ArgumentError(said[0]) from None
        raise ArgumentError(f"{source} has {len(said)} errors:\n" + "\n".join(f"  {text}" for text in said)) from None


def _let_the_later_win(values: dict[str, Any], flags: Mapping[KeyPath, str]) -> None:
    """Where an override gives all weights by hand, or a scheme, take out what the recipe had in its place.

    Both written in one file are an error, as are overrides for both.
    """
    balance = values.get("balance")
    weights = balance.get("weights") if isinstance(balance, dict) else None
    if not isinstance(balance, dict) or not isinstance(weights, dict) or not isinstance(weights.get("values"), dict):
        return
    if not _all_weighed(values):
        return
    by_hand = any(key[:3] == ("balance", "weights", "values") for key in flags)
    by_scheme = ("balance", "weights", "scheme") in flags
    if by_hand and not by_scheme:
        balance["weights"] = {**weights, "scheme": "none"}
    elif by_scheme and not by_hand and weights.get("scheme") != "none":
        balance["weights"] = {key: value for key, value in weights.items() if key not in ("values", "counts_from")}


def _all_weighed(values: Mapping[str, Any]) -> bool:
    """Return what `all_weighed` says of a recipe that is not validated yet."""
    model, data = values.get("model"), values.get("data")
    name = model.get("name") if isinstance(model, dict) else None
    labels = data.get("labels") if isinstance(data, dict) else None
    given = values["balance"]["weights"]["values"]
    return all_weighed(str(name), list(map(str, labels)) if isinstance(labels, list) else [], list(map(str, given)))


def _stem(table: str | Path) -> str:
    name = Path(table).name
    return name.split(".", maxsplit=1)[0] or name


def _locate(path_or_name: str | Path) -> Path:
    """A path stays a path; a bare word is the name of a packaged recipe."""
    path = Path(path_or_name)
    if path.is_dir() and (path / "recipe.yaml").is_file():
        raise ArgumentError(f"{path} is a run folder. Give its recipe: {path / 'recipe.yaml'}.")
    if isinstance(path_or_name, Path) or path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or path.exists():
        if not path.exists() and path.stem in packaged_recipes():
            raise ArgumentError(f'{path} does not exist. To use the packaged recipe, write its name: "{path.stem}".')
        return path
    names = packaged_recipes()
    if str(path_or_name) not in names:
        raise ArgumentError(
            f'there is no recipe "{path_or_name}". Give the path of a .yaml file, or one of '
            f"{listed(names, limit=30)}.{nearest(path_or_name, names)}"
        )
    return names[str(path_or_name)]


def _resolve_paths(values: dict[str, Any], folder: Path) -> None:
    for section, key in _PATHS:
        inside = values.get(section)
        named = inside.get(key) if isinstance(inside, dict) else None
        if isinstance(inside, dict) and isinstance(named, str) and named not in ("auto", "none", "imagenet"):
            inside[key] = str(folder / Path(inside[key]).expanduser())


def _parse_override(override: str) -> tuple[KeyPath, Any]:
    key, equals, value = override.partition("=")
    names = tuple(part.replace("\0", ".").strip() for part in key.replace("\\.", "\0").split("."))
    if not equals or not all(names):
        raise ArgumentError(f"--set {override}: must be key=value, such as --set training.epochs=5.")
    if names[0] == "data" and names[1:] == ("targets",):
        names = ("data", "labels")
    return names, parse_yaml(value, place=f"--set {override}").values


def with_value(values: Any, path: KeyPath, value: Any) -> Any:
    """Return a copy of nested mappings with `value` at `path`; others on the way are replaced."""
    if not path:
        return value
    inside = dict(values) if isinstance(values, Mapping) else {}
    if path[0] == "labels":
        inside.pop("targets", None)
    inside[str(path[0])] = with_value(inside.get(str(path[0])), path[1:], value)
    return inside


def flat(values: Any, path: str = "") -> dict[str, Any]:
    """Return nested mappings as one, by dotted key; lists are values.

    Example:
        >>> flat({"split": {"seed": 1, "fractions": [0.8, 0.2, 0]}, "seed": 0})
        {'split.seed': 1, 'split.fractions': [0.8, 0.2, 0], 'seed': 0}
    """
    if not isinstance(values, Mapping) or not values:
        return {path: values} if path else {}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{path}.{key}" if path else str(key))
    return found


def recipe_with_weights(
    path_or_name: str | Path, weights: ClassWeights, counts: Mapping[str, Any], *, folder: Path
) -> str:
    """Return the text of a recipe of masks with weights in it; comments and other keys stay as they are.

    Args:
        path_or_name: as for `read_recipe`.
        weights: from `mask_weights`.
        counts: from `counts_of`.
        folder: where the text will lie; paths that are meant beside the recipe are made full in another.

    Raises:
        ArgumentError: the recipe has other classes than the weights, or as `read_recipe`.
        DataError: as `read_recipe`.
    """
    recipe = read_recipe(path_or_name)
    named = _mask_class_names(recipe)
    if named is not None and tuple(named) != weights.classes:
        raise ArgumentError(
            f"The weights are for {listed(weights.classes)}, and the recipe {path_or_name} has the classes "
            f"{listed(named)}. Count with the classes of the recipe, or name these in data.masks, data.classes or "
            "data.mask_values."
        )
    path = _locate(path_or_name)
    text = path.read_text(encoding="utf-8-sig")
    if folder.resolve() != path.parent.resolve() and path.parent != _PACKAGED:
        before = parse_yaml(text, place=str(path)).values or {}
        after = copy.deepcopy(before)
        _resolve_paths(after, path.parent)
        for section, key in _PATHS:
            if (now := (after.get(section) or {}).get(key)) != (before.get(section) or {}).get(key):
                text = with_key_text(text, section, key, now)
    by_hand = {name: float(weight) for name, weight in zip(weights.classes, weights.values, strict=True)}
    return with_key_text(text, "balance", "weights", {"values": by_hand, "counts_from": dict(counts)})


def _mask_class_names(recipe: Recipe) -> Sequence[str] | None:
    """Return the classes that a recipe of masks names, None where it names no masks yet."""
    data = recipe.data
    if data.classes is not None:
        return data.classes
    if data.mask_values is not None:
        return list(data.mask_values)
    if len(data.masks or ()) > 1:
        return [name.removeprefix("masks_").removeprefix("mask_") or name for name in data.masks]
    return ("background", "foreground") if data.masks or data.foreground else None
