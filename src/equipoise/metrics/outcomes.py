"""Counts of right and wrong predictions, and the rates made of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError
from equipoise.metrics._arguments import known_rows


@dataclasses.dataclass(frozen=True, eq=False)
class Outcomes:
    """Weights of true and false positives and negatives; arrays of any one shape (per class, per replicate).

    Each rate is NaN where it cannot be evaluated: without positives for those that need positives, without negatives
    for specificity, without either for balanced accuracy and MCC. A class that has positives but is never predicted has
    precision 0, so that staying silent is not rewarded in an average.
    """

    true_positives: Floats
    false_positives: Floats
    false_negatives: Floats
    true_negatives: Floats

    @property
    def positives(self) -> Floats:
        """Weight of the positives."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> Floats:
        """Weight of the negatives."""
        return self.false_positives + self.true_negatives

    def sum(self) -> Outcomes:
        """Return the counts summed over the last axis (all classes pooled)."""
        return Outcomes(*(getattr(self, field.name).sum(axis=-1) for field in dataclasses.fields(self)))

    def precision(self) -> Floats:
        """TP / (TP + FP)."""
        rate = divide(self.true_positives, self.true_positives + self.false_positives, otherwise=0.0)
        return np.where(self.positives > 0, rate, np.nan)

    def recall(self) -> Floats:
        """TP / (TP + FN)."""
        return divide(self.true_positives, self.positives)

    def specificity(self) -> Floats:
        """TN / (TN + FP)."""
        return divide(self.true_negatives, self.negatives)

    def f1(self) -> Floats:
        """2 TP / (2 TP + FP + FN)."""
        rate = divide(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
        return np.where(self.positives > 0, rate, np.nan)

    def youden(self) -> Floats:
        """Recall + specificity - 1."""
        return self.recall() + self.specificity() - 1.0

    def balanced_accuracy(self) -> Floats:
        """(recall + specificity) / 2."""
        return (self.recall() + self.specificity()) / 2

    def accuracy(self) -> Floats:
        """(TP + TN) / all."""
        return divide(self.true_positives + self.true_negatives, self.positives + self.negatives)

    def matthews(self) -> Floats:
        """(TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)); 0 for constant predictions."""
        predicted = self.true_positives + self.false_positives
        silent = self.true_negatives + self.false_negatives
        covariance = self.true_positives * self.true_negatives - self.false_positives * self.false_negatives
        scale = np.sqrt(predicted) * np.sqrt(silent) * np.sqrt(self.positives) * np.sqrt(self.negatives)
        return np.where(self.positives * self.negatives > 0, divide(covariance, scale, otherwise=0.0), np.nan)


def divide(above: Any, below: Any, *, otherwise: float = np.nan) -> Floats:
    """Return above / below, and `otherwise` where `below` is zero."""
    below = np.asarray(below, dtype=np.float64)
    result = np.full(np.broadcast_shapes(np.shape(above), below.shape), otherwise)
    np.divide(above, below, out=result, where=below > 0)
    return result


def count_outcomes(labels: Any, predictions: Any, *, sample_weights: Any = None) -> Outcomes:
    """Return the counts of right and wrong predictions of one class; unknown labels are left out.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,).
        predictions: 0 or 1, shape (rows,).
        sample_weights: non-negative weight per row.

    Raises:
        ArgumentError: arrays of different lengths, labels or predictions other than 0 and 1, negative weights.

    Example:
        >>> outcomes = count_outcomes([0, 0, 1, np.nan], [0, 1, 1, 1])
        >>> outcomes.true_positives.item(), outcomes.false_positives.item(), outcomes.true_negatives.item()
        (1.0, 1.0, 1.0)
    """
    return _count(labels, predictions, sample_weights, "count_outcomes")


def _count(labels: Any, predictions: Any, sample_weights: Any, function: str) -> Outcomes:
    truth, predicted, weights = known_rows(labels, predictions, sample_weights, function)
    if not np.isin(predicted, (0.0, 1.0)).all():
        raise ArgumentError(
            f"`predictions` of {function} must be 0 or 1; got other numbers. Apply a decision rule to the scores first."
        )
    cells = (2 * truth + predicted).astype(np.int64)  # summed cell by cell: what is empty is 0, not a rounding error
    sums = np.bincount(cells, weights=weights, minlength=4).astype(np.float64)
    return Outcomes(*(np.asarray(sums[cell]) for cell in (3, 1, 2, 0)))


def precision_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return TP / (TP + FP), in [0, 1]; higher is better.

    NaN without positives; 0 where there are positives and nothing is predicted (scikit-learn's 0 with a warning).

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,).
        predictions: 0 or 1, shape (rows,).
        sample_weights: non-negative weight per row.

    Example:
        >>> precision_score([0, 0, 1, 1], [0, 1, 1, 1])
        0.6666666666666666
    """
    return float(_count(labels, predictions, sample_weights, "precision_score").precision())


def recall_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return TP / (TP + FN) (sensitivity), in [0, 1]; higher is better. NaN without positives.

    Arguments as in `precision_score`.

    Example:
        >>> recall_score([0, 0, 1, 1], [0, 1, 0, 1])
        0.5
    """
    return float(_count(labels, predictions, sample_weights, "recall_score").recall())


def specificity_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return TN / (TN + FP), in [0, 1]; higher is better. NaN without negatives.

    Arguments as in `precision_score`.

    Example:
        >>> specificity_score([0, 0, 1, 1], [0, 1, 0, 1])
        0.5
    """
    return float(_count(labels, predictions, sample_weights, "specificity_score").specificity())


def f1_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return 2 TP / (2 TP + FP + FN), in [0, 1]; higher is better. NaN without positives.

    Arguments as in `precision_score`.

    Example:
        >>> f1_score([0, 0, 1, 1], [0, 1, 1, 1])
        0.8
    """
    return float(_count(labels, predictions, sample_weights, "f1_score").f1())


def balanced_accuracy_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return (recall + specificity) / 2, in [0, 1]; higher is better, 0.5 is chance. NaN without either class.

    Arguments as in `precision_score`.

    Example:
        >>> balanced_accuracy_score([0, 0, 0, 1], [0, 0, 1, 1])
        0.8333333333333333
    """
    return float(_count(labels, predictions, sample_weights, "balanced_accuracy_score").balanced_accuracy())


def accuracy_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return the share of right predictions, in [0, 1]; higher is better. NaN where no label is known.

    Arguments as in `precision_score`.

    Example:
        >>> accuracy_score([0, 0, 1, np.nan], [0, 1, 1, 1])
        0.6666666666666666
    """
    return float(_count(labels, predictions, sample_weights, "accuracy_score").accuracy())


def matthews_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return Matthews' correlation of labels and predictions, in [-1, 1]; higher is better, 0 is chance.

    NaN without either class; 0 for constant predictions (Matthews 1975; the limit that scikit-learn takes as well).
    Arguments as in `precision_score`.

    Example:
        >>> matthews_score([0, 0, 1, 1], [0, 1, 0, 1])
        0.0
    """
    return float(_count(labels, predictions, sample_weights, "matthews_score").matthews())
