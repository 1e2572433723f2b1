"""Cells of images with masks: counts of each image over a grid of thresholds, and the rules that decide on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from equipoise.ablation._kinds import CellKind
from equipoise.balance import Ledger
from equipoise.decision.masks import MaskRule
from equipoise.decision.masks_by_parts import MaskRuleByParts, fit_masks_by_parts, raw_mask_rule
from equipoise.evidence import CountedMasks
from equipoise.evidence._masks import watched_classes
from equipoise.metrics.mask_figures import objective_grid
from equipoise.metrics.mask_scores import ImageCounts, MaskScores, read_mask_scores
from equipoise.recipe import Recipe
from equipoise.report.mask_view import read_test_counts
from equipoise.runs import Run

_COUNTS = ("overlap", "actual", "predicted", "known")


@dataclasses.dataclass(frozen=True, eq=False)
class MaskCell:
    """One finished run of masks, as far as it is needed to judge it; `counts` are of its test images by its rule."""

    id: str
    version: str
    scores: MaskScores
    ledger: Ledger
    rule: MaskRule
    counts: CountedMasks | None


@final
class MaskCells(CellKind):
    """Cells whose scores are of masks."""

    def usual_metric(self, run: Run) -> str:
        """Return the mean over images of their Dice, and over several classes the mean of that."""
        scores = read_mask_scores(run.scores_file("validation"))
        return "image_dice" if len(watched_classes(scores)) == 1 else "macro_image_dice"

    def has_threshold(self, metric: str) -> bool:
        """Return that every figure of masks rests on a decision."""
        return True

    def validation_value(self, run: Run, recipe: Recipe, metric: str) -> float:
        """Return the mean over classes of the best Dice that any threshold gives on the validation images.

        It is optimistic: it ranks arms and is never reported.
        """
        scores = read_mask_scores(run.scores_file("validation"))
        name = "image_dice" if metric.endswith("image_dice") else "dice"
        best = [objective_grid(scores, int(place), name) for place in watched_classes(scores)]
        known = [float(np.nanmax(one)) for one in best if not np.isnan(one).all()]
        return float(np.mean(known)) if known else float("nan")

    def read(self, run: Run, cell: Mapping[str, Any], role: str) -> MaskCell:
        """Return what is judged of a finished run."""
        rule = MaskRule.from_dict(run.read_record("decision"))
        return MaskCell(
            id=str(cell["id"]),
            version=str(run.about.get("equipoise", "?")),
            scores=read_mask_scores(run.scores_file(role)),
            ledger=Ledger.from_dict(run.read_record("ledger")),
            rule=rule,
            counts=read_test_counts(run) if role == "test" else None,
        )

    def arm(self, cells: Sequence[MaskCell], metric: str, *, test: bool) -> tuple[MaskScores, Any, Any]:
        """Return the scores of one arm and seed with its raw and its fixed rule.

        On validation images thresholds are fitted by parts and small parts are kept; on test images the rule of each
        run is the one that it stored counts of.
        """
        scores, fold_of = _pooled(cells)
        raw = _by_fold(scores, fold_of, [raw_mask_rule(cell.scores, cell.ledger) for cell in cells])
        if not test:
            return scores, raw, fit_masks_by_parts(scores)
        own = [scores.select(fold_of == place) for place in range(len(cells))]
        counted = [cell.counts.counts(one) for cell, one in zip(cells, own, strict=True) if cell.counts is not None]
        pooled = ImageCounts(*(np.concatenate([getattr(one, name) for one in counted]) for name in _COUNTS))
        rule = _by_fold(scores, fold_of, [cell.rule for cell in cells])
        return scores, raw, CountedMasks(np.concatenate([one.ids for one in own]), pooled, rule)


def _by_fold(scores: MaskScores, fold_of: NDArray[np.int64], rules: Sequence[MaskRule]) -> MaskRule | MaskRuleByParts:
    return rules[0] if len(rules) == 1 else MaskRuleByParts.of(scores, fold_of, rules)


def _pooled(cells: Sequence[MaskCell]) -> tuple[MaskScores, NDArray[np.int64]]:
    """Return the scores of all folds, each image once, and the place of the cell that it is from, shape (images,)."""
    scores, fold_of = cells[0].scores, [0] * len(cells[0].scores)
    for place, cell in enumerate(cells[1:], start=1):
        new = np.flatnonzero(~np.isin(cell.scores.ids.astype(str), scores.ids.astype(str)))
        scores, fold_of = scores + cell.scores.select(new), [*fold_of, *[place] * len(new)]
    return scores, np.array(fold_of, np.int64)
