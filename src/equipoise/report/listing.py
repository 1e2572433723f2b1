"""Every run below a folder in one line: when, which recipe, how far, and how good on rows not learned from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from equipoise._checks import ArgumentError, EquipoiseError, RunError
from equipoise._yaml import parse_yaml, read_yaml
from equipoise.recipe import flat
from equipoise.report.ablation_view import ABOUT, read_about, read_status
from equipoise.runs import Run

_LEAST = ("loss",)  # lower is better


@dataclasses.dataclass(frozen=True)
class ListedRun:
    """One run.

    Attributes:
        path: the folder. created: when it began. recipe: its name. ablation: that it is a cell of, or empty.
        model: its name. seed: of the training.
        status: ``finished``, ``unfinished``, ``failed`` (a cell whose last attempt failed), ``changed`` (after it was
            finished) or ``damaged``.
        monitor: the metric that the training watched. value: the mean over members of the best of each; NaN: none yet.
        why: what a person wrote about it.
    """

    HEADINGS: ClassVar = ["run", "began", "recipe", "model", "seed", "status", "validation"]

    path: str
    created: str
    recipe: str
    ablation: str
    model: str
    seed: int | None
    status: str
    monitor: str
    value: float
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        values = dataclasses.asdict(self)
        return values | {"value": None if math.isnan(self.value) else self.value}

    def cells(self) -> list[str]:
        """Return the cells of its row in a table."""
        recipe = f"{self.ablation}: {self.recipe}" if self.ablation else self.recipe
        value = "-" if math.isnan(self.value) else f"{self.monitor} {self.value:.4f}"
        seed = "-" if self.seed is None else str(self.seed)
        return [self.path, self.created[:16].replace("T", " "), recipe, self.model, seed, self.status, value]


def find_runs(folder: str | Path, where: Sequence[str] = ()) -> list[ListedRun]:
    """Return every run in a folder and in the folders inside it, oldest first.

    Args:
        folder: where to look.
        where: texts ``key=value`` with a dotted key that the recipe must hold with that YAML value.

    Raises:
        ArgumentError: `where` is not key=value.
        RunError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder. Give the folder that holds the runs.")
    wanted = [_condition(text) for text in where]
    cells = {folder: cell for path in sorted(folder.rglob(ABOUT)) for folder, cell in _cells(path.parent)}
    found = []
    for path in sorted(folder.rglob("run.json")):
        if any(part.endswith((".previous", ".part")) or part == "previous" for part in path.parts):
            continue
        told = _told(path.parent)
        if all(_value_at(told, key) == value for key, value in wanted):
            found.append(_listed(path.parent, told, cells.get(path.parent, ("", ""))))
    return sorted(found, key=lambda run: (run.created, run.path))


def read_run_recipe(path: str | Path) -> dict[str, Any]:
    """Return what a run was told, as nested mappings.

    Args:
        path: a run folder, or the file of a recipe.

    Raises:
        RunError: there is none.
        DataError: the file is damaged.
    """
    path = Path(path)
    file = path / "recipe.yaml" if path.is_dir() else path
    if not file.is_file():
        raise RunError(f"{path} has no recipe. Give two run folders, or two recipe files.")
    values = read_yaml(file).values
    return values if isinstance(values, dict) else {}


def recipe_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return dotted key and both values of everything in which two recipes differ, in the order of the first.

    Args:
        one: nested mappings, such as from `read_run_recipe`.
        other: the same.

    Example:
        >>> recipe_differences({"seed": 0, "loss": {"name": "bce"}}, {"seed": 0, "loss": {"name": "focal"}})
        [('loss.name', 'bce', 'focal')]
    """
    a, b = flat(one), flat(other)
    keys = [*a, *(key for key in b if key not in a)]
    return [(key, a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)]


def _condition(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ArgumentError(f"--where {text}: must be key=value, such as --where training.epochs=20.")
    return key.strip(), parse_yaml(value, place=f"--where {text}").values


def _value_at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _told(path: Path) -> dict[str, Any]:
    try:
        return read_run_recipe(path)
    except EquipoiseError:
        return {}


def _cells(path: Path) -> Iterator[tuple[Path, tuple[str, str]]]:
    """Yield the folder of each cell with the name of its ablation and its last status."""
    try:
        about = read_about(path)
        status = {event["cell"]: event.get("status", "") for event in read_status(path)}
        for cell in about["cells"]:
            yield path / cell["folder"], (str(about["name"]), str(status.get(cell["id"], "")))
    except EquipoiseError:
        return


def _listed(path: Path, told: Mapping[str, Any], cell: tuple[str, str]) -> ListedRun:
    status, created, recipe, best = "damaged", "", str(told.get("name", "?")), math.nan
    monitor = str(_value_at(told, "training.monitor") or "")
    try:
        run = Run.open(path)
        created, recipe = str(run.about.get("created", "")), str(run.about.get("recipe", recipe))
        status = "unfinished" if cell[1] != "failed" else "failed"
        if run.is_done:
            status = "changed" if run.changed_files() else "finished"
        best = _best(run, monitor)
    except EquipoiseError:
        status = "damaged"
    return ListedRun(
        path=str(path),
        created=created,
        recipe=recipe,
        ablation=cell[0],
        model=str(_value_at(told, "model.name") or "?"),
        seed=told.get("seed"),
        status=status,
        monitor=monitor,
        value=best,
        why=str(_value_at(told, "log.why") or ""),
    )


def _best(run: Run, monitor: str) -> float:
    """Return the mean over members of the best value of the watched metric."""
    values: dict[int, list[float]] = {}
    for event in run.events([]):
        value = event.get("monitored")
        if event.get("event") == "epoch" and isinstance(value, int | float):
            values.setdefault(int(event.get("member", 0)), []).append(float(value))
    best = [min(found) if monitor in _LEAST else max(found) for found in values.values()]
    return sum(best) / len(best) if best else math.nan
