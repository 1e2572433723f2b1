"""Images of a MedMNIST-style archive: ``train_images``, ``val_images`` and ``test_images`` in one ``.npz``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError, check_number, listed
from equipoise._npz import Npz, missing, open_npz, too_large
from equipoise.data._image_decode import MAX_PIXELS, Decoded, file_stamp
from equipoise.data._image_header import Header, check_size

_KEYS = {"train": "train_images", "validation": "val_images", "test": "test_images"}
_MAX_BYTES = 64 << 30


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """The images of an archive, one a row, with what a cache and a check ask of `ImageFiles` too.

    Attributes:
        images: an array for each role, (rows, height, width) or (rows, height, width, 3), uint8 or uint16.
        roles: (rows,) the role of each row: all of train, then validation, then test, as the archive has them.
        path: the archive.
        kept: (rows,) where each row stands among all rows of the archive, from 0.
    """

    images: tuple[NDArray[Any], ...]
    roles: tuple[str, ...]
    path: Path
    kept: tuple[int, ...]
    source: str = ""
    _starts: tuple[int, ...] = field(init=False, default=())
    _names: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        starts = np.cumsum([0, *map(len, self.images)]).tolist()
        object.__setattr__(self, "_starts", tuple(starts))
        object.__setattr__(self, "source", self.source or self.path.name)
        names = [f"{role}-{self._locate(row)[1]}" for row, role in enumerate(self.roles)]
        object.__setattr__(self, "_names", tuple(names))

    notes: ClassVar[tuple[str, ...]] = ()  # an archive says exactly which image a row has

    def __len__(self) -> int:
        return len(self.roles)

    def __repr__(self) -> str:
        return f"ImageArrays({self.source}: {len(self):,} images)"

    @property
    def names(self) -> tuple[str, ...]:
        """(rows,) ``train-0``, ``train-1``, ...: the ids that `read_labels` gives the same archive."""
        return self._names

    @property
    def rows(self) -> tuple[int, ...]:
        """(rows,) where each row stands among all rows of the archive, from 0."""
        return self.kept

    def _locate(self, row: int) -> tuple[int, int]:
        number = self.kept[row]
        part = int(np.searchsorted(self._starts, number, side="right")) - 1
        return part, number - self._starts[part]

    def read(self, row: int) -> NDArray[Any]:
        """Return the image of a row: (h, w) or (h, w, 3), uint8 or uint16."""
        part, place = self._locate(row)
        image: NDArray[Any] = self.images[part][place]
        return image

    def decode(self, row: int) -> Decoded:
        """Return the image of a row with its size and mode."""
        image = self.read(row)
        mode = f"{'grey' if image.ndim == 2 else 'RGB'} {8 * image.dtype.itemsize}-bit"
        return Decoded(image, Header("npz", image.shape[1], image.shape[0], mode, grey=image.ndim == 2))

    def stamp(self, row: int, content: bool = False) -> str:
        """Return what changes when the archive changes: its size and time of change; with `content` a digest too."""
        return f"{file_stamp(self.path, self.digest(row) if content else '')}-{self.names[row]}"

    def digest(self, row: int) -> str:
        """Return a digest (BLAKE2b, 32 hexadecimal digits) of the pixels of a row."""
        return hashlib.blake2b(np.ascontiguousarray(self.read(row)).data, digest_size=16).hexdigest()

    def place(self, row: int) -> str:
        """Return ``'pathmnist.npz, image "train-5"'`` for messages."""
        return f'{self.source}, image "{self.names[row]}"'

    def select(self, rows: Sequence[int] | NDArray[Any]) -> ImageArrays:
        """Return some of the rows, given as numbers or as a mask; the pixels are shared."""
        index = np.arange(len(self))[np.asarray(rows)].tolist()
        return replace(self, roles=tuple(self.roles[row] for row in index), kept=tuple(self.kept[row] for row in index))

    def orphans(self) -> tuple[str, ...]:
        """Return nothing: an archive has no files that no row names."""
        return ()


def read_npz_images(path: str | Path, *, max_pixels: int = MAX_PIXELS, max_bytes: int = _MAX_BYTES) -> ImageArrays:
    """Read the images of a MedMNIST-style archive, with the split that it brings.

    The rows are those of ``read_labels(path)``, in the same order and with the same ids, when both arrays are there for
    every role. Nothing is unpickled. Headers are judged before anything is unpacked.

    Args:
        path: an ``.npz`` with ``train_images``, ``val_images`` and ``test_images`` (at least one of them), each
            (rows, height, width), (rows, height, width, 1) or (rows, height, width, 3) of uint8 or uint16.
        max_pixels: the largest height times width.
        max_bytes: the most that all arrays together may take in memory.

    Raises:
        DataError: the file is no such archive, is damaged, has volumes or other types, a number of images that differs
            from its labels, or unpacks to more than `max_bytes` or to over 200 times its size.
        ArgumentError: a limit is below 1.

    Example:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name, "tiny.npz")
        >>> np.savez(path, train_images=np.zeros((2, 4, 4), np.uint8), test_images=np.ones((1, 4, 4), np.uint8))
        >>> images = read_npz_images(path)
        >>> images.names, images.roles, images.read(2).tolist()[0]
        (('train-0', 'train-1', 'test-0'), ('train', 'train', 'test'), [1, 1, 1, 1])
        >>> folder.cleanup()
    """
    check_number(max_pixels, argument="max_pixels", function="read_npz_images", at_least=1)
    check_number(max_bytes, argument="max_bytes", function="read_npz_images", at_least=1)
    path = Path(path)
    with open_npz(path) as archive:
        found = _judged(archive, max_pixels, max_bytes)
        images = {role: _image_array(archive.read(_KEYS[role])) for role in found}
    roles = tuple(role for role, array in images.items() for _ in range(len(array)))
    if not roles:
        raise DataError(f"{path} holds no image: its arrays have no rows. Check the file.")
    return ImageArrays(tuple(images.values()), roles, Path(os.path.realpath(path)), tuple(range(len(roles))), path.name)


def _image_array(array: NDArray[Any]) -> NDArray[Any]:
    return array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array


def _judged(archive: Npz, max_pixels: int, max_bytes: int) -> list[str]:
    """Return the roles that an archive has images for, after a look at the headers alone."""
    path, total = archive.path, 0
    found = [role for role, key in _KEYS.items() if key in archive.names]
    if not found:
        raise missing(path, listed(_KEYS.values()), archive.names)
    for role in found:
        key = _KEYS[role]
        shape, dtype = archive.header(key)
        if dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)) or len(shape) not in (3, 4):
            raise _unfit(path, key, shape, dtype)
        if len(shape) == 4 and shape[3] not in (1, 3):
            raise _unfit(path, key, shape, dtype)
        check_size(path, shape[2], shape[1], max_pixels)
        total += archive.size(key)
        if total > max_bytes:
            raise too_large(path, key, path.stat().st_size, total)
        _check_labels(archive, role, shape[0])
    return found


def _unfit(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DataError:
    return DataError(
        f"{path.name}, array {key}: images must be uint8 or uint16 of shape (rows, height, width) with or without 1 or "
        f"3 channels; got {dtype} of shape {shape}. Volumes are not read; save their slices."
    )


def _check_labels(archive: Npz, role: str, rows: int) -> None:
    key = _KEYS[role].replace("_images", "_labels")
    if key in archive.names:
        shape, _ = archive.header(key)
        if shape[:1] != (rows,):
            raise DataError(
                f"{archive.path.name}: {_KEYS[role]} has {rows:,} rows and {key} has {shape[0] if shape else 'none'}. "
                "Copy or download the file again."
            )
