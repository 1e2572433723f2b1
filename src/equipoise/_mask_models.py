"""Names of models of masks: read by recipes, commands and models alike, and by nobody's torch."""

from __future__ import annotations

from equipoise._image_models import split_image_model

PLAIN_UNET = "unet"
DECODERS = ("unet", "unetplusplus", "fpn", "linknet", "manet", "deeplabv3plus", "upernet", "segformer")
MASK_MODELS = ("unet", "unet:resnet18", "unet:mobilenetv3_large_100", "fpn:efficientnet_b0", "fpn:convnext_tiny")


def is_mask_model(name: str) -> bool:
    """Return whether `name` reads like a model of masks: `unet`, or a decoder, a colon and a backbone of timm.

    Only the form is judged, since timm takes seconds to load; whether timm has the backbone, `make_mask_model` finds
    out.

    Example:
        >>> [is_mask_model(name) for name in ("unet", "fpn:resnet18", "resnet18", "tabm")]
        [True, True, False, False]
    """
    return name == PLAIN_UNET or ":" in name


def split_mask_model(name: str) -> tuple[str, str | None]:
    """Return the decoder and timm's name of the backbone (None: the U-Net of nnU-Net).

    Example:
        >>> split_mask_model("fpn:mobilenet_v3_large"), split_mask_model("unet")
        (('fpn', 'mobilenetv3_large_100'), ('unet', None))
    """
    decoder, colon, backbone = name.partition(":")
    return decoder, split_image_model(backbone)[0] if colon else None
