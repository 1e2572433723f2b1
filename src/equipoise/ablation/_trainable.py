"""Whether an ablation can be trained on its data, looked at once before the first cell."""

from __future__ import annotations

from pathlib import Path

from equipoise._checks import ArgumentError
from equipoise.ablation.matrix import Matrix
from equipoise.labels import open_table, read_labels
from equipoise.recipe import Recipe

_INDEPENDENT = "none"


def require_trainable(matrix: Matrix, *, on: str = "local") -> None:
    """Raise where a recipe cannot run, or the reference not on its table: nothing could be compared with it.

    Labels are read, as they are of a run. Of masks only the header is looked at: images are many.

    Args:
        matrix: from `read_matrix`.
        on: as in `run_matrix`; elsewhere than here, a table may lie where only the cluster sees it.

    Raises:
        DataError: the table cannot be read, or lacks a column; the message names the nearest.
        ArgumentError: a recipe cannot run, or nobody said which rows share a patient.
    """
    for arm in matrix.arms:
        found = arm.recipe
        if matrix.folds is not None:
            found = matrix.cells[0].recipe.model_copy(update={"data": found.data, "model": found.model})
        found.require_runnable()
    recipe = matrix.arm(matrix.reference).recipe
    table = recipe.data.table
    if table is None or (on != "local" and not Path(table).is_file()):
        return
    if recipe.model.of_masks:
        _require_named(table, [recipe.data.image, *recipe.data.masks, recipe.data.ids, _grouped(recipe)])
        return
    if recipe.data.labels:
        _require_labels(recipe, table, folds=matrix.folds is not None)


def _require_labels(recipe: Recipe, table: str, *, folds: bool) -> None:
    data = recipe.data
    found = read_labels(
        table, columns=list(data.labels), separator=data.separator, ids=data.ids, groups=data.groups, task=data.task,
        uncertain=data.uncertain, unknown=data.unknown, positive=data.positive, classes=data.classes,
    )  # fmt: skip
    if found.groups is None and not found.groups_known and (folds or recipe.split.file is None):
        raise ArgumentError(
            f"Nobody said whether rows of {found.source} share a patient, and a patient in two roles leaks. Name the "
            "column with --groups (data.groups), or give --groups none if every row is independent."
        )
    if not table.casefold().endswith(".npz"):
        files = recipe.model.of_images and not (data.images or "").casefold().endswith(".npz")
        _require_named(table, [*(data.features or ()), data.image if files else None])


def _grouped(recipe: Recipe) -> str | None:
    return None if recipe.data.groups == _INDEPENDENT else recipe.data.groups


def _require_named(table: str, columns: list[str | None]) -> None:
    source = open_table(table)
    for name in columns:
        if name is not None:
            source.require_column(name)
