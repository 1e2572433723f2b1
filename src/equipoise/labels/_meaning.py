"""Decides what a scanned column of classes means: the task, the classes, and the value of each distinct pattern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, listed
from equipoise.labels._cells import PAIRS, in_order, is_grade, pair_of, spelling_notes
from equipoise.labels._scan import MISSING_PART, CellScan


@dataclass(frozen=True, eq=False)
class Meaning:
    """What the patterns of a `CellScan` are.

    Attributes:
        task: binary, multiclass, ordinal or multilabel.
        classes: their names.
        values: (patterns,) or (patterns, classes), as `Labels.values`.
        sources: for each class the parts that stand for it.
        notes: sentences for the user.
    """

    task: str
    classes: tuple[str, ...]
    values: NDArray[np.float32]
    sources: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]


def meaning_of(scan: CellScan, counts: NDArray[np.int64]) -> Meaning:
    """Return what the scanned column means.

    Args:
        scan: a scan that has run to its end.
        counts: (patterns,) how many rows have each pattern.

    Raises:
        DataError: the column is empty, all unknown, or could be read in more than one way.
        ArgumentError: the stated task does not fit the column.
    """
    names = [name for name in scan.parts if name != MISSING_PART]
    if not names and scan.spec.classes is None and not scan.negative_words:
        raise DataError(
            f'{scan.source.name}, column "{scan.spec.columns[0]}": every label is empty or unknown. '
            "Give another column, or remove it."
        )
    if scan.spec.separator is not None:
        return _joined(scan, counts, names)
    task, notes = _task(scan, names)
    if task == "binary":
        return _binary(scan, names, notes)
    return _exclusive(scan, counts, names, task, notes)


def _part_counts(scan: CellScan, counts: NDArray[np.int64]) -> dict[str, int]:
    total = np.zeros(len(scan.parts), np.int64)
    for cell, count in zip(scan.cells, counts, strict=True):
        for part in cell or ():
            total[part] += count
    return {name: int(total[part]) for name, part in scan.parts.items() if name != MISSING_PART}


def _joined(scan: CellScan, counts: NDArray[np.int64], names: list[str]) -> Meaning:
    spec = scan.spec
    classes = list(spec.classes) if spec.classes is not None else in_order(names)
    notes = [f'task: multilabel, because findings are joined by "{spec.separator}".']
    if scan.negative_words:
        notes.append(f"{listed(in_order(scan.negative_words))} counts as none of the classes.")
    if not any(len(cell or ()) > 1 for cell in scan.cells):
        notes.append(f'No cell holds two findings joined by "{spec.separator}".')
    if spec.classes is None:
        notes += spelling_notes(_part_counts(scan, counts))
    if not classes:
        raise DataError(
            f'{scan.source.name}, column "{spec.columns[0]}" holds no finding, only {listed(scan.negative_words)}. '
            "Name the possible findings with `classes`."
        )
    column = {scan.parts[name]: index for index, name in enumerate(classes) if name in scan.parts}
    values = np.zeros((len(scan.cells), len(classes)), np.float32)
    missing = scan.parts.get(MISSING_PART)
    for code, cell in enumerate(scan.cells):
        if cell is None or (missing is not None and missing in cell):
            values[code] = 0.0 if spec.unknown == "negative" else np.nan
        else:
            values[code, [column[part] for part in cell]] = 1.0
    sources = tuple((scan.parts[name],) if name in scan.parts else () for name in classes)
    return Meaning("multilabel", tuple(classes), values, sources, tuple(notes))


def _task(scan: CellScan, names: list[str]) -> tuple[str, list[str]]:
    """Return the task of a column of classes and the notes that say how it was found."""
    spec = scan.spec
    if spec.task is not None:
        return spec.task, [f"task: {spec.task}, as stated."]
    if spec.positive is not None:
        return "binary", ["task: binary, because the positive class is named."]
    if spec.classes is not None:
        return "multiclass", ["task: multiclass, because the classes are named."]
    pairs = [pair_of(name) for name in names]
    if None not in pairs and len({pair[0] for pair in pairs if pair is not None}) == 1:
        return "binary", ["task: binary, because every label is one of two opposite words."]
    if all(is_grade(name) for name in names) and {int(name) for name in names} == set(range(len(names))):
        why = f"because the labels are the grades 0 to {len(names) - 1}"
        return "ordinal", [f'task: ordinal, {why}. If they are mere names, pass task="multiclass".']
    _refuse_joined(scan, names)
    if len(names) == 2:
        raise DataError(
            f'{scan.source.name}, column "{spec.columns[0]}" holds the two labels {listed(in_order(names))}, and which '
            f'is positive is never guessed. Pass positive="{in_order(names)[0]}" or positive="{in_order(names)[1]}", '
            'or task="multiclass".'
        )
    if len(names) == 1:
        raise DataError(
            f'{scan.source.name}, column "{spec.columns[0]}" holds only the label {listed(names)}; there is nothing '
            "to tell apart. Name all labels with `classes`, or give another column."
        )
    return "multiclass", [f"task: multiclass, because the column holds {len(names):,} different labels."]


def _refuse_joined(scan: CellScan, names: list[str]) -> None:
    single = set(names)
    for mark in ("|", ";", ","):
        for name in names:
            parts = [part.strip() for part in name.split(mark)]
            if len(parts) > 1 and any(part in single for part in parts):
                raise DataError(
                    f'{scan.source.name}, column "{scan.spec.columns[0]}": "{name}" looks like several findings '
                    f'joined by "{mark}". Pass separator="{mark}", or task="multiclass" if it is one class.'
                )


def _binary(scan: CellScan, names: list[str], notes: list[str]) -> Meaning:
    spec = scan.spec
    if spec.positive is not None:
        positive = {spec.positive}
        others = [name for name in names if name != spec.positive]
        if spec.positive not in names:
            raise DataError(
                f'{scan.source.name}, column "{spec.columns[0]}" never holds the positive label "{spec.positive}". '
                f"It holds {listed(in_order(names))}."
            )
        notes.append(f'positive: "{spec.positive}"; negative: {listed(in_order(others))}.')
        named = spec.positive if pair_of(spec.positive) is None else spec.columns[0]
    else:
        pairs = {pair_of(name) for name in names}
        kinds = {pair[0] for pair in pairs if pair is not None}
        if None in pairs or len(kinds) != 1:
            raise DataError(
                f'{scan.source.name}, column "{spec.columns[0]}" holds {listed(in_order(names))}, and which is '
                "positive is never guessed. Name it with `positive`."
            )
        words = PAIRS[kinds.pop()]
        positive = {name for name in names if name.casefold() == words[1]}
        notes.append(f'positive: "{words[1]}"; negative: "{words[0]}".')
        named = spec.columns[0]
    missing = scan.parts.get(MISSING_PART)
    hits = {scan.parts[name] for name in positive if name in scan.parts}
    if missing is not None and spec.unknown == "positive":
        hits.add(missing)
    values = np.full(len(scan.cells), np.nan, np.float32)
    for code, cell in enumerate(scan.cells):
        if cell is not None and (cell[0] != missing or spec.unknown in ("negative", "positive")):
            values[code] = float(cell[0] in hits)
    return Meaning("binary", (named,), values, (tuple(sorted(hits)),), tuple(notes))


def _exclusive(scan: CellScan, counts: NDArray[np.int64], names: list[str], task: str, notes: list[str]) -> Meaning:
    spec = scan.spec
    if spec.unknown in ("negative", "positive"):
        raise ArgumentError(
            f'`unknown` of read_labels must be "unknown" or "drop" for a {task} column, where a label that is not '
            f'known has no negative or positive; got "{spec.unknown}".'
        )
    if spec.classes is not None:
        classes = list(spec.classes)
    elif task == "ordinal":
        classes = _grades(scan, names)
    else:
        classes = in_order(names)
        notes += spelling_notes(_part_counts(scan, counts))
    index = {scan.parts[name]: number for number, name in enumerate(classes) if name in scan.parts}
    values = np.array([np.nan if cell is None else index.get(cell[0], np.nan) for cell in scan.cells], np.float32)
    sources = tuple((scan.parts[name],) if name in scan.parts else () for name in classes)
    return Meaning(task, tuple(classes), values, sources, tuple(notes))


def _grades(scan: CellScan, names: list[str]) -> list[str]:
    for code, cell in enumerate(scan.cells):
        text = scan.texts[code]
        if cell is not None and cell != (scan.parts.get(MISSING_PART),) and not is_grade(text):
            raise DataError(
                f'{scan.source.place(scan.first_rows[code], scan.spec.columns[0])}: "{text}" is no grade 0, 1, 2, ... '
                "Correct the cell, or give the grades in order with `classes`."
            )
    return [str(grade) for grade in range(max(int(name) for name in names) + 1)]


def one_hot_values(
    table: NDArray[Any], source_name: str, columns: tuple[str, ...], start: int = 0, kept: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """Return (rows,) the class index of 0/1 columns of which each row has exactly one 1; NaN where one is unknown.

    Args:
        table: (rows, classes) of 0, 1 or NaN.
        source_name: the file, for the message.
        columns: (classes,) their names.
        start: number of the first row.
        kept: (rows,) which rows are looked at; None for all.

    Raises:
        DataError: a row has no 1 or more than one.
    """
    known = ~np.isnan(table).any(axis=1)
    bad = np.flatnonzero(known & (table.sum(axis=1) != 1.0) & (True if kept is None else kept))
    if len(bad):
        found = [columns[c] for c in np.flatnonzero(table[bad[0]] == 1.0)]
        raise DataError(
            f"{source_name} row {start + int(bad[0]) + 1} has {listed(found) if found else 'no class'} set, where a "
            'multiclass row has exactly one. Correct the row, or pass task="multilabel".'
        )
    values: NDArray[np.float32] = table.argmax(axis=1).astype(np.float32)
    values[~known] = np.nan
    return values
