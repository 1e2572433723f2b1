"""Tensor types with their shapes, checked at run time in the tests only, and the checks that users meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor

from equipoise._checks import ArgumentError

if TYPE_CHECKING:
    Logits: TypeAlias = Tensor
    ClassLogits: TypeAlias = Tensor
    Targets: TypeAlias = Tensor
    PerClass: TypeAlias = Tensor
    Loss: TypeAlias = Tensor
else:
    try:
        from jaxtyping import Float, Shaped

        Logits = Float[Tensor, "rows *rest"]
        ClassLogits = Float[Tensor, "rows classes *rest"]
        # That these two fit the logits is checked for everybody, with a message, below.
        Targets = Shaped[Tensor, "..."]
        PerClass = Float[Tensor, "..."]
        Loss = Float[Tensor, "..."]
    except ImportError:
        Logits = ClassLogits = Targets = PerClass = Loss = Tensor


def check_sigmoid_shapes(logits: Tensor, labels: Tensor, function: str, **per_class: Tensor | float | None) -> None:
    """Refuse shapes that would broadcast into a wrong loss without an error."""
    if logits.shape != labels.shape:
        raise ArgumentError(
            f"{function} needs labels of the shape of the logits, {tuple(logits.shape)}; got {tuple(labels.shape)}. "
            "For one output a row, take logits.squeeze(-1)."
        )
    classes = logits.shape[-1] if logits.dim() > 1 else 1
    _check_per_class(classes, function, per_class)


def check_softmax_shapes(logits: Tensor, labels: Tensor, function: str, **per_class: Tensor | float | None) -> None:
    """Refuse logits without a class axis, and labels that do not name one class for each place."""
    if logits.dim() < 2 or logits.shape[1] < 2:
        raise ArgumentError(
            f"{function} needs logits of shape (rows, classes) with two classes or more; got {tuple(logits.shape)}. "
            "For one output a row, use a sigmoid loss."
        )
    if labels.shape != logits.shape[:1] + logits.shape[2:]:
        raise ArgumentError(
            f"{function} needs one class index a row, shape {tuple(logits.shape[:1] + logits.shape[2:])}; "
            f"got {tuple(labels.shape)}. Take labels.argmax(1) of one-hot labels."
        )
    _check_per_class(logits.shape[1], function, per_class)


def _check_per_class(classes: int, function: str, per_class: dict[str, Tensor | float | None]) -> None:
    for name, value in per_class.items():
        if isinstance(value, Tensor) and value.dim() > 0 and value.numel() not in {1, classes}:
            raise ArgumentError(
                f"`{name}` of {function} must hold one number for each of the {classes} classes; "
                f"got {value.numel()}. Give them in the order of the outputs."
            )
