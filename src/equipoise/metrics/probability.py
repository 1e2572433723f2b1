"""How good probabilities are: proper scoring rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics._arguments import check_probabilities, known_classes, known_probabilities

_SMALLEST = float(np.finfo(np.float64).eps)


def brier_loss(labels: Any, probabilities: Any, *, sample_weights: Any = None) -> float:
    """Return the mean squared difference of probability and label, in [0, 1]; lower is better (Brier 1950).

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: of the positive class, in [0, 1], shape (rows,).
        sample_weights: non-negative weight per row.

    Returns:
        NaN where no label is known.

    Raises:
        ArgumentError: arrays of different lengths, other labels, values outside [0, 1] or negative weights.

    Example:
        >>> brier_loss([0, 1], [0.5, 1.0])
        0.125
    """
    return _mean_loss(labels, probabilities, sample_weights, "brier_loss")


def log_loss(labels: Any, probabilities: Any, *, sample_weights: Any = None) -> float:
    """Return the mean of -log(probability of what was true), in nats; lower is better.

    Probabilities are kept 2**-52 away from 0 and 1, as in scikit-learn, so that one confident error costs 36, not
    infinity.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: of the positive class, in [0, 1], shape (rows,).
        sample_weights: non-negative weight per row.

    Returns:
        NaN where no label is known.

    Raises:
        ArgumentError: arrays of different lengths, other labels, values outside [0, 1] or negative weights.

    Example:
        >>> round(log_loss([0, 1], [0.5, 0.5]), 6)
        0.693147
    """
    return _mean_loss(labels, probabilities, sample_weights, "log_loss")


def multiclass_log_loss(labels: Any, probabilities: Any, *, sample_weights: Any = None) -> float:
    """Return the mean of -log(probability of the true class), in nats; lower is better.

    Probabilities are kept away from 0 as in `log_loss`.

    Args:
        labels: class index, NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: of the classes, in [0, 1], shape (rows, classes).
        sample_weights: non-negative weight per row.

    Returns:
        NaN where no label is known.

    Raises:
        ArgumentError: arrays that do not match, labels that are no index, values outside [0, 1], negative weights.

    Example:
        >>> round(multiclass_log_loss([0, 2], [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]), 6)
        0.693147
    """
    truth, columns, weights = _class_probabilities(labels, probabilities, sample_weights, "multiclass_log_loss")
    likelihood = columns[np.arange(len(truth)), truth]
    return float(np.average(log_losses(np.ones(len(truth)), likelihood), weights=weights)) if len(truth) else np.nan


def multiclass_brier_loss(labels: Any, probabilities: Any, *, sample_weights: Any = None) -> float:
    """Return the mean over rows of sum_c (p_c - [c is true])^2, in [0, 2]; lower is better (Brier 1950, equation 2).

    With two classes this is twice the `brier_loss` of one of them. Arguments, errors and the rest as in
    `multiclass_log_loss`.

    Example:
        >>> multiclass_brier_loss([0, 2], [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])  # 1/4 + 1/16 + 1/16
        0.375
    """
    truth, columns, weights = _class_probabilities(labels, probabilities, sample_weights, "multiclass_brier_loss")
    wrong = np.square(columns - (truth[:, None] == np.arange(columns.shape[1]))).sum(axis=1)
    return float(np.average(wrong, weights=weights)) if len(truth) else np.nan


def _class_probabilities(
    labels: Any, probabilities: Any, sample_weights: Any, function: str
) -> tuple[NDArray[np.int64], Floats, Floats]:
    truth, columns, weights = known_classes(labels, probabilities, sample_weights, function)
    check_probabilities(columns, function)
    return truth.astype(np.int64), columns, weights


def _mean_loss(labels: Any, probabilities: Any, sample_weights: Any, function: str) -> float:
    truth, values, weights = known_probabilities(labels, probabilities, sample_weights, function)
    if not len(truth):
        return float("nan")
    losses = squared_errors(truth, values) if function == "brier_loss" else log_losses(truth, values)
    return float(np.average(losses, weights=weights))


def squared_errors(labels: Floats, probabilities: Floats) -> Floats:
    """Return (probability - label)^2 per entry; NaN where the label is unknown."""
    return np.square(probabilities - labels)


def log_losses(labels: Floats, probabilities: Floats) -> Floats:
    """Return -log of the probability of what was true per entry, in nats; NaN where the label is unknown."""
    likelihood = np.where(labels > 0.5, probabilities, 1.0 - probabilities)
    losses = -np.log(np.clip(likelihood, _SMALLEST, 1.0 - _SMALLEST))
    return np.where(np.isnan(labels), np.nan, losses)
