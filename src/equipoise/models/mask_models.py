"""Models of masks: the U-Net as nnU-Net configures it, and any backbone of timm with a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise._checks import ArgumentError, check_number, check_one_of, listed, nearest
from equipoise._mask_models import DECODERS, PLAIN_UNET, split_mask_model
from equipoise.models._backbone import check_backbone, fixed_size, load_timm
from equipoise.models._inputs import initialise_bias
from equipoise.models._mask_base import MaskModel
from equipoise.models._unet_layout import plan_unet

_SETTINGS = {"unet": ("width", "stages", "deep_supervision", "dropout"), "decoder": ("depth",)}
_LONG_DECODERS = ("unet", "unetplusplus", "manet")  # one layer a stage of the backbone
_STRIDE = 32
_MOST_CHANNELS = 1024


@final
class DynamicUNet(MaskModel):
    """MONAI's DynUNet as nnU-Net configures it: see `plan_unet`; instance norm, leaky ReLU, deep supervision.

    Args:
        channels: of an image.
        n_outputs: logits per pixel.
        multiclass: whether the outputs exclude one another.
        patch_size: (axes,) pixels of a training patch, 2 or 3 axes.
        spacing: (axes,) size of a pixel.
        width: filters of the first stage.
        stages: at most as many; None for as many as the patch can be halved.
        deep_supervision: whether lower stages answer as well in training (`heads`); all but the lowest two do.
        dropout: share of channels dropped in training.
    """

    name = PLAIN_UNET

    def __init__(
        self,
        *,
        channels: int,
        n_outputs: int,
        multiclass: bool,
        patch_size: tuple[int, ...],
        spacing: tuple[float, ...],
        width: int = 32,
        stages: int | None = None,
        deep_supervision: bool = True,
        dropout: float = 0.0,
    ) -> None:
        settings = {"width": width, "stages": stages, "deep_supervision": deep_supervision, "dropout": dropout}
        super().__init__(
            channels=channels, n_outputs=n_outputs, multiclass=multiclass, patch_size=patch_size, spacing=spacing,
            settings=settings,
        )  # fmt: skip
        layout = plan_unet(patch_size, spacing, width=width, stages=stages)
        self.divisor = layout.divisor
        self.net = _load_dynunet()(
            spatial_dims=len(patch_size),
            in_channels=channels,
            out_channels=n_outputs,
            kernel_size=layout.kernels,
            strides=layout.strides,
            upsample_kernel_size=layout.strides[1:],
            filters=layout.filters,
            dropout=dropout or None,
            deep_supervision=deep_supervision,
            deep_supr_num=max(1, len(layout.strides) - 3),
        )

    def padded_heads(self, images: Tensor) -> Tensor:
        """Return logits (images, heads, outputs, ...)."""
        found: Tensor = self.net(images)
        return found if self.training and self.net.deep_supervision else found.unsqueeze(1)

    @property
    def head_biases(self) -> list[nn.Parameter]:
        """The biases of the output and of the heads of deep supervision."""
        heads = [self.net.output_block, *getattr(self.net, "deep_supervision_heads", [])]
        return [head.conv.conv.bias for head in heads]


@final
class EncoderDecoder(MaskModel):
    """A backbone of timm and a decoder of segmentation-models-pytorch, of images in 2-D.

    Args:
        name: the decoder, a colon and timm's name of the backbone.
        channels: of an image; pretrained weights of colour images are summed over colours for one grey channel.
        n_outputs: logits per pixel.
        multiclass: whether the outputs exclude one another.
        patch_size: (2,) pixels of a training patch.
        spacing: (2,) size of a pixel; kept, and used by nothing.
        depth: stages of the backbone that are used, 3 to 5; None is 5.
        imagenet: with timm's pretrained weights, from its cache or the network.
    """

    divisor = (_STRIDE, _STRIDE)

    def __init__(
        self,
        name: str,
        *,
        channels: int,
        n_outputs: int,
        multiclass: bool,
        patch_size: tuple[int, ...],
        spacing: tuple[float, ...],
        depth: int | None = None,
        imagenet: bool = False,
    ) -> None:
        super().__init__(
            channels=channels, n_outputs=n_outputs, multiclass=multiclass, patch_size=patch_size, spacing=spacing,
            settings={"depth": depth},
        )  # fmt: skip
        self.name = name
        decoder, backbone = split_mask_model(name)
        self.net = _make_decoder(decoder, str(backbone), channels, n_outputs, depth, imagenet)

    def padded_heads(self, images: Tensor) -> Tensor:
        """Return logits (images, 1, outputs, h, w)."""
        found: Tensor = self.net(images)
        return found.unsqueeze(1)

    @property
    def head_biases(self) -> list[nn.Parameter]:
        """The bias of the output."""
        return [self.net.segmentation_head[0].bias]  # type: ignore[index, union-attr]


def make_mask_model(
    name: str,
    *,
    channels: int,
    n_outputs: int,
    patch_size: Sequence[int],
    spacing: Sequence[float] | None = None,
    multiclass: bool = True,
    seed: int = 0,
    prior: NDArray[np.floating[Any]] | None = None,
    initial_bias: str = "prevalence",
    pretrained: str = "none",
    **settings: Any,
) -> MaskModel:
    """Return a model of masks with weights that depend on `seed`, `pretrained` and the settings alone.

    Args:
        name: ``"unet"``, MONAI's DynUNet as nnU-Net configures it, in 2-D and 3-D; or a decoder and a backbone of timm,
            ``"unet:resnet18"`` or ``"fpn:mobilenetv3_large_100"``, in 2-D.
        channels: of an image.
        n_outputs: logits per pixel: classes, the background among them where they exclude one another.
        patch_size: pixels of a training patch along each axis; their number says whether images are in 2-D or 3-D.
        spacing: size of a pixel along each axis, in any one unit; None: the same along all.
        multiclass: whether the outputs exclude one another (softmax), or may share a pixel (sigmoid).
        seed: of the weights; torch's own generator is left as it was.
        prior: (outputs,) logits of the share of pixels of each class, from `prior_logits`; what the final biases, those
            of deep supervision among them, start at.
        initial_bias: `prevalence` starts the final bias at `prior`, `zero` at 0. Without `prior` it starts at 0.
        pretrained: weights of the backbone: `none`, or `imagenet`, timm's, the only thing that may use the network.
        **settings: of `unet`: width, stages, deep_supervision, dropout; of a decoder: depth. None means the default.

    Raises:
        ArgumentError: an unknown model, backbone or setting (the nearest is named), a value out of range, a patch that
            is too small, a backbone in 3-D, or a package that is not installed.
        RunError: the ImageNet weights could not be fetched.
    """
    check_one_of(initial_bias, ("prevalence", "zero"), argument="initial_bias", function="make_mask_model")
    check_one_of(pretrained, ("none", "imagenet"), argument="pretrained", function="make_mask_model")
    check_number(channels, argument="channels", function="make_mask_model", at_least=1, at_most=_MOST_CHANNELS)
    check_mask_model(name, **settings)
    patch, spaces = _checked_patch(name, patch_size, spacing)
    given = {key: value for key, value in settings.items() if value is not None}
    if prior is not None and np.shape(prior) != (n_outputs,):
        raise ArgumentError(f"`prior` of make_mask_model must have shape ({n_outputs},); got {np.shape(prior)}.")
    shared: dict[str, Any] = {
        "channels": channels, "n_outputs": n_outputs, "multiclass": multiclass, "patch_size": patch, "spacing": spaces,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: MaskModel
        if name == PLAIN_UNET:
            if pretrained != "none":
                raise ArgumentError('The model unet has no pretrained weights. Give pretrained="none", or a backbone.')
            model = DynamicUNet(**shared, **given)
        else:
            model = EncoderDecoder(name, imagenet=pretrained == "imagenet", **shared, **given)
    start = None if prior is None or initial_bias == "zero" else torch.as_tensor(np.asarray(prior, dtype=np.float32))
    for bias in model.head_biases:
        initialise_bias(bias, start)
    return model


def mask_model_from_dict(value: dict[str, Any]) -> MaskModel:
    """Return the model that its `to_dict` described, its weights not yet loaded; nothing is fetched."""
    made = {key: value[key] for key in ("channels", "n_outputs", "multiclass", "patch_size", "spacing")}
    return make_mask_model(value["name"], **made, initial_bias="zero", **value["settings"])


def check_mask_model(name: str, **settings: Any) -> None:
    """Raise what `make_mask_model` would of a name and settings that cannot be, before anything is made.

    Args:
        name: as there.
        **settings: as there.

    Raises:
        ArgumentError: an unknown decoder, backbone or setting; the nearest is named.
    """
    decoder, backbone = split_mask_model(name)
    if decoder not in DECODERS:
        raise ArgumentError(
            f'There is no model of masks "{name}": its decoder must be one of {listed(DECODERS)}, then a colon and a '
            f'backbone, as in "unet:resnet18"; or "unet" alone.{nearest(decoder, DECODERS)}'
        )
    if backbone is None and decoder != PLAIN_UNET:
        raise ArgumentError(f'The decoder {decoder} needs a backbone of timm, as in "{decoder}:resnet18". Name one.')
    allowed = _SETTINGS["unet" if backbone is None else "decoder"]
    for key, value in settings.items():
        if value is not None:
            _check_setting(name, key, value, allowed)
    if backbone is not None:
        check_backbone(backbone)


def _check_setting(name: str, key: str, value: Any, allowed: tuple[str, ...]) -> None:
    place = f"the model {name}"
    if key not in allowed:
        raise ArgumentError(
            f'The model {name} has no setting "{key}".{nearest(key, allowed)} It has {listed(allowed)}.'
        )
    if key == "deep_supervision":
        if not isinstance(value, bool):
            raise ArgumentError(f"`deep_supervision` of {place} must be true or false; got {value!r}.")
    elif key == "dropout":
        check_number(value, argument=key, function=place, at_least=0.0, at_most=0.95)
    else:
        least, most = {"width": (2, 1024), "stages": (3, 12), "depth": (3, 5)}[key]
        check_number(value, argument=key, function=place, at_least=least, at_most=most)
        if value != int(value):
            raise ArgumentError(f"`{key}` of {place} must be a whole number; got {value}.")


def _checked_patch(
    name: str, patch_size: Sequence[int], spacing: Sequence[float] | None
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    patch = tuple(int(side) for side in patch_size)
    if len(patch) not in (2, 3) or min(patch) < 1:
        raise ArgumentError(f"`patch_size` of make_mask_model must be 2 or 3 numbers of pixels; got {patch_size!r}.")
    if len(patch) == 3 and name != PLAIN_UNET:
        raise ArgumentError(
            f'The model {name} takes images in 2-D; the patch {patch} has 3 axes. Use "unet", or patches of one slice.'
        )
    spaces = tuple(float(space) for space in spacing) if spacing is not None else (1.0,) * len(patch)
    if len(spaces) != len(patch) or not all(np.isfinite(space) and space > 0 for space in spaces):
        raise ArgumentError(
            f"`spacing` of make_mask_model must be {len(patch)} numbers above 0, one an axis of the patch; got "
            f"{spacing!r}."
        )
    return patch, spaces


def _load_dynunet() -> Any:
    try:
        from monai.networks.nets.dynunet import DynUNet  # MONAI takes seconds to load
    except ImportError as error:
        raise ArgumentError(
            "The model unet needs MONAI, which is not installed. Install it with: "
            'pip install "equipoise[segmentation]".'
        ) from error
    return DynUNet


def _make_decoder(
    decoder: str, backbone: str, channels: int, n_outputs: int, depth: int | None, imagenet: bool
) -> nn.Module:
    load_timm()
    try:
        import segmentation_models_pytorch as smp
    except ImportError as error:
        raise ArgumentError(
            "Models of masks with a backbone need segmentation-models-pytorch, which is not installed. Install it "
            'with: pip install "equipoise[segmentation]".'
        ) from error
    options: dict[str, Any] = {} if depth is None else {"encoder_depth": depth}
    if depth is not None and decoder in _LONG_DECODERS:
        options["decoder_channels"] = (256, 128, 64, 32, 16)[-depth:]
    try:
        made: nn.Module = smp.create_model(
            decoder, f"tu-{backbone}", encoder_weights="imagenet" if imagenet else None, in_channels=channels,
            classes=n_outputs, **options,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError, AssertionError) as error:
        reason = str(error).strip().split("\n", 1)[0].rstrip(".")
        raise ArgumentError(
            f"The backbone {backbone} gives no maps of features that the decoder {decoder} can use: {reason}. "
            "Choose a convolutional backbone, or another decoder."
        ) from error
    encoder = getattr(made.encoder, "model", None)
    if isinstance(encoder, nn.Module) and fixed_size(encoder) is not None:
        raise ArgumentError(
            f"The backbone {backbone} takes images of one size only, and masks come in patches of any. Choose a "
            "convolutional backbone."
        )
    return made
