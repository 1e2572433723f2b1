"""The image cache: what building it costs beside a bare OpenCV loop, and what a read costs beside the alternatives.

Run: ``OMP_NUM_THREADS=1 python benchmarks/images.py [--folder IMAGES]``. Everything is timed in turn in every round, so
that a busy machine slows all alike; ratios are taken round by round, and their median and range are printed.

(a) Building, on one core: images of 1024 x 1024 (computed textures, as PNG and as JPEG), and with ``--folder`` real
ones, through decode, CLAHE (clip 2, 8 x 8 tiles) and resize to 224. Beside it a loop of OpenCV's own ``imread``, CLAHE
and area resize, which keeps nothing, and one with scikit-image's ``equalize_adapthist``. Processor time, since the
cache also writes. (b) Random single reads of 224 x 224 grey from the page cache, beside doing those steps at run time,
beside PNG files of 224 x 224, and beside copies out of a plain memory-mapped array, the most that can be had.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from equipoise.data import ImageCache, build_cache, find_images, parse_steps

SIDE, SIZE = 1024, 224
STEPS = parse_steps(["clahe", "resize"], size=SIZE, channels=1)


def make_images(folder: Path, kind: str, images: int) -> list[Path]:
    """Write computed textures that compress about as well as X-rays do: smooth shapes with grain."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(images):
        smooth = cv2.resize(rng.normal(size=(12, 12)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        grain = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 1.5)
        paths.append(folder / f"{number:03d}.{kind}")
        cv2.imwrite(str(paths[-1]), (120 + 40 * smooth + 12 * grain).clip(0, 255).astype(np.uint8))
    return paths


def bare(paths: list[Path]) -> None:
    """The shortest loop that anyone would write."""
    clahe = cv2.createCLAHE(2.0, (8, 8))
    for path in paths:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        way = cv2.INTER_AREA if min(grey.shape) >= SIZE else cv2.INTER_CUBIC
        cv2.resize(clahe.apply(grey), (SIZE, SIZE), interpolation=way)


def scikit_image(paths: list[Path]) -> None:
    """The same with scikit-image's CLAHE."""
    from skimage.exposure import equalize_adapthist

    for path in paths:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        tile = (max(grey.shape[0] // 8, 1), max(grey.shape[1] // 8, 1))
        even = (equalize_adapthist(grey, kernel_size=tile, clip_limit=0.01) * 255).astype(np.uint8)
        cv2.resize(even, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def built(paths: list[Path], folder: Path, workers: int = 1) -> ImageCache:
    """Build a cache of these files from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    return build_cache(find_images([path.name for path in paths], paths[0].parent), STEPS, folder, workers=workers)


def processor(work: Callable[[], object]) -> float:
    """Return the processor time of a call, over all threads, in seconds."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def wall(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def spread(over: list[float], under: list[float], form: str = ".2f") -> str:
    """Return the median of the ratios of two series, and their range."""
    ratios = sorted(a / b for a, b in zip(over, under, strict=True))
    return f"{statistics.median(ratios):{form}} ({ratios[0]:{form}} to {ratios[-1]:{form}})"


def report_building(name: str, paths: list[Path], folder: Path, rounds: int) -> None:
    """Print the part (a) for some files."""
    ways: dict[str, Callable[[], object]] = {
        "bare OpenCV loop": lambda: bare(paths),
        "cache, 1 worker": lambda: built(paths, folder),
        "scikit-image's CLAHE": lambda: scikit_image(paths),
    }
    bare(paths), built(paths, folder), scikit_image(paths[:1])
    taken: dict[str, list[float]] = {way: [] for way in ways}
    walls: dict[str, list[float]] = {"bare": [], "cache": []}
    for _ in range(rounds):
        for way, work in ways.items():
            taken[way].append(processor(work))
        walls["bare"].append(wall(lambda: bare(paths)))
        walls["cache"].append(wall(lambda: built(paths, folder, len(os.sched_getaffinity(0)))))
    print(f"\n(a) building, {len(paths)} {name}, {rounds} rounds    ms an image   speed, x bare loop: median (range)")
    for way, seconds in taken.items():
        each = 1000 * min(seconds) / len(paths)
        print(f"  {way:<26}{each:28.2f}   {spread(taken['bare OpenCV loop'], seconds)}")
    both = f"cache, {len(os.sched_getaffinity(0))} workers, wall"
    print(f"  {both:<26}{1000 * min(walls['cache']) / len(paths):28.2f}   {spread(walls['bare'], walls['cache'])}")


def repeated(images: NDArray[np.uint8], folder: Path, rows: int) -> ImageCache:
    """Return a cache of `rows` images, made of a few by shifting them."""

    class Shifted:
        names = tuple(map(str, range(rows)))

        def __len__(self) -> int:
            return rows

        def read(self, row: int) -> NDArray[np.uint8]:
            return np.roll(images[row % len(images), :, :, 0], row, axis=0)

        def stamp(self, row: int) -> str:
            return str(row)

        digest = stamp

    return build_cache(Shifted(), parse_steps(["resize"], size=SIZE, channels=1), folder)


def report_reading(paths: list[Path], folder: Path, rounds: int, rows: int) -> None:
    """Print the part (b): random single reads."""
    cache = repeated(built(paths, folder / "few").read(np.arange(len(paths))), folder / "many", rows)
    cache.verify()
    plain = np.lib.format.open_memmap(folder / "plain.npy", "w+", np.uint8, cache.shape)
    plain[:] = cache.read(np.arange(rows))
    files = [folder / f"{row}.png" for row in range(min(rows, 500))]
    for row, file in enumerate(files):
        cv2.imwrite(str(file), plain[row])
    resize = parse_steps(["resize"], size=SIZE, channels=1)
    found = find_images([file.name for file in files], folder)
    compressed = build_cache(found, resize, folder / "packed", store="compressed")
    compressed.verify()
    out = np.empty((32, *cache.shape[1:]), np.uint8)
    names = [str(file) for file in files]
    # Each: what one reading takes, how many there are of what it takes, and how many images one is.
    ways: dict[str, tuple[Callable[[NDArray[np.int64]], object], int, int]] = {
        "cache, one at a time": (cache.read, 10_000, 1),
        "cache, 32 at a time, into `out`": (lambda drawn: cache.read(drawn, out), 300, 32),
        "plain memory map, copied": (lambda drawn: plain[drawn[0]].copy(), 10_000, 1),
        "compressed cache": (lambda drawn: compressed.read(drawn % len(files)), 500, 1),
        "PNG files of 224 x 224": (
            lambda drawn: cv2.imread(names[drawn[0] % len(files)], cv2.IMREAD_GRAYSCALE), 500, 1,
        ),
        "decode + CLAHE + resize": (lambda drawn: bare([paths[drawn[0] % len(paths)]]), 30, 1),
    }  # fmt: skip
    rng = np.random.default_rng(1)
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way, (read, readings, images) in ways.items():
            drawn = list(rng.integers(0, rows, (readings, images)))
            begin = time.perf_counter()
            for each in drawn:
                read(each)
            taken[way].append((time.perf_counter() - begin) / (readings * images))
    print(f"\n(b) random reads of {rows:,} images, {rounds} rounds    images/s (best)   time, x cache: median (range)")
    for way, seconds in taken.items():
        first = taken["cache, one at a time"][1:]  # the first round warms up
        print(f"  {way:<36}{1 / min(seconds):23,.0f}   {spread(seconds[1:], first, ',.1f')}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="real images, to build a cache of as well")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=4000)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = {}
        for kind in ("png", "jpg"):
            (folder / kind).mkdir()
            made[kind] = make_images(folder / kind, kind, given.images)
            report_building(f"{kind.upper()} of {SIDE} x {SIDE}", made[kind], folder / "cache", given.rounds)
        if given.folder:
            found = sorted(path for path in given.folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
            report_building(f"files of {given.folder.name}", found[:1000], folder / "cache", min(given.rounds, 3))
        report_reading(made["png"], folder, given.rounds, given.rows)


if __name__ == "__main__":
    main()
