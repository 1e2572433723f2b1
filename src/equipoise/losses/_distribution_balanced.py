"""Distribution-balanced focal loss: rows weighed by their other findings, and negatives that are tolerated."""

from __future__ import annotations

from typing import Any, TypeAlias, final

import numpy as np
import torch
from torch import Tensor

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import ArgumentError, check_number
from equipoise.balance import POS_WEIGHT, DistributionBalancedCorrection, measured_weights
from equipoise.losses._base import ClassLoss, Weights, required_prevalence
from equipoise.losses._focal_terms import sigmoid_focal_terms
from equipoise.losses._reduction import masked, reduced
from equipoise.losses._shapes import Logits, Loss, PerClass, Targets, check_sigmoid_shapes

Rebalance: TypeAlias = tuple[float, float, float]
REBALANCE: Rebalance = (0.1, 10.0, 0.2)


def distribution_balanced_loss(
    logits: Logits,
    labels: Targets,
    *,
    prior: PerClass | None = None,
    gamma: float = 2.0,
    rebalance: Rebalance | None = REBALANCE,
    negative_scale: float = 2.0,
    kappa: float = 0.05,
    pos_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return distribution-balanced focal loss for several labels a row; lower is better.

    .. math:: \ell_i = \hat r_i \left[ -w y (1-p)^\gamma \ln p - \frac{1-y}{\lambda} q^\gamma \ln(1-q) \right],
        \quad p = \sigma(z-\nu_i), \; q = \sigma(\lambda (z-\nu_i)), \; \nu_i = -\kappa \ln\frac{\pi_i}{1-\pi_i}

    with :math:`\hat r_i = \alpha + \sigma(\beta (r_i - \mu))` and
    :math:`r_i = \pi_i^{-1} / \sum_{j: y_j = 1} \pi_j^{-1}`: how often a balanced sampler
    draws the row because of class i, over how often it draws it at all. A row without a positive has
    :math:`\hat r = \alpha + 1`. The weights get no gradient, and the slope cannot be differentiated a second time.

    Args:
        logits: (rows,) or (rows, classes), scores before the sigmoid.
        labels: same shape; 0, 1, a probability between them, or NaN for unknown.
        prior: (classes,) share of positives of each class, in (0, 1); None: one half each.
        gamma: at least 0. Larger gives less to rows that are already right.
        rebalance: alpha, beta and mu of the weights. Larger alpha lifts all weights, larger beta makes the step
            steeper, larger mu gives more classes the small weight. None: weight 1.
        negative_scale: lambda, above 0. Larger lets negatives go sooner (their slope falls off faster); 1 as usual.
        kappa: at least 0. Larger asks a higher score of rare positives, and tolerates higher ones of their negatives.
        pos_weight: (classes,) further weight of the positives, above 0.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the logits).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known entries of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Wu et al., ECCV 2020, eq. 4 to 6 (weights), 7 to 9 (tolerance) and 10; with focal as Huang et al., EMNLP 2021.
        Differs: the authors' code divides nu by lambda besides, and multiplies everything by 2.

    Example:
        Gamma 0, no weights, no tolerance: cross-entropy.

        >>> plain = {"gamma": 0.0, "rebalance": None, "negative_scale": 1.0, "kappa": 0.0}
        >>> loss = distribution_balanced_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), **plain)
        >>> round(float(loss), 4)  # ln 2
        0.6931
    """
    check_sigmoid_shapes(logits, labels, "distribution_balanced_loss", pos_weight=pos_weight, prior=prior)
    scores, positive, known = masked(logits, labels, has_unknowns)
    negative = (1.0 if known is None else known) - positive
    share = torch.full((1,), 0.5) if prior is None else prior
    share = share.to(scores)
    if rebalance is not None:
        weights = _rebalanced(positive, share, rebalance)
        positive, negative = weights * positive, weights * negative
    if pos_weight is not None:
        positive = pos_weight.to(scores) * positive
    moved = scores + kappa * (torch.log(share) - torch.log1p(-share))
    gammas, none = (float(gamma), float(gamma)), torch.zeros_like(scores)
    if negative_scale == 1.0:
        losses = sigmoid_focal_terms(moved, positive, negative, gammas)
    else:
        missed = sigmoid_focal_terms(moved, positive, none, gammas)
        losses = missed + sigmoid_focal_terms(negative_scale * moved, none, negative / negative_scale, gammas)
    return reduced(losses, known, sample_weights, reduction, normaliser)


def _rebalanced(positive: Tensor, share: Tensor, rebalance: Rebalance) -> Tensor:
    alpha, beta, mu = rebalance
    wide = positive if positive.dim() > 1 else positive.unsqueeze(1)
    inverse = (1.0 / share).expand(wide.shape[1])
    drawn = (wide * inverse).sum(dim=1, keepdim=True)
    return (alpha + torch.sigmoid(beta * (inverse / drawn - mu))).reshape(positive.shape)


@final
class DistributionBalanced(ClassLoss):
    """`distribution_balanced_loss` with its prior and weights.

    Args:
        gamma: focusing exponent, at least 0.
        rebalance: alpha, beta, mu of the weights, or None for weight 1.
        negative_scale: lambda, above 0.
        kappa: at least 0.
        pos_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        prevalence: (classes,) share of positives; needed, unless the weights bring it.
        settings: reduction, expected_weight and has_unknowns, as in `BinaryCrossEntropy`.

    Raises:
        ArgumentError: no prevalence, a class without positives or negatives, or an argument out of range.
    """

    kind = POS_WEIGHT
    prior: Tensor

    def __init__(
        self,
        gamma: float = 2.0,
        rebalance: Rebalance | None = REBALANCE,
        negative_scale: float = 2.0,
        kappa: float = 0.05,
        pos_weight: Weights | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(pos_weight, **settings)
        name = type(self).__name__
        self.gamma = check_number(gamma, argument="gamma", function=name, at_least=0.0)
        self.negative_scale = check_number(negative_scale, argument="negative_scale", function=name, above=0.0)
        self.kappa = check_number(kappa, argument="kappa", function=name, at_least=0.0)
        self.rebalance = _checked_rebalance(rebalance)
        self.register_buffer("prior", required_prevalence(self, name).float(), persistent=False)

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
            distribution_balanced_loss,
            logits,
            labels,
            normaliser,
            sample_weights,
            prior=self.prior,
            gamma=self.gamma,
            rebalance=self.rebalance,
            negative_scale=self.negative_scale,
            kappa=self.kappa,
        )

    def correction(self, labels: TableFloats | None = None) -> DistributionBalancedCorrection:
        """Return this loss as an entry of the `Ledger`; without labels, row weights are taken to shift nothing."""
        share = self.prior.double().cpu().numpy()
        shift: tuple[Any, float | None] = (np.zeros_like(share), None)
        if labels is not None:
            shift = measured_weights(np.asarray(labels, dtype=np.float64), share, self.rebalance)
        offset = -self.kappa * (np.log(share) - np.log1p(-share))
        return DistributionBalancedCorrection(self.gamma, self.negative_scale, offset, *shift)

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return pos_weight and ones: weights that depend on the rest of the row are not counted."""
        positive = np.ones(1) if self.weights is None else self.weights.double().cpu().numpy()
        return positive, np.ones_like(positive)

    def headline(self) -> str:
        """Name the loss with its settings."""
        return (
            f"Distribution-balanced focal loss (gamma {self.gamma:g}, lambda {self.negative_scale:g}, kappa "
            f"{self.kappa:g})"
        )


def _checked_rebalance(rebalance: Any) -> Rebalance | None:
    if rebalance is None:
        return None
    if not isinstance(rebalance, tuple | list) or len(rebalance) != 3:
        raise ArgumentError(
            f"`rebalance` of DistributionBalanced must be three numbers (alpha, beta, mu) or None; got {rebalance!r}."
        )
    name = "DistributionBalanced"
    alpha = check_number(rebalance[0], argument="rebalance alpha", function=name, at_least=0.0)
    beta, mu = (check_number(value, argument="rebalance", function=name) for value in rebalance[1:])
    return alpha, beta, mu
