"""A backbone of timm and one block of attention over its last map."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise._checks import ArgumentError, check_number, check_one_of, listed, nearest
from equipoise._image_models import split_image_model
from equipoise.models._attention import Attention
from equipoise.models._backbone import (
    check_backbone,
    check_size_fits,
    fixed_size,
    keep_what_the_map_needs,
    last_map,
    load_weights,
    make_backbone,
)
from equipoise.models._image_base import ImageModel
from equipoise.models._inputs import initialise_bias

_PLAIN = ("dropout", "drop_path")
_SETTINGS = {None: _PLAIN, "mhsa": ("heads", "attention_dropout", *_PLAIN)}
_SETTINGS["performer"] = ("heads", "features", "attention_dropout", *_PLAIN)


@final
class Hybrid(ImageModel):
    """A backbone, one block of attention at its width over the places of its last map, the mean, and a small head.

    The head is a layer of half the width and the outputs. With the block of `Attention` that makes the numbers of
    parameters which X-Lite reports for its six models, to the last one (14 outputs, 3 channels). A name without
    attention is the backbone as timm has it, its own pooling and what follows it included, with one layer of outputs.

    The last map is the one that is pooled: of EfficientNet-B0 1,280 wide, of ConvNeXt-Tiny 768, of MobileNetV3-Large
    960 (the layer of 1,280 that timm puts behind the pooling belongs to the plain model only). At 224 pixels a map has
    7 x 7 places: exact attention is the cheaper one until the places are about as many as the `features` of FAVOR+.

    Args:
        name: as in `make_image_model`.
        channels: of an image.
        n_outputs: logits per image.
        multiclass: whether the outputs exclude one another.
        seed: of the random features of a Performer.
        heads: of the attention; None is 8, or the next smaller number that divides the width.
        features: random features of a Performer.
        dropout: share of units dropped in the head in training.
        attention_dropout: share of the attention block's output dropped in training.
        drop_path: share of the backbone's residual branches skipped in training.
        imagenet: with timm's pretrained weights, from its cache or the network.
    """

    def __init__(
        self,
        name: str,
        *,
        channels: int,
        n_outputs: int,
        multiclass: bool = False,
        seed: int = 0,
        heads: int | None = None,
        features: int = 256,
        dropout: float = 0.2,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
        imagenet: bool = False,
    ) -> None:
        backbone_name, kind = split_image_model(name)
        backbone = make_backbone(
            backbone_name, channels=channels, drop_path=drop_path, pooled=kind is None, imagenet=imagenet
        )
        if kind is None:
            width = int(backbone.head_hidden_size)  # type: ignore[arg-type]
        else:
            width = keep_what_the_map_needs(backbone, backbone_name, channels)
            heads = _choose_heads(heads, width, name)
        given = {
            "heads": heads,
            "features": features,
            "attention_dropout": attention_dropout,
            "dropout": dropout,
            "drop_path": drop_path,
        }
        settings = {key: given[key] for key in _SETTINGS[kind]}
        super().__init__(channels=channels, n_outputs=n_outputs, multiclass=multiclass, settings=settings)
        self.name, self.width = name, width
        self.backbone_name, self.fixed_size = backbone_name, fixed_size(backbone)
        self.backbone = backbone
        self.attention: Attention | None = None
        self.head = nn.Sequential(nn.Dropout(dropout))
        if kind is not None and heads is not None:
            drawn = features if kind == "performer" else None
            self.attention = Attention(width, heads=heads, features=drawn, dropout=attention_dropout, seed=seed)
            self.head.extend([nn.Linear(width, width // 2), nn.GELU(), nn.Dropout(dropout)])
        self.output = nn.Linear(width if kind is None else width // 2, n_outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (b, outputs)."""
        self._check_size(images)
        pooled = self.backbone(images) if self.attention is None else self.features(images).mean((2, 3))
        logits: Tensor = self.output(self.head(pooled))
        return logits

    def feature_map(self, images: Tensor) -> Tensor:
        """Return the last map of the backbone, (b, width, h, w)."""
        self._check_size(images)
        return last_map(self.backbone, images)

    def features(self, images: Tensor) -> Tensor:
        """Return the map after the attention, (b, width, h, w); of a plain backbone its last map."""
        found = self.feature_map(images)
        return found if self.attention is None else self.attention(found)

    def redraw(self, seed: int) -> None:
        """Draw the random features of a Performer anew; other models stay as they are."""
        if self.attention is not None:
            self.attention.redraw(seed)

    @property
    def output_bias(self) -> nn.Parameter:
        """The bias of the output, (outputs,)."""
        return self.output.bias

    def _check_size(self, images: Tensor) -> None:
        if self.fixed_size is not None and tuple(images.shape[2:]) != (self.fixed_size, self.fixed_size):
            raise ArgumentError(
                f"The backbone {self.backbone_name} takes images of {self.fixed_size} by {self.fixed_size} pixels "
                f"only; got {images.shape[2]} by {images.shape[3]}. Prepare them at that size, or choose another."
            )


def make_image_model(
    name: str,
    *,
    channels: int,
    n_outputs: int,
    multiclass: bool = False,
    seed: int = 0,
    prior: NDArray[np.floating[Any]] | None = None,
    initial_bias: str = "prevalence",
    pretrained: str | os.PathLike[str] = "none",
    **settings: Any,
) -> Hybrid:
    """Return a model of images with weights that depend on `seed`, `pretrained` and the settings alone.

    Args:
        name: one of `IMAGE_MODELS`, or any backbone of timm, plain or with the ending `_mhsa` or `_performer`.
        channels: of an image, 1 or 3.
        n_outputs: logits per image.
        multiclass: whether the outputs exclude one another (softmax).
        seed: of the weights; torch's own generator is left as it was.
        prior: (outputs,) logits of the training prior, from `prior_logits`; what the final bias starts at.
        initial_bias: `prevalence` starts the final bias at `prior`, `zero` at 0. Without `prior` it starts at 0.
        pretrained: weights of the backbone: `none`; `imagenet`, timm's, the only thing that may use the network; or
            a local file, .safetensors or .pth. For one grey channel the first layer is summed over colours.
        **settings: of `Hybrid`: heads, features, dropout, attention_dropout, drop_path; None means the default.

    Raises:
        ArgumentError: an unknown backbone or setting (the nearest is named), or a value out of range.
        DataError: the file of weights cannot be read or is of another backbone.
        RunError: the ImageNet weights could not be fetched.
    """
    check_one_of(initial_bias, ("prevalence", "zero"), argument="initial_bias", function="make_image_model")
    check_one_of(str(channels), ("1", "3"), argument="channels", function="make_image_model")
    check_image_model(name, **settings)
    backbone, _ = split_image_model(name)
    given = {key: value for key, value in settings.items() if value is not None}
    weights = _weights_file(pretrained)
    if prior is not None and np.shape(prior) != (n_outputs,):
        raise ArgumentError(f"`prior` of make_image_model must have shape ({n_outputs},); got {np.shape(prior)}.")
    given |= {"seed": seed, "imagenet": os.fspath(pretrained) == "imagenet"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Hybrid(name, channels=channels, n_outputs=n_outputs, multiclass=multiclass, **given)
    if weights is not None:
        load_weights(model.backbone, weights, backbone, channels)
    start = None if prior is None or initial_bias == "zero" else torch.as_tensor(np.asarray(prior, dtype=np.float32))
    initialise_bias(model.output_bias, start)
    return model


def check_image_model(name: str, *, size: int | None = None, channels: int = 3, **settings: Any) -> None:
    """Raise what `make_image_model` would of a name and settings that cannot be, before anything is made.

    Args:
        name: as there.
        size: rows and columns of the images in pixels, which some backbones do not take; None: not looked at.
        channels: of the images.
        **settings: as there.

    Raises:
        ArgumentError: an unknown backbone or setting (the nearest is named), or a size that it does not take.
    """
    backbone, kind = split_image_model(name)
    _check_settings(name, kind, {key: value for key, value in settings.items() if value is not None})
    check_backbone(backbone)
    if size is not None:
        check_size_fits(backbone, channels=channels, size=size)


def _choose_heads(heads: int | None, width: int, name: str) -> int:
    if heads is None:
        return max(number for number in range(1, 9) if width % number == 0)
    if width % heads:
        fitting = [number for number in range(1, 65) if width % number == 0]
        raise ArgumentError(
            f"`heads` of the model {name} must divide the width {width} of its last map; got {heads}. "
            f"It may be {', '.join(map(str, fitting))}."
        )
    return heads


def _weights_file(pretrained: str | os.PathLike[str]) -> Path | None:
    """Return the file that `pretrained` names, None for `none` and `imagenet`."""
    if os.fspath(pretrained) in ("none", "imagenet"):
        return None
    path = Path(pretrained)
    if not path.is_file():
        raise ArgumentError(
            '`pretrained` of make_image_model must be "none", "imagenet" or a file of weights; '
            f"got {os.fspath(pretrained)!r}, and there is no such file.{nearest(pretrained, ('none', 'imagenet'))}"
        )
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise ArgumentError(f"`pretrained` of make_image_model must end in .safetensors, .pth or .pt; got {path}.")
    return path


def _check_settings(name: str, kind: str | None, settings: dict[str, Any]) -> None:
    """Raise for a setting that the model does not have or that is out of range."""
    allowed = _SETTINGS[kind]
    place = f"the model {name}"
    for key, value in settings.items():
        if key not in allowed:
            raise ArgumentError(
                f'The model {name} has no setting "{key}".{nearest(key, allowed)} It has {listed(allowed)}.'
            )
        if key in ("heads", "features"):
            check_number(value, argument=key, function=place, at_least=1)
            if value != int(value):
                raise ArgumentError(f"`{key}` of {place} must be a whole number; got {value}.")
        else:
            check_number(value, argument=key, function=place, at_least=0.0, at_most=0.95)
