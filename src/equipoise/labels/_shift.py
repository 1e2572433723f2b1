"""Does a class's prevalence differ between parts? A test that knows rows of one patient are no independent evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TABLES = 20_000
_DRAWS = 9_999


@dataclass(frozen=True)
class Shift:
    """How one class differs between parts.

    Attributes:
        p_value: probability of a difference as large by chance alone, in [0, 1]; NaN when nothing can be said.
        effect: Cramer's V, in [0, 1]: 0 is no difference; 0.1 is called small.
        method: ``"chi-square"``, ``"exact"`` or ``"simulated"``.
    """

    p_value: float
    effect: float
    method: str


def prevalence_shift(
    positive: NDArray[np.bool_], parts: NDArray[np.int64], count: int, groups: NDArray[np.int64] | None = None
) -> Shift:
    """Return whether the share of positives differs between parts.

    Pearson's chi-square over the (2, parts) table. With groups it is divided by the design effect, as in Rao and
    Scott, Annals of Statistics 12 (1984) 46-60 (first-order correction): the variance of the prevalence when whole
    groups are drawn over that when rows are. Where a cell is expected to hold fewer than five the test is exact
    (conditional on the margins), or simulated with 9,999 draws when there are too many tables to go through.

    Args:
        positive: (rows,) whether the row is positive; rows with an unknown label are left out beforehand.
        parts: (rows,) part of each row, from 0.
        count: how many parts there are.
        groups: (rows,) group of each row, from 0; None for independent rows.
    """
    sizes = np.bincount(parts, minlength=count)
    used = sizes > 0
    hits = np.bincount(parts[positive], minlength=count)[used]
    sizes = sizes[used]
    total, rows = int(hits.sum()), int(sizes.sum())
    if len(sizes) < 2 or total in (0, rows):
        return Shift(math.nan, 0.0, "chi-square")
    rate = total / rows
    chi_square = _chi_square(hits, sizes, rate)
    effect = math.sqrt(chi_square / rows)
    design = 1.0
    if groups is not None:
        sums = np.bincount(groups, positive - rate)
        design = max(1.0, float((sums**2).sum()) / (rows * rate * (1.0 - rate)))
    if design == 1.0 and min(rate, 1.0 - rate) * sizes.min() < 5.0:
        p_value, method = _exact(hits, sizes, chi_square, rate)
        return Shift(p_value, effect, method)
    return Shift(chi_square_tail(chi_square / design, len(sizes) - 1), effect, "chi-square")


def _chi_square(hits: NDArray[np.int64], sizes: NDArray[np.int64], rate: float) -> float:
    return float(((hits - sizes * rate) ** 2 / (sizes * rate * (1.0 - rate))).sum())


def _exact(hits: NDArray[np.int64], sizes: NDArray[np.int64], seen: float, rate: float) -> tuple[float, str]:
    total, rows = int(hits.sum()), int(sizes.sum())
    if total * 2 > rows:  # the table of negatives is the same table, and has fewer to place
        hits, total = sizes - hits, rows - total
    weights = 1.0 / (sizes * rate * (1.0 - rate))
    least = seen * (1.0 - 1e-9)
    if math.comb(total + len(sizes) - 1, len(sizes) - 1) <= _TABLES:
        tables = _compositions(total, len(sizes))
        possible = (tables <= sizes).all(axis=1)
        tables = tables[possible]
        factorials = np.array([math.lgamma(n + 1.0) for n in range(int(sizes.max()) + 1)])
        ways = (factorials[sizes] - factorials[tables] - factorials[sizes - tables]).sum(axis=1)
        probabilities = np.exp(ways - ways.max())
        probabilities /= probabilities.sum()
        extreme = ((tables - sizes * (total / rows)) ** 2 * weights).sum(axis=1) >= least
        return min(1.0, float(probabilities[extreme].sum())), "exact"
    rng = np.random.default_rng(0)
    tables = rng.multivariate_hypergeometric(sizes, total, _DRAWS)
    extreme = ((tables - sizes * (total / rows)) ** 2 * weights).sum(axis=1) >= least
    return (1.0 + float(extreme.sum())) / (_DRAWS + 1.0), "simulated"


def _compositions(total: int, parts: int) -> NDArray[np.int64]:
    if parts == 1:
        return np.array([[total]], np.int64)
    blocks = []
    for first in range(total + 1):
        rest = _compositions(total - first, parts - 1)
        blocks.append(np.column_stack([np.full(len(rest), first), rest]))
    return np.concatenate(blocks)


def chi_square_tail(value: float, freedom: int) -> float:
    """Return the probability that a chi-square variable with `freedom` degrees exceeds `value`.

    The closed form for whole degrees of freedom (Abramowitz and Stegun 26.4.4 and 26.4.5), which spares importing
    ``scipy.stats``.

    Example:
        >>> round(chi_square_tail(3.841459, 1), 6), round(chi_square_tail(5.991465, 2), 6)
        (0.05, 0.05)
    """
    half = value / 2.0
    if half <= 0:
        return 1.0
    if freedom % 2 == 0:
        terms = [-half + k * math.log(half) - math.lgamma(k + 1.0) for k in range(freedom // 2)]
        return min(1.0, sum(math.exp(term) for term in terms))
    terms = [-half + (k - 0.5) * math.log(half) - math.lgamma(k + 0.5) for k in range(1, (freedom + 1) // 2)]
    return min(1.0, math.erfc(math.sqrt(half)) + sum(math.exp(term) for term in terms))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted for their number by Holm's step-down method; NaN stays NaN and is not counted.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors)) if len(order) else []
    return adjusted
