"""Evidence: metrics with intervals and support, and comparisons that can be believed."""

from __future__ import annotations

from equipoise.evidence._masks import CountedMasks
from equipoise.evidence.compare import compare, compare_arms, holm
from equipoise.evidence.comparison import Comparison, Difference
from equipoise.evidence.evaluate import evaluate
from equipoise.evidence.intervals import clopper_pearson_interval, delong_variance, wilson_interval
from equipoise.evidence.judge import ArmScores, judge_arms
from equipoise.evidence.mask_table import evaluate_masks
from equipoise.evidence.metric_table import MetricRow, MetricTable
from equipoise.evidence.resampling import Resampling, resample_figures
from equipoise.evidence.subgroups import Subgroups, evaluate_by
from equipoise.evidence.verdict import ArmVerdict, Verdicts

__all__ = [
    "ArmScores",
    "ArmVerdict",
    "Comparison",
    "CountedMasks",
    "Difference",
    "MetricRow",
    "MetricTable",
    "Resampling",
    "Subgroups",
    "Verdicts",
    "clopper_pearson_interval",
    "compare",
    "compare_arms",
    "delong_variance",
    "evaluate",
    "evaluate_by",
    "evaluate_masks",
    "holm",
    "judge_arms",
    "resample_figures",
    "wilson_interval",
]
