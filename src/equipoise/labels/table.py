"""Reading tables of text: CSV, TSV (compressed too) and Parquet, in batches, with every fault named by its place.

Cells are text. What a cell means is decided where the question is asked (`read.py`), never by a type guesser, so that
an identifier such as ``00012`` keeps its zeros.
"""

from __future__ import annotations

import codecs
import csv
import functools
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._checks import DataError, listed, nearest

if TYPE_CHECKING:
    import numpy as np
    import polars
    import pyarrow
    from numpy.typing import NDArray

_BLOCK = 1 << 20  # bytes read at once: what bounds the memory of a count
_ROWS = 1 << 17  # rows at once from Parquet
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_REPAIR = "Copy or export it again."


@dataclass(frozen=True)
class TableSource:
    """A table on disk: its columns are known, its rows are read when asked for.

    Attributes:
        path: where it is.
        kind: ``"text"`` or ``"parquet"``.
        columns: the column names, as written.
        delimiter: what parts the cells of a text file.
        compression: ``"gzip"``, ``"bz2"``, ``"zstd"`` or None.
        notes: sentences about choices that were made in reading it.
    """

    path: Path
    kind: str
    columns: tuple[str, ...]
    delimiter: str = ","
    compression: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The file's name, as error messages show it."""
        return self.path.name

    @functools.cached_property
    def _counts(self) -> Counter[str]:
        return Counter(self.columns)

    def place(self, row: int, column: str | None = None) -> str:
        """Return ``'labels.csv row 812, column "finding"'``; `row` counts data rows from 0, the text from 1."""
        cell = f', column "{column}"' if column is not None else ""
        return f"{self.name} row {row + 1}{cell}"

    def require_column(self, column: str) -> str:
        """Return `column` when the table has it exactly once.

        Raises:
            DataError: it is missing (the message names the nearest) or stands in the header twice.
        """
        count = self._counts[column]
        if count == 1:
            return column
        if count > 1:
            places = [str(i + 1) for i, name in enumerate(self.columns) if name == column]
            raise DataError(
                f'{self.name}: the header has "{column}" {count} times (columns {", ".join(places)}). '
                "Rename or remove all but one."
            )
        raise DataError(
            f'{self.name} has no column "{column}".{nearest(column, self.columns)} '
            f"Its columns are {listed(self.columns, limit=30)}."
        )

    def batches(self, encoded: Sequence[str], plain: Sequence[str] = ()) -> Iterator[list[pyarrow.Array]]:
        """Yield batches of the columns `encoded` (dictionary arrays of text) followed by `plain` (arrays of text).

        Raises:
            DataError: the file is damaged, ragged or not UTF-8, or a quote is never closed; the message has the row.
        """
        if self.kind == "parquet":
            yield from _parquet_batches(self, encoded, plain)
        else:
            yield from _text_batches(self, encoded, plain)


def open_table(path: str | Path) -> TableSource:
    r"""Return what can be said of a table without reading its rows.

    Args:
        path: a CSV, TSV or other delimited text file (plain, ``.gz``, ``.bz2``, ``.zst``) or a Parquet file. The kind
            is told by the content, not by the name.

    Raises:
        DataError: it is missing, a directory, empty, not UTF-8, or no table.

    Example:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "labels.csv"
        >>> _ = path.write_text("id,finding\n007,Mass\n")
        >>> open_table(path).columns
        ('id', 'finding')
        >>> folder.cleanup()
    """
    path = Path(path)
    start = _first_bytes(path)
    if not start:
        raise DataError(f"{path} is empty. A table needs a header and at least one row.")
    if start[:4] == b"PAR1":
        return TableSource(path, "parquet", _parquet_columns(path))
    if start[:2] == b"PK":
        raise DataError(f"{path} is a zip archive or a spreadsheet, not a table of text. Save it as CSV or Parquet.")
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path.name} is UTF-16 text. Save it as UTF-8.")
    compression = next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
    if compression is None and path.suffix == ".gz":
        raise DataError(f"{path} is named .gz but is not compressed, or is damaged. Rename it, or copy it again.")
    return _text_source(path, compression)


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> polars.DataFrame:
    """Return a table as text columns; nothing is converted, and an empty cell is an empty string.

    Args:
        path: see `open_table`.
        columns: the columns wanted, in this order; None for all.

    Raises:
        DataError: the file cannot be read as a table (see `open_table`), has no row, or a column is missing or double.
    """
    import polars as pl
    import pyarrow as pa

    source = open_table(path)
    names = [source.require_column(name) for name in (source.columns if columns is None else columns)]
    parts = [pa.RecordBatch.from_arrays(batch, names=names) for batch in source.batches((), names)]
    if not sum(part.num_rows for part in parts):
        raise DataError(f"{source.name} has a header but no rows. Check the path or the query that wrote it.")
    frame = pl.from_arrow(pa.Table.from_batches(parts))
    assert isinstance(frame, pl.DataFrame)
    return frame


def codes_of(column: pyarrow.DictionaryArray) -> NDArray[np.int64]:
    """Return (rows,) the place of each cell in ``column.dictionary``.

    The buffer is read directly: Arrow's own conversions import pandas wherever it is installed, which costs a command
    more than all of its work.
    """
    import numpy as np

    indices = column.indices
    numbers = np.frombuffer(indices.buffers()[1], np.int32)[indices.offset : indices.offset + len(indices)]
    return numbers.astype(np.int64)


def hash_rows(path: str | Path, exclude: Sequence[str] = ()) -> NDArray[np.uint64] | None:
    """Return (rows,) a hash that is equal for rows whose cells are all the same; None when no column is left.

    Args:
        path: see `open_table`.
        exclude: columns that do not count, such as the id.
    """
    import numpy as np

    from equipoise.labels._groups import hash_texts

    source = open_table(path)
    names = [name for name in dict.fromkeys(source.columns) if name not in exclude]
    if not names:
        return None
    parts = []
    for batch in source.batches(names):
        hashes = np.zeros(len(batch[0]), np.uint64)
        for column in batch:
            # Multiplying before adding makes the place of a cell count, so that swapped cells differ.
            hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + hash_texts(column.dictionary)[codes_of(column)]
        parts.append(hashes)
    return np.concatenate(parts) if parts else None


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(8)
    except IsADirectoryError as error:
        raise DataError(f"{path} is a directory. Give the table inside it.") from error
    except FileNotFoundError as error:
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{path} does not exist. Check the path.{nearest(path.name, beside)}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} could not be read: {getattr(error, 'strerror', None) or error}. Check it.") from error


class _CheckedBytes:
    """Reads the decompressed bytes, and notices what the parser would pass over in silence.

    pyarrow does not look at columns nobody asked for, so a file in Latin-1 would pass by luck; and it takes a quote
    that is never closed for one long cell.
    """

    closed = False

    def __init__(self, source: Any, name: str) -> None:
        self._source, self._name = source, name
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines, self._returns, self._pending = 0, 0, b""
        self.quotes = 0
        self.error: DataError | None = None

    def peek(self, size: int) -> bytes:
        self._pending = self._read(size)
        return self._pending

    def read(self, size: int = -1) -> bytes:
        if self._pending:
            block, self._pending = self._pending, b""
            return block
        return self._read(size)

    def _read(self, size: int) -> bytes:
        try:
            block: bytes = self._source.read(size if size > 0 else None)
        except OSError as error:
            self.error = _damaged(self._name, error)
            raise self.error from error
        try:
            if not block.isascii() or self._decoder.getstate()[0]:
                self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            bad = max(0, min(error.start, len(block)))
            # A line end is counted once: newlines where there are any, else bare carriage returns.
            ends = self._lines + block[:bad].count(b"\n") or self._returns + block[:bad].count(b"\r")
            self.error = DataError(
                f"{self._name} line {ends + 1} is not UTF-8 text (byte 0x{error.object[error.start]:02x}). "
                "Save the file as UTF-8."
            )
            raise self.error from error
        self._lines += block.count(b"\n")
        self._returns += block.count(b"\r")
        self.quotes += block.count(b'"')
        return block

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
        self._source.close()


def _damaged(name: str, error: Exception) -> DataError:
    if "truncated" in str(error).casefold():
        return DataError(f"{name} is truncated: the compressed data stops before its end. {_REPAIR}")
    if "inflate" in str(error) or "ompress" in str(error):
        return DataError(f"{name} is damaged: its compressed data does not unpack. {_REPAIR}")
    return DataError(f"{name} could not be read: {error}. {_REPAIR}")


def _open_bytes(path: Path, compression: str | None) -> _CheckedBytes:
    return _CheckedBytes(_open_raw(path, compression), path.name)


def _open_raw(path: Path, compression: str | None) -> Any:
    import pyarrow as pa

    raw = pa.OSFile(str(path), "rb")
    return pa.CompressedInputStream(raw, compression) if compression else raw


def _text_source(path: Path, compression: str | None) -> TableSource:
    stream = _open_bytes(path, compression)
    try:
        block = stream.peek(_BLOCK)
    finally:
        stream.close()
    if b"\0" in block:
        line = block[: block.index(b"\0")].count(b"\n") + 1
        raise DataError(
            f"{path.name} line {line} holds a zero byte: this is not a table of text. Save it as UTF-8 CSV."
        )
    text = block.decode("utf-8", errors="ignore").removeprefix("\ufeff")
    delimiter, notes = _delimiter(text, path)
    header = next((row for row in _rows(text, delimiter) if row), None)
    if header is None:
        raise DataError(f"{path.name} holds only empty lines. A table needs a header and at least one row.")
    return TableSource(path, "text", tuple(header), delimiter, compression, notes)


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error:  # a cell beyond the module's limit: the batch reader will name its place
        return


def _delimiter(text: str, path: Path) -> tuple[str, tuple[str, ...]]:
    suffixes = [suffix.casefold() for suffix in path.suffixes]
    if ".tsv" in suffixes or ".tab" in suffixes:
        return "\t", ()
    for candidate, name in ((",", ""), ("\t", "tabs"), (";", "semicolons")):
        rows = (row for row in _rows(text, candidate) if row)
        header, second = next(rows, []), next(rows, None)
        if len(header) > 1 and (second is None or len(second) == len(header)):
            return candidate, (f"{path.name}: cells are parted by {name}.",) if name else ()
    return ",", ()


def _text_batches(source: TableSource, encoded: Sequence[str], plain: Sequence[str]) -> Iterator[list[pyarrow.Array]]:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    dictionary = pa.dictionary(pa.int32(), pa.string())
    types = dict.fromkeys(plain, pa.string()) | dict.fromkeys(encoded, dictionary)
    convert = pa_csv.ConvertOptions(
        include_columns=list(types), column_types=types, strings_can_be_null=False, null_values=[]
    )
    quotes = _checked_quotes(source)
    try:
        for batch in _parsed(source, convert):
            yield [batch.column(name) for name in (*encoded, *plain)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _diagnosed(source) or _damaged(source.name, error) from error
    if quotes % 2 and (fault := _diagnosed(source)):
        raise fault


def _parsed(source: TableSource, convert: Any) -> Iterator[pyarrow.RecordBatch]:
    """Yield the batches of a text file that `_checked_quotes` has read before.

    The parser reads ahead in threads of its own, which may still be busy when an error ends the program. A Python
    file would be called, and its blocks freed, from there; that aborts an interpreter that is being shut down. So it
    is given a file that is none of Python's.
    """
    import pyarrow.csv as pa_csv

    batches: Iterator[pyarrow.RecordBatch] = pa_csv.open_csv(
        _open_raw(source.path, source.compression),
        read_options=pa_csv.ReadOptions(block_size=_BLOCK),
        parse_options=pa_csv.ParseOptions(delimiter=source.delimiter, newlines_in_values=True),
        convert_options=convert,
    )
    return batches


def _checked_quotes(source: TableSource) -> int:
    """Return how many quotes a text file has, all of it read and found to be UTF-8.

    Raises:
        DataError: it is not, or does not unpack.
    """
    stream = _open_bytes(source.path, source.compression)
    try:
        while stream.read(_BLOCK):
            pass
    finally:
        stream.close()
    return stream.quotes


def _diagnosed(source: TableSource) -> DataError | None:
    """Read a faulty text file again, slowly, and return an error that names the first bad row, or None."""
    width, line = len(source.columns), 0
    text = io.TextIOWrapper(_open_bytes(source.path, source.compression), encoding="utf-8-sig", newline="")  # type: ignore[type-var]
    reader = csv.reader(text, delimiter=source.delimiter, strict=True)
    row = -1  # the header is row -1
    try:
        for cells in reader:
            if cells and len(cells) != width:
                return DataError(_ragged(source, row, line + 1, len(cells)))
            row += bool(cells)
            line = reader.line_num
    except csv.Error as error:
        return DataError(
            f"{source.place(row)} (line {line + 1}) cannot be parted into cells: {error}. "
            'Most often a quote (") is opened and never closed there; close or double it.'
        )
    except DataError as error:
        return error
    finally:
        text.close()
    return None


def _ragged(source: TableSource, row: int, line: int, cells: int) -> str:
    return (
        f"{source.place(row)} (line {line}) has {cells} cells where the header has {len(source.columns)}. "
        f'Put quotes round a cell that holds "{source.delimiter}", or repair the row.'
    )


def _parquet_file(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is not a whole Parquet file: {error}. {_REPAIR}") from error


def _parquet_columns(path: Path) -> tuple[str, ...]:
    with _parquet_file(path) as file:
        return tuple(file.schema_arrow.names)


def _parquet_batches(
    source: TableSource, encoded: Sequence[str], plain: Sequence[str]
) -> Iterator[list[pyarrow.Array]]:
    import pyarrow as pa

    names = list(dict.fromkeys((*encoded, *plain)))
    start = 0
    with _parquet_file(source.path) as file:
        try:
            for batch in file.iter_batches(_ROWS, columns=names):
                columns = {name: _as_text(batch.column(name), source, name) for name in names}
                yield [columns[name].dictionary_encode() for name in encoded] + [columns[name] for name in plain]
                start += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{source.name} cannot be read after row {start}: {error}. {_REPAIR}") from error


def _as_text(column: Any, source: TableSource, name: str) -> Any:
    import pyarrow as pa

    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        raise DataError(
            f'{source.name}, column "{name}" holds {column.type}, not plain values. Write it as numbers or text.'
        )
    return column.cast(pa.string()).fill_null("")
