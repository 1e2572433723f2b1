"""Equipoise: train, judge and use classifiers whose classes are lopsided, and prove whether balancing helped.

Names are loaded when they are first used, so that ``import equipoise`` costs nothing and never imports torch.
"""

from __future__ import annotations

from equipoise._lazy import load_late

__version__ = "0.1.0"

# Public name -> module that defines it.
_HOME = {
    "Census": "labels",
    "ClassWeights": "balance",
    "DecisionRule": "decision",
    "EquipoiseError": "_checks",
    "Labels": "labels",
    "Ledger": "balance",
    "MetricTable": "evidence",
    "SamplingPlan": "balance",
    "Scores": "scores",
    "Split": "labels",
    "check_split": "labels",
    "class_weights": "balance",
    "compare": "evidence",
    "count_labels": "labels",
    "evaluate": "evidence",
    "fit_decision": "decision",
    "make_recipe": "recipe",
    "plan_sampling": "balance",
    "predict": "training",
    "read_labels": "labels",
    "read_recipe": "recipe",
    "read_scores": "scores",
    "split_labels": "labels",
    "train": "training",
    "weights_table": "balance",
}

__all__ = sorted(_HOME)  # noqa: PLE0605

__getattr__, __dir__ = load_late(__name__, _HOME)
