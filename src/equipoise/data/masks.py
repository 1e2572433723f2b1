"""Masks: opened like any volume, with colours refused or told apart, and read as the indices of their classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError
from equipoise.data.volumes import Piece, Region, Source, Volume, open_volume
from equipoise.labels.mask_classes import MaskClasses

_FEW_COLOURS = 6


def open_mask(path: str | Path, *, colours: bool = False) -> Volume:
    """Return an opened mask: `open_volume` with one value a pixel.

    A mask saved as RGB whose channels are equal has one value a pixel. Of real colours the value is 0xRRGGBB, when they
    are asked for; a palette's values are its numbers, which need no such thing.

    Args:
        path: see `open_volume`.
        colours: whether a mask of colours may be read, as uint32 0xRRGGBB.

    Raises:
        DataError: as `open_volume`, or the mask has colours and `colours` is not set.
    """
    volume = open_volume(path)
    if "S" not in volume.axes:
        return volume
    samples = volume.channels
    if not volume.axes.endswith("S") or samples > 4 or volume.dtype.itemsize > 1:
        raise DataError(
            f"{path} has {samples} channels of {volume.dtype}, and a mask has one. Save one mask for each class."
        )
    source = ColourSource(volume, colours)
    notes = volume.notes
    if not colours:
        notes += (f"{volume.path.name} is saved as RGB; its channels are equal, and one of them is read.",)
    dtype = np.dtype(np.uint32) if colours else volume.dtype
    spacing = None if volume.spacing is None else volume.spacing[:-1]
    return dataclasses.replace(
        volume, shape=volume.shape[:-1], axes=volume.axes[:-1], dtype=dtype, source=source, notes=notes, spacing=spacing
    )


def read_mask(
    path: str | Path, classes: MaskClasses | None = None, *, colours: bool = False, region: Region = ()
) -> NDArray[Any]:
    """Read a mask: its values, or with `classes` the class index of each pixel (uint8, 255 where unknown).

    Args:
        path: see `open_volume`.
        classes: what the values mean; None: the values as they are.
        colours: see `open_mask`.
        region: see `Volume.read_region`; the whole by default.

    Raises:
        DataError: as `open_mask`, or with `classes` a pixel has a value that is no class.

    Example:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name, "mask.npy")
        >>> np.save(path, np.array([[0, 255], [255, 0]], np.uint8))
        >>> read_mask(path, MaskClasses.from_values({"background": 0, "lesion": 255})).tolist()
        [[0, 1], [1, 0]]
        >>> folder.cleanup()
    """
    values = open_mask(path, colours=colours).read_region(region)
    return values if classes is None else classes.indices(values, source=str(path))


def read_masks(
    paths: Mapping[str, str | Path | None], classes: MaskClasses, *, shape: tuple[int, ...] | None = None
) -> NDArray[np.uint8]:
    """Read the binary masks of one image, one for each class: (classes, ...), 1 where the class is, 255 where unknown.

    Args:
        paths: class name -> its mask; None or "" where the image has none of the class.
        classes: from `MaskClasses.from_columns`.
        shape: of the image. Needed where no class has a mask, and checked otherwise.

    Raises:
        DataError: masks of one image differ in shape, or have another than the image.
        ArgumentError: no mask and no shape is given.
    """
    found: dict[str, NDArray[np.uint8]] = {
        name: read_mask(path, classes) for name in classes.names if (path := paths.get(name))
    }
    sizes = {name: mask.shape for name, mask in found.items()}
    wanted = shape if shape is not None else next(iter(sizes.values()), None)
    if wanted is None:
        raise ArgumentError("`shape` of read_masks must be given for an image without a single mask.")
    for name, size in sizes.items():
        if size != wanted:
            raise DataError(
                f"{paths[name]} has the shape {size}, but its image {wanted}. Save the mask at the image's size."
            )
    return np.stack([found.get(name, np.zeros(wanted, np.uint8)) for name in classes.names])


class ColourSource:
    """A mask of three or four channels as one value a pixel: the common value, or 0xRRGGBB. Opacity is left aside."""

    def __init__(self, volume: Volume, colours: bool) -> None:
        self._source: Source = volume.source
        self._path, self._channels, self._colours = volume.path, volume.channels, colours

    def pieces(self, size: int) -> Iterator[Piece]:
        """See `Source`."""
        for piece in self._source.pieces(size * self._channels):
            yield Piece(piece.region[:-1], partial(self._read_one, piece))

    def read_region(self, region: Region) -> NDArray[Any]:
        """See `Source`."""
        return self._one(self._source.read_region((*region, slice(0, self._channels))))

    def _read_one(self, piece: Piece) -> NDArray[Any]:
        return self._one(piece.read())

    def _one(self, pixels: NDArray[Any]) -> NDArray[Any]:
        shown = pixels if self._channels in (1, 3) else pixels[..., : self._channels - 1]
        if self._colours:
            code = np.zeros(shown.shape[:-1], np.uint32)
            for channel in np.moveaxis(shown if shown.shape[-1] == 3 else np.repeat(shown[..., :1], 3, -1), -1, 0):
                code = (code << np.uint32(8)) | channel
            return code
        if (shown != shown[..., :1]).any():
            code = np.unique(shown.reshape(-1, shown.shape[-1]), axis=0)
            named = ", ".join("#" + bytes(colour.tolist()).hex() for colour in code[:_FEW_COLOURS])
            raise DataError(
                f"{self._path} is a mask of colours ({named}{', ...' if len(code) > _FEW_COLOURS else ''}). Say which "
                'colour is which class, such as lesion="#ff0000", or save one number a pixel.'
            )
        return np.ascontiguousarray(shown[..., 0])
