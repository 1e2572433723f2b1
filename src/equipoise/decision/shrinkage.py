"""Thresholds that do not chase noise: a bootstrap mean of the exact search, drawn to a plug-in where positives are few.

With a few dozen positives the best cut of one sample is mostly luck. Its mean over bootstrap samples (bagging the
search) is steadier, and steadier still is the threshold that follows from the probabilities alone, which needs them
calibrated but counts no positives at all. The two are averaged in log-odds with weight a = positives / (positives +
20) on the first.

The pool that a threshold is drawn to is the plug-in of its own class and not the mean over classes: thresholds that are
best for F1 differ between classes by their prevalence and by how well they rank, and the probabilities of the class
know both. For micro-F1, whose best thresholds are the same for all classes, it is one plug-in of all classes pooled.
"""

from __future__ import annotations

import numpy as np

from equipoise._arrays import Floats
from equipoise.decision.objectives import Objective
from equipoise.scores.record import logit, sigmoid

PRIOR_POSITIVES = 20.0  # positives at which search and plug-in weigh the same
_FURTHEST = 36.0  # log-odds beyond which a float64 probability is 1


def plug_in_f1(probabilities: Floats) -> float:
    """Return half of the best F1 that calibrated probabilities promise, the threshold that attains it.

    Lipton, Elkan and Naryanaswamy 2014, theorem 1 (the optimal threshold is F*/2), with F* the maximum over k of twice
    the sum of the k largest probabilities divided by (k + the sum of all).

    Example:
        >>> plug_in_f1(np.array([1.0, 1.0, 0.0, 0.0]))
        0.5
    """
    return plug_in(probabilities, Objective("f1"))


def plug_in_prevalence(probabilities: Floats) -> float:
    """Return the mean probability: with calibrated ones the threshold that maximises balanced accuracy and Youden's J.

    Example:
        >>> plug_in_prevalence(np.array([0.1, 0.3]))
        0.2
    """
    return float(probabilities.mean())


def plug_in(probabilities: Floats, objective: Objective) -> float:
    """Return the threshold that calibrated probabilities promise to be the best, in [0, 1].

    For F-beta it is F*/(1 + beta^2), with F* the best F-beta promised; for balanced accuracy and Youden's J the mean
    probability; for costs alarm / (alarm + miss) (Elkan, IJCAI 2001, equation 2). For MCC and targets it is the
    probability of the last row predicted when expected true and false positives stand for counts.

    Args:
        probabilities: of the known rows, shape (rows,).
        objective: of yes-or-no classes.

    Example:
        >>> plug_in(np.array([0.9, 0.2]), Objective("cost", (1.0, 4.0)))
        0.2
    """
    if objective.name in ("balanced_accuracy", "youden"):
        return plug_in_prevalence(probabilities)
    if objective.name == "cost":
        alarm, miss = objective.parameters
        return alarm / (alarm + miss)
    ordered = np.sort(probabilities)[::-1]
    hits = np.cumsum(ordered)
    alarms = np.arange(1, len(ordered) + 1) - hits
    promised = objective.worth(hits, alarms, hits[-1], len(ordered) - hits[-1])
    best = int(np.argmax(promised))
    if objective.name in ("f1", "macro_f1", "micro_f1", "fbeta"):
        beta = (objective.parameters or (1.0,))[0]
        return float(promised[best] / (1 + beta * beta))
    return float(ordered[best])


def adds_up(probabilities: Floats, positives: float) -> bool:
    """Return whether probabilities (rows,) add up to the number of positives, within four standard errors.

    Where they do not they are plainly not calibrated, and what they promise is not worth drawing to.
    """
    spread = float(np.sqrt((probabilities * (1 - probabilities)).sum()))
    return bool(abs(float(probabilities.sum()) - positives) <= 4 * max(spread, 1.0))


def draw_to_plug_in(odds: Floats, plug_in_threshold: float, positives: float) -> Floats:
    """Return log-odds of searched thresholds averaged with those of a plug-in, of their shape.

    The search weighs positives / (positives + 20).

    Example:
        >>> draw_to_plug_in(np.array([2.0]), 0.5, positives=20.0)
        array([1.])
    """
    share = positives / (positives + PRIOR_POSITIVES)
    return share * odds + (1 - share) * bounded_log_odds(np.asarray(plug_in_threshold))


def bounded_log_odds(probabilities: Floats) -> Floats:
    """Return log-odds within what a float64 probability can tell from 0 and 1."""
    return np.clip(logit(probabilities), -_FURTHEST, _FURTHEST)


def from_log_odds(odds: Floats) -> Floats:
    """Return probabilities of log-odds."""
    return sigmoid(np.asarray(odds))
