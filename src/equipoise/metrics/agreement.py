"""Agreement over all classes of a row: exact match, Hamming loss, weighted kappa, multi-class MCC."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise.metrics._arguments import known_grades, known_tables
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
    truth, predicted, weights = known_tables(labels, predictions, sample_weights, "exact_match_score")
    weights = weights * ~np.isnan(truth).any(axis=1)
    return float(divide((weights * (truth == predicted).all(axis=1)).sum(), weights.sum()))


def hamming_loss(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return the share of known entries that are wrong, in [0, 1]; lower is better.

    Arguments as in `exact_match_score`. NaN where no entry is known.

    Example:
        >>> hamming_loss([[0, 1], [1, 1], [0, np.nan]], [[0, 1], [1, 0], [0, 0]])
        0.2
    """
    truth, predicted, weights = known_tables(labels, predictions, sample_weights, "hamming_loss")
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
    truth, predicted, weights = known_grades(labels, predictions, classes, sample_weights, "quadratic_kappa_score")
    margins = [np.bincount(one.astype(np.int64), weights=weights, minlength=classes) for one in (truth, predicted)]
    disagreement = np.asarray(np.square(truth - predicted) @ weights)
    return float(quadratic_kappa(margins[0].astype(np.float64), margins[1].astype(np.float64), disagreement))


def linear_kappa_score(labels: Any, predictions: Any, *, classes: int, sample_weights: Any = None) -> float:
    """Return linearly weighted kappa of grades, at most 1; higher is better, 0 is chance (Cohen 1968).

    As `quadratic_kappa_score`, with w = |i - j|: being two grades off costs twice as much as one, not four times.

    Example:
        >>> linear_kappa_score([0, 1, 2], [0, 1, 1], classes=3)  # 1 - (1 / 3) / (7 / 9)
        0.5714285714285714
    """
    truth, predicted, weights = known_grades(labels, predictions, classes, sample_weights, "linear_kappa_score")
    margins = [np.bincount(one.astype(np.int64), weights=weights, minlength=classes) for one in (truth, predicted)]
    disagreement = np.asarray(np.abs(truth - predicted) @ weights)
    return float(linear_kappa(margins[0].astype(np.float64), margins[1].astype(np.float64), disagreement))


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


def linear_kappa(truth: Floats, predicted: Floats, distance: Floats) -> Floats:
    """Return linear kappa from sums: rows of each grade, rows predicted as each grade, and the sum of abs(i - j).

    Args:
        truth: shape (..., grades).
        predicted: shape (..., grades).
        distance: sum over the rows of the distance of label and prediction, shape (...).
    """
    # E|i - j| is the sum over the steps between grades of the chance that the step lies between i and j.
    total = truth.sum(axis=-1)
    above, said = np.cumsum(truth, axis=-1), np.cumsum(predicted, axis=-1)
    expected = (above * (total[..., None] - said) + said * (total[..., None] - above)).sum(axis=-1)
    return np.asarray(1.0 - divide(distance * total, expected))


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
