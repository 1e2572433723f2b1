"""Patches as rows of the training loop: the draws of an epoch, cut when their turn comes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from equipoise.data import MaskPatches
from equipoise.data.rows import Batch, Rows
from equipoise.samplers import PatchDraws, PatchStream

_CPU = torch.device("cpu")


@final
@dataclass(frozen=True, eq=False)
class PatchRows(Rows):
    """The draws of an epoch, by their numbers; which patch each is, is a function of seed, epoch and number.

    Attributes:
        patches: cuts them. stream: says what is drawn.
        numbers: (draws,) int64 on the CPU.
        place: the device of what is loaded.
        epoch: from 0.
    """

    patches: MaskPatches
    stream: PatchStream
    numbers: Tensor
    place: torch.device = _CPU
    epoch: int = 0

    loads_slowly = True
    prediction_rows = 8

    @classmethod
    def of_epoch(cls, patches: MaskPatches, stream: PatchStream) -> PatchRows:
        """Return all draws of an epoch, in order."""
        return cls(patches, stream, torch.arange(stream.draws))

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def labels(self) -> Tensor:
        """(draws,) ones: a step divides by its patches, each of which counts its own pixels."""
        return torch.ones(len(self.numbers))

    @property
    def device(self) -> torch.device:
        """Where patches are loaded to."""
        return self.place

    def take(self, index: Tensor) -> PatchRows:
        """The draws at `index`, in that order."""
        return replace(self, numbers=self.numbers[index.cpu()])

    def part(self, begin: int, end: int, stride: int = 1) -> PatchRows:
        """Every `stride`-th draw from `begin` before `end`."""
        return replace(self, numbers=self.numbers[begin:end:stride])

    def weighed(self, entry_weights: Tensor) -> PatchRows:
        """Never: patches are weighed by pixel, in their loss."""
        raise NotImplementedError("patches have no weights of rows")

    def to(self, device: torch.device) -> PatchRows:
        """The same draws, loaded to a device."""
        return replace(self, place=device)

    def in_epoch(self, epoch: int) -> PatchRows:
        """The draws of the same numbers of another epoch."""
        return replace(self, epoch=epoch)

    def load(self) -> Batch:
        """Cut, scale and vary the patches."""
        numbers = self.numbers.numpy()
        first, last = int(numbers.min()), int(numbers.max())
        drawn = self.stream.patches(self.epoch, first, last + 1)
        chosen = numbers - first
        found = self.patches.load(
            PatchDraws(self.epoch, np.asarray(numbers, np.int64), drawn.images[chosen], drawn.targets[chosen]),
            self.place,
        )
        return Batch((found.images,), found.labels, None, found.rows)
