"""Pixels counted into the cells of a grid of thresholds, in one pass.

A threshold is a number that bfloat16 holds (the upper 16 bits of a float32). Whether a probability reaches it is then
told by those 16 bits alone, and the cell of a pixel is looked up in a table of 16,257 bytes, which stays in the fastest
cache: no search, no logarithm, and exactly the comparison ``probability >= threshold``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._compiled import compiled

ONE = 0x3F80  # the upper 16 bits of 1.0
IGNORED = 255


def rounded_thresholds(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the numbers of bfloat16 next below `values`, sorted, each once.

    Example:
        >>> rounded_thresholds(np.array([0.5, 0.501, 0.3])).tolist()
        [0.298828125, 0.5]
    """
    bits = np.asarray(values, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return np.unique(bits.view(np.float32))


@cache
def default_thresholds() -> NDArray[np.float32]:
    """Return the grid that is counted on when nothing is said.

    Log-odds from -9 to 5.5 in steps of 0.1 (probabilities from 0.0001 to 0.996), 0.5 among them.
    """
    grid = rounded_thresholds(1.0 / (1.0 + np.exp(-np.round(np.linspace(-9.0, 5.5, 146), 10))))
    grid.setflags(write=False)
    return grid


def cell_table(thresholds: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the cell of every number of bfloat16 from 0 to 1: how many thresholds it reaches."""
    values = (np.arange(ONE + 1, dtype=np.uint32) << np.uint32(16)).view(np.float32)
    return np.searchsorted(thresholds, values, side="right").astype(np.uint8)


def count_cells(
    labels: NDArray[np.uint8], probabilities: NDArray[np.float32], class_: int, thresholds: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return pixels of each cell, and sums of their probabilities.

    Args:
        labels: flat; a pixel is positive where it equals `class_`, and left out where it is 255.
        probabilities: flat, from 0 to 1.
        class_: which label is positive.
        thresholds: of `rounded_thresholds`, at most 255.

    Returns:
        (2, cells) counts of negatives and positives, and (cells,) sums over both; one cell more than thresholds.

    Raises:
        ValueError: a probability of a known pixel is no number from 0 to 1.
    """
    cells = len(thresholds) + 1
    counts, sums = np.zeros((2, cells), np.int64), np.zeros(cells)
    bits = np.ascontiguousarray(probabilities, np.float32).view(np.uint32)
    wrong = _kernel()(np.ascontiguousarray(labels), bits, np.uint8(class_), cell_table(thresholds), counts, sums)
    if wrong:
        raise ValueError(f"{wrong:,} probabilities are no numbers from 0 to 1")
    return counts, sums


def _count(labels, bits, class_, table, counts, sums):  # type: ignore[no-untyped-def]
    wrong = 0
    floats = bits.view(np.float32)
    for place in range(labels.size):
        label = labels[place]
        if label == IGNORED:
            continue
        upper = bits[place] >> 16
        if upper >= ONE and bits[place] != 0x3F800000:
            if bits[place] != 0x80000000:  # minus zero
                wrong += 1
                continue
            upper = np.uint32(0)
        cell = table[upper]
        counts[1 if label == class_ else 0, cell] += 1
        sums[cell] += floats[place]
    return wrong


@cache
def _kernel() -> Callable[..., int]:
    kernel: Callable[..., int] = compiled(_count)
    return kernel
