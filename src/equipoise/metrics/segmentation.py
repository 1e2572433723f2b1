"""Segmentation: counts of pixels that can be added up image by image, and the overlap figures made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError
from equipoise.metrics.averages import Average, average_classes
from equipoise.metrics.outcomes import Outcomes, divide


@dataclasses.dataclass(frozen=True, eq=False)
class MaskCounts:
    """Pixels and images of each class, over any number of masks; arrays of shape (classes,). `a + b` merges.

    Args:
        images: number of masks counted.
        pixels: number of known pixels.
        overlap: pixels that are of the class and predicted so.
        actual: pixels of the class.
        predicted: pixels predicted as the class.
        dice_sum: sum over the masks that hold the class of their Dice.
        iou_sum: sum over those masks of their intersection over union.
        present: number of masks that hold the class.
        false_alarms: number of masks without the class in which it is predicted.
    """

    images: int
    pixels: int
    overlap: NDArray[np.int64]
    actual: NDArray[np.int64]
    predicted: NDArray[np.int64]
    dice_sum: Floats
    iou_sum: Floats
    present: NDArray[np.int64]
    false_alarms: NDArray[np.int64]

    def __add__(self, other: MaskCounts) -> MaskCounts:
        if not isinstance(other, MaskCounts):
            return NotImplemented
        if self.overlap.shape != other.overlap.shape:
            raise ArgumentError(
                f"MaskCounts of {len(self.overlap)} and of {len(other.overlap)} classes cannot be added. Count both "
                "with the same classes."
            )
        names = [field.name for field in dataclasses.fields(self)]
        return MaskCounts(*(getattr(self, name) + getattr(other, name) for name in names))

    def outcomes(self) -> Outcomes:
        """Right and wrong pixels of each class against the rest: precision, recall, specificity and so on."""
        counts = (
            self.overlap,
            self.predicted - self.overlap,
            self.actual - self.overlap,
            self.pixels - self.actual - self.predicted + self.overlap,
        )
        return Outcomes(*(count.astype(np.float64) for count in counts))

    def dice(self) -> Floats:
        """2 overlap / (actual + predicted) of all pixels pooled; NaN for a class that no mask holds."""
        return np.where(self.actual > 0, divide(2 * self.overlap, self.actual + self.predicted), np.nan)

    def iou(self) -> Floats:
        """Overlap / (actual + predicted - overlap) of all pixels pooled; NaN for a class that no mask holds."""
        return np.where(self.actual > 0, divide(self.overlap, self.actual + self.predicted - self.overlap), np.nan)

    def image_dice(self) -> Floats:
        """Mean Dice over the masks that hold the class: every mask counts alike. NaN where none does."""
        return divide(self.dice_sum, self.present)

    def image_iou(self) -> Floats:
        """Mean intersection over union over the masks that hold the class. NaN where none does."""
        return divide(self.iou_sum, self.present)

    def false_alarm_rate(self) -> Floats:
        """Share of the masks without the class in which it is predicted; NaN where every mask holds it."""
        return divide(self.false_alarms, self.images - self.present)

    def mean_dice(self, classes: Sequence[str] | None = None) -> Average:
        """Mean of `dice` over the classes that some mask holds; the others are skipped and named."""
        return average_classes(self.dice(), classes=classes)

    def mean_iou(self, classes: Sequence[str] | None = None) -> Average:
        """Mean of `iou` over the classes that some mask holds; the others are skipped and named."""
        return average_classes(self.iou(), classes=classes)


def count_masks(labels: Any, predictions: Any, *, classes: int, ignore_index: int | None = None) -> MaskCounts:
    """Return the counts of one mask, or of a stack of them; add those of others with ``+``.

    A class that a mask does not hold has no overlap there, so such a mask is in no mean of `image_dice`; predicting
    the class in it lowers `dice` and `iou`, and is counted by `false_alarm_rate`. An empty mask predicted empty is
    therefore neither 0 nor 1.

    Args:
        labels: class index of each pixel, shape (height, width) or (masks, ...).
        predictions: class index of each pixel, of the same shape.
        classes: number of classes.
        ignore_index: pixels with this label are unknown and left out; None: there are none.

    Raises:
        ArgumentError: shapes differ or have less than two axes, values that are no class, fewer than two classes.

    Example:
        >>> counts = count_masks([[0, 0], [1, 1]], [[0, 1], [1, 1]], classes=3)
        >>> counts.dice(), counts.iou().round(3), counts.mean_dice(["background", "ink", "gold"]).skipped
        (array([0.66666667, 0.8       ,        nan]), array([0.5  , 0.667,   nan]), ('gold',))
    """
    truth, predicted = np.asarray(labels), np.asarray(predictions)
    _check_masks(truth, predicted, classes, ignore_index)
    masks = 1 if truth.ndim == 2 else len(truth)
    # Cell = image, true class, predicted class; unknown pixels have none.
    number = np.repeat(np.arange(masks), truth.size // masks if masks else 0)
    truth, predicted = truth.ravel().astype(np.int64), predicted.ravel().astype(np.int64)
    if ignore_index is not None:
        known = truth != ignore_index
        number, truth, predicted = number[known], truth[known], predicted[known]
    size = masks * classes
    overlap = np.bincount((number * classes + truth)[truth == predicted], minlength=size).reshape(masks, classes)
    actual = np.bincount(number * classes + truth, minlength=size).reshape(masks, classes)
    said = np.bincount(number * classes + predicted, minlength=size).reshape(masks, classes)
    present = actual > 0
    return MaskCounts(
        images=masks,
        pixels=len(truth),
        overlap=overlap.sum(axis=0),
        actual=actual.sum(axis=0),
        predicted=said.sum(axis=0),
        dice_sum=(present * divide(2 * overlap, actual + said, otherwise=0.0)).sum(axis=0),
        iou_sum=(present * divide(overlap, actual + said - overlap, otherwise=0.0)).sum(axis=0),
        present=present.sum(axis=0),
        false_alarms=(~present & (said > 0)).sum(axis=0),
    )


def _check_masks(truth: NDArray, predicted: NDArray, classes: int, ignore_index: int | None) -> None:
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 2:
        raise ArgumentError(f"`classes` of count_masks must be the number of classes, at least 2; got {classes!r}.")
    if truth.ndim < 2 or truth.shape != predicted.shape:
        raise ArgumentError(
            f"count_masks takes labels and predictions of one shape, (height, width) or (masks, ...); got "
            f"{truth.shape} and {predicted.shape}. Pass class indices, not one channel per class."
        )
    for name, array in (("labels", truth), ("predictions", predicted)):
        if array.dtype.kind not in "iub":
            raise ArgumentError(
                f"`{name}` of count_masks must be whole numbers; got {array.dtype}. Pass class indices."
            )
        wrong = (array < 0) | (array >= classes)
        if ignore_index is not None:
            wrong &= truth != ignore_index
        if wrong.any():
            raise ArgumentError(
                f"`{name}` of count_masks must be classes from 0 to {classes - 1}; got {array[wrong][0]}. "
                "Say which label means unknown with ignore_index."
            )
