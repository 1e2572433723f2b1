"""Logit-adjusted losses and balanced softmax: the prior is added to the scores while training, and only then."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import check_number
from equipoise.balance import CLASS_WEIGHT, POS_WEIGHT, LogitAdjustment
from equipoise.losses._base import ClassLoss, Weights, required_prevalence
from equipoise.losses._cross_entropy import rivals
from equipoise.losses._reduction import full_precision
from equipoise.losses._shapes import (
    ClassLogits,
    Logits,
    Loss,
    PerClass,
    Targets,
    check_sigmoid_shapes,
    check_softmax_shapes,
)
from equipoise.losses.functional import binary_cross_entropy_loss, cross_entropy_loss


def logit_adjusted_loss(
    logits: ClassLogits,
    labels: Targets,
    *,
    prior: PerClass | None = None,
    tau: float = 1.0,
    class_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return cross-entropy of scores to which the log of the prior is added; lower is better.

    .. math:: \ell = -w_y \ln \mathrm{softmax}(z + \tau \ln \pi)_y

    The sum fits the natural probability, so z itself is what is left of it without the prior: the class with the
    largest z has the least balanced error.

    Args:
        logits: (rows, classes, ...), scores before the softmax.
        labels: (rows, ...) class index, integer or float; NaN for unknown.
        prior: (classes,) shares of the classes, above 0; None: all equal, which is plain cross-entropy.
        tau: 0 is plain cross-entropy, 1 treats all classes as equally common, larger favours the rare ones.
        class_weight: (classes,) weight of each class, above 0.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the labels).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known rows of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Menon et al., ICLR 2021, eq. 10.

    Example:
        >>> prior = torch.tensor([0.9, 0.1])
        >>> round(float(logit_adjusted_loss(torch.zeros(1, 2), torch.tensor([1.0]), prior=prior)), 4)  # -ln 0.1
        2.3026
    """
    check_softmax_shapes(logits, labels, "logit_adjusted_loss", prior=prior)
    if prior is not None:
        step = tau * torch.log(prior.to(torch.promote_types(logits.dtype, torch.float32)))
        logits = full_precision(logits) + step.reshape(-1, *(1,) * (logits.dim() - 2))
    return cross_entropy_loss(
        logits,
        labels,
        class_weight=class_weight,
        sample_weights=sample_weights,
        reduction=reduction,
        normaliser=normaliser,
        has_unknowns=has_unknowns,
    )


def balanced_softmax_loss(
    logits: ClassLogits,
    labels: Targets,
    *,
    prior: PerClass | None = None,
    class_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return balanced softmax loss; lower is better.

    .. math:: \ell = -w_y \ln \frac{n_y e^{z_y}}{\sum_c n_c e^{z_c}}

    It is `logit_adjusted_loss` with tau 1, under the name it is as well known by.

    Args:
        logits: (rows, classes, ...), scores before the softmax.
        labels: (rows, ...) class index, integer or float; NaN for unknown.
        prior: (classes,) counts or shares of the classes, above 0; None: all equal, which is plain cross-entropy.
        class_weight: (classes,) weight of each class, above 0.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the labels).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known rows of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Ren et al., NeurIPS 2020, eq. 4.

    Example:
        >>> counts = torch.tensor([90.0, 10.0])
        >>> round(float(balanced_softmax_loss(torch.zeros(1, 2), torch.tensor([1.0]), prior=counts)), 4)  # -ln 0.1
        2.3026
    """
    return logit_adjusted_loss(
        logits,
        labels,
        prior=prior,
        class_weight=class_weight,
        sample_weights=sample_weights,
        reduction=reduction,
        normaliser=normaliser,
        has_unknowns=has_unknowns,
    )


def sigmoid_logit_adjusted_loss(
    logits: Logits,
    labels: Targets,
    *,
    prior: PerClass | None = None,
    tau: float = 1.0,
    pos_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return binary cross-entropy of scores to which the log-odds of the prior are added; lower is better.

    .. math:: \ell = -w y \ln\sigma(u) - (1-y) \ln\sigma(-u), \quad u = z + \tau \ln\frac{\pi}{1-\pi}

    Args:
        logits: (rows,) or (rows, classes), scores before the sigmoid.
        labels: same shape; 0, 1, a probability between them, or NaN for unknown.
        prior: (classes,) share of the positives of each class, in (0, 1); None: one half, plain cross-entropy.
        tau: 0 is plain cross-entropy, 1 treats each class as if half of the rows had it.
        pos_weight: (classes,) weight of the positives, above 0.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the logits).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known entries of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Menon et al., ICLR 2021, eq. 10, for two classes: their log ratio is the log-odds.

    Example:
        >>> logits, labels, prior = torch.zeros(1), torch.ones(1), torch.tensor([0.1])
        >>> round(float(sigmoid_logit_adjusted_loss(logits, labels, prior=prior)), 4)  # -ln 0.1
        2.3026
    """
    check_sigmoid_shapes(logits, labels, "sigmoid_logit_adjusted_loss", prior=prior)
    if prior is not None:
        share = prior.to(torch.promote_types(logits.dtype, torch.float32))
        logits = full_precision(logits) + tau * (torch.log(share) - torch.log1p(-share))
    return binary_cross_entropy_loss(
        logits,
        labels,
        pos_weight=pos_weight,
        sample_weights=sample_weights,
        reduction=reduction,
        normaliser=normaliser,
        has_unknowns=has_unknowns,
    )


class _Adjusted(ClassLoss):
    """Abstract. What the adjusted losses share: the prior, which is no state, and the entry of the ledger."""

    prior: Tensor
    tau: float

    def _set_prior(self, tau: float) -> None:
        function = type(self).__name__
        self.tau = check_number(tau, argument="tau", function=function)
        self.register_buffer("prior", required_prevalence(self, function).float(), persistent=False)

    def correction(self, labels: TableFloats | None = None) -> LogitAdjustment:
        """Return this loss as an entry of the `Ledger`."""
        del labels
        return LogitAdjustment(self.tau, self.prior.double().cpu().numpy())


@final
class LogitAdjusted(_Adjusted):
    """`logit_adjusted_loss` with its prior and weights.

    Args:
        tau: 0 is plain cross-entropy, 1 treats all classes as equally common.
        class_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        prevalence: (classes,) share of each class; needed, unless the weights bring it.
        settings: reduction, expected_weight and has_unknowns, as in `CrossEntropy`.

    Raises:
        ArgumentError: no prevalence, or a class that does not occur.
    """

    kind = CLASS_WEIGHT

    def __init__(self, tau: float = 1.0, class_weight: Weights | None = None, **settings: Any) -> None:
        super().__init__(class_weight, **settings)
        self._set_prior(tau)

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
            logit_adjusted_loss, logits, labels, normaliser, sample_weights, prior=self.prior, tau=self.tau
        )

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return the weight of a row of each class, and the mean weight of a row of the other classes."""
        return rivals(self.weights, self.seen_prevalence)

    def headline(self) -> str:
        """Name the loss with tau."""
        return f"Logit-adjusted cross-entropy (tau {self.tau:g})"


@final
class BalancedSoftmax(_Adjusted):
    """`balanced_softmax_loss` with its prior and weights; the arguments of `LogitAdjusted` without tau."""

    kind = CLASS_WEIGHT

    def __init__(self, class_weight: Weights | None = None, **settings: Any) -> None:
        super().__init__(class_weight, **settings)
        self._set_prior(1.0)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of (rows, classes) logits against (rows,) class indices."""
        return self._weighted(balanced_softmax_loss, logits, labels, normaliser, sample_weights, prior=self.prior)

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return the weight of a row of each class, and the mean weight of a row of the other classes."""
        return rivals(self.weights, self.seen_prevalence)

    def headline(self) -> str:
        """Name the loss."""
        return "Balanced softmax"


@final
class SigmoidLogitAdjusted(_Adjusted):
    """`sigmoid_logit_adjusted_loss` with its prior and weights.

    Args:
        tau: 0 is plain cross-entropy, 1 treats each class as if half of the rows had it.
        pos_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        prevalence: (classes,) share of positives; needed, unless the weights bring it.
        settings: reduction, expected_weight and has_unknowns, as in `BinaryCrossEntropy`.

    Raises:
        ArgumentError: no prevalence, or a class without positives or negatives.
    """

    kind = POS_WEIGHT

    def __init__(self, tau: float = 1.0, pos_weight: Weights | None = None, **settings: Any) -> None:
        super().__init__(pos_weight, **settings)
        self._set_prior(tau)

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
            sigmoid_logit_adjusted_loss, logits, labels, normaliser, sample_weights, prior=self.prior, tau=self.tau
        )

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return pos_weight and ones."""
        positive = np.ones(1) if self.weights is None else self.weights.double().cpu().numpy()
        return positive, np.ones_like(positive)

    def headline(self) -> str:
        """Name the loss with tau."""
        return f"Logit-adjusted binary cross-entropy (tau {self.tau:g})"
