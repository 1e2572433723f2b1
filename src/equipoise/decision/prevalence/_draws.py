"""Bootstrap samples of whole groups, as sums over the rows drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.scores import Scores
from equipoise.scores.ids import hash_ids

_BATCH_ENTRIES = 4_000_000  # counts held at once


def number_groups(scores: Scores) -> tuple[NDArray[np.int64], int]:
    """Return the number of the group of each row, and how many groups there are; without groups each row is its own.

    Groups are numbered by the keys of their names, so that the order of the rows changes no draw.
    """
    keys = scores.id_keys() if scores.groups is None else hash_ids(scores.groups)
    different, member = np.unique(keys, return_inverse=True)
    return member.astype(np.int64), len(different)


def draw_groups(count: int, replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each group was drawn, shape (groups, samples), for a batch of samples at a time."""
    random = np.random.default_rng(seed)
    batch = int(np.clip(_BATCH_ENTRIES // count, 1, replicates))
    for start in range(0, replicates, batch):
        size = min(batch, replicates - start)
        drawn = random.integers(0, count, size=(size, count)) + np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).T.astype(np.float64)


def drawn_sums(entries: Floats, member: NDArray[np.int64], count: int, replicates: int, seed: int) -> Floats:
    """Return the sums of entries over the rows of each bootstrap sample, shape (samples, features).

    Args:
        entries: shape (rows, features).
        member: number of the group of each row, shape (rows,).
        count: number of groups.
        replicates: number of samples.
        seed: the same seed and groups give the same samples, whatever the entries are.
    """
    columns = [np.bincount(member, weights=entries[:, one], minlength=count) for one in range(entries.shape[1])]
    table = np.array(columns)
    return np.concatenate([(table @ counts).T for counts in draw_groups(count, replicates, seed)])


def drawn_bins(
    bins: NDArray[np.int64], size: int, member: NDArray[np.int64], count: int, replicates: int, seed: int
) -> Floats:
    """Return how many rows of each bin each bootstrap sample holds, shape (samples, bins); bin -1 is not counted."""
    from scipy import sparse

    kept = bins >= 0
    ones: Any = (np.ones(int(kept.sum())), (bins[kept], member[kept]))
    table = sparse.csr_matrix(ones, shape=(size, count))
    return np.concatenate([np.asarray(table @ counts).T for counts in draw_groups(count, replicates, seed)])


def cut_into_bins(values: Floats, most: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the bin of each value and the mean of each bin: distinct values, or where there are more, quantiles.

    Args:
        values: finite, shape (rows,).
        most: number of bins at most.

    Example:
        >>> cut_into_bins(np.array([3.0, 1.0, 3.0]), 10)
        (array([1, 0, 1]), array([1., 3.]))
    """
    different, bins = np.unique(values, return_inverse=True)
    if len(different) > most:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, most + 1)[1:-1]))
        bins = np.searchsorted(edges, values, side="right")
        _, bins = np.unique(bins, return_inverse=True)
    means = np.bincount(bins, weights=values) / np.bincount(bins)
    return bins.astype(np.int64), means
