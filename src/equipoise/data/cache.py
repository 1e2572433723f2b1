"""The image cache: every image brought to its finished form once, and read many times from one mapped file."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, RunError, check_one_of, listed
from equipoise.data._cache_build import (
    Filler,
    ImageSource,
    Unwatched,
    Watch,
    count_workers,
    digest_of,
    digests_of,
    look_up,
    open_folder,
)
from equipoise.data._cache_index import Records
from equipoise.data._cache_store import STORES, checksum_of, map_files
from equipoise.data.steps import Steps

_NOT_YET = 1 << 62  # in place of a slot: this image is not verified yet; no file has so many


def build_cache(
    files: ImageSource,
    steps: Steps,
    folder: str | Path,
    *,
    workers: int | None = None,
    watch: Watch | None = None,
    hash_files: bool = False,
    store: str = "raw",
) -> ImageCache:
    """Return the cache of `files` after `steps`; only what is missing is made.

    Inside `folder` each list of steps has a folder of its own, named by its key, so that other steps never meet these
    pixels. In it every image is one entry, found by its source: path, size and time of change (or its content, with
    `hash_files`). So an image that changed is made again alone, and tables that share images share their entries.

    Images are made by threads, since OpenCV works outside Python's lock, and written by one. An entry counts once its
    bytes are written; a process killed at any instant loses the few images under way, and the next call goes on from
    there. Of two processes that build at once, the second waits and then finds the work done. Where nothing is
    missing, nothing is written, and the folder may be read-only.

    Args:
        files: the images, as `find_images` gives them.
        steps: what is done to each, as `parse_steps` gives it.
        folder: where caches lie; made where it is missing.
        workers: threads; by default one for each processor that this process may use.
        watch: where progress is shown; None shows nothing.
        hash_files: tell images by their content, not by path and time: reads every file, 1 GB in about a second, and
            sees a change that left size and time as they were, and the same image under two names.
        store: "raw" is one file of pixels, 50 KB for a grey image of 224 x 224; "compressed" keeps lossless PNG in a
            few files, at about half the disk and some seventy times the time to read.

    Raises:
        DataError: images that are missing or cannot be read, all of them named; the others are cached.
        RunError: the folder cannot be written to, the disk is full (what was made is kept), or what lies in the
            folder is of another version of Equipoise.
        ArgumentError: an argument is out of range.
    """
    check_one_of(store, STORES, argument="store", function="build_cache")
    count, watch = count_workers(workers), watch or Unwatched()
    own = open_folder(Path(folder), steps, STORES[store])
    filler = Filler(files, steps, own, STORES[store], count, watch)
    digests, failures = digests_of(files, hash_files=hash_files)
    rows = {digest: row for row, digest in reversed(list(enumerate(digests))) if digest}  # the first row of each source
    ordered = sorted(rows, key=rows.__getitem__)
    state = look_up(own, STORES[store], ordered)
    damaged: list[int] = []
    if failures or not state.found.all():
        damaged = filler.fill(ordered, [rows[digest] for digest in ordered], failures)
        state = look_up(own, STORES[store], ordered)
    mended = [files.names[row] for row in damaged]
    if mended:
        watch.say(f"{len(mended):,} damaged entries of the image cache {own} were made again: {listed(mended)}.")
    place = {digest: number for number, digest in enumerate(ordered)}
    entries = state.entries[np.array([place[digest] for digest in digests], dtype=np.int64)]
    return ImageCache(filler, entries, hash_files=hash_files, mended=mended)


class ImageCache:
    """Finished images by row, read from a cache folder. Made by `build_cache`; threads may share it.

    That every entry lies inside its file is checked when the cache is opened. That its bytes are those that were
    written is checked by their CRC-32 when it is first read (28 microseconds for 224 x 224 grey, once), so that
    opening a cache of any size takes no time and no damaged pixel is ever handed out: a damaged entry is made again
    from its source, with a warning that names it.

    A copy sent to another process (by pickling) opens the files again and knows what was verified.

    Attributes:
        path: the folder of this list of steps.
        shape: (rows, height, width, channels).
        mended: names of the images whose damaged entries were made again, on opening or since.
    """

    def __init__(self, filler: Filler, entries: Records, *, hash_files: bool, mended: Sequence[str] = ()) -> None:
        steps = filler.steps
        self.path = filler.folder
        self.shape: tuple[int, int, int, int] = (len(entries), steps.size, steps.size, steps.channels)
        self.mended: list[str] = list(mended)
        self._filler, self._entries, self._hash_files = filler, entries, hash_files
        self._slots = np.full(len(entries), _NOT_YET, dtype=np.int64)
        self._kept: dict[int, NDArray[np.uint8]] = {}  # made again, but the folder could not be written to
        self._open()

    def _open(self) -> None:
        self._lock = threading.Lock()
        self._map()

    def _map(self) -> None:
        store = self._filler.store
        self._files = map_files(self.path, store)
        size = int(np.prod(self.shape[1:]))
        raw = self._files[0] if store.name == "raw" and self._files else np.zeros(0, np.uint8)
        self._pixels = raw[: len(raw) // size * size].reshape(-1, *self.shape[1:])

    def __getstate__(self) -> dict[str, Any]:
        gone = ("_lock", "_files", "_pixels")
        state = {name: value for name, value in self.__dict__.items() if name not in gone}
        state["_filler"] = Filler(**{**self._filler.__dict__, "watch": Unwatched()})
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: NDArray[np.integer], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the images of some rows: uint8 (len(rows), height, width, channels), a copy.

        Args:
            rows: (images,) row numbers, in any order and with repeats.
            out: where to write them, of that shape and contiguous; it is returned. It spares the system the fresh
                memory of every batch, which costs more than the copying.

        Raises:
            ArgumentError: a row number is out of range or no whole number, or `out` has another form.
            DataError: an entry is damaged and its source is gone or has changed.
        """
        if out is None and rows.dtype.kind == "i" and rows.ndim == 1 and rows.size:
            try:
                if rows[rows.argmin()] >= 0:  # NumPy would take -1 for the last row
                    return self._pixels.take(self._slots.take(rows), axis=0)
            except IndexError:  # an entry that is not verified yet, or a row that is not there
                pass
        return self._read_slowly(rows, out)

    def verify(self) -> list[str]:
        """Check the bytes of every entry now, and return the names of those that were damaged and are made again.

        Raises:
            DataError: an entry is damaged and its source is gone or has changed.
        """
        before = len(self.mended)
        with self._lock:
            for row in range(len(self)):
                self._check(row)
        return self.mended[before:]

    def describe(self) -> str:
        """Return what the cache holds, what it costs and what it saves, in two sentences."""
        _, first = np.unique(self._entries["source"], return_index=True)
        seconds = float(self._entries["micros"][first].sum()) / 1e6
        megabytes = sum(len(file) for file in self._files) / 1e6
        each = f"{1000 * seconds / len(first):.1f}" if len(first) else "0"
        return (
            f"{len(first):,} images of {self.shape[1]} x {self.shape[2]} x {self.shape[3]} in {self.path} "
            f"({self._filler.store.name}, {megabytes:,.1f} MB on disk), made in {seconds:,.1f} s of processor time. "
            f"Every reading saves {each} ms an image: {seconds:,.1f} s an epoch on one core."
        )

    # -- what is not the fast way ---------------------------------------------------------------------------------

    def _read_slowly(self, rows: Any, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        rows = self._checked_rows(rows)
        out = self._checked_out(len(rows), out)
        if not len(rows):
            return out
        if not self._all_ready(rows):
            with self._lock:
                for row in np.unique(rows).tolist():
                    self._check(row)
        if self._filler.store.name == "raw" and not self._kept:
            # Unlike mode="raise", "clip" writes straight into `out`; every slot is known to be there.
            self._pixels.take(self._slots.take(rows), axis=0, out=out, mode="clip")
            return out
        for number, row in enumerate(rows.tolist()):
            out[number] = self._kept[row] if row in self._kept else self._decoded(row)
        return out

    def _all_ready(self, rows: NDArray[np.int64]) -> bool:
        return bool(self._slots.take(rows).max() < _NOT_YET)

    def _checked_rows(self, rows: Any) -> NDArray[np.int64]:
        rows = np.atleast_1d(np.asarray(rows))
        if rows.ndim != 1 or (rows.dtype.kind not in "iu" and rows.size):
            raise ArgumentError(
                f"`rows` of ImageCache.read must be row numbers, (images,) of whole numbers; got {rows.shape} of "
                f"{rows.dtype}. Turn a mask into row numbers with numpy.flatnonzero."
            )
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise ArgumentError(
                f"`rows` of ImageCache.read must be in 0 to {len(self) - 1:,}; got {rows.min()} to {rows.max()}."
            )
        return np.asarray(rows, dtype=np.int64)

    def _checked_out(self, images: int, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        shape = (images, *self.shape[1:])
        if out is None:
            return np.empty(shape, np.uint8)
        if out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous or not out.flags.writeable:
            raise ArgumentError(
                f"`out` of ImageCache.read must be a contiguous uint8 array of {shape} that may be written to; got "
                f"{out.shape} of {out.dtype}."
            )
        return out

    def _bytes(self, row: int) -> NDArray[np.uint8]:
        entry = self._entries[row]
        begin = int(entry["offset"])
        return self._files[int(entry["file"])][begin : begin + int(entry["length"])]

    def _decoded(self, row: int) -> NDArray[np.uint8]:
        return self._filler.store.decode(self._bytes(row), self.shape[1:])

    def _check(self, row: int) -> None:
        if self._slots[row] != _NOT_YET or row in self._kept:
            return
        if checksum_of(self._bytes(row)) != self._entries["checksum"][row]:
            self._mend(row)
        if row not in self._kept:
            size = int(np.prod(self.shape[1:]))
            self._slots[row] = self._entries["offset"][row] // size if self._filler.store.name == "raw" else 0

    def _mend(self, row: int) -> None:
        """Make the damaged entry of a row again from its source, and write it where that can be done."""
        filler, name = self._filler, self._filler.files.names[row]
        source = self._entries["source"][row].tobytes()
        made = filler.make(row)
        if isinstance(made, str):
            raise DataError(
                f"The cached entry of image {name} in {self.path} is damaged, and its source cannot be read: {made}"
            )
        if digest_of(filler.files, row, hash_files=self._hash_files) != source:
            raise DataError(
                f"The cached entry of image {name} in {self.path} is damaged, and its source has changed since the "
                "cache was built. Run again: the image is then made anew from what it is now."
            )
        same = np.flatnonzero(self._entries["source"] == self._entries["source"][row])
        pixels = filler.store.decode(np.frombuffer(made.content, np.uint8), self.shape[1:])
        try:
            self._entries[same] = filler.write_one(source, made)
            self._map()
        except RunError:  # read-only or full: the right pixels are kept here, and the next reader finds the same damage
            self._kept.update(dict.fromkeys(same.tolist(), pixels))
        self.mended.append(name)
        warnings.warn(
            f"The cached entry of image {name} in {self.path} was damaged and is made again from its source. If this "
            "happens often, look after the disk.",
            RuntimeWarning,
            stacklevel=5,
        )
