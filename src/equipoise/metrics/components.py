"""Connected parts of masks: their sizes, how much of each is right, and masks without the small ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError


@dataclasses.dataclass(frozen=True, eq=False)
class Components:
    """The connected parts of the predicted masks of some images: all that a rule on their size needs.

    `a + b` joins those of other images.

    Attributes:
        ids: (parts,) the image of each.
        classes: (parts,) number of its class.
        sizes: (parts,) known pixels of it.
        overlaps: (parts,) how many of them are of the class.
    """

    ids: NDArray[Any]
    classes: NDArray[np.int64]
    sizes: NDArray[np.int64]
    overlaps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    def __add__(self, other: Components) -> Components:
        if not isinstance(other, Components):
            return NotImplemented
        names = [field.name for field in dataclasses.fields(self)]
        return Components(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))

    def below(self, ids: NDArray[Any], class_: int, least: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (images,) right and wrong pixels of a class that go when parts smaller than `least` are removed.

        Args:
            ids: (images,) in which order.
            class_: number of the class.
            least: pixels of the smallest part that is kept.

        Raises:
            DataError: a part is of an image that is not among `ids`.
        """
        order = {str(name): place for place, name in enumerate(ids)}
        mine = (self.classes == class_) & (self.sizes < least)
        try:
            rows = np.array([order[str(name)] for name in self.ids[mine]], np.int64)
        except KeyError as error:
            raise DataError(
                f"A part is of the image {error}, which was not scored. Measure the same images."
            ) from error
        right = np.bincount(rows, weights=self.overlaps[mine], minlength=len(ids)).astype(np.int64)
        everything = np.bincount(rows, weights=self.sizes[mine], minlength=len(ids)).astype(np.int64)
        return right, everything - right


def measure_components(
    name: str, predicted: NDArray[Any], labels: NDArray[Any], *, exclusive: bool, classes: int
) -> Components:
    """Return the connected parts of one predicted mask; pixels that touch at a corner are connected.

    Args:
        name: of the image.
        predicted: of exclusive classes (...) class indices, else (classes, ...) of 0 and 1.
        labels: of the same shape; 255 or below 0 is unknown, and such pixels count for nothing. Parts of class 0 of
            exclusive classes, the background, are not measured.
        exclusive: whether each pixel has one class.
        classes: how many.

    Raises:
        ArgumentError: the shapes differ.

    Example:
        >>> found = measure_components("a", np.array([[1, 0, 1], [0, 0, 1]]), np.array([[0, 0, 1], [0, 0, 1]]),
        ...                            exclusive=True, classes=2)
        >>> found.sizes.tolist(), found.overlaps.tolist()
        ([1, 2], [0, 2])
    """
    if predicted.shape != labels.shape:
        raise ArgumentError(
            f"measure_components takes a mask and labels of one shape; got {predicted.shape} and {labels.shape}."
        )
    known = (labels >= 0) & (labels != 255)
    found = []
    for class_ in range(1 if exclusive else 0, classes):
        mine = predicted == class_ if exclusive else predicted[class_] == 1
        counts = known if exclusive else known[class_]
        right = (labels == class_ if exclusive else labels[class_] == 1) & counts
        parts, number = _label(mine)
        sizes = np.bincount(parts[counts], minlength=number + 1)[1:]
        overlaps = np.bincount(parts[right], minlength=number + 1)[1:]
        found.append((np.full(number, class_, np.int64), sizes.astype(np.int64), overlaps.astype(np.int64)))
    joined = [np.concatenate([one[place] for one in found]) for place in range(3)]
    return Components(np.array([name] * len(joined[0]), dtype=object), *joined)


def remove_small(mask: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Return a mask without its connected parts of fewer than `least` pixels.

    Example:
        >>> remove_small(np.array([[True, False, True], [False, False, True]]), 2).astype(int).tolist()
        [[0, 0, 1], [0, 0, 1]]
    """
    if least <= 1 or not mask.any():
        return mask
    parts, number = _label(mask)
    keep = np.bincount(parts.ravel(), minlength=number + 1) >= least
    keep[0] = False
    return np.asarray(keep[parts])


def _label(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    from scipy import ndimage  # a fifth of a second to load

    parts, number = ndimage.label(mask, structure=np.ones((3,) * mask.ndim, np.int8))
    return parts, int(number)
