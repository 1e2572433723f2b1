"""Zarr arrays, read chunk by chunk."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError, RunError
from equipoise.data._volume_raw import AXES
from equipoise.data.volumes import Piece, Region, Volume, short_of

_MOST_CHUNKS = 1 << 24  # where each of them is looked for: a wrong shape would keep a census busy for ever


class ZarrSource:
    """A Zarr array."""

    def __init__(self, path: Path, array: Any) -> None:
        self._path, self._array = path, array

    def pieces(self, size: int) -> Iterator[Piece]:
        """See `Source`: as many chunks along the last axis as `size` holds, and at least one."""
        array = self._array
        chunk = tuple(getattr(array, "shards", None) or array.chunks)
        held = int(np.prod(chunk, dtype=np.int64)) * array.dtype.itemsize
        steps = (*chunk[:-1], chunk[-1] * max(1, size // max(1, held)))
        along = [
            [slice(start, min(start + step, length)) for start in range(0, length, step)]
            for length, step in zip(array.shape, steps, strict=True)
        ]
        for region in itertools.product(*along):
            yield Piece(region, partial(self.read_region, region))

    def read_region(self, region: Region) -> NDArray[Any]:
        """See `Source`."""
        try:
            return np.asarray(self._array[region])
        except Exception as error:  # every codec has errors of its own
            raise DataError(
                f"{self._path} does not decode at {region}: {short_of(error)}. Write the array again."
            ) from error


def open_zarr(path: Path) -> Volume:
    """Open the folder of a Zarr array, or of an OME-Zarr: its first, largest resolution."""
    try:
        import zarr
    except ImportError as error:
        raise RunError(
            f"{path} needs zarr, which could not be loaded: {error}. "
            "Install it with: pip install 'equipoise[segmentation]'."
        ) from error
    try:
        found: Any = zarr.open(str(path), mode="r")
        attributes: dict[str, Any] = dict(found.attrs)
        scales = (attributes.get("ome") or attributes).get("multiscales")
        array: Any = found
        if isinstance(found, zarr.Group):
            names = [str(scales[0]["datasets"][0]["path"])] if scales else sorted(found.array_keys())
            if len(names) != 1:
                raise DataError(
                    f"{path} is a Zarr group with {len(names)} arrays. Name the array inside it: {path}/NAME."
                )
            array = found[names[0]]
    except DataError:
        raise
    except Exception as error:  # metadata may hold anything
        raise DataError(f"{path} is no Zarr array that can be read: {short_of(error)}. Check the path.") from error
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "biuf" or array.ndim == 0:
        raise DataError(f"{path} holds {dtype} of shape {array.shape}. Write an array of numbers.")
    shape = tuple(map(int, array.shape))
    if math.prod(-(-length // step) for length, step in zip(shape, array.chunks, strict=True)) > _MOST_CHUNKS:
        raise DataError(f"{path} says that its shape is {shape}, in chunks of {array.chunks}. Correct its metadata.")
    axes, spacing = _axes(scales, len(shape))
    return Volume(path, shape, dtype, axes, ZarrSource(path, array), "zarr", spacing)


def _axes(scales: Any, dimensions: int) -> tuple[str, tuple[float, ...] | None]:
    try:
        axes = "".join(str(axis["name"])[:1].upper() for axis in scales[0]["axes"])
        changes = scales[0]["datasets"][0]["coordinateTransformations"]
        scale = next(tuple(map(float, change["scale"])) for change in changes if change["type"] == "scale")
        if len(axes) == dimensions == len(scale):
            return axes, scale
    except (KeyError, TypeError, IndexError, StopIteration, ValueError):
        pass
    return AXES.get(dimensions, "Q" * (dimensions - 4) + "TZYX"), None
