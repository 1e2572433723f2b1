"""Bootstrap replicates of every metric, by integer resampling counts on the sorted order.

A replicate draws as many clusters (patients) with replacement as there are, and is nothing but a count per cluster. The
scores of a class are sorted once. Between two neighbouring positives the order of the negatives does not matter, only
how many were drawn there; so a sparse table (segments x clusters) times the counts gives all that AUC and average
precision need, for a batch of replicates at once. Everything else is linear in the counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics.figures import (
    Figures,
    Tallies,
    derive_figures,
    entry_losses,
    outcome_entries,
    row_matches,
    squared_distances,
)
from equipoise.metrics.outcomes import Outcomes, divide
from equipoise.scores import Decisions, Scores
from equipoise.scores.ids import hash_ids

Counts = NDArray[np.int32]  # (clusters, replicates): how often each replicate drew each cluster

_BATCH_ENTRIES = 4_000_000  # counts held at once
_CACHE_ENTRIES = 32_768  # counts scanned at once, so that they stay in the cache
_CHUNK_ENTRIES = 2_000_000  # entries (rows x classes) prepared at once
_POOLED_ENTRIES = 20_000_000  # beyond, the ranking of all entries pooled gets no interval


@dataclasses.dataclass(frozen=True)
class Resampling:
    """How replicates are drawn.

    Args:
        replicates: how many.
        seed: the same seed and data give the same replicates.
    """

    replicates: int
    seed: int = 0


def number_clusters(scores: Scores) -> tuple[NDArray[np.int64], int]:
    """Return the number of the cluster of each row, and how many there are. Without groups each row is its own.

    Clusters are numbered by the hash of their name, so that the order of the rows does not change the replicates.
    """
    names = scores.ids if scores.groups is None else scores.groups
    keys, numbers = np.unique(hash_ids(names), return_inverse=True)
    return numbers.astype(np.int64), len(keys)


def draw_counts(clusters: int, resampling: Resampling) -> Iterator[Counts]:
    """Yield batches of counts, shape (clusters, batch); each column sums to `clusters`."""
    random = np.random.default_rng(resampling.seed)
    batch = int(np.clip(_BATCH_ENTRIES // clusters, 1, 64))
    for start in range(0, resampling.replicates, batch):
        size = min(batch, resampling.replicates - start)
        drawn = random.integers(0, clusters, size=(size, clusters))
        drawn += np.arange(size)[:, None] * clusters
        counts = np.bincount(drawn.ravel(), minlength=size * clusters).reshape(size, clusters)
        yield np.ascontiguousarray(counts.T, dtype=np.int32)


class _Ranking:
    """The sorted order of one class, ready to be resampled."""

    def __init__(self, labels: Floats, values: Floats, clusters: NDArray[np.int64], count: int) -> None:
        known = ~np.isnan(labels)
        order = np.argsort(values[known])[::-1]
        ordered, hits = values[known][order], labels[known][order] == 1
        columns = clusters[known][order]
        block = np.concatenate(([0], np.cumsum(ordered[1:] != ordered[:-1]))) if len(ordered) else np.zeros(0, np.int64)
        with_hit = np.unique(block[hits])
        self.steps = len(with_hit)
        # Blocks with a positive are steps. A negative tied with step g is in segment 2 g + 1, one before it in 2 g.
        after = np.searchsorted(with_hit, block)
        tied = np.zeros(len(block), dtype=bool)
        tied[after < self.steps] = with_hit[after[after < self.steps]] == block[after < self.steps]
        self.ties = bool((tied & ~hits).any())
        segment = 2 * after + tied if self.ties else after
        bins = np.where(hits, after, self.steps + segment)
        self.bins = self.steps + (2 * self.steps if self.ties else self.steps) + 1
        self.table = _sparse_ones(bins, columns, (self.bins, count))

    def replicate(self, counts: Counts) -> tuple[Floats, Floats]:
        """Return AUC and average precision of each replicate; NaN without positives or without negatives."""
        sums = _transposed(self.table @ counts)  # (replicates, bins): cumulative sums run along memory
        width = max(1, _CACHE_ENTRIES // self.bins)
        parts = [self._scan(sums[start : start + width]) for start in range(0, len(sums), width)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _scan(self, sums: Counts) -> tuple[Floats, Floats]:
        hits, misses = sums[:, : self.steps], np.cumsum(sums[:, self.steps :], axis=1, dtype=np.int32)
        found = np.cumsum(hits, axis=1, dtype=np.int32)
        positives, negatives = hits.sum(axis=1, dtype=np.float64), misses[:, -1].astype(np.float64)
        before = misses[:, 0:-1:2] if self.ties else misses[:, :-1]
        through = misses[:, 1::2] if self.ties else before
        weights = hits.astype(np.float64)
        lost = np.vecdot(weights, before)
        if self.ties:
            lost = (lost + np.vecdot(weights, through)) / 2
        # Where nothing was drawn so far the weight is 0 as well, so that any precision but 0 / 0 will do.
        precision = found / np.maximum(found + through, 1)
        both = positives * negatives
        return 1.0 - divide(lost, both), np.where(both > 0, divide(np.vecdot(weights, precision), positives), np.nan)


def _transposed(table: Counts) -> Counts:
    """Return the transpose in its own memory, copied block by block so that both sides stay in the cache."""
    result = np.empty(table.shape[::-1], dtype=table.dtype)
    for start in range(0, len(table), 1024):
        result[:, start : start + 1024] = table[start : start + 1024].T
    return result


def _sparse_ones(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> Any:
    from scipy import sparse

    return sparse.csr_matrix((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=shape)


def _cluster_sums(entries: NDArray, clusters: NDArray[np.int64], count: int) -> Floats:
    """Return the sums of entries (rows, features) over the rows of each cluster, shape (features, clusters)."""
    columns = [np.bincount(clusters, weights=entries[:, one], minlength=count) for one in range(entries.shape[1])]
    return np.array(columns, dtype=np.float64).reshape(entries.shape[1], count)


@dataclasses.dataclass(frozen=True, eq=False)
class _Prepared:
    """Part of the classes, ready to be resampled: sorted orders, and sums per cluster of what is linear."""

    rankings: list[_Ranking]
    linear: Floats  # (features, clusters)

    def replicate(self, counts: Counts) -> tuple[Floats, Floats]:
        """Return (replicates, 2, rankings) of AUC and AP, and (replicates, features) of linear sums."""
        ranked = [ranking.replicate(counts) for ranking in self.rankings]
        sums = self.linear @ counts.astype(np.float64)
        return np.moveaxis(np.array(ranked).reshape(len(ranked), 2, counts.shape[1]), -1, 0).transpose(0, 2, 1), sums.T


def resample_figures(
    scores: Scores,
    decisions: Decisions | None,
    averaged: dict[str, NDArray[np.bool_]],
    resampling: Resampling,
) -> Figures:
    """Return every figure of every replicate: `per_class` of shape (replicates, classes), `overall` (replicates,).

    Args:
        scores: what was judged, at natural prevalence.
        decisions: predictions for the same rows, or None.
        averaged: for each metric the classes that its macro average is over; one that a replicate has no case of counts
            there with its mean over the other replicates.
        resampling: number of replicates and seed.
    """
    clusters, count = number_clusters(scores)
    truth, values = scores.table(), scores.ranking_table()
    width = max(1, _CHUNK_ENTRIES // len(truth))
    parts = []
    for start in range(0, truth.shape[1], width):
        chosen = slice(start, min(start + width, truth.shape[1]))
        rankings = [
            _Ranking(truth[:, one], values[:, one], clusters, count) for one in range(chosen.start, chosen.stop)
        ]
        linear = _cluster_sums(_class_entries(scores, decisions, chosen), clusters, count)
        parts.append(_run(_Prepared(rankings, linear), count, resampling))
    pooled = []
    if truth.shape[1] > 1 and truth.size <= _POOLED_ENTRIES:
        pooled = [_Ranking(truth.ravel(), values.ravel(), np.repeat(clusters, truth.shape[1]), count)]
    overall = _run(
        _Prepared(pooled, _cluster_sums(_row_entries(scores, decisions), clusters, count)), count, resampling
    )
    return derive_figures(_assemble(scores, decisions is not None, parts, overall), averaged)


def _run(prepared: _Prepared, count: int, resampling: Resampling) -> tuple[Floats, Floats]:
    batches = [prepared.replicate(counts) for counts in draw_counts(count, resampling)]
    ranked, linear = (np.concatenate(one) for one in zip(*batches, strict=True))
    return ranked, linear


def _class_entries(scores: Scores, decisions: Decisions | None, chosen: slice) -> Floats:
    """Return what is linear in each class, shape (rows, 7 or 3 features x classes), features slowest."""
    truth = scores.table()[:, chosen]
    blocks: list[NDArray] = []
    if not scores.exclusive:
        squared, logs = (losses[:, chosen] for losses in entry_losses(scores))
        blocks += [np.nan_to_num(squared), np.nan_to_num(logs), ~np.isnan(truth)]
    if decisions is not None:
        blocks += list(np.moveaxis(outcome_entries(truth, decisions.table()[:, chosen]), -1, 0))
    return np.concatenate(blocks, axis=1, dtype=np.float64) if blocks else np.zeros((len(truth), 0))


def _row_entries(scores: Scores, decisions: Decisions | None) -> Floats:
    """Return what is linear in the rows, shape (rows, features): losses of exclusive classes, matches, distances."""
    blocks: list[NDArray] = []
    if scores.exclusive:
        squared, logs = entry_losses(scores)
        blocks += [np.nan_to_num(squared), np.nan_to_num(logs), ~np.isnan(logs)]
    if decisions is not None:
        blocks.append(row_matches(scores.table(), decisions.table()))
        if scores.exclusive:
            blocks.append(np.nan_to_num(squared_distances(scores, decisions))[:, None])
    return np.concatenate(blocks, axis=1, dtype=np.float64) if blocks else np.zeros((len(scores), 0))


def _assemble(
    scores: Scores, decided: bool, parts: list[tuple[Floats, Floats]], overall: tuple[Floats, Floats]
) -> Tallies:
    """Return the sums of all replicates as `Tallies` with a leading axis of replicates."""
    ranked = np.concatenate([part[0] for part in parts], axis=-1)
    features = (0 if scores.exclusive else 3) + (4 if decided else 0)
    blocks = [part[1].reshape(len(part[1]), features, part[0].shape[-1]) for part in parts]
    linear = np.concatenate(blocks, axis=-1)
    rows = overall[1]
    if scores.exclusive:
        losses, linear_outcomes, rows = [rows[:, one : one + 1] for one in range(3)], linear, rows[:, 3:]
    else:
        losses, linear_outcomes = [linear[:, one] for one in range(3)], linear[:, 3:]
    pooled = overall[0][..., 0] if overall[0].shape[-1] else np.full((len(ranked), 2), np.nan)
    return Tallies(
        task=scores.task,
        auc=ranked[:, 0],
        ap=ranked[:, 1],
        micro_auc=pooled[:, 0],
        micro_ap=pooled[:, 1],
        squared=losses[0],
        logs=losses[1],
        known=losses[2],
        outcomes=Outcomes(*(linear_outcomes[:, one] for one in range(4))) if decided else None,
        matches=rows[:, :2] if decided else None,
        disagreement=rows[:, 2] if decided and scores.exclusive else None,
    )
