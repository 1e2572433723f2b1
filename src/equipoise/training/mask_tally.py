"""What masks say of each image at one decision: pixels of each class, true and predicted, and how many lie outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics.mask_scores import ImageCounts
from equipoise.metrics.outcomes import divide

Counts = NDArray[np.int64]
_EDGE = 0.05  # of the shorter side: what counts as the border of an image


@dataclasses.dataclass(frozen=True, eq=False)
class MaskTally:
    """Pixels of some images at one decision.

    Attributes:
        counts: of each image and class.
        border: (images, classes) predicted pixels that lie in the border of their image, a twentieth of its shorter
            side wide.
        border_actual: (images, classes) the same of the pixels that are of the class.
    """

    counts: ImageCounts
    border: Counts
    border_actual: Counts

    @property
    def true_share(self) -> Floats:
        """(classes,) share of the known pixels that are of the class."""
        return divide(self.counts.actual.sum(axis=0), self.counts.known.sum(axis=0))

    @property
    def predicted_share(self) -> Floats:
        """(classes,) share of the known pixels that are predicted as the class."""
        return divide(self.counts.predicted.sum(axis=0), self.counts.known.sum(axis=0))

    @property
    def present(self) -> Counts:
        """(classes,) images that hold the class."""
        return np.asarray((self.counts.actual > 0).sum(axis=0), np.int64)

    @property
    def missed(self) -> Counts:
        """(classes,) images that hold the class and in which none of it is predicted."""
        counts = self.counts
        return np.asarray(((counts.actual > 0) & (counts.predicted == 0)).sum(axis=0), np.int64)

    def dice(self) -> Floats:
        """(classes,) Dice of all pixels pooled; NaN for a class that no image holds."""
        return self.counts.total().dice()

    def border_shares(self) -> tuple[Floats, Floats]:
        """(classes,) share of the predicted pixels in the border, and of the true ones; NaN where there are none."""
        predicted = divide(self.border.sum(axis=0), self.counts.predicted.sum(axis=0))
        return predicted, divide(self.border_actual.sum(axis=0), self.counts.actual.sum(axis=0))


def count_border(
    truth: NDArray[Any],
    predicted: NDArray[Any],
    classes: int,
    *,
    exclusive: bool,
    space: Sequence[int],
    start: Sequence[int] = (),
) -> tuple[Counts, Counts]:
    """Return (classes,) predicted pixels in the border of an image, and true ones.

    Args:
        truth: of a part of an image: (...) class indices, or (classes, ...) of 0 and 1; 255 where nothing is known.
        predicted: of the same shape.
        classes: how many there are.
        exclusive: whether each pixel has one class.
        space: size of the whole image.
        start: where the part begins; by default at the first pixel.

    Example:
        >>> mask = np.zeros((5, 5), np.uint8)
        >>> mask[0, :3] = 1
        >>> said, true = count_border(mask, np.ones((5, 5), np.uint8), 2, exclusive=True, space=(5, 5))
        >>> said.tolist(), true.tolist()
        ([0, 16], [13, 3])
    """
    sides = truth.shape[truth.ndim - len(space) :]
    edge = _border(space, start or (0,) * len(space), sides)
    counted = []
    for place in range(classes):
        true = truth == place if exclusive else truth[place] == 1
        known = truth != 255 if exclusive else truth[place] != 255
        said = (predicted == place if exclusive else predicted[place] == 1) & known
        counted.append((int((said & edge).sum()), int((true & edge).sum())))
    table = np.array(counted, np.int64)
    return table[:, 0], table[:, 1]


def _border(space: Sequence[int], start: Sequence[int], sides: Sequence[int]) -> NDArray[np.bool_]:
    """Return where a part of an image lies in its border; of volumes in that of its slices."""
    wide = max(1, round(_EDGE * min(space[-2:])))
    lines = []
    for length, first, side in zip(space[-2:], start[-2:], sides[-2:], strict=True):
        numbers = np.arange(first, first + side)
        lines.append((numbers < wide) | (numbers >= length - wide))
    return np.broadcast_to(lines[0][:, None] | lines[1][None, :], tuple(sides))
