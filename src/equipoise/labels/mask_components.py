"""Connected parts of the classes of masks: how many there are, and how large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError

_BINS = 48  # sizes up to 2^48 pixels


@dataclass(frozen=True, eq=False)
class Components:
    """Connected parts of each class. ``a + b`` adds those of other masks.

    Attributes:
        classes: class names; the background of exclusive classes is left out.
        histogram: (classes, 48) parts with at least 2^k and fewer than 2^(k+1) pixels, in column k.
        smallest, largest: (classes,) pixels of the smallest and largest part, 0 where there is none.
    """

    classes: tuple[str, ...]
    histogram: NDArray[np.int64]
    smallest: NDArray[np.int64]
    largest: NDArray[np.int64]

    @classmethod
    def of_sizes(cls, sizes: Mapping[str, NDArray[np.int64]]) -> Components:
        """Return the record of parts whose sizes in pixels are known.

        Example:
            >>> found = Components.of_sizes({"lesion": np.array([1, 3, 900])})
            >>> found.counts.tolist(), found.quantile(0.5).tolist(), found.largest.tolist()
            ([3], [2.0], [900])
        """
        histogram = np.zeros((len(sizes), _BINS), np.int64)
        ends = np.zeros((2, len(sizes)), np.int64)
        for row, found in enumerate(sizes.values()):
            if len(found):
                histogram[row] = np.bincount(np.frexp(found)[1] - 1, minlength=_BINS)
                ends[:, row] = found.min(), found.max()
        return cls(tuple(sizes), histogram, *ends)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(classes,) how many parts there are."""
        return np.asarray(self.histogram.sum(axis=1), np.int64)

    def quantile(self, share: float) -> NDArray[np.float64]:
        """Return (classes,) the size that about `share` of the parts stay below, to a factor of 1.4; NaN without parts.

        The middle of 2^k to 2^(k+1) is the geometric mean of the smallest and largest whole number in it, kept within
        the smallest and largest part.
        """
        found = np.full(len(self.classes), np.nan)
        for row, counts in enumerate(self.histogram):
            if counts.any():
                k = int(np.searchsorted(np.cumsum(counts), max(share * counts.sum(), 0.5)))
                middle = round(float(np.sqrt(2.0**k * (2.0 ** (k + 1) - 1))))
                found[row] = min(max(middle, self.smallest[row]), self.largest[row])
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Components) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Components) -> Components:
        if not isinstance(other, Components):
            return NotImplemented
        if self.classes != other.classes:
            raise ArgumentError("Components of different classes cannot be added. Count both with the same classes.")
        smallest = np.minimum(
            np.where(self.smallest > 0, self.smallest, other.smallest),
            np.where(other.smallest > 0, other.smallest, self.smallest),
        )
        largest = np.maximum(self.largest, other.largest)
        return Components(self.classes, self.histogram + other.histogram, smallest, largest)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_dict` makes an equal record."""
        return {
            name: {
                "sizes": {str(2**k): int(count) for k, count in enumerate(counts) if count},
                "smallest": int(low),
                "largest": int(high),
            }
            for name, counts, low, high in zip(self.classes, self.histogram, self.smallest, self.largest, strict=True)
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], classes: tuple[str, ...]) -> Components:
        """Return the record that `to_dict` wrote; one of other classes is a `ValueError`."""
        if not set(stored) <= set(classes):
            raise ValueError("its components are of other classes")
        histogram = np.zeros((len(stored), _BINS), np.int64)
        for row, part in enumerate(stored.values()):
            for size, count in part["sizes"].items():
                histogram[row, int(size).bit_length() - 1] = int(count)
        ends = [np.array([part[key] for part in stored.values()], np.int64) for key in ("smallest", "largest")]
        return cls(tuple(stored), histogram, *ends)
