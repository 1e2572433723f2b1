"""Counting a table batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError
from equipoise.labels._groups import GroupTally, gathered, hash_texts, packed
from equipoise.labels._meaning import meaning_of, one_hot_values
from equipoise.labels._scan import DROPPED, POSITIVE, UNKNOWN, Batch, CellScan, LabelSpec, WideScan
from equipoise.labels._tally import LabelTally
from equipoise.labels.census import Census
from equipoise.labels.read import all_unknown, duplicate_ids, require_kept, require_rows, wide_notes
from equipoise.labels.table import TableSource, codes_of

if TYPE_CHECKING:
    import pyarrow


def count_table(source: TableSource, spec: LabelSpec) -> Census:
    """Return the census of the label columns that `spec` names."""
    return _count_wide(source, spec) if spec.wide else _count_cells(source, spec)


class _IdCheck:
    """Finds an id that stands twice, from 8 bytes per row."""

    def __init__(self, source: TableSource, spec: LabelSpec) -> None:
        self.source, self.spec = source, spec
        self._hashes: list[NDArray[np.uint64]] = []

    def add(self, batch: Batch) -> None:
        if batch.ids is not None:
            self._hashes.append(hash_texts(batch.ids))

    def finish(self) -> None:
        if not self._hashes:
            return
        hashes = np.sort(np.concatenate(self._hashes))
        if not np.any(hashes[1:] == hashes[:-1]):
            return
        scan = WideScan(self.source, self.spec) if self.spec.wide else CellScan(self.source, self.spec)
        batches = list(scan.batches())
        names = [name for batch in batches if batch.ids is not None for name in batch.ids.to_pylist()]
        if len(set(names)) < len(names):
            states = np.concatenate([batch.labels for batch in batches])
            texts = scan.texts if isinstance(scan, CellScan) else None
            raise DataError(duplicate_ids(self.source, self.spec, names, states, texts))


def _count_cells(source: TableSource, spec: LabelSpec) -> Census:
    scan, groups, ids = CellScan(source, spec), GroupTally(), _IdCheck(source, spec)
    counts = np.zeros(0, np.int64)
    bits, kept = scan.part_bits(), ~scan.dropped()
    for batch in scan.batches():
        if len(scan.cells) > len(counts):
            counts = np.append(counts, np.zeros(len(scan.cells) - len(counts), np.int64))
            bits, kept = scan.part_bits(), ~scan.dropped()
        counts += np.bincount(batch.labels, minlength=len(counts))
        _add_groups(groups, batch.groups, bits[batch.labels], kept[batch.labels])
        ids.add(batch)
    require_rows(source, len(counts))
    require_kept(source, spec, int(counts.sum()), int(counts[kept].sum()))
    ids.finish()
    meaning = meaning_of(scan, counts)
    tally = LabelTally(meaning.task, meaning.classes, grouped=False)
    tally.add_values(meaning.values[kept], counts[kept])
    sets = groups.sets(len(scan.parts)).mapped(meaning.sources) if spec.groups is not None else None
    return tally.census(source.name, meaning.notes, sets)


def _count_wide(source: TableSource, spec: LabelSpec) -> Census:
    scan, groups, ids = WideScan(source, spec), GroupTally(), _IdCheck(source, spec)
    task = spec.task or "multilabel"
    tally = LabelTally(task, spec.columns, grouped=False)
    rows = 0
    for batch in scan.batches():
        states = batch.labels
        rows += len(states)
        kept = ~(states == DROPPED).any(axis=1)
        if task == "multiclass":
            table = np.array([0.0, 1.0, np.nan, np.nan], np.float32)[states]
            tally.add_rows(one_hot_values(table, source.name, spec.columns, batch.start, kept)[kept], None)
        else:
            tally.add_table(states[kept] == POSITIVE, states[kept] == UNKNOWN)
        _add_groups(groups, batch.groups, packed(states == POSITIVE), kept)
        ids.add(batch)
    require_rows(source, rows)
    require_kept(source, spec, rows, tally.rows)
    empty = np.flatnonzero(tally.unknowns == tally.rows)
    if len(empty):
        raise DataError(all_unknown(source, spec.columns[empty[0]]))
    ids.finish()
    sets = groups.sets(len(spec.columns)) if spec.groups is not None else None
    return tally.census(source.name, wide_notes(scan, task), sets)


def _add_groups(
    tally: GroupTally, groups: pyarrow.Array | None, bits: NDArray[np.uint64], kept: NDArray[np.bool_]
) -> None:
    if groups is None:
        return
    codes: NDArray[Any] = codes_of(groups)
    union = gathered(codes, bits, len(groups.dictionary))
    hashes = hash_texts(groups.dictionary)
    if not kept.all():
        seen = np.zeros(len(hashes), np.bool_)
        seen[codes[kept]] = True
        union = gathered(codes[kept], bits[kept], len(hashes))[seen]
        hashes = hashes[seen]
    tally.add(hashes, union)
