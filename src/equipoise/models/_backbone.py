"""Backbones of timm: made by name, cut to what the last map needs, and given pretrained weights."""

from __future__ import annotations

import contextlib
import difflib
import struct
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from equipoise._checks import ArgumentError, DataError, RunError, listed

if TYPE_CHECKING:
    from types import ModuleType

# What torch raises for files that are not what they say, besides its own UnpicklingError.
_UNREADABLE = (
    OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, MemoryError,
    OverflowError, struct.error, SafetensorError,
)  # fmt: skip
_PROBE = 96  # pixels: enough for every stride of timm's convolutions


def load_timm() -> ModuleType:
    """Return timm, or say how to get it."""
    try:
        import timm
    except ImportError as error:
        raise ArgumentError(
            'Models of images need timm, which is not installed. Install it with: pip install "equipoise[images]".'
        ) from error
    return timm


def check_backbone(name: str) -> None:
    """Raise `ArgumentError` with the nearest names unless timm has the backbone `name` (and weights of its tag)."""
    timm = load_timm()
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = _nearest_names(architecture, timm.list_models())
        raise ArgumentError(
            f'There is no backbone "{architecture}" in timm {timm.__version__}.'
            + (f" The nearest are {listed(near)}." if near else "")
            + " `timm.list_models()` has them all; attention is added by the endings _mhsa and _performer."
        )
    known = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")] if tag else []
    if tag and tag not in known:
        raise ArgumentError(
            f'The backbone {architecture} has no weights tagged "{tag}". It has {listed(known) or "none"}.'
        )


def _nearest_names(name: str, known: list[str]) -> list[str]:
    """Return the three nearest of `known`; of those equally near, the first by the alphabet."""
    alike = difflib.get_close_matches(name, known, n=30)
    return sorted(alike, key=lambda one: (-difflib.SequenceMatcher(None, one, name).ratio(), one))[:3]


def make_backbone(name: str, *, channels: int, drop_path: float, pooled: bool, imagenet: bool = False) -> nn.Module:
    """Return the backbone without its classifier.

    Args:
        name: timm's.
        channels: of an image; weights of colour images are summed over colours for one grey channel.
        drop_path: share of residual branches skipped in training.
        pooled: with timm's own pooling and everything behind it but the classifier; else for its last map only.
        imagenet: with timm's pretrained weights, from its cache or the network.

    Raises:
        ArgumentError: the backbone cannot drop paths, or has no pretrained weights.
        RunError: the pretrained weights could not be fetched.
    """
    timm = load_timm()
    options: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    options |= {} if pooled else {"global_pool": ""}
    options |= {"drop_path_rate": drop_path} if drop_path else {}
    if imagenet and not timm.models.is_model_pretrained(name):
        raise ArgumentError(f'timm has no pretrained weights of {name}. Give a file of weights, or pretrained="none".')
    cfg = timm.models.get_pretrained_cfg(name)
    # Transformers of one image size take any where timm lets them; those that do not say so by a TypeError.
    tries = [options | {"dynamic_img_size": True}] if cfg is not None and cfg.fixed_input_size else []
    for attempt in [*tries, options]:
        try:
            made: nn.Module = timm.create_model(name, pretrained=imagenet, **attempt)
        except TypeError as error:
            refused = str(error)
        except Exception as error:
            if imagenet:  # what a network raises depends on the libraries below timm
                raise _not_fetched(name, error) from error
            raise
        else:
            return made
    if "drop_path" in refused:
        raise ArgumentError(f"The backbone {name} cannot drop paths. Leave `drop_path` out.")
    raise ArgumentError(f"timm could not make the backbone {name}: {refused}. Choose another backbone.")


def _not_fetched(name: str, error: Exception) -> RunError:
    reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
    return RunError(
        f"The ImageNet weights of {name} could not be fetched: {reason.rstrip('.')}. Without a network, give a file of "
        f"them: pretrained=FILE.safetensors (or .pth), saved from timm.create_model({name!r}, pretrained=True) "
        'elsewhere; or train from random weights with pretrained="none".'
    )


def check_size_fits(name: str, *, channels: int, size: int) -> None:
    """Raise `ArgumentError` unless the backbone takes images of `size` by `size` pixels.

    Backbones of convolutions take any; of those that cut images into patches one without weights is made and tried.
    """
    cfg = load_timm().models.get_pretrained_cfg(name)
    if cfg is None or not cfg.fixed_input_size:
        return
    with torch.device("meta"), torch.no_grad(), refusing_sizes(name, size):
        backbone = make_backbone(name, channels=channels, drop_path=0.0, pooled=True).eval()
        backbone(torch.zeros(1, channels, size, size))


@contextlib.contextmanager
def refusing_sizes(name: str, size: int) -> Iterator[None]:
    """Turn what a backbone raises for images of a size that it does not take into `ArgumentError`."""
    try:
        yield
    except (AssertionError, RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, ArgumentError | RunError):
            raise
        reason = str(error).strip().split("\n", 1)[0].rstrip(".")
        raise ArgumentError(
            f"The backbone {name} takes no images of {size} by {size} pixels: {reason}. Choose another size "
            "(images.size), such as 224, or a convolutional backbone."
        ) from error


def fixed_size(backbone: nn.Module) -> int | None:
    """Return the only image size in pixels that the backbone takes, or None where any will do."""
    patches = getattr(backbone, "patch_embed", None)
    if patches is None or getattr(patches, "dynamic_img_pad", False) or not getattr(patches, "strict_img_size", False):
        return None
    size = getattr(patches, "img_size", None)
    return None if size is None else int(size[0])


def last_map(backbone: nn.Module, images: Tensor) -> Tensor:
    """Return the last map of the backbone, (b, width, h, w), before pooling and whatever timm puts behind it."""
    found: Tensor = backbone.forward_features(images)  # type: ignore[operator]
    if found.dim() == 4:
        return found.permute(0, 3, 1, 2) if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else found
    tokens = found[:, int(getattr(backbone, "num_prefix_tokens", 0)) :]
    rows = max(1, round((tokens.shape[1] * images.shape[2] / images.shape[3]) ** 0.5))
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], rows, -1)


def keep_what_the_map_needs(backbone: nn.Module, name: str, channels: int) -> int:
    """Replace modules that the last map does not depend on by nothing; return the width of the map.

    What timm puts behind the pooling (the wide layer of MobileNetV3, the norm of ConvNeXt) would otherwise be
    parameters that are stored, counted and decayed, and never learn.

    Raises:
        ArgumentError: the backbone has no map of features.
    """
    size = fixed_size(backbone) or _PROBE
    parameters = dict(backbone.named_parameters())
    training = backbone.training
    backbone.eval()  # no statistics are updated and no random number is drawn
    try:
        with torch.enable_grad():
            found = last_map(backbone, next(iter(parameters.values())).new_zeros(1, channels, size, size))
            gradients = torch.autograd.grad(found.sum(), list(parameters.values()), allow_unused=True)
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, AssertionError) as error:
        raise ArgumentError(
            f"The backbone {name} gives no map of features that attention could look at. "
            "Choose a convolutional backbone, or this one by its plain name."
        ) from error
    finally:
        backbone.train(training)
    used = {key for key, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
    _cut(backbone, "", used)
    return int(found.shape[1])


def _cut(module: nn.Module, prefix: str, used: set[str]) -> None:
    for name, child in list(module.named_children()):
        inside = [f"{prefix}{name}.{key}" for key, _ in child.named_parameters()]
        if inside and not used.intersection(inside):
            setattr(module, name, nn.Identity())
        elif inside:
            _cut(child, f"{prefix}{name}.", used)


def load_weights(backbone: nn.Module, path: Path, name: str, channels: int) -> None:
    """Give the backbone the weights of a local file, in timm's names; its classifier and what was cut are left out.

    A file of a model of Equipoise will do too: its backbone is taken.

    Args:
        backbone: of `make_backbone`.
        path: .safetensors, or .pth or .pt, which is read without running what it holds.
        name: timm's, for the first layer and the messages.
        channels: weights of colour images are summed over colours for one grey channel.

    Raises:
        DataError: the file cannot be read, or its names or shapes are of another model.
    """
    timm = load_timm()
    weights = _read_weights(path)
    wanted = backbone.state_dict()
    cfg = timm.models.get_pretrained_cfg(name)
    first = cfg.first_conv if cfg is not None and cfg.first_conv else ()
    for layer in (first,) if isinstance(first, str) else first:
        key = f"{layer}.weight"
        if key in weights and key in wanted and weights[key].dim() == 4 and weights[key].shape[1] == 3:
            weights[key] = timm.models.adapt_input_conv(channels, weights[key])
    missing = [key for key in wanted if key not in weights]
    if missing:
        strange = [key for key in weights if key not in wanted]
        near = f" It has {listed(strange, limit=3)}." if strange else ""
        raise DataError(
            f"{path} has no weights for {listed(missing, limit=3)} of {name} in timm {timm.__version__}.{near} "
            "Give a file saved from this backbone."
        )
    other = [key for key in wanted if wanted[key].shape != weights[key].shape]
    if other:
        key = other[0]
        raise DataError(
            f'{path}: "{key}" has shape {tuple(weights[key].shape)}, {name} needs {tuple(wanted[key].shape)} '
            f"({len(other)} of {len(wanted)} differ). Give a file saved from this backbone."
        )
    _check_numbers(weights, wanted, path)
    backbone.load_state_dict({key: weights[key] for key in wanted})


def _check_numbers(weights: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    """Raise `DataError` where a weight is no finite number: training would only find that out, or never."""
    for key, value in wanted.items():
        found, real = weights[key], value.is_floating_point()
        if found.is_complex() or (real and not found.is_floating_point()):
            kind = str(found.dtype).removeprefix("torch.")
            raise DataError(
                f'{path}: "{key}" holds {kind}, where floating-point numbers are needed. Save the weights as float32.'
            )
        if real and not bool(torch.isfinite(found.float()).all()):
            raise DataError(f'{path}: "{key}" holds numbers that are not finite. Give weights of a sound training.')


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, without what wrappers put before the names."""
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise _unreadable(path, "it is damaged, or holds more than tensors, which would have to be run") from error
    except _UNREADABLE as error:
        reason = str(error).strip().split("\n", 1)[0].rstrip(".") or "it is empty or cut short"
        raise _unreadable(path, reason) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    tensors = (
        {key: value for key, value in found.items() if isinstance(key, str) and _is_plain(value)}
        if isinstance(found, dict)
        else {}
    )
    if not tensors:
        raise DataError(
            f"{path} holds no tensors by name (sparse and quantised ones do not count). Give a file of weights, such "
            "as a state_dict."
        )
    for prefix in ("module.", "backbone."):
        if any(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return tensors


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} could not be read as weights: {reason}. Give a .safetensors file, or a .pth file that holds "
        "tensors by name and nothing that would have to be run."
    )


def _is_plain(value: object) -> bool:
    """Return whether a value is a tensor whose numbers are all there, one after another."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta and not value.is_quantized
