"""Asymmetric loss: exponents that differ for positives and negatives, and easy negatives left out."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from torch import Tensor

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import check_number
from equipoise.balance import POS_WEIGHT, AsymmetricCorrection
from equipoise.losses._base import ClassLoss, Weights
from equipoise.losses._focal_terms import sigmoid_focal_terms
from equipoise.losses._reduction import masked, reduced
from equipoise.losses._shapes import Logits, Loss, PerClass, Targets, check_sigmoid_shapes

_LARGEST_MARGIN = 0.99


def asymmetric_loss(
    logits: Logits,
    labels: Targets,
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    pos_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return asymmetric loss (ASL) for yes-or-no labels, computed in log space; lower is better.

    .. math:: \ell = -w\, y (1-p)^{\gamma_+} \ln p - (1-y)\, r^{\gamma_-} \ln(1-r), \quad r = \max(p - m, 0)

    With a margin the gradient of a negative vanishes at both ends: below the margin, which is meant, and where the
    model is surest of a positive, which the paper means for wrong labels (a negative with z = 1e4 pulls with nothing).
    With margin 0 it pulls with its weight. The slope is written out, so it cannot be differentiated a second time.

    Args:
        logits: (rows,) or (rows, classes), scores before the sigmoid.
        labels: same shape; 0, 1, a probability between them, or NaN for unknown.
        gamma_positive: at least 0. Larger gives less to positives that are already found.
        gamma_negative: at least 0. Larger gives less to negatives that are already low; 0 with margin 0 is
            cross-entropy, the same as `gamma_positive` is focal loss.
        margin: in [0, 0.99]. Negatives with a smaller probability are left out; larger leaves out more.
        pos_weight: (classes,) weight of the positives, above 0, outside the exponent.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the logits).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known entries of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Ridnik et al., ICCV 2021, eq. 7. Differs: `pos_weight`; nothing is clamped, where the authors' code and timm's
        ``AsymmetricLossMultiLabel`` clamp probabilities at 1e-8, so that a positive missed with z < -18 teaches
        nothing, and mask no unknown: reasons not to wrap that one.

    Example:
        >>> import torch
        >>> logits, labels = torch.tensor([0.0, -3.0]), torch.tensor([0.0, 0.0])
        >>> asymmetric_loss(logits, labels, reduction="none")  # 0.45^4 (-ln 0.55); 0.047 is below the margin
        tensor([0.0245, 0.0000])
    """
    check_sigmoid_shapes(logits, labels, "asymmetric_loss", pos_weight=pos_weight)
    scores, positive, known = masked(logits, labels, has_unknowns)
    negative = (1.0 if known is None else known) - positive
    if pos_weight is not None:
        positive = pos_weight.to(scores) * positive
    gammas = (float(gamma_positive), float(gamma_negative))
    losses = sigmoid_focal_terms(scores, positive, negative, gammas, float(margin))
    return reduced(losses, known, sample_weights, reduction, normaliser)


@final
class Asymmetric(ClassLoss):
    """`asymmetric_loss` with its weights.

    Args:
        gamma_positive: exponent of the positives, at least 0.
        gamma_negative: exponent of the negatives, at least 0.
        margin: in [0, 0.99]; negatives with a smaller probability are left out.
        pos_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        settings: reduction, expected_weight, has_unknowns and prevalence, as in `BinaryCrossEntropy`.

    Raises:
        ArgumentError: an argument is out of range.
    """

    kind = POS_WEIGHT

    def __init__(
        self,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        pos_weight: Weights | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(pos_weight, **settings)
        at_least = {"function": "Asymmetric", "at_least": 0.0}
        self.gamma_positive = check_number(gamma_positive, argument="gamma_positive", **at_least)  # type: ignore[arg-type]
        self.gamma_negative = check_number(gamma_negative, argument="gamma_negative", **at_least)  # type: ignore[arg-type]
        self.margin = check_number(margin, argument="margin", at_most=_LARGEST_MARGIN, **at_least)  # type: ignore[arg-type]

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
            asymmetric_loss,
            logits,
            labels,
            normaliser,
            sample_weights,
            gamma_positive=self.gamma_positive,
            gamma_negative=self.gamma_negative,
            margin=self.margin,
        )

    def correction(self, labels: TableFloats | None = None) -> AsymmetricCorrection:
        """Return this loss as an entry of the `Ledger`."""
        del labels
        return AsymmetricCorrection(self.gamma_positive, self.gamma_negative, self.margin)

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return pos_weight and ones."""
        positive = np.ones(1) if self.weights is None else self.weights.double().cpu().numpy()
        return positive, np.ones_like(positive)

    def headline(self) -> str:
        """Name the loss with its exponents and margin."""
        return f"Asymmetric loss (gamma {self.gamma_positive:g} and {self.gamma_negative:g}, margin {self.margin:g})"
