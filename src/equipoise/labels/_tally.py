"""Adding up label patterns, whatever they come from, into a `Census`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._tasks import is_exclusive
from equipoise.labels._groups import GroupSets, GroupTally, gathered, hash_texts, packed, unpacked
from equipoise.labels.census import MAX_COMBINATIONS, Census

_PAIRED = 2_000  # classes; beyond this a table of pairs would need more than 32 MB
_ROWS = 1 << 16


class LabelTally:
    """Counts rows of labels, batch by batch, in memory that does not grow with the rows."""

    def __init__(self, task: str, classes: Sequence[str], *, grouped: bool) -> None:
        self.task, self.classes = task, tuple(classes)
        count = len(self.classes)
        self.rows = 0
        self.positives = np.zeros(count, np.int64)
        self.unknowns = np.zeros(count, np.int64)
        self._pairs = np.zeros((count, count), np.int64) if task == "multilabel" and count <= _PAIRED else None
        self._combinations: dict[bytes, int] | None = {} if task == "multilabel" else None
        self._groups = GroupTally() if grouped else None

    def add_rows(self, values: NDArray[Any], groups: NDArray[Any] | None) -> None:
        """Add labels, as `Labels.values`, with the group of each row."""
        if is_exclusive(self.task):
            self._add_indexes(values)
        else:
            for start in range(0, len(values), _ROWS):
                part = values[start : start + _ROWS].reshape(-1, len(self.classes))
                self.add_table(part == 1.0, np.isnan(part))
        if self._groups is not None and groups is not None:
            names, codes = _encoded(groups)
            self._groups.add(hash_texts(names), self._group_bits(values, codes, len(names)))

    def _group_bits(self, values: NDArray[Any], codes: NDArray[Any], groups: int) -> NDArray[np.uint64]:
        bits = np.zeros((groups, max(1, -(-len(self.classes) // 64))), np.uint64)
        if is_exclusive(self.task):
            known = np.flatnonzero(~np.isnan(values))
            which = values[known].astype(np.int64)
            flags = np.uint64(1) << (which % 64).astype(np.uint64)
            np.bitwise_or.at(bits, (codes[known], which // 64), flags)
            return bits
        for start in range(0, len(values), _ROWS):
            part = values[start : start + _ROWS].reshape(-1, len(self.classes)) == 1.0
            bits |= gathered(codes[start : start + _ROWS], packed(part), groups)
        return bits

    def _add_indexes(self, values: NDArray[Any]) -> None:
        known = values[~np.isnan(values)].astype(np.int64)
        self.rows += len(values)
        self.positives += np.bincount(known, minlength=len(self.classes))
        self.unknowns += len(values) - len(known)

    def add_values(self, values: NDArray[Any], counts: NDArray[np.int64]) -> None:
        """Add distinct labels, as `Labels.values`, that stand for `counts` rows each."""
        if is_exclusive(self.task):
            known = ~np.isnan(values)
            self.rows += int(counts.sum())
            np.add.at(self.positives, values[known].astype(np.int64), counts[known])
            self.unknowns += int(counts[~known].sum())
        else:
            table = values.reshape(-1, len(self.classes))
            self.add_patterns(table == 1.0, np.isnan(table), counts)

    def add_table(self, positive: NDArray[np.bool_], unknown: NDArray[np.bool_]) -> None:
        """Add (rows, classes) of flags."""
        if self._combinations is None and self._pairs is None:
            self.rows += len(positive)
            self.positives += positive.sum(axis=0)
            self.unknowns += unknown.sum(axis=0)
            return
        keys = np.column_stack([packed(positive), unknown.any(axis=1).astype(np.uint64)])
        distinct, counts = distinct_rows(keys)
        self.add_patterns(unpacked(distinct[:, :-1], len(self.classes)), None, counts, distinct)
        self.unknowns += unknown.sum(axis=0)

    def add_patterns(
        self,
        positive: NDArray[np.bool_],
        unknown: NDArray[np.bool_] | None,
        counts: NDArray[np.int64],
        keys: NDArray[np.uint64] | None = None,
    ) -> None:
        """Add distinct patterns that stand for `counts` rows each; `unknown` None leaves unknowns to the caller."""
        self.rows += int(counts.sum())
        # Whole numbers below 2^53 add up exactly in float64, and a float product runs in BLAS.
        weighted = positive.astype(np.float64) * counts[:, None]
        self.positives += weighted.sum(axis=0).astype(np.int64)
        if unknown is not None:
            self.unknowns += (unknown * counts[:, None]).sum(axis=0)
        if self._pairs is not None:
            self._pairs += (weighted.T @ positive).astype(np.int64)
        if self._combinations is not None:
            if keys is None:
                assert unknown is not None
                keys = np.column_stack([packed(positive), unknown.any(axis=1).astype(np.uint64)])
            self._add_combinations(keys, counts)

    def _add_combinations(self, keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> None:
        assert self._combinations is not None
        width = keys.shape[1] * 8
        blob = np.ascontiguousarray(keys).tobytes()
        for row, count in enumerate(counts.tolist()):
            if count:
                key = blob[row * width : (row + 1) * width]
                self._combinations[key] = self._combinations.get(key, 0) + count
        if len(self._combinations) > MAX_COMBINATIONS:
            self._combinations = None

    def census(self, source: str, notes: Sequence[str], sets: GroupSets | None = None) -> Census:
        """Return the record of what was added."""
        full, partial = self._named_combinations()
        if self._groups is not None:
            sets = self._groups.sets(len(self.classes))
        return Census(
            self.task, self.classes, self.rows, self.positives, self.rows - self.positives - self.unknowns,
            self.unknowns, full, partial, self._pairs, sets, "rows", source, tuple(notes),
        )  # fmt: skip

    def _named_combinations(self) -> tuple[dict[tuple[str, ...], int] | None, dict[tuple[str, ...], int] | None]:
        if self._combinations is None:
            return None, None
        full: dict[tuple[str, ...], int] = {}
        partial: dict[tuple[str, ...], int] = {}
        if self._combinations:
            words = np.frombuffer(b"".join(self._combinations), np.uint64).reshape(len(self._combinations), -1)
            table = unpacked(words[:, :-1], len(self.classes))
            for positive, flag, count in zip(table, words[:, -1], self._combinations.values(), strict=True):
                names = tuple(self.classes[index] for index in np.flatnonzero(positive))
                (partial if flag else full)[names] = count
        return full, partial


def distinct_rows(keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct rows of (rows, words) and how often each occurs."""
    codes = row_codes(keys)
    _, first, counts = np.unique(codes, return_index=True, return_counts=True)
    return keys[first], counts


def distinct_codes(*tables: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each distinct pattern of flags, and (rows,) the number of the pattern of each row.

    Patterns are numbered in an order that does not depend on the order of the rows.
    """
    _, first, codes = np.unique(
        row_codes(np.column_stack([packed(table) for table in tables])), return_index=True, return_inverse=True
    )
    return first, codes.reshape(-1)


def row_codes(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Return (rows,) a number that is the same for equal rows, in the order of the rows' contents."""
    codes = np.zeros(len(keys), np.int64)
    for word in range(keys.shape[1]):
        column, inverse = np.unique(keys[:, word], return_inverse=True)
        if len(column) > 1:
            # Numbered afresh after every word, so that the product of the two counts never overflows.
            codes = np.unique(codes * len(column) + inverse.reshape(-1), return_inverse=True)[1].reshape(-1)
    return codes


def _encoded(groups: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if groups.dtype.kind in "iu":
        names, codes = np.unique(groups, return_inverse=True)
        return names, codes.reshape(-1)
    numbers: dict[Any, int] = {}
    places = [numbers.setdefault(group, len(numbers)) for group in groups.tolist()]
    return np.array(list(numbers), dtype=object), np.array(places, np.int64)
