"""Counting the values of pixels near the speed at which memory can be read, compiled when it is first needed.

Two ways. Few known values are compared with every pixel: the sums are kept in one byte for each of 1,024 lanes, which
vector units add 32 at a time, over a tile that stays in the first cache. Many values of one or two bytes go into
histograms of 65,536 cells: a pixel of one byte is counted together with its neighbour, so that there is one step for
two pixels; the four quarters of a word have a table each, since adding to one cell twice in a row waits; and words that
equal the one before are counted as a run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

LANES = 1024
_TILE = 24 * LANES
_CELLS = 1 << 16
_byte = np.uint8
_LOW, _QUARTER, _HALF, _REST = np.uint64(0xFFFF), np.uint64(16), np.uint64(32), np.uint64(48)
_SKEW, _SKEW_BY = np.uint64(8), np.uint64(4)  # rows of the table that are 1,024 bytes apart would fight for cache lines


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile for any thread; keep the result on disk where there is a place for it."""
    plain = inspect.unwrap(function)
    try:
        return numba.njit(nogil=True, cache=True)(plain)
    except RuntimeError:  # no folder can be written: neither the package's nor the user's
        return numba.njit(nogil=True)(plain)


def _add_two(one, two, acc, rows):  # type: ignore[no-untyped-def]
    for j in range(LANES):  # one array for all sums and one for all pixels: more would not be vectorised
        a, b, c, d = rows[j], rows[j + LANES], rows[j + 2 * LANES], rows[j + 3 * LANES]
        acc[j] += _byte(a == one) + _byte(b == one) + _byte(c == one) + _byte(d == one)
        acc[j + LANES] += _byte(a == two) + _byte(b == two) + _byte(c == two) + _byte(d == two)


_add_two_fast = _compiled(_add_two)


def _count_two(tile, one, two, acc, counts, k):  # type: ignore[no-untyped-def]
    acc[:] = 0
    whole = tile.size // (4 * LANES) * 4 * LANES
    for start in range(0, whole, 4 * LANES):
        _add_two_fast(one, two, acc, tile[start : start + 4 * LANES])
    first = 0
    second = 0
    for j in range(LANES):
        first += acc[j]
        second += acc[j + LANES]
    for value in tile[whole:]:
        first += value == one
        second += value == two
    counts[k] += first
    counts[k + 1] += second


_count_two_fast = _compiled(_count_two)


def _bytes_equal(pixels, values, counts):  # type: ignore[no-untyped-def]
    """Add to `counts` how many pixels equal each of an even number of values."""
    acc = np.zeros(2 * LANES, np.uint8)
    for start in range(0, pixels.size, _TILE):
        tile = pixels[start : start + _TILE]
        for k in range(0, values.size, 2):
            _count_two_fast(tile, values[k], values[k + 1], acc, counts, k)


def _numbers_equal(pixels, values, counts):  # type: ignore[no-untyped-def]
    unknown = np.int64(0)
    for start in range(0, pixels.size, _TILE // 4):
        tile = pixels[start : start + _TILE // 4]
        for k in range(values.size):
            value = values[k]
            found = np.int32(0)
            for j in range(tile.size):
                found += np.int32(tile[j] == value)
            counts[k] += found
        nans = np.int32(0)
        for j in range(tile.size):
            nans += np.int32(tile[j] != tile[j])
        unknown += np.int64(nans)
    return unknown


def _add_run(word, run, one, two, three, four):  # type: ignore[no-untyped-def]
    a, b = word & _LOW, (word >> _QUARTER) & _LOW
    c, d = (word >> _HALF) & _LOW, word >> _REST
    one[a + ((a >> _SKEW) << _SKEW_BY)] += run
    two[b + ((b >> _SKEW) << _SKEW_BY)] += run
    three[c + ((c >> _SKEW) << _SKEW_BY)] += run
    four[d + ((d >> _SKEW) << _SKEW_BY)] += run


_add_run_fast = _compiled(_add_run)


def _add_words(words, tables):  # type: ignore[no-untyped-def]
    one, two, three, four = tables[0], tables[1], tables[2], tables[3]
    before = words[0]
    run = np.uint32(0)
    for j in range(words.size):
        word = words[j]
        if word == before:
            run += np.uint32(1)
        else:
            _add_run_fast(before, run, one, two, three, four)
            before = word
            run = np.uint32(1)
    _add_run_fast(before, run, one, two, three, four)


bytes_equal = _compiled(_bytes_equal)
numbers_equal = _compiled(_numbers_equal)
add_words = _compiled(_add_words)


def empty_tables() -> NDArray[np.uint32]:
    """Return tables for `add_words`; they hold four billion words, after which `word_counts` must empty them."""
    return np.zeros((4, _CELLS + (256 << int(_SKEW_BY))), np.uint32)


def word_counts(tables: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return (65,536,) how often each quarter of a word was met."""
    cell = np.arange(_CELLS)
    return np.asarray(tables.sum(axis=0, dtype=np.int64)[cell + ((cell >> 8) << int(_SKEW_BY))])
