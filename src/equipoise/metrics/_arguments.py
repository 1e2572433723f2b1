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
