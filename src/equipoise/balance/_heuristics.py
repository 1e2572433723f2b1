"""Samplers that people use: from the labels of a row to its weight, by name, each with its formula and source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError, check_number, check_one_of, listed
from equipoise.balance._combinations import Combinations
from equipoise.labels import Labels

Weights: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RowLabels:
    """The label combinations as the samplers see them.

    Attributes:
        positive: (combinations, classes) whether rows of it are known to have the class.
        negative: (combinations, classes) whether they are known not to have it.
        rows: (combinations,) rows of each.
        counts: (classes,) n_c, rows with the class.
        threshold: t of ``repeat_factor``.
    """

    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    rows: Weights
    counts: Weights
    threshold: float

    @property
    def total(self) -> float:
        """Rows of the table: n."""
        return float(self.rows.sum())

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(combinations,) whether a row has a positive label at all."""
        return np.asarray(self.positive.any(axis=1))

    @property
    def without(self) -> float:
        """n_0: rows without a positive label; 1 when there are none, so that it can be divided by."""
        return max(float(self.rows @ ~self.labelled), 1.0)

    def highest(self, values: Weights) -> Weights:
        """The largest of the values of a row's labels; 0 without a label."""
        return np.asarray(np.where(self.positive, values, 0.0).max(axis=1))

    def summed(self, values: Weights) -> Weights:
        """The sum of the values of a row's labels; 0 without a label."""
        return np.asarray(self.positive @ values)

    def averaged(self, values: Weights) -> Weights:
        """The mean of the values of a row's labels; 0 without a label."""
        return np.asarray(self.summed(values) / np.maximum(self.positive.sum(axis=1), 1))


@dataclass(frozen=True)
class Heuristic:
    """A sampler: its weights for each combination, and its formula with the source."""

    weights: Callable[[RowLabels], Weights]
    formula: str


def _inverse_frequency(labels: RowLabels) -> Weights:
    return np.where(labels.labelled, labels.summed(1.0 / labels.counts), 1.0 / labels.without)


def _square_root(labels: RowLabels) -> Weights:
    return np.where(labels.labelled, labels.summed(labels.counts**-0.5), labels.without**-0.5)


def _max(labels: RowLabels) -> Weights:
    inverse = 1.0 / labels.counts
    return np.where(labels.labelled, labels.highest(inverse), 0.01 * inverse.mean())


def _mean(labels: RowLabels) -> Weights:
    inverse = 1.0 / labels.counts
    return np.where(labels.labelled, labels.averaged(inverse), 0.01 * inverse.max())


def _against_rest(labels: RowLabels, factor: float) -> Weights:
    against = np.maximum(labels.rows @ labels.negative, 1.0)
    weights = np.where(labels.positive, factor / labels.counts, np.where(labels.negative, 1.0 / against, 0.0))
    known = (labels.positive | labels.negative).sum(axis=1)
    return np.asarray(weights.sum(axis=1) / np.maximum(known, 1))


def _per_class(labels: RowLabels) -> Weights:
    return _against_rest(labels, 1.0)


def _aggressive(labels: RowLabels) -> Weights:
    return _against_rest(labels, 3.0)


def _balanced(labels: RowLabels) -> Weights:
    single = not np.any(labels.positive.sum(axis=1) > 1) and labels.labelled.all()
    if single:  # one class a row: every class as often as every other
        return labels.summed(1.0 / labels.counts)
    return np.where(labels.labelled, 1.0 / (labels.total - float(labels.rows @ ~labels.labelled)), 1.0 / labels.without)


def _repeat_factor(labels: RowLabels) -> Weights:
    factors = np.maximum(1.0, np.sqrt(labels.threshold * labels.total / labels.counts))
    return np.maximum(1.0, labels.highest(factors))


HEURISTICS: dict[str, Heuristic] = {
    "inverse_frequency": Heuristic(
        _inverse_frequency, "sum over L of 1/n_c; 1/n_0 without a finding: a class at random, then a row of it."
    ),
    "max": Heuristic(
        _max, "max over L of 1/n_c; without a finding 0.01 of the mean of 1/n_c. X-Lite, before its fix (EXP-004)."
    ),
    "mean": Heuristic(
        _mean, "mean over L of 1/n_c; without a finding 0.01 of the largest 1/n_c. X-Lite, after its fix (EXP-004)."
    ),
    "per_class": Heuristic(
        _per_class, "mean over known labels of 1/n_c for a positive and 1/m_c for one of m_c negatives. Comorbidity."
    ),
    "aggressive": Heuristic(
        _aggressive, "``per_class`` with 3/n_c for a positive, as class_weights(scheme=\"aggressive\"). Comorbidity."
    ),
    "balanced": Heuristic(
        _balanced, "half of the draws with a finding, half without; one class a row: 1/n_c. Comorbidity."
    ),
    "repeat_factor": Heuristic(
        _repeat_factor,
        "max over L of max(1, sqrt(t n/n_c)); 1 without a finding. Gupta, Dollar & Girshick, LVIS, CVPR 2019, sec. 4.",
    ),
    "square_root": Heuristic(
        _square_root,
        "sum over L of n_c^(-1/2); n_0^(-1/2) without a finding. Kang et al., ICLR 2020, eq. 1 with q = 1/2.",
    ),
}  # fmt: skip


def heuristic_ratios(name: str, labels: Labels, found: Combinations, threshold: float) -> Weights:
    """Return (combinations,) the weight of a row, up to a common factor.

    Raises:
        ArgumentError: the name is unknown, or the threshold is not above 0.
        DataError: a class has no positive.
    """
    check_one_of(name, HEURISTICS, argument="name", function="plan_heuristic")
    check_number(threshold, argument="threshold", function="plan_heuristic", above=0.0)
    positive = found.labels == 1
    rows = found.counts.astype(np.float64)
    counts = rows @ positive
    empty = [name for name, count in zip(labels.classes, counts, strict=True) if count == 0]
    if empty:
        raise DataError(
            f"{labels.source}: no row has {listed(empty)}, so {name} would divide by nothing. "
            "Drop the class, or add data."
        )
    return np.asarray(HEURISTICS[name].weights(RowLabels(positive, found.labels == 0, rows, counts, threshold)))
