"""Patches of images and masks, cut where the plan says, padded by a stated rule, scaled and varied alike."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._checks import ArgumentError, DataError
from equipoise._counter import key_of, random_units
from equipoise.data.mask_pairs import MaskPairs, unknown_to_negative
from equipoise.data.mask_scale import PixelScale
from equipoise.labels.mask_classes import IGNORED

if TYPE_CHECKING:
    from equipoise.data.augment_masks import MaskAugmenter
    from equipoise.data.mask_index import LocationIndex

_MEMORY = 1 << 30  # bytes of decoded images that are kept
_JITTER = 0.25  # of a patch: how far from its middle the place may lie that it was drawn for


@runtime_checkable
class Drawn(Protocol):
    """What is drawn: see `equipoise.samplers.PatchDraws`."""

    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def numbers(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def images(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def targets(self) -> NDArray[np.int64]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class MaskBatch:
    """Some patches.

    Attributes:
        images: (patches, channels, ...) float32, scaled.
        labels: (patches, ...) int64 class indices, or (patches, classes, ...) float32 of overlapping classes; below 0
            where nothing is known. What `MaskLoss` takes.
        rows: (patches,) int64 numbers of the images.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor

    def to(self, device: torch.device | str) -> MaskBatch:
        """Return the batch on a device; the numbers of the images stay."""
        return MaskBatch(self.images.to(device), self.labels.to(device), self.rows)


class MaskPatches:
    """Cuts patches out of images and their masks.

    What a draw gives is a pure function of (seed, epoch, number of the draw): not of the batch it is in or of where a
    run was resumed. Only the patch is read of an image that does not fit into `memory`; smaller ones are kept decoded,
    the last used longest.

    A patch that is larger than its image is padded: the image by its repeated edge, the mask by "unknown", so that
    nothing that was made up gives a gradient. In 2-D patches of images in 3-D are slices across the first axis.

    Args:
        pairs: of the training role.
        index: of the same pairs, from `index_locations`.
        patch_size: pixels along each axis, 2 or 3.
        scale: of the pixels, from `measure_scale`.
        seed: of the run.
        augmenter: what varies patches, from `make_mask_augmenter`; None for nothing.
        memory: bytes of decoded images and masks that are kept.

    Raises:
        ArgumentError: the patch has more axes than the images, or the index is of other pairs.
    """

    def __init__(
        self,
        pairs: MaskPairs,
        index: LocationIndex,
        *,
        patch_size: Sequence[int],
        scale: PixelScale,
        seed: int = 0,
        augmenter: MaskAugmenter | None = None,
        memory: int = _MEMORY,
    ) -> None:
        if len(index.counts) != len(pairs):
            raise ArgumentError(
                f"The index is of {len(index.counts)} images, the pairs are {len(pairs)}. Index these pairs."
            )
        self.pairs, self.index, self.scale, self.seed = pairs, index, scale, int(seed)
        self.patch_size = tuple(int(side) for side in patch_size)
        self.augmenter = augmenter
        self.spaces = [pairs.space(place) for place in range(len(pairs))]
        for space, name in zip(self.spaces, pairs.ids, strict=True):
            if not len(self.patch_size) <= len(space) <= len(self.patch_size) + 1 or len(self.patch_size) < 2:
                raise ArgumentError(
                    f"A patch of {self.patch_size} cannot be cut out of {name}, whose size is {space}. Give a patch of "
                    f"{len(space)} sides."
                )
        self._kept: OrderedDict[int, tuple[NDArray[Any], NDArray[np.uint8]]] = OrderedDict()
        self._memory, self._held = int(memory), 0
        self._lock = threading.Lock()

    def load(self, drawn: Drawn, device: torch.device | str = "cpu") -> MaskBatch:
        """Return the patches of some draws, varied where there is an augmenter. Several threads may call it.

        Args:
            drawn: which patches.
            device: where they are varied and handed out.

        Raises:
            DataError: a file cannot be read, or an image has a pixel that is no finite number.
        """
        cut = [
            self.cut(int(image), self._start(int(image), int(target), drawn.epoch, int(number)))
            for image, target, number in zip(drawn.images, drawn.targets, drawn.numbers, strict=True)
        ]
        images = torch.from_numpy(np.stack([image for image, _ in cut])).to(device, non_blocking=True)
        masks = torch.from_numpy(unknown_to_negative(np.stack([mask for _, mask in cut]))).to(device, non_blocking=True)
        if self.augmenter is not None:
            images, masks = self.augmenter(images, masks, epoch=drawn.epoch, draws=drawn.numbers)
        labels = masks.long() if self.pairs.classes.exclusive else masks.float()
        return MaskBatch(images, labels, torch.from_numpy(np.asarray(drawn.images, np.int64)))

    def cut(self, image: int, start: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return a patch of an image, (channels, ...) float32 and scaled, and of its mask, 255 where unknown.

        Args:
            image: number of the image.
            start: (axes of the image,) where the patch begins; may lie outside, which is padded.
        """
        space = self.spaces[image]
        sides = self._sides(space)
        begin = [max(0, one) for one in start]
        end = [min(length, one + side) for one, side, length in zip(start, sides, space, strict=True)]
        region = tuple(slice(one, other) for one, other in zip(begin, end, strict=True))
        pixels, mask = self._read(image, region)
        scaled = self.scale.apply(pixels, image)
        if not np.isfinite(scaled).all():
            raise DataError(
                f"{self.pairs.images[image]} has {int((~np.isfinite(scaled)).sum()):,} pixels in a patch that are no "
                "finite number. Replace NaN in the image, or leave it out."
            )
        pads = [(b - s, s + side - e) for b, s, side, e in zip(begin, start, sides, end, strict=True)]
        if any(amount for pair in pads for amount in pair):
            scaled = np.pad(scaled, [(0, 0), *pads], mode="edge")
            extra = mask.ndim - len(space)
            mask = np.pad(mask, [(0, 0)] * extra + pads, constant_values=IGNORED)
        if len(sides) > len(self.patch_size):  # a slice
            scaled, mask = scaled[:, 0], np.take(mask, 0, axis=mask.ndim - len(sides))
        return scaled, mask

    def _sides(self, space: tuple[int, ...]) -> tuple[int, ...]:
        return (1,) * (len(space) - len(self.patch_size)) + self.patch_size

    def _start(self, image: int, target: int, epoch: int, number: int) -> tuple[int, ...]:
        """Return where the patch of a draw begins."""
        space = self.spaces[image]
        sides = self._sides(space)
        units = random_units(key_of(self.seed, epoch, "patch", number), np.arange(1 + len(space)))
        free = [length - side for length, side in zip(space, sides, strict=True)]
        places = self.index.places_of(image, target) if target >= 0 else ()
        if not len(places):
            return tuple(
                int(unit * (room + 1)) if room >= 0 else -(-room // 2)
                for unit, room in zip(units[1:].tolist(), free, strict=True)
            )
        at = np.unravel_index(int(places[int(units[0] * len(places))]), space)
        start = []
        for place, side, room, unit in zip(at, sides, free, units[1:].tolist(), strict=True):
            aimed = round(int(place) - side / 2 + (2 * unit - 1) * _JITTER * side)
            aimed = min(
                max(aimed, int(place) - side + 1), int(place)
            )  # the place lies in the patch whatever is rounded
            start.append(min(max(aimed, 0), room) if room >= 0 else -(-room // 2))
        return tuple(start)

    def _read(self, image: int, region: tuple[slice, ...]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        # 8 bytes a pixel is more than most images take; those that could fill a quarter are read by the patch.
        if 8 * int(np.prod(self.spaces[image])) > self._memory // 4:
            return self.pairs.read_image(image, region), self.pairs.read_mask(image, region)
        with self._lock:
            found = self._kept.get(image)
            if found is not None:
                self._kept.move_to_end(image)
        if found is None:
            found = self.pairs.read_image(image), self.pairs.read_mask(image)
            self._keep(image, *found)
        pixels, mask = found
        layers = (slice(None),) * (mask.ndim - len(region))
        return pixels[(slice(None), *region)], mask[layers + region]

    def _keep(self, image: int, pixels: NDArray[Any], mask: NDArray[np.uint8]) -> None:
        with self._lock:
            if image in self._kept:  # another thread was as fast
                return
            self._kept[image] = (pixels, mask)
            self._held += pixels.nbytes + mask.nbytes
            while self._held > self._memory and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._held -= sum(one.nbytes for one in dropped)


def count_drawn(batch: MaskBatch, classes: int) -> NDArray[np.int64]:
    """Return (classes,) pixels of each class in a batch: what patches show is not what images hold."""
    labels = batch.labels
    if labels.is_floating_point():
        axes = [axis for axis in range(labels.dim()) if axis != 1]
        return np.asarray((labels == 1).sum(axes).cpu().numpy(), np.int64)
    return np.asarray(torch.bincount(labels[labels >= 0].flatten(), minlength=classes).cpu().numpy(), np.int64)
