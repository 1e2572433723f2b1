"""Archives of arrays (``.npz``) that may come from anywhere: nothing is unpickled, and headers are judged first."""

from __future__ import annotations

import contextlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, listed

_FREE_BYTES = 1 << 28  # up to this an array may be packed as well as it likes
_MAX_RATIO = 200  # deflate's own limit is 1032; photographs and X-rays stay under 5
_LONGEST_HEADER = 10_000  # bytes; NumPy's own limit, which it looks at after it has read all of them
_FAULTS = (
    OSError, ValueError, EOFError, RuntimeError, AttributeError, KeyError, zipfile.BadZipFile, zipfile.LargeZipFile,
    zlib.error, lzma.LZMAError, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Npz:
    """An archive that is open for reading, as `open_npz` gives it."""

    path: Path
    _archive: zipfile.ZipFile

    @property
    def names(self) -> tuple[str, ...]:
        """Its arrays, without the ending ``.npy``."""
        return tuple(name.removesuffix(".npy") for name in self._members)

    @property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        return {info.filename: info for info in self._archive.infolist() if info.filename.endswith(".npy")}

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return the shape and type that an array claims; nothing of its content is unpacked.

        Raises:
            DataError: the header is longer than any that NumPy takes.
        """
        with self._archive.open(self._members[f"{name}.npy"]) as file:
            version = np.lib.format.read_magic(file)
            width = 2 if version == (1, 0) else 4
            length = int.from_bytes(file.read(width), "little")
            if length > _LONGEST_HEADER:
                raise DataError(f"{self.path.name}, array {name}: its header has {length:,} bytes. Give another file.")
            file.seek(-width, 1)
            read = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        return tuple(int(side) for side in shape), dtype

    def size(self, name: str) -> int:
        """Return how many bytes an array takes in memory.

        Raises:
            DataError: it is more than 256 MB and 200 times what it takes in the file.
        """
        shape, dtype = self.header(name)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        # The directory of an archive is a claim too: no array takes more than the whole file.
        packed = max(1, min(self._members[f"{name}.npy"].compress_size, self.path.stat().st_size))
        if size > _FREE_BYTES and size > _MAX_RATIO * packed:
            raise too_large(self.path, name, packed, size)
        return size

    def read(self, name: str) -> NDArray[Any]:
        """Return an array.

        Raises:
            DataError: as `size`, it holds objects, or it is more than the memory of this machine.
        """
        size = self.size(name)
        try:
            with self._archive.open(self._members[f"{name}.npy"]) as file:
                array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        except MemoryError as error:
            raise DataError(
                f"{self.path.name}, array {name}: its {size:,} bytes are more than the memory of this machine has. "
                "Give a smaller file."
            ) from error
        return array


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[Npz]:
    """Open an archive of arrays; whatever is wrong with it while it is open is one kind of error.

    Raises:
        DataError: the file is missing, is no archive, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield Npz(path, archive)
    except (DataError, ArgumentError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path.") from error
    except _FAULTS as error:
        raise DataError(f"{path} cannot be read as .npz: {error}. Copy or download it again.") from error


def too_large(path: Path, name: str, packed: int, size: int) -> DataError:
    """Return the error for an array that would unpack to more than is believed."""
    return DataError(
        f"{path.name}, array {name}: {packed:,} bytes would unpack to {size:,}; nothing was unpacked. "
        "If the file is what it should be, write it without compression (numpy.savez) or raise `max_bytes`."
    )


def missing(path: Path, wanted: str, names: tuple[str, ...]) -> DataError:
    """Return the error for an archive without the arrays that are wanted."""
    return DataError(f"{path.name} has no array {wanted}; it has {listed(names)}. Give another file.")
