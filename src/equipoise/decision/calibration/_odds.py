"""Scores as finite log-odds or log-probabilities: what calibration maps from and to."""

from __future__ import annotations

import numpy as np

from equipoise._arrays import Floats
from equipoise.scores import Scores
from equipoise.scores.record import logit, sigmoid, softmax

SMALLEST = float(np.finfo(np.float64).eps)  # probabilities are kept this far from 0 and 1, as in `log_loss`
_LARGEST = 1e100


def finite_odds(scores: Scores) -> Floats:
    """Return log-odds (for exclusive classes log-probabilities) that are finite, shape (rows, classes).

    Probabilities of 0 and 1 are taken as 2**-52 and 1 - 2**-52; logits stay as they are,
    but none is beyond 1e100 either way, so that their squares are numbers.
    """
    if scores.exclusive:
        logits = scores.log_values()
        if scores.kind == "probabilities":
            logits = np.maximum(logits, np.log(SMALLEST))
        return log_softmax(logits)
    if scores.kind == "logits":
        return np.asarray(np.clip(scores.value_table(), -_LARGEST, _LARGEST))
    return logit(np.clip(scores.value_table(), SMALLEST, 1.0 - SMALLEST))


def from_odds(scores: Scores, odds: Floats) -> Scores:
    """Return the scores with other log-odds (for exclusive classes softmax logits), of the same kind as before."""
    values = odds
    if scores.kind == "probabilities":
        values = softmax(odds) if scores.exclusive else sigmoid(odds)
    return scores.with_values(values.reshape(scores.values.shape))


def log_softmax(logits: Floats) -> Floats:
    """Return the logarithms of the softmax over the last axis.

    Example:
        >>> np.exp(log_softmax(np.array([[0.0, np.log(3.0)]])))
        array([[0.25, 0.75]])
    """
    below = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(axis=-1, keepdims=True)))


def log_sigmoids(odds: Floats) -> tuple[Floats, Floats]:
    """Return log p and log(1 - p) of log-odds, without overflow.

    Example:
        >>> [one.round(4).tolist() for one in log_sigmoids(np.array([0.0, 800.0]))]
        [[-0.6931, -0.0], [-0.6931, -800.0]]
    """
    tail = np.log1p(np.exp(-np.abs(odds)))
    return -np.maximum(-odds, 0.0) - tail, -np.maximum(odds, 0.0) - tail
