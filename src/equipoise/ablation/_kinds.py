"""What a cell of an ablation holds, by the kind of its model: rows of a table, or images with masks.

Everything else of an ablation is the same for both: arms, seeds, folds, the verdict and its words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from equipoise.evidence._judgement import AnyRule, AnyScores
from equipoise.recipe import Recipe, read_recipe
from equipoise.runs import Run


@runtime_checkable
class JudgedCell(Protocol):
    """One finished run, as far as it is needed to judge it."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> str: ...


@runtime_checkable
class CellKind(Protocol):
    """How cells of one kind are read and judged."""

    def usual_metric(self, run: Run) -> str:
        """Return what is compared where the matrix does not say."""
        ...

    def has_threshold(self, metric: str) -> bool:
        """Return whether a threshold enters a metric."""
        ...

    def validation_value(self, run: Run, recipe: Recipe, metric: str) -> float:
        """Return a figure of the validation role that ranks arms while others are trained; higher is better."""
        ...

    def read(self, run: Run, cell: Mapping[str, Any], role: str) -> Any:
        """Return a `JudgedCell` of a finished run."""
        ...

    def arm(self, cells: Sequence[Any], metric: str, *, test: bool) -> tuple[AnyScores, AnyRule | None, AnyRule | None]:
        """Return the scores of one arm and seed, folds pooled, each row once; its raw and its fixed rule.

        Args:
            cells: one, or one a fold.
            metric: what is compared.
            test: whether the rows are of the test role.
        """
        ...


def kind_of(recipe: Recipe) -> CellKind:
    """Return the kind of the cells of a recipe."""
    if recipe.model.of_masks:
        from equipoise.ablation._mask_cells import MaskCells

        return MaskCells()
    from equipoise.ablation._label_cells import LabelCells

    return LabelCells()


def kind_of_run(run: Run) -> CellKind:
    """Return the kind of a cell, by its run."""
    return kind_of(read_recipe(run.file("recipe.yaml")))
