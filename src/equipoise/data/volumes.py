"""Images and masks of any size: what a file holds, and its pixels in blocks or regions, never more at once than asked.

TIFF (stacks, BigTIFF, OME, compressed, tiled), PNG and other pictures, NIfTI, ``.npy`` and Zarr, in two or three
dimensions. Needs only the package of the format: tifffile (and imagecodecs where compressed), OpenCV and Pillow,
nibabel, or zarr.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError

Region = tuple[slice, ...]
BLOCK_BYTES = 1 << 20  # of one block: it stays in the cache of a processor while it is worked on
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
TIFFS = (".tif", ".tiff", ".btf", ".tf8")
_NAMES = (*TIFFS, *PICTURES, ".nii", ".nii.gz", ".npy", ".zarr")


@dataclass(frozen=True)
class Piece:
    """A part of a volume: where it lies, and how to read it, which any thread may do."""

    region: Region
    read: Callable[[], NDArray[Any]]


@runtime_checkable
class Source(Protocol):
    """What a format must be able to do."""

    def pieces(self, size: int) -> Iterator[Piece]:
        """Yield parts of about `size` bytes that together are the whole, once each, to be read in any order."""

    def read_region(self, region: Region) -> NDArray[Any]:
        """Return the pixels of a region."""


@dataclass(frozen=True)
class Volume:
    """A file of pixels, opened: nothing but its header is read until asked.

    Attributes:
        path: the file, or the folder of a Zarr.
        shape: size of each axis.
        dtype: type of the pixels.
        axes: one letter an axis: ``Y`` and ``X`` (rows and columns), ``Z`` (or another of TIFF's letters) for depth,
            ``S`` for the channels of a colour; NIfTI has ``XYZ``.
        source: how it is read.
        kind: ``tiff``, ``picture``, ``nifti``, ``npy`` or ``zarr``.
        spacing: size of a pixel along each axis, 0 where the file does not say; None where it says nothing.
        affine: (4, 4) from voxel to millimetre, of NIfTI; None for other formats.
        georeference: the GeoTIFF tags, number -> value; empty where there are none.
        notes: sentences about what is odd.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    source: Source = field(repr=False)
    kind: str
    spacing: tuple[float, ...] | None = None
    affine: NDArray[np.float64] | None = None
    georeference: Mapping[int, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of values: pixels times channels."""
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        """Channels of each pixel: 1 without an axis of colours."""
        return self.shape[self.axes.index("S")] if "S" in self.axes else 1

    def pieces(self, size: int = BLOCK_BYTES) -> Iterator[Piece]:
        """Yield parts of about `size` bytes which together are the whole; each can be read by any thread.

        A part is at least what the file holds as one: a strip or tile of TIFF, a chunk of Zarr, a whole PNG.
        """
        return self.source.pieces(max(1, size))

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[tuple[Region, NDArray[Any]]]:
        """Yield (region, pixels) of the whole, a part of about `size` bytes at a time.

        Raises:
            DataError: the file ends early, or its pixels do not decode.
        """
        for piece in self.pieces(size):
            yield piece.region, piece.read()

    def read_region(self, region: Sequence[slice | int] = ()) -> NDArray[Any]:
        """Return the pixels of a region: slices without steps, or whole numbers which keep their axis as one.

        Args:
            region: one for each axis from the first; axes that are not named are whole.

        Raises:
            ArgumentError: the region is not inside the volume.
            DataError: as `blocks`.

        Example:
            >>> import tempfile, pathlib
            >>> folder = tempfile.TemporaryDirectory()
            >>> path = pathlib.Path(folder.name, "a.npy")
            >>> np.save(path, np.arange(24).reshape(2, 3, 4))
            >>> open_volume(path).read_region((1, slice(0, 2), slice(2, 4))).tolist()
            [[[14, 15], [18, 19]]]
            >>> folder.cleanup()
        """
        return self.source.read_region(_inside(tuple(region), self))

    def read(self) -> NDArray[Any]:
        """Return every pixel at once, of `shape`."""
        return self.read_region(())


def open_volume(path: str | Path) -> Volume:
    """Return what a file of pixels holds; only its header is read.

    Args:
        path: TIFF, PNG or another picture, NIfTI (``.nii``, ``.nii.gz``), ``.npy``, or the folder of a Zarr array
            (of an OME-Zarr its largest resolution; an array inside is named after it: ``a.zarr/labels/0``).

    Raises:
        DataError: there is no such file, it is none of these formats, or its header is damaged.
        RunError: the package that reads the format is not installed.

    Example:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name, "mask.npy")
        >>> np.save(path, np.zeros((5, 64, 48), np.uint8))
        >>> volume = open_volume(path)
        >>> volume.shape, volume.axes, sum(block.size for _, block in volume.blocks(4096)) == volume.size
        ((5, 64, 48), 'ZYX', True)
        >>> folder.cleanup()
    """
    volume = _opened(Path(path))
    if not volume.shape or min(volume.shape) < 1:
        raise DataError(f"{path} has no pixel: its shape is {volume.shape}. Leave it out, or write it again.")
    return volume


def _opened(path: Path) -> Volume:
    name = path.name.casefold()
    if any(part.casefold().endswith(".zarr") for part in path.parts):
        from equipoise.data._volume_zarr import open_zarr

        return open_zarr(path)
    if not path.is_file():
        raise DataError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}. Check the path.")
    if name.endswith(TIFFS):
        from equipoise.data._volume_tiff import open_tiff

        return open_tiff(path)
    if name.endswith((".nii", ".nii.gz")):
        from equipoise.data._volume_nifti import open_nifti

        return open_nifti(path)
    if name.endswith(".npy"):
        from equipoise.data._volume_raw import open_npy

        return open_npy(path)
    if name.endswith(PICTURES):
        from equipoise.data._volume_picture import open_picture

        return open_picture(path)
    raise DataError(f"{path} is no file of pixels that can be read. Use one of {', '.join(_NAMES)}.")


def read_image_volume(path: str | Path) -> NDArray[Any]:
    """Read an image of two or three dimensions whole, of the shape and type that its file says; see `open_volume`.

    Raises:
        DataError: as `open_volume`, or its pixels do not decode.
    """
    return open_volume(path).read()


def is_volume(path: Path) -> bool:
    """Return whether the name of a file (or of a Zarr folder) is that of a format that `open_volume` reads."""
    return path.name.casefold().endswith(_NAMES)


def space_of(volume: Volume) -> tuple[int, ...]:
    """Return the size of a volume along each axis but that of its channels."""
    return tuple(length for letter, length in zip(volume.axes, volume.shape, strict=True) if letter != "S")


def even_pieces(shape: tuple[int, ...], itemsize: int, size: int) -> Iterator[Region]:
    """Yield regions of about `size` bytes, each of them in one run of memory, which tile an array of C order."""
    if not shape or 0 in shape:
        return
    axis, below = len(shape) - 1, itemsize
    while axis > 0 and below * shape[axis] <= size:
        below *= shape[axis]
        axis -= 1
    step = max(1, size // below)
    rest = tuple(slice(0, length) for length in shape[axis + 1 :])
    for outer in np.ndindex(shape[:axis]):
        before = tuple(slice(index, index + 1) for index in outer)
        for start in range(0, shape[axis], step):
            yield (*before, slice(start, min(start + step, shape[axis])), *rest)


def short_of(error: Exception) -> str:
    """Return what an error of another library says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")[:200]


def extent(region: Region) -> tuple[int, ...]:
    """Return the shape of a region."""
    return tuple(part.stop - part.start for part in region)


def _inside(region: tuple[Any, ...], volume: Volume) -> Region:
    wrong = len(region) > len(volume.shape)
    found: list[slice] = []
    for part, length in zip((*region, *[slice(None)] * len(volume.shape)), volume.shape, strict=False):
        if not isinstance(part, slice):
            wrong |= not 0 <= int(part) < length
            part = slice(int(part), int(part) + 1)  # noqa: PLW2901
        start, stop = part.start or 0, length if part.stop is None else part.stop
        wrong |= part.step not in (None, 1) or not 0 <= start < stop <= length
        found.append(slice(start, stop))
    if wrong:
        raise ArgumentError(
            f"The region {region} is not inside {volume.path.name}, which has the shape {volume.shape}. "
            "Give slices without steps that lie within it and are not empty."
        )
    return tuple(found)
