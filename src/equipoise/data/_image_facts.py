"""What `check_images` keeps of each file: a few numbers and a digest of its pixels, never the pixels."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError
from equipoise.data._cache_build import Watch
from equipoise.data._image_decode import Decoded
from equipoise.data._image_header import TruncatedError
from equipoise.data._opencv import opencv

_BLOCK = 16  # rows handed to a thread at once: little enough that the bar moves


@runtime_checkable
class Images(Protocol):
    """What `ImageFiles` and `ImageArrays` share."""

    source: str

    @property
    def names(self) -> tuple[str, ...]:
        """(rows,) what the table calls each image."""

    @property
    def rows(self) -> tuple[int, ...]:
        """(rows,) where each row stands in the table, from 0."""

    def __len__(self) -> int: ...

    def decode(self, row: int) -> Decoded:
        """Return an image with what its file says of itself."""

    def orphans(self) -> tuple[str, ...]:
        """Return the image files that no row names."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one image: its fault (``unreadable``, ``truncated`` or empty) with the message, or its size and content."""

    fault: str = ""
    message: str = ""
    width: int = 0
    height: int = 0
    kind: str = ""
    mode: str = ""
    blank: bool = False
    digest: bytes = b""


def gather_facts(images: Images, workers: int | None, watch: Watch) -> list[Facts]:
    """Return the facts of every row, read by threads; `watch` is told how many rows are done."""
    cv2 = opencv()
    threads = count_threads(workers)
    total, found, waiting = len(images), list[Facts](), deque[Future[list[Facts]]]()
    before = cv2.getNumThreads()
    watch.begin(f"Images, {total:,} to read", total)
    cv2.setNumThreads(1)  # the rows are the parallel work
    try:
        with ThreadPoolExecutor(threads, thread_name_prefix="image-check") as pool:
            for block in _blocks(total):
                waiting.append(pool.submit(_facts, images, block))
                while len(waiting) > 2 * threads:
                    _collect(waiting, found, watch)
            while waiting:
                _collect(waiting, found, watch)
    finally:
        for future in waiting:  # interrupted: what has not begun need not
            future.cancel()
        cv2.setNumThreads(before)
        watch.end(f"{len(found):,} of {total:,} read")
    return found


def count_threads(workers: int | None) -> int:
    """Return `workers`, or one thread for each processor that this process may use.

    Raises:
        ArgumentError: `workers` is below 1.
    """
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or workers < 1:
        raise ArgumentError(f"`workers` of check_images must be a whole number from 1; got {workers!r}.")
    return workers


def _blocks(total: int) -> Iterator[range]:
    for start in range(0, total, _BLOCK):
        yield range(start, min(start + _BLOCK, total))


def _collect(waiting: deque[Future[list[Facts]]], found: list[Facts], watch: Watch) -> None:
    found += waiting.popleft().result()
    watch.move(len(found), f"{len(found):,} read")


def _facts(images: Images, rows: range) -> list[Facts]:
    return [_fact(images, row) for row in rows]


def _fact(images: Images, row: int) -> Facts:
    try:
        decoded = images.decode(row)
    except TruncatedError as error:
        return Facts("truncated", str(error))
    except DataError as error:
        return Facts("unreadable", str(error))
    except MemoryError:
        return Facts("unreadable", f'"{images.names[row]}" is too large for the memory of this machine. Reduce it.')
    header = decoded.header
    image = _one_channel(decoded.image)
    blank = bool(image.min() == image.max())
    return Facts("", "", header.width, header.height, header.kind, header.mode, blank, _digest(image))


def _one_channel(image: NDArray[Any]) -> NDArray[Any]:
    """Return a picture whose three channels are equal as grey: the same picture is often saved both ways."""
    if image.ndim == 2:
        return image
    for part in (image[::16, ::16], image):  # a few pixels tell most colour pictures
        if not (np.array_equal(part[..., 0], part[..., 1]) and np.array_equal(part[..., 0], part[..., 2])):
            return image
    return image[..., 0]


def _digest(image: NDArray[Any]) -> bytes:
    state = hashlib.sha256(f"{image.shape} {image.dtype.str}".encode())  # processors have it: twice as fast as BLAKE2
    state.update(np.ascontiguousarray(image).data)
    return state.digest()[:16]
