"""How far a model tells a class from the rest: what the guard watches from the first epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics.outcomes import divide
from equipoise.metrics.ranking import RankedClass, rank_classes
from equipoise.scores import Scores
from equipoise.scores.record import logit


@dataclasses.dataclass(frozen=True, eq=False)
class ClassStatistics:
    """What a table of scores says about each class, arrays of shape (classes,); NaN where it cannot be said.

    Args:
        classes: names.
        known: number of known labels.
        positives: number of positives.
        prevalence: positives / known.
        rate_at_half: share of all rows with a probability of at least 0.5.
        rate_at_threshold: share of all rows predicted positive at the thresholds given; NaN without.
        spread: standard deviation of the log-odds over all rows. Zero: the model says the same of every row.
        separation: mean log-odds of positives minus that of negatives.
        auc: area under the ROC curve.
        auc_low: lower end of its 95 % interval (see `auc_interval`).
        auc_high: upper end.
    """

    classes: tuple[str, ...]
    known: NDArray[np.int64]
    positives: NDArray[np.int64]
    prevalence: Floats
    rate_at_half: Floats
    rate_at_threshold: Floats
    spread: Floats
    separation: Floats
    auc: Floats
    auc_low: Floats
    auc_high: Floats


def class_statistics(
    scores: Scores, thresholds: Any = None, *, ranked: Sequence[RankedClass] | None = None
) -> ClassStatistics:
    """Return prevalence, predicted-positive rates, spread and AUC with its interval for each class.

    Args:
        scores: labels and values; for exclusive classes each class is taken against the rest.
        thresholds: probabilities at or above which a class is predicted, shape (classes,), as in a decision rule.
        ranked: the classes sorted by `Scores.ranking_table`, where that is done already.

    Example:
        >>> scores = Scores(labels=[0, 0, 1], values=[-2.0, -1.0, 1.0], kind="logits", ids=list("abc"),
        ...                 role="validation", classes=["Mass"])
        >>> found = class_statistics(scores)
        >>> found.rate_at_half.round(3), found.separation, found.auc
        (array([0.333]), array([2.5]), array([1.]))
    """
    truth, probabilities = scores.table(), scores.probability_table()
    known, positive = ~np.isnan(truth), truth == 1
    odds = scores.value_table() if scores.kind == "logits" and not scores.exclusive else _bounded_logit(probabilities)
    counts, hits = known.sum(axis=0), positive.sum(axis=0)
    means = [divide((odds * mask).sum(axis=0), mask.sum(axis=0)) for mask in (positive, known & ~positive)]
    ranked = rank_classes(truth, scores.ranking_table()) if ranked is None else ranked
    auc = np.array([one.auc() for one in ranked])
    low, high = auc_interval(auc, hits, counts - hits)
    rate = np.full(len(scores.classes), np.nan)
    if thresholds is not None:
        rate = (probabilities >= np.asarray(thresholds, dtype=np.float64)).mean(axis=0)
    return ClassStatistics(
        classes=scores.classes,
        known=counts,
        positives=hits,
        prevalence=divide(hits, counts),
        rate_at_half=(probabilities >= 0.5).mean(axis=0),
        rate_at_threshold=rate,
        spread=odds.std(axis=0),
        separation=means[0] - means[1],
        auc=auc,
        auc_low=low,
        auc_high=high,
    )


def auc_interval(auc: Any, positives: Any, negatives: Any, *, level: Any = 0.95) -> tuple[Floats, Floats]:
    """Return the lower and upper end of an interval for the area under the ROC curve.

    The score interval on Hanley and McNeil's variance, Newcombe's method 5 (Statistics in Medicine 25, 2006, 559-573,
    part 2): every true area t with (t - auc)^2 <= z^2 V(t), where V(t) = t (1 - t) (1 + N ((1 - t) / (2 - t) + t / (1
    + t))) / (m n) and N = (m + n) / 2 - 1. Unlike DeLong's it has a width at an area of 1 and with a handful of
    positives. Rows are taken as independent.

    Args:
        auc: areas, any shape.
        positives: number of positives m of each.
        negatives: number of negatives n of each.
        level: coverage, in (0, 1); one number, or an array that broadcasts with the areas.

    Example:
        >>> low, high = auc_interval(1.0, 5, 100)
        >>> round(low.item(), 2), high.item()
        (0.8, 1.0)
    """
    squares = np.vectorize(lambda one: NormalDist().inv_cdf(0.5 + one / 2) ** 2, otypes=[np.float64])(level)
    area, first, second, squared = np.broadcast_arrays(
        *(np.asarray(one, dtype=np.float64) for one in (auc, positives, negatives, squares))
    )
    middle, pairs = (first + second) / 2 - 1, first * second

    def outside(truth: Floats) -> NDArray[np.bool_]:
        spread = 1 + middle * ((1 - truth) / (2 - truth) + truth / (1 + truth))
        return np.asarray(np.square(truth - area) * pairs > squared * truth * (1 - truth) * spread)

    far = np.stack([np.zeros(area.shape), np.ones(area.shape)])  # both ends are found together
    near = np.stack([area, area])
    for _ in range(40):  # to 1e-12
        half = (far + near) / 2
        beyond = outside(half)
        far, near = np.where(beyond, half, far), np.where(beyond, near, half)
    low, high = np.where(np.isnan(area), np.nan, near)
    return np.asarray(low), np.asarray(high)


def _bounded_logit(probabilities: Floats) -> Floats:
    return logit(np.clip(probabilities, 1e-12, 1 - 1e-12))
