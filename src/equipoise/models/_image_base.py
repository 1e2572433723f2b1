"""What every model of images is: one tensor in, logits out."""

from __future__ import annotations

import abc
from typing import Any

from torch import Tensor

from equipoise.models._base import Model


class ImageModel(Model, abc.ABC):
    """A model of images. `forward` takes (b, channels, h, w) float32, about zero mean and unit spread.

    It returns logits (b, outputs): a model of images holds no ensemble, and `submodels` is 1.

    Attributes:
        channels: of an image, 1 (grey) or 3 (colour).
    """

    def __init__(self, *, channels: int, n_outputs: int, multiclass: bool, settings: dict[str, Any]) -> None:
        super().__init__(n_outputs=n_outputs, multiclass=multiclass, settings=settings)
        self.channels = channels

    @abc.abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return logits, on the scale of the training prior."""

    @abc.abstractmethod
    def feature_map(self, images: Tensor) -> Tensor:
        """Return the last map of the backbone, (b, width, h, w)."""

    @abc.abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Return the map that is pooled for the answer, (b, width, h, w): after the attention, where there is one."""

    @property
    def inputs(self) -> dict[str, Any]:
        """The channels of an image."""
        return {"channels": self.channels}
