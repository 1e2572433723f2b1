"""Counting masks: the kernel beside what a user would pick, and a whole volume beside decoding it and the plain loop.

Run: ``OMP_NUM_THREADS=1 python benchmarks/masks.py [--pages 400] [--kernel-only]``. All are timed in turn in every
round, so that a busy machine slows all alike; ratios are taken round by round, and their median and range are printed.

(a) The kernel alone, one thread, on 64 megapixels of uint8 in memory: two classes beside ``mask.max()``; 2 to 32
classes beside ``cv2.calcHist`` (in strips: above 2^24 pixels in a cell its float32 sums are wrong), ``np.bincount`` and
``np.unique``, with counts and (a question that is easier than ours) without; as blobs, as masks are, and as noise, the
worst there is. Counts are compared. (b) A stack of ``--pages`` planes of 2,000 x 2,000 pixels (400: 1.6 gigapixels) on
disk, uint8 and float32, deflated and not: the census beside ``tifffile.imread`` with the same threads, and beside
imread, astype(float32) and two comparisons. Each runs in a process of its own, and the peak memory of the census is
printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Beside this file lies a coverage.py, which numba would take for the package of that name.
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

SIDE = 2000
_LOOP = "mask = mask.astype(np.float32); found = [int((mask > 0.5).sum()), int((mask <= 0.5).sum())][::-1]"
CODE = """
import json, resource, sys, time
import numpy as np
path, threads, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if way == "census":
    from equipoise.data import count_masks_of
    from equipoise.labels import MaskClasses
    classes = MaskClasses.from_foreground("> 0.5")
else:
    import tifffile
start = time.perf_counter()
if way == "census":
    found = count_masks_of(path, classes, workers=threads).positives.tolist()
else:
    mask = tifffile.imread(path, maxworkers=threads)
    found = []
    if way == "loop":
        LOOP
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, found]))
""".replace("LOOP", _LOOP)


def blobs(shape: tuple[int, int], classes: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return a mask of discs on a background that fills most of it."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    for number in range(60):
        y, x, radius = (
            rng.integers(0, shape[0]),
            rng.integers(0, shape[1]),
            int(rng.integers(shape[0] // 100, shape[0] // 12)),
        )
        rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
        disc = rows**2 + columns**2 <= radius**2
        part = mask[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        part[disc[: part.shape[0], : part.shape[1]]] = 1 + number % (classes - 1)
    return mask


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of this thread: others on the machine do not count."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def line(name: str, ratios: list[float]) -> None:
    """Print the median and range of ratios."""
    print(f"  {name:44} {statistics.median(ratios):7.2f}  ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


def kernel(rounds: int) -> None:
    """Time the kernel beside what a user would pick."""
    import cv2

    from equipoise.data._mask_values import ValueCounts, kernels
    from equipoise.labels import MaskClasses

    kernels()
    print("(a) kernel, one thread, 64 megapixels uint8; times as fast as (median, range over rounds)")
    cv2.setNumThreads(1)  # the time of other threads would not be seen
    for classes, how in product((2, 3, 5, 8, 16, 32), ("blobs", "noise")):
        rng = np.random.default_rng(0)
        tile = blobs((4096, 4096), classes) if how == "blobs" else rng.integers(0, classes, (4096, 4096), np.uint8)
        mask = np.ascontiguousarray(np.tile(tile, (4, 1)))

        def ours(mask: NDArray[np.uint8] = mask) -> dict[float, int]:
            counts = ValueCounts(MaskClasses.from_foreground())
            for start in range(0, len(mask), 256):
                counts.add(mask[start : start + 256])
            return dict(counts.total())

        def hist(mask: NDArray[np.uint8] = mask) -> NDArray[np.int64]:
            strips = (mask[start : start + 512] for start in range(0, len(mask), 512))
            return sum(cv2.calcHist([strip], [0], None, [256], [0, 256]).astype(np.int64) for strip in strips)

        others = {
            "mask.max()": mask.max,
            "cv2.calcHist": hist,
            "np.bincount": lambda mask=mask: np.bincount(mask.ravel()),
            "np.unique with counts": lambda tile=tile: np.unique(tile, return_counts=True),
            "np.unique of values alone": lambda tile=tile: np.unique(tile),
        }
        found = ours()
        assert found == {k: int(n) for k, n in enumerate(np.bincount(mask.ravel())) if n}
        assert [found.get(k, 0) for k in range(256)] == hist().ravel().tolist()
        table: dict[str, list[float]] = {name: [] for name in others}
        for _ in range(rounds):
            own = seconds(ours)
            for name, work in others.items():
                table[name].append(seconds(work) * (4 if name.startswith("np.unique") else 1) / own)
        for name, ratios in table.items():
            line(f"{classes} classes, {how}: {name}", ratios)


def write_stack(path: Path, dtype: str, compression: str | None, pages: int) -> None:
    """Write planes of discs as one TIFF."""
    import tifffile

    planes = [blobs((SIDE, SIDE), 2, seed).astype(dtype) for seed in range(4)]
    planes = [plane * np.array(255 if dtype == "uint8" else 1, dtype) for plane in planes]
    tifffile.imwrite(
        path, (planes[k % 4] for k in range(pages)), shape=(pages, SIDE, SIDE), dtype=dtype, compression=compression,
        bigtiff=True, rowsperstrip=None if compression is None else 256,
    )  # fmt: skip


def run(path: Path, threads: int, way: str) -> tuple[float, int, list[int]]:
    """Return seconds, peak megabytes and counts of one way, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path), str(threads), way], capture_output=True, text=True, check=True
    )
    took, memory, found = json.loads(done.stdout)
    return took, memory, found


def volumes(folder: Path, pages: int, threads: int, rounds: int) -> None:
    """Time the census of a volume beside decoding it and beside the plain loop."""
    print(f"(b) {pages * SIDE * SIDE / 1e9:.2f} gigapixels from disk, {threads} threads; times as fast as, peak memory")
    for dtype in ("uint8", "float32"):
        for compression in (None, "deflate"):
            path = folder / f"{dtype}-{compression}.tif"
            write_stack(path, dtype, compression, pages)
            table: dict[str, list[float]] = {"decode": [], "loop": []}
            peak = 0
            for _ in range(rounds):
                own, memory, found = run(path, threads, "census")
                peak = max(peak, memory)
                for way, ratios in table.items():
                    took, _, theirs = run(path, threads, way)
                    ratios.append(took / own)
                    assert not theirs or theirs == found, (theirs, found)
            print(f"  {dtype}, {compression or 'raw'}: {own:.2f} s, peak {peak} MB")
            line("tifffile.imread alone", table["decode"])
            line("imread, astype(float32), two comparisons", table["loop"])
            path.unlink()


def main() -> None:
    """Run what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kernel-only", action="store_true")
    parser.add_argument("--no-kernel", action="store_true")
    given = parser.parse_args()
    if not given.no_kernel:
        kernel(given.rounds)
    if not given.kernel_only:
        with tempfile.TemporaryDirectory() as folder:
            volumes(Path(folder), given.pages, given.threads, given.rounds)
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
