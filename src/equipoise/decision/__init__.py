"""From scores to decisions: thresholds, the rule that applies them, and what training watches."""

from __future__ import annotations

from equipoise.decision.by_parts import RuleByParts, fit_by_parts, raw_rule
from equipoise.decision.calibration import Calibration, CalibrationNeed, calibration_need, cross_fit, fit_calibration
from equipoise.decision.fit import fit_decision
from equipoise.decision.fitted_on import FittedOn
from equipoise.decision.masks import MaskRule, fit_least_sizes, fit_mask_rule, fixed_mask_rule
from equipoise.decision.monitor import MONITORS, higher_is_better, monitor_value
from equipoise.decision.objectives import OBJECTIVES, Objective, parse_objective
from equipoise.decision.rule import DecisionRule, fixed_rule, read_rule, write_rule
from equipoise.decision.thresholds import FittedThreshold, fit_threshold

__all__ = [
    "MONITORS",
    "OBJECTIVES",
    "Calibration",
    "CalibrationNeed",
    "DecisionRule",
    "FittedOn",
    "FittedThreshold",
    "MaskRule",
    "Objective",
    "RuleByParts",
    "calibration_need",
    "cross_fit",
    "fit_by_parts",
    "fit_calibration",
    "fit_decision",
    "fit_least_sizes",
    "fit_mask_rule",
    "fit_threshold",
    "fixed_mask_rule",
    "fixed_rule",
    "higher_is_better",
    "monitor_value",
    "parse_objective",
    "raw_rule",
    "read_rule",
    "write_rule",
]
