"""Pixels that lie in a file as they lie in memory: `.npy`, and TIFF without compression."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError
from equipoise.data.volumes import Piece, Region, Volume, even_pieces, extent, short_of

AXES = {1: "X", 2: "YX", 3: "ZYX", 4: "TZYX"}


class RawSource:
    """An array at an offset of a file. Reading it copies: a mapped file would count as memory of this process."""

    def __init__(
        self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], *, fortran: bool = False
    ) -> None:
        needed = offset + math.prod(shape) * dtype.itemsize
        held = path.stat().st_size
        if held < needed:
            raise DataError(f"{path} ends early: {held:,} of {needed:,} bytes. Copy or write the file again.")
        self._path, self._offset, self._shape, self._dtype, self._fortran = path, offset, shape, dtype, fortran

    def pieces(self, size: int) -> Iterator[Piece]:
        """See `Source`."""
        shape = self._shape[::-1] if self._fortran else self._shape
        for region in even_pieces(shape, self._dtype.itemsize, size):
            turned = region[::-1] if self._fortran else region
            yield Piece(turned, partial(self._read_run, region))

    def _read_run(self, region: Region) -> NDArray[Any]:
        shape = self._shape[::-1] if self._fortran else self._shape
        first = int(np.ravel_multi_index([part.start for part in region], shape)) if shape else 0
        run = np.empty(extent(region), self._dtype)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            got = read_into(descriptor, run, self._offset + first * self._dtype.itemsize)
        finally:
            os.close(descriptor)
        if got < run.nbytes:
            raise DataError(f"{self._path} ended while it was read. Copy or write the file again.")
        run = native(run)
        return run.transpose() if self._fortran else run

    def read_region(self, region: Region) -> NDArray[Any]:
        """See `Source`."""
        # Only the rows that are asked for are mapped: a file may be larger than all the addresses that are allowed.
        axis = len(self._shape) - 1 if self._fortran else 0
        rows = region[axis]
        inner = self._shape[:-1] if self._fortran else self._shape[1:]
        start = self._offset + rows.start * int(np.prod(inner, dtype=np.int64)) * self._dtype.itemsize
        shape = tuple(rows.stop - rows.start if place == axis else side for place, side in enumerate(self._shape))
        order = "F" if self._fortran else "C"
        mapped = np.memmap(self._path, self._dtype, "r", start, shape, order=order)  # type: ignore[call-overload]
        inside = tuple(slice(None) if place == axis else part for place, part in enumerate(region))
        return native(np.array(mapped[inside]))


def read_into(descriptor: int, array: NDArray[Any], offset: int) -> int:
    """Fill an array in C order from a place in a file; return how many bytes there were."""
    view = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    done = 0
    while done < len(view) and (got := os.preadv(descriptor, [view[done:]], offset + done)):
        done += got
    return done


def native(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array in the byte order of this machine."""
    if array.dtype.isnative:
        return array
    return array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))


def open_npy(path: Path) -> Volume:
    """Open a file that `numpy.save` wrote."""
    try:
        with path.open("rb") as file:  # the header alone: a mapped file takes as many addresses as it is long
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(file)
            offset = file.tell()
    except Exception as error:  # NumPy reads the header as Python, which fails in many ways
        raise DataError(
            f"{path} is no array that can be read: {short_of(error)}. Write it with numpy.save, of numbers."
        ) from error
    if dtype.kind not in "biuf" or not shape:
        raise DataError(f"{path} holds {dtype} of shape {shape}. Save an array of numbers.")
    axes = AXES.get(len(shape), "Q" * (len(shape) - 4) + "TZYX")
    if len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > 4:
        axes = "YXS"
    source = RawSource(path, offset, shape, dtype, fortran=fortran)
    return Volume(path, shape, dtype.newbyteorder("="), axes, source, "npy")
