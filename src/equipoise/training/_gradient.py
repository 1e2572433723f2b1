"""How much of the pull on each output comes from positives, as the loss in force and the sampler make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from equipoise.balance import gradient_shares
from equipoise.scores.record import sigmoid, softmax

if TYPE_CHECKING:
    from equipoise.balance import ClassWeights
    from equipoise.labels import Labels
    from equipoise.losses import ClassLoss

Floats = NDArray[np.float64]
_CLOSED_FORM = {"BinaryCrossEntropy", "CrossEntropy", "SigmoidFocal", "SoftmaxFocal"}


def positive_gradient(logits: Floats, labels: Labels, loss: ClassLoss, weights: ClassWeights | None) -> Floats:
    """Return for each class the share of the gradient at its output that comes from positives, in [0, 1].

    A half: positives pull as hard as negatives push, and the class stands where the loss wants it. Near 0: negatives
    still push it down almost alone. NaN for losses without a closed form here (see `gradient_shares`). Where a plan
    draws rows, both sides are scaled to the prevalence that it draws.

    Args:
        logits: of some rows as the model gives them, (submodels, rows, outputs).
        labels: of these rows.
        loss: in force.
        weights: of its classes, or None.
    """
    classes = len(labels.classes)
    smoothed = bool(getattr(loss, "smoothing", 0.0))
    if type(loss).__name__ not in _CLOSED_FORM or smoothed or logits.shape[-1] != classes:
        return np.full(classes, np.nan)
    said = softmax(logits) if labels.task in ("multiclass", "ordinal") else sigmoid(logits)
    alpha = getattr(loss, "alpha", None)
    shares = gradient_shares(
        None,
        labels,
        weights=weights,
        probabilities=said.mean(axis=0),
        gamma=getattr(loss, "gamma", 0.0),
        alpha=None if alpha is None else np.asarray(alpha.cpu()),
    )
    up, down = np.asarray(shares.positive), np.asarray(shares.negative)
    if loss.drawn_prevalence is not None:
        natural, drawn = np.nanmean(labels.table(), axis=0), np.asarray(loss.drawn_prevalence)
        with np.errstate(divide="ignore", invalid="ignore"):
            up, down = up * drawn / natural, down * (1 - drawn) / (1 - natural)
    with np.errstate(invalid="ignore"):
        return np.asarray(up / (up + down))
