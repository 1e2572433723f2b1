"""Calibration: temperature, Platt, beta, isotonic and vector scaling, cross-fitted, and whether it was needed."""

from __future__ import annotations

from equipoise.decision.calibration._isotonic import isotonic_regression
from equipoise.decision.calibration.choose import CHOICES, calibrate_scores
from equipoise.decision.calibration.fit import cross_fit, fit_calibration
from equipoise.decision.calibration.need import CalibrationNeed, Need, calibration_need
from equipoise.decision.calibration.record import EXCLUSIVE_METHODS, METHODS, Calibration, Steps

__all__ = [
    "CHOICES",
    "EXCLUSIVE_METHODS",
    "METHODS",
    "Calibration",
    "CalibrationNeed",
    "Need",
    "Steps",
    "calibrate_scores",
    "calibration_need",
    "cross_fit",
    "fit_calibration",
    "isotonic_regression",
]
