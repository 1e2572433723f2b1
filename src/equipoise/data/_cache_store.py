"""Where the pixels of an image cache lie: one file of raw pixels, or a few files of compressed images."""

from __future__ import annotations

import abc
import contextlib
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import RunError
from equipoise.data._cache_index import Records, cut_torn_end, make_record
from equipoise.data._opencv import opencv

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Pixels = NDArray[np.uint8]

INDEX = "index.bin"
_LOCK = "lock"


class Store(abc.ABC):
    """How one image becomes bytes, and how long a file of them may grow.

    Attributes:
        name: as `build_cache` takes it. file_bytes: a file that has grown to this is followed by another.
    """

    name: str
    file_bytes: int

    @abc.abstractmethod
    def encode(self, pixels: Pixels) -> bytes:
        """Return the bytes of an image (h, w, c)."""

    @abc.abstractmethod
    def decode(self, content: Pixels, shape: tuple[int, int, int]) -> Pixels:
        """Return the image (h, w, c) of its bytes."""

    def file_path(self, folder: Path, number: int) -> Path:
        """Return the path of a file of pixels."""
        return folder / f"pixels-{number:03d}.{self.name}"


class RawStore(Store):
    """All pixels in one file, one image after another, to be mapped into memory: the fastest there is."""

    name = "raw"
    file_bytes = 1 << 62

    def encode(self, pixels: Pixels) -> bytes:
        """Return the pixels."""
        return pixels.tobytes()

    def decode(self, content: Pixels, shape: tuple[int, int, int]) -> Pixels:
        """Return the pixels."""
        return content.reshape(shape)


class CompressedStore(Store):
    """Lossless PNG images, one after another in a few files: about half the disk, and a decoding at each read."""

    name = "compressed"
    file_bytes = 1 << 30

    def encode(self, pixels: Pixels) -> bytes:
        """Return a PNG file; its channels are in the order of the array, whatever PNG calls them."""
        _, content = opencv().imencode(".png", pixels)
        return bytes(content)

    def decode(self, content: Pixels, shape: tuple[int, int, int]) -> Pixels:
        """Return the pixels."""
        pixels = opencv().imdecode(content, opencv().IMREAD_UNCHANGED)
        return np.asarray(pixels, dtype=np.uint8).reshape(shape)


STORES: dict[str, Store] = {store.name: store for store in (RawStore(), CompressedStore())}


class Writer:
    """Appends images to a cache folder: the bytes first, then the record that makes them count.

    Only for the holder of `build_lock`. Bytes are only ever written behind the end of a file, never over others: a
    reader that opened the cache before goes on reading what it knew.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        cut_torn_end(folder / INDEX)
        self._folder, self._store, self._number = folder, store, 0
        while store.file_path(folder, self._number + 1).exists():
            self._number += 1
        self._pixels = self._open(store.file_path(folder, self._number))
        self._index = self._open(folder / INDEX, os.O_APPEND)

    @staticmethod
    def _open(path: Path, flags: int = 0) -> int:
        return os.open(path, os.O_CREAT | os.O_RDWR | flags, 0o666)

    def add(self, source: bytes, content: bytes, *, checksum: int, micros: int) -> Records:
        """Write one image and its record, which is returned: (1,).

        Raises:
            OSError: the disk is full, or there is a limit on the size of files; nothing of this image counts.
        """
        offset = self._end(len(content))
        try:
            _write_all(self._pixels, content, offset)
            record = make_record(
                source, file=self._number, offset=offset, length=len(content), checksum=checksum, micros=micros
            )
            _write_all(self._index, record.tobytes(), None)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._pixels, offset)  # gives the room back; nobody knows of these bytes yet
            raise
        return record

    def _end(self, length: int) -> int:
        end = os.fstat(self._pixels).st_size
        if end >= self._store.file_bytes:
            os.close(self._pixels)
            self._number += 1
            self._pixels = self._open(self._store.file_path(self._folder, self._number))
            end = os.fstat(self._pixels).st_size
        if self._store.name == "raw":  # whole slots: a killed writer may have left a part of one
            end = -(-end // length) * length
        return end

    def sync(self) -> None:
        """Wait until everything is on the disk.

        Raises:
            OSError: some of it could not be written.
        """
        os.fsync(self._pixels)
        os.fsync(self._index)

    def close(self) -> None:
        """Close the files."""
        os.close(self._pixels)
        os.close(self._index)


def _write_all(descriptor: int, content: bytes, offset: int | None) -> None:
    rest = memoryview(content)
    while rest:
        done = os.write(descriptor, rest) if offset is None else os.pwrite(descriptor, rest, offset)
        rest = rest[done:]
        offset = None if offset is None else offset + done


@contextlib.contextmanager
def build_lock(folder: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the right to write into a cache folder. A killed holder loses it at once: the system sees to that.

    Args:
        folder: of the cache, which exists.
        waiting: told in a sentence, when another process has the right, that this one waits for it.

    Raises:
        OSError: the folder cannot be written to.
    """
    descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(f"Another process is building the image cache {folder}; this one waits and then goes on.")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                pass
        yield
    finally:
        if fcntl is not None:  # by name, not by closing: a forked worker may hold a copy of the descriptor
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def checksum_of(content: Any) -> int:
    """Return the CRC-32 of bytes, or of an array that is contiguous."""
    return zlib.crc32(content)


def map_files(folder: Path, store: Store) -> tuple[Pixels, ...]:
    """Return every file of pixels of a cache, each (bytes,), mapped into memory for reading.

    Raises:
        RunError: one of them cannot be read.
    """
    mapped: list[Pixels] = []
    while (path := store.file_path(folder, len(mapped))).exists():
        try:
            empty = path.stat().st_size == 0
            mapped.append(np.zeros(0, np.uint8) if empty else np.asarray(np.memmap(path, np.uint8, mode="r")))
        except OSError as error:
            raise RunError(
                f"{path} could not be read: {error.strerror or error}. Give yourself the right to read it, or choose "
                "another folder for the cache."
            ) from error
    return tuple(mapped)
