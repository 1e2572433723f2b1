"""The sorted order of one class, ready to be resampled: sparse tables of ones that counts are multiplied with."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics.outcomes import divide

Counts = NDArray[np.int16] | NDArray[np.int32]  # (clusters, replicates): how often each replicate drew each cluster

HIGHEST_NARROW = 32  # the highest count for which sums of 16 bits do
_NEARLY_NOTHING = 1e-300
_BIN_ENTRIES = 1_000  # entries whose sum then fits 16 bits
_STRIDE = 8  # bins added up one after the other
_BLOCK_BINS = 256  # bins looked at together, so that all that is made of them stays in the cache


@dataclasses.dataclass(frozen=True, eq=False)
class _Block:
    """Some neighbouring bins.

    They stand in the order 0, 8, 16, ..., 1, 9, ..., so that cumulative sums run over long stretches of memory.

    Args:
        table: sparse, shape (8 x parts x bins / 8, clusters). Of each eighth of the bins, part 0 has the negatives,
            part 1 the positives, and part 2, where there is one, the negatives tied with those positives.
        parts: 2 or 3.
        narrow: whether sums of 16 bits do.
    """

    table: Any
    parts: int
    narrow: bool


class SortedClass:
    """The sorted order of one class.

    A bin holds the positives of one score, the negatives tied with them, and those above that are below the positives
    before: their order does not matter, only how many were drawn. Where there are many, some go into bins without
    positives. Negatives below every positive are only counted.

    Args:
        labels: 0, 1 or NaN (left out), shape (rows,).
        values: higher means more likely positive, shape (rows,).
        clusters: cluster of each row, shape (rows,).
        count: number of clusters.
    """

    def __init__(self, labels: Floats, values: Floats, clusters: NDArray[np.int32], count: int) -> None:
        positive, negative = labels == 1, labels == 0
        self.per_cluster = np.array(
            [np.bincount(clusters[chosen], minlength=count) for chosen in (positive, negative)], dtype=np.float64
        )
        hits, hit_columns = _descending(values[positive], clusters[positive])
        misses, miss_columns = _descending(values[negative], clusters[negative])
        starts = np.flatnonzero(np.diff(hits, prepend=-np.inf)) if len(hits) else np.zeros(0, dtype=np.int64)
        above, through = (np.searchsorted(misses, hits[starts], side=side) for side in ("left", "right"))
        extra = _extra_bins(above, through)
        bins = np.arange(len(starts)) + np.searchsorted(extra, through, side="right")
        total = len(starts) + len(extra)
        sizes = np.zeros((3, total), dtype=np.int64)  # negatives, positives, tied negatives of each bin
        sizes[0] = np.diff(np.sort(np.concatenate((through, extra))), prepend=0)
        sizes[1, bins] = np.diff(np.append(starts, len(hits)))
        sizes[2, bins] = through - above
        self._blocks, at = [], np.zeros(2, dtype=np.int64)
        for start in range(0, total, _BLOCK_BINS):
            chosen = sizes[:, start : start + _BLOCK_BINS]
            ends = at + chosen[:2].sum(axis=1)
            self._blocks.append(_make_block(miss_columns[at[0] : ends[0]], hit_columns[at[1] : ends[1]], chosen, count))
            at = ends

    def replicate(self, counts: Counts, totals: Floats) -> tuple[Floats, Floats]:
        """Return AUC and average precision of each replicate; NaN without positives or without negatives.

        Args:
            counts: shape (clusters, replicates), of 16 bits only where none is above `HIGHEST_NARROW`.
            totals: positives and negatives of each replicate, shape (2, replicates).
        """
        width = counts.shape[1]
        carry = np.zeros((2, 1, width), dtype=np.int32)
        lost, gained = np.zeros((2, width))
        for block in self._blocks:
            sums = block.table @ (counts if block.narrow else counts.astype(np.int32))
            sums = sums.reshape(_STRIDE, block.parts, -1, width)
            reached = sums[:, :2].astype(np.int32)
            carry = _cumulate(reached, carry)
            weights = sums[:, 1].astype(np.float64).reshape(-1, width)
            above, found = (reached[:, part].astype(np.float64).reshape(-1, width) for part in range(2))
            lost += np.einsum("ij,ij->j", weights, above)
            if block.parts == 3:
                lost -= np.einsum("ij,ij->j", weights, sums[:, 2].astype(np.float64).reshape(-1, width)) / 2
            above += found
            above += _NEARLY_NOTHING  # where nothing was drawn so far, precision is 0 and not 0 / 0
            found /= above
            gained += np.einsum("ij,ij->j", weights, found)
        both = totals[0] * totals[1]
        return 1.0 - divide(lost, both), np.where(both > 0, divide(gained, totals[0]), np.nan)


def _descending(values: Floats, columns: NDArray[np.int32]) -> tuple[Floats, NDArray[np.int32]]:
    """Return the negated values, ascending, and the columns in their order."""
    order = np.argsort(values)[::-1]
    return -values[order], columns[order]


def _extra_bins(above: NDArray[np.int64], through: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where bins without positives end, so that few bins hold many negatives."""
    if not len(through):
        return np.zeros(0, dtype=np.int64)
    ends = np.arange(_BIN_ENTRIES // 2, through[-1], _BIN_ENTRIES // 2)
    return ends[ends <= above[np.searchsorted(through, ends)]]


def _make_block(misses: NDArray[np.int32], hits: NDArray[np.int32], sizes: NDArray[np.int64], count: int) -> _Block:
    """Return the block of some bins: clusters of their negatives and positives, and how many each bin has."""
    parts = 3 if sizes[2].any() else 2
    bins = -(-sizes.shape[1] // _STRIDE) * _STRIDE
    filled = np.zeros((parts, bins), dtype=np.int64)
    filled[:, : sizes.shape[1]] = sizes[:parts]
    starts = np.cumsum(filled, axis=1) - filled
    starts[1] += len(misses)
    if parts == 3:  # the tied ones are the last negatives of their bin
        starts[2] = starts[0] + filled[0] - filled[2]
    order = np.arange(bins).reshape(-1, _STRIDE).T
    lengths, firsts = (one[:, order].swapaxes(0, 1).ravel() for one in (filled, starts))
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1]) + np.repeat(firsts - ends + lengths, lengths)
    columns = np.concatenate((misses, hits))[places]
    return _Block(_sparse_rows(ends, columns, count), parts, bool(lengths.max() <= _BIN_ENTRIES))


def _cumulate(tables: NDArray[np.int32], carry: NDArray[np.int32]) -> NDArray[np.int32]:
    """Replace bins, in the order of a block, by their cumulative sums, and return what comes to the next block.

    Args:
        tables: shape (8, tables, bins / 8, replicates).
        carry: sums of earlier bins, shape (tables, 1, replicates).

    Example:
        >>> ones = np.ones((8, 1, 2, 1), dtype=np.int32)
        >>> _cumulate(ones, np.array([[[5]]], dtype=np.int32)).ravel()
        array([21], dtype=int32)
        >>> ones[:2].ravel()  # bins 0, 8, 1, 9
        array([ 6, 14,  7, 15], dtype=int32)
    """
    for place in range(1, _STRIDE):
        tables[place] += tables[place - 1]
    before = np.cumsum(np.concatenate((carry, tables[-1]), axis=1), axis=1, dtype=np.int32)
    tables += before[:, :-1]
    return before[:, -1:]


def _sparse_rows(ends: NDArray[np.int64], columns: NDArray[np.int32], width: int) -> Any:
    """Return a sparse table of ones: row i has them in `columns[ends[i - 1]:ends[i]]`; a repeated one counts."""
    from scipy import sparse

    ones, starts = np.ones(len(columns), dtype=np.int16), np.concatenate(([0], ends)).astype(np.int32)
    return sparse.csr_matrix((ones, columns, starts), shape=(len(ends), width))
