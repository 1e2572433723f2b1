"""Maps of classes of which exactly one is true: temperature, with an offset per class, vector scaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision.calibration._newton import RIDGE, Loss, minimise
from equipoise.decision.calibration._odds import log_softmax


def fit_softmax(
    truth: NDArray[np.int64],
    logs: Floats,
    weights: Floats,
    method: str,
    fitted: NDArray[np.bool_],
    *,
    plain: bool = False,
) -> tuple[Floats, Floats]:
    """Return slopes and offsets, each of shape (classes,), of softmax(slope * log p + offset) by the least log loss.

    Offsets of the fitted classes sum to 0, and so do the changes that they make; the others have offset 0.

    Args:
        truth: index of the class of each row, shape (rows,).
        logs: log-probabilities of the model, shape (rows, classes).
        weights: non-negative, shape (rows,).
        method: one of `EXCLUSIVE_METHODS`.
        fitted: which classes have cases enough for numbers of their own, shape (classes,).
        plain: without the pull of one case on slopes (see `one_case_ridge`).

    Source: Guo et al., ICML 2017, section 4.2 (temperature and vector scaling); Alexandari, Kundaje and Shrikumar, ICML
    2020, section 2 (temperature with offsets). Differs: log-probabilities instead of logits, so that a constant added
    to all logits of a row changes nothing.
    """
    base, directions, start = softmax_directions(method, fitted)
    count = logs.shape[1]
    ridge = np.full(len(start), RIDGE)
    if not plain:
        ridge[start == 1.0] = max(float(np.average(logs.var(axis=1), weights=weights)) / 4, RIDGE)
    loss = softmax_loss(truth, logs, weights, base, directions)
    found = base + directions @ minimise(loss, np.zeros(len(start)), ridge=ridge)
    return np.maximum(found[:count], 0.0), found[count:]


def softmax_directions(method: str, fitted: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Return base, directions and start: slopes and offsets are ``base + directions @ parameters``, slopes first.

    At the start (slopes 1, then offsets 0) they are the identity.
    """
    count = len(fitted)
    slopes = np.eye(count)[:, fitted] if method == "vector" else np.ones((count, 1))
    offsets = np.zeros((count, 0)) if method == "temperature" else _contrasts(fitted)
    directions = np.zeros((2 * count, slopes.shape[1] + offsets.shape[1]))
    directions[:count, : slopes.shape[1]] = slopes
    directions[count:, slopes.shape[1] :] = offsets
    start = np.concatenate([np.ones(slopes.shape[1]), np.zeros(offsets.shape[1])])
    return np.concatenate([np.ones(count) - slopes.sum(axis=1), np.zeros(count)]), directions, start


def softmax_loss(truth: NDArray[np.int64], logs: Floats, weights: Floats, base: Floats, directions: Floats) -> Loss:
    """Return the weighted log loss of softmax(slope * logs + offset) as a function of the parameters.

    Slopes and offsets are ``base + directions @ parameters``, slopes first, shape (2 classes,).
    """
    rows, count = np.arange(len(truth)), logs.shape[1]

    def loss(parameters: Floats) -> tuple[float, Floats, Floats]:
        both = base + directions @ parameters
        mapped = log_softmax(logs * both[:count] + both[count:])
        value = -float(weights @ mapped[rows, truth])
        probabilities = np.exp(mapped)
        weighted = weights[:, None] * probabilities
        residual = weighted.copy()
        residual[rows, truth] -= weights
        gradient = np.concatenate([(residual * logs).sum(axis=0), residual.sum(axis=0)])
        by_slope = probabilities * logs
        first = np.hstack([by_slope, probabilities])
        curvature = -(first * weights[:, None]).T @ first
        diagonal = np.arange(count)
        curvature[diagonal, diagonal] += (weighted * np.square(logs)).sum(axis=0)
        curvature[diagonal, count + diagonal] += (weighted * logs).sum(axis=0)
        curvature[count + diagonal, diagonal] += (weighted * logs).sum(axis=0)
        curvature[count + diagonal, count + diagonal] += weighted.sum(axis=0)
        return value, directions.T @ gradient, directions.T @ curvature @ directions

    return loss


def _contrasts(fitted: NDArray[np.bool_]) -> Floats:
    """Return an orthonormal basis of the offsets that sum to 0 over the fitted classes and are 0 elsewhere."""
    chosen = np.flatnonzero(fitted)
    if len(chosen) < 2:
        return np.zeros((len(fitted), 0))
    centred = np.eye(len(chosen)) - 1.0 / len(chosen)
    basis = np.zeros((len(fitted), len(chosen) - 1))
    basis[chosen] = np.linalg.svd(centred)[0][:, : len(chosen) - 1]
    return basis
