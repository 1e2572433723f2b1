"""Sets of groups (patients) that merge exactly, however a table is cut: hashes of the names, and a bit per class."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError

if TYPE_CHECKING:
    import pyarrow

_LONG = 64  # bytes; longer names are hashed one by one, so that a single huge cell cannot claim rows x length memory
_MERGE = 1 << 20
_U64 = np.uint64


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finaliser of splitmix64 (Steele, Lea and Flood 2014): every input bit moves every output bit.
    value = (value ^ (value >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> _U64(27))) * _U64(0x94D049BB133111EB)
    return value ^ (value >> _U64(31))


def hash_texts(texts: pyarrow.Array | Sequence[Any] | NDArray[Any]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each text, the same on every machine and for every way of batching.

    Integers are hashed as they are written, so the group 12 of a table equals the group "12" of another. Of a million
    groups two share a hash with probability 3e-8.
    """
    data, offsets = text_buffers(texts)
    if len(offsets) == 1:
        return np.zeros(0, _U64)
    lengths = np.diff(offsets)
    hashes = _hash_short(data, offsets[:-1], np.minimum(lengths, _LONG))
    for row in np.flatnonzero(lengths > _LONG):
        piece = data[offsets[row] : offsets[row + 1]].tobytes()
        hashes[row] = int.from_bytes(hashlib.blake2b(piece, digest_size=8).digest(), "little")
    return hashes


def text_buffers(texts: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of all texts end to end, and (texts + 1,) where each begins."""
    if hasattr(texts, "buffers"):  # an Arrow array of text
        _, offsets, data = texts.buffers()
        if len(texts) == 0:
            return np.zeros(0, np.uint8), np.zeros(1, np.int64)
        starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
        return np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8), starts
    pieces = [
        str(text).encode("utf-8", "surrogatepass") for text in (texts.tolist() if hasattr(texts, "tolist") else texts)
    ]
    starts = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    return np.frombuffer(b"".join(pieces), np.uint8), starts


def _hash_short(data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    words = max(1, -(-int(lengths.max()) // 8))
    columns = np.arange(words * 8)
    inside = columns < lengths[:, None]
    padded = np.append(data, np.uint8(0))
    cells = np.where(inside, padded[np.minimum(starts[:, None] + columns, len(data))], np.uint8(0))
    matrix = np.ascontiguousarray(cells).view("<u8").astype(_U64)
    hashes = _mixed(lengths.astype(_U64) * _U64(0x9E3779B97F4A7C15) + _U64(0x632BE59BD9B4E019))
    for word in range(words):
        # A word beyond the end is skipped, not mixed in as zero: the hash must not depend on the longest neighbour.
        step = _mixed((hashes ^ matrix[:, word]) + _U64(0x9E3779B97F4A7C15))
        hashes = np.where(lengths > word * 8, step, hashes)
    return hashes


@dataclass(frozen=True, eq=False)
class GroupSets:
    """Which groups were seen, and in which classes each has a positive.

    Attributes:
        hashes: (groups,) sorted and distinct.
        bits: (groups, words) bit c % 64 of word c // 64 is set when the group has a positive of class c.
        classes: how many classes there are.
    """

    hashes: NDArray[np.uint64]
    bits: NDArray[np.uint64]
    classes: int

    def __len__(self) -> int:
        return len(self.hashes)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, GroupSets)
            and self.classes == other.classes
            and np.array_equal(self.hashes, other.hashes)
            and np.array_equal(self.bits, other.bits)
        )

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: GroupSets) -> GroupSets:
        return _merged(
            np.concatenate([self.hashes, other.hashes]), np.concatenate([self.bits, other.bits]), self.classes
        )

    def per_class(self) -> NDArray[np.int64]:
        """Return (classes,) how many groups have a positive of each class."""
        counts: NDArray[np.int64] = self.table().sum(axis=0, dtype=np.int64)
        return counts

    def table(self) -> NDArray[np.bool_]:
        """Return (groups, classes) whether the group has a positive of the class."""
        return unpacked(self.bits, self.classes)

    def mapped(self, sources: Sequence[Sequence[int]]) -> GroupSets:
        """Return sets with other classes: class j is positive where any of the classes ``sources[j]`` was."""
        new = np.zeros((len(self), max(1, -(-len(sources) // 64))), _U64)
        for target, old in enumerate(sources):
            hit = np.zeros(len(self), _U64)
            for source in old:
                hit |= (self.bits[:, source // 64] >> _U64(source % 64)) & _U64(1)
            new[:, target // 64] |= hit << _U64(target % 64)
        return GroupSets(self.hashes, new, len(sources))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; the arrays are little-endian bytes in base64, the bits cut to whole bytes."""
        width = -(-self.classes // 8)
        packed = np.ascontiguousarray(self.bits.astype("<u8")).view(np.uint8)[:, :width]
        return {
            "count": len(self),
            "hashes": base64.b64encode(self.hashes.astype("<u8").tobytes()).decode(),
            "positive_bits": base64.b64encode(packed.tobytes()).decode(),
        }

    @classmethod
    def from_dict(cls, value: Any, classes: int) -> GroupSets:
        """Return the sets that `to_dict` wrote.

        Raises:
            DataError: the value is not what `to_dict` writes.
        """
        wrong = DataError('"group_sets" of a census is damaged. Count the labels again.')
        try:
            count = value["count"]
            hashes = np.frombuffer(base64.b64decode(value["hashes"], validate=True), "<u8").astype(_U64)
            packed = np.frombuffer(base64.b64decode(value["positive_bits"], validate=True), np.uint8)
        except (KeyError, TypeError, ValueError) as error:
            raise wrong from error
        width, words = -(-classes // 8), max(1, -(-classes // 64))
        if type(count) is not int or len(hashes) != count or len(packed) != count * width:
            raise wrong
        padded = np.zeros((count, words * 8), np.uint8)
        padded[:, :width] = packed.reshape(count, width)
        bits = padded.view("<u8").astype(_U64)
        spare = words * 64 - classes
        if np.any(hashes[1:] <= hashes[:-1]) or np.any(bits[:, -1] >> _U64(64 - spare) if 0 < spare < 64 else 0):
            raise wrong
        return cls(hashes, bits, classes)


class GroupTally:
    """Gathers groups batch by batch in memory that grows with the number of groups only."""

    def __init__(self) -> None:
        self._hashes = np.zeros(0, _U64)
        self._bits = np.zeros((0, 1), _U64)
        self._waiting: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]] = []
        self._count = 0

    def add(self, hashes: NDArray[np.uint64], bits: NDArray[np.uint64]) -> None:
        """Add groups with their class bits; the number of words may grow from call to call."""
        self._waiting.append((hashes, bits))
        self._count += len(hashes)
        if self._count > max(_MERGE, len(self._hashes)):  # merging when the heap has doubled costs O(n log n) in all
            self._merge()

    def _merge(self) -> None:
        words = max(self._bits.shape[1], *(bits.shape[1] for _, bits in self._waiting), 1)
        parts = [(self._hashes, self._bits), *self._waiting]
        widened = [np.pad(bits, ((0, 0), (0, words - bits.shape[1]))) for _, bits in parts]
        merged = _merged(np.concatenate([hashes for hashes, _ in parts]), np.concatenate(widened), words * 64)
        self._hashes, self._bits = merged.hashes, merged.bits
        self._waiting, self._count = [], 0

    def sets(self, classes: int) -> GroupSets:
        """Return what was gathered, as sets over `classes` classes."""
        if self._waiting:
            self._merge()
        words = max(1, -(-classes // 64))
        bits = np.pad(self._bits, ((0, 0), (0, max(0, words - self._bits.shape[1]))))[:, :words]
        return GroupSets(self._hashes, bits, classes)


def _merged(hashes: NDArray[np.uint64], bits: NDArray[np.uint64], classes: int) -> GroupSets:
    order = np.argsort(hashes, kind="stable")
    hashes, bits = hashes[order], bits[order]
    if len(hashes) == 0:
        return GroupSets(hashes, bits, classes)
    first = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    return GroupSets(hashes[first], np.bitwise_or.reduceat(bits, first, axis=0), classes)


def packed(table: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return (rows, words) with bit c of a row set where ``table[row, c]`` is true."""
    rows, classes = table.shape
    words = max(1, -(-classes // 64))
    spread = np.zeros((rows, words * 64), np.bool_)
    spread[:, :classes] = table
    return np.packbits(spread, axis=1, bitorder="little").view("<u8").astype(_U64)


def unpacked(bits: NDArray[np.uint64], classes: int) -> NDArray[np.bool_]:
    """Return the table that `packed` was given."""
    as_bytes = np.ascontiguousarray(bits.astype("<u8")).view(np.uint8)
    return np.unpackbits(as_bytes, axis=1, bitorder="little", count=classes).astype(np.bool_)


def gathered(codes: NDArray[Any], bits: NDArray[np.uint64], groups: int) -> NDArray[np.uint64]:
    """Return (groups, words) the union of the `bits` of the rows of each group; `codes` says whose row it is."""
    union = np.zeros((groups, bits.shape[1]), _U64)
    for word in range(bits.shape[1]):
        np.bitwise_or.at(union[:, word], codes, bits[:, word])
    return union
