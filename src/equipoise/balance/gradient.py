"""How strongly each class pulls at a model that has learned nothing yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, check_number
from equipoise.balance._combinations import combine_labels
from equipoise.balance._schemes import KIND_OF_TASK, POS_WEIGHT

if TYPE_CHECKING:
    from equipoise.balance.plan import SamplingPlan
    from equipoise.balance.weights import ClassWeights
    from equipoise.labels import Labels


@dataclass(frozen=True, eq=False)
class GradientShares:
    """The gradient of the loss at the outputs, split by class and by whether the label is positive.

    Attributes:
        positive: (classes,) mean over draws of what positives of the class pull its output up by, before the loss is
            divided by anything.
        negative: (classes,) the same for what pushes it down.
    """

    positive: ClassFloats
    negative: ClassFloats

    @property
    def positive_shares(self) -> ClassFloats:
        """(classes,) share of the whole gradient, both sides of all classes together."""
        return np.asarray(self.positive / max(self._total, np.finfo(float).tiny))

    @property
    def negative_shares(self) -> ClassFloats:
        """(classes,) share of the whole gradient; with `positive_shares` they sum to one."""
        return np.asarray(self.negative / max(self._total, np.finfo(float).tiny))

    @property
    def _total(self) -> float:
        return float(self.positive.sum() + self.negative.sum())


def gradient_shares(
    draws: SamplingPlan | NDArray[np.integer] | None,
    labels: Labels,
    *,
    weights: ClassWeights | None = None,
    probabilities: NDArray[np.floating[Any]] | None = None,
    gamma: float = 0.0,
    alpha: NDArray[np.floating[Any]] | float | None = None,
) -> GradientShares:
    r"""Return what each class contributes to the gradient at the outputs, as a sampler and weights make it.

    For sigmoid outputs with probability p a positive pulls by ``w a (1-p)^g ((1-p) - g p ln p)`` and a negative pushes
    by ``(1-a) p^g (p - g (1-p) ln(1-p))`` (a and 1-a are 1 without alpha; g = 0 leaves w (1-p) and p: binary
    cross-entropy). For softmax outputs a row of class y pulls its own output up by f (1-p_y) and pushes each other one
    down by f p_c, with ``f = w_y a_y (1-p_y)^(g-1) ((1-p_y) - g p_y ln p_y)``. Unknown labels do nothing.

    Args:
        draws: a plan, row numbers as drawn, or None for every row once.
        labels: of all rows.
        weights: class weights of the kind that the task takes, or None.
        probabilities: what the model says before it has learned: (classes,) or (rows, classes); by default one half for
            sigmoid outputs, equal shares for softmax. A model whose bias starts at the prevalence says the prevalence.
        gamma: exponent of focal loss, at least 0; 0 is cross-entropy.
        alpha: of focal loss, one number or one a class; None is none.

    Raises:
        ArgumentError: weights of another kind or classes, probabilities of another shape or outside [0, 1].

    Example:
        One positive in four, no weights, and a model that says one half: the negatives have three quarters of the pull.

        >>> from equipoise.labels import Labels
        >>> labels = Labels("binary", ("x",), np.array([1, 0, 0, 0], np.float32), np.arange(4))
        >>> found = gradient_shares(None, labels)
        >>> found.positive_shares.tolist(), found.negative_shares.tolist()
        ([0.25], [0.75])
    """
    check_number(gamma, argument="gamma", function="gradient_shares", at_least=0.0)
    kind, classes = KIND_OF_TASK[labels.task], len(labels.classes)
    factors = np.ones(classes)
    if weights is not None:
        factors = weights.require(kind, classes=labels.classes, function="gradient_shares").values
    said = starting_probabilities(labels, probabilities)
    table, masses = _masses(draws, labels, by_row=said.ndim == 2)
    if kind == POS_WEIGHT:
        positive, negative = _sigmoid(said, factors, float(gamma), alpha)
        return GradientShares(
            np.asarray(masses @ ((table == 1) * positive)), np.asarray(masses @ ((table == 0) * negative))
        )
    return _softmax(table, masses, said, factors * (1.0 if alpha is None else alpha), float(gamma))


def starting_probabilities(labels: Labels, said: NDArray[np.floating[Any]] | None) -> NDArray[np.float64]:
    """Return what a model says before it has learned, (classes,) or (rows, classes): as given, else undecided.

    Raises:
        ArgumentError: another shape, or outside [0, 1].
    """
    classes = len(labels.classes)
    if said is None:
        return np.full(classes, 0.5 if KIND_OF_TASK[labels.task] == POS_WEIGHT else 1.0 / classes)
    given = np.asarray(said, dtype=np.float64)
    if given.shape not in {(classes,), (len(labels), classes)} or np.any(~((given >= 0) & (given <= 1))):
        raise ArgumentError(
            f"`probabilities` of gradient_shares must lie in [0, 1] and have shape ({classes},) or ({len(labels)}, "
            f"{classes}); got shape {given.shape}. Give what the model says before training."
        )
    return given


def _masses(
    draws: SamplingPlan | NDArray[np.integer] | None, labels: Labels, *, by_row: bool
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return labels (lines, classes) and the share of draws of each line: a row, or a label combination."""
    if by_row:
        if isinstance(draws, np.ndarray):
            counts = np.bincount(draws, minlength=len(labels)).astype(np.float64)
        else:
            counts = np.ones(len(labels)) if draws is None else np.asarray(draws.sample_weights, np.float64)
        return labels.table(), counts / counts.sum()
    found = combine_labels(labels)
    if isinstance(draws, np.ndarray):
        counts = np.bincount(found.codes[draws], minlength=len(found.counts)).astype(np.float64)
    elif draws is None:
        counts = found.counts.astype(np.float64)
    else:
        return draws.combination_labels, np.asarray(draws.combination_counts * draws.combination_weights)
    return found.labels, counts / counts.sum()


def _sigmoid(
    said: NDArray[np.float64], weights: ClassFloats, gamma: float, alpha: NDArray[np.floating[Any]] | float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    up, down = (1.0, 1.0) if alpha is None else (np.asarray(alpha), 1.0 - np.asarray(alpha))
    return up * weights * _pull(said, gamma), np.asarray(down * _pull(1.0 - said, gamma))


def _pull(said: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Return the slope of -(1-p)^g ln p over the logit, turned positive: (1-p)^g ((1-p) - g p ln p)."""
    missing = 1.0 - said
    if gamma == 0.0:
        return missing
    logs = np.log(np.maximum(said, np.finfo(float).tiny))
    return np.asarray(missing**gamma * (missing - gamma * said * logs))


def _softmax(
    table: NDArray[Any], masses: NDArray[np.float64], said: NDArray[np.float64], weights: Any, gamma: float
) -> GradientShares:
    said = np.broadcast_to(said, table.shape)
    mine = table == 1
    own = np.where(mine, said, 0.0).sum(axis=1)
    missing = np.maximum(1.0 - own, np.finfo(float).tiny)
    strength = masses * (mine @ np.broadcast_to(np.asarray(weights, np.float64), (table.shape[1],)))
    strength = strength * _pull(own, gamma) / missing  # times (1-p_y) for its own output, times p_c for another
    positive = strength @ (mine * (1.0 - said))
    negative = strength @ ((table == 0) * said)
    return GradientShares(np.asarray(positive), np.asarray(negative))
