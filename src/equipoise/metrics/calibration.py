"""Whether probabilities mean what they say: calibration errors, the parts of the Brier score, reliability curves.

Bins hold equal weight, and rows of equal probability share a bin. Weights are taken as counts of equal rows wherever
the number of rows matters (the debiased error, intervals).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_number
from equipoise.labels._rates import wilson_interval
from equipoise.metrics._arguments import known_probabilities
from equipoise.metrics.averages import Average, average_classes


@dataclasses.dataclass(frozen=True)
class BrierParts:
    """The Brier score in parts: brier = reliability - resolution + uncertainty + within.

    Args:
        brier: mean squared difference of probability and label; lower is better.
        reliability: mean squared difference of mean probability and observed rate of a bin; lower is better, 0 is
            calibrated.
        resolution: mean squared difference of the observed rate of a bin and that of all; higher is better.
        uncertainty: rate (1 - rate): the score of always saying the prevalence.
        within: what binning hides: variance of the probabilities within bins minus twice their covariance with the
            labels there. 0 where every distinct probability is a bin.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


@dataclasses.dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Observed rate against mean probability, bin by bin from the lowest; arrays of shape (bins,).

    Args:
        probability: mean probability of the rows of each bin.
        rate: share of positives among them.
        low: lower end of the interval of the rate (Wilson).
        high: upper end.
        weight: rows (weight) of each bin.
        level: coverage of the intervals.
    """

    probability: Floats
    rate: Floats
    low: Floats
    high: Floats
    weight: Floats
    level: float


def expected_calibration_error(labels: Any, probabilities: Any, *, bins: int = 15, sample_weights: Any = None) -> float:
    r"""Return how far probabilities are from observed rates, in [0, 1]; lower is better, 0 is calibrated.

    Rows are sorted by probability into bins of equal weight; with W_b the share of the weight in bin b,

        sum_b W_b |mean label of b - mean probability of b|.

    Rows of equal probability share a bin, so repeated rows and integer weights agree, and a constant has one bin. The
    figure is never negative, so it is above 0 by chance alone, the more the fewer rows a bin has: compare it with that
    of another model on the same rows.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: of the positive class, in [0, 1], shape (rows,).
        bins: how many, at least 1.
        sample_weights: non-negative weight per row.

    Returns:
        NaN where no label is known.

    Raises:
        ArgumentError: arrays of different lengths, other labels, values outside [0, 1], negative weights, no bin.

    Source: Nguyen & O'Connor, EMNLP 2015, section 3 (adaptive bins); Naeini et al., AAAI 2015, for the sum.

    Example:
        One bin at 0.25 where half are positive, one at 0.75 where all are:

        >>> expected_calibration_error([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2)
        0.25
    """
    truth, values, weights = known_probabilities(labels, probabilities, sample_weights, "expected_calibration_error")
    count = _bin_number(bins, "expected_calibration_error")
    if not len(truth):
        return float("nan")
    gaps = np.bincount(_equal_mass(values, weights, count), weights=weights * (truth - values))
    return float(np.abs(gaps).sum() / weights.sum())


def debiased_calibration_error(labels: Any, probabilities: Any, *, bins: int = 15, sample_weights: Any = None) -> float:
    """Return the root of the mean squared calibration error, freed of its bias; in [0, 1], lower is better.

    With n_b the rows of bin b, r the differences label - probability there, m_b their mean and s_b^2 their variance
    (over n_b - 1), and W_b the share of the bin,

        sqrt(max(0, sum_b W_b (m_b^2 - s_b^2 / n_b))).

    The squared means alone are too large by s_b^2 / n_b each, by chance; what is left after taking that away is an
    unbiased estimate of the squared error of the binned probabilities. Where it is negative, no error can be seen, and
    0 is returned. Bins of a single row tell nothing of their chance and are left out.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: of the positive class, in [0, 1], shape (rows,).
        bins: how many, at least 1; fewer where a bin would have less than two rows.
        sample_weights: how many rows each stands for, at least 0.

    Returns:
        NaN where fewer than two labels are known.

    Raises:
        ArgumentError: arrays of different lengths, other labels, values outside [0, 1], negative weights, no bin.

    Source: Kumar, Liang and Ma, NeurIPS 2019, section 5, where s_b^2 / n_b is y_b (1 - y_b) / (n_b - 1) with y_b the
    observed rate; the same where a bin has one probability, and here right also where it has several.

    Example:
        One bin of four: r is -0.5, 0.5, 0.5, 0.5, so m^2 = 1/16, s^2 = 1/4, and 1/16 - 1/16 is left.

        >>> debiased_calibration_error([0, 1, 1, 1], [0.5, 0.5, 0.5, 0.5], bins=1)
        0.0
        >>> debiased_calibration_error([1, 1, 1, 1], [0.5, 0.5, 0.5, 0.5], bins=1)
        0.5
    """
    truth, values, weights = known_probabilities(labels, probabilities, sample_weights, "debiased_calibration_error")
    count = _bin_number(bins, "debiased_calibration_error")
    if not weights.sum() >= 2:
        return float("nan")
    bin_of = _equal_mass(values, weights, min(count, int(weights.sum() // 2)))
    mass, gap = np.bincount(bin_of, weights=weights), truth - values
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.bincount(bin_of, weights=weights * gap) / mass
        squares = np.bincount(bin_of, weights=weights * np.square(gap - means[bin_of]))
        squared = np.square(means) - squares / (mass - 1.0) / mass
    told = mass > 1.0
    if not told.any():
        return float("nan")
    return float(np.sqrt(max(0.0, float(squared[told] @ mass[told] / mass[told].sum()))))


def classwise_calibration_error(
    labels: Any, probabilities: Any, *, bins: int = 15, classes: Sequence[str] | None = None, sample_weights: Any = None
) -> Average:
    """Return the mean over classes of `expected_calibration_error`, each class against the rest; lower is better.

    Args:
        labels: class index, NaN for unknown, shape (rows,); or 0, 1 and NaN, shape (rows, classes).
        probabilities: in [0, 1], shape (rows, classes).
        bins: how many, at least 1.
        classes: names; None for their numbers.
        sample_weights: non-negative weight per row.

    Returns:
        The mean, and how many classes it is over: a class without a known label is skipped and named.

    Raises:
        ArgumentError: arrays that do not match, other labels, values outside [0, 1], negative weights, no bin.

    Source: Kull et al., NeurIPS 2019, equation 3, with bins of equal weight for those of equal width.

    Example:
        >>> classwise_calibration_error([[0, 1], [1, 1]], [[0.5, 0.5], [0.5, 0.5]], bins=1).value  # (0 + 0.5) / 2
        0.25
    """
    table, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if table.ndim != 2 or truth.shape not in (table.shape, table.shape[:1]):
        raise ArgumentError(
            "classwise_calibration_error takes probabilities of shape (rows, classes) and labels of that shape or "
            f"(rows,); got {table.shape} and {truth.shape}. Pass matching arrays."
        )
    if truth.ndim == 1:
        known = truth[~np.isnan(truth)]
        if not np.isin(known, np.arange(table.shape[1])).all():
            raise ArgumentError(
                f"`labels` of classwise_calibration_error must be from 0 to {table.shape[1] - 1}, or NaN for unknown."
            )
        truth = np.where(np.isnan(truth)[:, None], np.nan, truth[:, None] == np.arange(table.shape[1]))
    errors = [
        expected_calibration_error(truth[:, one], table[:, one], bins=bins, sample_weights=sample_weights)
        for one in range(table.shape[1])
    ]
    return average_classes(errors, classes=classes)


def brier_decomposition(
    labels: Any, probabilities: Any, *, bins: int | None = None, sample_weights: Any = None
) -> BrierParts:
    """Return the Brier score and its parts: brier = reliability - resolution + uncertainty + within.

    With bins k of weight share W_k, mean probability f_k and observed rate o_k, and the rate o of all: reliability is
    sum_k W_k (f_k - o_k)^2, resolution sum_k W_k (o_k - o)^2, uncertainty o (1 - o). Where a bin holds several
    probabilities these three do not add up; the rest, `within`, is the mean over rows of
    (f - f_k)^2 - 2 (f - f_k) (y - o_k), and with it the sum is exact.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: of the positive class, in [0, 1], shape (rows,).
        bins: number of bins of equal weight; None: every distinct probability is one, and `within` is 0.
        sample_weights: non-negative weight per row.

    Returns:
        All parts NaN where no label is known.

    Raises:
        ArgumentError: arrays of different lengths, other labels, values outside [0, 1], negative weights, no bin.

    Source: Murphy, Journal of Applied Meteorology 12 (1973) 595-600, equation 7; within: Stephenson, Coelho and
    Jolliffe, Weather and Forecasting 23 (2008) 752-757, equation 10.

    Example:
        >>> brier_decomposition([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75])
        BrierParts(brier=0.1875, reliability=0.0625, resolution=0.0625, uncertainty=0.1875, within=0.0)
    """
    truth, values, weights = known_probabilities(labels, probabilities, sample_weights, "brier_decomposition")
    if bins is not None:
        count = _bin_number(bins, "brier_decomposition")
    if not len(truth):
        return BrierParts(*(float("nan"),) * 5)
    bin_of = np.unique(values, return_inverse=True)[1] if bins is None else _equal_mass(values, weights, count)
    mass, forecast, rate = _bin_means(bin_of, truth, values, weights)
    total, overall = mass.sum(), float(np.average(truth, weights=weights))
    off, miss = values - forecast[bin_of], truth - rate[bin_of]
    within = 0.0 if bins is None else float(np.average(np.square(off) - 2 * off * miss, weights=weights))
    return BrierParts(
        brier=float(np.average(np.square(values - truth), weights=weights)),
        reliability=float(mass @ np.square(forecast - rate) / total),
        resolution=float(mass @ np.square(rate - overall) / total),
        uncertainty=overall * (1.0 - overall),
        within=within,
    )


def reliability_curve(
    labels: Any, probabilities: Any, *, bins: int = 10, level: float = 0.95, sample_weights: Any = None
) -> ReliabilityCurve:
    """Return the observed rate against the mean probability in bins of equal weight, with Wilson intervals.

    An interval that misses the mean probability is a bin that is not calibrated, but for one in twenty.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: of the positive class, in [0, 1], shape (rows,).
        bins: how many, at least 1; fewer come back where rows of equal probability fill several.
        level: coverage of the intervals, in (0, 1).
        sample_weights: how many rows each stands for, at least 0.

    Raises:
        ArgumentError: arrays of different lengths, other labels, values outside [0, 1], negative weights, no bin, or a
            level outside (0, 1).

    Example:
        >>> curve = reliability_curve([0, 1, 1, 1], [0.2, 0.3, 0.7, 0.8], bins=2)
        >>> curve.probability, curve.rate, curve.low.round(2), curve.high.round(2)
        (array([0.25, 0.75]), array([0.5, 1. ]), array([0.09, 0.34]), array([0.91, 1.  ]))
    """
    truth, values, weights = known_probabilities(labels, probabilities, sample_weights, "reliability_curve")
    check_number(level, argument="level", function="reliability_curve", above=0.0, at_most=1.0 - 1e-12)
    bin_of = _equal_mass(values, weights, _bin_number(bins, "reliability_curve"))
    mass, forecast, rate = _bin_means(bin_of, truth, values, weights)
    low, high = wilson_interval(np.minimum(rate * mass, mass), mass, level)
    return ReliabilityCurve(forecast, rate, low, high, mass, float(level))


def _bin_number(bins: Any, function: str) -> int:
    return int(check_number(bins, argument="bins", function=function, at_least=1))


def _equal_mass(values: Floats, weights: Floats, count: int) -> NDArray[np.int64]:
    """Return the bin of each row, numbered from the lowest without gaps: equal weight, equal values together."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    levels, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights=weights, minlength=len(levels))
    middle = np.cumsum(mass) - 0.5 * mass
    of_level = np.minimum((middle * count / mass.sum()).astype(np.int64), count - 1)
    return np.asarray(np.unique(of_level, return_inverse=True)[1][place], dtype=np.int64)


def _bin_means(
    bin_of: NDArray[np.int64], truth: Floats, values: Floats, weights: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return weight, mean probability and observed rate of each bin."""
    mass = np.bincount(bin_of, weights=weights).astype(np.float64)
    means = [np.bincount(bin_of, weights=weights * one) / mass for one in (values, truth)]
    return mass, means[0], means[1]
