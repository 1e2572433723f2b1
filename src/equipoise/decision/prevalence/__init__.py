"""Prevalence: what thresholds do where a class is more or less common, how common it is, and the rule moved there."""

from __future__ import annotations

from equipoise.decision.prevalence.estimate import METHODS, PrevalenceEstimate, estimate_prevalence
from equipoise.decision.prevalence.move import check_prevalence, move_rule
from equipoise.decision.prevalence.table import FIGURES, PrevalenceTable, figures_at, prevalence_table

__all__ = [
    "FIGURES",
    "METHODS",
    "PrevalenceEstimate",
    "PrevalenceTable",
    "check_prevalence",
    "estimate_prevalence",
    "figures_at",
    "move_rule",
    "prevalence_table",
]
