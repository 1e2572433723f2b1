"""Agreement over all classes of a row: exact match, Hamming loss, weighted kappa, multi-class MCC."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError
from equipoise.metrics._arguments import known_rows
from equipoise.metrics.outcomes import divide


def exact_match_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return the share of rows whose classes are all right, in [0, 1]; higher is better.

    Only rows of which every label is known are counted: of the others nobody can tell.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows, classes).
        predictions: 0 or 1, shape (rows, classes).
        sample_weights: non-negative weight per row.

    Returns:
        NaN where no row is wholly known.

    Example:
        >>> exact_match_score([[0, 1], [1, 1], [0, np.nan]], [[0, 1], [1, 0], [0, 0]])
        0.5
    """
    truth, predicted, weights = _tables(labels, predictions, sample_weights, "exact_match_score")
    weights = weights * ~np.isnan(truth).any(axis=1)
    return float(divide((weights * (truth == predicted).all(axis=1)).sum(), weights.sum()))


def hamming_loss(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return the share of known entries that are wrong, in [0, 1]; lower is better.

    Arguments as in `exact_match_score`. NaN where no entry is known.

    Example:
        >>> hamming_loss([[0, 1], [1, 1], [0, np.nan]], [[0, 1], [1, 0], [0, 0]])
        0.2
    """
    truth, predicted, weights = _tables(labels, predictions, sample_weights, "hamming_loss")
    known = ~np.isnan(truth)
    return float(divide((weights[:, None] * (known & (truth != predicted))).sum(), (weights[:, None] * known).sum()))


def quadratic_kappa_score(labels: Any, predictions: Any, *, classes: int, sample_weights: Any = None) -> float:
    """Return quadratically weighted kappa of grades, at most 1; higher is better, 0 is chance (Cohen 1968).

    1 - sum(w O) / sum(w E), with w = (i - j)^2, O the table of counts and E its expectation from the margins.

    Args:
        labels: grades 0 to classes - 1, or NaN for unknown, shape (rows,).
        predictions: grades, shape (rows,).
        classes: number of grades.
        sample_weights: non-negative weight per row.

    Returns:
        NaN where the labels and the predictions are one and the same single grade, or nothing is known.

    Example:
        >>> quadratic_kappa_score([0, 1, 2], [0, 1, 1], classes=3)  # 1 - 1 / 3
        0.6666666666666667
    """
    truth, predicted, weights = known_rows(
        labels, predictions, sample_weights, "quadratic_kappa_score", highest=float(classes - 1)
    )
    if len(truth) and not (np.isin(predicted, np.arange(classes)).all()):
        raise ArgumentError(f"`predictions` of quadratic_kappa_score must be grades from 0 to {classes - 1}.")
    weights = np.ones(len(truth)) if weights is None else weights
    margins = [
        np.bincount(one.astype(np.int64), weights=weights, minlength=classes).astype(np.float64)
        for one in (truth, predicted)
    ]
    return float(quadratic_kappa(margins[0], margins[1], np.asarray(np.square(truth - predicted) @ weights)))


def quadratic_kappa(truth: Floats, predicted: Floats, disagreement: Floats) -> Floats:
    """Return quadratic kappa from sums: rows of each grade, rows predicted as each grade, and the sum of (i - j)^2.

    Args:
        truth: shape (..., grades).
        predicted: shape (..., grades).
        disagreement: sum over the rows of the squared distance of label and prediction, shape (...).
    """
    grades = np.arange(truth.shape[-1], dtype=np.float64)
    total, twice = truth.sum(axis=-1), np.square(grades)
    expected = (truth @ twice) * total + total * (predicted @ twice) - 2 * (truth @ grades) * (predicted @ grades)
    return np.asarray(1.0 - divide(disagreement * total, expected))


def matthews_of_margins(right: Floats, truth: Floats, predicted: Floats) -> Floats:
    """Return multi-class MCC from sums (Gorodkin 2004, equation 8).

    NaN where fewer than two classes are present among the labels; 0 where only one is predicted.

    Args:
        right: number of right rows, shape (...).
        truth: rows of each class, shape (..., classes).
        predicted: rows predicted as each class, shape (..., classes).
    """
    total = truth.sum(axis=-1)
    spread = np.square(total) - np.square(truth).sum(axis=-1)
    predicted_spread = np.square(total) - np.square(predicted).sum(axis=-1)
    covariance = right * total - (truth * predicted).sum(axis=-1)
    score = divide(covariance, np.sqrt(spread) * np.sqrt(predicted_spread), otherwise=0.0)
    return np.where((truth > 0).sum(axis=-1) > 1, score, np.nan)


def _tables(labels: Any, predictions: Any, sample_weights: Any, function: str) -> tuple[Floats, Floats, Floats]:
    truth, predicted = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if truth.ndim != 2 or truth.shape != predicted.shape:
        raise ArgumentError(
            f"{function} takes labels and predictions of shape (rows, classes); got {truth.shape} and "
            f"{predicted.shape}. "
            "Pass one row per case and one column per class."
        )
    if not np.isin(truth[~np.isnan(truth)], (0.0, 1.0)).all() or not np.isin(predicted, (0.0, 1.0)).all():
        raise ArgumentError(f"{function} takes labels and predictions of 0 and 1, with NaN for unknown labels.")
    weights = np.ones(len(truth)) if sample_weights is None else np.asarray(sample_weights, dtype=np.float64)
    if weights.shape != (len(truth),) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ArgumentError(f"`sample_weights` of {function} must be one finite number of at least 0 per row.")
    return truth, predicted, weights
