"""Random numbers that are a pure function of a key and a counter: nothing to store, nothing to replay.

The generator is splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014), whose
state is a counter: number t of a key is ``mix(key + (t + 1) * golden)``, so that any t can be asked for by itself.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ALL = (1 << 64) - 1
_FEW = 1 << 13  # a network over few is far from random; sorting few costs nothing
_STEPS = 8  # half-rounds of the Feistel network: each half is changed four times


def key_of(*parts: object) -> int:
    """Return 64 bits that depend on `parts` alone: the same on every platform and in every process.

    >>> key_of(0, 1, "rows") == key_of(0, 1, "rows"), key_of(0, 1) == key_of(1, 0)
    (True, False)
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def random_words(key: int, counters: NDArray[np.integer]) -> Words:
    """Return 64 random bits for each counter, of the shape of `counters`.

    >>> random_words(0, np.arange(2)).tolist()  # the first two numbers of splitmix64 with seed 0
    [16294208416658607535, 7960286522194355700]
    """
    words = counters.astype(np.uint64)
    words *= np.uint64(_GOLDEN)
    words += np.uint64((key + _GOLDEN) & _ALL)
    shifted = words >> np.uint64(30)
    words ^= shifted
    words *= np.uint64(_MIX_1)
    np.right_shift(words, np.uint64(27), out=shifted)
    words ^= shifted
    words *= np.uint64(_MIX_2)
    np.right_shift(words, np.uint64(31), out=shifted)
    words ^= shifted
    return words


def random_units(key: int, counters: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each counter: the upper 53 of its bits."""
    units = (random_words(key, counters) >> np.uint64(11)).astype(np.float64)
    units *= 2.0**-53
    return units


def permuted(positions: NDArray[np.integer], size: int, key: int) -> NDArray[np.int64]:
    """Return where each position in [0, size) goes in a random permutation of `size`; no permutation is stored.

    Few are sorted by random words, which is exact. For many, a Feistel network over the least power of two that holds
    `size`; what falls outside walks on until it is inside (Black and Rogaway, "Ciphers with arbitrary finite domains",
    CT-RSA 2002, section 3): less than two walks each.

    >>> sorted(permuted(np.arange(5), 5, key=7).tolist())
    [0, 1, 2, 3, 4]
    """
    if size <= _FEW:
        order = np.argsort(random_words(key, np.arange(size)), kind="stable")
        return np.asarray(order[positions], dtype=np.int64)
    bits = (size - 1).bit_length()
    keys = random_words(key, np.arange(_STEPS))
    words = _feistel(positions.astype(np.uint64), bits, keys)
    outside = np.flatnonzero(words >= np.uint64(size))
    while len(outside):
        walked = _feistel(words[outside], bits, keys)
        words[outside] = walked
        outside = outside[walked >= np.uint64(size)]
    return words.view(np.int64)


def _feistel(words: Words, bits: int, keys: Words) -> Words:
    right = bits // 2
    widths = (bits - right, right)
    halves = [words >> np.uint64(right), words & np.uint64((1 << right) - 1)]
    for step, key in enumerate(keys):
        changed, other = step % 2, 1 - step % 2
        mixed = halves[other] + key
        mixed *= np.uint64(_MIX_1)
        mixed ^= mixed >> np.uint64(32)
        mixed *= np.uint64(_MIX_2)
        mixed >>= np.uint64(64 - widths[changed])
        halves[changed] ^= mixed
    return (halves[0] << np.uint64(right)) | halves[1]
