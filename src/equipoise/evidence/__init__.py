"""Evidence: metrics with intervals and support, and comparisons that can be believed."""

from __future__ import annotations

from equipoise.evidence.compare import compare, compare_arms, holm
from equipoise.evidence.comparison import Comparison, Difference
from equipoise.evidence.evaluate import evaluate
from equipoise.evidence.intervals import clopper_pearson_interval, delong_variance, wilson_interval
from equipoise.evidence.metric_table import MetricRow, MetricTable
from equipoise.evidence.resampling import Resampling, resample_figures
from equipoise.evidence.subgroups import Subgroups, evaluate_by

__all__ = [
    "Comparison",
    "Difference",
    "MetricRow",
    "MetricTable",
    "Resampling",
    "Subgroups",
    "clopper_pearson_interval",
    "compare",
    "compare_arms",
    "delong_variance",
    "evaluate",
    "evaluate_by",
    "holm",
    "resample_figures",
    "wilson_interval",
]
