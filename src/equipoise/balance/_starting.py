"""The scores that mean a given prior under a loss: what a model's first bias should be."""

from __future__ import annotations

import numpy as np

from equipoise._arrays import ClassFloats, TableFloats
from equipoise.balance._schemes import CLASS_WEIGHT, POS_WEIGHT
from equipoise.balance.corrections import Bending, log_softmax


def bent(entry: Bending, log_odds: ClassFloats, kind: str = POS_WEIGHT) -> ClassFloats:
    """Return the scores that ``entry.unbend`` turns into the given log-odds (of a softmax: log-probabilities).

    Found by halving for a sigmoid, where each score stands alone; for a softmax by steps along what is still missing,
    halved where they go too far.

    Args:
        entry: what bends.
        log_odds: (classes,).
        kind: of the outputs.

    Example:
        >>> from equipoise.balance.corrections import SmoothingCorrection
        >>> bent(SmoothingCorrection(0.2), np.array([0.0, np.log(9)])).round(4)  # 0.9 is smoothed to 0.82
        array([0.    , 1.5163])
    """
    if kind != POS_WEIGHT:
        return _bent_softmax(entry, log_odds)
    low, high = np.full(len(log_odds), -60.0), np.full(len(log_odds), 60.0)
    for _ in range(60):
        middle = (low + high) / 2
        beyond = entry.unbend(middle[None], POS_WEIGHT)[0] > log_odds
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return np.asarray((low + high) / 2)


def _bent_softmax(entry: Bending, log_odds: ClassFloats) -> ClassFloats:
    aim = log_softmax(log_odds[None])

    def missing(scores: TableFloats) -> TableFloats:
        return np.asarray(aim - log_softmax(entry.unbend(scores, CLASS_WEIGHT)))

    scores, step = aim, 1.0
    left = missing(scores)
    for _ in range(500):
        if np.abs(left).max() < 1e-10 or step < 1e-12:
            break
        tried = log_softmax(scores + step * left)
        if np.linalg.norm(missing(tried)) < np.linalg.norm(left):
            scores, left, step = tried, missing(tried), min(1.0, 1.5 * step)
        else:
            step /= 2
    return np.asarray(scores[0])
