"""Applying a finished run to a new table: probabilities at the natural prevalence, and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._checks import EquipoiseError, RunError
from equipoise._tasks import is_exclusive
from equipoise.balance import Ledger
from equipoise.decision import DecisionRule, read_rule
from equipoise.labels import Census, names_of, read_table
from equipoise.models import Model, model_from_dict
from equipoise.recipe import read_recipe
from equipoise.runs import Run
from equipoise.scores import Decisions, Scores
from equipoise.training.checkpoint import read_checkpoint
from equipoise.training.combine import natural_logits
from equipoise.training.inputs import check_fit, rows_of_table
from equipoise.training.loop import predict_logits

if TYPE_CHECKING:
    import polars

    from equipoise.data import Rows
    from equipoise.recipe import Recipe
    from equipoise.training.image_inputs import OtherImages
    from equipoise.training.telemetry import Watch


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a run says about the rows of a table.

    Attributes:
        ids: one name per row.
        classes: class names.
        probabilities: (rows, classes) at the natural prevalence of the training data; binary has one column.
        predictions: (rows, classes) of 0 and 1, by the fitted thresholds or the most likely class.
        notes: what was unusual in the table, such as categories that the training never saw.
    """

    ids: NDArray[Any]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    predictions: NDArray[np.int8]
    exclusive: bool
    notes: tuple[str, ...] = ()

    def to_polars(self) -> polars.DataFrame:
        """Return columns id, ``p_<class>`` and, one each, ``predicted_<class>`` (one-of-many tasks: ``predicted``)."""
        import polars as pl

        columns: dict[str, object] = {"id": self.ids.tolist()}
        columns |= {f"p_{name}": self.probabilities[:, i] for i, name in enumerate(self.classes)}
        if self.exclusive:
            columns["predicted"] = [self.classes[i] for i in self.predictions.argmax(axis=1)]
        else:
            columns |= {f"predicted_{name}": self.predictions[:, i] for i, name in enumerate(self.classes)}
        return pl.DataFrame(columns)


def predict(
    run: Run | str | Path,
    table: str | Path,
    *,
    images: str | Path | None = None,
    rule: DecisionRule | None = None,
    watch: Watch | None = None,
) -> Predictions:
    """Apply a finished run to the rows of a table.

    Args:
        run: a run folder, or what `train` returned.
        table: a table with the columns that the run was trained on; others are ignored. Labels are not needed.
        images: the folder of the table's images; None: that of the training. Only for models of images.
        rule: decides instead of the rule of the run, for the same task and classes; None: that of the run.
        watch: where progress is shown; None is silent.

    Returns:
        Probabilities and decisions, in the order of the rows.

    Raises:
        RunError: the run is not finished, is damaged, or is of a newer version.
        ArgumentError: the rule is for another task or other classes.
        DataError: a column is missing, or a cell cannot be read; the message has the place.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    run.require_done()
    recipe = read_recipe(run.file("recipe.yaml"))
    census, ledger = Census.from_dict(run.read_record("census")), Ledger.from_dict(run.read_record("ledger"))
    archive = Path(table).suffix.casefold() == ".npz" and recipe.model.of_images
    frame = None if archive else read_table(table)
    exclusive = is_exclusive(census.task)
    notes: list[str] = []
    raw = []
    pictures = None
    if recipe.model.of_images:
        from equipoise.training.image_inputs import OtherImages

        pictures = OtherImages(recipe, frame, Path(table), images, watch)
    for model, state in load_members(run):
        rows, said = _rows(state, frame, table) if pictures is None else (pictures.rows(state), [])
        notes += [note for note in said if note not in notes]
        raw.append(predict_logits(model, rows, recipe.training.precision))
    values = natural_logits(ledger, census.task, raw)
    decisions = _decide(read_rule(run.file("decision.json")) if rule is None else rule, census, values)
    return Predictions(
        ids=_ids(recipe, frame, pictures),
        classes=census.classes,
        probabilities=decisions.scores.probability_table(),
        predictions=decisions.table(),
        exclusive=exclusive,
        notes=tuple(notes),
    )


def _rows(state: dict[str, Any], frame: polars.DataFrame | None, table: str | Path) -> tuple[Rows, list[str]]:
    assert frame is not None  # only models of images take an archive
    return rows_of_table(state, frame, table)


def _decide(rule: DecisionRule, census: Census, values: NDArray[np.float64]) -> Decisions:
    exclusive = is_exclusive(census.task)
    scores = Scores(
        labels=np.full(len(values) if exclusive else values.shape, np.nan),  # nothing is known of them
        values=values,
        kind="logits",
        ids=None,
        role="test",
        classes=census.classes,
        task=census.task,
    )
    return rule.apply(scores)


def _ids(recipe: Recipe, frame: polars.DataFrame | None, pictures: OtherImages | None) -> NDArray[Any]:
    """The id column of the training, where the table has it; else row numbers from 0; of an archive its own names."""
    if frame is None:
        assert pictures is not None  # only models of images take an archive
        return np.array(pictures.files.names, dtype=object)
    if recipe.data.ids is None or recipe.data.ids not in frame.columns:
        return np.arange(len(frame))
    return names_of(frame[recipe.data.ids].to_list())


def load_members(run: Run) -> list[tuple[Model, dict[str, Any]]]:
    """Return the trained models of a run, each with what was fitted for its inputs (`FittedInputs.to_dict`).

    Raises:
        RunError: the files are damaged or do not fit together.
    """
    tensors, _ = read_checkpoint(run.file("model.safetensors"))
    configs, states = run.read_record("model"), run.read_record("columns")
    try:
        found = list(zip(configs["members"], states["members"], strict=True))
        members = [_load_member(config, state, tensors, number) for number, (config, state) in enumerate(found)]
    except EquipoiseError as error:
        raise RunError(f"{run.path}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(
            f"model.json, columns.json and model.safetensors of {run.path} do not fit together or are damaged "
            f"({type(error).__name__}: {_first_line(error)}). Restore the folder, or train again."
        ) from error
    if not members:
        raise RunError(f"{run.path} holds no model: model.json names no member. Restore the folder, or train again.")
    return members


def _load_member(
    config: dict[str, Any], state: dict[str, Any], tensors: dict[str, torch.Tensor], number: int
) -> tuple[Model, dict[str, Any]]:
    prefix = f"members.{number}."
    weights = {n.removeprefix(prefix): tensor for n, tensor in tensors.items() if n.startswith(prefix)}
    model = model_from_dict(config)
    model.load_state_dict(weights)
    check_fit(state, model)
    return model.eval(), state


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
