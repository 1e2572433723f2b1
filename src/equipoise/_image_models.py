"""Names of image models: read by recipes, commands and models alike, and by nobody's torch."""

from __future__ import annotations

import re

PRETRAINED = ("none", "imagenet")  # words of model.pretrained; anything else is a path
TABLE_MODELS = ("tabm", "mlp", "linear")
ATTENTIONS = ("mhsa", "performer")
IMAGE_MODELS = (
    "efficientnet_b0_mhsa",
    "efficientnet_b0_performer",
    "convnext_tiny_mhsa",
    "convnext_tiny_performer",
    "mobilenet_v3_large_mhsa",
    "mobilenet_v3_large_performer",
)

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)?")  # timm's names, such as convnext_tiny or convnext_tiny.fb_in22k
_TIMM = {"mobilenet_v3_large": "mobilenetv3_large_100", "mobilenet_v3_small": "mobilenetv3_small_100"}


def is_image_model(name: str) -> bool:
    """Return whether `name` reads like an image model: a backbone of timm, with or without an attention block.

    Only the form is judged, since timm takes seconds to load: small letters, digits and underscores, with a digit or
    an underscore among them. Whether timm has the backbone, `make_image_model` finds out.

    Example:
        >>> [is_image_model(name) for name in ("convnext_tiny_mhsa", "resnet18", "convnext_tiny.fb_in22k", "tabm")]
        [True, True, True, False]
    """
    return _NAME.fullmatch(name) is not None and re.search(r"[0-9_]", name) is not None


def split_image_model(name: str) -> tuple[str, str | None]:
    """Return timm's name of the backbone, and the attention block (None: the plain backbone).

    Example:
        >>> split_image_model("mobilenet_v3_large_performer"), split_image_model("resnet18")
        (('mobilenetv3_large_100', 'performer'), ('resnet18', None))
    """
    for attention in ATTENTIONS:
        if name.endswith(f"_{attention}"):
            backbone = name.removesuffix(f"_{attention}")
            return _TIMM.get(backbone, backbone), attention
    return _TIMM.get(name, name), None
