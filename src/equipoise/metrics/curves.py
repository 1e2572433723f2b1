"""ROC and precision-recall curves, and the area under part of the first."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import check_number
from equipoise.metrics._arguments import known_rows
from equipoise.metrics.outcomes import divide
from equipoise.metrics.ranking import OperatingPoints, RankedClass, operating_points, rank_class


@dataclasses.dataclass(frozen=True, eq=False)
class RocCurve:
    """True against false positive rate, from (0, 0), where nothing is predicted, to (1, 1).

    Args:
        thresholds: lowest score that is predicted, descending from infinity, shape (points,).
        false_positive_rates: share of the negatives that are predicted, shape (points,); NaN without negatives.
        true_positive_rates: share of the positives that are predicted, shape (points,); NaN without positives.
    """

    thresholds: Floats
    false_positive_rates: Floats
    true_positive_rates: Floats


@dataclasses.dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision against recall, from the highest score down; the curve is a step function between the points.

    Args:
        thresholds: lowest score that is predicted, descending, shape (points,).
        precision: share of the predicted that are positive, shape (points,); NaN without positives.
        recall: share of the positives that are predicted, shape (points,); NaN without positives.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats


def roc_curve(labels: Any, values: Any, *, sample_weights: Any = None, thin: bool = False) -> RocCurve:
    """Return the ROC curve at every distinct score.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        values: logits or probabilities, shape (rows,).
        sample_weights: non-negative weight per row.
        thin: leave out the points that lie on a straight line between their neighbours: the curve stays the same.

    Raises:
        ArgumentError: arrays of different lengths, other labels, NaN values or negative weights.

    Example:
        >>> curve = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
        >>> curve.false_positive_rates, curve.true_positive_rates
        (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    points = operating_points(*known_rows(labels, values, sample_weights, "roc_curve"))
    thresholds, hits, alarms = (
        np.concatenate(([first], rest))
        for first, rest in ((np.inf, points.values), (0.0, points.true_positives), (0.0, points.false_positives))
    )
    rates = divide(alarms, points.negatives), divide(hits, points.positives)
    if thin:
        corner = _corners(hits, alarms)
        return RocCurve(thresholds[corner], rates[0][corner], rates[1][corner])
    return RocCurve(thresholds, *rates)


def precision_recall_curve(
    labels: Any, values: Any, *, sample_weights: Any = None, thin: bool = False
) -> PrecisionRecallCurve:
    """Return precision and recall at every distinct score.

    There is no point at recall 0 with precision 1, which scikit-learn adds: no threshold has it.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        values: logits or probabilities, shape (rows,).
        sample_weights: non-negative weight per row.
        thin: keep only the points where recall rises, which are all that average precision sums over.

    Raises:
        ArgumentError: arrays of different lengths, other labels, NaN values or negative weights.

    Example:
        >>> curve = precision_recall_curve([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8])
        >>> curve.precision.round(2), curve.recall
        (array([1.  , 0.5 , 0.67, 0.5 ]), array([0.5, 0.5, 1. , 1. ]))
    """
    points = operating_points(*known_rows(labels, values, sample_weights, "precision_recall_curve"))
    if thin:
        rises = np.flatnonzero(np.diff(points.true_positives, prepend=0.0))
        points = OperatingPoints(points.values[rises], points.true_positives[rises], points.false_positives[rises])
    predicted, positives = points.true_positives + points.false_positives, points.positives
    precision = np.full(len(predicted), np.nan) if not positives else divide(points.true_positives, predicted)
    return PrecisionRecallCurve(points.values, precision, divide(points.true_positives, positives))


def partial_auc_score(
    labels: Any, values: Any, *, max_fpr: float, standardise: bool = True, sample_weights: Any = None
) -> float:
    """Return the area under the ROC curve up to a false positive rate; higher is better.

    With A the area from 0 to m = `max_fpr`, the curve straight between its points: A itself, in [0, m] and m^2 / 2 by
    chance, or standardised

        (1 + (A - m^2 / 2) / (m - m^2 / 2)) / 2,

    which is 1 for a perfect ranking and 0.5 for chance whatever m, and the AUC for m = 1.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        values: logits or probabilities, shape (rows,).
        max_fpr: the highest false positive rate, above 0 and at most 1.
        standardise: return the standardised form.
        sample_weights: non-negative weight per row.

    Returns:
        NaN without positives or without negatives.

    Raises:
        ArgumentError: arrays of different lengths, other labels, NaN values, negative weights, or `max_fpr` outside
            (0, 1].

    Source: McClish, Medical Decision Making 9 (1989) 190-195, equation 8.

    Example:
        Half of the positives are above all negatives, and no more are found before half of the negatives:

        >>> partial_auc_score([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8], max_fpr=0.5, standardise=False)
        0.25
        >>> partial_auc_score([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8], max_fpr=0.5)
        0.6666666666666666
    """
    highest = check_number(max_fpr, argument="max_fpr", function="partial_auc_score", above=0.0, at_most=1.0)
    ranked = rank_class(*known_rows(labels, values, sample_weights, "partial_auc_score"))
    area = partial_area(ranked, highest)
    chance = highest * highest / 2
    return (1 + (area - chance) / (highest - chance)) / 2 if standardise else area


def partial_area(ranked: RankedClass, max_fpr: float) -> float:
    """Return the area under the ROC curve of a sorted class up to a false positive rate, in [0, `max_fpr`].

    NaN without positives or without negatives.
    """
    if not ranked.positives * ranked.negatives > 0:
        return float("nan")
    alarms, hits = ranked.corners()
    rates, heights = alarms / ranked.negatives, hits / ranked.positives
    inside = int(np.searchsorted(rates, max_fpr, side="right"))
    if inside < len(rates):
        share = (max_fpr - rates[inside - 1]) / (rates[inside] - rates[inside - 1])
        last = heights[inside - 1] + share * (heights[inside] - heights[inside - 1])
        rates, heights = np.append(rates[:inside], max_fpr), np.append(heights[:inside], last)
    return float(np.diff(rates) @ (heights[1:] + heights[:-1]) / 2)


def _corners(hits: Floats, alarms: Floats) -> NDArray[np.bool_]:
    """Return which points of a path do not lie on a straight line between their neighbours; the ends are kept."""
    up, along = np.diff(hits), np.diff(alarms)
    turned = up[1:] * along[:-1] != up[:-1] * along[1:]
    return np.concatenate(([True], turned, [True]))[: len(hits)]
