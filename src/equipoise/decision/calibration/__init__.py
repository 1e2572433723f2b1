"""Calibration: temperature, Platt, beta, isotonic and vector scaling, cross-fitted, and whether it was needed."""

from __future__ import annotations

from equipoise.decision.calibration._isotonic import isotonic_regression
from equipoise.decision.calibration.fit import cross_fit, fit_calibration
from equipoise.decision.calibration.record import EXCLUSIVE_METHODS, METHODS, Calibration, Steps

__all__ = [
    "EXCLUSIVE_METHODS",
    "METHODS",
    "Calibration",
    "Steps",
    "cross_fit",
    "fit_calibration",
    "isotonic_regression",
]
