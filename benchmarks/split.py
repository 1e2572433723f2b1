"""Splitting the NIH labels with patients kept whole, beside scikit-learn: seconds, and how far prevalences move.

Run: ``OMP_NUM_THREADS=1 python benchmarks/split.py [--seeds 10] [--nih FILE]``. Deviations are the largest over all
roles and classes; a good split has small ones for every seed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NIH = Path(__file__).resolve().parents[2] / "shared/data/nih-chestxray14-labels/Data_Entry_2017_v2020.csv.gz"
FLAGS = ["--labels", "Finding Labels", "--separator", "|", "--groups", "Patient ID", "--ids", "Image Index"]


def deviations(values: NDArray[np.float32], parts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the largest absolute and relative deviation of a class's prevalence in a part."""
    overall = values.mean(axis=0, dtype=np.float64)
    moved = [np.abs(values[parts == part].mean(axis=0, dtype=np.float64) - overall) for part in np.unique(parts)]
    return float(np.max(moved)), float((np.array(moved) / overall).max())


def torn(groups: NDArray[np.int64], parts: NDArray[np.int64]) -> int:
    """Return how many groups are in more than one part."""
    return len(set(zip(groups.tolist(), parts.tolist(), strict=True))) - len(set(groups.tolist()))


def show(name: str, seconds: list[float], results: list[tuple[float, float]], broken: int) -> None:
    """Print the worst of all seeds."""
    absolute, relative = np.max(results, axis=0)
    print(
        f"  {name:<34}{np.median(seconds):7.2f} s ({min(seconds):.2f} to {max(seconds):.2f})  {absolute:.6f} absolute  "
        f"{relative:8.2%} relative  {broken} groups torn"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--nih", type=Path, default=NIH)
    chosen = parser.parse_args()
    if not chosen.nih.exists():
        raise SystemExit(f"{chosen.nih} is not here; give the NIH label file with --nih.")
    from sklearn.model_selection import StratifiedGroupKFold

    from equipoise.labels import read_labels, split_labels

    labels = read_labels(chosen.nih, "Finding Labels", separator="|", groups="Patient ID", ids="Image Index")
    assert labels.groups is not None
    plans: dict[str, dict[str, object]] = {
        "70/15/15": {}, "80/10/10": {"fractions": (0.8, 0.1, 0.1)}, "5 folds": {"folds": 5}, "10 folds": {"folds": 10},
    }  # fmt: skip
    print(f"Worst of {chosen.seeds} seeds, 112,120 rows of 30,805 patients")
    for name, plan in plans.items():
        times, results, broken = [], [], 0
        for seed in range(chosen.seeds):
            start = time.perf_counter()
            split = split_labels(labels, seed=seed, **plan)  # type: ignore[arg-type]
            times.append(time.perf_counter() - start)
            parts = split.folds if split.folds is not None else np.unique(split.roles, return_inverse=True)[1]
            results.append(deviations(labels.values, parts))
            broken += torn(labels.groups, parts)
        show(f"equipoise, {name}", times, results, broken)
    start = time.perf_counter()
    combined = np.unique(labels.values, axis=0, return_inverse=True)[1].reshape(-1)
    parts = np.zeros(len(labels), np.int64)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(combined, combined, labels.groups)
    for fold, (_, rows) in enumerate(folds):
        parts[rows] = fold
    took = time.perf_counter() - start
    show("StratifiedGroupKFold, 5, one seed", [took], [deviations(labels.values, parts)], torn(labels.groups, parts))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        command = [sys.executable, "-m", "equipoise", "split", str(chosen.nih), *FLAGS]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    print(f"Whole process `equipoise split`: {np.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
