"""Images of a table: where each lies, and its pixels.

`ImageFiles` (files in a folder) and `ImageArrays` (arrays of a MedMNIST-style archive) share what a cache and a check
need: ``len()``, ``names``, ``read(row)``, ``stamp(row)`` and ``digest(row)``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError
from equipoise.data._image_decode import MAX_PIXELS, Decoded, decode_file, file_stamp
from equipoise.data._image_table import IMAGE_SUFFIXES, Folder, locate

_DEPTHS = (8, 10, 12, 14, 16)  # bits that detectors have


@dataclass(frozen=True)
class ImageFiles:
    """One image file for each row of a table.

    Attributes:
        names: as the table has them.
        paths: the file of each row, inside `folder` unless that was lifted.
        folder: where they lie.
        source: what the table is called in messages.
        column: its column of images, for messages.
        rows: where each row stands in the table, from 0.
        max_pixels: the largest image that is decoded.
        notes: sentences about what was found where the table does not say it.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    folder: Path
    source: str = "table"
    column: str = "image"
    rows: tuple[int, ...] = ()
    max_pixels: int = MAX_PIXELS
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.names):
            object.__setattr__(self, "rows", tuple(range(len(self.names))))
        if len(self.paths) != len(self.names):
            raise ArgumentError(f"ImageFiles needs one path a name; got {len(self.paths)} for {len(self.names)} names.")

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"ImageFiles({self.source}: {len(self):,} images in {self.folder})"

    def place(self, row: int) -> str:
        """Return ``'labels.csv row 812, column "image"'`` for messages."""
        return f'{self.source} row {self.rows[row] + 1}, column "{self.column}"'

    def decode(self, row: int) -> Decoded:
        """Return the image of a row with what its file says of itself; raises as `read`."""
        try:
            return decode_file(self.paths[row], self.max_pixels)
        except DataError as error:
            raise type(error)(f"{self.place(row)}: {error}") from error

    def read(self, row: int) -> NDArray[Any]:
        """Return the image of a row; see `read_image`.

        Raises:
            DataError: it cannot be read; the message has the row of the table.
        """
        return self.decode(row).image

    def stamp(self, row: int, content: bool = False) -> str:
        """Return what changes when the file of a row changes: size and time of change, with `content` a digest too.

        Raises:
            DataError: the file is gone.
        """
        return file_stamp(self.paths[row], self.digest(row) if content else "")

    def digest(self, row: int) -> str:
        """Return a digest (BLAKE2b, 32 hexadecimal digits) of the bytes of the file."""
        try:
            with self.paths[row].open("rb") as file:
                return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        except (OSError, ValueError) as error:
            raise DataError(f"{self.place(row)}: {self.paths[row]} could not be read: {error}. Check it.") from error

    def select(self, rows: Sequence[int] | NDArray[Any]) -> ImageFiles:
        """Return some of the rows, given as numbers or as a mask."""
        index = np.arange(len(self))[np.asarray(rows)].tolist()
        return replace(
            self,
            names=tuple(self.names[row] for row in index),
            paths=tuple(self.paths[row] for row in index),
            rows=tuple(self.rows[row] for row in index),
        )

    def orphans(self) -> tuple[str, ...]:
        """Return the image files (by their suffix) below the folder that no row names, as seen from it."""
        folder = Folder(self.folder)
        named = {os.fspath(path) for path in self.paths}
        return tuple(
            name
            for name in folder.walk()
            if os.path.splitext(name)[1].casefold() in IMAGE_SUFFIXES and f"{folder.root}/{name}" not in named  # noqa: PTH122
        )


def find_images(
    names: Iterable[Any],
    folder: str | Path,
    *,
    source: str = "table",
    column: str = "image",
    allow_outside: bool = False,
    rows: Sequence[int] | NDArray[Any] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> ImageFiles:
    """Find the file of each name in a folder.

    A name is looked for (1) as it stands, seen from the folder; (2) without leading parts that repeat the folder's own
    name, so that ``images/x.png`` is found whether the folder is ``data`` or ``data/images``; (3) when it has no
    folder part, in the subfolders, where it must stand once. Each directory is listed once, however many rows.

    Args:
        names: (rows,) the cells of the table's column of images.
        folder: where the images lie.
        source: what the table is called in messages.
        column: what the column is called in messages.
        allow_outside: whether a name (``..``, an absolute path) or a link may lead out of the folder.
        rows: (rows,) where each row stands in the table, from 0, when some were left out.
        max_pixels: the largest image that will be decoded.

    Returns:
        The files, one a row. Nothing was opened.

    Raises:
        DataError: the folder is missing, or a name is empty, missing (the nearest is named, and whether only capital
            letters differ) or outside; the message has the first row and how many more.
        ArgumentError: there is no name, or not one row number a name.

    Example:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> _ = pathlib.Path(folder.name, "a.png").write_bytes(b"")
        >>> files = find_images(["a.png"], folder.name)
        >>> len(files), files.paths[0].name, files.orphans()
        (1, 'a.png', ())
        >>> find_images(["A.png"], folder.name, source="labels.csv")
        Traceback (most recent call last):
        equipoise._checks.DataError: labels.csv row 1, column "image": there is no file "A.png" in ... "a.png"
        differs only in capital letters. Write it as the file is called.
        >>> folder.cleanup()
    """
    texts = tuple("" if name is None else str(name) for name in names)
    places = tuple(range(len(texts))) if rows is None else tuple(int(row) for row in rows)
    if not texts:
        raise ArgumentError("`names` of find_images has no image. Give the table's column of images.")
    if len(places) != len(texts):
        raise ArgumentError(f"`rows` of find_images must have one number a name, {len(texts)}; got {len(places)}.")
    tree = Folder(Path(folder), allow_outside)
    paths, by_name = locate(texts, tree, source=source, column=column, rows=places)
    notes = (f"{by_name:,} images were found by name in subfolders of {folder}.",) if by_name else ()
    return ImageFiles(
        texts, tuple(map(Path, paths)), Path(tree.root), source, column, places, max_pixels=max_pixels, notes=notes
    )


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """Read an image: (h, w) grey or (h, w, 3) RGB, of uint8 or uint16, white the large value.

    PNG, JPEG, TIFF, BMP, GIF, WebP and DICOM, told by content and not by name. 16-bit images stay so (`to_uint8`
    scales them); 1, 2 and 4 bits become 8; palettes and CMYK become RGB; alpha is dropped, the stored colours are
    kept; EXIF orientation is obeyed. DICOM passes its rescale, its first window and MONOCHROME1, and fills the range
    of its type. The size is checked in the header before anything is decoded, and nothing in a file is executed.

    A JPEG damaged in its middle still decodes (the standard has no checksum); truncated ones are found.

    Args:
        path: the file.
        max_pixels: the largest width times height that is decoded.

    Raises:
        DataError: the file is missing, empty, truncated, damaged, no image, too large, an animation, has many frames
            or pages, or holds numbers without a black and a white (floating point, signed); the message says what to
            do.
        ArgumentError: `max_pixels` is no whole number from 1.

    Example:
        >>> import cv2, tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name, "red.png")
        >>> _ = cv2.imwrite(str(path), np.full((2, 2, 3), (0, 0, 255), np.uint8))  # OpenCV has blue first
        >>> read_image(path)[0, 0].tolist()
        [255, 0, 0]
        >>> folder.cleanup()
    """
    return decode_file(path, max_pixels).image


def to_uint8(image: NDArray[Any], *, bits: int | None = None) -> NDArray[np.uint8]:
    """Return an image as uint8: ``round(image * 255 / (2**bits - 1))``, clipped; uint8 is returned as it is.

    Without `bits` it is the smallest of 8, 10, 12, 14 and 16 that holds the image's largest value, because 12-bit
    detectors are mostly saved in 16-bit files. It is a step, not the maximum itself: images of one detector keep one
    scale, and noise in a dark image is not stretched to white. A data set with images darker than a quarter of its
    range should give `bits`.

    Args:
        image: uint8 or uint16, of any shape.
        bits: of the stored values, 1 to 16.

    Raises:
        ArgumentError: another type of array, or `bits` outside 1 to 16.

    Example:
        >>> to_uint8(np.array([0, 2048, 4095], np.uint16)).tolist()
        [0, 128, 255]
        >>> to_uint8(np.array([0, 2048, 4095], np.uint16), bits=16).tolist()
        [0, 8, 16]
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise ArgumentError(f"`image` of to_uint8 must be uint8 or uint16; got {image.dtype}.")
    if bits is None:
        largest = int(image.max(initial=0))
        bits = next(depth for depth in _DEPTHS if largest < 1 << depth)
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 16:
        raise ArgumentError(f"`bits` of to_uint8 must be a whole number from 1 to 16; got {bits!r}.")
    top = (1 << bits) - 1
    scale = np.minimum((np.arange(1 << 16, dtype=np.uint32) * 255 + top // 2) // top, 255).astype(np.uint8)
    scaled: NDArray[np.uint8] = scale[image]
    return scaled
