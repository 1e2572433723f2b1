"""The best single cut of a class: by F1, balanced accuracy or Youden's J, or under a condition on one rate.

Every function looks at all cuts of the sorted class in one pass, and returns where to cut and what is then right.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import check_number
from equipoise.metrics._arguments import known_rows
from equipoise.metrics.outcomes import Outcomes
from equipoise.metrics.ranking import RankedClass, rank_class

_ROUNDING = 1e-12  # a condition that is missed by this much is met: sums of weights are rounded


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """Where to cut the scores of a class, and what that gives.

    Args:
        value: of what was asked for; NaN without positives or without negatives.
        threshold: lowest score that is predicted; infinity where nothing is predicted, NaN where `value` is.
        below: highest score that is not predicted, -inf where all are. Any threshold above it and not above
            `threshold` predicts the same rows.
        outcomes: weights of right and wrong predictions at this cut.
    """

    value: float
    threshold: float
    below: float
    outcomes: Outcomes

    def __float__(self) -> float:
        return self.value


def best_f1(labels: Any, values: Any, *, sample_weights: Any = None) -> Cut:
    """Return the cut with the highest F1, in [0, 1]; higher is better.

    Of cuts of equal worth the highest is taken. The figure is optimistic: the cut was chosen on these very rows.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        values: logits or probabilities, shape (rows,).
        sample_weights: non-negative weight per row.

    Returns:
        A cut whose value is NaN without positives or without negatives.

    Raises:
        ArgumentError: arrays of different lengths, other labels, NaN values or negative weights.

    Example:
        >>> cut = best_f1([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8])  # predicting three of which two are right
        >>> cut.value, cut.threshold, cut.below
        (0.8, 0.4, 0.1)
    """
    ranked = rank_class(*known_rows(labels, values, sample_weights, "best_f1"))
    return best_cut(ranked, ranked.outcomes().f1())


def best_balanced_accuracy(labels: Any, values: Any, *, sample_weights: Any = None) -> Cut:
    """Return the cut with the highest (recall + specificity) / 2, in [0.5, 1]; higher is better.

    Arguments, errors and the rest as in `best_f1`.

    Example:
        >>> best_balanced_accuracy([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8]).value
        0.75
    """
    ranked = rank_class(*known_rows(labels, values, sample_weights, "best_balanced_accuracy"))
    return best_cut(ranked, ranked.outcomes().balanced_accuracy())


def best_youden(labels: Any, values: Any, *, sample_weights: Any = None) -> Cut:
    """Return the cut with the highest recall + specificity - 1, in [0, 1]; higher is better (Youden 1950).

    Arguments, errors and the rest as in `best_f1`.

    Example:
        >>> best_youden([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8]).value
        0.5
    """
    ranked = rank_class(*known_rows(labels, values, sample_weights, "best_youden"))
    return best_cut(ranked, ranked.outcomes().youden())


def precision_at_recall(labels: Any, values: Any, *, recall: float, sample_weights: Any = None) -> Cut:
    """Return the cut with the best precision among those with at least a given recall; higher is better.

    Arguments, errors and the rest as in `best_f1`.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,).
        values: logits or probabilities, shape (rows,).
        recall: share of the positives that must be found, above 0 and at most 1.
        sample_weights: non-negative weight per row.

    Example:
        >>> precision_at_recall([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8], recall=0.9).value
        0.6666666666666666
    """
    return _subject_to("precision_at_recall", "precision", "recall", recall, (labels, values, sample_weights))


def recall_at_precision(labels: Any, values: Any, *, precision: float, sample_weights: Any = None) -> Cut:
    """Return the cut with the best recall among those with at least a given precision; higher is better.

    Where no cut has that precision the value is 0 and nothing is predicted. Arguments, errors and the rest as in
    `best_f1`.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,).
        values: logits or probabilities, shape (rows,).
        precision: share of the predicted that must be right, above 0 and at most 1.
        sample_weights: non-negative weight per row.

    Example:
        >>> recall_at_precision([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8], precision=0.7).value
        0.5
    """
    return _subject_to("recall_at_precision", "recall", "precision", precision, (labels, values, sample_weights))


def sensitivity_at_specificity(labels: Any, values: Any, *, specificity: float, sample_weights: Any = None) -> Cut:
    """Return the cut with the best sensitivity (recall) among those with at least a given specificity.

    Higher is better. Where only silence is that specific the value is 0 and nothing is predicted. No point between two
    cuts is made up by interpolation. Arguments, errors and the rest as in `best_f1`.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,).
        values: logits or probabilities, shape (rows,).
        specificity: share of the negatives that must not be predicted, above 0 and at most 1.
        sample_weights: non-negative weight per row.

    Example:
        >>> sensitivity_at_specificity([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8], specificity=0.9).value
        0.5
    """
    given = (labels, values, sample_weights)
    return _subject_to("sensitivity_at_specificity", "recall", "specificity", specificity, given)


def specificity_at_sensitivity(labels: Any, values: Any, *, sensitivity: float, sample_weights: Any = None) -> Cut:
    """Return the cut with the best specificity among those with at least a given sensitivity (recall).

    Higher is better. Arguments, errors and the rest as in `best_f1`.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,).
        values: logits or probabilities, shape (rows,).
        sensitivity: share of the positives that must be found, above 0 and at most 1.
        sample_weights: non-negative weight per row.

    Example:
        >>> specificity_at_sensitivity([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8], sensitivity=0.9).value
        0.5
    """
    given = (labels, values, sample_weights)
    return _subject_to("specificity_at_sensitivity", "specificity", "recall", sensitivity, given)


def best_cut(ranked: RankedClass, worth: Floats) -> Cut:
    """Return the highest of the best cuts of a sorted class.

    Args:
        ranked: from `rank_class`.
        worth: what each cut of `RankedClass.outcomes` is worth, -inf where it is not allowed, shape (cuts,).
    """
    best = int(np.argmax(worth)) if ranked.positives * ranked.negatives > 0 else 0
    hits, alarms = (float(one[best - 1]) if best else 0.0 for one in (ranked.true_positives, ranked.false_positives))
    left = max(ranked.positives - hits, 0.0), max(ranked.negatives - alarms, 0.0)
    outcomes = Outcomes(*(np.asarray(one) for one in (hits, alarms, *left)))
    if not ranked.positives * ranked.negatives > 0:
        return Cut(float("nan"), float("nan"), float("nan"), outcomes)
    threshold = float(ranked.values[best - 1]) if best else float("inf")
    below = float(ranked.below[best - 1]) if best else ranked.highest
    return Cut(float(worth[best]), threshold, below, outcomes)


def best_cut_where(ranked: RankedClass, wanted: str, held: str, least: float) -> Cut:
    """Return the cut of a sorted class with the best of one rate among those with at least so much of another.

    Args:
        ranked: from `rank_class`.
        wanted: the rate that is to be best: a method of `Outcomes`, such as "precision".
        held: the rate that must be had: "recall", "precision" or "specificity".
        least: how much of it, above 0 and at most 1.
    """
    outcomes = ranked.outcomes()
    met = getattr(outcomes, held)() >= least - _ROUNDING
    if held == "precision":
        met[0] = True  # silence, where nothing else will do
    return best_cut(ranked, np.where(met, getattr(outcomes, wanted)(), -np.inf))


def _subject_to(function: str, wanted: str, held: str, least: float, given: tuple[Any, Any, Any]) -> Cut:
    argument = "sensitivity" if function.endswith("_sensitivity") else held
    least = check_number(least, argument=argument, function=function, above=0.0, at_most=1.0)
    return best_cut_where(rank_class(*known_rows(*given, function)), wanted, held, least)
