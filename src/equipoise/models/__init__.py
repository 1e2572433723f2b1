"""Models of tables, of images and of masks, by name. They need torch, and are loaded when asked for."""

from __future__ import annotations

from equipoise._lazy import load_late

_HOME = {
    "DynamicUNet": "mask_models",
    "EncoderDecoder": "mask_models",
    "Hybrid": "hybrid",
    "ImageModel": "_image_base",
    "MLP": "mlp",
    "MODELS": "registry",
    "Linear": "linear",
    "MaskModel": "_mask_base",
    "Model": "_base",
    "TabM": "tabm",
    "TabularModel": "_base",
    "check_image_model": "hybrid",
    "check_mask_model": "mask_models",
    "combine_submodels": "_base",
    "make_image_model": "hybrid",
    "make_mask_model": "mask_models",
    "make_model": "registry",
    "model_from_dict": "registry",
    "plan_unet": "_unet_layout",
    "prior_logits": "registry",
}

__all__ = [
    "MLP",
    "MODELS",
    "DynamicUNet",
    "EncoderDecoder",
    "Hybrid",
    "ImageModel",
    "Linear",
    "MaskModel",
    "Model",
    "TabM",
    "TabularModel",
    "check_image_model",
    "check_mask_model",
    "combine_submodels",
    "make_image_model",
    "make_mask_model",
    "make_model",
    "model_from_dict",
    "plan_unet",
    "prior_logits",
]

__getattr__, __dir__ = load_late(__name__, _HOME)
