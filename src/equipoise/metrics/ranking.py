"""Ranking: the scores of a class are sorted once, and every ranking and threshold figure comes from that pass."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise.metrics._arguments import known_rows


@dataclasses.dataclass(frozen=True, eq=False)
class RankedClass:
    """One class, sorted: weight of positives and negatives at or above each distinct score, from the highest down.

    Args:
        values: distinct scores, descending, shape (k,).
        true_positives: weight of the positives with a score of at least `values`, shape (k,).
        false_positives: the same of the negatives, shape (k,).
    """

    values: Floats
    true_positives: Floats
    false_positives: Floats

    @property
    def positives(self) -> float:
        """Weight of all positives."""
        return float(self.true_positives[-1]) if len(self.values) else 0.0

    @property
    def negatives(self) -> float:
        """Weight of all negatives."""
        return float(self.false_positives[-1]) if len(self.values) else 0.0

    def auc(self) -> float:
        """Area under the ROC curve; ties count one half. NaN without positives or without negatives."""
        pairs = self.positives * self.negatives
        if not pairs > 0:
            return float("nan")
        steps = np.diff(self.false_positives, prepend=0.0)
        middles = self.true_positives - 0.5 * np.diff(self.true_positives, prepend=0.0)
        return float(steps @ middles / pairs)

    def average_precision(self) -> float:
        """Sum of precision times the step in recall. NaN without positives or without negatives."""
        if not self.positives * self.negatives > 0:
            return float("nan")
        steps = np.diff(self.true_positives, prepend=0.0)
        precision = self.true_positives / (self.true_positives + self.false_positives)
        return float(steps @ precision / self.positives)


def rank_class(labels: Floats, values: Floats, sample_weights: Floats | None = None) -> RankedClass:
    """Sort one class once.

    Args:
        labels: 0, 1 or NaN (left out), shape (rows,).
        values: finite scores, higher means more likely positive, shape (rows,).
        sample_weights: non-negative weight per row; rows of weight zero are left out.
    """
    keep = ~np.isnan(labels) if sample_weights is None else ~np.isnan(labels) & (sample_weights > 0)
    if not keep.all():
        labels, values = labels[keep], values[keep]
        sample_weights = None if sample_weights is None else sample_weights[keep]
    order = np.argsort(values)[::-1]
    ordered = values[order]
    ends = np.flatnonzero(ordered[1:] != ordered[:-1])
    if len(ordered):
        ends = np.append(ends, len(ordered) - 1)
    hits = labels[order]
    if sample_weights is None:
        true_positives = np.cumsum(hits)[ends]
        false_positives = ends + 1.0 - true_positives
    else:
        weights = sample_weights[order]
        true_positives = np.cumsum(hits * weights)[ends]
        false_positives = np.cumsum((1.0 - hits) * weights)[ends]
    return RankedClass(ordered[ends], true_positives, false_positives)


def auc_score(labels: Any, values: Any, *, sample_weights: Any = None) -> float:
    """Return the area under the ROC curve, in [0, 1]; higher is better, 0.5 is chance.

    The probability that a positive scores above a negative, ties counting one half (Hanley and McNeil 1982, equation
    1).

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        values: logits or probabilities, shape (rows,).
        sample_weights: non-negative weight per row.

    Returns:
        NaN without positives or without negatives.

    Raises:
        ArgumentError: arrays of different lengths, other labels, NaN values or negative weights.

    Example:
        >>> auc_score([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])  # pairs: 1 + 1 + 0.5 + 1 of 4
        0.875
    """
    return rank_class(*known_rows(labels, values, sample_weights, "auc_score")).auc()


def average_precision_score(labels: Any, values: Any, *, sample_weights: Any = None) -> float:
    """Return average precision, in [0, 1]; higher is better, chance is the prevalence.

    Sum over distinct scores of precision times the step in recall, without interpolation (as scikit-learn).

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        values: logits or probabilities, shape (rows,).
        sample_weights: non-negative weight per row.

    Returns:
        NaN without positives; NaN also without negatives, where any ranking would score 1.

    Raises:
        ArgumentError: arrays of different lengths, other labels, NaN values or negative weights.

    Example:
        >>> average_precision_score([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8])  # 1/2 * 1 + 1/2 * 2/3
        0.8333333333333333
    """
    return rank_class(*known_rows(labels, values, sample_weights, "average_precision_score")).average_precision()
