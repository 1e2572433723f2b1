"""What every loss module is made of: its weights, kept out of the model's state, and what it says of itself."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import ArgumentError, check_number, check_one_of
from equipoise.balance import ClassWeights
from equipoise.losses._reduction import REDUCTIONS

Weights: TypeAlias = ClassWeights | Tensor | np.ndarray | Sequence[float] | float


class ClassLoss(nn.Module, abc.ABC):
    """Abstract. A loss with one weight per class.

    Weights are buffers that are not saved: the ``state_dict`` is empty, so a checkpoint of a run without weights loads
    into a weighted run and back. ``forward`` changes nothing.

    `prevalence` is the natural one: priors, margins and balanced alphas are made of it also where a sampler draws rows
    by another, as their papers have it; the `Ledger` adds both up, and warns where they go beyond balance together. Set
    `drawn_prevalence`, (classes,) the shares of positives among the rows that are drawn, and `describe` starts from it.
    """

    kind: ClassVar[str]
    weights: Tensor | None

    def __init__(
        self,
        weights: Weights | None,
        *,
        reduction: str = "mean",
        expected_weight: float | None = None,
        has_unknowns: bool = True,
        prevalence: ClassFloats | None = None,
    ) -> None:
        super().__init__()
        function = type(self).__name__
        check_one_of(reduction, REDUCTIONS, argument="reduction", function=function)
        self.reduction, self.has_unknowns = reduction, has_unknowns
        self.classes: tuple[str, ...] | None = None
        self.drawn_prevalence: ClassFloats | None = None
        expected = 1.0
        if isinstance(weights, ClassWeights):
            weights.require(self.kind, function=function)
            self.classes, expected = weights.classes, weights.expected_weight
            prevalence = weights.prevalence if prevalence is None else prevalence
            weights = weights.values
        self.prevalence = None if prevalence is None else np.atleast_1d(np.asarray(prevalence, dtype=np.float64))
        if expected_weight is not None:
            expected = check_number(expected_weight, argument="expected_weight", function=function, above=0.0)
        self.expected_weight = expected
        self.register_buffer("weights", per_class(weights, self.kind, function), persistent=False)

    @abc.abstractmethod
    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss.

        Args:
            logits: scores before the sigmoid or softmax.
            labels: NaN for unknown.
            normaliser: for ``"mean"``, the number of entries to divide by (times `expected_weight`); by default the
                known entries of this call. Give that of the whole step when it comes in micro-batches.
            sample_weights: (rows,) weights of the rows.
        """

    @abc.abstractmethod
    def side_weights(self) -> tuple[ClassFloats, ClassFloats]:
        """Return the weight of a positive and of a negative of each class, before any exponent."""

    @property
    def seen_prevalence(self) -> ClassFloats | None:
        """(classes,) shares of positives among the rows that the loss is given: as drawn, where that is known."""
        return self.prevalence if self.drawn_prevalence is None else self.drawn_prevalence

    def starting_ratio(self) -> ClassFloats | None:
        """Return, per class, all positives' weight over all negatives' at p = 1/2, or None without a prevalence."""
        shares = self.seen_prevalence
        if shares is None:
            return None
        positive, negative = self.side_weights()
        with np.errstate(divide="ignore"):
            return np.asarray(shares * positive / ((1.0 - shares) * negative))

    def describe(self) -> str:
        """Say in words what this loss weighs, with the ratio of positive to negative weight that it starts from."""
        positive, negative = self.side_weights()
        position = int(np.argmax(positive / negative))
        name = f" of {self.classes[position]}" if self.classes and len(positive) > 1 else ""
        text = f"{self.headline()}: one positive{name} weighs {positive[position]:.4g}, "
        ratio = _ratio(positive[position] / negative[position])
        text += f"one negative {negative[position]:.4g}, positive:negative {ratio}"
        ratios = self.starting_ratio()
        if ratios is None:
            return text + "."
        named = self.classes or tuple(f"class {number}" for number in range(len(ratios)))
        low, high = int(np.nanargmin(ratios)), int(np.nanargmax(ratios))
        both = f"; all together they start at {_ratio(ratios[low])}"
        if low != high:
            both += f" ({named[low]}) to {_ratio(ratios[high])} ({named[high]})"
        return text + both + "."

    @abc.abstractmethod
    def headline(self) -> str:
        """Name the loss and its settings."""

    def extra_repr(self) -> str:
        """Show the settings that shape the loss."""
        return f"{self.headline()}, reduction={self.reduction}, expected_weight={self.expected_weight:.4g}"

    def _entries(self, normaliser: Tensor | float | None) -> Tensor | float | None:
        if normaliser is None or self.expected_weight == 1.0:
            return normaliser
        return normaliser * self.expected_weight

    def correction(self, labels: TableFloats | None = None) -> Any:
        """Return this loss as an entry of the `Ledger`, or None where it leaves probabilities as they are.

        Args:
            labels: (rows, classes) of 0, 1 and NaN, for losses whose weights depend on whole rows.
        """
        del labels

    def _weighted(
        self,
        function: Callable[..., Tensor],
        logits: Tensor,
        labels: Tensor,
        normaliser: Tensor | float | None,
        sample_weights: Tensor | None,
        **settings: Any,
    ) -> Tensor:
        """Call the pure function with the weights and reduction of this module."""
        settings[self.kind] = self.weights
        loss = function(
            logits,
            labels,
            sample_weights=sample_weights,
            reduction=self.reduction,
            normaliser=self._entries(normaliser),
            has_unknowns=self.has_unknowns,
            **settings,
        )
        return self._expected(loss, normaliser)

    def _expected(self, loss: Tensor, normaliser: Tensor | float | None) -> Tensor:
        """Divide a mean over the entries of this call by the weight expected of one."""
        if normaliser is None and self.reduction == "mean" and self.expected_weight != 1.0:
            return loss / self.expected_weight
        return loss


def required_prevalence(loss: ClassLoss, function: str) -> Tensor:
    """Return the prevalence that the loss was given.

    Raises:
        ArgumentError: there is none, or a class has no positives or no negatives.
    """
    shares = loss.prevalence
    if shares is None:
        raise ArgumentError(
            f"{function} needs to know how common the classes are. Give prevalence=census.prevalence, or weights made "
            "from a census."
        )
    if not np.all((shares > 0) & (shares < 1)):
        raise ArgumentError(
            f"`prevalence` of {function} must lie between 0 and 1 for every class; got {shares.tolist()}. "
            "Leave classes out that never or always occur."
        )
    return torch.from_numpy(shares)


def per_class(weights: Any, argument: str, function: str, *, below: float = np.inf) -> Tensor | None:
    """Return weights as a float32 vector, or None.

    Raises:
        ArgumentError: a weight is not a finite number above 0 (and below `below`).
    """
    if weights is None:
        return None
    try:
        values: Tensor = torch.as_tensor(
            np.array(weights) if isinstance(weights, np.ndarray) else weights, dtype=torch.float64
        )
        values = values.detach().clone()
        values = values.reshape(1) if values.dim() == 0 else values
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(f"`{argument}` of {function} must be numbers, one a class; got {weights!r}.") from error
    bad = ~(torch.isfinite(values) & (values > 0) & (values < below))
    if values.dim() != 1 or bool(bad.any()):
        limit = f" and below {below:g}" if np.isfinite(below) else ""
        raise ArgumentError(
            f"`{argument}` of {function} must be finite numbers above 0{limit}, one a class; got {values.tolist()}. "
            "Make them with class_weights(census), which refuses an empty class."
        )
    return values.float()


def _ratio(value: float) -> str:
    if not np.isfinite(value) or value <= 0:
        return "0:1" if value <= 0 else "1:0"
    return f"{value:.3g}:1" if value >= 1 else f"1:{1 / value:.3g}"
