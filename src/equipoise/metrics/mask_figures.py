"""Figures of masks from counts an image, for one weighting of the images or many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics.calibration import expected_calibration_error
from equipoise.metrics.mask_scores import ImageCounts, MaskScores
from equipoise.metrics.outcomes import divide

MASK_FIGURES = (
    "dice", "iou", "precision", "recall", "image_dice", "image_iou", "false_alarm_rate", "empty_rate",
    "predicted_share", "actual_share",
)  # fmt: skip
MASK_OBJECTIVES = ("dice", "iou", "image_dice", "image_iou")


def mask_figures(counts: ImageCounts, weights: NDArray[np.floating[Any]] | None = None) -> dict[str, Floats]:
    """Return each of `MASK_FIGURES` for each class.

    Pooled over pixels: dice, iou, precision, recall, predicted_share and actual_share (of the known pixels). Means over
    the images that hold the class: image_dice, image_iou, and empty_rate, the share of them in which nothing of it is
    predicted. Of the images that do not hold it: false_alarm_rate, the share in which some is predicted. An image that
    does not hold a class is in no mean of Dice, so that an empty mask predicted empty is neither 0 nor 1; a class that
    no image holds has NaN.

    Args:
        counts: of each image.
        weights: (images,) how often each counts, or (replicates, images); None: once.

    Returns:
        name -> (classes,), with replicates (replicates, classes).
    """
    times = np.ones(len(counts.overlap)) if weights is None else np.asarray(weights, np.float64)
    present = counts.actual > 0
    overlap, actual, predicted, known = (
        times @ one.astype(np.float64) for one in (counts.overlap, counts.actual, counts.predicted, counts.known)
    )
    holding, lacking = times @ present.astype(np.float64), times @ (~present).astype(np.float64)
    some = actual > 0

    def mean(values: Floats, over: NDArray[np.bool_], many: Floats) -> Floats:
        return divide(times @ np.where(over, values, 0.0), many)

    return {
        "dice": np.where(some, divide(2 * overlap, actual + predicted), np.nan),
        "iou": np.where(some, divide(overlap, actual + predicted - overlap), np.nan),
        "precision": np.where(some, divide(overlap, predicted, otherwise=0.0), np.nan),
        "recall": divide(overlap, actual),
        "image_dice": mean(counts.dice(), present, holding),
        "image_iou": mean(counts.iou(), present, holding),
        "false_alarm_rate": mean((counts.predicted > 0).astype(float), ~present, lacking),
        "empty_rate": mean((counts.predicted == 0).astype(float), present, holding),
        "predicted_share": divide(predicted, known),
        "actual_share": divide(actual, known),
    }


def objective_grid(
    scores: MaskScores, class_: int, objective: str, weights: NDArray[np.floating[Any]] | None = None
) -> Floats:
    """Return an objective of `MASK_OBJECTIVES` at each threshold of the grid.

    Args:
        scores: of the images.
        class_: number of the class.
        objective: which.
        weights: as in `mask_figures`.

    Returns:
        (grid,), with replicates (replicates, grid); NaN where no image holds the class.
    """
    times = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    hits = scores.true_positives()[:, class_].astype(np.float64)
    said = hits + scores.false_positives()[:, class_]
    actual = scores.actual()[:, class_, None].astype(np.float64)
    if objective.startswith("image_"):
        union = actual + said - hits
        each = divide(2 * hits, actual + said) if objective == "image_dice" else divide(hits, union)
        present = actual[:, 0] > 0
        return divide(times @ np.where(present[:, None], each, 0.0), (times @ present.astype(float))[..., None])
    hits, said, actual = times @ hits, times @ said, times @ actual
    figure = divide(2 * hits, actual + said) if objective == "dice" else divide(hits, actual + said - hits)
    return np.where(actual > 0, figure, np.nan)


def pixel_calibration_error(
    scores: MaskScores, class_: int, weights: NDArray[np.floating[Any]] | None = None, *, bins: int = 15
) -> float:
    """Return the `expected_calibration_error` of the pixels of a class, from the counts of the grid's cells.

    Pixels of one cell share a bin, with their mean probability, so this needs no pixel. Lower is better.

    Args:
        scores: of the images.
        class_: number of the class.
        weights: (images,) how often each counts; None: once.
        bins: how many, of equal numbers of pixels.

    Returns:
        NaN where no pixel is known.
    """
    times = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    positives, negatives, sums = (times @ one[:, class_] for one in (scores.positives, scores.negatives, scores.sums))
    pixels = positives + negatives
    filled = pixels > 0
    mean = np.clip(sums[filled] / pixels[filled], 0.0, 1.0)
    labels = np.repeat([1.0, 0.0], filled.sum())
    masses = np.concatenate([positives[filled], negatives[filled]])
    return expected_calibration_error(labels, np.tile(mean, 2), bins=bins, sample_weights=masses)
