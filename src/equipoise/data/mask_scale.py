"""The scale of pixels: mean and spread of the training images together, or of each image by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError, check_one_of
from equipoise.data.mask_pairs import MaskPairs
from equipoise.data.volumes import Volume, open_volume

SCALES = ("dataset", "image")
_LEAST = 1e-6
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class PixelScale:
    """What makes pixels of about zero mean and unit spread: ``(x - mean) / std``.

    Attributes:
        kind: ``"dataset"``, one for all images (photographs, X-rays, CT: a value means the same everywhere), or
            ``"image"``, each by its own (MRI).
        mean: (channels,), or (images, channels) of those that were measured.
        std: likewise.
    """

    kind: str
    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def apply(self, pixels: NDArray[Any], image: int) -> NDArray[np.float32]:
        """Return pixels (channels, ...) of the image of that number on the scale, as float32."""
        mean, std = (self.mean, self.std) if self.kind == "dataset" else (self.mean[image], self.std[image])
        axes = (-1, *(1,) * (pixels.ndim - 1))
        scaled = pixels.astype(np.float32)
        scaled -= mean.astype(np.float32).reshape(axes)
        scaled /= std.astype(np.float32).reshape(axes)
        return scaled

    def for_image(self, volume: Volume) -> PixelScale:
        """Return the scale of another image, as one image: measured where the kind is ``"image"``."""
        return self if self.kind == "dataset" else PixelScale("dataset", *_finished(_sums(volume), volume))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; of ``"image"`` only the kind, since other images have their own."""
        if self.kind == "image":
            return {"kind": self.kind, "mean": None, "std": None}
        return {"kind": self.kind, "mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_dict(cls, stored: Any) -> PixelScale:
        """Return the scale that `to_dict` wrote.

        Raises:
            DataError: it is none.
        """
        try:
            check_one_of(stored["kind"], SCALES, argument="kind", function="PixelScale")
            empty = np.zeros((0, 1))
            mean, std = (empty if stored[name] is None else np.array(stored[name], float) for name in ("mean", "std"))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"This is no scale of pixels: {error}. Train again.") from error
        return cls(stored["kind"], mean, std)


def measure_scale(pairs: MaskPairs, kind: str = "dataset") -> PixelScale:
    """Return the scale of the pixels of images, read in blocks.

    Args:
        pairs: of the training role.
        kind: ``"dataset"`` or ``"image"``.

    Raises:
        DataError: a pixel is no finite number; the message names the image.
    """
    check_one_of(kind, SCALES, argument="kind", function="measure_scale")
    volumes = [open_volume(path) for path in pairs.images]
    sums = [_sums(volume) for volume in volumes]
    if kind == "dataset":
        return PixelScale(kind, *_finished(np.sum(sums, axis=0), volumes[0]))
    each = [_finished(one, volume) for one, volume in zip(sums, volumes, strict=True)]
    return PixelScale(kind, np.stack([mean for mean, _ in each]), np.stack([std for _, std in each]))


def require_finite(pairs: MaskPairs) -> None:
    """Raise where an image of floats holds a pixel that is no finite number; other types cannot.

    Raises:
        DataError: the message names the image.
    """
    for path in pairs.images:
        volume = open_volume(path)
        if volume.dtype.kind == "f":
            for _, block in volume.blocks():
                _require_finite(volume, block)


def _require_finite(volume: Volume, values: NDArray[Any]) -> None:
    finite = np.abs(values) <= _LARGEST  # NaN is not
    if not finite.all():
        raise DataError(
            f"{volume.path} has {int((~finite).sum()):,} pixels that are NaN, infinite or beyond what 32 bits hold. "
            "Replace them, or leave the image out."
        )


def _sums(volume: Volume) -> NDArray[np.float64]:
    """Return (3, channels): number, sum and sum of squares of the pixels of each channel."""
    place = volume.axes.index("S") if "S" in volume.axes else None
    total = np.zeros((3, volume.channels))
    for region, block in volume.blocks():
        values = block.astype(np.float64)
        _require_finite(volume, values)
        chosen: slice = slice(0, 1) if place is None else region[place]
        values = (
            values.reshape(1, -1) if place is None else np.moveaxis(values, place, 0).reshape(block.shape[place], -1)
        )
        total[:, chosen] += np.stack([np.full(len(values), values.shape[1]), values.sum(1), np.square(values).sum(1)])
    return total


def _finished(sums: NDArray[np.float64], volume: Volume) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count, total, squares = sums
    if not count.all():
        raise DataError(f"{volume.path} has no pixel. Leave the image out.")
    mean = total / count
    # A constant image has no spread: it is shifted to zero and left as it is.
    variance = np.maximum(squares / count - np.square(mean), 0.0)
    return mean, np.where(variance > _LEAST * np.maximum(1.0, np.square(mean)) * 1e-6, np.sqrt(variance), 1.0)
