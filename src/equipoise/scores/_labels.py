"""What the cells of label columns mean beside scores."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import DataError, listed, nearest
from equipoise.labels._cells import PAIRS, canonical, in_order, is_missing, pair_of
from equipoise.labels.table import TableSource


def binary_cells(
    distinct: Sequence[str], codes: NDArray[np.int64], source: TableSource, column: str, positive: str | None
) -> tuple[Floats, str]:
    """Return (rows,) of 0, 1 or NaN (unknown) for a column of words, and what was understood, in words.

    Args:
        distinct: the distinct cells.
        codes: (rows,) which of them each row has.
        source: the table, for messages.
        column: the name of the column.
        positive: the label that is positive; None where 0/1, no/yes and the like say it.

    Raises:
        DataError: which label is positive is not said, or it never occurs.
    """
    cells = [canonical(cell) for cell in distinct]
    known = in_order({cell for cell in cells if not is_missing(cell, None)})
    if positive is None:
        pairs = {pair_of(cell) for cell in known}
        kinds = {pair[0] for pair in pairs if pair is not None}
        if None in pairs or len(kinds) > 1:
            raise DataError(_not_said(source, column, cells, codes, known))
        hits = {cell for cell in known if pair_of(cell) == (next(iter(kinds)), 1)}
        return _values(cells, codes, hits), ""
    hits = {canonical(positive)}
    others = [cell for cell in known if cell not in hits]
    if not hits & set(known) and not _opposite(canonical(positive), others):
        raise DataError(
            f'{source.name}, column "{column}" never holds the positive label "{positive}"; it holds {listed(known)}.'
            f"{nearest(positive, known)} Correct positive= (command line: --positive)."
        )
    said = f'column "{column}": "{canonical(positive)}" is positive; negative: {listed(others) or "no other label"}.'
    return _values(cells, codes, hits), said


def _opposite(positive: str, others: Sequence[str]) -> bool:
    """Whether the other labels are only the opposite word of `positive`: then the file simply has no positive."""
    pair = pair_of(positive)
    return pair is not None and pair[1] == 1 and all(pair_of(cell) == (pair[0], 0) for cell in others)


def _values(cells: Sequence[str], codes: NDArray[np.int64], hits: set[str]) -> Floats:
    table = [np.nan if is_missing(cell, None) else float(cell in hits) for cell in cells]
    return np.asarray(np.array(table, np.float64)[codes])


def _not_said(
    source: TableSource, column: str, cells: Sequence[str], codes: NDArray[np.int64], known: Sequence[str]
) -> str:
    """Return the message for labels that are not a pair of opposite words."""
    numbered = {"0", "1"} <= set(known) or "0" in known or "1" in known
    if numbered:
        wrong = [place for place, cell in enumerate(cells) if cell in known and cell not in PAIRS[0]]
        row = int(np.isin(codes, wrong).argmax())
        return (
            f'{source.place(row, column)}: label "{cells[codes[row]]}" is not 0, 1 or empty (unknown). '
            "Correct the cell, or say which label is positive: positive= (command line: --positive)."
        )
    choice = " or ".join(known) if len(known) == 2 else "one of them"
    return (
        f'{source.name}, column "{column}" holds the labels {listed(known)}, and which is positive is never guessed. '
        f"Name it with positive= (command line: --positive): {choice}."
    )


def class_cells(
    distinct: Sequence[str],
    codes: NDArray[np.int64],
    source: TableSource,
    column: str,
    candidates: Sequence[tuple[str, ...]],
) -> tuple[Floats, tuple[str, ...]]:
    """Return (rows,) the index of each row's class or NaN (unknown), and the names of the classes.

    Args:
        distinct: the distinct cells of the label column.
        codes: (rows,) which of them each row has.
        source: the table, for messages.
        column: the name of the column.
        candidates: names of the classes, in the order of the score columns; the first that all labels fit is taken.

    Raises:
        DataError: a label has no score column.
    """
    found = [_places(distinct, names) for names in candidates]
    best = int(np.argmin([places.count(None) for places in found]))
    names, places = candidates[best], found[best]
    if None in places:
        wrong = [place for place, value in enumerate(places) if value is None]
        likely = ",".join(re.sub(r"^.*?(\d+)$", r"\1", name) for name in names)
        shown = (
            f" {likely}"
            if {canonical(cell) for cell in distinct if not is_missing(canonical(cell), None)} <= set(likely.split(","))
            else ""
        )
        row = int(np.isin(codes, wrong).argmax())
        cell = distinct[codes[row]]
        raise DataError(
            f'{source.place(row, column)}: "{cell}" is not one of {listed(names)}.{nearest(cell, names)} '
            "Each class needs a score column that is named after it; leave a cell empty where the class is unknown, or "
            f"name the classes in the order of the score columns: classes= (command line: --classes{shown})."
        )
    return np.asarray(np.array(places, np.float64)[codes]), names


def _places(distinct: Sequence[str], names: Sequence[str]) -> list[float | None]:
    """Return for each cell the index of its class, NaN where it is unknown, None where there is no such class."""
    index = {name: float(place) for place, name in enumerate(names)}
    unknown = [float("nan") if is_missing(canonical(cell), None) else None for cell in distinct]
    return [index.get(cell, index.get(canonical(cell), other)) for cell, other in zip(distinct, unknown, strict=True)]
