"""Models of tables and of images, by name. They need torch, and are loaded when asked for."""

from __future__ import annotations

from equipoise._lazy import load_late

_HOME = {
    "Hybrid": "hybrid",
    "ImageModel": "_image_base",
    "MLP": "mlp",
    "MODELS": "registry",
    "Linear": "linear",
    "Model": "_base",
    "TabM": "tabm",
    "TabularModel": "_base",
    "check_image_model": "hybrid",
    "combine_submodels": "_base",
    "make_image_model": "hybrid",
    "make_model": "registry",
    "model_from_dict": "registry",
    "prior_logits": "registry",
}

__all__ = [
    "Hybrid",
    "ImageModel",
    "Linear",
    "MLP",
    "MODELS",
    "Model",
    "TabM",
    "TabularModel",
    "check_image_model",
    "combine_submodels",
    "make_image_model",
    "make_model",
    "model_from_dict",
    "prior_logits",
]

__getattr__, __dir__ = load_late(__name__, _HOME)
