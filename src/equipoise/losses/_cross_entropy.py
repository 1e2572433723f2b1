"""Cross-entropy with weights: of yes-or-no labels, and of one-of-many labels."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from torch import Tensor

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import check_number
from equipoise.balance import CLASS_WEIGHT, POS_WEIGHT, SmoothingCorrection
from equipoise.losses._base import ClassLoss, Weights
from equipoise.losses.functional import binary_cross_entropy_loss, cross_entropy_loss


@final
class BinaryCrossEntropy(ClassLoss):
    """`functional.binary_cross_entropy_loss` with its weights.

    Args:
        pos_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        smoothing: share of every label that is spread over yes and no, in [0, 0.99].
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        expected_weight: what a mean divides by besides the entries; by default that of the `ClassWeights`, else 1. It
            keeps the size of the steps when the weights change.
        has_unknowns: False when no label is NaN.
        prevalence: (classes,) share of positives, for `describe`; taken from the `ClassWeights` by default.

    Raises:
        ArgumentError: the weights are a class_weight, or not finite numbers above 0.
    """

    kind = POS_WEIGHT

    def __init__(self, pos_weight: Weights | None = None, *, smoothing: float = 0.0, **settings: Any) -> None:
        super().__init__(pos_weight, **settings)
        self.smoothing = _checked_smoothing(smoothing, "BinaryCrossEntropy")

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of (rows,) or (rows, classes) logits against labels of the same shape."""
        return self._weighted(
            binary_cross_entropy_loss, logits, labels, normaliser, sample_weights, smoothing=self.smoothing
        )

    def correction(self, labels: TableFloats | None = None) -> SmoothingCorrection | None:
        """Return smoothing as an entry of the `Ledger`, or None without it: the weights are an entry of their own."""
        del labels
        return SmoothingCorrection(self.smoothing) if self.smoothing > 0.0 else None

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return pos_weight and ones."""
        positive = np.ones(1) if self.weights is None else self.weights.double().cpu().numpy()
        return positive, np.ones_like(positive)

    def headline(self) -> str:
        """Name the loss."""
        return "Binary cross-entropy" + _smoothing_said(self.smoothing)


@final
class CrossEntropy(ClassLoss):
    """`functional.cross_entropy_loss` with its weights.

    Args:
        class_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        smoothing: share of every label that is spread over all classes, in [0, 0.99].
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        expected_weight: what a mean divides by besides the rows; by default that of the `ClassWeights`, else 1.
        has_unknowns: False when no label is NaN.
        prevalence: (classes,) share of each class, for `describe`; taken from the `ClassWeights` by default.

    Raises:
        ArgumentError: the weights are a pos_weight, or not finite numbers above 0.
    """

    kind = CLASS_WEIGHT

    def __init__(self, class_weight: Weights | None = None, *, smoothing: float = 0.0, **settings: Any) -> None:
        super().__init__(class_weight, **settings)
        self.smoothing = _checked_smoothing(smoothing, "CrossEntropy")

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of (rows, classes) logits against (rows,) class indices."""
        return self._weighted(cross_entropy_loss, logits, labels, normaliser, sample_weights, smoothing=self.smoothing)

    def correction(self, labels: TableFloats | None = None) -> SmoothingCorrection | None:
        """Return smoothing as an entry of the `Ledger`, or None without it: the weights are an entry of their own."""
        del labels
        return SmoothingCorrection(self.smoothing) if self.smoothing > 0.0 else None

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return the weight of a row of each class, and the mean weight of a row of the other classes."""
        return rivals(self.weights, self.seen_prevalence)

    def headline(self) -> str:
        """Name the loss."""
        return "Cross-entropy" + _smoothing_said(self.smoothing)


def _checked_smoothing(smoothing: float, function: str) -> float:
    return check_number(smoothing, argument="smoothing", function=function, at_least=0.0, at_most=0.99)


def _smoothing_said(smoothing: float) -> str:
    return f" (smoothing {smoothing:g})" if smoothing > 0.0 else ""


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
