"""Distances between the boundaries of masks, by MONAI: HD95 and NSD, with a stated rule for empty masks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, check_number


def measure_distances(
    predicted: NDArray[Any],
    labels: NDArray[Any],
    *,
    exclusive: bool,
    classes: int,
    spacing: Sequence[float] | None = None,
    tolerance: float = 2.0,
) -> dict[str, NDArray[np.float64]]:
    """Return how far the boundaries of a predicted mask are from those of the labels, for each class.

    ``hd95`` is the 95th percentile of the distances between the two boundaries, the larger of both directions; lower is
    better. ``nsd``, normalised surface Dice, is the share of both boundaries that lies within `tolerance` of the other,
    in [0, 1]; higher is better.

    The rule of empty masks: where the image does not hold the class both are NaN, whatever is predicted (that is a
    false alarm, and counted as such). Where it holds the class and nothing is predicted, ``hd95`` is the diagonal of
    the image and ``nsd`` is 0. Unknown pixels are taken as predicted right.

    Args:
        predicted: of exclusive classes (...) class indices, else (classes, ...) of 0 and 1; 2 or 3 axes.
        labels: of the same shape, 255 or below 0 unknown.
        exclusive: whether each pixel has one class. Class 0, the background, is NaN then.
        classes: how many.
        spacing: size of a pixel along each axis; None: distances are in pixels.
        tolerance: of ``nsd``, in the unit of the spacing.

    Returns:
        name -> (classes,), as `evaluate_masks` takes them stacked by image.

    Raises:
        ArgumentError: the shapes differ, or MONAI is not installed.

    References:
        Nikolov et al., J. Med. Internet Res. 23 (2021), for NSD; MONAI's `compute_hausdorff_distance` and
        `compute_surface_dice`.
    """
    check_number(tolerance, argument="tolerance", function="measure_distances", above=0.0)
    if predicted.shape != labels.shape:
        raise ArgumentError(f"measure_distances takes two masks of one shape; got {predicted.shape}, {labels.shape}.")
    found = {name: np.full(classes, np.nan) for name in ("hd95", "nsd")}
    known = (labels >= 0) & (labels != 255)
    for class_ in range(1 if exclusive else 0, classes):
        truth = (labels == class_ if exclusive else labels[class_] == 1) & (known if exclusive else known[class_])
        said = predicted == class_ if exclusive else predicted[class_] == 1
        said = np.where(known if exclusive else known[class_], said, truth)
        if truth.any():
            steps = (1.0,) * truth.ndim if spacing is None else tuple(float(step) for step in spacing)
            found["hd95"][class_], found["nsd"][class_] = _distances(said, truth, steps, float(tolerance))
    return found


def _distances(
    said: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: tuple[float, ...], tolerance: float
) -> tuple[float, float]:
    if not said.any():
        return math.sqrt(sum((step * side) ** 2 for step, side in zip(spacing, truth.shape, strict=True))), 0.0
    try:
        import torch
        from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # MONAI takes seconds to load
        from monai.metrics.surface_dice import compute_surface_dice
    except ImportError as error:
        raise ArgumentError(
            "Distances of boundaries need MONAI, which is not installed. Install it with: pip install "
            '"equipoise[segmentation]".'
        ) from error
    one, other = (torch.from_numpy(np.ascontiguousarray(mask))[None, None].float() for mask in (said, truth))
    with warnings.catch_warnings():  # MONAI calls its own deprecated argument
        warnings.simplefilter("ignore", FutureWarning)
        far = compute_hausdorff_distance(one, other, include_background=True, percentile=95, spacing=spacing)
        near = compute_surface_dice(one, other, [tolerance], include_background=True, spacing=spacing)
    return float(far), float(near)
