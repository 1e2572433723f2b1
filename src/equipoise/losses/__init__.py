"""Losses: pure functions of logits and labels, thin modules that hold the weights, and `make_loss` for a task.

Class-balanced losses (Cui et al., CVPR 2019) are any of them with ``class_weights(census, scheme="effective_number")``.
"""

from __future__ import annotations

from equipoise.losses._adjusted import (
    BalancedSoftmax,
    LogitAdjusted,
    SigmoidLogitAdjusted,
    balanced_softmax_loss,
    logit_adjusted_loss,
    sigmoid_logit_adjusted_loss,
)
from equipoise.losses._asymmetric import Asymmetric, asymmetric_loss
from equipoise.losses._auc_margin import AUCMargin, auc_margin_loss
from equipoise.losses._base import ClassLoss
from equipoise.losses._cross_entropy import BinaryCrossEntropy, CrossEntropy
from equipoise.losses._distribution_balanced import DistributionBalanced, distribution_balanced_loss
from equipoise.losses._focal import SigmoidFocal, SoftmaxFocal
from equipoise.losses._margin import LDAM, ldam_loss
from equipoise.losses._ordinal import Corn, SquaredDistance, corn_loss, squared_distance_loss
from equipoise.losses._overlap import (
    dice_loss,
    generalised_dice_loss,
    soft_cldice_loss,
    soft_skeleton,
    tversky_loss,
)
from equipoise.losses._regression import Regression, regression_loss
from equipoise.losses.functional import (
    binary_cross_entropy_loss,
    cross_entropy_loss,
    sigmoid_focal_loss,
    softmax_focal_loss,
)
from equipoise.losses.mask_loss import MASK_LOSSES, MaskLoss, MaskTermEntry, make_mask_loss, read_mask_terms
from equipoise.losses.registry import LOSSES, LossEntry, make_loss, settings_of

__all__ = [
    "LDAM",
    "LOSSES",
    "MASK_LOSSES",
    "AUCMargin",
    "Asymmetric",
    "BalancedSoftmax",
    "BinaryCrossEntropy",
    "ClassLoss",
    "Corn",
    "CrossEntropy",
    "DistributionBalanced",
    "LogitAdjusted",
    "LossEntry",
    "MaskLoss",
    "MaskTermEntry",
    "Regression",
    "SigmoidFocal",
    "SigmoidLogitAdjusted",
    "SoftmaxFocal",
    "SquaredDistance",
    "asymmetric_loss",
    "auc_margin_loss",
    "balanced_softmax_loss",
    "binary_cross_entropy_loss",
    "corn_loss",
    "cross_entropy_loss",
    "dice_loss",
    "distribution_balanced_loss",
    "generalised_dice_loss",
    "ldam_loss",
    "logit_adjusted_loss",
    "make_loss",
    "make_mask_loss",
    "read_mask_terms",
    "regression_loss",
    "settings_of",
    "sigmoid_focal_loss",
    "sigmoid_logit_adjusted_loss",
    "soft_cldice_loss",
    "soft_skeleton",
    "softmax_focal_loss",
    "squared_distance_loss",
    "tversky_loss",
]
