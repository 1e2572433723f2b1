"""Checks of the arrays that the pure metric functions take."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError


def known_rows(
    labels: Any, values: Any, sample_weights: Any, function: str, *, highest: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Return labels, values and weights of the rows whose label is known and whose weight is not zero.

    Raises:
        ArgumentError: lengths differ, a label is not a whole number in [0, `highest`] or NaN, a value is NaN, a weight
            is negative or not finite.
    """
    label_array, value_array = np.asarray(labels, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if label_array.ndim != 1 or value_array.shape != label_array.shape:
        raise ArgumentError(
            f"{function} takes labels and values of one axis and equal length; got {label_array.shape} and "
            f"{value_array.shape}. Pass one class at a time."
        )
    keep = ~np.isnan(label_array)
    weights = None if sample_weights is None else np.asarray(sample_weights, dtype=np.float64)
    if weights is not None:
        if weights.shape != label_array.shape or not np.isfinite(weights).all() or (weights < 0).any():
            raise ArgumentError(f"`sample_weights` of {function} must be one finite number of at least 0 per row.")
        keep &= weights > 0
    label_array, value_array = label_array[keep], value_array[keep]
    if not ((label_array >= 0) & (label_array <= highest) & (label_array == np.floor(label_array))).all():
        raise ArgumentError(f"`labels` of {function} must be whole numbers from 0 to {highest:g}, or NaN for unknown.")
    if np.isnan(value_array).any():
        raise ArgumentError(f"{function} cannot use NaN values. Find out why the model gave no number.")
    return label_array, value_array, None if weights is None else weights[keep]


def known_probabilities(
    labels: Any, probabilities: Any, sample_weights: Any, function: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return labels, probabilities and weights (1 without) of the rows whose label is known, as in `known_rows`.

    Raises:
        ArgumentError: as in `known_rows`, or a value outside [0, 1].
    """
    truth, values, weights = known_rows(labels, probabilities, sample_weights, function)
    check_probabilities(values, function)
    return truth, values, np.ones(len(truth)) if weights is None else weights


def check_probabilities(values: NDArray[np.float64], function: str) -> None:
    """Raise `ArgumentError` where a value is not in [0, 1]."""
    if ((values < 0) | (values > 1)).any():
        raise ArgumentError(f"`probabilities` of {function} must be in [0, 1]. Turn logits into probabilities first.")


def known_grades(
    labels: Any, predictions: Any, classes: int, sample_weights: Any, function: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return labels, predictions and weights (1 without) of the rows whose grade is known, as in `known_rows`.

    Raises:
        ArgumentError: as in `known_rows`, or a prediction that is no grade, or fewer than two grades.
    """
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 2:
        raise ArgumentError(f"`classes` of {function} must be the number of grades, at least 2; got {classes!r}.")
    truth, predicted, weights = known_rows(labels, predictions, sample_weights, function, highest=float(classes - 1))
    if len(truth) and not np.isin(predicted, np.arange(classes)).all():
        raise ArgumentError(f"`predictions` of {function} must be grades from 0 to {classes - 1}.")
    return truth, predicted, np.ones(len(truth)) if weights is None else weights


def known_classes(
    labels: Any, values: Any, sample_weights: Any, function: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return class indices, values (rows, classes) and weights (1 without) of the rows whose class is known.

    Raises:
        ArgumentError: as in `known_rows`, or values that do not have one column per class, at least two.
    """
    columns = np.asarray(values, dtype=np.float64)
    if columns.ndim != 2 or columns.shape[1] < 2 or columns.shape[:1] != np.shape(labels):
        raise ArgumentError(
            f"{function} takes labels of shape (rows,) and values of shape (rows, classes); got {np.shape(labels)} and "
            f"{columns.shape}. Pass one class index per row and one column per class."
        )
    if np.isnan(columns).any():
        raise ArgumentError(f"{function} cannot use NaN values. Find out why the model gave no number.")
    numbers = np.arange(len(columns), dtype=np.float64)
    highest = float(columns.shape[1] - 1)
    truth, rows, weights = known_rows(labels, numbers, sample_weights, function, highest=highest)
    return truth, columns[rows.astype(np.int64)], np.ones(len(truth)) if weights is None else weights


def known_tables(
    labels: Any, predictions: Any, sample_weights: Any, function: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return labels, predictions and weights (1 without) of a table of yes-or-no classes; nothing is left out.

    Raises:
        ArgumentError: shapes differ, labels are not 0, 1 or NaN, predictions not 0 or 1, weights negative.
    """
    truth, predicted = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if truth.ndim != 2 or truth.shape != predicted.shape:
        raise ArgumentError(
            f"{function} takes labels and predictions of shape (rows, classes); got {truth.shape} and "
            f"{predicted.shape}. Pass one row per case and one column per class."
        )
    if not np.isin(truth[~np.isnan(truth)], (0.0, 1.0)).all() or not np.isin(predicted, (0.0, 1.0)).all():
        raise ArgumentError(f"{function} takes labels and predictions of 0 and 1, with NaN for unknown labels.")
    weights = np.ones(len(truth)) if sample_weights is None else np.asarray(sample_weights, dtype=np.float64)
    if weights.shape != (len(truth),) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ArgumentError(f"`sample_weights` of {function} must be one finite number of at least 0 per row.")
    return truth, predicted, weights
