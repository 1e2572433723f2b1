"""Counting labels beside pandas: seconds and memory of whole processes, run in turn.

Run: ``python benchmarks/census.py [--rows 20000000] [--rounds 5] [--nih FILE]``. The long file (44 bytes a row) is made
in a temporary folder and removed at the end, also when the run is interrupted. pandas is no dependency of Equipoise;
without it only Equipoise is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import numpy as np

NIH = Path(__file__).resolve().parents[2] / "shared/data/nih-chestxray14-labels/Data_Entry_2017_v2020.csv.gz"
FINDINGS = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Hernia")
# What a user of pandas writes for a file that fits: indicators per finding, then groups with any.
DUMMIES = """
import sys, pandas as pd
path, labels, groups = sys.argv[1:4]
frame = pd.read_csv(path, usecols=[labels, groups], dtype=str)
table = frame[labels].str.get_dummies("|").drop(columns="No Finding")
print(table.sum(), frame[labels].value_counts().head(10))
print(table.groupby(frame[groups]).any().sum(), frame[groups].nunique())
"""
# The quickest that pandas can do: every distinct cell is taken apart once.
DISTINCT = """
import sys, pandas as pd
path, labels, groups = sys.argv[1:4]
frame = pd.read_csv(path, usecols=[labels, groups], dtype="category")
cells = frame[labels].value_counts()
parts = cells.index.astype(str).str.split("|")
counts = cells.to_numpy().repeat(parts.map(len))
print(pd.Series(counts, index=[p for c in parts for p in c]).groupby(level=0).sum(), cells.head(10))
pairs = frame.drop_duplicates()
pairs = pairs.assign(finding=pairs[labels].astype(str).str.split("|")).explode("finding")
print(pairs.groupby("finding")[groups].nunique(), frame[groups].nunique())
"""


def measured(command: list[str]) -> tuple[float, float]:
    """Return the seconds and the peak memory (MB) of a command as a whole process."""
    start = time.perf_counter()
    child = os.posix_spawnp(
        command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{command[:3]} failed with status {status}.")
    return time.perf_counter() - start, used.ru_maxrss / 1024


def compare(title: str, path: Path, labels: str, groups: str, contenders: dict[str, str | None], rounds: int) -> None:
    """Print seconds (median, least to most), memory and the ratio to Equipoise of each contender."""
    ours = [sys.executable, "-m", "equipoise", "census", str(path), "--labels", labels, "--separator", "|"]
    commands = {"equipoise": [*ours, "--groups", groups]}
    for name, script in contenders.items():
        if script is not None:
            commands[name] = [sys.executable, "-c", script, str(path), labels, groups]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    memory = dict.fromkeys(commands, 0.0)
    for _ in range(rounds):
        for name, command in commands.items():
            took, peak = measured(command)
            seconds[name].append(took)
            memory[name] = max(memory[name], peak)
    print(f"\n{title}")
    for name, times in seconds.items():
        ratios = sorted(a / b for a, b in zip(times, seconds["equipoise"], strict=True))
        print(
            f"  {name:<24}{statistics.median(times):8.2f} s ({min(times):.2f} to {max(times):.2f})"
            f"{memory[name]:9.0f} MB   x {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def write_long(path: Path, rows: int) -> None:
    """Write `rows` rows with an image, joined findings and one of 300,000 patients."""
    rng = np.random.default_rng(0)
    cells = ["No Finding"]
    cells += ["|".join(name for bit, name in enumerate(FINDINGS) if mask >> bit & 1) for mask in range(1, 256)]
    shares = np.array([0.5] + [0.5 / 255] * 255)
    with path.open("w", encoding="utf-8") as file:
        file.write("image,finding,patient\n")
        for start in range(0, rows, 500_000):
            count = min(500_000, rows - start)
            found, patients = rng.choice(256, count, p=shares).tolist(), rng.integers(0, 300_000, count).tolist()
            file.write(
                "".join(
                    f"{start + n:08d}.png,{cells[cell]},{patient}\n"
                    for n, (cell, patient) in enumerate(zip(found, patients, strict=True))
                )
            )


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # so that the temporary folder is removed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000, help="rows of the long file; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nih", type=Path, default=NIH)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    has_pandas = importlib.util.find_spec("pandas") is not None
    if not has_pandas:
        print("pandas is not installed; only Equipoise is measured. Install it with: pip install pandas")
    scripts: dict[str, str | None] = {"pandas, indicators": DUMMIES, "pandas, distinct cells": DISTINCT}
    scripts = scripts if has_pandas else {}
    if chosen.nih.exists():
        compare("NIH ChestX-ray14, 112,120 rows", chosen.nih, "Finding Labels", "Patient ID", scripts, chosen.rounds)
    else:
        print(f"{chosen.nih} is not here; give the NIH label file with --nih.")
    if chosen.rows:
        scripts.pop("pandas, indicators", None)  # many minutes at this length
        with tempfile.TemporaryDirectory(prefix="equipoise-census-") as folder:
            for rows in dict.fromkeys((max(1, chosen.rows // 10), chosen.rows)):
                path = Path(folder) / f"{rows}.csv"
                write_long(path, rows)
                title = f"{rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB"
                compare(title, path, "finding", "patient", scripts, max(1, chosen.rounds // 2))
                path.unlink()


if __name__ == "__main__":
    main()
