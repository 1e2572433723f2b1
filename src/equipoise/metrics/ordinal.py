"""Metrics of ordered grades beside kappa: how far predictions are from the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise.metrics._arguments import known_grades
from equipoise.metrics.outcomes import divide


def mean_absolute_error(labels: Any, predictions: Any, *, classes: int, sample_weights: Any = None) -> float:
    """Return the mean distance between true and predicted grade, in [0, classes - 1]; lower is better.

    Args:
        labels: grades 0 to classes - 1, or NaN for unknown, shape (rows,). Unknown rows are left out.
        predictions: grades, shape (rows,).
        classes: number of grades.
        sample_weights: non-negative weight per row.

    Returns:
        NaN where no label is known.

    Raises:
        ArgumentError: arrays of different lengths, labels or predictions that are no grade, negative weights.

    Example:
        >>> mean_absolute_error([0, 0, 0, 2], [0, 0, 1, 0], classes=3)
        0.75
    """
    sums, support = _distances(labels, predictions, classes, sample_weights, "mean_absolute_error")
    return float(divide(sums.sum(), support.sum()))


def macro_absolute_error(labels: Any, predictions: Any, *, classes: int, sample_weights: Any = None) -> float:
    """Return the mean over the grades that occur of the mean distance of their predictions; lower is better.

    Every grade counts alike, however rare: a model that always gives the commonest is not flattered. Arguments and
    errors as in `mean_absolute_error`.

    Source: Baccianella, Esuli and Sebastiani, ISDA 2009, equation 2; grades without rows are skipped.

    Example:
        >>> macro_absolute_error([0, 0, 0, 2], [0, 0, 1, 0], classes=3)  # (1/3 + 2) / 2: nothing is known of grade 1
        1.1666666666666667
    """
    sums, support = _distances(labels, predictions, classes, sample_weights, "macro_absolute_error")
    return float(macro_distance(sums, support))


def adjacent_accuracy_score(labels: Any, predictions: Any, *, classes: int, sample_weights: Any = None) -> float:
    """Return the share of rows whose prediction is at most one grade off, in [0, 1]; higher is better.

    Arguments and errors as in `mean_absolute_error`. Beside three grades it says little: the middle one is always
    adjacent.

    Example:
        >>> adjacent_accuracy_score([0, 0, 0, 2], [0, 0, 1, 0], classes=3)
        0.75
    """
    truth, predicted, weights = known_grades(labels, predictions, classes, sample_weights, "adjacent_accuracy_score")
    return float(divide(weights @ (np.abs(truth - predicted) <= 1), weights.sum()))


def macro_distance(sums: Floats, support: Floats) -> Floats:
    """Return the mean over the grades that occur of their mean distance.

    Args:
        sums: sum of the distances of the rows of each grade, shape (..., grades).
        support: number of rows of each grade, shape (..., grades).
    """
    present = support > 0
    return divide(divide(sums, support, otherwise=0.0).sum(axis=-1), present.sum(axis=-1))


def _distances(
    labels: Any, predictions: Any, classes: int, sample_weights: Any, function: str
) -> tuple[Floats, Floats]:
    truth, predicted, weights = known_grades(labels, predictions, classes, sample_weights, function)
    grades = truth.astype(np.int64)
    sums = np.bincount(grades, weights=weights * np.abs(truth - predicted), minlength=classes)
    return sums.astype(np.float64), np.bincount(grades, weights=weights, minlength=classes).astype(np.float64)
