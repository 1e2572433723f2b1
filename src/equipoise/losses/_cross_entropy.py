"""Cross-entropy with weights: of yes-or-no labels, and of one-of-many labels."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from torch import Tensor

from equipoise._arrays import ClassFloats
from equipoise.balance import CLASS_WEIGHT, POS_WEIGHT
from equipoise.losses._base import ClassLoss, Weights
from equipoise.losses.functional import binary_cross_entropy_loss, cross_entropy_loss


@final
class BinaryCrossEntropy(ClassLoss):
    """`functional.binary_cross_entropy_loss` with its weights.

    Args:
        pos_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        expected_weight: what a mean divides by besides the entries; by default that of the `ClassWeights`, else 1. It
            keeps the size of the steps when the weights change.
        has_unknowns: False when no label is NaN.
        prevalence: (classes,) share of positives, for `describe`; taken from the `ClassWeights` by default.

    Raises:
        ArgumentError: the weights are a class_weight, or not finite numbers above 0.
    """

    kind = POS_WEIGHT

    def __init__(self, pos_weight: Weights | None = None, **settings: Any) -> None:
        super().__init__(pos_weight, **settings)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of (rows,) or (rows, classes) logits against labels of the same shape."""
        loss = binary_cross_entropy_loss(
            logits,
            labels,
            pos_weight=self.weights,
            sample_weights=sample_weights,
            reduction=self.reduction,
            normaliser=self._entries(normaliser),
            has_unknowns=self.has_unknowns,
        )
        return self._expected(loss, normaliser)

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return pos_weight and ones."""
        positive = np.ones(1) if self.weights is None else self.weights.double().cpu().numpy()
        return positive, np.ones_like(positive)

    def headline(self) -> str:
        """Name the loss."""
        return "Binary cross-entropy"


@final
class CrossEntropy(ClassLoss):
    """`functional.cross_entropy_loss` with its weights.

    Args:
        class_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        expected_weight: what a mean divides by besides the rows; by default that of the `ClassWeights`, else 1.
        has_unknowns: False when no label is NaN.
        prevalence: (classes,) share of each class, for `describe`; taken from the `ClassWeights` by default.

    Raises:
        ArgumentError: the weights are a pos_weight, or not finite numbers above 0.
    """

    kind = CLASS_WEIGHT

    def __init__(self, class_weight: Weights | None = None, **settings: Any) -> None:
        super().__init__(class_weight, **settings)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of (rows, classes) logits against (rows,) class indices."""
        loss = cross_entropy_loss(
            logits,
            labels,
            class_weight=self.weights,
            sample_weights=sample_weights,
            reduction=self.reduction,
            normaliser=self._entries(normaliser),
            has_unknowns=self.has_unknowns,
        )
        return self._expected(loss, normaliser)

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return the weight of a row of each class, and the mean weight of a row of the other classes."""
        return rivals(self.weights, self.prevalence)

    def headline(self) -> str:
        """Name the loss."""
        return "Cross-entropy"


def rivals(weights: Tensor | None, prevalence: ClassFloats | None) -> tuple[ClassFloats, ClassFloats]:
    """Return each class's weight and the mean weight of rows of the other classes, by their prevalence if known."""
    classes = len(prevalence) if prevalence is not None else 1
    own = np.ones(classes) if weights is None else weights.double().cpu().numpy()
    own = np.broadcast_to(own, max(len(own), classes)).copy()
    share = np.ones_like(own) if prevalence is None else prevalence
    if len(own) == 1:
        return own, np.ones(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        others = (np.sum(share * own) - share * own) / (np.sum(share) - share)
    return own, np.asarray(others)
