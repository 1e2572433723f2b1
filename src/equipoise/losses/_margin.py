"""LDAM: the score of a row's own class must clear a margin, larger for rarer classes."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import check_number
from equipoise.balance import CLASS_WEIGHT, MarginCorrection
from equipoise.losses._base import ClassLoss, Weights, required_prevalence
from equipoise.losses._cross_entropy import rivals
from equipoise.losses._reduction import full_precision, masked_index
from equipoise.losses._shapes import ClassLogits, Loss, PerClass, Targets, check_softmax_shapes
from equipoise.losses.functional import cross_entropy_loss


def ldam_loss(
    logits: ClassLogits,
    labels: Targets,
    *,
    margins: PerClass | None = None,
    scale: float = 1.0,
    class_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return label-distribution-aware margin loss; lower is better.

    .. math:: \ell = -w_y \ln \frac{e^{s (z_y - \Delta_y)}}{e^{s (z_y - \Delta_y)} + \sum_{c \ne y} e^{s z_c}}

    Args:
        logits: (rows, classes, ...), scores before the softmax.
        labels: (rows, ...) class index, integer or float; NaN for unknown.
        margins: (classes,) Delta, at least 0; 0 (and None) is cross-entropy, larger asks more of a row of that class.
        scale: s, above 0. 1 for the outputs of an ordinary layer; the authors use 30 for cosines, which lie in [-1, 1].
        class_weight: (classes,) weight of each class, above 0; for deferred re-weighting, from some epoch on.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the labels).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known rows of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Cao et al., NeurIPS 2019, eq. 12.

    Example:
        >>> margins = torch.log(torch.tensor([2.0, 2.0]))
        >>> round(float(ldam_loss(torch.zeros(1, 2), torch.tensor([1.0]), margins=margins)), 4)  # -ln((1/2) / (3/2))
        1.0986
    """
    check_softmax_shapes(logits, labels, "ldam_loss", class_weight=class_weight, margins=margins)
    if margins is not None:
        scores, index, _ = masked_index(logits, labels, has_unknowns)
        own = margins.to(scores).expand(scores.shape[1])[index].unsqueeze(1)
        logits = scores - torch.zeros_like(scores).scatter(1, index.unsqueeze(1), own)
    if scale != 1.0:
        logits = scale * full_precision(logits)
    return cross_entropy_loss(
        logits,
        labels,
        class_weight=class_weight,
        sample_weights=sample_weights,
        reduction=reduction,
        normaliser=normaliser,
        has_unknowns=has_unknowns,
    )


@final
class LDAM(ClassLoss):
    """`ldam_loss` with margins from the prevalence: margin_c = max_margin (smallest prevalence / prevalence_c)^(1/4).

    Args:
        max_margin: margin of the rarest class, at least 0. With scale 1, probabilities come back exactly up to ln 2.
        scale: of the scores, above 0.
        class_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        prevalence: (classes,) share of each class; needed, unless the weights bring it.
        settings: reduction, expected_weight and has_unknowns, as in `CrossEntropy`.

    Raises:
        ArgumentError: no prevalence, a class that does not occur, or an argument out of range.
    """

    kind = CLASS_WEIGHT
    margins: Tensor

    def __init__(
        self, max_margin: float = 0.5, scale: float = 1.0, class_weight: Weights | None = None, **settings: Any
    ) -> None:
        super().__init__(class_weight, **settings)
        self.max_margin = check_number(max_margin, argument="max_margin", function="LDAM", at_least=0.0)
        self.scale = check_number(scale, argument="scale", function="LDAM", above=0.0)
        shares = required_prevalence(self, "LDAM")
        margins = self.max_margin * (shares.min() / shares) ** 0.25
        self.register_buffer("margins", margins.float(), persistent=False)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of (rows, classes) logits against (rows,) class indices."""
        return self._weighted(
            ldam_loss, logits, labels, normaliser, sample_weights, margins=self.margins, scale=self.scale
        )

    def correction(self, labels: TableFloats | None = None) -> MarginCorrection:
        """Return this loss as an entry of the `Ledger`."""
        del labels
        return MarginCorrection(self.margins.double().cpu().numpy(), self.scale)

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return the weight of a row of each class, and the mean weight of a row of the other classes."""
        return rivals(self.weights, self.seen_prevalence)

    def headline(self) -> str:
        """Name the loss with its largest margin and scale."""
        return f"LDAM (margin up to {self.max_margin:g}, scale {self.scale:g})"
