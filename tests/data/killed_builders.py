"""Builders of one cache that are killed at chosen and at random instants, and two that build at once.

Run as a program: it forks before any thread exists, which a test run could not. Prints "fine" at the end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from data.image_fakes import Folder, make_folder
from equipoise.data import build_cache, parse_steps
from equipoise.data._cache_build import look_up
from equipoise.data._cache_index import RECORD, read_index
from equipoise.data._cache_store import INDEX, STORES, checksum_of, map_files

IMAGES = 40
STEPS = parse_steps(["clahe", "resize"], size=16, channels=1)


class Slow(Folder):
    """Takes a millisecond for an image, and counts in a file that processes share."""

    def read(self, row: int):
        time.sleep(0.001)
        with (self.paths[0].parent.parent / "reads").open("a") as log:
            log.write(f"{row}\n")
        return super().read(row)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(call: str, number: int, *, done: bool) -> None:
    """Kill this process in the `number`-th call of os.write or os.pwrite: after half of the bytes, or all of them."""
    original, calls = getattr(os, call), iter(range(10**9))

    def deadly(descriptor: int, content: memoryview, *rest: int) -> int:
        if next(calls) == number:
            original(descriptor, content if done else content[: len(content) // 2], *rest)
            die()
        return original(descriptor, content, *rest)

    setattr(os, call, deadly)


def whole_entries(cache: Path, store: str) -> int:
    """Check every entry that counts, and return how many there are."""
    (folder,) = cache.iterdir()
    records, damaged = read_index(folder / INDEX)
    assert damaged == 0
    files = map_files(folder, STORES[store])
    for record in records:
        content = files[record["file"]][record["offset"] : record["offset"] + record["length"]]
        assert len(content) == record["length"]
        assert checksum_of(content) == record["checksum"]
    return len(records)


def reads(images: Folder) -> list[str]:
    log = images.paths[0].parent.parent / "reads"
    return log.read_text().splitlines() if log.exists() else []


def killed(images: Folder, cache: Path, store: str, how) -> None:
    child = os.fork()
    if child == 0:
        how()
        build_cache(images, STEPS, cache, workers=1, store=store)
        os._exit(0)
    if how is kill_from_outside:
        time.sleep(np.random.default_rng().uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or how is kill_from_outside


def kill_from_outside() -> None:
    """Nothing to prepare."""


def finish(images: Folder, cache: Path, store: str) -> None:
    before = whole_entries(cache, store) if cache.exists() and any(cache.glob(f"*/{INDEX}")) else 0
    made = len(reads(images))
    finished = build_cache(images, STEPS, cache, workers=2, store=store)
    assert len(reads(images)) - made == IMAGES - before, "what was done is not done again"
    expected = np.stack([STEPS.apply(images.read(row)) for row in range(IMAGES)])
    assert np.array_equal(finished.read(np.arange(IMAGES)), expected)
    assert finished.mended == []
    assert (next(cache.iterdir()) / INDEX).stat().st_size == IMAGES * RECORD.itemsize


def two_at_once(images: Folder, cache: Path) -> None:
    class Watch:
        def say(self, sentence: str) -> None:
            sys.stdout.write(sentence)

        def begin(self, title: str, total: int) -> None: ...
        def move(self, done: float, note: str) -> None: ...
        def end(self, note: str) -> None: ...

    before, children = len(reads(images)), []
    for _ in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            cache_of_child = build_cache(images, STEPS, cache, workers=1, watch=Watch())
            assert len(cache_of_child) == IMAGES
            sys.stdout.flush()
            os._exit(0)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    assert len(reads(images)) - before == IMAGES, "each image was made once"
    assert whole_entries(cache, "raw") == IMAGES
    state = look_up(next(cache.iterdir()), STORES["raw"], [])
    assert state.lost == 0


def main(folder: Path) -> None:
    images = Slow(make_folder(folder / "images", IMAGES).paths)
    instants = [(call, number, done) for call in ("pwrite", "write") for number in (0, 13) for done in (False, True)]
    for number, (call, calls, done) in enumerate(instants):
        store = "compressed" if number % 2 else "raw"
        cache = folder / f"killed-{number}"
        for again in range(2):  # and once more, where the first left off
            killed(images, cache, store, lambda c=call, n=calls - again, d=done: die_at(c, max(n, 0), done=d))
        finish(images, cache, store)
    for number in range(4):
        cache = folder / f"random-{number}"
        for _ in range(3):
            killed(images, cache, "raw", kill_from_outside)
        finish(images, cache, "raw")
    two_at_once(images, folder / "two")
    sys.stdout.write("fine")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
