"""The one place that knows which kinds of scores there are: rows of a table, and images with masks."""

from __future__ import annotations

from typing import Any

from equipoise._checks import ArgumentError
from equipoise.evidence._drawn import Judged, Judgement, Resting
from equipoise.evidence._masks import JudgedMasks, pair_masks, rest_masks
from equipoise.evidence.evaluate import Rule
from equipoise.evidence.mask_table import JudgedRule
from equipoise.evidence.pairing import paired
from equipoise.metrics.mask_scores import MaskScores
from equipoise.scores import Scores

AnyScores = Scores | MaskScores
AnyRule = Rule | JudgedRule


def judgement(scores: AnyScores, rule: Any) -> Judgement:
    """Return scores with the rule that decides on them, as something that arms can be compared on."""
    return JudgedMasks(scores, rule) if isinstance(scores, MaskScores) else Judged(scores, rule)


def resting_on(scores: AnyScores, metric: str, class_metric: str | None = None) -> Resting:
    """Return what figures of some scores in a metric rest on."""
    if isinstance(scores, MaskScores):
        return rest_masks(scores, metric, class_metric)
    return Resting.of(scores, metric, class_metric=class_metric)


def pair_scores(first: AnyScores, second: AnyScores, names: tuple[str, str]) -> tuple[AnyScores, AnyScores]:
    """Return both in the order of their ids.

    Raises:
        ArgumentError: one is of masks and the other is not, or they do not answer the same question.
        DataError: they are not of the same rows or images.
    """
    if isinstance(first, MaskScores) and isinstance(second, MaskScores):
        return pair_masks(first, second, names)
    if isinstance(first, Scores) and isinstance(second, Scores):
        return paired(first, second, names)
    of_masks = names[0] if isinstance(first, MaskScores) else names[1]
    raise ArgumentError(f"Only {of_masks} is of masks. Compare two of masks, or two of rows.")
