"""Two cells side by side on two cores, against the same two one after the other; one thread a cell.

Each round trains both ways, in an order that changes from round to round, and prints the ratio of their times: at most
0.65 is wanted. The worker processes are warm in both: what is timed is what a person waits for in a long ablation. A
machine that does other work at the same time shows in the spread.

    python benchmarks/ablation.py [--rounds 5] [--rows 4000] [--epochs 12]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from equipoise.ablation import Matrix, read_matrix
from equipoise.ablation._pool import LocalPool

_MATRIX = """
base: table
set: {{data.table: {table}, data.labels: [y], data.groups: none, model.name: mlp, training.members: 1,
      training.epochs: {epochs}, training.patience: null, training.batch_size: 256}}
seeds: 1
arms: {{plain: {{}}, weighted: {{balance.weights.scheme: sqrt}}}}
"""


def write_matrix(folder: Path, rows: int, epochs: int) -> Matrix:
    """Write a table of random rows and a matrix of two arms."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 20)).round(4)
    y = rng.random(rows) < 1 / (1 + np.exp(3 - x[:, 0] - x[:, 1]))
    lines = [",".join([*(f"x{column}" for column in range(20)), "y"])]
    lines += [",".join(map(str, [*row, int(label)])) for row, label in zip(x.tolist(), y, strict=True)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    (folder / "two.yaml").write_text(_MATRIX.format(table=folder / "table.csv", epochs=epochs))
    return read_matrix(folder / "two.yaml")


def train_cells(matrix: Matrix, folder: Path, pool: LocalPool) -> float:
    """Train both cells anew in a pool that is warm; return the seconds."""
    shutil.rmtree(folder / "cells", ignore_errors=True)
    waiting, running = list(matrix.cells), 0
    begin = time.perf_counter()
    while waiting or running:
        while waiting and running < pool.size:
            pool.submit(waiting.pop(0))
            running += 1
        report = pool.report(0.05)
        if report is not None and (report.outcome is not None or report.lost is not None):
            if report.outcome is None or report.outcome.status != "finished":
                raise SystemExit(f"a cell failed: {report}")
            running -= 1
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("rounds", 5), ("rows", 4000), ("epochs", 12)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        matrix = write_matrix(folder, given.rows, given.epochs)
        pools = {size: LocalPool(folder, size, 1, matrix.metric) for size in (1, 2)}
        for pool in pools.values():
            train_cells(matrix, folder, pool)  # the imports
        ratios = []
        for number in range(given.rounds):
            order = (1, 2) if number % 2 else (2, 1)
            took = {size: train_cells(matrix, folder, pools[size]) for size in order}
            ratios.append(took[2] / took[1])
            print(f"in sequence {took[1]:6.2f} s   side by side {took[2]:6.2f} s   ratio {ratios[-1]:.2f}")
        for pool in pools.values():
            pool.close()
    print(f"median ratio {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f} (wanted: 0.65)")


if __name__ == "__main__":
    main()
