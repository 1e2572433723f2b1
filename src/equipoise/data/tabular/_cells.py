"""Cells of a table: which are missing, which are numbers, and where the ones are that cannot be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from equipoise._checks import DataError

MISSING_WORDS = (
    "", "na", "n/a", "nan", "null", "none", "nil", "?", ".", "-", "--", "missing",
    "<na>", "<null>", "#n/a", "#na", "-nan", "1.#qnan",
)  # fmt: skip
"""Cells read as missing, whatever their case and the blanks around them."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest number a 32-bit float holds; a larger cell would become infinite inside a model."""


@dataclass(frozen=True)
class Cells:
    """The cells of one column, read twice: as numbers and as words.

    Attributes:
        numbers: (rows,) float64; NaN where the cell is missing or is no number.
        words: the cells without blanks around them; null where missing. Filled only when some cell is no number.
        known: cells that are not missing.
        numeric: known cells that are numbers.
    """

    numbers: NDArray[np.float64]
    words: pl.Series | None
    known: int
    numeric: int


def place(source: str, row: int, column: str) -> str:
    """Return where a cell is, as every message about data says it; `row` counts from 0, the message from 1.

    >>> place("patients.csv", 811, "age")
    'patients.csv row 812, column "age"'
    """
    return f'{source} row {row + 1}, column "{column}"'


def read_cells(table: pl.DataFrame, missing: tuple[str, ...] = ()) -> dict[str, Cells]:
    """Return the cells of every column of `table`, each read as numbers and, where that fails, as words.

    All columns are parsed in one pass; only those with a cell that is no number are looked at again.

    Args:
        table: columns of text (as `read_table` gives), numbers or booleans.
        missing: words that mean a missing cell, besides `MISSING_WORDS`; any case.
    """
    if not table.width:
        return {}
    table = table.with_columns(
        pl.lit(None, dtype=pl.String).alias(name) if _is_unreadable(dtype) else pl.col(name).cast(pl.String)
        for name, dtype in table.schema.items()
        if dtype not in (pl.String, pl.Boolean) and not dtype.is_numeric()
    )
    numbers = table.select(pl.all().cast(pl.Float64, strict=False))
    unread = (table.null_count() - numbers.null_count()).row(0)
    clean = [name for name, count in zip(table.columns, unread, strict=True) if count == 0]
    matrix = numbers.select(clean).to_numpy().astype(np.float64, copy=False) if clean else np.empty((table.height, 0))
    counts = table.height - np.isnan(matrix).sum(axis=0)
    found = {
        name: Cells(np.ascontiguousarray(matrix[:, j]), None, int(counts[j]), int(counts[j]))
        for j, name in enumerate(clean)
    }
    words = tuple(dict.fromkeys((*MISSING_WORDS, *(word.strip().casefold() for word in missing))))
    extra = words[len(MISSING_WORDS) :]
    for name in table.columns:
        if name not in found or (extra and table[name].dtype == pl.String):
            found[name] = _read_words(table[name], words)
    return {name: found[name] for name in table.columns}


def _is_unreadable(dtype: Any) -> bool:
    return bool(dtype.is_nested() or dtype.is_temporal() or dtype in (pl.Binary, pl.Object))


def _read_words(series: pl.Series, missing: tuple[str, ...]) -> Cells:
    words = series.cast(pl.String).str.strip_chars()
    words = words.set(words.str.to_lowercase().is_in(list(missing)), None)
    numbers = words.cast(pl.Float64, strict=False).fill_nan(None)
    known, numeric = len(words) - words.null_count(), len(words) - numbers.null_count()
    array = numbers.to_numpy().astype(np.float64, copy=False)
    return Cells(np.ascontiguousarray(array), None if known == numeric else words, known, numeric)


def check_finite(numbers: NDArray[np.float64], *, source: str, column: str) -> None:
    """Raise `DataError` when a number is infinite or too large for a 32-bit float; NaN means missing and passes."""
    with np.errstate(invalid="ignore"):
        wrong = np.abs(numbers) > LARGEST
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        more = int(wrong.sum()) - 1
        also = f" ({more} more such cells in this column)" if more else ""
        what = "is infinite" if np.isinf(numbers[row]) else "is too large for a 32-bit number"
        raise DataError(
            f"{place(source, row, column)}: {numbers[row]:g} {what}{also}. "
            "Leave the cell empty if the value is unknown, or write the true number."
        )


def check_numbers(cells: Cells, *, source: str, column: str, because: str) -> None:
    """Raise `DataError` naming the first known cell that is no number, when there is one."""
    if cells.words is None or cells.known == cells.numeric:
        return
    wrong = cells.words.is_not_null().to_numpy() & np.isnan(cells.numbers)
    row = int(np.flatnonzero(wrong)[0])
    more = int(wrong.sum()) - 1
    also = f" (and {more} more)" if more else ""
    raise DataError(
        f'{place(source, row, column)}: "{shortened(cells.words[row])}"{also} is not a number, but {because}. '
        "Correct the cell, leave it empty if it is unknown, or exclude the column."
    )


def shortened(text: object, limit: int = 40) -> str:
    """Return `text` on one line, cut at `limit` characters, as a message shows a cell."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
