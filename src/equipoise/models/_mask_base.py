"""What every model of masks is: one tensor in, logits of every pixel out."""

from __future__ import annotations

import abc
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from equipoise.models._base import Model


class MaskModel(Model, abc.ABC):
    """A model of masks. `forward` takes (images, channels, h, w) or (images, channels, d, h, w) float32.

    It returns logits (images, outputs, ...) of every pixel, at the size of the image whatever that is: where a side is
    no multiple of `divisor`, the image's edge is repeated and what comes of it is cut off again.

    Attributes:
        channels: of an image.
        axes: of space, 2 or 3.
        divisor: (axes,) what the sides of an image are multiples of inside; patches of such sides cost no padding.
        patch_size: (axes,) in pixels, what the model was laid out for.
        spacing: (axes,) size of a pixel along each axis, what the model was laid out for.
    """

    divisor: tuple[int, ...]

    def __init__(
        self,
        *,
        channels: int,
        n_outputs: int,
        multiclass: bool,
        patch_size: tuple[int, ...],
        spacing: tuple[float, ...],
        settings: dict[str, Any],
    ) -> None:
        super().__init__(n_outputs=n_outputs, multiclass=multiclass, settings=settings)
        self.channels, self.axes = channels, len(patch_size)
        self.patch_size, self.spacing = patch_size, spacing

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (images, outputs, ...), on the scale of the training prior."""
        return self.heads(images)[:, 0]

    def heads(self, images: Tensor) -> Tensor:
        """Return (images, heads, outputs, ...): the output first, then those of deep supervision, in training only."""
        padded = _padded(images, self.divisor)
        found = self.padded_heads(padded)
        if padded is images:
            return found
        whole = (slice(None),) * 3
        return found[whole + tuple(slice(side) for side in images.shape[2:])]

    @abc.abstractmethod
    def padded_heads(self, images: Tensor) -> Tensor:
        """Return what `heads` does, of images whose sides are multiples of `divisor`."""

    @property
    @abc.abstractmethod
    def head_biases(self) -> list[nn.Parameter]:
        """The biases of all heads, (outputs,) each, that of the output first."""

    @property
    def output_bias(self) -> nn.Parameter:
        """The bias of the output, (outputs,)."""
        return self.head_biases[0]

    @property
    def inputs(self) -> dict[str, Any]:
        """The channels of an image, and the patch and spacing that the model was laid out for."""
        return {"channels": self.channels, "patch_size": list(self.patch_size), "spacing": list(self.spacing)}


def _padded(images: Tensor, divisor: tuple[int, ...]) -> Tensor:
    """Return images whose edge is repeated until every side is a multiple of its divisor."""
    missing = [-side % unit for side, unit in zip(images.shape[2:], divisor, strict=True)]
    if not any(missing):
        return images
    # torch wants the last axis first, what is added before and after each.
    return functional.pad(images, [amount for one in reversed(missing) for amount in (0, one)], mode="replicate")
