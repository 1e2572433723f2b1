"""Counting the values of pixels near the speed at which memory can be read, compiled when it is first needed.

Two ways. Masks of one byte with two values are worked on in words of eight pixels: how many have the other value, and
whether any has a third, which vector units do for 32 pixels at a time. Many values of one or two bytes go into
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

LANES = 512
_ROWS = 6  # of words, in the first cache; the sums of a lane stay far below 255
_TILE = 24 * 1024
_CELLS = 1 << 16
_ONES, _EVEN = np.uint64(0x0101010101010101), np.uint64(0x00FF00FF00FF00FF)
_EIGHT, _TOP = np.uint64(8), np.uint64(56)
_LOW, _QUARTER, _HALF, _REST = np.uint64(0xFFFF), np.uint64(16), np.uint64(32), np.uint64(48)
_SKEW, _SKEW_BY = np.uint64(8), np.uint64(4)  # rows of the table that are 1,024 bytes apart would fight for cache lines


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile for any thread; keep the result on disk where there is a place for it."""
    plain = inspect.unwrap(function)
    try:
        return numba.njit(nogil=True, cache=True)(plain)
    except RuntimeError:  # no folder can be written: neither the package's nor the user's
        return numba.njit(nogil=True)(plain)


def _count_other(words, one, difference, shift):  # type: ignore[no-untyped-def]
    """Return how many bytes are not `one`, and bits that are 0 if every byte is `one` or `one` xor `difference`.

    With x the difference of each byte from `one`, its bit at `shift` (the lowest of `difference`) says whether it is
    the other value: y, 0 or 1. Then 255 y, cut to the bits of `difference`, is x itself unless it is a third value.
    """
    first = np.uint64(one) * _ONES
    bits = np.uint64(difference) * _ONES
    acc = np.zeros(LANES, np.uint64)
    wrong = np.uint64(0)
    total = np.uint64(0)
    for start in range(0, words.size, _ROWS * LANES):
        tile = words[start : start + _ROWS * LANES]
        whole = tile.size // LANES * LANES
        acc[:] = 0
        for begin in range(0, whole, LANES):
            row = tile[begin : begin + LANES]
            for j in range(LANES):
                x = row[j] ^ first
                y = (x >> shift) & _ONES
                wrong |= (((y << _EIGHT) - y) & bits) ^ x
                acc[j] += y
        sums = np.uint64(0)  # four sums of 16 bits
        for j in range(LANES):
            sums += (acc[j] & _EVEN) + ((acc[j] >> _EIGHT) & _EVEN)
        total += (sums & _LOW) + ((sums >> _QUARTER) & _LOW) + ((sums >> _HALF) & _LOW) + (sums >> _REST)
        for word in tile[whole:]:
            x = word ^ first
            y = (x >> shift) & _ONES
            wrong |= (((y << _EIGHT) - y) & bits) ^ x
            total += (y * _ONES) >> _TOP
    return total, wrong


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


count_other = _compiled(_count_other)
numbers_equal = _compiled(_numbers_equal)
add_words = _compiled(_add_words)


def empty_tables() -> NDArray[np.uint32]:
    """Return tables for `add_words`; they hold four billion words, after which `word_counts` must empty them."""
    return np.zeros((4, _CELLS + (256 << int(_SKEW_BY))), np.uint32)


def word_counts(tables: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return (65,536,) how often each quarter of a word was met."""
    cell = np.arange(_CELLS)
    return np.asarray(tables.sum(axis=0, dtype=np.int64)[cell + ((cell >> 8) << int(_SKEW_BY))])
