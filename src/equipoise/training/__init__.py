"""Training: one explicit loop in plain PyTorch, resumable at any step, watched by a guard."""

from __future__ import annotations

from equipoise.training.arms import Arms, train_arms
from equipoise.training.checkpoint import read_checkpoint, write_checkpoint
from equipoise.training.combine import mean_of_members
from equipoise.training.guard import Finding, Guard
from equipoise.training.loop import Fit, Phase, Workers, predict_logits
from equipoise.training.posthoc import normalised_weights, retrain_last_layer, tau_normalise
from equipoise.training.predict import predict
from equipoise.training.prepare import Prepared, prepare
from equipoise.training.telemetry import ProgressBar, Silent, Watch
from equipoise.training.train import judge, train

__all__ = [
    "Arms",
    "Finding",
    "Fit",
    "Guard",
    "Phase",
    "Prepared",
    "ProgressBar",
    "Silent",
    "Watch",
    "Workers",
    "judge",
    "mean_of_members",
    "normalised_weights",
    "predict",
    "predict_logits",
    "prepare",
    "read_checkpoint",
    "retrain_last_layer",
    "tau_normalise",
    "train",
    "train_arms",
    "write_checkpoint",
]
