"""Models of tables, by name. They need torch, and are loaded when asked for."""

from __future__ import annotations

import importlib
from typing import Any

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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"equipoise.models.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'equipoise.models' has no attribute {name!r}")
