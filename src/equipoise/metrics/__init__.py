"""Metrics as pure functions. What cannot be evaluated (a class without positives) is NaN, never 0, 1 or 0.5."""

from __future__ import annotations

from equipoise.metrics.agreement import exact_match_score, hamming_loss, linear_kappa_score, quadratic_kappa_score
from equipoise.metrics.averages import (
    Average,
    average_classes,
    average_groups,
    group_classes,
    samples_f1_score,
    samples_precision_score,
    samples_recall_score,
)
from equipoise.metrics.calibration import (
    BrierParts,
    ReliabilityCurve,
    brier_decomposition,
    classwise_calibration_error,
    debiased_calibration_error,
    expected_calibration_error,
    reliability_curve,
)
from equipoise.metrics.curves import (
    PrecisionRecallCurve,
    RocCurve,
    partial_auc_score,
    precision_recall_curve,
    roc_curve,
)
from equipoise.metrics.cuts import (
    Cut,
    best_balanced_accuracy,
    best_cut,
    best_f1,
    best_youden,
    precision_at_recall,
    recall_at_precision,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from equipoise.metrics.figures import Figures, measure
from equipoise.metrics.ordinal import adjacent_accuracy_score, macro_absolute_error, mean_absolute_error
from equipoise.metrics.outcomes import (
    Outcomes,
    accuracy_score,
    balanced_accuracy_score,
    count_outcomes,
    f1_score,
    matthews_score,
    precision_score,
    recall_score,
    specificity_score,
)
from equipoise.metrics.pairwise import multiclass_auc_score, pairwise_auc
from equipoise.metrics.probability import brier_loss, log_loss, multiclass_brier_loss, multiclass_log_loss
from equipoise.metrics.ranking import (
    OperatingPoints,
    RankedClass,
    auc_score,
    average_precision_score,
    operating_points,
    rank_class,
    rank_classes,
)
from equipoise.metrics.segmentation import MaskCounts, count_masks
from equipoise.metrics.separation import ClassStatistics, auc_interval, class_statistics

__all__ = [
    "Average",
    "BrierParts",
    "ClassStatistics",
    "Cut",
    "Figures",
    "MaskCounts",
    "OperatingPoints",
    "Outcomes",
    "PrecisionRecallCurve",
    "RankedClass",
    "ReliabilityCurve",
    "RocCurve",
    "accuracy_score",
    "adjacent_accuracy_score",
    "auc_interval",
    "auc_score",
    "average_classes",
    "average_groups",
    "average_precision_score",
    "balanced_accuracy_score",
    "best_balanced_accuracy",
    "best_cut",
    "best_f1",
    "best_youden",
    "brier_decomposition",
    "brier_loss",
    "class_statistics",
    "classwise_calibration_error",
    "count_masks",
    "count_outcomes",
    "debiased_calibration_error",
    "exact_match_score",
    "expected_calibration_error",
    "f1_score",
    "group_classes",
    "hamming_loss",
    "linear_kappa_score",
    "log_loss",
    "macro_absolute_error",
    "matthews_score",
    "mean_absolute_error",
    "measure",
    "multiclass_auc_score",
    "multiclass_brier_loss",
    "multiclass_log_loss",
    "operating_points",
    "pairwise_auc",
    "partial_auc_score",
    "precision_at_recall",
    "precision_recall_curve",
    "precision_score",
    "quadratic_kappa_score",
    "rank_class",
    "rank_classes",
    "recall_at_precision",
    "recall_score",
    "reliability_curve",
    "roc_curve",
    "samples_f1_score",
    "samples_precision_score",
    "samples_recall_score",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "specificity_score",
]
