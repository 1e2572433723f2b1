"""What a model says of whole images: windows that slide, and what they say at the natural prevalence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._checks import DataError
from equipoise.balance import Ledger
from equipoise.data import PixelScale
from equipoise.data.volumes import Region, Volume, space_of
from equipoise.models import MaskModel
from equipoise.scores.record import sigmoid, softmax
from equipoise.training.sliding import Windows, plan_windows, sliding_blocks, sliding_logits

Read = Callable[[Region], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Looker:
    """A model of masks with all that makes probabilities of an image.

    Attributes:
        model: in evaluation. ledger: what takes corrections off again.
        scale: of the pixels. patch_size: of a window. overlap: share of it that the next one sees too.
        device: where the model is. exclusive: whether each pixel has one class.
    """

    model: MaskModel
    ledger: Ledger
    scale: PixelScale
    patch_size: tuple[int, ...]
    overlap: float
    device: torch.device
    exclusive: bool

    def parts(self, volume: Volume, read: Read) -> Iterator[tuple[Region, NDArray[np.float32]]]:
        """Yield (region of space, probabilities (classes, ...)) of an image, which together are the whole.

        Only as many rows of the first axis are in memory as a window has.

        Args:
            volume: the image.
            read: reads the pixels of a region of space, (channels, ...).
        """
        windows = self.windows(volume)
        rest = tuple(slice(0, side) for side in windows.space[1:])
        blocks = sliding_blocks(
            self.model, self.scaled(volume, read), windows, axes=len(self.patch_size), device=self.device
        )
        for rows, logits in blocks:
            yield (rows, *rest), self.natural(logits)

    def in_memory(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (classes, ...) of an image in memory, (channels, ...) and scaled already."""
        return self.natural(
            sliding_logits(self.model, scaled, self.patch_size, overlap=self.overlap, device=self.device)
        )

    def windows(self, volume: Volume) -> Windows:
        """Return where windows lie in an image."""
        return plan_windows(space_of(volume), self.patch_size, self.overlap)

    def scaled(self, volume: Volume, read: Read) -> Callable[[Region], NDArray[np.float32]]:
        """Return what reads the pixels of a region on the scale of the training.

        A pixel that is no finite number is a `DataError` where it is read: a model says anything of it.
        """
        scale = self.scale.for_image(volume)

        def scaled(region: Region) -> NDArray[np.float32]:
            found = scale.apply(read(region), 0)
            if volume.dtype.kind == "f" and not np.isfinite(found).all():
                raise DataError(
                    f"{volume.path} has pixels that are NaN or infinite, or beyond what 32 bits hold. Replace them, or "
                    "leave the image out."
                )
            return np.asarray(found)

        return scaled

    def natural(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities at the natural prevalence, (classes, ...) float32.

        Args:
            logits: (classes, ...).
        """
        if not self.ledger.corrections:
            values: Tensor = torch.from_numpy(np.ascontiguousarray(logits))
            return np.asarray((torch.softmax(values, 0) if self.exclusive else torch.sigmoid(values)).numpy())
        flat = self.ledger.to_natural(logits.reshape(len(logits), -1).T)
        found = np.asarray(softmax(flat) if self.exclusive else sigmoid(flat), np.float32)
        return np.ascontiguousarray(found.T).reshape(logits.shape)
