"""Training one cell, in whatever process that happens."""

from __future__ import annotations

import dataclasses
import time
import traceback
from pathlib import Path
from typing import Any

from equipoise._checks import EquipoiseError
from equipoise.ablation._kinds import kind_of
from equipoise.recipe import Recipe, recipe_from
from equipoise.runs import Run


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Attributes:
        status: ``finished`` or ``failed``.
        message: why it failed, in one line.
        seconds: how long it took.
        value: the metric on the validation role, higher is better; NaN where there is none.
    """

    status: str
    message: str = ""
    seconds: float | None = None
    value: float = float("nan")


def train_cell(recipe: Recipe, folder: Path, *, metric: str, threads: int, watch: Any = None) -> Outcome:
    """Train a cell, or go on with it; what goes wrong is said in the outcome and never raised.

    Args:
        recipe: of the cell.
        folder: its run folder.
        metric: of the ablation.
        threads: of PyTorch.
        watch: where progress is shown.
    """
    from equipoise.training import train  # before the clock starts: a process imports it once

    begin = time.monotonic()
    try:
        run = train(recipe, out=folder, resume=True, watch=watch, threads=threads)
        run.close()
        return Outcome("finished", "", time.monotonic() - begin, validation_value(run, recipe, metric))
    except EquipoiseError as error:
        return Outcome("failed", str(error), time.monotonic() - begin)
    except Exception as error:  # noqa: BLE001 - a fault in one cell must not end the others; it is recorded
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name} line {place.lineno}"
        return Outcome("failed", f"{type(error).__name__} in {where}: {error}", time.monotonic() - begin)


def recipe_of(values: Any) -> Recipe:
    """Return the recipe of plain JSON data, as it came from another process."""
    return recipe_from(values, source="cell")


def validation_value(run: Run, recipe: Recipe, metric: str) -> float:
    """Return the metric of a finished run on its validation role: what is shown while others are trained.

    Args:
        run: finished.
        recipe: of the run.
        metric: of the ablation.
    """
    return kind_of(recipe).validation_value(run, recipe, metric)
