"""Thresholds that do not chase noise: a bootstrap mean of the exact search, drawn to a plug-in where positives are few.

With a few dozen positives the best cut of one sample is mostly luck. Its mean over bootstrap samples (bagging the
search) is steadier, and steadier still is the threshold that follows from the probabilities alone, which needs them
calibrated but counts no positives at all. The two are averaged in log-odds with weight a = positives / (positives +
20) on the first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision.thresholds import OBJECTIVES, FittedThreshold
from equipoise.metrics.ranking import rank_class
from equipoise.scores.record import logit, sigmoid

RESAMPLES = 100
PRIOR_POSITIVES = 20.0  # positives at which search and plug-in weigh the same
_FURTHEST = 36.0  # log-odds beyond which a float64 probability is 1
_CHUNK_ENTRIES = 2_000_000


def plug_in_f1(probabilities: Floats) -> float:
    """Return half of the best F1 that calibrated probabilities promise, the threshold that attains it.

    Lipton, Elkan and Naryanaswamy 2014, theorem 1 (the optimal threshold is F*/2), with F* the maximum over k of twice
    the sum of the k largest probabilities divided by (k + the sum of all).

    Example:
        >>> plug_in_f1(np.array([1.0, 1.0, 0.0, 0.0]))
        0.5
    """
    ordered = np.sort(probabilities)[::-1]
    promised = 2 * np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + ordered.sum())
    return float(promised.max() / 2)


def plug_in_prevalence(probabilities: Floats) -> float:
    """Return the mean probability: with calibrated ones the threshold that maximises balanced accuracy and Youden's J.

    Example:
        >>> plug_in_prevalence(np.array([0.1, 0.3]))
        0.2
    """
    return float(probabilities.mean())


# Objective -> the threshold that calibrated probabilities promise to be the best.
PLUG_INS: dict[str, Callable[[Floats], float]] = {
    "f1": plug_in_f1,
    "balanced_accuracy": plug_in_prevalence,
    "youden": plug_in_prevalence,
}


def draw_resamples(keys: NDArray[np.uint64], *, seed: int = 0) -> NDArray[np.int16]:
    """Return how often each bootstrap sample holds each row, shape (`RESAMPLES`, rows).

    Args:
        keys: of the rows (or of their groups, which are then drawn whole). Equal sets of keys give equal draws,
            whatever their order.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    different, inverse = np.unique(keys, return_inverse=True)
    count = len(different)
    draws = [np.bincount(random.integers(0, count, count), minlength=count) for _ in range(RESAMPLES)]
    return np.array(draws, dtype=np.int16)[:, inverse]


def shrunk_threshold(
    labels: Floats, probabilities: Floats, resamples: NDArray[np.int16], maximize: str
) -> tuple[FittedThreshold, bool]:
    """Return the shrunk threshold of one class with known positives and negatives, and whether the plug-in took part.

    The plug-in is left out where the probabilities are plainly not calibrated: where their sum over the known rows is
    further than four standard errors from the number of positives.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,).
        probabilities: in [0, 1], shape (rows,).
        resamples: see `draw_resamples`, shape (resamples, rows).
        maximize: the objective.
    """
    known = ~np.isnan(labels)
    truth, values = labels[known], probabilities[known]
    ranked = rank_class(truth, values)
    searched = _searched_log_odds(truth, values, resamples[:, known], maximize)
    expected, spread = values.sum(), np.sqrt((values * (1 - values)).sum())
    calibrated = bool(abs(expected - ranked.positives) <= 4 * max(spread, 1.0))
    share = ranked.positives / (ranked.positives + PRIOR_POSITIVES) if calibrated else 1.0
    odds = float(_bounded(logit(np.asarray(PLUG_INS[maximize](values))))) if calibrated else 0.0
    threshold = float(sigmoid(np.asarray(share * searched + (1 - share) * odds)))
    predicted, total = truth[values >= threshold], (ranked.positives, ranked.negatives)
    worth = OBJECTIVES[maximize](predicted.sum(), len(predicted) - predicted.sum(), *total)
    return FittedThreshold(threshold, float(worth), *total), calibrated


def _searched_log_odds(truth: Floats, values: Floats, resamples: NDArray[np.int16], maximize: str) -> float:
    """Return the mean over bootstrap samples of the log-odds midway below the best cut."""
    order = np.argsort(values)[::-1]
    odds, hits = _bounded(logit(values[order])), truth[order] == 1
    ends = np.append(np.flatnonzero(odds[1:] != odds[:-1]), len(odds) - 1)
    middles = (odds[ends] + np.append(odds[ends[1:]], odds[-1] - 1.0)) / 2
    found: list[Floats] = []
    width = max(1, _CHUNK_ENTRIES // len(odds))
    for start in range(0, len(resamples), width):
        weights = resamples[start : start + width][:, order]
        drawn_hits = np.cumsum(np.where(hits, weights, 0), axis=1, dtype=np.int64)[:, ends].astype(np.float64)
        alarms = np.cumsum(weights, axis=1, dtype=np.int64)[:, ends] - drawn_hits
        for hit, alarm in zip(drawn_hits, alarms, strict=True):
            if hit[-1] * alarm[-1] > 0:
                hit_worth = OBJECTIVES[maximize](hit, alarm, float(hit[-1]), float(alarm[-1]))
                found.append(middles[np.argmax(hit_worth)])
    return float(np.mean(found))


def _bounded(odds: Floats) -> Floats:
    return np.clip(odds, -_FURTHEST, _FURTHEST)
