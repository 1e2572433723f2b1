"""Losses of ordered grades: CORN, and the squared distance of cumulative probabilities."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import ArgumentError, check_number
from equipoise.balance import CLASS_WEIGHT, CornCorrection
from equipoise.losses._base import ClassLoss, Weights
from equipoise.losses._cross_entropy import rivals
from equipoise.losses._reduction import masked_index, weighed
from equipoise.losses._shapes import ClassLogits, Logits, Loss, PerClass, Targets, check_softmax_shapes


def corn_loss(
    logits: Logits,
    labels: Targets,
    *,
    class_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return CORN loss of grades 0 ... K-1 from K-1 conditional outputs; lower is better.

    .. math:: \ell = -w_y \sum_{k \le \min(y, K-2)} [y > k] \ln\sigma(z_k) + [y = k] \ln\sigma(-z_k)

    Output k answers "beyond grade k, given that it is at least k?" and learns only from rows that reached grade k; the
    products of its answers are rank-consistent.

    Args:
        logits: (rows, grades - 1), or (rows,) of two grades.
        labels: (rows,) grade, integer or float; NaN for unknown.
        class_weight: (grades,) weight of a row of each grade, above 0; larger finds more of that grade.
        sample_weights: (rows,) weights of rows; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the labels).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known rows of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Shi, Cao & Raschka, "Deep neural networks for rank-consistent ordinal regression based on conditional
        probabilities", 2021, eq. 7. Differs: the mean is over rows, not over the members of all conditional subsets,
        which vary from batch to batch.

    Example:
        A row of grade 1 of 3 is past the first step and stops at the second: twice ln 2.

        >>> round(float(corn_loss(torch.zeros(1, 2), torch.tensor([1.0]))), 4)
        1.3863
    """
    if logits.dim() == 1 and logits.shape == labels.shape:
        logits = logits.unsqueeze(1)  # two grades
    grades = logits.shape[1] + 1 if logits.dim() == 2 else 0
    if labels.shape != logits.shape[:1] or grades < 2:
        raise ArgumentError(
            f"corn_loss needs logits of shape (rows, grades - 1) and one grade a row; got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}. Give the model one output fewer than there are grades."
        )
    if isinstance(class_weight, Tensor) and class_weight.numel() not in {1, grades}:
        raise ArgumentError(
            f"`class_weight` of corn_loss must hold one number for each of the {grades} grades; "
            f"got {class_weight.numel()}. Give them in the order of the grades."
        )
    scores, index, known = masked_index(logits, labels, has_unknowns)
    step, grade = torch.arange(grades - 1, device=scores.device), index.unsqueeze(1)
    reached = grade >= step
    # Outputs that a row did not reach are replaced before anything is computed from them: 0 * inf would be NaN.
    terms = functional.binary_cross_entropy_with_logits(
        scores.masked_fill(~reached, 0.0), (grade > step).to(scores), weight=reached.to(scores), reduction="none"
    )
    return weighed(terms.sum(dim=1), index, known, (class_weight,), sample_weights, reduction, normaliser)


def squared_distance_loss(
    logits: ClassLogits,
    labels: Targets,
    *,
    cross_entropy: float = 0.1,
    class_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return the squared distance of cumulative probabilities to the grade, with some cross-entropy; lower is better.

    .. math:: \ell = w_y \left[ (1-m) \sum_{k<K-1} (P(\text{grade} \le k) - [y \le k])^2 - m \ln p_y \right]

    A grade that is missed by two costs more than one missed by one. The sum is the squared earth mover's distance (the
    ranked probability score): proper, so the probabilities that minimise it are the true ones, as with cross-entropy.
    Alone it loses its gradient where the softmax is sure of a wrong grade; the share m of cross-entropy keeps it.

    Args:
        logits: (rows, grades, ...), scores before the softmax.
        labels: (rows, ...) grade, integer or float; NaN for unknown.
        cross_entropy: m in [0, 1]; 0 is the distance alone, 1 is cross-entropy.
        class_weight: (grades,) weight of a row of each grade, above 0; larger finds more of that grade.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the labels).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known rows of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Hou, Yu & Samaras, 2016 (arXiv:1611.05916), eq. 3; Epstein, J. Appl. Meteorol. 8 (1969), for the score.
        Differs: the share of cross-entropy.

    Example:
        Three equally likely grades, the first is right: (1/3 - 1)^2 + (2/3 - 1)^2 = 5/9.

        >>> loss = squared_distance_loss(torch.zeros(1, 3), torch.tensor([0.0]), cross_entropy=0.0)
        >>> round(float(loss), 4)
        0.5556
    """
    check_softmax_shapes(logits, labels, "squared_distance_loss", class_weight=class_weight)
    scores, index, known = masked_index(logits, labels, has_unknowns)
    log_p = torch.log_softmax(scores, dim=1)
    step = torch.arange(scores.shape[1] - 1, device=scores.device).reshape(-1, *(1,) * (scores.dim() - 2))
    below = torch.exp(log_p).cumsum(dim=1)[:, :-1]
    losses = (below - (index.unsqueeze(1) <= step).to(scores)).square().sum(dim=1) * (1.0 - cross_entropy)
    if cross_entropy > 0.0:
        losses = losses - cross_entropy * log_p.gather(1, index.unsqueeze(1)).squeeze(1)
    return weighed(losses, index, known, (class_weight,), sample_weights, reduction, normaliser)


@final
class Corn(ClassLoss):
    """`corn_loss` with its weights. The model has one output fewer than there are grades.

    Args:
        class_weight: `ClassWeights` of that kind, or (grades,) numbers above 0, or None.
        settings: reduction, expected_weight, has_unknowns and prevalence, as in `CrossEntropy`.

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
        """Return the loss of (rows, grades - 1) logits against (rows,) grades."""
        return self._weighted(corn_loss, logits, labels, normaliser, sample_weights)

    def correction(self, labels: TableFloats | None = None) -> CornCorrection:
        """Return this loss as an entry of the `Ledger`, which turns its outputs into probabilities of grades."""
        del labels
        return CornCorrection()

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return the weight of a row of each grade, and the mean weight of a row of the other grades."""
        return rivals(self.weights, self.seen_prevalence)

    def headline(self) -> str:
        """Name the loss."""
        return "CORN"


@final
class SquaredDistance(ClassLoss):
    """`squared_distance_loss` with its weights.

    Args:
        cross_entropy: share of cross-entropy, in [0, 1].
        class_weight: `ClassWeights` of that kind, or (grades,) numbers above 0, or None.
        settings: reduction, expected_weight, has_unknowns and prevalence, as in `CrossEntropy`.

    Raises:
        ArgumentError: an argument is out of range.
    """

    kind = CLASS_WEIGHT

    def __init__(self, cross_entropy: float = 0.1, class_weight: Weights | None = None, **settings: Any) -> None:
        super().__init__(class_weight, **settings)
        self.cross_entropy = check_number(
            cross_entropy, argument="cross_entropy", function="SquaredDistance", at_least=0.0, at_most=1.0
        )

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of (rows, grades) logits against (rows,) grades."""
        return self._weighted(
            squared_distance_loss, logits, labels, normaliser, sample_weights, cross_entropy=self.cross_entropy
        )

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return the weight of a row of each grade, and the mean weight of a row of the other grades."""
        return rivals(self.weights, self.seen_prevalence)

    def headline(self) -> str:
        """Name the loss with its share of cross-entropy."""
        return f"Squared distance of grades (cross-entropy {self.cross_entropy:g})"
