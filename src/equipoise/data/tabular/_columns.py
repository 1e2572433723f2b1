"""Columns and their types: what each column of a table is, why, and whether it can be a feature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, listed, nearest
from equipoise.data.tabular._cells import (
    Cells,
    check_finite,
    check_numbers,
    read_cells,
)
from equipoise.data.tabular._typing import Column, category_words, type_column


@dataclass(frozen=True)
class Features:
    """The features of a table, typed but not yet scaled: what a preprocessor is fitted on and applied to.

    Attributes:
        columns: every column that was looked at, in the table's order, with its kind and the reason.
        numeric_names: names of the numeric and flag columns in use.
        numeric: (rows, len(numeric_names)) float64, NaN where missing; flags are 0 and 1.
        category_names: names of the category columns in use.
        codes: (rows, len(category_names)) int32, index into `levels`, -1 where missing.
        levels: the words of each category column, in sorted order.
        source: what the table is called in messages.
        missing_words: words that were read as missing, besides `MISSING_WORDS`.
        unread: for each flag column that has any, known cells that are neither of its two words (read as missing).
    """

    columns: tuple[Column, ...]
    numeric_names: tuple[str, ...]
    numeric: NDArray[np.float64]
    category_names: tuple[str, ...]
    codes: NDArray[np.int32]
    levels: tuple[tuple[str, ...], ...]
    source: str = "table"
    missing_words: tuple[str, ...] = ()
    unread: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numeric)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns in use, in the table's order."""
        return tuple(column.name for column in self.columns if column.used)

    def select(self, rows: NDArray[Any]) -> Features:
        """Return the features of some rows, by index or by mask; kinds and levels stay as they are."""
        return replace(self, numeric=self.numeric[rows], codes=self.codes[rows])

    def notes(self) -> list[str]:
        """Return one sentence per column that was left out, and why."""
        return [f'"{column.name}" is left out: {column.reason}.' for column in self.columns if not column.used]


def read_features(
    table: pl.DataFrame,
    *,
    targets: Sequence[str] = (),
    ids: str | None = None,
    groups: str | None = None,
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    numeric: Sequence[str] = (),
    categories: Sequence[str] = (),
    missing: Sequence[str] = (),
    source: str = "table",
) -> Features:
    """Return the features of a table, each column typed by a stated rule and shown with its reason.

    The rule, in this order. *all missing*: no known cell. *constant*: one known value and nothing missing. *flag*: the
    numbers 0 and 1, or two words (yes/no, t/f, M/F). *numeric*: every known cell is a number, however few values
    there are; whole numbers that count the rows one by one are an *identifier*. *category*: words of which there are
    at most 20, or at least five rows for each. Other words are an *identifier* (or free text, or dates) and are left
    out with a note. A column in which nine known cells in ten are numbers of more than 20 values, and some are not,
    is an error that names the first cell: guessing would lose a measurement.

    Args:
        table: text columns (numbers and booleans from Parquet are taken as they are).
        targets: label columns; they, `ids` and `groups` can never be features.
        ids: the column that names each row.
        groups: the column of the patient; `"none"` and None mean there is no such column.
        features: use only these columns; each is used even when it looks like an identifier.
        exclude: columns to leave out.
        numeric: columns that must hold numbers.
        categories: columns to read as words although they hold numbers (or are many).
        missing: words that mean a missing cell, besides `MISSING_WORDS`.
        source: what messages call the table, its file name for instance.

    Raises:
        ArgumentError: a column that is not there, is asked for in two ways, or is a target, id or group.
        DataError: an infinite value, a word among numbers; the message has row, column and remedy.

    >>> import polars as pl
    >>> table = pl.DataFrame({"age": ["61", "", "47"], "sex": ["F", "M", "F"], "y": ["0", "1", "0"]})
    >>> read = read_features(table, targets=["y"])
    >>> [(column.name, column.kind) for column in read.columns]
    [('age', 'numeric'), ('sex', 'flag')]
    >>> read.numeric.tolist()
    [[61.0, 0.0], [nan, 1.0], [47.0, 0.0]]
    """
    groups = None if groups == "none" else groups
    reserved = dict.fromkeys(targets, "a target")
    reserved |= {name: what for name, what in ((ids, "the id column"), (groups, "the group column")) if name}
    _check_choice(table.columns, reserved, features, exclude, numeric, categories, source)
    wanted = set(table.columns if features is None else features) - set(reserved) - set(exclude)
    chosen = [name for name in table.columns if name in wanted]
    cells = read_cells(table.select(chosen), tuple(missing))
    forced = dict.fromkeys(numeric, "numeric") | dict.fromkeys(categories, "category")
    asked = set(features or ()) | set(forced)
    columns = tuple(
        type_column(name, table[name].dtype, cells[name], forced.get(name), name in asked, source) for name in chosen
    )
    return _gather(table.height, columns, cells, source, tuple(missing))


def read_features_as(
    table: pl.DataFrame, columns: Sequence[Column], *, missing: Sequence[str] = (), source: str = "table"
) -> Features:
    """Return the features of a new table, read as the columns of an earlier one were; other columns are ignored.

    Args:
        table: the new table.
        columns: the columns in use when the model was trained.
        missing: further words that mean a missing cell.
        source: what messages call the table.

    Raises:
        DataError: a column is not in the table (the nearest name is given), a numeric column holds a word, or a value
            is infinite.
    """
    for column in columns:
        if column.name not in table.columns:
            raise DataError(
                f'{source} has no column "{column.name}", which the model was trained on.'
                f"{nearest(column.name, table.columns)} Add the column (its cells may be empty)."
            )
    cells = read_cells(table.select([column.name for column in columns]), tuple(missing))
    for column in columns:
        if column.kind in ("numeric", "flag") and not column.levels:
            check_numbers(
                cells[column.name], source=source, column=column.name, because="the column was numeric in training"
            )
    return _gather(table.height, tuple(columns), cells, source, tuple(missing))


def _check_choice(
    present: Sequence[str],
    reserved: dict[str, str],
    features: Sequence[str] | None,
    exclude: Sequence[str],
    numeric: Sequence[str],
    categories: Sequence[str],
    source: str,
) -> None:
    """Raise where a column is asked for that is not there, twice, or cannot be a feature."""
    for name, what in reserved.items():
        _check_present(name, present, source, what)
    asked: dict[str, Iterable[str]] = {"features": features or (), "numeric": numeric, "categories": categories}
    for argument, names in ({**asked, "exclude": exclude}).items():
        seen: set[str] = set()
        for name in names:
            _check_present(name, present, source, f"listed in `{argument}`")
            if name in seen:
                raise ArgumentError(f'Column "{name}" is listed twice in `{argument}`. List it once.')
            seen.add(name)
    for argument, names in asked.items():
        for name in names:
            if name in reserved:
                raise ArgumentError(
                    f'Column "{name}" is {reserved[name]} and can never be a feature. Remove it from `{argument}`.'
                )
            if name in exclude:
                raise ArgumentError(
                    f'Column "{name}" is in both `{argument}` and `exclude`. Remove it from one of them.'
                )
            if argument != "features" and features is not None and name not in features:
                raise ArgumentError(f'Column "{name}" is in `{argument}` but not in `features`. Add it there.')
    both = [name for name in numeric if name in categories]
    if both:
        raise ArgumentError(f"Columns {listed(both)} are in both `numeric` and `categories`. Choose one for each.")


def _check_present(name: str, present: Sequence[str], source: str, what: str) -> None:
    if name not in present:
        raise ArgumentError(
            f'{source} has no column "{name}" ({what}).{nearest(name, present)} '
            f"Its columns are {listed(present, limit=12)}."
        )


def _gather(
    rows: int, columns: tuple[Column, ...], cells: dict[str, Cells], source: str, missing: tuple[str, ...]
) -> Features:
    """Put the columns in use side by side, after the last checks that need a row to be named."""
    used = [column for column in columns if column.used]
    numbers = [column for column in used if column.kind in ("numeric", "flag")]
    words = [column for column in used if column.kind == "category"]
    numeric = np.empty((rows, len(numbers)), dtype=np.float64, order="F")
    for j, column in enumerate(numbers):
        numeric[:, j] = _flag_values(cells[column.name], column) if column.levels else cells[column.name].numbers
        check_finite(numeric[:, j], source=source, column=column.name)
    codes = np.empty((rows, len(words)), dtype=np.int32, order="F")
    levels = []
    for j, column in enumerate(words):
        codes[:, j], found = encode_words(category_words(cells[column.name]))
        levels.append(found)
    flags = [column for column in numbers if column.levels]
    unread = {column.name: _unread_words(cells[column.name], column) for column in flags}
    return Features(
        columns=columns,
        numeric_names=tuple(column.name for column in numbers),
        numeric=numeric,
        category_names=tuple(column.name for column in words),
        codes=codes,
        levels=tuple(levels),
        source=source,
        missing_words=missing,
        unread={name: count for name, count in unread.items() if count},
    )


def encode_words(words: pl.Series) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return the index of every word among the distinct words in sorted order (-1 where null), and those words."""
    levels = words.drop_nulls().unique().sort()
    if not len(levels):
        return np.full(len(words), -1, dtype=np.int32), ()
    codes = words.cast(pl.Enum(levels)).to_physical().cast(pl.Int32).fill_null(-1).to_numpy()
    return codes.astype(np.int32, copy=False), tuple(levels.to_list())


def _flag_values(cells: Cells, column: Column) -> NDArray[np.float64]:
    """Return 0 and 1 for the two words of a flag; a word that is neither is NaN, as a missing cell is."""
    codes, levels = encode_words(category_words(cells))
    values = np.array([float(column.levels.index(w)) if w in column.levels else np.nan for w in levels] + [np.nan])
    result: NDArray[np.float64] = values[codes]
    return result


def _unread_words(cells: Cells, column: Column) -> int:
    """Return how many known cells of a flag are neither of its two words."""
    return int((category_words(cells).drop_nulls().is_in(list(column.levels)).not_()).sum())
