"""How good probabilities are: proper scoring rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_number
from equipoise.metrics._arguments import known_rows

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


def expected_calibration_error(labels: Any, probabilities: Any, *, bins: int = 15, sample_weights: Any = None) -> float:
    r"""Return how far probabilities are from observed rates, in [0, 1]; lower is better, 0 is calibrated.

    Rows are sorted by probability into bins of equal weight; with W_b the share of the weight in bin b,

        sum_b W_b |mean label of b - mean probability of b|.

    Rows of equal probability share a bin, so repeated rows and integer weights agree, and a constant has one bin. The
    figure is never negative, so it is above 0 by chance alone, the more the fewer rows a bin has: compare it with that
    of another model on the same rows.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: of the positive class, in [0, 1], shape (rows,).
        bins: how many, at least 1.
        sample_weights: non-negative weight per row.

    Returns:
        NaN where no label is known.

    Raises:
        ArgumentError: arrays of different lengths, other labels, values outside [0, 1], negative weights, no bin.

    Source: Nguyen & O'Connor, EMNLP 2015, section 3 (adaptive bins); Naeini et al., AAAI 2015, for the sum.

    Example:
        One bin at 0.25 where half are positive, one at 0.75 where all are:

        >>> expected_calibration_error([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2)
        0.25
    """
    truth, values, weights = known_rows(labels, probabilities, sample_weights, "expected_calibration_error")
    if ((values < 0) | (values > 1)).any():
        raise ArgumentError(
            "`probabilities` of expected_calibration_error must be in [0, 1]. Turn logits into probabilities first."
        )
    count = int(check_number(bins, argument="bins", function="expected_calibration_error", at_least=1))
    if not len(truth):
        return float("nan")
    weights = np.ones_like(truth) if weights is None else weights
    levels, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights=weights, minlength=len(levels))
    middle = np.cumsum(mass) - 0.5 * mass
    of_level = np.minimum((middle * count / mass.sum()).astype(np.int64), count - 1)
    gap = np.bincount(of_level[place], weights=weights * (truth - values), minlength=count)
    return float(np.abs(gap).sum() / weights.sum())


def _mean_loss(labels: Any, probabilities: Any, sample_weights: Any, function: str) -> float:
    truth, values, weights = known_rows(labels, probabilities, sample_weights, function)
    if ((values < 0) | (values > 1)).any():
        raise ArgumentError(f"`probabilities` of {function} must be in [0, 1]. Turn logits into probabilities first.")
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
