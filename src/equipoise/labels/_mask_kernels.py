"""Counting the values of pixels near the speed at which memory can be read, compiled when it is first needed.

Three ways. Masks of one byte with two values are compared with both, many bytes at a time, in sums of one byte that are
emptied before they overflow. Where neighbours are mostly alike, words that equal the one before are counted as a run,
and then a pixel together with its neighbour, in tables of 1,024 cells for values below 32 and of 65,536 for others; the
four quarters of a word have a table each, since adding to one cell twice in a row waits. Values below 32 without such
runs have their bits parted into planes of 64 pixels a word. Full adders count, for each product of some of the bits,
how many pixels have it, after Harley and Seal (W. Mula, N. Kurz and D. Lemire, Faster population counts using AVX2
instructions, The Computer Journal 61, 2018, section 3.1); differences of these counts are the counts of the values.
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
_CELLS = 1 << 16
FEW = 32  # values below this are counted as products of their bits
_N = np.arange(256, dtype=np.uint64)  # of one type with the words: another would make them floats
_ROW, _DEEP = _N[32], _N[16]  # words of a row, rows that are added at a time
_TILE = int(_DEEP * _ROW) * 8  # words
_PLANE = _DEEP * _ROW + _N[8]  # planes that are 4,096 bytes apart would fight for cache lines
_PLANE_SIZE = int(_PLANE)
_BITS, _PAIRS, _NIBBLES = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
_FIRST, _SECOND = np.uint64(0x001F001F001F001F), np.uint64(0x03E003E003E003E0)  # of two neighbours, five bits each
_CHANGE = 256  # products of bits of one word that are added in the time that one change of a run costs
_COUNT, _THREE = np.uint64(127), np.uint64(3)
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


def _add_run(word, run, one, two, three, four):  # type: ignore[no-untyped-def]
    a, b = word & _LOW, (word >> _QUARTER) & _LOW
    c, d = (word >> _HALF) & _LOW, word >> _REST
    one[a + ((a >> _SKEW) << _SKEW_BY)] += run
    two[b + ((b >> _SKEW) << _SKEW_BY)] += run
    three[c + ((c >> _SKEW) << _SKEW_BY)] += run
    four[d + ((d >> _SKEW) << _SKEW_BY)] += run


_add_run_fast = _compiled(_add_run)


def _squeezed(word):  # type: ignore[no-untyped-def]
    """Return the pairs of a word of small values as ten bits each."""
    return (word & _FIRST) | ((word >> _THREE) & _SECOND)


_squeezed_fast = _compiled(_squeezed)


def _add_words(words, tables, few):  # type: ignore[no-untyped-def]
    """Add words as runs; of values below 32 (`few`) the pairs are squeezed, which keeps their tables small."""
    one, two, three, four = tables[0], tables[1], tables[2], tables[3]
    before = words[0]
    run = np.uint32(0)
    for j in range(words.size):
        word = words[j]
        if word == before:
            run += np.uint32(1)
        else:
            _add_run_fast(_squeezed_fast(before) if few else before, run, one, two, three, four)
            before = word
            run = np.uint32(1)
    _add_run_fast(_squeezed_fast(before) if few else before, run, one, two, three, four)


_add_words_fast = _compiled(_add_words)


def _full_adder(a, b, c):  # type: ignore[no-untyped-def]
    """Return the sum and the carry of three bits, 64 times over."""
    differ = a ^ b
    return differ ^ c, (a & b) | (differ & c)


_full_adder_fast = _compiled(_full_adder)


def _interleave(a, b, mask, by):  # type: ignore[no-untyped-def]
    """Return the bits of two words under `mask` side by side, and those `by` above it."""
    return (a & mask) | ((b & mask) << by), ((a >> by) & mask) | (b & ~mask)


_interleave_fast = _compiled(_interleave)


def _to_planes(words, planes):  # type: ignore[no-untyped-def]
    """Part the five bits of a tile's pixels, 64 pixels to a word: products of bits 0 and 1, then of bits 2, 3 and 4."""
    for row in range(_DEEP):
        for j in range(_ROW):
            at = row * _N[8] * _ROW + j
            a, b, c, d = words[at], words[at + _ROW], words[at + _N[2] * _ROW], words[at + _N[3] * _ROW]
            at += _N[4] * _ROW
            e, f, g, h = words[at], words[at + _ROW], words[at + _N[2] * _ROW], words[at + _N[3] * _ROW]
            a, e = _interleave_fast(a, e, _NIBBLES, _N[4])
            b, f = _interleave_fast(b, f, _NIBBLES, _N[4])
            c, g = _interleave_fast(c, g, _NIBBLES, _N[4])
            d, h = _interleave_fast(d, h, _NIBBLES, _N[4])
            a, c = _interleave_fast(a, c, _PAIRS, _N[2])
            b, d = _interleave_fast(b, d, _PAIRS, _N[2])
            bit0, bit1 = _interleave_fast(a, b, _BITS, _N[1])
            bit2, bit3 = _interleave_fast(c, d, _BITS, _N[1])
            bit4 = e | (f << _N[1]) | (g << _N[2]) | (h << _N[3])
            at = row * _ROW + j
            planes[_PLANE + at], planes[_N[2] * _PLANE + at], planes[_N[3] * _PLANE + at] = bit0, bit1, bit0 & bit1
            planes[_N[5] * _PLANE + at], planes[_N[6] * _PLANE + at] = bit2, bit3
            planes[_N[7] * _PLANE + at], planes[_N[8] * _PLANE + at] = bit2 & bit3, bit4
            planes[_N[9] * _PLANE + at], planes[_N[10] * _PLANE + at] = bit2 & bit4, bit3 & bit4
            planes[_N[11] * _PLANE + at] = bit2 & bit3 & bit4


_to_planes_fast = _compiled(_to_planes)


def _add_four(one, other, at, ones, twos):  # type: ignore[no-untyped-def]
    """Add the products of four rows to two sums of bits; return them and what is carried to the fours."""
    ones, a = _full_adder_fast(ones, one[at] & other[at], one[at + _ROW] & other[at + _ROW])
    at += _N[2] * _ROW
    ones, b = _full_adder_fast(ones, one[at] & other[at], one[at + _ROW] & other[at + _ROW])
    twos, fours = _full_adder_fast(twos, a, b)
    return ones, twos, fours


_add_four_fast = _compiled(_add_four)


def _add_products(one, other, sums):  # type: ignore[no-untyped-def]
    """Add the bits that are set in both of two planes: a row of sums for each binary digit, and one of sixteens."""
    for j in range(_ROW):
        ones, twos = sums[j], sums[_ROW + j]
        ones, twos, a = _add_four_fast(one, other, j, ones, twos)
        ones, twos, b = _add_four_fast(one, other, _N[4] * _ROW + j, ones, twos)
        fours, c = _full_adder_fast(sums[_N[2] * _ROW + j], a, b)
        ones, twos, a = _add_four_fast(one, other, _N[8] * _ROW + j, ones, twos)
        ones, twos, b = _add_four_fast(one, other, _N[12] * _ROW + j, ones, twos)
        fours, d = _full_adder_fast(fours, a, b)
        eights, more = _full_adder_fast(sums[_N[3] * _ROW + j], c, d)
        sums[j], sums[_ROW + j] = ones, twos
        sums[_N[2] * _ROW + j], sums[_N[3] * _ROW + j] = fours, eights
        more -= (more >> _N[1]) & _BITS
        more = (more & _PAIRS) + ((more >> _N[2]) & _PAIRS)
        more = (more + (more >> _N[4])) & _NIBBLES
        more += more >> _N[8]
        more += more >> _N[16]
        sums[_N[4] * _ROW + j] += (more + (more >> _N[32])) & _COUNT


_add_products_fast = _compiled(_add_products)


def _add_planes(planes, sums, bits):  # type: ignore[no-untyped-def]
    for k in range(1, FEW):
        if k & ~bits == 0:
            one, other = (k & 3) * _PLANE_SIZE, (4 + (k >> 2)) * _PLANE_SIZE
            _add_products_fast(planes[one : one + _PLANE_SIZE], planes[other : other + _PLANE_SIZE], sums[k])


_add_planes_fast = _compiled(_add_planes)


def _look(words):  # type: ignore[no-untyped-def]
    """Return the bits that any of the values has, and how often a word differs from the one before."""
    bits, changes = words[0], np.int64(0)
    for j in range(1, words.size):
        bits |= words[j]
        changes += np.int64(words[j] != words[j - 1])
    bits |= bits >> _N[32]
    bits |= bits >> _N[16]
    return np.int64((bits | (bits >> _N[8])) & _N[255]), changes


_look_fast = _compiled(_look)


def _add_few(words, tables, planes, sums):  # type: ignore[no-untyped-def]
    """Add whole tiles of pixels from 0 to 31; return how many words were added before a tile that holds another."""
    for start in range(0, words.size - _TILE + 1, _TILE):
        tile = words[start : start + _TILE]
        bits, changes = _look_fast(tile)  # in order, which also brings the tile into the first caches
        if bits >= FEW:
            return start
        if changes * _CHANGE < _TILE * bits:
            _add_words_fast(tile, tables, True)
        else:
            _to_planes_fast(tile, planes)
            _add_planes_fast(planes, sums, bits)
    return words.size // _TILE * _TILE


count_two = _compiled(_count_two)
add_few = _compiled(_add_few)
add_words = _add_words_fast


def empty_tables() -> NDArray[np.uint32]:
    """Return tables for `add_words`; a cell holds four billion words, after which `word_counts` must empty it."""
    return np.zeros((4, _CELLS + (256 << int(_SKEW_BY))), np.uint32)


def word_counts(tables: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return (65,536,) how often each quarter of a word was met."""
    return _cells(tables, _CELLS)


class FewCounts:
    """How often each value from 0 to 31 occurs in blocks, which one thread at a time adds."""

    def __init__(self) -> None:
        planes = np.zeros((12, _PLANE_SIZE), np.uint64)
        planes[[0, 4]] = ~np.uint64(0)
        self._sums = np.zeros((FEW, 5, int(_ROW)), np.uint64)
        self._tables = np.zeros((4, FEW * FEW + (4 << int(_SKEW_BY))), np.uint32)
        self._working = self._tables, planes.ravel(), self._sums.reshape(FEW, -1)
        self._pixels = 0

    def add(self, pixels: NDArray[np.uint8]) -> int:
        """Return how many pixels (n,) were counted before a part of them that holds another value."""
        added = int(add_few(pixels[: len(pixels) // 8 * 8].view(np.uint64), *self._working)) * 8
        rest = pixels[added:]
        if 0 < len(rest) < 8 * _TILE:
            whole = np.zeros(8 * _TILE, np.uint8)
            whole[: len(rest)] = rest
            if add_few(whole.view(np.uint64), *self._working):
                added = len(pixels)
        self._pixels += added
        return added

    def counts(self) -> NDArray[np.int64]:
        """Return (32,) the pixels of each value."""
        digits = np.bitwise_count(self._sums[:, :4]).sum(axis=2, dtype=np.int64) @ np.array([1, 2, 4, 8])
        found = digits + 16 * self._sums[:, 4].sum(axis=1).astype(np.int64)
        for bit in range(5):  # of pixels that have at least some bits, those that have exactly them
            pairs = found.reshape(-1, 2, 1 << bit)
            pairs[:, 0] -= pairs[:, 1]
        cells = _cells(self._tables, FEW * FEW).reshape(FEW, FEW)
        found += cells.sum(axis=0) + cells.sum(axis=1)
        found[0] = self._pixels - found[1:].sum()  # a last tile is filled with zeros
        return np.asarray(found)


def _cells(tables: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    cell = np.arange(count)
    return np.asarray(tables.sum(axis=0, dtype=np.int64)[cell + ((cell >> 8) << int(_SKEW_BY))])
