"""Bootstrap replicates of every metric, by integer resampling counts on the sorted order.

A replicate draws as many clusters (patients) with replacement as there are, and is nothing but a count per cluster. The
scores of a class are sorted once. Between two neighbouring positives the order of the negatives does not matter, only
how many were drawn there; so a sparse table (segments x clusters) times the counts gives all that AUC and average
precision need, for a batch of replicates at once. Everything else is linear in the counts.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.evidence._influence import LinearisedClass
from equipoise.evidence._order import HIGHEST_NARROW, Counts, SortedClass
from equipoise.metrics.figures import RANKING, Figures, derive_figures
from equipoise.metrics.ranking import transposed
from equipoise.metrics.tallies import Tallies, class_entries, row_entries
from equipoise.scores import Decisions, Scores
from equipoise.scores.ids import hash_ids

_BATCH_REPLICATES = 64  # replicates looked at together
_BATCH_ENTRIES = 4_000_000  # counts, or cumulative sums of one class, held at once
_CHUNK_ENTRIES = 8_000_000  # entries (rows x classes) prepared at once
SCANNED_ENTRIES = 1_000_000  # beyond, rankings are resampled to first order
_KEPT_ENTRIES = 16_000_000  # counts that are kept for the next arm
_TILE_FEATURES, _TILE_CLUSTERS = 128, 32
_THREADS = 2  # NumPy and SciPy let go of the interpreter while they count


@dataclasses.dataclass(frozen=True)
class Resampling:
    """How replicates are drawn.

    Args:
        replicates: how many.
        seed: the same seed and data give the same replicates.
    """

    replicates: int
    seed: int = 0


def number_clusters(scores: Scores) -> tuple[NDArray[np.int32], int]:
    """Return the number of the cluster of each row, and how many there are. Without groups each row is its own.

    Clusters are numbered by the hash of their name, so that the order of the rows does not change the replicates.
    """
    names = scores.ids if scores.groups is None else scores.groups
    keys, numbers = np.unique(hash_ids(names), return_inverse=True)
    return numbers.astype(np.int32), len(keys)


def draw_counts(clusters: int, resampling: Resampling) -> Iterator[Counts]:
    """Yield batches of counts, shape (clusters, batch); each column sums to `clusters`.

    Args:
        clusters: how many there are.
        resampling: number of replicates and seed; the counts follow from them, not from the batches.
    """
    if clusters * resampling.replicates <= _KEPT_ENTRIES:
        yield from _kept_counts(clusters, resampling)
    else:
        yield from _drawn_counts(clusters, resampling)


@functools.lru_cache(maxsize=2)
def _kept_counts(clusters: int, resampling: Resampling) -> tuple[Counts, ...]:
    """The counts of a small table: many arms that are compared are drawn by the same ones."""
    kept = tuple(_drawn_counts(clusters, resampling))
    for counts in kept:
        counts.flags.writeable = False
    return kept


def _drawn_counts(clusters: int, resampling: Resampling) -> Iterator[Counts]:
    random = np.random.default_rng(resampling.seed)
    batch = int(np.clip(_BATCH_ENTRIES // clusters, 1, _BATCH_REPLICATES))
    for start in range(0, resampling.replicates, batch):
        size = min(batch, resampling.replicates - start)
        drawn = random.integers(0, clusters, size=(size, clusters))
        drawn += np.arange(size)[:, None] * clusters
        counts = np.bincount(drawn.ravel(), minlength=size * clusters).reshape(size, clusters)
        narrow = counts.max() <= HIGHEST_NARROW
        yield counts.T.astype(np.int16, order="C") if narrow else counts.T.astype(np.int32, order="C")


def _cluster_sums(entries: Mapping[str, NDArray], clusters: NDArray[np.int32], count: int) -> Floats:
    """Return what is linear in the rows, summed over the rows of each cluster.

    Args:
        entries: name to (rows,) or (rows, classes); what is true or false is counted.
        clusters: number of the cluster of each row, shape (rows,).
        count: number of clusters.

    Returns:
        (names x classes, clusters), names slowest.
    """
    sums = [
        np.bincount(clusters[np.flatnonzero(column)], minlength=count).astype(np.float64)
        if column.dtype == np.bool_
        else np.bincount(clusters, weights=column, minlength=count)
        for one in entries.values()
        for column in transposed(one.reshape(len(clusters), -1))
    ]
    return np.array(sums, dtype=np.float64).reshape(len(sums), count)


@dataclasses.dataclass(frozen=True, eq=False)
class _Prepared:
    """Part of the classes, ready to be resampled: sorted orders, and sums per cluster of what is linear."""

    rankings: Sequence[SortedClass | LinearisedClass]
    linear: Floats  # (features, clusters)

    def replicate(self, counts: Counts) -> tuple[Floats, Floats]:
        """Return (replicates, 2, rankings) of AUC and AP, and (replicates, features) of linear sums."""
        known = [ranking.per_cluster for ranking in self.rankings]
        sums = _small_products(np.concatenate([*known, self.linear]), counts.astype(np.float64))
        ranked = np.empty((counts.shape[1], 2, len(self.rankings)))
        for index, ranking in enumerate(self.rankings):
            ranked[:, 0, index], ranked[:, 1, index] = ranking.replicate(counts, sums[2 * index : 2 * index + 2])
        return ranked, sums[2 * len(self.rankings) :].T


def _small_products(linear: Floats, counts: Floats) -> Floats:
    """Return ``linear @ counts``, bit by bit.

    Of large products OpenBLAS starts threads of its own. Beside the threads that are here already, they wait for each
    other so long that it takes five times the time; up to 128 x 32 x 64 it starts none.
    """
    result = np.zeros((len(linear), counts.shape[1]))
    for feature in range(0, len(linear), _TILE_FEATURES):
        rows = result[feature : feature + _TILE_FEATURES]
        for cluster in range(0, len(counts), _TILE_CLUSTERS):
            chosen = slice(cluster, cluster + _TILE_CLUSTERS)
            rows += linear[feature : feature + _TILE_FEATURES, chosen] @ counts[chosen]
    return result


@dataclasses.dataclass(frozen=True)
class _Names:
    """Names of what is linear: of each class, and of the rows."""

    of_classes: tuple[str, ...]
    of_rows: tuple[str, ...]


def resample_figures(
    scores: Scores,
    decisions: Decisions | None,
    averaged: dict[str, NDArray[np.bool_]],
    resampling: Resampling,
    *,
    metrics: Collection[str] | None = None,
) -> Figures:
    """Return the figures of every replicate: `per_class` of shape (replicates, classes), `overall` (replicates,).

    Args:
        scores: what was judged, at natural prevalence.
        decisions: predictions for the same rows, or None.
        averaged: for each metric the classes that its macro average is over; one that a replicate has no case of counts
            there with its mean over the other replicates.
        resampling: number of replicates and seed.
        metrics: full names of the figures that are looked at, such as "macro_auc" or "qwk"; the others may be NaN. None
            for all: of many classes pooled, AUC and AP take as long as all else together.
    """
    wanted = ("auc", "ap", "micro_auc", "micro_ap") if metrics is None else metrics
    ranked = any(name.removeprefix("macro_").removeprefix("weighted_") in RANKING for name in wanted)
    clusters, count = number_clusters(scores)
    of_rows = row_entries(scores, decisions)
    truth, values = scores.table(), scores.ranking_table()
    order = SortedClass if truth.size <= SCANNED_ENTRIES else LinearisedClass

    def pool_entries() -> list[SortedClass | LinearisedClass]:
        if truth.shape[1] == 1 or not {"micro_auc", "micro_ap"} & set(wanted):
            return []
        return [order(truth.ravel(), values.ravel(), np.repeat(clusters, truth.shape[1]), count)]

    aside = ThreadPoolExecutor(1)  # the long sort of all entries goes on beside those of the classes
    pooled = aside.submit(pool_entries)
    aside.shutdown(wait=False)
    width, parts = max(1, _CHUNK_ENTRIES // len(truth)), []
    for start in range(0, truth.shape[1], width):
        chosen = slice(start, min(start + width, truth.shape[1]))
        columns = zip(transposed(truth[:, chosen]), transposed(values[:, chosen]), strict=True) if ranked else ()
        rankings = [order(labels, ranks, clusters, count) for labels, ranks in columns]
        of_classes = class_entries(scores, decisions, chosen)
        prepared = [_Prepared(rankings, _cluster_sums(of_classes, clusters, count))]
        if not start:
            prepared.append(_Prepared(pooled.result(), _cluster_sums(of_rows, clusters, count)))
        parts += _run(prepared, count, resampling)
    overall_sums, named = parts.pop(1), _Names(tuple(of_classes), tuple(of_rows))
    return derive_figures(_assemble(scores.task, named, parts, overall_sums, truth.shape[1]), averaged)


def _run(prepared: list[_Prepared], count: int, resampling: Resampling) -> list[tuple[Floats, Floats]]:
    """Return the sums of all replicates; batches are drawn one after the other and looked at by some threads."""
    waiting: deque[Future] = deque()
    done = []
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        for counts in draw_counts(count, resampling):
            waiting.append(pool.submit(lambda drawn: [one.replicate(drawn) for one in prepared], counts))
            if len(waiting) > _THREADS:
                done.append(waiting.popleft().result())
        done += [one.result() for one in waiting]
    return [
        (np.concatenate([batch[one][0] for batch in done]), np.concatenate([batch[one][1] for batch in done]))
        for one in range(len(prepared))
    ]


def _assemble(
    task: str, named: _Names, parts: list[tuple[Floats, Floats]], overall: tuple[Floats, Floats], classes: int
) -> Tallies:
    """Return the sums of all replicates as `Tallies` with a leading axis of replicates."""
    ranked = np.concatenate([part[0] for part in parts], axis=-1)
    if not ranked.shape[-1]:
        ranked = np.full((len(ranked), 2, classes), np.nan)
    linear = np.concatenate([part[1].reshape(len(part[1]), len(named.of_classes), -1) for part in parts], axis=-1)
    pooled = overall[0][..., 0] if overall[0].shape[-1] else np.full((len(ranked), 2), np.nan)
    return Tallies(
        task=task,
        auc=ranked[:, 0],
        ap=ranked[:, 1],
        micro_auc=pooled[:, 0],
        micro_ap=pooled[:, 1],
        of_classes={name: linear[:, index] for index, name in enumerate(named.of_classes)},
        of_rows={name: overall[1][:, index] for index, name in enumerate(named.of_rows)},
    )
