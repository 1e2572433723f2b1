"""Intervals: Wilson and Clopper-Pearson for rates, DeLong for areas, and the one that bootstrap replicates give.

Percentiles of replicates cover too little where few positives are behind a figure: of 10, 88 % instead of 95 % for AUC.
So a figure between 0 and 1 gets the interval that a rate would have that varies as much: Wilson's score interval with
an effective number of trials, n = v (1 - v) / variance, and Student's quantile for as many cases as the figure rests
on. It never leaves [0, 1], is lopsided near its ends, and has a width where no replicate moves. benchmarks/coverage.py
measures what it covers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_number
from equipoise.metrics._arguments import known_rows
from equipoise.metrics.outcomes import divide

_ROUNDING = 1e-12
_MANY_DEGREES = 30.0  # from here on Student's quantile is a series


def wilson_interval(rate: Any, trials: Any, *, level: float = 0.95, quantile: Any = None) -> tuple[Floats, Floats]:
    """Return the lower and upper end of Wilson's score interval for a rate (JASA 22, 1927, 209-212).

    (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).

    Args:
        rate: share p of successes, in [0, 1], any shape.
        trials: number n of trials, above 0; a fraction where it is an effective number.
        level: coverage, in (0, 1).
        quantile: z, where another than the normal one is wanted.

    Raises:
        ArgumentError: the level is out of range.

    Example:
        >>> low, high = wilson_interval(0.0, 10)
        >>> low.item(), round(high.item(), 4)  # z^2 / (n + z^2)
        (0.0, 0.2775)
    """
    z = normal_quantile(level) if quantile is None else np.asarray(quantile, dtype=np.float64)
    share, count = np.asarray(rate, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 + z * z / count
        middle = (share + z * z / (2 * count)) / scale
        half = z / scale * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    low, high = np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)
    return np.where(share == 0, 0.0, low), np.where(share == 1, 1.0, high)


def clopper_pearson_interval(successes: Any, trials: Any, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the lower and upper end of the exact interval for a rate (Clopper and Pearson, Biometrika 26, 1934).

    It covers at least the level whatever the true rate, and mostly more: quantiles of Beta(k, n - k + 1) and
    Beta(k + 1, n - k).

    Args:
        successes: k, from 0 to n, any shape.
        trials: n, at least 1.
        level: coverage, in (0, 1).

    Raises:
        ArgumentError: more successes than trials, or a level out of range.

    Example:
        >>> low, high = clopper_pearson_interval(0, 10)
        >>> low.item(), round(high.item(), 4)  # 1 - 0.025 ** (1 / 10)
        (0.0, 0.3085)
    """
    from scipy.special import betaincinv

    tail = (1 - check_level(level, "clopper_pearson_interval")) / 2
    hits, count = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    if not ((hits >= 0) & (hits <= count) & (count > 0)).all():
        raise ArgumentError("`successes` of clopper_pearson_interval must be from 0 to `trials`. Correct the counts.")
    low = np.where(hits == 0, 0.0, betaincinv(np.maximum(hits, 1), count - hits + 1, tail))
    high = np.where(hits == count, 1.0, betaincinv(hits + 1, np.maximum(count - hits, 1), 1 - tail))
    return low, high


def delong_variance(labels: Any, values: Any, *, groups: Any = None) -> float:
    """Return DeLong's variance of the area under the ROC curve, in O(n log n).

    With V_i the share of negatives below positive i (ties count half) and W_j that of positives above negative j, the
    variance is var(V) / m + var(W) / n (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, 837-845; by ranks as
    Sun and Xu, IEEE Signal Processing Letters 21, 2014). Where groups are given, deviations are summed within a group
    before they are squared (Obuchowski, Biometrics 53, 1997, 567-578).

    Args:
        labels: 0, 1 or NaN (left out), shape (rows,).
        values: higher means more likely positive, shape (rows,).
        groups: name of the patient of each row, or None where rows are independent.

    Returns:
        NaN with fewer than two positives or negatives (with groups: two groups that have some).

    Raises:
        ArgumentError: arrays of different lengths, other labels, or NaN values.

    Example:
        >>> round(delong_variance([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8]), 6)  # V = 0.75, 1; W = 1, 0.75
        0.03125
    """
    truth, scores, _ = known_rows(labels, values, None, "delong_variance")
    hit = truth == 1
    parts = _placements(scores[hit], scores[~hit])
    if groups is None:
        sizes = [len(part) for part in parts]
        if min(sizes) < 2:
            return float("nan")
        return float(sum(np.var(part, ddof=1) / len(part) for part in parts))
    names = np.asarray(groups)[~np.isnan(np.asarray(labels, dtype=np.float64))]
    _, place = np.unique(names.astype(str), return_inverse=True)
    having = [len(np.unique(place[chosen])) for chosen in (hit, ~hit)]
    if min(having) < 2:
        return float("nan")
    sums = [
        np.bincount(place[chosen], weights=(part - part.mean()) / len(part), minlength=int(place.max()) + 1)
        for part, chosen in zip(parts, (hit, ~hit), strict=True)
    ]
    inflation = [count / (count - 1) for count in having]
    own = inflation[0] * np.square(sums[0]).sum() + inflation[1] * np.square(sums[1]).sum()
    return float(max(own + 2 * (sums[0] * sums[1]).sum(), 0.0))


def _placements(positives: Floats, negatives: Floats) -> tuple[Floats, Floats]:
    """Return the share of negatives below each positive, and of positives above each negative; ties count half."""
    if not len(positives) or not len(negatives):
        return np.zeros(0), np.zeros(0)
    below, above = np.sort(negatives), np.sort(positives)
    first = (np.searchsorted(below, positives, "left") + np.searchsorted(below, positives, "right")) / 2
    second = (np.searchsorted(above, negatives, "left") + np.searchsorted(above, negatives, "right")) / 2
    return first / len(below), 1 - second / len(above)


def score_interval(
    value: float, variance: float, cases: float, *, level: float = 0.95, degrees: float | None = None
) -> tuple[float, float]:
    """Return the interval of a figure in [0, 1] that varies as the bootstrap says.

    Wilson's with n = v (1 - v) / variance trials, at least one, and at most `cases` where nothing varies, and the
    quantile of Student's t with `degrees`.

    Args:
        value: the figure v.
        variance: of it, from replicates or DeLong's.
        cases: how many independent cases it rests on, for a figure at 0 or 1, or replicates that are all the same.
        level: coverage.
        degrees: of freedom; default `cases` - 1, at least 1.

    Example:
        >>> low, high = score_interval(0.5, 0.0025, 1e9)  # as 100 trials
        >>> round(low, 4), round(high, 4)
        (0.4038, 0.5962)
    """
    if min(value, 1 - value) < _ROUNDING:  # a figure of 1 may be computed as a little less, and would seem sure
        value, variance = float(round(value)), 0.0
    spread = value * (1 - value)
    trials = spread / variance if variance > 0 and spread > 0 else cases
    quantile = student_quantile(level, max(cases - 1, 1.0) if degrees is None else degrees)
    low, high = wilson_interval(value, max(trials, 1.0), quantile=quantile)
    return float(low), float(high)


def small_sample(cases: Any) -> Floats:
    """Return m / (m - 1), by which a bootstrap variance falls short where a figure rests on m cases; 2 for one case."""
    count = np.maximum(np.asarray(cases, dtype=np.float64), 2.0)
    return np.asarray(count / (count - 1))


def pooled_degrees(variances: Floats, cases: NDArray[Any]) -> float:
    """Return the degrees of freedom of a mean of figures that rest on different numbers of cases.

    (sum v)^2 / sum(v^2 / (m - 1)), as for the means of Welch and Satterthwaite (Biometrics Bulletin 2, 1946).

    Example:
        >>> pooled_degrees(np.array([1.0, 1.0]), np.array([11, 11]))
        20.0
    """
    free = np.maximum(np.asarray(cases, dtype=np.float64) - 1, 1.0)
    below = float((np.square(variances) / free).sum())
    return float(np.sum(variances)) ** 2 / below if below > 0 else float(free.min())


def normal_quantile(level: float) -> float:
    """Return z of a two-sided level.

    Example:
        >>> round(normal_quantile(0.95), 4)
        1.96
    """
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + check_level(level, "an interval") / 2)


def student_quantile(level: float, degrees: float) -> float:
    """Return the two-sided quantile of Student's t.

    From 30 degrees on by the series of Abramowitz and Stegun 26.7.5, right to six digits and sooner there than SciPy,
    whose special functions take a quarter of a second to load.

    Example:
        >>> round(student_quantile(0.95, 9), 4)
        2.2622
    """
    if degrees >= _MANY_DEGREES:
        z = normal_quantile(level)
        terms = (
            (z**3 + z) / 4,
            (5 * z**5 + 16 * z**3 + 3 * z) / 96,
            (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
            (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
        )
        return float(z + sum(term / degrees ** (place + 1) for place, term in enumerate(terms)))
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + level / 2))


def check_level(level: Any, function: str) -> float:
    """Return a coverage as a number, or raise `ArgumentError` where it is not between 0 and 0.999."""
    return check_number(level, argument="level", function=function, above=0.0, at_most=0.999)


def variance_of(drawn: Floats) -> Floats:
    """Return the variance of replicates over the first axis, without those that could not be evaluated."""
    usable = ~np.isnan(drawn)
    count = usable.sum(axis=0)
    mean = divide(np.where(usable, drawn, 0.0).sum(axis=0), count)
    squares = np.where(usable, np.square(drawn - mean), 0.0).sum(axis=0)
    return divide(squares, np.maximum(count - 1, 1))
