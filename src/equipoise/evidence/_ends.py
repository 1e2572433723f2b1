"""Which interval a figure gets, by what kind of figure it is and what it rests on."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.evidence.intervals import (
    delong_variance,
    pooled_degrees,
    score_interval,
    small_sample,
    student_quantile,
    variance_of,
    wilson_interval,
)
from equipoise.evidence.resampling import number_clusters
from equipoise.metrics.outcomes import Outcomes
from equipoise.metrics.separation import auc_interval
from equipoise.scores import Scores

METHODS = ("auto", "percentile", "delong")
FEW_CASES = 10  # below, coverage was not shown; see benchmarks/coverage.py
_COUNTED = ("f1", "precision", "recall", "specificity", "accuracy")
_LOSSES = ("brier", "log_loss", "loss", "mae")
_LARGEST_LOG = 700.0  # whose exponential is still a number
_SIGNED = ("mcc", "qwk", "linear_kappa")  # in [-1, 1]
_OF_ALL = ("accuracy", "brier", "log_loss", "loss", "mae")  # rest on every case, whatever its label
_NONE = (math.nan, math.nan)


@dataclasses.dataclass(frozen=True, eq=False)
class Cases:
    """How many independent cases each class has: groups with some, or rows.

    Args:
        positives: shape (classes,).
        negatives: shape (classes,).
        clusters: all of them.
        clustered: whether they are groups.
    """

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    clusters: int
    clustered: bool

    @property
    def fewer(self) -> NDArray[np.int64]:
        """The fewer of the two, of each class: what a figure that needs both rests on."""
        return np.minimum(self.positives, self.negatives)

    def behind(self, metric: str, place: int) -> int:
        """Return how many cases a figure of one class rests on.

        Specificity rests on the negatives, recall on the positives; accuracy, Brier score and log loss on all cases;
        every other figure on the fewer of positives and negatives.
        """
        if metric in _OF_ALL:
            return self.clusters
        alone = {"specificity": self.negatives, "recall": self.positives}
        return int(alone.get(metric, self.fewer)[place])


def count_cases(scores: Scores) -> Cases:
    """Return how many groups (or rows) have positives and negatives of each class."""
    numbers, count = number_clusters(scores)
    truth = scores.table()

    def groups_with(label: float) -> list[int]:
        columns = np.ascontiguousarray((truth == label).T)
        return [int(np.count_nonzero(np.bincount(numbers[np.flatnonzero(one)], minlength=count))) for one in columns]

    having = [groups_with(label) for label in (1.0, 0.0)]
    return Cases(np.array(having[0]), np.array(having[1]), count, scores.groups is not None)


def percentile_ends(drawn: Floats, level: float) -> tuple[float, float]:
    """Return the two quantiles of replicates."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high


def general_ends(
    metric: str, value: float, variance: float, cases: float, level: float, degrees: float, *, exclusive: bool = False
) -> tuple[float, float]:
    """Return the interval of any figure from its variance: Wilson's where it is bounded, of its logarithm for losses.

    A Brier score is never above 1, or above 2 where it is the sum over `exclusive` classes.
    """
    if metric in _LOSSES:
        if value <= 0:
            return _NONE
        logs = min(student_quantile(level, degrees) * math.sqrt(variance) / value, _LARGEST_LOG)
        highest = math.inf if metric != "brier" else 2.0 if exclusive else 1.0
        return value * math.exp(-logs), min(value * math.exp(logs), highest)
    if metric in _SIGNED:
        low, high = score_interval((value + 1) / 2, variance / 4, cases, level=level, degrees=degrees)
        return 2 * low - 1, 2 * high - 1
    return score_interval(value, variance, cases, level=level, degrees=degrees)


def class_ends(
    metric: str, value: float, drawn: Floats, place: int, cases: Cases, outcomes: Outcomes | None, level: float
) -> tuple[float, float]:
    """Return the interval of a figure of one class.

    Args:
        metric: bare name.
        value: the figure.
        drawn: its replicates, without those that could not be evaluated.
        place: of the class.
        cases: what figures rest on.
        outcomes: counts per class, for rates.
        level: coverage.
    """
    few = int(cases.fewer[place])
    if metric in _COUNTED and outcomes is not None:
        return _rate_ends(metric, drawn, place, cases, outcomes, level)
    variance = float(variance_of(drawn) * small_sample(few))
    if metric == "auc" and (value in (0.0, 1.0) or variance == 0):
        low, high = auc_interval(value, cases.positives[place], cases.negatives[place], level=level)
        return float(low), float(high)
    resting = cases.clusters if metric in _LOSSES else few
    return general_ends(metric, value, variance, resting, level, max(resting - 1, 1))


def delong_ends(scores: Scores, place: int, value: float, cases: Cases, level: float) -> tuple[float, float]:
    """Return the interval of an area from DeLong's variance, clustered where there are groups."""
    variance = delong_variance(scores.table()[:, place], scores.ranking_table()[:, place], groups=scores.groups)
    if math.isnan(variance) or variance == 0:
        low, high = auc_interval(value, cases.positives[place], cases.negatives[place], level=level)
        return float(low), float(high)
    return score_interval(value, variance, int(cases.fewer[place]), level=level)


def macro_ends(
    metric: str, value: float, averaged: Floats, per_class: Floats, cases: NDArray[np.int64], level: float
) -> tuple[float, float]:
    """Return the interval of a mean over classes.

    Args:
        metric: bare name.
        value: the mean.
        averaged: its replicates, shape (replicates,).
        per_class: those of the classes in it, shape (replicates, classes).
        cases: what each class rests on.
        level: coverage.
    """
    variances = np.nan_to_num(variance_of(per_class))
    total = float(variances.sum())
    inflation = float((variances * small_sample(cases)).sum()) / total if total > 0 else 1.0
    degrees = pooled_degrees(variances, cases)
    variance = float(variance_of(averaged)) * inflation
    return general_ends(metric, value, variance, float(cases.sum()), level, degrees)


def _rate_ends(
    metric: str, drawn: Floats, place: int, cases: Cases, outcomes: Outcomes, level: float
) -> tuple[float, float]:
    """Return Wilson's interval of a rate of counts; with groups, of as many trials as vary as much.

    F1 is one to one with the rate TP / (TP + FP + FN), whose interval is taken.
    """
    counts = {field.name: float(getattr(outcomes, field.name)[place]) for field in dataclasses.fields(outcomes)}
    right, false = counts["true_positives"], counts["false_positives"]
    missed, rejected = counts["false_negatives"], counts["true_negatives"]
    hits, trials, resting = {
        "f1": (right, right + false + missed, cases.positives[place]),
        "precision": (right, right + false, cases.positives[place]),
        "recall": (right, right + missed, cases.positives[place]),
        "specificity": (rejected, rejected + false, cases.negatives[place]),
        "accuracy": (right + rejected, right + rejected + false + missed, cases.clusters),
    }[metric]
    if not trials:
        return _NONE
    rate = hits / trials
    if cases.clustered:
        moving = drawn / (2 - drawn) if metric == "f1" else drawn
        variance = float(variance_of(moving) * small_sample(resting))
        alone = rate * (1 - rate)
        trials = min(trials, alone / variance) if variance > 0 and alone > 0 else min(trials, float(resting))
    low, high = (float(end) for end in wilson_interval(rate, trials, level=level))
    return (2 * low / (1 + low), 2 * high / (1 + high)) if metric == "f1" else (low, high)
