"""Models of tables, by name. They need torch, and are loaded when asked for."""

from __future__ import annotations

from equipoise._lazy import load_late

_HOME = {
    "MLP": "mlp",
    "MODELS": "registry",
    "Linear": "linear",
    "TabM": "tabm",
    "TabularModel": "_base",
    "combine_submodels": "_base",
    "make_model": "registry",
    "model_from_dict": "registry",
    "prior_logits": "registry",
}

__all__ = [
    "Linear",
    "MLP",
    "MODELS",
    "TabM",
    "TabularModel",
    "combine_submodels",
    "make_model",
    "model_from_dict",
    "prior_logits",
]

__getattr__, __dir__ = load_late(__name__, _HOME)
