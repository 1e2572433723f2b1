"""One output for ordered grades: the squared error of the expected grade."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor
from torch.nn import functional

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import ArgumentError
from equipoise.balance import CLASS_WEIGHT, RegressionCorrection
from equipoise.losses._base import ClassLoss, Weights
from equipoise.losses._cross_entropy import rivals
from equipoise.losses._reduction import masked_index, weighed
from equipoise.losses._shapes import Logits, Loss, PerClass, Targets

# Beyond this many grades off, the error counts in proportion, not squared: half-precision gradients stay finite.
_FAR = 64.0


def regression_loss(
    logits: Logits,
    labels: Targets,
    *,
    class_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return the squared error of one output, the expected grade; lower is better.

    .. math:: \ell = w_y (g - y)^2

    It is least where g is the mean grade, of the weighted rows where there are weights. Errors beyond 64 grades, which
    no sound model makes, go on along the tangent, :math:`w_y (128 |g - y| - 4096)`, and so stay finite.

    Args:
        logits: (rows, 1) or (rows,) expected grade, from 0; not bounded.
        labels: (rows,) grade, integer or float; NaN for unknown.
        class_weight: (grades,) weight of a row of each grade, above 0; larger draws the output towards that grade.
        sample_weights: (rows,) weights of rows; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the labels).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known rows of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Least squares; the tangent is Huber, Ann. Math. Statist. 35 (1964), section 3, at k = 64.

    Example:
        One and a half grades off:

        >>> import torch
        >>> float(regression_loss(torch.tensor([[2.5]]), torch.tensor([1.0])))
        2.25
    """
    if logits.dim() == 1:
        logits = logits.unsqueeze(1)
    if logits.shape != (*labels.shape, 1):
        raise ArgumentError(
            f"regression_loss needs logits of shape (rows, 1) or (rows,) and one grade a row; got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}. Give the model one output."
        )
    scores, index, known = masked_index(logits, labels, has_unknowns)
    expected = scores.squeeze(1)
    losses = 2.0 * functional.huber_loss(expected, index.to(expected), reduction="none", delta=_FAR)
    return weighed(losses, index, known, (class_weight,), sample_weights, reduction, normaliser)


@final
class Regression(ClassLoss):
    """`regression_loss` with its weights. The model has one output.

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
        """Return the loss of (rows, 1) or (rows,) expected grades against (rows,) grades."""
        return self._weighted(regression_loss, logits, labels, normaliser, sample_weights)

    def correction(self, labels: TableFloats | None = None) -> RegressionCorrection:
        """Return this loss as an entry of the `Ledger`, which turns its output into probabilities of grades.

        Args:
            labels: (rows, grades) of 0, 1 and NaN, which say how many grades there are; without them the prevalence
                or the weights must.

        Raises:
            ArgumentError: nothing says how many grades there are.
        """
        if labels is not None:
            return RegressionCorrection(labels.shape[1])
        for known in (self.prevalence, self.weights):
            if known is not None and len(known) > 1:
                return RegressionCorrection(len(known))
        raise ArgumentError(
            "Regression has one output, which does not say how many grades there are. Give labels= to its correction, "
            "or prevalence= to the loss."
        )

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return the weight of a row of each grade, and the mean weight of a row of the other grades."""
        return rivals(self.weights, self.seen_prevalence)

    def headline(self) -> str:
        """Name the loss."""
        return "Regression of the grade (squared error)"
