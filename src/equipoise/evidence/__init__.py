"""Evidence: metrics with intervals, support and what could not be evaluated."""

from __future__ import annotations

from equipoise.evidence.evaluate import evaluate
from equipoise.evidence.metric_table import MetricRow, MetricTable
from equipoise.evidence.resampling import Resampling, resample_figures

__all__ = ["MetricRow", "MetricTable", "Resampling", "evaluate", "resample_figures"]
