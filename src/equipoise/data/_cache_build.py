"""Filling an image cache: which images are missing, made by several threads, written by one."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from equipoise._checks import ArgumentError, DataError, EquipoiseError, RunError
from equipoise._files import read_json, write_json
from equipoise.data._cache_index import RECORD, Records, last_of_each, read_index, source_digest
from equipoise.data._cache_store import INDEX, Store, Writer, build_lock, checksum_of
from equipoise.data._opencv import opencv
from equipoise.data.clahe import Image
from equipoise.data.steps import Steps

_ABOUT = "about.json"
_FORMAT = 1
_CHUNK = 8  # images that a thread makes before it is asked again
_MOST_FAILURES = 100  # unreadable images after which building stops: the folder is the wrong one
_SHOWN_FAILURES = 8


@runtime_checkable
class ImageSource(Protocol):
    """Images by row: what a cache needs of `ImageFiles`."""

    @property
    def names(self) -> Sequence[str]:
        """The image of each row, as the table names it."""

    def __len__(self) -> int: ...

    def read(self, row: int) -> Image:
        """Return the image of a row: (h, w) or (h, w, 3), uint8 or uint16."""

    def stamp(self, row: int) -> str:
        """Return what changes when the file of a row does: its size and time of change."""

    def digest(self, row: int) -> str:
        """Return a digest of the content of a row."""


@runtime_checkable
class Watch(Protocol):
    """Where building tells how far it is; the watches of the training can be given."""

    def say(self, sentence: str, /) -> None:
        """Show a sentence that stays."""

    def begin(self, title: str, total: int, /) -> None:
        """Start a line of progress."""

    def move(self, done: float, note: str, /) -> None:
        """Move the line."""

    def end(self, note: str, /) -> None:
        """Finish the line."""


class Unwatched:
    """Shows nothing."""

    def say(self, sentence: str, /) -> None:
        """Show nothing."""

    def begin(self, title: str, total: int, /) -> None:
        """Show nothing."""

    def move(self, done: float, note: str, /) -> None:
        """Show nothing."""

    def end(self, note: str, /) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class Made:
    """An image as bytes, their checksum, and the processor time they cost in microseconds."""

    content: bytes
    checksum: int
    micros: int


@dataclass
class Lookup:
    """What a cache folder holds of the images that are asked for.

    Attributes:
        entries: (sources,) of RECORD; only those of `found` are filled.
        found: (sources,) bool. broken: sources of which the index speaks, but whose bytes are not in the files.
        lost: damaged records of the index.
    """

    entries: Records
    found: np.ndarray
    broken: list[int] = field(default_factory=list)
    lost: int = 0


def look_up(folder: Path, store: Store, sources: Sequence[bytes]) -> Lookup:
    """Return what `folder` holds of `sources`; records that point behind the end of a file are broken."""
    records, lost = read_index(folder / INDEX)
    last = last_of_each(records)
    places = np.array([last.get(source, -1) for source in sources], dtype=np.int64)
    found = places >= 0
    entries = np.zeros(len(sources), RECORD)
    entries[found] = records[places[found]]
    sizes = _file_sizes(folder, store)
    inside = np.zeros(len(sources), dtype=bool)
    known = found & (entries["file"] < len(sizes))
    inside[known] = entries["offset"][known] + entries["length"][known] <= sizes[entries["file"][known]]
    return Lookup(entries, found & inside, np.flatnonzero(found & ~inside).tolist(), lost)


def _file_sizes(folder: Path, store: Store) -> np.ndarray:
    sizes: list[int] = []
    while (path := store.file_path(folder, len(sizes))).exists():
        sizes.append(path.stat().st_size)
    return np.array(sizes, dtype=np.uint64)


def digests_of(files: ImageSource, *, hash_files: bool) -> tuple[list[bytes], list[str]]:
    """Return the digest of the source of every row, and why there is none for those of which the file is gone.

    Rows without a file have an empty digest.
    """
    digests, failures = [], []
    for row in range(len(files)):
        try:
            digests.append(digest_of(files, row, hash_files=hash_files))
        except (EquipoiseError, OSError) as error:
            digests.append(b"")
            failures.append(_named(files, row, error))
            if len(failures) == _MOST_FAILURES:
                raise _unreadable(failures, 0, len(files)) from error
    return digests, failures


def digest_of(files: ImageSource, row: int, *, hash_files: bool) -> bytes:
    """Return the digest of the source of one row: of its path and stamp, or of its content alone."""
    if hash_files:
        return source_digest("content", files.digest(row))
    paths = getattr(files, "paths", ())
    return source_digest(str(paths[row]) if len(paths) else files.names[row], files.stamp(row))


def open_folder(folder: Path, steps: Steps, store: Store) -> Path:
    """Return the folder of this list of steps inside a cache folder, made where it is missing.

    Raises:
        RunError: it cannot be made, or what lies there is of another version.
    """
    own = folder / f"{steps.key}-{store.name}"
    about = {"format": _FORMAT, "store": store.name, **_about(steps)}
    if (own / _ABOUT).exists():
        try:
            there = read_json(own / _ABOUT)
        except DataError as error:
            raise _other_version(own) from error
        if there != about:
            raise _other_version(own)
    else:
        try:
            own.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(own, error) from error
        write_json(own / _ABOUT, about)
    return own


def _about(steps: Steps) -> dict[str, object]:
    return {"steps": steps.to_dict(), "shape": [steps.size, steps.size, steps.channels]}


def _other_version(folder: Path) -> RunError:
    return RunError(
        f"{folder} is no image cache of this version of Equipoise: its about.json says something else. Delete the "
        "folder, or choose another one for the cache; the images will be made again."
    )


def _unwritable(folder: Path, error: OSError) -> RunError:
    return RunError(
        f"The image cache {folder} could not be written: {error.strerror or error}. Choose a folder that you may "
        "write to and that has room."
    )


@dataclass(frozen=True)
class Filler:
    """Makes images and writes them into one cache folder.

    Attributes:
        files: the sources. steps: what is done to them. folder: as `open_folder` gives it. store: how they are kept.
        workers: threads. watch: where progress is shown.
    """

    files: ImageSource
    steps: Steps
    folder: Path
    store: Store
    workers: int
    watch: Watch

    def fill(self, sources: Sequence[bytes], rows: Sequence[int], failures: Sequence[str] = ()) -> list[int]:
        """Make every image that is missing; return the rows whose entry was damaged and is made again.

        Args:
            sources: digests, each once.
            rows: a row for each of them.
            failures: what is wrong with images that are not among them, for the message at the end.

        Raises:
            DataError: images that could not be read; all others are cached.
            RunError: the folder cannot be written to.
        """
        try:
            with build_lock(self.folder, self.watch.say):
                state = look_up(self.folder, self.store, sources)
                missing = np.flatnonzero(~state.found).tolist()
                if missing or failures:
                    chosen = [sources[number] for number in missing], [rows[number] for number in missing]
                    self._make(*chosen, list(failures))
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        if state.lost:
            self.watch.say(
                f"{state.lost:,} damaged records of the image cache {self.folder} were passed over; their images were "
                "made again where they are needed."
            )
        return [rows[number] for number in state.broken]

    def _make(self, sources: Sequence[bytes], rows: Sequence[int], failures: list[str]) -> None:
        self._check_room(len(rows))
        images = len(rows) + len(failures)
        done, writer = 0, Writer(self.folder, self.store)
        self.watch.begin(f"Image cache, {len(rows):,} to make", len(rows))
        try:
            with contextlib.closing(self._made(rows)) as all_made:
                for number, made in enumerate(all_made):
                    if isinstance(made, str):
                        failures.append(made)
                        if len(failures) >= _MOST_FAILURES:
                            break
                        continue
                    writer.add(sources[number], made.content, checksum=made.checksum, micros=made.micros)
                    done += 1
                    if number % _CHUNK == 0:
                        self.watch.move(number, f"{done:,} made")
            writer.sync()
        except OSError as error:
            raise self._stopped(error, done, len(rows)) from error
        finally:
            writer.close()
            self.watch.end(f"{done:,} of {len(rows):,} made")
        if failures:
            raise _unreadable(failures, done, images)

    def _check_room(self, images: int) -> None:
        usage = os.statvfs(self.folder) if hasattr(os, "statvfs") else None
        needed = images * self.steps.size**2 * self.steps.channels
        if usage is not None and self.store.name == "raw" and needed > usage.f_bavail * usage.f_frsize:
            raise RunError(
                f"The image cache {self.folder} needs {needed / 1e9:.2f} GB more, and the disk has "
                f"{usage.f_bavail * usage.f_frsize / 1e9:.2f} GB. Free some space, choose another folder, a smaller "
                'size, or store="compressed", which needs about half.'
            )

    def _stopped(self, error: OSError, done: int, images: int) -> RunError:
        return RunError(
            f"The image cache {self.folder} could not be written: {error.strerror or error}. The {done:,} of "
            f"{images:,} images that were made are kept: free some space and run again, and it goes on from there; or "
            'choose another folder, or store="compressed", which needs about half.'
        )

    def _made(self, rows: Sequence[int]) -> Generator[Made | str]:
        """Yield every image in the order of `rows`, or why there is none; threads work a little ahead."""
        chunks = iter([rows[first : first + _CHUNK] for first in range(0, len(rows), _CHUNK)])
        waiting: deque[Future[list[Made | str]]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="image-cache") as pool:
            try:
                for chunk in chunks:
                    waiting.append(pool.submit(self._make_chunk, chunk))
                    if len(waiting) > 2 * self.workers:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def write_one(self, source: bytes, made: Made) -> Records:
        """Write one image that was made again, and return its record, (1,).

        Raises:
            RunError: the folder cannot be written to.
        """
        try:
            with build_lock(self.folder, self.watch.say):
                writer = Writer(self.folder, self.store)
                try:
                    return writer.add(source, made.content, checksum=made.checksum, micros=made.micros)
                finally:
                    writer.close()
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _make_chunk(self, rows: Sequence[int]) -> list[Made | str]:
        return [self.make(row) for row in rows]

    def make(self, row: int) -> Made | str:
        """Return the image of a row as it is to be written, or why there is none."""
        begin = time.thread_time_ns()
        try:
            content = self.store.encode(self.steps.apply(self.files.read(row)))
        except (EquipoiseError, OSError, opencv().error) as error:
            return _named(self.files, row, error)
        return Made(content, checksum_of(content), (time.thread_time_ns() - begin) // 1000)


def _named(files: ImageSource, row: int, error: Exception) -> str:
    """Return the message of an error, with the place in the table unless it says that already."""
    say_place = getattr(files, "place", None)
    place = say_place(row) if say_place else f'row {row + 1}, "{files.names[row]}"'
    return str(error) if place in str(error) else f"{place}: {error}"


def _unreadable(failures: Sequence[str], done: int, images: int) -> DataError:
    shown = "\n".join(f"  - {failure}" for failure in failures[:_SHOWN_FAILURES])
    more = len(failures) - _SHOWN_FAILURES
    counted = (
        f"At least {len(failures):,} of {images:,} images could not be read, and building stopped; {done:,} were cached"
        if len(failures) >= _MOST_FAILURES
        else f"{len(failures):,} of {images:,} images could not be read; the other {done:,} were cached"
    )
    return DataError(
        f"{counted}. Mend these files, or take their rows out of the table, and run again:\n{shown}"
        + (f"\n  - and {more:,} more" if more > 0 else "")
    )


def count_workers(workers: int | None) -> int:
    """Return how many threads build: as given, or one for each processor that this process may use.

    Raises:
        ArgumentError: fewer than one.
    """
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ArgumentError(f"`workers` of build_cache must be a whole number of threads, at least 1; got {workers!r}.")
    return workers
