"""Weights of single labels: each class is drawn as often as planned, whatever other labels its rows were drawn for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats


def stabilising_weights(
    labels: NDArray[np.int8], counts: NDArray[np.int64], weights: NDArray[np.float64], limit: float
) -> tuple[Floats, float]:
    r"""Return (combinations, classes) a weight for each label of a drawn row, and the share of labels that have it.

    A row that is drawn for one label brings its others, so the positives of a class that are drawn are not those of the
    data: they are the ones that come with rare labels. With w the weight of a row,

        r_c(row) = mean of w over the rows with the same label of c / w(row)

    takes that back: weighted by r, the positives of c among the draws are distributed as the positives of c in the
    data, the negatives likewise, and both are as many as were planned. So drawing and r together multiply the odds of
    each class by one number, whatever the other labels are and whatever the input tells of them. r has mean one over
    the draws of either side. Where it would exceed `limit` it is cut there, and the others of the side are scaled, and
    cut where that takes them beyond `limit`, until the mean is one again: no weight is above `limit`.

    Args:
        labels: (combinations, classes) 1, 0, or -1 for unknown, whose weight is one.
        counts: (combinations,) rows of each.
        weights: (combinations,) of the rows; 0 is never drawn, and counts as cut.
        limit: above 1.

    References:
        Robins, Hernan & Brumback, Epidemiology 11 (2000), 550-560, stabilised weights; Cole & Hernan, American Journal
        of Epidemiology 168 (2008), 656-664, for cutting them.

    Example:
        Two rows in three of the class come with a label that is drawn four times as often:

        >>> labels = np.array([[1, 1], [1, 0], [0, 0]], np.int8)
        >>> found, share = stabilising_weights(labels, np.array([2, 1, 3]), np.array([4.0, 1.0, 1.0]) / 12, 20.0)
        >>> found[:, 0].tolist(), share
        ([0.75, 3.0, 1.0], 1.0)
    """
    mass = counts.astype(np.float64)
    result = np.ones(labels.shape)
    exact = known = 0.0
    for side in (0, 1):
        chosen = labels == side
        rows = mass @ chosen
        drawn = (mass * weights) @ chosen
        mean = np.divide(drawn, rows, out=np.zeros_like(drawn), where=rows > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(weights[:, None] > 0, mean / weights[:, None], np.inf)
        result = np.where(chosen, _cut(np.where(chosen, ratio, 0.0), mass * weights, drawn, limit), result)
        exact += float(mass @ (chosen & (ratio <= limit)).sum(axis=1))
        known += float(rows.sum())
    return result, exact / known if known else 1.0


def _cut(ratio: Floats, masses: NDArray[np.float64], drawn: NDArray[np.float64], limit: float) -> Floats:
    """Return (combinations, classes) min(limit, scale ratio), with the scale of each class that keeps its mass.

    What is cut stays cut as the scale grows, so few rounds end.
    """
    scale = np.ones(len(drawn))
    cut = np.zeros(ratio.shape, np.bool_)
    while True:
        beyond = cut | (ratio * scale > limit)
        free = masses @ np.where(beyond, 0.0, ratio)
        left = drawn - limit * (masses @ beyond)
        scale = np.divide(left, free, out=np.ones_like(drawn), where=free > 0)
        if np.array_equal(beyond, cut):
            return np.asarray(np.where(cut, limit, ratio * scale))
        cut = beyond
