"""The values of one mask, counted block by block by several threads at once."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.labels.mask_classes import OUTSIDE, UNKNOWN, MaskClasses

_MANY = 256  # more distinct numbers in one block than this: not a table of values but a scale
_COMPARED = 8
_PART = 1 << 18  # pixels that NumPy compares at a time: fewer cost calls, more leave the caches
_LANES = 1 << 13  # sums that NumPy adds a row of pixels to
_FULL = 1 << 30  # a cell holds four times as much
_PLAIN = 1 << 28  # pixels that NumPy counts sooner than the compiled kernels are loaded
_loaded = threading.Lock()


@functools.cache
def kernels() -> ModuleType:
    """Return the compiled kernels; loading them takes half a second."""
    with _loaded:
        from equipoise.labels import _mask_kernels

        return _mask_kernels


def loaded() -> bool:
    """Return whether the kernels are loaded: for few values NumPy is not so much slower that it would be worth that."""
    return kernels.cache_info().currsize > 0


@dataclass
class _Tables:
    """What one thread at a time adds words of pixels to."""

    few: Any = field(default_factory=lambda: kernels().FewCounts())
    many: NDArray[np.uint32] | None = None
    words: int = 0


@dataclass
class ValueCounts:
    """How often each value occurs. Any thread may add.

    Attributes:
        classes: what the values mean; it decides only where there are too many values to keep.
        values: value -> pixels.
        nans: pixels that are NaN.
        scale: place of a class (see `MaskClasses.places`) -> pixels, of the blocks that hold more than 256 values.
        examples: some values on that scale that are no class.
        low, high: the ends of that scale.
        between: pixels on that scale that are neither 0 nor 1.
    """

    classes: MaskClasses
    fast: bool = True
    values: Counter[float] = field(default_factory=Counter)
    nans: int = 0
    scale: Counter[int] = field(default_factory=Counter)
    examples: set[float] = field(default_factory=set)
    low: float = np.inf
    high: float = -np.inf
    between: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: list[_Tables] = []
        self._kind = np.dtype(np.uint8)
        self._known: NDArray[Any] | None = None
        self._many = False

    def add(self, block: NDArray[Any]) -> None:
        """Count the pixels of a block."""
        pixels = block.reshape(-1, order="A" if block.flags.f_contiguous else "C")
        if pixels.dtype == np.bool_:
            pixels = pixels.view(np.uint8)
        elif pixels.dtype == np.float16:
            pixels = pixels.astype(np.float32)
        if not len(pixels):
            return
        if pixels.dtype.itemsize > 2:
            self._add_numbers(pixels)
        else:
            self._add_small(pixels)

    def total(self) -> Counter[float]:
        """Return value -> pixels, after the last block."""
        while self._tables:
            self._empty(self._tables.pop())
        return self.values

    def _add_small(self, pixels: NDArray[Any]) -> None:
        """Whole numbers of one or two bytes: two values of a byte are compared, anything else goes into a table."""
        kind = np.dtype(f"u{pixels.dtype.itemsize}")
        unsigned = _uniform(pixels).view(kind)
        self._kind = pixels.dtype
        if kind.itemsize == 1 and self._known is None and not self._many:
            found = np.flatnonzero(np.bincount(unsigned[: 1 << 16], minlength=256))
            self._many = len(found) > 2
            self._known = np.resize(np.append(found, 255 - found), 2).astype(np.uint8)
        if not self._many and self._known is not None:
            known = self._known
            count_two = self._other_of_two if self.fast and loaded() else _other_plainly
            if (others := count_two(unsigned, known)) is not None:
                with self._lock:
                    for value, count in zip(self._as_read(known), (len(unsigned) - others, others), strict=True):
                        self.values[value] += count
                return
            self._many = kind.itemsize == 1
        if self.fast:
            self._add_words(unsigned)
        else:
            self._keep(np.bincount(unsigned), pixels.dtype)

    @staticmethod
    def _other_of_two(pixels: NDArray[np.uint8], known: NDArray[np.uint8]) -> int | None:
        """Return how many pixels have the second of two values; None if any has a third."""
        lanes = kernels().LANES
        whole = len(pixels) // lanes * lanes
        sums = np.empty((2, lanes), np.uint8)
        first, second = map(int, kernels().count_two(pixels[:whole], known[0], known[1], sums[0], sums[1]))
        rest = pixels[whole:]
        if len(rest):
            first += int(np.count_nonzero(rest == known[0]))
            second += int(np.count_nonzero(rest == known[1]))
        return second if first + second == len(pixels) else None

    def _as_read(self, values: NDArray[np.uint8]) -> list[float]:
        kept: list[float] = values.view(self._kind).tolist()
        return kept

    def _add_words(self, unsigned: NDArray[Any]) -> None:
        try:
            tables = self._tables.pop()
        except IndexError:
            tables = _Tables()
        rest = unsigned[tables.few.add(unsigned) :] if unsigned.itemsize == 1 else unsigned
        whole = len(rest) * rest.itemsize // 8 * 8 // rest.itemsize
        if whole:
            if tables.many is None:
                tables.many = kernels().empty_tables()
            kernels().add_words(rest[:whole].view(np.uint64), tables.many)
        if whole < len(rest):
            self._keep(np.bincount(rest[whole:]), self._kind)
        tables.words += len(unsigned)
        if tables.words > _FULL:
            self._empty(tables)
            tables = _Tables()
        self._tables.append(tables)

    def _empty(self, tables: _Tables) -> None:
        if self._kind.itemsize == 1:
            self._keep(tables.few.counts(), self._kind)
        if tables.many is not None:
            counts = kernels().word_counts(tables.many)
            if self._kind.itemsize == 1:  # a cell is two neighbours
                pairs = counts.reshape(256, 256)
                counts = pairs.sum(axis=0) + pairs.sum(axis=1)
            self._keep(counts, self._kind)

    def _keep(self, counts: NDArray[np.int64], dtype: np.dtype[Any]) -> None:
        met = np.flatnonzero(counts)
        values = met.astype(f"u{dtype.itemsize}").view(dtype)
        with self._lock:
            for value, count in zip(values.tolist(), counts[met].tolist(), strict=True):
                self.values[value] += count

    def _add_numbers(self, pixels: NDArray[Any]) -> None:
        """Whole numbers of four or eight bytes and floats: the values met first are compared, others looked at."""
        if self._many:
            self._add_scale(pixels)
            return
        if self._known is None:
            self._known = self._met(np.unique(pixels[: 1 << 14]))
        known = self._known
        if len(known) <= _COMPARED:
            counts = np.zeros(len(known), np.int64)
            nans = _add_equal(pixels, known, counts)
            if counts.sum() + nans == len(pixels):
                with self._lock:
                    self.nans += nans
                    for value, count in zip(known.tolist(), counts.tolist(), strict=True):
                        self.values[value] += count
                return
        distinct, times = np.unique(pixels, return_counts=True)
        if len(distinct) > _MANY:
            self._many = True
            self._add_scale(pixels)
            return
        right = ~np.isnan(distinct)
        with self._lock:
            self.nans += int(times[~right].sum())
            for value, count in zip(distinct[right].tolist(), times[right].tolist(), strict=True):
                self.values[value] += count
        self._known = self._met(np.array(sorted(self.values)[: _COMPARED + 1], pixels.dtype))

    @staticmethod
    def _met(values: NDArray[Any]) -> NDArray[Any]:
        kept: NDArray[Any] = values[~np.isnan(values)]
        return kept if len(kept) else np.zeros(1, values.dtype)

    def _add_scale(self, pixels: NDArray[Any]) -> None:
        nans = int(np.count_nonzero(np.isnan(pixels)))
        places = self.classes.places(pixels)
        counts = Counter({place: int(np.count_nonzero(places == place)) for place in (OUTSIDE, UNKNOWN)})
        for place in range(max(2, len(self.classes.names) if self.classes.exclusive else 2)):
            counts[place] += int(np.count_nonzero(places == place))
        counts[UNKNOWN] -= nans
        outside = pixels[places == OUTSIDE][:3].tolist() if counts[OUTSIDE] else []
        ends = (float(np.nanmin(pixels)), float(np.nanmax(pixels))) if nans < len(pixels) else (np.inf, -np.inf)
        between = len(pixels) - nans - sum(int(np.count_nonzero(pixels == end)) for end in (0, 1))
        with self._lock:
            self.nans += nans
            self.scale.update(counts)
            if len(self.examples) < 3:
                self.examples.update(outside)
            self.low, self.high = min(self.low, ends[0]), max(self.high, ends[1])
            self.between += between


def _other_plainly(pixels: NDArray[np.uint8], known: NDArray[np.uint8]) -> int | None:
    """The same as `ValueCounts._other_of_two`, by NumPy."""
    for kind in (np.uint8, np.int8):  # in the second, 255 lies beside 0
        low, high = sorted(map(int, known.view(kind)))
        if high - low == 1:
            seen = pixels.view(kind)
            if seen.min() < low or seen.max() > high:
                return None
            above = _above(seen, low)
            return above if int(known.view(kind)[1]) == high else len(pixels) - above
    counts = np.zeros(2, np.int64)
    _add_equal(pixels, known, counts)
    return int(counts[1]) if counts.sum() == len(pixels) else None


def _above(pixels: NDArray[Any], low: int) -> int:
    """Return how many pixels of one byte are `low` + 1 where all others are `low`: sums of 255 do not overflow."""
    found = 0
    for start in range(0, len(pixels), 255 * _LANES):
        part = pixels[start : start + 255 * _LANES]
        rows = len(part) // _LANES
        sums = part[: rows * _LANES].reshape(rows, _LANES).view(np.uint8).sum(axis=0, dtype=np.uint8)
        sums -= np.uint8(rows * low % 256)
        found += int(sums.sum(dtype=np.int64)) + int(np.count_nonzero(part[rows * _LANES :] > low))
    return found


def _add_equal(pixels: NDArray[Any], values: NDArray[Any], counts: NDArray[np.int64]) -> int:
    """Add to `counts` how many pixels equal each of `values`; return how many of the others are NaN."""
    nans = 0
    for start in range(0, len(pixels), _PART):
        part = pixels[start : start + _PART]
        found = [np.count_nonzero(part == value) for value in values]
        counts += found
        if part.dtype.kind == "f" and sum(found) < len(part):
            nans += int(np.count_nonzero(np.isnan(part)))
    return nans


def _uniform(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels in one run that starts at a word and may be written, or the kernels would be compiled once more.

    What a codec returns may not be written; the kernels do not, so that it is only said to be otherwise, not copied.
    """
    layout = pixels.__array_interface__
    start, fixed = layout["data"]
    if not pixels.flags.c_contiguous or start % 8:
        return pixels.copy()
    return np.asarray(_Writable(layout | {"data": (start, False)}, pixels)) if fixed else pixels


@dataclass(frozen=True)
class _Writable:
    """What NumPy makes an array of, for as long as the pixels live."""

    __array_interface__: dict[str, Any]
    pixels: NDArray[Any]


def plain_enough(pixels: int) -> bool:
    """Return whether so few pixels are counted sooner by NumPy than the kernels are loaded."""
    return pixels < _PLAIN
