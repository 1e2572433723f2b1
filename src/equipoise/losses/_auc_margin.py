"""AUC-margin: maximises the area under the ROC curve through a min-max problem with three variables a class."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from equipoise._checks import ArgumentError, check_number, check_one_of
from equipoise.losses._reduction import REDUCTIONS, masked, reduced
from equipoise.losses._shapes import Logits, Loss, PerClass, Targets, check_sigmoid_shapes


def auc_margin_loss(
    logits: Logits,
    labels: Targets,
    *,
    positive_mean: PerClass,
    negative_mean: PerClass,
    dual: PerClass,
    prior: PerClass,
    margin: float = 1.0,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return the AUC min-max-margin objective, to be minimised over all but `dual`, and maximised over that.

    .. math:: \ell = (1-\pi) y (h-a)^2 + \pi (1-y) (h-b)^2 + 2\alpha [\pi(1-\pi) m + \pi (1-y) h - (1-\pi) y h]
        - \pi(1-\pi)\alpha^2, \quad h = \sigma(z)

    Its saddle is the square loss on AUC with margin m: a and b are the mean scores of positives and negatives, and
    alpha = max(0, m + b - a) is how much of the margin is missing. It ranks and does not estimate probabilities: no
    ledger can take it back, so calibrate what comes out. It may be negative.

    Args:
        logits: (rows,) or (rows, classes), scores before the sigmoid.
        labels: same shape; 0, 1 or NaN for unknown.
        positive_mean: (classes,) a, minimised over.
        negative_mean: (classes,) b, minimised over.
        dual: (classes,) alpha, at least 0, maximised over; larger presses harder on the margin.
        prior: (classes,) share of positives in the whole data, in (0, 1).
        margin: m, above 0; larger asks positives and negatives further apart. 1 is all that sigmoids allow.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the logits).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known entries of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Yuan et al., ICCV 2021, eq. 6; as in their LibAUC, ``AUCMLoss``.

    Example:
        A positive and a negative, both scored one half, with a = b = 1/2, alpha = 1 and prior 1/2:
        2 (1/4 - 1/4) - 1/4 and 2 (1/4 + 1/4) - 1/4.

        >>> half, one = torch.tensor([0.5]), torch.tensor([1.0])
        >>> given = {"positive_mean": half, "negative_mean": half, "dual": one, "prior": half}
        >>> auc_margin_loss(torch.zeros(2), torch.tensor([1.0, 0.0]), **given, reduction="none")
        tensor([-0.2500,  0.7500])
    """
    per_class = {"positive_mean": positive_mean, "negative_mean": negative_mean, "dual": dual, "prior": prior}
    check_sigmoid_shapes(logits, labels, "auc_margin_loss", **per_class)
    scores, positive, known = masked(logits, labels, has_unknowns)
    negative = (1.0 if known is None else known) - positive
    share, alpha = prior.to(scores), dual.to(scores)
    h, both = torch.sigmoid(scores), share * (1.0 - share)
    apart = (1.0 - share) * positive * (h - positive_mean) ** 2 + share * negative * (h - negative_mean) ** 2
    ranked = share * negative * h - (1.0 - share) * positive * h
    losses = apart + 2.0 * alpha * ranked + (positive + negative) * both * (2.0 * margin * alpha - alpha**2)
    return reduced(losses, known, sample_weights, reduction, normaliser)


class _Ascending(torch.autograd.Function):
    """max(x, 0) whose gradient is turned round: what minimises everything else maximises this."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clamp(min=0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


@final
class AUCMargin(nn.Module):
    """`auc_margin_loss` with its three variables a class, which are parameters.

    Give ``loss.parameters()`` to the optimiser beside those of the model, without weight decay: the gradient of the
    dual is turned round here, so one ordinary optimiser descends in the model and ascends in the dual. The parameters
    are learned, so they are in the ``state_dict``; the prior is not. It is in no recipe, as the training loop steps
    the parameters of the model only.

    Args:
        prevalence: (classes,) share of positives, in (0, 1).
        margin: above 0.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        has_unknowns: False when no label is NaN.

    Raises:
        ArgumentError: an argument is out of range.
    """

    prior: Tensor

    def __init__(
        self, prevalence: Any, margin: float = 1.0, *, reduction: str = "mean", has_unknowns: bool = True
    ) -> None:
        super().__init__()
        check_one_of(reduction, REDUCTIONS, argument="reduction", function="AUCMargin")
        shares = np.atleast_1d(np.asarray(prevalence, dtype=np.float64))
        if shares.ndim != 1 or not np.all((shares > 0) & (shares < 1)):
            raise ArgumentError(
                f"`prevalence` of AUCMargin must lie between 0 and 1 for every class; got {shares.tolist()}. "
                "Leave classes out that never or always occur."
            )
        self.margin = check_number(margin, argument="margin", function="AUCMargin", above=0.0)
        self.reduction, self.has_unknowns = reduction, has_unknowns
        self.register_buffer("prior", torch.from_numpy(shares).float(), persistent=False)
        self.positive_mean = nn.Parameter(torch.zeros(len(shares)))
        self.negative_mean = nn.Parameter(torch.zeros(len(shares)))
        self.dual = nn.Parameter(torch.zeros(len(shares)))

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the objective of (rows,) or (rows, classes) logits against labels of the same shape."""
        dual: Tensor = _Ascending.apply(self.dual)
        return auc_margin_loss(
            logits,
            labels,
            positive_mean=self.positive_mean,
            negative_mean=self.negative_mean,
            dual=dual,
            prior=self.prior,
            margin=self.margin,
            sample_weights=sample_weights,
            reduction=self.reduction,
            normaliser=normaliser,
            has_unknowns=self.has_unknowns,
        )
