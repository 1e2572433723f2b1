"""Rows collapsed to their label combinations: what a plan is solved over, and a code per row that leads back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise._tasks import is_exclusive
from equipoise.labels import Labels
from equipoise.labels._groups import packed

UNKNOWN = -1
_ROWS = 1 << 18  # rows at once: what bounds the memory beyond the codes themselves


@dataclass(frozen=True, eq=False)
class Combinations:
    """The distinct label combinations of a table.

    Attributes:
        labels: (combinations, classes) int8: 1 positive, 0 negative, -1 unknown; in an order that depends on the
            combinations alone.
        counts: (combinations,) rows of each.
        codes: (rows,) int32, the combination of each row.
    """

    labels: NDArray[np.int8]
    counts: NDArray[np.int64]
    codes: NDArray[np.int32]

    def drawable(self, task: str) -> tuple[NDArray[np.bool_], Combinations]:
        """Return which combinations have anything to learn from, and those alone, without their rows.

        Where a row has one label, a row whose label is unknown has no loss: to draw it is to draw nothing. Where it has
        several, it may stand for the rows without a finding.
        """
        if task == "multilabel":
            return np.ones(len(self.counts), np.bool_), self
        known = np.asarray((self.labels >= 0).any(axis=1))
        return known, Combinations(self.labels[known], self.counts[known], np.empty(0, np.int32))


def combine_labels(labels: Labels) -> Combinations:
    """Return the combinations that occur, how often, and the code of every row.

    Beyond the labels it holds 4 bytes a row and one block of rows.
    """
    codes = np.empty(len(labels), np.int32)
    if is_exclusive(labels.task):
        count = len(labels.classes)
        for start in range(0, len(codes), _ROWS):
            part = labels.values[start : start + _ROWS]
            codes[start : start + _ROWS] = np.where(np.isnan(part), count, part)
        table = np.zeros((count + 1, count), np.int8)
        np.fill_diagonal(table, 1)
        table[count] = UNKNOWN
    else:
        table = _encode_table(labels.values.reshape(len(codes), len(labels.classes)), codes)
    return _sorted_present(table, codes)


def _encode_table(values: NDArray[np.floating], codes: NDArray[np.int32]) -> NDArray[np.int8]:
    """Fill in a code per row, first come first numbered, and return the labels of each code."""
    numbers: dict[bytes, int] = {}
    rows: list[NDArray[np.int8]] = []
    for start in range(0, len(codes), _ROWS):
        part = values[start : start + _ROWS]
        positive, unknown = part == 1.0, np.isnan(part)
        keys = packed(positive)
        if unknown.any():
            keys = np.column_stack([keys, packed(unknown)])
        else:
            keys = np.column_stack([keys, np.zeros_like(keys)])
        first, inverse = _distinct(keys)
        blob, width = np.ascontiguousarray(keys[first]).tobytes(), keys.shape[1] * 8
        local = np.empty(len(first), np.int32)
        for place, row in enumerate(first.tolist()):
            key = blob[place * width : (place + 1) * width]
            if key not in numbers:
                numbers[key] = len(rows)
                rows.append(np.where(unknown[row], UNKNOWN, positive[row]).astype(np.int8))
            local[place] = numbers[key]
        codes[start : start + _ROWS] = local[inverse]
    return np.array(rows, np.int8).reshape(len(rows), values.shape[1])


def _distinct(keys: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return a row of each distinct key, and for each row the place of its key among them."""
    joined = np.zeros(len(keys), np.int64)
    for column in keys.T:
        if np.any(column != column[0]):
            distinct, inverse = _numbered(column)
            joined = _numbered(joined * distinct + inverse)[1] if joined.any() else inverse
    top = int(joined.max(initial=-1)) + 1
    first = np.full(top, -1, np.intp)
    first[joined[::-1]] = np.arange(len(joined) - 1, -1, -1)
    return first, joined


def _numbered(column: NDArray[np.generic]) -> tuple[int, NDArray[np.int64]]:
    """Return how many distinct values there are, and the number of each, without sorting where the values are small."""
    top = int(column.max(initial=0))
    if top < 1 << 20:
        places = column.astype(np.int64)
        seen = np.zeros(top + 1, np.bool_)
        seen[places] = True
        ranks = np.cumsum(seen) - 1
        return int(seen.sum()), ranks[places]
    distinct, inverse = np.unique(column, return_inverse=True)
    return len(distinct), inverse.reshape(-1).astype(np.int64)


def _sorted_present(table: NDArray[np.int8], codes: NDArray[np.int32]) -> Combinations:
    counts = np.zeros(len(table), np.int64)
    for start in range(0, len(codes), _ROWS):
        counts += np.bincount(codes[start : start + _ROWS], minlength=len(table))
    present = np.flatnonzero(counts)
    order = present[np.lexsort(table[present].T[::-1])]
    ranks = np.zeros(len(table), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    for start in range(0, len(codes), _ROWS):
        codes[start : start + _ROWS] = ranks[codes[start : start + _ROWS]]
    return Combinations(table[order], counts[order], codes)
