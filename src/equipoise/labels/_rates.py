"""Rates with intervals."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, check_number


def wilson_interval(
    successes: NDArray[Any] | Sequence[int] | int, trials: NDArray[Any] | Sequence[int] | int, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper end of Wilson's score interval for a proportion, both in [0, 1].

    With z the normal quantile of (1 + level) / 2, p = successes / trials and n = trials, the ends are
    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    Args:
        successes: counts, any shape.
        trials: counts of the same shape; where 0 the ends are NaN, for nothing is known.
        level: coverage in (0, 1).

    Raises:
        ArgumentError: more successes than trials, a negative count, or a level outside (0, 1).

    Source: Wilson, JASA 22 (1927) 209-212; without continuity correction, as method 3 of Newcombe, Statistics in
    Medicine 17 (1998) 857-872, whose table I the example repeats.

    Example:
        >>> low, high = wilson_interval(81, 263)
        >>> print(f"{low:.4f} to {high:.4f}")
        0.2553 to 0.3662
    """
    check_number(level, argument="level", function="wilson_interval", above=0.0, at_most=1.0 - 1e-12)
    k: NDArray[Any] = np.asarray(successes, dtype=np.float64)
    n: NDArray[Any] = np.asarray(trials, dtype=np.float64)
    if np.any(k < 0) or np.any(k > n):
        raise ArgumentError("`successes` of wilson_interval must lie between 0 and `trials`. Check the counts.")
    z = statistics.NormalDist().inv_cdf((1.0 + level) / 2.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = k / n
        middle = p + z * z / (2.0 * n)
        half = z * np.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
        low, high = (middle - half) / (1.0 + z * z / n), (middle + half) / (1.0 + z * z / n)
    # Rounding must not leave an end on the wrong side of a rate that is exactly 0 or 1.
    return np.where(k == 0, np.where(n > 0, 0.0, np.nan), low), np.where((k == n) & (n > 0), 1.0, high)


def ratio_interval(
    parts: NDArray[Any], wholes: NDArray[Any], *, population: int | None = None, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of an interval for sum(parts) / sum(wholes) over n images that were drawn at random.

    With R the ratio of the sums, its variance by linearisation is (1 - n/N) / (n (n-1)) sum (y_i - R x_i)^2 / mean(x)^2
    for y_i of x_i pixels in image i and N images in all (without N: as if there were infinitely many). The interval is
    that of Student's t with n - 1 degrees of freedom on the scale of ln(R / (1-R)), where its half-width is
    t s / (R (1-R)): it stays within [0, 1] and leans where R is small. Pixels of one image are alike, so that an
    interval over pixels would be far too narrow.

    Args:
        parts: (images, classes) pixels of each class.
        wholes: (images, classes) pixels in which they were counted.
        population: N, the number of images from which these were drawn.
        level: coverage in (0, 1).

    Returns:
        Two arrays (classes,); NaN where there are fewer than two images, or nothing is known. A class without a pixel,
        or with all, has no spread: both ends are R.

    Raises:
        ArgumentError: a level outside (0, 1).

    Source: Cochran, Sampling Techniques, 3rd edition (1977), section 6.3, equation 6.13, for clusters of section 9A.3.

    Example:
        >>> low, high = ratio_interval(np.array([[10], [12], [8], [10]]), np.full((4, 1), 100))
        >>> print(f"{low[0]:.3f} to {high[0]:.3f}")
        0.077 to 0.129
    """
    from scipy.special import stdtrit

    check_number(level, argument="level", function="ratio_interval", above=0.0, at_most=1.0 - 1e-12)
    y: NDArray[Any] = np.asarray(parts, dtype=np.float64)
    x: NDArray[Any] = np.asarray(wholes, dtype=np.float64)
    n = len(y)
    if n < 2:
        empty = np.full(y.shape[1:], np.nan)
        return empty, empty
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = y.sum(axis=0) / x.sum(axis=0)
        left = 1.0 if population is None else max(0.0, 1.0 - n / population)
        error = np.sqrt(left * np.sum((y - ratio * x) ** 2, axis=0) / (n * (n - 1))) / x.mean(axis=0)
        half = stdtrit(n - 1, (1.0 + level) / 2.0) * error / (ratio * (1.0 - ratio))
        odds = np.log(ratio / (1.0 - ratio))
        low, high = (1.0 / (1.0 + np.exp(-(odds + sign * half))) for sign in (-1, 1))
    flat = (ratio <= 0) | (ratio >= 1)
    return np.where(flat, ratio, low), np.where(flat, ratio, high)
