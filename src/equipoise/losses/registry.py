"""The list of all losses, and the loss that a task and a recipe ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, check_one_of
from equipoise.balance import ClassWeights
from equipoise.losses._base import ClassLoss
from equipoise.losses._cross_entropy import BinaryCrossEntropy, CrossEntropy
from equipoise.losses._focal import Alpha, SigmoidFocal, SoftmaxFocal
from equipoise.losses.functional import (
    binary_cross_entropy_loss,
    cross_entropy_loss,
    sigmoid_focal_loss,
    softmax_focal_loss,
)

_SIGMOID = ("binary", "multilabel")
_SOFTMAX = ("multiclass", "ordinal")


@dataclass(frozen=True)
class LossEntry:
    """One loss: its name in a recipe, the tasks it is for, its function, its module, and what its module accepts.

    The laws in the tests run over every entry: a new loss is one line here.
    """

    name: str
    tasks: tuple[str, ...]
    function: Callable[..., Tensor]
    module: Callable[..., ClassLoss]
    settings: tuple[str, ...] = ()

    @property
    def weight_argument(self) -> str:
        """``"pos_weight"`` or ``"class_weight"``: the kind of weights this loss takes."""
        return "pos_weight" if "binary" in self.tasks else "class_weight"


LOSSES: tuple[LossEntry, ...] = (
    LossEntry("bce", _SIGMOID, binary_cross_entropy_loss, BinaryCrossEntropy),
    LossEntry("cross_entropy", _SOFTMAX, cross_entropy_loss, CrossEntropy),
    LossEntry("focal", _SIGMOID, sigmoid_focal_loss, SigmoidFocal, ("gamma", "alpha")),
    LossEntry("focal", _SOFTMAX, softmax_focal_loss, SoftmaxFocal, ("gamma", "alpha")),
)


def make_loss(
    name: str,
    task: str,
    *,
    weights: ClassWeights | None = None,
    gamma: float = 2.0,
    alpha: Alpha = None,
    has_unknowns: bool = True,
    expected_weight: float | None = None,
    prevalence: ClassFloats | None = None,
    reduction: str = "mean",
) -> ClassLoss:
    """Return the loss module for a task.

    Args:
        name: ``"auto"`` (bce for binary and multilabel, cross_entropy for multiclass and ordinal), ``"bce"``,
            ``"cross_entropy"`` or ``"focal"``.
        task: ``"binary"``, ``"multiclass"``, ``"ordinal"`` or ``"multilabel"``.
        weights: class weights of the kind that the loss takes, or None.
        gamma: focusing exponent of focal, at least 0; not read by the others.
        alpha: of focal: one number, one a class, ``"balanced"``, or None.
        has_unknowns: False when no label is NaN: skips the masking.
        expected_weight: what a mean divides by besides the entries; by default that of the weights, else 1.
        prevalence: (classes,) share of positives, for alpha ``"balanced"`` and for `describe`; by default that of the
            weights.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises:
        ArgumentError: no such loss, or not for this task; weights of the other kind; alpha without focal.

    Example:
        >>> make_loss("focal", "multilabel", alpha=0.25).describe()
        'Focal loss (gamma 2, alpha 0.25): one positive weighs 0.25, one negative 0.75, positive:negative 1:3.'
    """
    entry = _entry(name, task)
    given: dict[str, Any] = {}
    if "gamma" in entry.settings:
        given["gamma"] = gamma
    if "alpha" in entry.settings:
        given["alpha"] = alpha
    elif alpha is not None:
        raise ArgumentError(f'`alpha` belongs to focal loss; got it with "{entry.name}". Leave it out, or use "focal".')
    given[entry.weight_argument] = weights
    return entry.module(
        **given, reduction=reduction, expected_weight=expected_weight, has_unknowns=has_unknowns, prevalence=prevalence
    )


def _entry(name: str, task: str) -> LossEntry:
    check_one_of(task, (*_SIGMOID, *_SOFTMAX), argument="task", function="make_loss")
    check_one_of(name, ("auto", *dict.fromkeys(entry.name for entry in LOSSES)), argument="name", function="make_loss")
    fitting = [entry for entry in LOSSES if task in entry.tasks]
    if name == "auto":
        return fitting[0]
    for entry in fitting:
        if entry.name == name:
            return entry
    raise ArgumentError(
        f'Loss "{name}" is not for a {task} task. Use "auto" or one of {", ".join(entry.name for entry in fitting)}.'
    )
