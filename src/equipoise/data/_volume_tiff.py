"""TIFF of every kind, through tifffile: stacks, BigTIFF, OME, ImageJ, compressed, in strips or tiles."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError, EquipoiseError, RunError
from equipoise.data._volume_raw import RawSource
from equipoise.data.volumes import Piece, Region, Source, Volume, extent, short_of

_GEO = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)  # scale, tie points, transformation, keys; GDAL's own
_JPEGS = (6, 7, 33007, 34892)
_OF_BYTES = (5, 8, 32946, 50000, 50013)  # LZW, deflate, Zstandard: what they return are the pixels as they are
_AGAIN = "Copy or write the file again."
_WHITE_IS_ZERO = 0
_INCH = 2


class TiffSource:
    """The pages of a TIFF, each in strips or tiles that are decoded one by one; unusual ones are decoded whole."""

    def __init__(
        self, path: Path, series: list[Any], shape: tuple[int, ...], dtype: np.dtype[Any], inverted: bool
    ) -> None:
        self._path, self._shape, self._dtype = path, shape, dtype
        self._pages = series[0].pages if len(series) == 1 else [page for one in series for page in one.pages]
        keyframe = series[0].keyframe
        self._page_shape = tuple(keyframe.shape)
        self._inverted = inverted
        with self._reading("its header contradicts itself"):
            self._lay_out(keyframe)

    def _lay_out(self, keyframe: Any) -> None:
        """Find out how pages are stored: in one grid of strips or tiles, or in a way that is decoded page by page."""
        separate, depth, _, _, samples = keyframe.shaped
        self._plain = separate == depth == samples == 1 and len(self._page_shape) == 2
        self._lead = self._shape[: len(self._shape) - len(self._page_shape)]
        if math.prod(self._lead) != len(self._pages):
            raise self._damaged(f"it describes {len(self._pages):,} of {math.prod(self._lead):,} pages")
        self._grid: list[tuple[slice, slice]] = self._checked_grid(keyframe) if self._plain else []

    def pieces(self, size: int) -> Iterator[Piece]:
        """See `Source`: strips or tiles of one page, as many as `size` holds and at least one."""
        whole = tuple(slice(0, length) for length in self._page_shape)
        for number in range(len(self._pages)):
            before = self._before(number)
            if not self._plain:
                yield Piece((*before, *whole), partial(self._page, number))
                continue
            for region, segments in _runs(self._grid, self._dtype.itemsize, size):
                yield Piece(
                    (*before, *region),
                    partial(self._decode, number, region, segments),
                )

    def read_region(self, region: Region) -> NDArray[Any]:
        """See `Source`: only the strips and tiles that meet the region are decoded."""
        cut = len(self._lead)
        lead, inner = region[:cut], region[cut:]
        found = np.empty((int(np.prod(extent(lead), dtype=np.int64)), *extent(inner)), self._dtype)
        for place, index in enumerate(np.ndindex(extent(lead))):
            at = [part.start + step for part, step in zip(lead, index, strict=True)]
            number = int(np.ravel_multi_index(at, self._lead)) if at else 0
            if self._plain:
                met = [n for n, cell in enumerate(self._grid) if all(map(_meet, cell, inner))]
                found[place] = self._decode(number, inner, met)
            else:
                found[place] = self._page(number).reshape(self._page_shape)[inner]
        return found.reshape(extent(region))

    def _checked_grid(self, keyframe: Any) -> list[tuple[slice, slice]]:
        """Return the grid of every page; a header that claims more than the file can hold fails before it is made."""
        try:
            steps = zip(keyframe.shape, keyframe.chunks, strict=True)
            needed = math.prod(-(-length // step) for length, step in steps)
        except ZeroDivisionError:
            raise self._damaged("its strips have no rows") from None
        held = min(len(keyframe.dataoffsets), len(keyframe.databytecounts))
        if held < needed:  # of the first page: to look at all of them here would read a directory for each
            raise self._damaged(f"page 1 has {held:,} of {needed:,} strips or tiles")
        return _grid(keyframe)

    def _before(self, number: int) -> Region:
        at = np.unravel_index(number, self._lead) if self._lead else ()
        return tuple(slice(int(index), int(index) + 1) for index in at)

    def _decode(self, number: int, region: Region, segments: list[int]) -> NDArray[Any]:
        """Return a region of a page out of the segments that meet it, with an axis of one for each leading axis."""
        ones = (1,) * len(self._lead)
        with self._reading(f"page {number + 1} does not decode"):
            page = self._pages[number]
            codec = None if page is None else self._direct(page.keyframe)
            if codec is None and len(segments) == 1 and self._grid[segments[0]] == region:
                return self._right(self._segment(page, segments[0], number)).reshape(*ones, *extent(region))
            found = np.empty(extent(region), self._dtype)
            for segment in segments:
                parts = zip(self._grid[segment], region, strict=True)
                inside, outside = zip(*(_overlap(cell, part) for cell, part in parts), strict=True)
                if codec is not None and self._decoded_into(found[outside], codec, page, segment, number):
                    continue
                found[outside] = self._segment(page, segment, number)[inside]
            return self._right(found).reshape(*ones, *extent(region))

    @staticmethod
    def _direct(keyframe: Any) -> Callable[..., Any] | None:
        """Return what decodes a strip or tile into its place, or None where more is to be done to the pixels."""
        dtype = np.dtype(keyframe.parent.byteorder + keyframe.dtype.char)
        whole = keyframe.bitspersample == 8 * dtype.itemsize and keyframe.fillorder == keyframe.predictor == 1
        if not whole or not dtype.isnative or int(keyframe.compression) not in _OF_BYTES:
            return None
        from tifffile import TIFF

        codec: Callable[..., Any] = TIFF.DECOMPRESSORS[keyframe.compression]
        return codec

    def _decoded_into(
        self, place: NDArray[Any], codec: Callable[..., Any], page: Any, segment: int, number: int
    ) -> bool:
        """Decode a whole strip or tile into its place; return whether that could be done."""
        if not place.flags.c_contiguous:
            return False
        shape = tuple(part.stop - part.start for part in self._grid[segment])
        stored = tuple(page.keyframe.chunks) if page.keyframe.is_tiled else shape  # a tile is whole beyond the page too
        if not place.shape == shape == stored:
            return False
        data = self._stored(page, segment, number)
        if data is None:
            return False
        flat = place.reshape(-1).view(np.uint8)
        try:
            decoded = codec(data, out=flat)
            # tifffile's own codecs, which it has where imagecodecs is missing, return bytes and leave the place alone.
            return isinstance(decoded, np.ndarray) and decoded.size == flat.size and np.shares_memory(decoded, flat)
        except Exception:  # noqa: BLE001 - what is wrong with it is said where it is decoded by itself
            return False

    def _segment(self, page: Any, segment: int, number: int) -> NDArray[Any]:
        """Return one strip or tile, cut to what is inside the page."""
        rows, columns = self._grid[segment]
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        if page is None:  # a page that an OME file leaves out
            return np.zeros(shape, self._dtype)
        keyframe = page.keyframe
        data = self._stored(page, segment, number)
        if data is None:
            return np.full(shape, keyframe.nodata, self._dtype)
        jpeg = int(keyframe.compression) in _JPEGS
        extra = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader} if jpeg else {}
        decoded = keyframe.decode(data, segment, _fullsize=False, **extra)[0]
        return np.asarray(decoded).reshape(decoded.shape[1:3])[: shape[0], : shape[1]]

    def _stored(self, page: Any, segment: int, number: int) -> bytes | None:
        """Return the bytes of a strip or tile, None where it is left out. Reading by position needs no lock."""
        descriptor = page.parent.filehandle.fileno()
        offset, count = page.dataoffsets[segment], page.databytecounts[segment]
        if not count and offset:
            raise self._damaged(f"a strip or tile of page {number + 1} has no bytes")
        if not count:  # left out on purpose, as GDAL does with what holds nothing
            return None
        if offset + count > os.fstat(descriptor).st_size:  # looked at first: a wrong count may be any number
            raise self._damaged(f"it ends inside page {number + 1}")
        return os.pread(descriptor, count, offset)

    def _page(self, number: int) -> NDArray[Any]:
        """Return a page whole, with an axis of one for each leading axis."""
        whole = (1,) * len(self._lead) + self._page_shape
        with self._reading(f"page {number + 1} does not decode"):
            page = self._pages[number]
            if page is None:
                return np.zeros(whole, self._dtype)
            return self._right(page.asarray(maxworkers=1)).reshape(whole)

    def _reading(self, what: str) -> contextlib.AbstractContextManager[None]:
        return _named(lambda why: self._damaged(f"{what} ({why})"))

    def _right(self, pixels: NDArray[Any]) -> NDArray[Any]:
        pixels = pixels.astype(self._dtype, copy=False)
        if not self._inverted:
            return pixels
        return np.asarray(~pixels if pixels.dtype == np.bool_ else np.iinfo(pixels.dtype).max - pixels)

    def _damaged(self, what: str) -> DataError:
        return DataError(f"{self._path} is a damaged TIFF: {what}. {_AGAIN}")


def open_tiff(path: Path) -> Volume:
    """Open a TIFF; a chain of pages that breaks off is an error, where tifffile would return fewer pages."""
    try:
        import tifffile
    except ImportError as error:
        raise RunError(
            f"{path} needs tifffile, which could not be loaded: {error}. "
            "Install it with: pip install 'equipoise[images]'."
        ) from error
    with _Warnings() as said, _opening(path):
        file = tifffile.TiffFile(path)
        count = len(file.pages)
        listed = [one for one in file.series if not one.keyframe.is_reduced] or file.series
        kind = np.dtype(listed[0].dtype)
    broken = [text for text in said.texts if "invalid page offset" in text or "invalid value offset" in text]
    if broken:
        raise DataError(f"{path} is a truncated TIFF: it ends after {count} of its pages. {_AGAIN}")
    if kind.kind not in "biuf":
        raise DataError(f"{path} holds {kind}. Write it as whole numbers or floats.")
    with _opening(path):
        return _described(path, file, list(listed))


def _opening(path: Path) -> contextlib.AbstractContextManager[None]:
    return _named(lambda why: DataError(f"{path} is no TIFF that can be read: {why}. {_AGAIN}"))


@contextlib.contextmanager
def _named(error_of: Callable[[str], DataError]) -> Iterator[None]:
    """Name the file where anything goes wrong: codecs have errors of their own, and a header may hold anything."""
    try:
        yield
    except EquipoiseError:
        raise
    except Exception as error:
        raise error_of(short_of(error)) from error


def _described(path: Path, file: Any, listed: list[Any]) -> Volume:
    series = listed[0]
    shape, dtype = tuple(map(int, series.shape)), np.dtype(series.dtype).newbyteorder("=")
    keyframe = series.keyframe
    # What tifffile writes of booleans says that white is zero; its numbers are those of the array all the same.
    inverted = keyframe.photometric == _WHITE_IS_ZERO and dtype.kind in "bu" and not keyframe.is_shaped
    notes: tuple[str, ...] = (
        (f"{path.name} says that white is zero: its values are turned round, as viewers do.",) if inverted else ()
    )
    alike = len(listed) > 1 and all(_alike(series, one) for one in listed)
    axes = series.axes
    if alike:  # written one by one: together they are a stack
        shape, axes = (len(listed), *shape), f"Q{axes}"
    elif len(listed) > 1:
        notes += (f"{path.name} holds {len(listed)} images of different shapes; the first, {shape}, is read.",)
    raw = None if inverted or alike else _raw(path, file, series, shape)
    source: Source = raw or TiffSource(path, listed if alike else [series], shape, dtype, inverted)
    tags = file.pages.first.tags
    geo = {number: tags[number].value for number in _GEO if number in tags}
    return Volume(path, shape, dtype, axes, source, "tiff", _spacing(file, axes), None, geo, notes)


def _alike(one: Any, other: Any) -> bool:
    """Return whether two series of a file have one shape, type and way of storing, so that they can be stacked."""
    ours, theirs = one.keyframe, other.keyframe
    same = one.shape == other.shape and one.dtype == other.dtype and ours.shaped == theirs.shaped
    return bool(same and ours.chunks == theirs.chunks and ours.photometric == theirs.photometric)


def _raw(path: Path, file: Any, series: Any, shape: tuple[int, ...]) -> RawSource | None:
    """Return where the pixels lie in one run, or None where they are compressed or scattered."""
    stored = np.dtype(series.dtype)
    if series.dataoffset is None or stored.kind == "b" or file.is_mmstack:
        return None
    return RawSource(path, int(series.dataoffset), shape, stored.newbyteorder(file.byteorder))


def _spacing(file: Any, axes: str) -> tuple[float, ...] | None:
    """Return the size of a pixel along each axis as the file's own metadata say it, 0 where they do not."""
    try:
        return _told_spacing(file, axes)
    except (TypeError, ValueError, IndexError, KeyError, ArithmeticError):  # tags that hold anything but numbers
        return None


def _told_spacing(file: Any, axes: str) -> tuple[float, ...] | None:
    found: dict[str, float] = {}
    tags = file.pages.first.tags
    for axis, tag in (("X", 282), ("Y", 283)):
        if tag in tags and tags[tag].value[0]:
            found[axis] = tags[tag].value[1] / tags[tag].value[0]
    if 33550 in tags:
        found |= dict(zip("XYZ", map(float, tags[33550].value), strict=False))
    if file.is_imagej and (file.imagej_metadata or {}).get("spacing"):
        found["Z"] = float(file.imagej_metadata["spacing"])
    if file.is_ome and file.ome_metadata:
        import re

        sizes = re.findall(r'PhysicalSize([XYZ])="([0-9.eE+-]+)"', file.ome_metadata)
        found |= {axis: float(size) for axis, size in reversed(sizes)}
    return tuple(found.get(axis, 0.0) for axis in axes) if found else None


def _grid(keyframe: Any) -> list[tuple[slice, slice]]:
    """Return the rows and columns of each strip or tile, cut at the edges of the page."""
    (height, width), (tall, wide) = keyframe.shape, keyframe.chunks
    return [
        (slice(y, min(y + tall, height)), slice(x, min(x + wide, width)))
        for y in range(0, height, tall)
        for x in range(0, width, wide)
    ]


def _runs(grid: list[tuple[slice, slice]], itemsize: int, size: int) -> Iterator[tuple[Region, list[int]]]:
    """Yield neighbours in a row of tiles, or in the column of strips, which together have about `size` bytes."""
    run: list[int] = []
    for number, (rows, columns) in enumerate(grid):
        if run:
            first, last = grid[run[0]], grid[run[-1]]
            beside = first[0] == rows and last[1].stop == columns.start
            below = first[1] == columns and last[0].stop == rows.start
            shaped = (beside and (len(run) == 1 or last[0] == first[0])) or (
                below and (len(run) == 1 or last[1] == first[1]) and first[0] != rows
            )
            area = (rows.stop - first[0].start) * (columns.stop - first[1].start) * itemsize
            if not shaped or area > size:
                yield _around(grid, run), run
                run = []
        run.append(number)
    if run:
        yield _around(grid, run), run


def _around(grid: list[tuple[slice, slice]], run: list[int]) -> Region:
    first, last = grid[run[0]], grid[run[-1]]
    return slice(first[0].start, last[0].stop), slice(first[1].start, last[1].stop)


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _overlap(cell: slice, part: slice) -> tuple[slice, slice]:
    """Return what is in both, counted from the start of the cell and from the start of the part."""
    start, stop = max(cell.start, part.start), min(cell.stop, part.stop)
    return slice(start - cell.start, stop - cell.start), slice(start - part.start, stop - part.start)


class _Warnings(logging.Handler):
    """What tifffile says while a file is opened in this thread: a truncated file is only a line in its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line of this thread."""
        if record.thread == self._thread:
            self.texts.append(record.getMessage())

    def filter(self, record: logging.LogRecord) -> bool:
        """Take every line: which of them count is decided when they are read."""
        return True

    def __enter__(self) -> _Warnings:
        logging.getLogger("tifffile").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("tifffile").removeHandler(self)
