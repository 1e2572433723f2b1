"""Streams a table's label columns, turning each row into the number of its distinct cell pattern.

A table of 20 million rows has few distinct patterns of labels, so every pattern is parsed once, with the row where it
first stood for the error message, and the rest is arithmetic on small integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError, listed, nearest
from equipoise.labels._cells import MISSING, NEGATIVE_WORDS, PAIRS, canonical, is_missing, pair_of
from equipoise.labels._groups import text_buffers
from equipoise.labels.table import TableSource, codes_of

if TYPE_CHECKING:
    import pyarrow

NEGATIVE, POSITIVE, UNKNOWN, DROPPED = 0, 1, 2, 3
MAX_PARTS = 30_000  # more distinct labels than this is a column of names or numbers, not of classes
MAX_CELLS = 200_000
MISSING_PART = ""
# First bytes of a cell that may be empty, in any script, or a word for "missing".
_SPACE = np.zeros(256, np.bool_)
_SPACE[[*range(33), *range(128, 256)]] = True
_OPENS_MISSING = np.zeros(256, np.bool_)
_OPENS_MISSING[[ord(letter) for word in MISSING for letter in word[:1] + word[:1].upper()]] = True


@dataclass(frozen=True)
class LabelSpec:
    """How the label columns are to be understood; see `read_labels` for each field."""

    columns: tuple[str, ...]
    separator: str | None = None
    ids: str | None = None
    groups: str | None = None
    task: str | None = None
    uncertain: str | None = None
    unknown: str = "unknown"
    negative: tuple[str, ...] = NEGATIVE_WORDS
    positive: str | None = None
    classes: tuple[str, ...] | None = None

    @property
    def wide(self) -> bool:
        """Whether each class has a 0/1 column of its own."""
        return len(self.columns) > 1 or (self.task == "multilabel" and self.separator is None)


@dataclass
class Batch:
    """One batch of rows.

    `labels` is (rows,) the number of each row's pattern from a `CellScan`, and (rows, classes) of NEGATIVE, POSITIVE,
    UNKNOWN or DROPPED from a `WideScan`.
    """

    start: int
    labels: NDArray[Any]
    groups: pyarrow.Array | None  # dictionary array
    ids: pyarrow.Array | None


class CellScan:
    """Scans one column, of classes or of joined findings; `cells` lists the distinct patterns.

    Each pattern is a tuple of part numbers (``parts`` names them). An unknown cell has the single part `MISSING_PART`,
    a dropped cell is None.
    """

    def __init__(self, source: TableSource, spec: LabelSpec) -> None:
        self.source, self.spec = source, spec
        self.cells: list[tuple[int, ...] | None] = []
        self.first_rows: list[int] = []
        self.texts: list[str] = []
        self.parts: dict[str, int] = {}
        self.negative_words: set[str] = set()
        self._codes: dict[str, int] = {}
        self._negative = {word.casefold() for word in spec.negative}

    def batches(self) -> Iterator[Batch]:
        """Yield the rows batch by batch."""
        for start, (column,), groups, ids in _columns(self.source, self.spec):
            numbers = codes_of(column)
            texts = column.dictionary.to_pylist()
            codes = np.fromiter(map(self._codes.get, texts, [-1] * len(texts)), np.int64, len(texts))
            for position in np.flatnonzero(codes < 0):
                row = start + int(np.argmax(numbers == position))
                codes[position] = self._new_code(texts[position], row)
            yield Batch(start, codes[numbers], groups, ids)

    def _new_code(self, text: str, row: int) -> int:
        if len(self.cells) >= MAX_CELLS or len(self.parts) > MAX_PARTS:
            raise DataError(
                f'{self.source.name}, column "{self.spec.columns[0]}" holds more than '
                f"{min(len(self.cells), len(self.parts)):,} different values (row {row + 1}: "
                f'"{_short(text)}"). It looks like names or numbers; give the column that holds the labels.'
            )
        code = self._codes[text] = len(self.cells)
        self.cells.append(self._parsed(text, row))
        self.texts.append(canonical(text))
        self.first_rows.append(row)
        return code

    def _parsed(self, text: str, row: int) -> tuple[int, ...] | None:
        spec, cell = self.spec, canonical(text)
        if is_missing(cell, spec.uncertain):
            return None if spec.unknown == "drop" else (self._part(MISSING_PART),)
        if spec.separator is None:
            return self._checked([cell], row)
        names = list(dict.fromkeys(canonical(part) for part in cell.split(spec.separator)))
        found = [name for name in names if name.casefold() not in self._negative]
        if "" in names or any(is_missing(name, spec.uncertain) for name in names):
            raise self._fault(row, cell, "has an empty or unknown part", "Correct the cell.")
        if len(found) < len(names):
            if found:
                raise self._fault(row, cell, "says both a finding and none", "Correct the cell.")
            self.negative_words.update(names)
            return ()
        return self._checked(found, row)

    def _checked(self, names: Sequence[str], row: int) -> tuple[int, ...] | None:
        allowed = self.spec.classes
        for name in names:
            if allowed is not None and name not in allowed:
                if self.spec.unknown == "drop":
                    return None
                raise DataError(
                    f'{self.source.place(row, self.spec.columns[0])}: "{_short(name)}" is not one of '
                    f'{listed(allowed, limit=20)}. Correct the cell, or pass unknown="drop".{nearest(name, allowed)}'
                )
        return tuple(sorted(self._part(name) for name in names))

    def _part(self, name: str) -> int:
        return self.parts.setdefault(name, len(self.parts))

    def _fault(self, row: int, cell: str, what: str, remedy: str) -> DataError:
        return DataError(f'{self.source.place(row, self.spec.columns[0])}: "{_short(cell)}" {what}. {remedy}')

    def part_bits(self) -> NDArray[np.uint64]:
        """Return (patterns, words): bit p of a pattern is set when it has part p."""
        bits = np.zeros((len(self.cells), max(1, -(-len(self.parts) // 64))), np.uint64)
        for code, cell in enumerate(self.cells):
            for part in cell or ():
                bits[code, part // 64] |= np.uint64(1 << (part % 64))
        return bits

    def dropped(self) -> NDArray[np.bool_]:
        """Return (patterns,) whether rows with the pattern are left out."""
        return np.array([cell is None for cell in self.cells], np.bool_)


class WideScan:
    """Scans one 0/1 column per class, parsing each distinct cell of a column once."""

    def __init__(self, source: TableSource, spec: LabelSpec) -> None:
        self.source, self.spec = source, spec
        self.words: set[str] = set()
        self._missing = {"unknown": UNKNOWN, "negative": NEGATIVE, "positive": POSITIVE, "drop": DROPPED}[spec.unknown]
        self._meanings: list[dict[str, int]] = [{} for _ in spec.columns]
        self._pairs: list[int | None] = [None] * len(spec.columns)

    def batches(self) -> Iterator[Batch]:
        """Yield the rows batch by batch."""
        for start, columns, groups, ids in _columns(self.source, self.spec):
            labels = np.empty((len(columns[0]), len(columns)), np.uint8)
            for index, column in enumerate(columns):
                numbers = codes_of(column)
                labels[:, index] = self._meaning(index, column.dictionary.to_pylist(), numbers, start)[numbers]
            yield Batch(start, labels, groups, ids)

    def _meaning(self, index: int, texts: list[str], numbers: NDArray[Any], start: int) -> NDArray[np.uint8]:
        meanings = self._meanings[index]
        for position, text in enumerate(texts):
            if text not in meanings:
                row = start + int(np.argmax(numbers == position))
                meanings[text] = self._parsed(canonical(text), index, row)
        return np.fromiter((meanings[text] for text in texts), np.uint8, len(texts))

    def _parsed(self, cell: str, index: int, row: int) -> int:
        spec = self.spec
        if is_missing(cell, spec.uncertain):
            return self._missing
        if spec.positive is not None:
            return POSITIVE if cell == spec.positive else NEGATIVE
        found = pair_of(cell)
        if found is None or self._pairs[index] not in (None, found[0]):
            raise DataError(self._not_binary(cell, index, row))
        self._pairs[index] = found[0]
        self.words.add(cell)
        return POSITIVE if found[1] else NEGATIVE

    def _not_binary(self, cell: str, index: int, row: int) -> str:
        pair = PAIRS[self._pairs[index] or 0]
        remedy = "Correct the cell."
        if cell.startswith("-") and cell[1:].isdigit():
            remedy = f"If it means uncertain, pass uncertain={cell}."
        elif len(self._meanings[index]) == 0 or cell.isdigit():
            remedy = "Correct the cell, leave the column out, or give one column of classes."
        return (
            f'{self.source.place(row, self.spec.columns[index])}: "{_short(cell)}" is not '
            f'"{pair[0]}", "{pair[1]}" or empty. {remedy}'
        )


def _columns(
    source: TableSource, spec: LabelSpec
) -> Iterator[tuple[int, list[Any], pyarrow.Array | None, pyarrow.Array | None]]:
    """Yield (first row, label columns, groups, ids) per batch; an empty group or id is an error."""
    encoded = [*spec.columns, *([spec.groups] if spec.groups is not None else [])]
    start = 0
    for arrays in source.batches(encoded, [spec.ids] if spec.ids is not None else []):
        ids = arrays.pop() if spec.ids is not None else None
        groups = arrays.pop() if spec.groups is not None else None
        if len(arrays[0]) == 0:
            continue
        if groups is not None and (blank := _blank(groups.dictionary)):
            row = start + int(np.argmax(np.isin(codes_of(groups), blank)))
            raise DataError(
                f"{source.place(row, spec.groups)} is empty: a row without a group may share a patient with any "
                "other. Fill the cell or remove the row."
            )
        if ids is not None:
            _check_ids(source, spec, ids, start)
        yield start, arrays, groups, ids
        start += len(arrays[0])


def _blank(texts: pyarrow.Array) -> list[int]:
    """Return the places of texts that name nothing; only texts whose first byte allows it are looked at."""
    data, starts = text_buffers(texts)
    first, lengths = np.append(data, np.uint8(0))[starts[:-1]], np.diff(starts)
    suspects = np.flatnonzero((lengths == 0) | _SPACE[first] | (_OPENS_MISSING[first] & (lengths <= 8)))
    return [place for place in suspects.tolist() if texts[place].as_py().strip().casefold() in MISSING]


def _check_ids(source: TableSource, spec: LabelSpec, ids: Any, start: int) -> None:
    empty = [n for n, text in enumerate(ids.to_pylist()) if not text or text.isspace()]
    if empty:
        place = source.place(start + empty[0], spec.ids)
        raise DataError(f"{place} is empty. Fill the cell, or leave out `ids` to use row numbers.")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
