"""Counting the values of pixels near the speed at which memory can be read, compiled when it is first needed.

Three ways. Masks of one byte with two values are compared with both, many bytes at a time, in sums of one byte that are
emptied before they overflow. The values 0 to 31 of one byte go into histograms of 1,024 cells, which stay in the first
cache, all others into histograms of 65,536: a pixel of one byte is counted together with its neighbour, so that there
is one step for two pixels; the four quarters of a word have a table each, since adding to one cell twice in a row
waits; and words that equal the one before are counted as a run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

LANES = 2048  # pixels that are compared at a time: their sums stay in the first cache
_ROWS = 255  # of lanes, after which a sum of one byte could overflow
_TILE = 24 * 1024
_CELLS = 1 << 16
FEW = 32  # values below this have the small tables
_FEW_CELLS = FEW * FEW
_FIRST, _SECOND = np.uint64(0x001F001F001F001F), np.uint64(0x03E003E003E003E0)  # of two neighbours, five bits each
_TOO_LARGE, _THREE, _PAIR = np.uint64(0xE0E0E0E0E0E0E0E0), np.uint64(3), np.uint64(_FEW_CELLS - 1)
_LOW, _QUARTER, _HALF, _REST = np.uint64(0xFFFF), np.uint64(16), np.uint64(32), np.uint64(48)
_SKEW, _SKEW_BY = np.uint64(8), np.uint64(4)  # rows of the table that are 1,024 bytes apart would fight for cache lines


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile for any thread; keep the result on disk where there is a place for it."""
    plain = inspect.unwrap(function)
    try:
        return numba.njit(nogil=True, cache=True)(plain)
    except RuntimeError:  # no folder can be written: neither the package's nor the user's
        return numba.njit(nogil=True)(plain)


def _count_two(pixels, one, other, ones, others):  # type: ignore[no-untyped-def]
    """Return how many pixels, a multiple of `LANES` of them, equal `one`, and `other`. The last two are for sums."""
    found_one, found_other = np.int64(0), np.int64(0)
    rows = pixels.size // LANES
    for start in range(0, rows, _ROWS):
        ones[:] = 0
        others[:] = 0
        for row in range(start, min(start + _ROWS, rows)):
            part = pixels[row * LANES : (row + 1) * LANES]
            for j in range(LANES):
                ones[j] += np.uint8(part[j] == one)
                others[j] += np.uint8(part[j] == other)
        for j in range(LANES):
            found_one += np.int64(ones[j])
            found_other += np.int64(others[j])
    return found_one, found_other


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


def _add_pairs(word, run, one, two, three, four):  # type: ignore[no-untyped-def]
    pairs = (word & _FIRST) | ((word >> _THREE) & _SECOND)
    one[pairs & _PAIR] += run
    two[(pairs >> _QUARTER) & _PAIR] += run
    three[(pairs >> _HALF) & _PAIR] += run
    four[pairs >> _REST] += run


_add_pairs_fast = _compiled(_add_pairs)


def _add_few(words, tables):  # type: ignore[no-untyped-def]
    """Add words of pixels from 0 to 31; return how many were added before a tile that holds another."""
    one, two, three, four = tables[0], tables[1], tables[2], tables[3]
    for start in range(0, words.size, _TILE // 8):
        tile = words[start : start + _TILE // 8]
        bits = np.uint64(0)
        for j in range(tile.size):
            bits |= tile[j]
        if bits & _TOO_LARGE:
            return start
        before = tile[0]
        run = np.uint32(0)
        for j in range(tile.size):
            word = tile[j]
            if word == before:
                run += np.uint32(1)
            else:
                _add_pairs_fast(before, run, one, two, three, four)
                before = word
                run = np.uint32(1)
        _add_pairs_fast(before, run, one, two, three, four)
    return words.size


count_two = _compiled(_count_two)
add_few = _compiled(_add_few)
numbers_equal = _compiled(_numbers_equal)
add_words = _compiled(_add_words)


def empty_tables() -> NDArray[np.uint32]:
    """Return tables for `add_words`; a cell holds four billion words, after which `word_counts` must empty it."""
    return np.zeros((4, _CELLS + (256 << int(_SKEW_BY))), np.uint32)


def word_counts(tables: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return (65,536,) how often each quarter of a word was met."""
    cell = np.arange(_CELLS)
    return np.asarray(tables.sum(axis=0, dtype=np.int64)[cell + ((cell >> 8) << int(_SKEW_BY))])


def empty_few() -> NDArray[np.uint32]:
    """Return tables for `add_few`, of cells as large."""
    return np.zeros((4, _FEW_CELLS), np.uint32)
