"""Whether counts agree with what was expected of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAST = 5.0  # expected draws of a cell below which the chi-square distribution is no guide (Cochran, 1954)


@dataclass(frozen=True)
class Fit:
    """A chi-square test: the statistic, its degrees of freedom, and the chance of one as large."""

    statistic: float
    freedom: int
    p_value: float


def chi_square_fit(drawn: NDArray[np.integer], shares: NDArray[np.floating]) -> Fit:
    """Return Pearson's test of `drawn` (cells,) counts against expected `shares` (cells,), which sum to one.

    Cells with fewer than five expected draws are pooled; the degrees of freedom are the cells that remain less one. A
    draw where none can be is impossible: its p is 0.

    >>> fit = chi_square_fit(np.array([60, 40]), np.array([0.5, 0.5]))
    >>> fit.statistic, fit.freedom, round(fit.p_value, 4)
    (4.0, 1, 0.0455)
    """
    if np.any(drawn[shares <= 0] > 0):
        return Fit(float("inf"), max(1, len(drawn) - 1), 0.0)
    expected = shares * (drawn.sum() / shares.sum())
    observed, expected = pooled(drawn[None, :].astype(np.float64), expected)
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = np.where(expected > 0, (observed[0] - expected) ** 2 / expected, 0.0)
    return _tested(float(terms.sum()), len(expected) - 1)


def same_shares(drawn: NDArray[np.integer]) -> Fit:
    """Return the test that every line of `drawn` (groups, cells) was drawn from the same shares.

    >>> same_shares(np.array([[30, 70], [30, 70]])).p_value
    1.0
    """
    total = drawn.sum(axis=0)
    smallest = drawn.sum(axis=1).min() / max(1, drawn.sum())
    observed, expected = pooled(drawn.astype(np.float64), total * smallest)
    columns, lines = observed.sum(axis=0), observed.sum(axis=1)
    wanted = np.outer(lines, columns) / max(1.0, observed.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = np.where(wanted > 0, (observed - wanted) ** 2 / wanted, 0.0)
    return _tested(float(terms.sum()), (len(expected) - 1) * (len(drawn) - 1))


def upper_tail(statistic: float, freedom: float) -> float:
    """Return the chance that a chi-square of `freedom` exceeds `statistic`: the upper incomplete gamma function."""
    from scipy.special import gammaincc

    return float(gammaincc(freedom / 2.0, statistic / 2.0))


def pooled(
    observed: NDArray[np.float64], expected: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return counts (lines, cells) and expectations (cells,) with the cells below five made one, and large enough."""
    order = np.argsort(expected, kind="stable")
    few = int(np.searchsorted(expected[order], _LEAST))
    running = np.cumsum(expected[order])
    while 0 < few < len(order) and running[few - 1] < _LEAST:
        few += 1
    if few == 0:
        return observed, np.asarray(expected, np.float64)
    small, large = order[:few], order[few:]
    return (
        np.column_stack([observed[:, small].sum(axis=1), observed[:, large]]),
        np.concatenate(([expected[small].sum()], expected[large])),
    )


def _tested(statistic: float, freedom: int) -> Fit:
    return Fit(statistic, freedom, upper_tail(statistic, freedom) if freedom > 0 else 1.0)
