"""What to do about lopsided classes: weights, and the ledger of every correction in force."""

from __future__ import annotations

from equipoise.balance._focal_correction import FocalCorrection
from equipoise.balance._heuristics import HEURISTICS
from equipoise.balance._regression import RegressionCorrection
from equipoise.balance._schemes import CLASS_WEIGHT, POS_WEIGHT, SCHEMES
from equipoise.balance.corrections import (
    AsymmetricCorrection,
    CornCorrection,
    Deferred,
    DistributionBalancedCorrection,
    LogitAdjustment,
    MarginCorrection,
    SmoothingCorrection,
    measured_weights,
    step_log_odds,
)
from equipoise.balance.frontier import Frontier, FrontierPoint, frontier
from equipoise.balance.gradient import GradientShares, gradient_shares
from equipoise.balance.ledger import Ledger
from equipoise.balance.mask_weights import check_counts, counts_of, mask_weights
from equipoise.balance.plan import SamplingPlan
from equipoise.balance.preflight import Preflight, PreflightError, preflight
from equipoise.balance.sampling import plan_heuristic, plan_sampling
from equipoise.balance.table import WeightsTable, weights_table
from equipoise.balance.weights import ClassWeights, class_weights

__all__ = [
    "CLASS_WEIGHT",
    "HEURISTICS",
    "POS_WEIGHT",
    "SCHEMES",
    "AsymmetricCorrection",
    "ClassWeights",
    "CornCorrection",
    "Deferred",
    "DistributionBalancedCorrection",
    "FocalCorrection",
    "Frontier",
    "FrontierPoint",
    "GradientShares",
    "Ledger",
    "LogitAdjustment",
    "MarginCorrection",
    "Preflight",
    "PreflightError",
    "RegressionCorrection",
    "SamplingPlan",
    "SmoothingCorrection",
    "WeightsTable",
    "check_counts",
    "class_weights",
    "counts_of",
    "frontier",
    "gradient_shares",
    "mask_weights",
    "measured_weights",
    "plan_heuristic",
    "plan_sampling",
    "preflight",
    "step_log_odds",
    "weights_table",
]
