"""Whether draws are spread over rows of equal weight as chance would have it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]


def surplus_chance(seen: Counts, cells: Counts, sizes: Counts) -> tuple[float, float, float]:
    r"""Return pairs of draws of one row, how many are expected, and the chance of as many.

    Of n independent draws of the m rows of a cell, two coincide with probability p = 1/m, any two pairs of draws
    independently of each other. So the number of pairs has mean P p with P = n (n - 1) / 2, variance P p (1 - p), and,
    as three draws make three pairs that are not independent, a third moment of
    P p (1 - p) (1 - 2 p) + n (n - 1) (n - 2) (p^2 - p^3). Its upper tail is that of the gamma distribution with these
    moments. Draws without replacement coincide less often.

    Args:
        seen: (rows,) how often each was drawn.
        cells: (rows,) the cell of each row; the rows of a cell have one weight.
        sizes: (cells,) rows of each.

    Example:
        >>> surplus_chance(np.array([2, 0, 1, 1]), np.zeros(4, int), np.array([4]))[:2]
        (1.0, 1.5)
    """
    from scipy.special import gammaincc

    drawn = np.bincount(cells, weights=seen, minlength=len(sizes))
    chance = 1.0 / np.maximum(sizes, 1)
    pairs, triples = drawn * (drawn - 1.0) / 2.0, drawn * (drawn - 1.0) * (drawn - 2.0)
    found, mean = float(np.sum(seen * (seen - 1.0)) / 2.0), float(pairs @ chance)
    variance = float(pairs @ (chance * (1 - chance)))
    third = float(pairs @ (chance * (1 - chance) * (1 - 2 * chance)) + triples @ (chance**2 - chance**3))
    if found <= mean or variance <= 0 or third <= 0:
        return found, mean, 1.0
    shape = 4.0 * variance**3 / third**2
    return found, mean, float(gammaincc(shape, shape + (found - mean) * np.sqrt(shape / variance)))


def unseen_chance(seen: Counts, cells: Counts, sizes: Counts, weights: NDArray[np.float64]) -> float:
    r"""Return an upper bound of the chance that so many rows are never drawn, of one cell or of all together.

    Of N independent draws a row of weight w is never one with probability (1 - w)^N. Whether rows are drawn is
    negatively associated, so Chernoff's bound holds for how many are not, ``exp(u - mu - u ln(u / mu))`` for u where mu
    are expected; the least over the cells is multiplied by their number.

    Args:
        seen: (rows,) how often each was drawn.
        cells: (rows,) the cell of each row.
        sizes: (cells,) rows of each.
        weights: (cells,) chance that a draw is a given row of the cell.

    Example:
        Twenty draws of ten rows never fall on five of them, where 10 x 0.9^20 = 1.2 are expected:

        >>> round(unseen_chance(np.array([4] * 5 + [0] * 5), np.zeros(10, int), np.array([10]), np.array([0.1])), 3)
        0.075
    """
    found = np.bincount(cells, weights=seen == 0, minlength=len(sizes))
    expected = sizes * np.exp(seen.sum() * np.log1p(-np.minimum(weights, 1 - 1e-16)))
    found, expected = np.append(found, found.sum()), np.maximum(np.append(expected, expected.sum()), 1e-300)
    many = np.maximum(found, expected)
    log_chance = many - expected - many * np.log(many / expected)
    return float(min(1.0, len(found) * np.exp(log_chance.min())))


def likeness(one: Counts, other: Counts, cells: Counts, sizes: Counts) -> tuple[float, float]:
    """Return how alike two processes draw the rows of a cell, in [-1, 1], and by how many standard deviations.

    The correlation of how often each row was drawn, both counts about their means in the cell; where n and k
    independent draws meet on one of m rows, n k (1/m) (1 - 1/m) is the variance of how often they do.

    >>> likeness(np.array([2, 0, 0]), np.array([2, 0, 0]), np.zeros(3, int), np.array([3]))[0]
    1.0
    """
    chance = 1.0 / np.maximum(sizes, 1)
    totals = [np.bincount(cells, weights=seen, minlength=len(sizes)) for seen in (one, other)]
    a, b = (seen - (total * chance)[cells] for seen, total in zip((one, other), totals, strict=True))
    size, met = float(np.sqrt((a @ a) * (b @ b))), float(a @ b)
    deviation = float(np.sqrt((totals[0] * totals[1]) @ (chance * (1 - chance))))
    return (met / size, met / deviation) if size > 0 and deviation > 0 else (0.0, 0.0)


def same_again_chance(seen: Counts, cells: Counts, sizes: Counts) -> float:
    """Return the chance that rows drawn so often in one epoch are drawn just as often each in another.

    In a cell any row may have any of the counts: it is one in ``m! / (m_0! m_1! ...)``, with m_k the rows that were
    drawn k times. One where nothing is left to chance, such as each row once.

    >>> round(same_again_chance(np.array([1, 0, 0, 0]), np.zeros(4, int), np.array([4])), 6)
    0.25
    """
    from scipy.special import gammaln

    joined = cells.astype(np.int64) * (int(seen.max(initial=0)) + 1) + seen
    alike = np.unique(joined, return_counts=True)[1]
    return float(np.exp(gammaln(alike + 1.0).sum() - gammaln(np.asarray(sizes) + 1.0).sum()))
