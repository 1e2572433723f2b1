"""Maps of one yes-or-no class: temperature, Platt, beta and isotonic."""

from __future__ import annotations

import dataclasses

import numpy as np

from equipoise._arrays import Floats
from equipoise.decision.calibration._isotonic import isotonic_regression
from equipoise.decision.calibration._newton import logistic_loss, minimise, one_case_ridge
from equipoise.decision.calibration._odds import log_sigmoids
from equipoise.decision.calibration.record import Steps
from equipoise.scores.record import logit

SMOOTHINGS = ("one_case", "platt", "none")


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """``low log p - high log(1 - p) + offset``, or steps; see `Calibration`."""

    low: float = 1.0
    high: float = 1.0
    offset: float = 0.0
    steps: Steps | None = None


def soft_targets(truth: Floats, weights: Floats, smoothing: str) -> Floats:
    """Return what probabilities are fitted to: the labels, or Platt's targets.

    With N+ positives and N- negatives (weights), Platt 1999, equation 4: (N+ + 1) / (N+ + 2) for a positive and
    1 / (N- + 2) for a negative. No probability fitted to them is 0 or 1, also where a score separates the classes.

    Example:
        >>> soft_targets(np.array([1.0, 0.0, 0.0]), np.ones(3), "platt").round(4)
        array([0.6667, 0.25  , 0.25  ])
    """
    if smoothing != "platt":
        return truth
    positives, negatives = float(weights @ truth), float(weights @ (1.0 - truth))
    return np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def fit_temperature(truth: Floats, odds: Floats, weights: Floats, smoothing: str) -> ClassMap:
    """Return log-odds divided by a temperature (Guo et al. 2017, equation 9); infinite where they rank backwards."""
    targets = soft_targets(truth, weights, smoothing)
    slope = max(float(_fit(odds[:, None], targets, weights, smoothing)[0]), 0.0)
    return ClassMap(slope, slope)


def fit_platt(truth: Floats, odds: Floats, weights: Floats, smoothing: str) -> ClassMap:
    """Return slope and intercept on the log-odds (Platt 1999); a slope below 0 becomes 0: the mean is all there is."""
    targets = soft_targets(truth, weights, smoothing)
    if odds.max() > odds.min():
        design = np.column_stack([odds, np.ones_like(odds)])
        slope, offset = _fit(design, targets, weights, smoothing).tolist()
        if slope >= 0:
            return ClassMap(slope, slope, offset)
        return ClassMap(0.0, 0.0, _level(targets, weights))
    return ClassMap(1.0, 1.0, _level(targets, weights) - float(odds[0]))


def fit_beta(truth: Floats, odds: Floats, weights: Floats, smoothing: str) -> ClassMap:
    """Return a log p - b log(1 - p) + c with a and b at least 0 (Kull, Silva Filho and Flach 2017, equation 1).

    The loss is convex, so its minimum under the two bounds is the best of those that lie on no, one or both of them.
    """
    if odds.max() == odds.min():
        return fit_platt(truth, odds, weights, smoothing)
    targets = soft_targets(truth, weights, smoothing)
    sure, unsure = log_sigmoids(odds)
    full = np.column_stack([sure, -unsure, np.ones_like(odds)])
    best, best_loss = np.array([0.0, 0.0, _level(targets, weights)]), np.inf
    for kept in ([0, 1, 2], [0, 2], [1, 2]):
        found = _fit(full[:, kept], targets, weights, smoothing)
        loss = logistic_loss(full[:, kept], targets, weights)(found)[0]
        if (found[:-1] >= 0).all() and loss < best_loss:
            best_loss = loss
            best = np.zeros(3)
            best[kept] = found
            if len(kept) == 3:
                break
    return ClassMap(*best.tolist())


def fit_isotonic(truth: Floats, odds: Floats, weights: Floats, smoothing: str) -> ClassMap:
    """Return the isotonic map, its levels kept off 0 and 1 by Platt's targets, straight in log-odds between blocks.

    Isotonic regression follows its labels through any stretching, so that fitting it to Platt's targets is stretching
    its levels from [0, 1] to [1 / (N- + 2), (N+ + 1) / (N+ + 2)]; without smoothing the ends would be certain, and one
    such error costs an infinite log loss. The targets are Platt's whatever `smoothing` is.
    """
    low, high, levels = isotonic_regression(truth, odds, sample_weights=weights)
    certain = soft_targets(np.array([0.0, 1.0]), np.array([weights @ (1.0 - truth), weights @ truth]), "platt")
    calibrated = logit(certain[0] + (certain[1] - certain[0]) * levels)
    corners = np.column_stack([low, high]).ravel()
    outputs = np.repeat(calibrated, 2)
    kept = np.concatenate(([True], corners[1:] > corners[:-1]))
    return ClassMap(steps=Steps(tuple(corners[kept].tolist()), tuple(outputs[kept].tolist())))


def _fit(design: Floats, targets: Floats, weights: Floats, smoothing: str) -> Floats:
    ridge = one_case_ridge(design, weights, plain=smoothing != "one_case")
    return minimise(logistic_loss(design, targets, weights), np.zeros(design.shape[1]), ridge=ridge)


def _level(targets: Floats, weights: Floats) -> float:
    """Return the log-odds of the mean target."""
    mean = float(np.average(targets, weights=weights))
    return float(logit(np.asarray(min(max(mean, 1e-12), 1 - 1e-12))))
