"""The rule by which a column is numeric, a flag, a category, or no feature at all."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from equipoise._checks import DataError
from equipoise.data.tabular._cells import Cells, check_numbers, place, shortened

FEW = 20  # as many different words are always a category, however few rows there are
ROWS_PER_WORD = 5  # more words than FEW are a category when each has this many rows on average
MOSTLY = 0.9  # a share of numbers from which a word among them is taken for a slip, not for a category
COUNTED_FROM = 50  # rows from which whole numbers that count the rows are taken for row numbers

_NO = {"no", "n", "f", "false", "negative", "neg", "absent", "off"}
_YES = {"yes", "y", "t", "true", "positive", "pos", "present", "on"}
_DATE = re.compile(r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([ T].*)?$")
_MARKED_NUMBER = r"^[<>=~≤≥+-]{0,2}\s?\d[\d,.'\s]*\s?[%a-zA-Zµ/]{0,6}$"
_ID_NAME = re.compile(r"(?i:(^|[^a-z])(id|ids|mrn|uuid|guid|index|rownames?|row)$|^unnamed)|[a-z]I[Dd]$")


@dataclass(frozen=True)
class Column:
    """One column of a table: its kind, the reason in words, and whether it is used as a feature.

    Attributes:
        name: the column's name.
        kind: numeric, flag, category, constant, all missing, identifier, text, date or nested.
        reason: why it has this kind, to be shown.
        used: whether it is a feature.
        distinct: known values that differ.
        missing: missing cells.
        levels: the two words of a flag, the one that becomes 0 first; empty when its cells are the numbers 0 and 1.
    """

    name: str
    kind: str
    reason: str
    used: bool
    distinct: int
    missing: int
    levels: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "levels": list(self.levels)}

    @staticmethod
    def from_dict(value: dict[str, Any]) -> Column:
        """Return the column that `to_dict` described."""
        return Column(**{**value, "levels": tuple(value["levels"])})


def type_column(name: str, dtype: Any, cells: Cells, forced: str | None, asked: bool, source: str) -> Column:
    """Return what a column is.

    Args:
        name: the column's name.
        dtype: its type in the table; text for CSV.
        cells: its cells.
        forced: "numeric" or "category" when the user said so.
        asked: the user named the column, so that it is used even when it looks like an identifier.
        source: what messages call the table.

    Raises:
        DataError: numbers were asked for or are meant, and a cell is a word.
    """
    missing = len(cells.numbers) - cells.known
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return Column(name, "nested", "each cell holds a list or bytes, which no model here reads", False, 0, missing)
    if dtype.is_temporal():
        return Column(name, "date", "dates are no feature; write days or years since an event", False, 0, missing)
    if cells.known == 0:
        return Column(name, "all missing", "no cell is known", False, 0, missing)
    if forced == "numeric":
        check_numbers(cells, source=source, column=name, because="the column is listed in `numeric`")
    if forced == "category":
        return _as_category(name, category_words(cells), missing, "listed in `categories`")
    if cells.words is None:
        return _type_numbers(name, cells.numbers, missing, forced is not None, asked)
    return _type_words(name, cells, missing, asked, source)


def category_words(cells: Cells) -> pl.Series:
    """Return the cells as words: as written, or the shortest text of a number (1 for 1.0)."""
    if cells.words is not None:
        return cells.words
    whole = np.floor(cells.numbers) == cells.numbers
    numbers = pl.Series(cells.numbers).fill_nan(None)
    if bool((whole | np.isnan(cells.numbers)).all()) and _small(cells.numbers):
        return numbers.cast(pl.Int64).cast(pl.String)
    return pl.Series(
        [None if v is None else (str(int(v)) if v.is_integer() else repr(v)) for v in numbers], dtype=pl.String
    )


def _small(numbers: np.ndarray) -> bool:
    return bool(np.nanmax(np.abs(numbers), initial=0.0) < 2.0**53)


def _type_numbers(name: str, numbers: np.ndarray, missing: int, forced: bool, asked: bool) -> Column:
    known = numbers[~np.isnan(numbers)] if missing else numbers
    distinct = int(pl.Series(known).n_unique())
    low, high = float(known.min()), float(known.max())
    if distinct == 1 and not missing:
        return Column(name, "constant", f"every cell is {low:g}", False, 1, 0)
    if distinct <= 2 and low in (0.0, 1.0) and high in (0.0, 1.0):
        return Column(name, "flag", "0 and 1" if distinct == 2 else f"{low:g} or missing", True, distinct, missing)
    span = f"numbers from {low:g} to {high:g}, {distinct:,} different"
    if forced:
        return Column(name, "numeric", f"listed in `numeric`: {span}", True, distinct, missing)
    if not asked and distinct == len(numbers) >= COUNTED_FROM and bool((np.floor(known) == known).all()):
        if high - low + 1 == distinct:
            why = f"whole numbers that count the rows, {low:g} to {high:g}; list it in `numeric` to use it"
            return Column(name, "identifier", why, False, distinct, missing)
        if _ID_NAME.search(name):
            why = "a different whole number in every row, and the name of an identifier; list it in `numeric` to use it"
            return Column(name, "identifier", why, False, distinct, missing)
    return Column(name, "numeric", span, True, distinct, missing)


def _type_words(name: str, cells: Cells, missing: int, asked: bool, source: str) -> Column:
    words = category_words(cells)
    distinct = int(words.n_unique()) - (1 if words.null_count() else 0)
    numbers = cells.numbers[~np.isnan(cells.numbers)]
    if cells.numeric >= MOSTLY * cells.known and len(np.unique(numbers)) > FEW:
        _refuse_slip(name, cells, source)
    limit = max(FEW, cells.known // ROWS_PER_WORD)
    some = f"; {cells.numeric:,} of {cells.known:,} known cells are numbers" if cells.numeric else ""
    if distinct <= limit:
        return _as_category(name, words, missing, f"words, {distinct:,} different{some}")
    example = shortened(words.drop_nulls()[0])
    kind, why = _unused_words(words, distinct, cells.known, example)
    if asked:
        return Column(name, "category", f"asked for; {why}", True, distinct, missing)
    return Column(name, kind, f"{why}{some}; list it in `categories` to use it", False, distinct, missing)


def _unused_words(words: pl.Series, distinct: int, known: int, example: str) -> tuple[str, str]:
    """Return the kind, and the reason, of words that are too many for a category."""
    count = f'{distinct:,} different in {known:,} cells, such as "{example}"'
    if bool(_DATE.match(str(words.drop_nulls()[0]))):
        return "date", f'dates such as "{example}"; write days or years since an event'
    if float(words.drop_nulls().str.contains(_MARKED_NUMBER).cast(pl.Float64).to_numpy().mean()) >= MOSTLY:
        return "text", f"numbers with a comma, sign or unit ({count}); write them as 1234.5"
    if _mean_length(words) > FEW * 2:
        return "text", f"free text, {count}"
    return "identifier", f"looks like an identifier or free text: {count}"


def _mean_length(words: pl.Series) -> float:
    return float(words.drop_nulls().str.len_chars().cast(pl.Float64).to_numpy().mean())


def _as_category(name: str, words: pl.Series, missing: int, why: str) -> Column:
    levels = words.drop_nulls().unique().sort().to_list()
    if len(levels) == 1 and not missing:
        return Column(name, "constant", f'every cell is "{shortened(levels[0])}"', False, 1, 0)
    if len(levels) == 2:
        if levels[0].casefold() in _YES and levels[1].casefold() in _NO:
            levels.reverse()
        why = f'"{shortened(levels[0])}" is 0, "{shortened(levels[1])}" is 1'
        return Column(name, "flag", why, True, 2, missing, tuple(levels))
    return Column(name, "category", why, True, len(levels), missing)


def _refuse_slip(name: str, cells: Cells, source: str) -> None:
    assert cells.words is not None
    row = int(np.flatnonzero(cells.words.is_not_null().to_numpy() & np.isnan(cells.numbers))[0])
    count = cells.known - cells.numeric
    raise DataError(
        f'{place(source, row, name)}: "{shortened(cells.words[row])}" is not a number, while {cells.numeric:,} of '
        f"{cells.known:,} known cells are ({count:,} such cells). Correct the cell, leave it empty if it is unknown, "
        "or list the column in `categories` or `exclude`."
    )
