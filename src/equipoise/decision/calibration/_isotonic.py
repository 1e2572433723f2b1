"""Isotonic regression: pool adjacent violators, whole runs at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics._arguments import known_rows

_PASSES = 40  # runs pooled at once; what is left then (only for tables made to be hard) is pooled one by one


def isotonic_regression(labels: Any, values: Any, *, sample_weights: Any = None) -> tuple[Floats, Floats, Floats]:
    """Return the rising step function of a score that is nearest to the labels: lowest and highest score, and level.

    The levels minimise sum w (label - level)^2, and equally the log loss, over all functions that do not fall (Ayer et
    al. 1955). Rows of equal score have equal level. The solution is exact: levels are ratios of sums of weights.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        values: scores, finite, shape (rows,).
        sample_weights: non-negative weight per row.

    Returns:
        Three arrays of shape (blocks,): the lowest and the highest score of each block, and its level, rising.

    Raises:
        ArgumentError: arrays of different lengths, other labels, NaN scores or negative weights.

    Example:
        The second and third row are the wrong way round, and share their mean:

        >>> low, high, level = isotonic_regression([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
        >>> low.tolist(), high.tolist(), level.tolist()
        ([0.1, 0.2, 0.4], [0.1, 0.3, 0.4], [0.0, 0.5, 1.0])
    """
    truth, scores, weights = known_rows(labels, values, sample_weights, "isotonic_regression")
    if not len(truth):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    order = np.argsort(scores, kind="stable")
    ordered, hits = scores[order], truth[order]
    mass = np.ones_like(hits) if weights is None else weights[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    mass, hits = np.add.reduceat(mass, first), np.add.reduceat(mass * hits, first)
    starts, mass, hits = pool_violators(mass, hits)
    low = ordered[first[starts]]
    high = ordered[np.append(first[starts[1:]], len(ordered)) - 1]
    return low, high, hits / mass


def pool_violators(mass: Floats, hits: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the first entry, mass and hits of the blocks whose means hits / mass rise strictly.

    Neighbours whose means do not rise have equal level in the solution, so any of them may be pooled, in any order, and
    a whole run that does not rise at once. A pass over all runs is vectorised; random labels need about ten passes.

    Args:
        mass: weight of each entry, above 0, shape (entries,).
        hits: weight of its positives, shape (entries,).
    """
    starts = np.arange(len(mass))
    for _ in range(_PASSES):
        # Cross-multiplied, so that whole numbers are compared exactly.
        rises = hits[:-1] * mass[1:] < hits[1:] * mass[:-1]
        if rises.all():
            return starts, mass, hits
        first = np.concatenate(([0], np.flatnonzero(rises) + 1))
        starts, mass, hits = starts[first], np.add.reduceat(mass, first), np.add.reduceat(hits, first)
    return _pool_one_by_one(starts, mass, hits)


def _pool_one_by_one(starts: NDArray[np.int64], mass: Floats, hits: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    pooled: list[tuple[int, float, float]] = []
    for block in zip(starts.tolist(), mass.tolist(), hits.tolist(), strict=True):
        pooled.append(block)
        while len(pooled) > 1 and pooled[-2][2] * pooled[-1][1] >= pooled[-1][2] * pooled[-2][1]:
            _, weight, found = pooled.pop()
            pooled[-1] = (pooled[-1][0], pooled[-1][1] + weight, pooled[-1][2] + found)
    columns = list(zip(*pooled, strict=True))
    return np.array(columns[0], dtype=np.int64), np.array(columns[1]), np.array(columns[2])
