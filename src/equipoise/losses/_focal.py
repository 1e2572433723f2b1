"""Focal loss, of yes-or-no labels and of one-of-many labels. Weights stand outside the exponent."""

from __future__ import annotations

from typing import Any, TypeAlias, final

import numpy as np
from torch import Tensor

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import ArgumentError, check_number
from equipoise.balance import CLASS_WEIGHT, POS_WEIGHT, FocalCorrection
from equipoise.losses._base import ClassLoss, Weights, per_class
from equipoise.losses._cross_entropy import rivals
from equipoise.losses.functional import sigmoid_focal_loss, softmax_focal_loss

Alpha: TypeAlias = Tensor | np.ndarray | list[float] | tuple[float, ...] | float | str | None


def _checked_gamma(gamma: float, function: str) -> float:
    return check_number(gamma, argument="gamma", function=function, at_least=0.0)


def _checked_alpha(alpha: Alpha, loss: ClassLoss, balanced: ClassFloats | None, *, below: float) -> Tensor | None:
    function = type(loss).__name__
    if isinstance(alpha, str):
        if alpha != "balanced":
            raise ArgumentError(f'`alpha` of {function} must be numbers, "balanced" or None; got "{alpha}".')
        if balanced is None:
            raise ArgumentError(
                f'alpha="balanced" of {function} needs to know how common the classes are. '
                "Give prevalence=census.prevalence, or weights made from a census."
            )
        alpha = balanced
    values = per_class(alpha, "alpha", function, below=below)
    classes = None if loss.prevalence is None else len(loss.prevalence)
    many = getattr(alpha, "ndim", 0 if isinstance(alpha, int | float) else 1) > 0
    if values is not None and many and classes is not None and len(values) != classes:
        raise ArgumentError(
            f"`alpha` of {function} has {len(values)} value{'' if len(values) == 1 else 's'} for {classes} classes. "
            "Give one number for all, or one a class in the order of the classes."
        )
    return values


class _Focal(ClassLoss):
    """Abstract. What the two focal losses share."""

    alpha: Tensor | None
    gamma: float

    def correction(self, labels: TableFloats | None = None) -> FocalCorrection:
        """Return this loss as an entry of the `Ledger`, which turns its scores back into probabilities."""
        del labels
        return FocalCorrection(self.gamma, None if self.alpha is None else self.alpha.double().cpu().numpy())

    def headline(self) -> str:
        """Name the loss with gamma and alpha."""
        if self.alpha is None:
            return f"Focal loss (gamma {self.gamma:g}, no alpha)"
        values = [f"{value:.4g}" for value in self.alpha.tolist()]
        shown = values[0] if len(set(values)) == 1 else f"{values[0]} and {len(values) - 1} more"
        return f"Focal loss (gamma {self.gamma:g}, alpha {shown})"


@final
class SigmoidFocal(_Focal):
    """`functional.sigmoid_focal_loss` with its weights.

    Args:
        gamma: at least 0; larger gives less to rows that are already right.
        alpha: weight of the positives in (0, 1), one number or (classes,); negatives weigh 1 - alpha. ``"balanced"`` is
            1 - prevalence, which makes all positives weigh as much as all negatives. None: both weigh 1.
        pos_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None.
        settings: reduction, expected_weight, has_unknowns and prevalence, as in `BinaryCrossEntropy`.

    Raises:
        ArgumentError: an argument is out of range, or alpha is ``"balanced"`` without a prevalence.
    """

    kind = POS_WEIGHT

    def __init__(
        self, gamma: float = 2.0, alpha: Alpha = None, pos_weight: Weights | None = None, **settings: Any
    ) -> None:
        super().__init__(pos_weight, **settings)
        self.gamma = _checked_gamma(gamma, "SigmoidFocal")
        balanced = None if self.prevalence is None else 1.0 - self.prevalence
        self.register_buffer("alpha", _checked_alpha(alpha, self, balanced, below=1.0), persistent=False)

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
            sigmoid_focal_loss, logits, labels, normaliser, sample_weights, gamma=self.gamma, alpha=self.alpha
        )

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return alpha times pos_weight, and 1 - alpha (1 without alpha)."""
        weight = np.ones(1) if self.weights is None else self.weights.double().cpu().numpy()
        if self.alpha is None:
            return weight, np.ones_like(weight)
        alpha = self.alpha.double().cpu().numpy()
        positive, negative = np.broadcast_arrays(alpha * weight, 1.0 - alpha)
        return positive, negative


@final
class SoftmaxFocal(_Focal):
    """`functional.softmax_focal_loss` with its weights.

    Args:
        gamma: at least 0; larger gives less to rows that are already right.
        alpha: weight of each class, above 0, one number or (classes,). ``"balanced"`` is 1 / (classes x prevalence),
            scikit-learn's formula. None: all weigh 1.
        class_weight: `ClassWeights` of that kind, or (classes,) numbers above 0, or None. Multiplies alpha.
        settings: reduction, expected_weight, has_unknowns and prevalence, as in `CrossEntropy`.

    Raises:
        ArgumentError: an argument is out of range, or alpha is ``"balanced"`` without a prevalence.
    """

    kind = CLASS_WEIGHT

    def __init__(
        self, gamma: float = 2.0, alpha: Alpha = None, class_weight: Weights | None = None, **settings: Any
    ) -> None:
        super().__init__(class_weight, **settings)
        self.gamma = _checked_gamma(gamma, "SoftmaxFocal")
        share = self.prevalence
        with np.errstate(divide="ignore"):
            balanced = None if share is None else 1.0 / (len(share) * share)
        self.register_buffer("alpha", _checked_alpha(alpha, self, balanced, below=np.inf), persistent=False)

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
            softmax_focal_loss, logits, labels, normaliser, sample_weights, gamma=self.gamma, alpha=self.alpha
        )

    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return alpha times class_weight of each class, and its mean over rows of the other classes."""
        both = self.alpha if self.weights is None else self.weights if self.alpha is None else self.alpha * self.weights
        return rivals(both, self.seen_prevalence)
