"""Reweighted rows: bootstrap samples and folds of whole groups, counted at every cut without sorting again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics.ranking import RankedClass

FOLDS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """The groups of rows that are drawn or left out together.

    Args:
        member: number of the group of each row, shape (rows,). Groups are numbered by their keys, so that the order of
            rows changes nothing.
        count: number of groups.
        seed: of all draws.
    """

    member: NDArray[np.int64]
    count: int
    seed: int = 0

    @classmethod
    def of(cls, keys: NDArray[np.uint64], *, seed: int = 0) -> Groups:
        """Return groups of rows with equal 64-bit keys, shape (rows,)."""
        different, member = np.unique(keys, return_inverse=True)
        return cls(member, len(different), seed)

    def draws(self, replicates: int) -> Iterator[NDArray[np.int64]]:
        """Yield how often each group was drawn in each bootstrap sample, shape (groups,)."""
        random = np.random.default_rng(self.seed)
        for _ in range(replicates):
            yield np.bincount(random.integers(0, self.count, self.count), minlength=self.count)

    def folds(self, count: int = FOLDS) -> NDArray[np.int64]:
        """Return the number of a fold for each row, shape (rows,); folds hold as many groups, one more or less."""
        order = np.random.default_rng((self.seed, 1)).permutation(self.count)
        fold = np.empty(self.count, dtype=np.int64)
        fold[order] = np.arange(self.count) % min(count, self.count)
        return fold[self.member]


@dataclasses.dataclass(frozen=True, eq=False)
class Bins:
    """The rows of one class, put once between the cuts that may be the best, so that reweighted rows are only summed.

    Negatives below the last such cut are left out (they are most of the rows): only their sum is needed, and that is
    what is left of the sum of all.

    Args:
        rows: numbers of the rows that are kept.
        places: for each of them the first cut that predicts it; negatives come after `size` + 1 places for positives.
        size: number of cuts that may be the best, but for cut 0, which predicts nothing.
        known: which rows have a label; None where all have.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    size: int
    known: NDArray[np.bool_] | None

    @classmethod
    def of(cls, ranked: RankedClass, labels: Floats, values: Floats, size: int | None = None) -> Bins:
        """Return the bins of a class.

        Args:
            ranked: the class, sorted.
            labels: 0, 1 or NaN, shape (rows,).
            values: shape (rows,).
            size: number of cuts to keep; None keeps all.
        """
        size = len(ranked.values) if size is None else size
        positive = labels == 1
        kept = positive.copy()
        if size:
            kept |= (labels == 0) & (values >= ranked.values[size - 1])
        rows = np.flatnonzero(kept)
        ascending = ranked.values[:size][::-1]
        places = size + 1 - np.searchsorted(ascending, values[rows], side="right")  # size + 1: predicted by none
        places = np.where(positive[rows], places, places + size + 1)
        unknown = np.isnan(labels)
        return cls(rows, places, size, ~unknown if unknown.any() else None)

    def count(self, weights: Floats, total: float) -> Counts:
        """Return true and false positives at cuts 0 to `size`, and all positives and negatives, of reweighted rows.

        Args:
            weights: non-negative weight per row, shape (rows,).
            total: their sum.

        Example:
            >>> from equipoise.metrics.ranking import rank_class
            >>> labels, values = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.4, 0.1])
            >>> bins = Bins.of(rank_class(labels, values), labels, values)
            >>> bins.count(np.array([1.0, 3.0, 1.0, 1.0]), 6.0)
            (array([0., 1., 2.]), array([0., 0., 3.]), 2.0, 4.0)
        """
        size = self.size
        sums = np.bincount(self.places, weights[self.rows], minlength=2 * size + 3).astype(np.float64, copy=False)
        hits, alarms = np.cumsum(sums[: size + 2]), sums[size + 1 : 2 * size + 2]
        positives = float(hits[-1])
        alarms[0] = 0.0  # it held the positives that no cut predicts
        known = total if self.known is None else float(weights[self.known].sum())
        return hits[:-1], np.cumsum(alarms), positives, known - positives

    def count_many(self, weights: NDArray[np.int32]) -> Counts:
        """Return what `count` does for several weightings at once, each of shape (weightings, ...).

        Args:
            weights: whole numbers, shape (weightings, rows).
        """
        size, order = self.size, np.argsort(self.places, kind="stable")
        places, starts = np.unique(self.places[order], return_index=True)
        sums = np.zeros((len(weights), 2 * size + 3))
        if len(places):
            sums[:, places] = np.add.reduceat(weights[:, self.rows[order]], starts, axis=1)
        hits, alarms = np.cumsum(sums[:, : size + 2], axis=1), sums[:, size + 1 : 2 * size + 2]
        positives = hits[:, -1:].copy()
        alarms[:, 0] = 0.0
        known = (weights if self.known is None else weights[:, self.known]).sum(axis=1, keepdims=True)
        return hits[:, :-1], np.cumsum(alarms, axis=1), positives, known - positives


Counts = tuple[Floats, Floats, Any, Any]  # positives and negatives: a number, or one a weighting
