"""NIfTI volumes, through nibabel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError, RunError
from equipoise.data.volumes import Piece, Region, Volume, even_pieces, short_of


class NiftiSource:
    """A NIfTI, whose first axis runs fastest. Gzipped, it is read from its start: a lock keeps order."""

    def __init__(self, path: Path, image: Any, dtype: np.dtype[Any]) -> None:
        self._path, self._proxy, self._dtype = path, image.dataobj, dtype
        self._lock = threading.Lock()
        self._in_order = path.name.casefold().endswith(".gz")

    def pieces(self, size: int) -> Iterator[Piece]:
        """See `Source`. Of a gzipped file each part is read as it is yielded."""
        for turned in even_pieces(self._proxy.shape[::-1], self._dtype.itemsize, size):
            region = turned[::-1]
            if self._in_order:
                block = self.read_region(region)
                yield Piece(region, partial(np.asarray, block))
            else:
                yield Piece(region, partial(self.read_region, region))

    def read_region(self, region: Region) -> NDArray[Any]:
        """See `Source`."""
        try:
            with self._lock:
                return np.asarray(self._proxy[region]).astype(self._dtype, copy=False)
        except Exception as error:  # zlib, the header and the operating system have errors of their own
            raise DataError(
                f"{self._path} ends early or is damaged: {short_of(error)}. Copy or write the file again."
            ) from error


def open_nifti(path: Path) -> Volume:
    """Open a ``.nii`` or ``.nii.gz``."""
    try:
        import nibabel
    except ImportError as error:
        raise RunError(
            f"{path} needs nibabel, which could not be loaded: {error}. "
            "Install it with: pip install 'equipoise[segmentation]'."
        ) from error
    try:
        image: Any = nibabel.load(path, keep_file_open=True)
        stored, shape = np.dtype(image.get_data_dtype()), tuple(map(int, image.shape))
        slope, inter = image.header.get_slope_inter()
    except Exception as error:  # zlib, the header and the operating system have errors of their own
        raise DataError(
            f"{path} is no NIfTI that can be read: {short_of(error)}. Copy or write the file again."
        ) from error
    if stored.kind not in "biuf":
        raise DataError(f"{path} holds {stored}, not one number a voxel. Write it as whole numbers or floats.")
    scaled = not (slope in (None, 1.0) and inter in (None, 0.0))
    dtype = np.dtype(np.float32) if scaled else stored.newbyteorder("=")
    axes = "XYZT"[: len(shape)] if len(shape) <= 4 else "XYZT" + "Q" * (len(shape) - 4)
    zooms = tuple(float(zoom) for zoom in image.header.get_zooms())
    source = NiftiSource(path, image, dtype)
    return Volume(path, shape, dtype, axes, source, "nifti", zooms, np.asarray(image.affine, np.float64))
