"""Thresholds by exact search: every score at which the objective can be best is tried, all in one pass."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError
from equipoise.decision.objectives import Objective, check_objective, parse_objective
from equipoise.metrics.ranking import RankedClass, rank_class
from equipoise.scores.record import logit, sigmoid

METHODS = ("exact", "shrunk")
ALWAYS = 0.0  # predicted whatever the probability
NEVER = float("inf")  # predicted at no probability, not even 1
AS_GOOD = 1e-13  # what rounding may take from one of two cuts of equal worth


@dataclasses.dataclass(frozen=True)
class FittedThreshold:
    """A threshold and what it rests on.

    Args:
        threshold: a probability; cases at or above it are positive. 0 predicts always, infinity never.
        value: the figure of the objective on the scores that it was fitted on (optimistic by construction).
        positives: number (weight) of positives behind it.
        negatives: number (weight) of negatives behind it.
        reached: whether a target (recall, precision, alarms) was reached; True for objectives that are no target.
    """

    threshold: float
    value: float
    positives: float
    negatives: float
    reached: bool = True


def fit_threshold(
    labels: Any, probabilities: Any, *, maximize: str | Objective = "f1", sample_weights: Any = None
) -> FittedThreshold:
    """Return the threshold of one class that is best for an objective, found among all distinct probabilities.

    The threshold lies midway, in log-odds, between the lowest probability that is predicted and the highest that is not
    (midway in probability where one of the two is exactly 0 or 1), so that it does not hang on the last digit of a
    score. Of cuts of equal worth the one in the widest such gap is taken, and predicting always or never only where
    nothing in between is as good. A target that no threshold reaches gives the threshold that comes nearest, and says
    so (`FittedThreshold.reached`).

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        probabilities: in [0, 1], shape (rows,).
        maximize: see `parse_objective`: "f1", "fbeta:2", "balanced_accuracy", "youden", "mcc", "cost:1:10" (of a false
            positive : of a false negative), "recall>=0.9", "precision>=0.5", "alarms=0.05".
        sample_weights: non-negative weight per row.

    Raises:
        ArgumentError: unknown objective, or no known positive or no known negative.

    Example:
        >>> fitted = fit_threshold([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
        >>> round(fitted.threshold, 6), fitted.value, fitted.positives
        (0.5, 1.0, 2.0)
        >>> fit_threshold([0, 1, 0, 1], [0.1, 0.3, 0.8, 0.9], maximize="recall>=0.9").value  # both found, one alarm
        0.6666666666666666
    """
    objective = parse_objective(maximize, function="fit_threshold")
    check_objective(objective, "binary", function="fit_threshold")
    weights = None if sample_weights is None else np.asarray(sample_weights, dtype=np.float64)
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    ranked = rank_class(truth, values, weights)
    if not ranked.positives * ranked.negatives > 0:
        raise ArgumentError(
            f"A threshold needs positives and negatives; got {ranked.positives:g} and {ranked.negatives:g}. "
            "Add rows, or leave the class out."
        )
    if objective.name != "alarms":
        return best_threshold(ranked, objective)
    cut = alarm_threshold(values, objective.parameters[0], weights)
    return judge_threshold(cut, truth, values, objective, weights)


def best_threshold(ranked: RankedClass, objective: Objective) -> FittedThreshold:
    """Return the best threshold of a class that is sorted by probability and has positives and negatives."""
    hits, alarms = count_at_cuts(ranked)
    worth = objective.worth(hits, alarms, ranked.positives, ranked.negatives)
    cut, threshold = choose_cut(ranked, worth)
    value = objective.figure(hits[cut], alarms[cut], ranked.positives, ranked.negatives)
    reached = not objective.is_target or bool(worth[cut] >= 0)
    return FittedThreshold(threshold, float(value), ranked.positives, ranked.negatives, reached)


def judge_threshold(
    threshold: float, labels: Floats, values: Floats, objective: Objective, weights: Floats | None = None
) -> FittedThreshold:
    """Return a threshold with its figure on labels (0, 1, NaN) and values, shape (rows,)."""
    predicted, positive, negative = values >= threshold, labels == 1, labels == 0

    def mass(rows: NDArray[np.bool_]) -> float:
        return float(np.count_nonzero(rows) if weights is None else weights[rows].sum())

    counts = [mass(one) for one in (predicted & positive, predicted & negative, positive, negative)]
    if objective.name == "alarms":  # a share of all rows: their labels do not matter
        value = mass(predicted) / mass(np.ones(len(values), dtype=bool))
        return FittedThreshold(threshold, value, counts[2], counts[3], value > 0)
    reached = not objective.is_target or bool(objective.worth(*counts) >= 0)
    return FittedThreshold(threshold, float(objective.figure(*counts)), counts[2], counts[3], reached)


def count_at_cuts(ranked: RankedClass) -> tuple[Floats, Floats]:
    """Return true and false positives at each cut: 0 predicts never, k from the k-th score of a positive up.

    No cut between two positives is better than the one just below the higher of them.
    """
    return np.concatenate(([0.0], ranked.true_positives)), np.concatenate(([0.0], ranked.false_positives))


def choose_cut(ranked: RankedClass, worth: Floats) -> tuple[int, float]:
    """Return the best cut and its threshold; of equal ones that in the widest gap, never and always only if alone."""
    best = np.flatnonzero(worth >= worth.max() - AS_GOOD)
    inner = best[best > 0]
    inner = inner[np.isfinite(ranked.below[inner - 1])]
    if not len(inner):
        return int(best[0]), NEVER if best[0] == 0 else ALWAYS
    above, below = ranked.values[inner - 1], ranked.below[inner - 1]
    with np.errstate(invalid="ignore"):
        widest = int(np.argmax(logit(above) - logit(below)))
    return int(inner[widest]), midway(float(above[widest]), float(below[widest]))


def alarm_threshold(values: Floats, share: float, weights: Floats | None = None) -> float:
    """Return the threshold that predicts the largest share of rows which is not above `share`; never, if ties forbid.

    Args:
        values: probabilities, shape (rows,).
        share: of rows predicted positive, above 0 and at most 1.
        weights: non-negative weight per row.

    Example:
        >>> alarm_threshold(np.array([0.1, 0.2, 0.6, 0.8]), 0.5)
        0.3797958971132712
    """
    if weights is None:
        count = int(np.floor(share * len(values) * (1 + 1e-12)))
        if count >= len(values):
            return ALWAYS
        first_silent = np.partition(values, len(values) - count - 1)[len(values) - count - 1]
        predicted = values[values > first_silent]  # a block of equal scores is predicted whole or not
        return midway(float(predicted.min()), float(first_silent)) if len(predicted) else NEVER
    order = np.argsort(-values)
    ordered, total = values[order], np.cumsum(weights[order])
    count = int(np.searchsorted(total, share * total[-1] * (1 + 1e-12), side="right"))
    while 0 < count < len(ordered) and ordered[count - 1] == ordered[count]:
        count = int(np.searchsorted(-ordered, -ordered[count]))  # a block of equal scores is predicted whole or not
    if count == 0:
        return NEVER
    return ALWAYS if count >= len(ordered) else midway(float(ordered[count - 1]), float(ordered[count]))


def midway(above: float, below: float) -> float:
    """Return the threshold between two neighbouring probabilities, above the lower and not above the higher.

    Example:
        >>> round(midway(0.8, 0.2), 12), midway(0.2, 0.0)
        (0.5, 0.1)
    """
    if above < 1.0 and below > 0.0:
        mean = (math.log(above) - math.log1p(-above) + math.log(below) - math.log1p(-below)) / 2
        middle = float(sigmoid(np.asarray(mean)))
    else:
        middle = (above + below) / 2
    return middle if below < middle <= above else above
