"""Counting the values of pixels near the speed at which memory can be read, compiled when it is first needed.

Three ways. Masks of one byte with two values are compared with both, many bytes at a time, in sums of one byte that are
emptied before they overflow. Other values below 32 are looked up, 32 pixels at a time, in tables that give two values
the two halves of a byte to count in (as W. Mula, N. Kurz and D. Lemire count bits by a shuffle: Faster population
counts using AVX2 instructions, The Computer Journal 61, 2018, section 3). Anything else goes, word by word, into tables
of 65,536 cells, where words that equal the one before are counted as a run; the four quarters of a word have a table
each, since adding to one cell twice in a row waits.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from equipoise._compiled import compiled

LANES = 2048  # pixels that are compared at a time: their sums stay in the first cache
_ROWS = 255  # of lanes, after which a sum of one byte could overflow
_CELLS = 1 << 16
FEW = 32  # a table has an entry for half a byte, and one bit more is told by a subtraction
_SHUFFLES = "+avx2" in cpu_target.target_context.codegen().magic_tuple()[2].split(",")
_LOOKED_UP = FEW if _SHUFFLES else 8  # values below this: comparing with more costs more than a table of cells
_VECTOR = 32  # pixels that are looked up at a time
_TURN = 15  # vectors, after which a sum of half a byte could overflow
_TURNS = 17  # after which a sum of one byte could overflow
_GROUP = _VECTOR * _TURN * _TURNS
_TABLES = 2  # that are used at a time: they and their sums stay in registers
_BYTES = ir.VectorType(ir.IntType(8), _VECTOR)
_SHORTS = ir.VectorType(ir.IntType(16), _VECTOR)
_LONG = ir.IntType(64)
_cgutils: Any = cgutils  # has no types
_LOW, _QUARTER, _HALF, _REST = np.uint64(0xFFFF), np.uint64(16), np.uint64(32), np.uint64(48)
_SKEW, _SKEW_BY = np.uint64(8), np.uint64(4)  # rows of the table that are 1,024 bytes apart would fight for cache lines


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


_add_run_fast = compiled(_add_run)


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


def _bytes(value: int) -> ir.Constant:
    return ir.Constant(_BYTES, [value] * _VECTOR)


def _intrinsic(builder: Any, name: str, kind: ir.Type, *given: Any) -> Any:
    called = ir.FunctionType(kind, [value.type for value in given])
    return builder.call(_cgutils.get_or_insert_function(builder.module, called, name), given)


def _weights(builder: Any, vector: Any, pair: int) -> Any:
    """Return 1 where the lower halves of bytes are twice `pair`, 16 where they are one more; bytes above 127 are 0."""
    first, second = 2 * pair, 2 * pair + 1
    if _SHUFFLES:
        table = [1 if k == first else 16 if k == second else 0 for k in range(16)] * (_VECTOR // 16)
        return _intrinsic(builder, "llvm.x86.avx2.pshuf.b", _BYTES, ir.Constant(_BYTES, table), vector)
    half = builder.and_(vector, _bytes(0x8F))
    found = [builder.sext(builder.icmp_unsigned("==", half, _bytes(value)), _BYTES) for value in (first, second)]
    return builder.or_(builder.and_(found[0], _bytes(1)), builder.and_(found[1], _bytes(16)))


def _add_turn(builder: Any, vectors: list[Any], pairs: range, wide: list[Any]) -> None:
    """Add the values of some pairs in `_TURN` vectors of pixels to sums of one byte a value."""
    for pair in pairs:
        both = _bytes(0)
        for vector in vectors:
            low = builder.sub(vector, _bytes(16)) if pair >= 8 else vector
            both = builder.add(both, _weights(builder, low, pair % 8))
        halves = builder.and_(both, _bytes(15)), builder.lshr(both, _bytes(4))
        for cell, found in zip(wide[2 * pair : 2 * pair + 2], halves, strict=True):
            builder.store(builder.add(builder.load(cell), found), cell)


def _add_group(capacity: int, builder: Any, start: Any, sums: Any) -> Any:
    """Write what adds a group of pixels to sums if all are below `capacity`, both given by their addresses.

    What is written returns the bits that any of the pixels has.
    """
    pixels = builder.inttoptr(start, _BYTES.as_pointer())
    wide = [_cgutils.alloca_once(builder, _BYTES) for _ in range(capacity)]
    met = _cgutils.alloca_once(builder, _BYTES)
    for cell in (*wide, met):
        builder.store(_bytes(0), cell)
    with _cgutils.for_range(builder, _LONG(_TURNS)) as turn:
        base = builder.mul(turn.index, _LONG(_TURN))
        places = [builder.gep(pixels, [builder.add(base, _LONG(k))]) for k in range(_TURN)]
        for first in range(0, capacity // 2, _TABLES):
            vectors = [builder.load(place, align=1) for place in places]
            if first == 0:
                builder.store(functools.reduce(builder.or_, vectors, builder.load(met)), met)
            _add_turn(builder, vectors, range(first, first + _TABLES), wide)
    found = _intrinsic(builder, f"llvm.vector.reduce.or.v{_VECTOR}i8", _BYTES.element, builder.load(met))
    bits = builder.zext(found, _LONG)
    with builder.if_then(builder.icmp_unsigned("<", bits, _LONG(capacity))):
        shorts = [builder.zext(builder.load(cell), _SHORTS) for cell in wide]
        name = f"llvm.vector.reduce.add.v{_VECTOR}i16"
        counts = [builder.zext(_intrinsic(builder, name, _SHORTS.element, short), _LONG) for short in shorts]
        for k in range(16, capacity):  # the lower halves of these were counted with the others
            counts[k - 16] = builder.sub(counts[k - 16], counts[k])
        total = builder.inttoptr(sums, _LONG.as_pointer())
        for k, count in enumerate(counts):
            cell = builder.gep(total, [_LONG(k)])
            builder.store(builder.add(builder.load(cell), count), cell)
    return bits


def _group_adder(capacity: int) -> Any:
    def typed(_typing: Any, _start: Any, _sums: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
            return _add_group(capacity, builder, *given)

        return types.int64(types.uintp, types.uintp), generate

    return intrinsic(typed)


_add_4, _add_8, _add_16, _add_32 = (_group_adder(capacity) for capacity in (4, 8, 16, FEW))


def _add_few(pixels, limit, sums):  # type: ignore[no-untyped-def]
    """Add whole groups of pixels below `limit`; return how many pixels were added before a group that holds another."""
    address, into = np.uintp(pixels.ctypes.data), np.uintp(sums.ctypes.data)
    capacity, added = 4, 0
    while added + _GROUP <= pixels.size:
        start = address + np.uintp(added)
        if capacity == 4:
            bits = _add_4(start, into)
        elif capacity == 8:
            bits = _add_8(start, into)
        elif capacity == 16:
            bits = _add_16(start, into)
        else:
            bits = _add_32(start, into)
        if bits < capacity:
            added += _GROUP
        elif bits >= limit:
            return added
        while capacity <= bits:
            capacity *= 2
    return added


count_two = compiled(_count_two)
add_few = compiled(_add_few)
add_words = compiled(_add_words)


def empty_tables() -> NDArray[np.uint32]:
    """Return tables for `add_words`; a cell holds four billion words, after which `word_counts` must empty it."""
    return np.zeros((4, _CELLS + (256 << int(_SKEW_BY))), np.uint32)


def word_counts(tables: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return (65,536,) how often each quarter of a word was met."""
    cell = np.arange(_CELLS)
    return np.asarray(tables.sum(axis=0, dtype=np.int64)[cell + ((cell >> 8) << int(_SKEW_BY))])


class FewCounts:
    """How often each value from 0 to 31 occurs in blocks, which one thread at a time adds."""

    def __init__(self) -> None:
        self._sums = np.zeros(FEW, np.int64)
        self._padded = 0

    def add(self, pixels: NDArray[np.uint8]) -> int:
        """Return how many pixels (n,) were counted before a part of them that holds another value."""
        added = self._add(pixels)
        rest = pixels[added:]
        if 0 < len(rest) < _GROUP:
            whole = np.zeros(_GROUP, np.uint8)
            whole[: len(rest)] = rest
            if self._add(whole):
                added = len(pixels)
                self._padded += _GROUP - len(rest)
        return added

    def _add(self, pixels: NDArray[np.uint8]) -> int:
        return int(add_few(pixels, _LOOKED_UP, self._sums))

    def counts(self) -> NDArray[np.int64]:
        """Return (32,) the pixels of each value."""
        found = self._sums.copy()
        found[0] -= self._padded
        return found
