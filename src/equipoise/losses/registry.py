"""The list of all losses, and the loss that a task and a recipe ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, check_one_of, listed
from equipoise._tasks import EXCLUSIVE_TASKS
from equipoise.balance import ClassWeights
from equipoise.losses._adjusted import (
    BalancedSoftmax,
    LogitAdjusted,
    SigmoidLogitAdjusted,
    balanced_softmax_loss,
    logit_adjusted_loss,
    sigmoid_logit_adjusted_loss,
)
from equipoise.losses._asymmetric import Asymmetric, asymmetric_loss
from equipoise.losses._base import ClassLoss
from equipoise.losses._cross_entropy import BinaryCrossEntropy, CrossEntropy
from equipoise.losses._distribution_balanced import DistributionBalanced, distribution_balanced_loss
from equipoise.losses._focal import Alpha, SigmoidFocal, SoftmaxFocal
from equipoise.losses._margin import LDAM, ldam_loss
from equipoise.losses._ordinal import Corn, SquaredDistance, corn_loss, squared_distance_loss
from equipoise.losses._regression import Regression, regression_loss
from equipoise.losses.functional import (
    binary_cross_entropy_loss,
    cross_entropy_loss,
    sigmoid_focal_loss,
    softmax_focal_loss,
)

_SIGMOID = ("binary", "multilabel")
_SOFTMAX = EXCLUSIVE_TASKS


def _one_a_class(classes: int) -> int:
    return classes


@dataclass(frozen=True)
class LossEntry:
    """One loss: its name in a recipe, the tasks it is for, its function, its module, and what its module accepts.

    The laws in the tests run over every entry: a new loss is one line here.

    Attributes:
        name: in a recipe.
        tasks: that it is for.
        function: the pure function.
        module: the class that holds its weights.
        settings: arguments of the module besides weights and those that all have.
        neutral: settings of the function under which it is (binary) cross-entropy; None where there are none.
        needs_prevalence: whether the module must know how common the classes are.
        outputs: how many outputs the model has, from how many classes there are.
    """

    name: str
    tasks: tuple[str, ...]
    function: Callable[..., Tensor]
    module: Callable[..., ClassLoss]
    settings: tuple[str, ...] = ()
    neutral: Mapping[str, Any] | None = None
    needs_prevalence: bool = False
    outputs: Callable[[int], int] = _one_a_class

    @property
    def weight_argument(self) -> str:
        """``"pos_weight"`` or ``"class_weight"``: the kind of weights this loss takes."""
        return "pos_weight" if "binary" in self.tasks else "class_weight"


_FOCAL: dict[str, Any] = {"settings": ("gamma", "alpha"), "neutral": {"gamma": 0.0, "alpha": None}}
_SMOOTHED: dict[str, Any] = {"settings": ("smoothing",), "neutral": {"smoothing": 0.0}}
_WITHOUT_TOLERANCE = {"gamma": 0.0, "rebalance": None, "negative_scale": 1.0, "kappa": 0.0}

LOSSES: tuple[LossEntry, ...] = (
    LossEntry("bce", _SIGMOID, binary_cross_entropy_loss, BinaryCrossEntropy, **_SMOOTHED),
    LossEntry("cross_entropy", _SOFTMAX, cross_entropy_loss, CrossEntropy, **_SMOOTHED),
    LossEntry("focal", _SIGMOID, sigmoid_focal_loss, SigmoidFocal, **_FOCAL),
    LossEntry("focal", _SOFTMAX, softmax_focal_loss, SoftmaxFocal, **_FOCAL),
    LossEntry(
        "asymmetric", _SIGMOID, asymmetric_loss, Asymmetric, ("gamma_positive", "gamma_negative", "margin"),
        {"gamma_positive": 0.0, "gamma_negative": 0.0, "margin": 0.0},
    ),
    LossEntry(
        "logit_adjusted", _SIGMOID, sigmoid_logit_adjusted_loss, SigmoidLogitAdjusted, ("tau",), {"tau": 0.0}, True
    ),
    LossEntry("logit_adjusted", _SOFTMAX, logit_adjusted_loss, LogitAdjusted, ("tau",), {"tau": 0.0}, True),
    LossEntry("balanced_softmax", _SOFTMAX, balanced_softmax_loss, BalancedSoftmax, (), {"prior": None}, True),
    LossEntry(
        "ldam", _SOFTMAX, ldam_loss, LDAM, ("max_margin", "scale"), {"margins": None, "scale": 1.0}, True
    ),
    LossEntry(
        "distribution_balanced", _SIGMOID, distribution_balanced_loss, DistributionBalanced,
        ("gamma", "rebalance", "negative_scale", "kappa"), _WITHOUT_TOLERANCE, True,
    ),
    LossEntry(
        "squared_distance", ("ordinal",), squared_distance_loss, SquaredDistance, ("cross_entropy",),
        {"cross_entropy": 1.0},
    ),
    LossEntry("corn", ("ordinal",), corn_loss, Corn, outputs=lambda classes: classes - 1),
    LossEntry("regression", ("ordinal",), regression_loss, Regression, outputs=lambda classes: 1),
)  # fmt: skip


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
    **settings: Any,
) -> ClassLoss:
    """Return the loss module for a task.

    Args:
        name: ``"auto"`` (bce for binary and multilabel, cross_entropy for multiclass and ordinal), or one of `LOSSES`.
        task: ``"binary"``, ``"multiclass"``, ``"ordinal"`` or ``"multilabel"``.
        weights: class weights of the kind that the loss takes, or None.
        gamma: focusing exponent of focal and distribution_balanced, at least 0; not read by the others.
        alpha: of focal: one number, one a class, ``"balanced"``, or None.
        has_unknowns: False when no label is NaN: skips the masking.
        expected_weight: what a mean divides by besides the entries; by default that of the weights, else 1.
        prevalence: (classes,) share of positives, for alpha ``"balanced"``, for losses that use the prior, and for
            `describe`; by default that of the weights.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        settings: further settings of the loss, as its `LossEntry` names them.

    Raises:
        ArgumentError: no such loss, or not for this task; weights of the other kind; a setting of another loss.

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
    for setting, value in settings.items():
        if setting not in entry.settings:
            raise ArgumentError(_foreign(setting, entry))
        given[setting] = value
    given[entry.weight_argument] = weights
    return entry.module(
        **given, reduction=reduction, expected_weight=expected_weight, has_unknowns=has_unknowns, prevalence=prevalence
    )


def settings_of(name: str) -> tuple[str, ...]:
    """Return the settings of a loss of that name, for any task."""
    return next(entry.settings for entry in LOSSES if entry.name == name)


def _foreign(setting: str, entry: LossEntry) -> str:
    owners = list(dict.fromkeys(other.name for other in LOSSES if setting in other.settings))
    taken = listed(entry.settings) if entry.settings else "none"
    if not owners:
        return f'No loss has a setting "{setting}"; those of "{entry.name}": {taken}. Correct the name.'
    return (
        f'`{setting}` belongs to {listed(owners)}; got it with "{entry.name}", whose settings are: {taken}. '
        "Leave it out."
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
