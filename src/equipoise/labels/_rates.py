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
