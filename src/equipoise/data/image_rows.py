"""Rows of images: read from the cache, varied by chance and scaled when their turn comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.data.rows import Batch, Rows

if TYPE_CHECKING:
    from equipoise.data.augment import Augmenter
    from equipoise.data.cache import ImageCache

_CPU = torch.device("cpu")


@final
@dataclass(frozen=True, eq=False)
class ImageRows(Rows):
    """Images of a cache with their labels. Order and parts are numbers; pixels are read by `load`.

    Attributes:
        cache: where the pixels are.
        rows: (rows,) int64, numbers of the images in the cache.
        answers: (rows,) or (rows, classes) float32 labels, NaN for unknown; on the CPU until they are loaded.
        plain: turns pixels into what the model takes, without chance.
        varied: the same with chance, as a function of row, epoch and draw; None: as `plain`.
        place: the device of what is loaded.
        epoch: which epoch `varied` shows, from 0; None: not an epoch of training, and `plain` is used.
        draws: (rows,) int64, how often the row stands earlier in the epoch: a row drawn twice is varied twice.
        entry_weights: (rows, classes) float32, or None.
        channels_last: whether images are laid out with the channels last in memory.
    """

    cache: ImageCache
    rows: Tensor
    answers: Tensor
    plain: Augmenter
    varied: Augmenter | None = None
    place: torch.device = _CPU
    epoch: int | None = None
    draws: Tensor | None = None
    entry_weights: Tensor | None = None
    channels_last: bool = False

    loads_slowly = True
    prediction_rows = 64

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Tensor:
        """(rows,) or (rows, classes) float32, on the CPU."""
        return self.answers

    @property
    def device(self) -> torch.device:
        """Where images are loaded to."""
        return self.place

    def take(self, index: Tensor) -> ImageRows:
        """The images at `index`, in that order."""
        index = index.cpu()
        return replace(self._each(lambda tensor: tensor[index]), draws=earlier_draws(index))

    def part(self, begin: int, end: int, stride: int = 1) -> ImageRows:
        """Every `stride`-th image from `begin` before `end`."""
        cut = slice(begin, end, stride)
        return self._each(lambda tensor: tensor[cut])

    def weighed(self, entry_weights: Tensor) -> ImageRows:
        """The same images with weights of their labels."""
        return replace(self, entry_weights=entry_weights.cpu())

    def to(self, device: torch.device) -> ImageRows:
        """The same images, loaded to a device."""
        return replace(self, place=device)

    def in_epoch(self, epoch: int) -> ImageRows:
        """The same images as an epoch shows them."""
        return replace(self, epoch=epoch)

    def load(self) -> Batch:
        """Read, vary and scale the images; everything is on the device."""
        pixels = torch.from_numpy(self.cache.read(self.rows.numpy())).permute(0, 3, 1, 2)
        images = self._prepared(pixels.to(self.place, non_blocking=True))
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        weights = None if self.entry_weights is None else self.entry_weights.to(self.place, non_blocking=True)
        return Batch((images,), self.answers.to(self.place, non_blocking=True), weights, self.rows)

    def _prepared(self, pixels: Tensor) -> Tensor:
        if self.epoch is None or self.varied is None:
            return self.plain(pixels, rows=self.rows.numpy(), epoch=0, draws=np.zeros(len(self), np.int64))
        draws = torch.zeros(len(self), dtype=torch.int64) if self.draws is None else self.draws
        return self.varied(pixels, rows=self.rows.numpy(), epoch=self.epoch, draws=draws.numpy())

    def _each(self, change: Callable[[Tensor], Tensor]) -> ImageRows:
        changed: dict[str, Any] = {"rows": change(self.rows), "answers": change(self.answers)}
        for name in ("draws", "entry_weights"):
            tensor = getattr(self, name)
            changed[name] = None if tensor is None else change(tensor)
        return replace(self, **changed)


def earlier_draws(index: Tensor) -> Tensor:
    """Return (n,) int64, how often each number stands earlier in `index`.

    >>> earlier_draws(torch.tensor([5, 3, 5, 5, 3])).tolist()
    [0, 0, 1, 2, 1]
    """
    values = index.numpy()
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)])
    counts = np.diff(np.append(begins, len(ordered)))
    earlier = np.empty(len(values), np.int64)
    earlier[order] = np.arange(len(values)) - np.repeat(begins, counts)
    return torch.from_numpy(earlier)


def identical_rows(cache: ImageCache, *, at_once: int = 256) -> list[NDArray[np.int64]]:
    """Return the groups of two or more rows of a cache whose finished pixels are all the same, in order.

    Args:
        cache: it is read once from beginning to end.
        at_once: rows read at once.
    """
    import hashlib

    first: dict[bytes, list[int]] = {}
    for begin in range(0, len(cache), at_once):
        numbers = np.arange(begin, min(begin + at_once, len(cache)))
        for number, pixels in zip(numbers.tolist(), cache.read(numbers), strict=True):
            first.setdefault(hashlib.blake2b(pixels.tobytes(), digest_size=16).digest(), []).append(number)
    return [np.array(rows) for rows in first.values() if len(rows) > 1]
