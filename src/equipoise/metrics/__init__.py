"""Metrics as pure functions. What cannot be evaluated (a class without positives) is NaN, never 0, 1 or 0.5."""

from __future__ import annotations

from equipoise.metrics.agreement import exact_match_score, hamming_loss, quadratic_kappa_score
from equipoise.metrics.figures import Figures, measure
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
from equipoise.metrics.probability import brier_loss, expected_calibration_error, log_loss
from equipoise.metrics.ranking import (
    OperatingPoints,
    RankedClass,
    auc_score,
    average_precision_score,
    operating_points,
    rank_class,
    rank_classes,
)
from equipoise.metrics.separation import ClassStatistics, auc_interval, class_statistics

__all__ = [
    "ClassStatistics",
    "Figures",
    "OperatingPoints",
    "Outcomes",
    "RankedClass",
    "accuracy_score",
    "auc_interval",
    "auc_score",
    "average_precision_score",
    "balanced_accuracy_score",
    "brier_loss",
    "class_statistics",
    "count_outcomes",
    "exact_match_score",
    "expected_calibration_error",
    "f1_score",
    "hamming_loss",
    "log_loss",
    "matthews_score",
    "measure",
    "operating_points",
    "precision_score",
    "quadratic_kappa_score",
    "rank_class",
    "rank_classes",
    "recall_score",
    "specificity_score",
]
