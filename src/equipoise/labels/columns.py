"""Columns of numbers and of text from a table, as arrays: the fast way, and the slow one that names the bad cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError
from equipoise.labels.table import TableSource, _checked_quotes, _damaged, _diagnosed, _parquet_file, _parsed

if TYPE_CHECKING:
    import pyarrow

_ROWS = 1 << 17


class _NotNumbers(Exception):  # noqa: N818  # never leaves this file
    """A cell of a column of numbers could not be parsed."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Some columns of a table.

    Attributes:
        rows: how many rows there are.
        numbers: for each column of numbers, (rows,) float64; an empty cell is NaN.
        texts: for each column of text, its distinct cells (without space around them) and (rows,) which each row has.
        names: for each column of names, its cells as they are.
    """

    rows: int
    numbers: dict[str, NDArray[np.float64]]
    texts: dict[str, tuple[list[str], NDArray[np.int64]]]
    names: dict[str, list[str]]


class _Wanted(NamedTuple):
    """The columns to read, by what they become."""

    numbers: list[str]
    texts: list[str]
    names: list[str]

    @property
    def words(self) -> list[str]:
        return list(dict.fromkeys([*self.texts, *self.names]))

    @property
    def all(self) -> list[str]:
        return list(dict.fromkeys([*self.numbers, *self.words]))


def read_columns(
    source: TableSource,
    numbers: Sequence[str],
    texts: Sequence[str] = (),
    *,
    either: Sequence[str] = (),
    names: Sequence[str] = (),
) -> Columns:
    """Return columns of a table; those that are not asked for are neither parsed nor kept.

    Args:
        source: from `open_table`.
        numbers: columns of numbers; a cell is a decimal number, ``nan``, ``inf`` or empty.
        texts: columns of text, of which few cells are different.
        names: columns of text, of which most cells are different.
        either: columns that are numbers when every cell of all of them is one, else text.

    Raises:
        DataError: a column is missing or stands twice, a cell of `numbers` is no number, the table has no rows, or it
            cannot be read (see `open_table`). The message names row, column and cell.
    """
    numbers, texts, either, names = (list(dict.fromkeys(given)) for given in (numbers, texts, either, names))
    for name in (*numbers, *texts, *either, *names):
        source.require_column(name)
    ways = [_Wanted([*numbers, *either], texts, names)] if either else []
    for wanted in (*ways, _Wanted(numbers, [*texts, *either], names)):
        try:
            return _read(source, wanted)
        except _NotNumbers:  # the next way reads more as text
            continue
    return _read_slowly(source, _Wanted(numbers, [*texts, *either], names))


def _read(source: TableSource, wanted: _Wanted) -> Columns:
    parsed: dict[str, list[NDArray[np.float64]]] = {name: [] for name in wanted.numbers}
    codes: dict[str, list[NDArray[np.int64]]] = {name: [] for name in wanted.texts}
    places: dict[str, dict[str, int]] = {name: {} for name in wanted.texts}
    names: dict[str, list[str]] = {name: [] for name in wanted.names}
    rows = 0
    read = _parquet_batches if source.kind == "parquet" else _text_batches
    for batch in read(source, wanted):
        rows += batch.num_rows
        for name in wanted.numbers:
            parsed[name].append(_floats(batch.column(name)))
        for name in wanted.texts:
            codes[name].append(_codes(batch.column(name), places[name]))
        for name in wanted.names:
            names[name] += _cells(batch.column(name))
    if not rows:
        raise DataError(f"{source.name} has a header but no rows. Check the path or the query that wrote it.")
    return Columns(
        rows,
        {name: np.concatenate(parts) for name, parts in parsed.items()},
        {name: (list(places[name]), np.concatenate(parts)) for name, parts in codes.items()},
        names,
    )


def _text_batches(source: TableSource, wanted: _Wanted) -> Iterable[pyarrow.RecordBatch]:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    types = dict.fromkeys(wanted.numbers, pa.float64()) | dict.fromkeys(wanted.words, pa.string())
    convert = pa_csv.ConvertOptions(
        include_columns=wanted.all, column_types=types, strings_can_be_null=False, null_values=[""]
    )
    quotes = _checked_quotes(source)
    try:
        yield from _parsed(source, convert)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if "conversion error" in str(error):
            raise _NotNumbers from error
        raise _diagnosed(source) or _damaged(source.name, error) from error
    if quotes % 2 and (fault := _diagnosed(source)):
        raise fault


def _parquet_batches(source: TableSource, wanted: _Wanted) -> Iterable[pyarrow.RecordBatch]:
    import pyarrow as pa

    start = 0
    with _parquet_file(source.path) as file:
        try:
            for batch in file.iter_batches(_ROWS, columns=wanted.all):
                columns = [_as_floats(batch.column(name), source, name) for name in wanted.numbers]
                columns += [_as_text(batch.column(name), source, name) for name in wanted.words]
                yield pa.RecordBatch.from_arrays(columns, names=wanted.all)
                start += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{source.name} cannot be read after row {start}: {error}. Copy or export it again."
            ) from error


def _as_floats(column: Any, source: TableSource, name: str) -> Any:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_float64(kind):
        return column
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        return column.cast(pa.float64()) if not pa.types.is_boolean(kind) else column.cast(pa.int8()).cast(pa.float64())
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    raise (
        _NotNumbers
        if _is_text(kind)
        else DataError(f'{source.name}, column "{name}" holds {kind}, not numbers. Write numbers.')
    )


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def _as_text(column: Any, source: TableSource, name: str) -> Any:
    import pyarrow as pa

    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        raise DataError(
            f'{source.name}, column "{name}" holds {column.type}, not plain values. Write it as numbers or text.'
        )
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _floats(column: Any) -> NDArray[np.float64]:
    """Return a float64 array as NumPy's, null as NaN, from its buffers: Arrow's own way imports pandas."""
    validity, data = column.buffers()
    stop = column.offset + len(column)
    values = np.frombuffer(data, np.float64)[column.offset : stop] if data is not None else np.zeros(len(column))
    if validity is None or not column.null_count:
        return values
    valid = np.unpackbits(np.frombuffer(validity, np.uint8), count=stop, bitorder="little")[column.offset :]
    return np.where(valid, values, np.nan)


def _cells(column: Any) -> list[str]:
    cells = column.to_pylist()
    return [cell or "" for cell in cells] if column.null_count else cells


def _codes(column: Any, places: dict[str, int]) -> NDArray[np.int64]:
    """Return (rows,) the place of each cell in `places`, which grows by the cells that are new."""
    cells = _cells(column)
    found = {cell: places.setdefault(cell.strip(), len(places)) for cell in dict.fromkeys(cells)}
    return np.fromiter(map(found.__getitem__, cells), np.int64, len(cells))


def _read_slowly(source: TableSource, wanted: _Wanted) -> Columns:
    """Read every column as text, and turn each distinct cell of `numbers` into a number or an error with its place."""
    found = _read(source, _Wanted([], [*wanted.numbers, *wanted.texts], wanted.names))
    parsed = {}
    for name in wanted.numbers:
        distinct, codes = found.texts[name]
        values = [_number(cell) for cell in distinct]
        bad = [place for place, value in enumerate(values) if value is None]
        if bad:
            row = int(np.isin(codes, bad).argmax())
            raise DataError(_no_number(source.place(row, name), distinct[codes[row]]))
        parsed[name] = np.array(values, np.float64)[codes]
    return Columns(found.rows, parsed, {name: found.texts[name] for name in wanted.texts}, found.names)


def _number(cell: str) -> float | None:
    if not cell:
        return float("nan")
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None


def _no_number(place: str, cell: str) -> str:
    point = " Write decimals with a point." if cell.replace(",", "", 1).lstrip("+-").isdecimal() else ""
    return f'{place}: "{cell}" is not a number.{point} Correct the cell.'
