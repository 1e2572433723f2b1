"""Thresholds by exact search: every distinct score of a class is a candidate, and all are tried in one pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_one_of
from equipoise.metrics.ranking import RankedClass, rank_class
from equipoise.scores.record import logit, sigmoid

Objective = Callable[[Floats, Floats, float, float], Floats]

METHODS = ("exact", "shrunk")
ALWAYS = 0.0  # predicted whatever the probability
NEVER = float("inf")  # predicted at no probability, not even 1


def _f1(true_positives: Floats, false_positives: Floats, positives: float, negatives: float) -> Floats:
    return 2 * true_positives / (true_positives + false_positives + positives)


def _youden(true_positives: Floats, false_positives: Floats, positives: float, negatives: float) -> Floats:
    # One division, so that cuts of exactly equal worth are equal in floating point as well.
    return (true_positives * negatives - false_positives * positives) / (positives * negatives)


def _balanced_accuracy(true_positives: Floats, false_positives: Floats, positives: float, negatives: float) -> Floats:
    return 0.5 + _youden(true_positives, false_positives, positives, negatives) / 2


# Objective -> its value at every cut, from the weights of true and false positives at that cut and of both classes.
OBJECTIVES: dict[str, Objective] = {"f1": _f1, "balanced_accuracy": _balanced_accuracy, "youden": _youden}


@dataclasses.dataclass(frozen=True)
class FittedThreshold:
    """A threshold and what it rests on.

    Args:
        threshold: a probability; cases at or above it are positive. 0 predicts always, infinity never.
        value: the objective on the scores that it was fitted on (optimistic by construction).
        positives: number (weight) of positives behind it.
        negatives: number (weight) of negatives behind it.
    """

    threshold: float
    value: float
    positives: float
    negatives: float


def objective_at_cuts(ranked: RankedClass, maximize: str) -> Floats:
    """Return the objective at each cut of a sorted class: 0 predicts never, k from the k-th score of a positive up.

    No cut between two positives is better than the one just below the higher of them.
    """
    hits = np.concatenate(([0.0], ranked.true_positives))
    alarms = np.concatenate(([0.0], ranked.false_positives))
    return OBJECTIVES[maximize](hits, alarms, ranked.positives, ranked.negatives)


def fit_threshold(
    labels: Any, probabilities: Any, *, maximize: str = "f1", sample_weights: Any = None
) -> FittedThreshold:
    """Return the threshold of one class that maximises an objective, found among all distinct probabilities.

    The threshold lies midway, in log-odds, between the lowest probability that is predicted and the highest that is not
    (midway in probability where one of the two is exactly 0 or 1), so that it does not hang on the last digit of a
    score. Of cuts of equal worth the one in the widest such gap is taken, and predicting always or never only where
    nothing in between is as good.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: in [0, 1], shape (rows,).
        maximize: "f1", "balanced_accuracy" or "youden".
        sample_weights: non-negative weight per row.

    Raises:
        ArgumentError: unknown objective, or no known positive or no known negative.

    Example:
        >>> fitted = fit_threshold([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
        >>> round(fitted.threshold, 6), fitted.value, fitted.positives
        (0.5, 1.0, 2.0)
    """
    check_one_of(maximize, OBJECTIVES, argument="maximize", function="fit_threshold")
    weights = None if sample_weights is None else np.asarray(sample_weights, dtype=np.float64)
    ranked = rank_class(np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64), weights)
    if not ranked.positives * ranked.negatives > 0:
        raise ArgumentError(
            f"A threshold needs positives and negatives; got {ranked.positives:g} and {ranked.negatives:g}. "
            "Add rows, or leave the class out."
        )
    return best_threshold(ranked, maximize)


def best_threshold(ranked: RankedClass, maximize: str) -> FittedThreshold:
    """Return the best threshold of a class that is sorted by probability and has positives and negatives."""
    worth = objective_at_cuts(ranked, maximize)
    best = np.flatnonzero(worth == worth.max())
    inner = best[(best > 0) & np.isfinite(np.concatenate(([-np.inf], ranked.below)))[best]]
    if len(inner):
        above, below = ranked.values[inner - 1], ranked.below[inner - 1]
        with np.errstate(invalid="ignore"):
            widest = int(np.argmax(logit(above) - logit(below)))
        cut = int(inner[widest])
        threshold = _between(float(above[widest]), float(below[widest]))
    else:
        cut = int(best[0])
        threshold = NEVER if cut == 0 else ALWAYS
    return FittedThreshold(threshold, float(worth[cut]), ranked.positives, ranked.negatives)


def _between(above: float, below: float) -> float:
    """Return the threshold between two neighbouring probabilities, above the lower and not above the higher."""
    if above < 1.0 and below > 0.0:
        middle = float(sigmoid(np.asarray(logit(np.array([above, below])).mean())))
    else:
        middle = float((above + below) / 2)
    return middle if below < middle <= above else float(above)
