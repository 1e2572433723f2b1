"""The text of a matrix: which keys it may hold, and what each must be."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise._checks import ArgumentError, listed, nearest
from equipoise._yaml import Document, read_yaml
from equipoise.recipe import Recipe, packaged_recipes, read_recipe

_PACKAGED = Path(__file__).parents[1] / "matrices"
_FILE = "matrix.yaml"
_KEYS = ("name", "base", "set", "seeds", "folds", "metric", "margin", "reference", "arms", "log")
_ARM_KEYS = ("change", "declare", "why")
_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


def packaged_matrices() -> dict[str, Path]:
    """Return the names and files of the matrices that come with Equipoise, sorted by name."""
    return {path.stem: path for path in sorted(_PACKAGED.glob("*.yaml"), key=lambda path: path.stem)}


@dataclasses.dataclass(frozen=True, eq=False)
class MatrixText:
    """A matrix as written, checked key by key; arms are not resolved yet.

    Attributes:
        place: the file, for messages. name: of the ablation. base: name or file of the base recipe. recipe: the base.
        settings: dotted keys that are changed for all arms. arms: by name, ``change``, ``declare`` and ``why``.
        reference: the arm the others are compared with. seeds: of the trainings. folds: their number, or None.
        metric: or None. margin: or None. log: ``why`` and ``decision``.
    """

    place: str
    name: str
    base: str
    recipe: Recipe
    settings: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, Any]]
    reference: str
    seeds: tuple[int, ...]
    folds: int | None
    metric: str | None
    margin: float | None
    log: Mapping[str, str]

    def parse_seeds(self, given: Any) -> tuple[int, ...]:
        """Return the seeds of a number or a list of them."""
        return parse_seeds(given, self.place)


def read_text(path_or_name: str | Path, *, base: str | Path | None) -> MatrixText:
    """Read and check the text of a matrix; `base` replaces the recipe that it names."""
    path = locate(path_or_name)
    document = read_yaml(path)
    values, place = document.values, path.name if path.parent == _PACKAGED else str(path)
    if not isinstance(values, dict) or not isinstance(values.get("arms"), dict) or not values["arms"]:
        raise ArgumentError(f"{place} names no arms. Begin with those of: equipoise ablate --print balance.")
    _require_keys(values, _KEYS, place, document)
    arms = {str(name): _arm(str(name), given, place, document) for name, given in values["arms"].items()}
    named = _base_path(values.get("base"), path) if base is None else base
    return MatrixText(
        place=place,
        name=str(values.get("name") or path.stem),
        base=str(named),
        recipe=read_recipe(named),
        settings=_mapping(values.get("set"), "set", place),
        arms=arms,
        reference=_reference(values.get("reference"), arms, place),
        seeds=parse_seeds(values.get("seeds", 5), place),
        folds=_folds(values.get("folds"), place),
        metric=_word(values.get("metric"), "metric", place),
        margin=_margin(values.get("margin"), place),
        log=_log(values.get("log"), place),
    )


def locate(path_or_name: str | Path) -> Path:
    """Return the file of a matrix: a path, the folder of an ablation, or the name of a packaged one.

    Raises:
        ArgumentError: there is none.
    """
    path = Path(path_or_name)
    if path.is_dir():
        if (path / _FILE).is_file():
            return path / _FILE
        raise ArgumentError(f"{path} is a folder without {_FILE}. Give a matrix, or the folder of an ablation.")
    names = packaged_matrices()
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or path.is_file():
        return path
    if str(path_or_name) not in names:
        raise ArgumentError(
            f'There is no matrix "{path_or_name}". Give the path of a .yaml file, or one of {listed(names)}.'
            f"{nearest(path_or_name, names)}"
        )
    return names[str(path_or_name)]


def parse_seeds(given: Any, place: str) -> tuple[int, ...]:
    """Return the seeds of a number n (0 to n-1) or a list.

    Raises:
        ArgumentError: it is neither, or a seed stands twice.
    """
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return tuple(range(given))
    whole = isinstance(given, Sequence) and not isinstance(given, str) and len(given) > 0
    if not whole or any(not isinstance(seed, int) or isinstance(seed, bool) or seed < 0 for seed in given):
        raise ArgumentError(f"{place}: seeds must be a number of at least 1, or a list of seeds; got {given!r}.")
    twice = sorted({seed for seed in given if list(given).count(seed) > 1})
    if twice:
        raise ArgumentError(f"{place}: the seed {twice[0]} stands twice, which would count one training as two.")
    return tuple(given)


def _arm(name: str, given: Any, place: str, document: Document) -> dict[str, Any]:
    """Return an arm in its long form."""
    where = f"{place} line {document.lines.get(('arms', name), 1)}, arm {name}"
    if not _ARM_NAME.fullmatch(name):
        raise ArgumentError(f"{where}: its name is also that of a folder. Use letters, digits, dots, - and _.")
    values = _mapping(given, "an arm", where)
    long = any(key in values for key in _ARM_KEYS) and not any("." in key for key in values)
    if not long:
        return {"change": values, "declare": (), "why": ""}
    _require_keys(values, _ARM_KEYS, where, None)
    declare = values.get("declare") or ()
    return {
        "change": _mapping(values.get("change"), "change", where),
        "declare": (declare,) if isinstance(declare, str) else tuple(map(str, declare)),
        "why": str(values.get("why") or ""),
    }


def _mapping(given: Any, key: str, place: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ArgumentError(
            f"{place}: {key} must hold dotted keys with values, such as training.epochs: 20; got {given!r}."
        )
    return {str(name): value for name, value in given.items()}


def _require_keys(values: Mapping[str, Any], allowed: Sequence[str], place: str, document: Document | None) -> None:
    for key in values:
        if key not in allowed:
            line = f" line {document.lines[(key,)]}" if document is not None and (key,) in document.lines else ""
            raise ArgumentError(
                f"{place}{line}: unknown key {key}. Allowed: {listed(allowed, 20)}.{nearest(key, allowed)}"
            )


def _base_path(named: Any, path: Path) -> str | Path:
    """A name is that of a packaged recipe; a path is meant beside the matrix."""
    if named is None:
        raise ArgumentError(f"{path} names no base recipe. Add base: table, or give it with --base.")
    if str(named) in packaged_recipes():
        return str(named)
    beside = Path(str(named)).expanduser()
    return beside if beside.is_absolute() else path.parent / beside


def _reference(named: Any, arms: Mapping[str, Any], place: str) -> str:
    if len(arms) < 2:
        raise ArgumentError(
            f"{place} has one arm, and nothing to compare it with. Add another, or use equipoise train."
        )
    name = str(named) if named is not None else "plain"
    if name not in arms:
        raise ArgumentError(
            f"{place}: no arm is called {name}, to compare the others with. Add reference: NAME, one of {listed(arms)}."
            f"{nearest(name, arms)}"
        )
    return name


def _folds(given: Any, place: str) -> int | None:
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 2):
        raise ArgumentError(f"{place}: folds must be null or a number of at least 2; got {given!r}.")
    return given


def _word(given: Any, key: str, place: str) -> str | None:
    if given is not None and not isinstance(given, str):
        raise ArgumentError(f"{place}: {key} must be a word, such as macro_f1; got {given!r}.")
    return given


def _margin(given: Any, place: str) -> float | None:
    number = isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < math.inf
    if given is not None and not number:
        raise ArgumentError(f"{place}: margin must be null or a number above 0, such as 0.01; got {given!r}.")
    return None if given is None else float(given)


def _log(given: Any, place: str) -> dict[str, str]:
    values = _mapping(given, "log", place)
    _require_keys(values, ("why", "decision"), f"{place}, log", None)
    return {key: str(values.get(key) or "") for key in ("why", "decision")}
