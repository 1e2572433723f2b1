"""Ids as 64-bit keys: equal across files, types and machines, so that overlaps are found without keeping the ids."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_LONGEST = 128  # longer ids are digested first, so that one hostile id cannot blow up the padded table


def hash_ids(ids: NDArray) -> NDArray[np.uint64]:
    """Return one 64-bit key per id, shape (rows,).

    FNV-1a over the UTF-8 bytes of the id as text, then the final mix of SplitMix64. The integer 7 and the text "7" have
    the same key, because a CSV cannot tell them apart.

    Args:
        ids: integers or strings, shape (rows,).

    Example:
        >>> hash_ids(np.array([7, 8]))[0] == hash_ids(np.array(["7"], dtype=object))[0]
        np.True_
    """
    if not len(ids):
        return np.zeros(0, dtype=np.uint64)
    padded, lengths = _padded_bytes(ids)
    keys = np.full(len(lengths), _OFFSET)
    shortest = int(lengths.min())
    with np.errstate(over="ignore"):
        for column in range(padded.shape[0]):
            mixed = (keys ^ padded[column]) * _PRIME
            keys = mixed if column < shortest else np.where(column < lengths, mixed, keys)
    return _mixed(keys)


def _padded_bytes(ids: NDArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of each id, shape (longest, rows), padded with zeros, and their lengths, shape (rows,)."""
    if ids.dtype.kind in "iu":
        encoded = ids.astype("S21")
        lengths = np.strings.str_len(encoded).astype(np.int64)
        return _columns_of(encoded), lengths
    texts = list(map(str, ids.tolist()))
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if lengths.max() > _LONGEST or not "".join(texts).isascii():
        parts = [text.encode("utf-8", "surrogatepass") for text in texts]
        parts = [hashlib.sha256(one).hexdigest().encode() if len(one) > _LONGEST else one for one in parts]
        lengths = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
        return _columns_of(np.array(parts, dtype=f"S{max(1, int(lengths.max()))}")), lengths
    return _columns_of(np.array(texts, dtype=f"S{max(1, int(lengths.max()))}")), lengths


def hash_rows(table: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return one 64-bit key per row of numbers, shape (rows,): equal for rows that are equal to twelve decimals.

    FNV-1a over the 64-bit words of the row, then the final mix of SplitMix64.

    Args:
        table: shape (rows, columns); NaN equals NaN, and minus zero equals zero.

    Example:
        >>> keys = hash_rows(np.array([[0.0, np.nan], [-0.0, np.nan], [1.0, 0.0]]))
        >>> (keys[0] == keys[1]).item(), (keys[0] == keys[2]).item()
        (True, False)
    """
    rounded = np.round(table, 12) + 0.0
    rounded[np.isnan(rounded)] = np.nan
    keys = np.full(len(table), _OFFSET)
    with np.errstate(over="ignore"):
        for column in np.ascontiguousarray(rounded.T).view(np.uint64):
            keys = (keys ^ column) * _PRIME
            keys ^= keys >> np.uint64(32)
    return _mixed(keys)


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            keys = (keys ^ (keys >> np.uint64(shift))) * np.uint64(factor)
    return keys ^ (keys >> np.uint64(31))


def _columns_of(encoded: NDArray) -> NDArray[np.uint8]:
    table = np.frombuffer(encoded.tobytes(), dtype=np.uint8).reshape(len(encoded), encoded.itemsize)
    return np.ascontiguousarray(table.T)


def digest(keys: NDArray[np.uint64]) -> str:
    """Return one short hexadecimal name of a set of keys; the order of the keys does not matter."""
    return hashlib.sha256(np.sort(keys).astype("<u8").tobytes()).hexdigest()[:16]
