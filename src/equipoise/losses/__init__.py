"""Losses: pure functions in `functional`, thin modules that hold the weights, and `make_loss` for a task."""

from __future__ import annotations

from equipoise.losses._base import ClassLoss
from equipoise.losses._cross_entropy import BinaryCrossEntropy, CrossEntropy
from equipoise.losses._focal import SigmoidFocal, SoftmaxFocal
from equipoise.losses.functional import (
    binary_cross_entropy_loss,
    cross_entropy_loss,
    sigmoid_focal_loss,
    softmax_focal_loss,
)
from equipoise.losses.registry import LOSSES, LossEntry, make_loss

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "ClassLoss",
    "CrossEntropy",
    "LossEntry",
    "SigmoidFocal",
    "SoftmaxFocal",
    "binary_cross_entropy_loss",
    "cross_entropy_loss",
    "make_loss",
    "sigmoid_focal_loss",
    "softmax_focal_loss",
]
