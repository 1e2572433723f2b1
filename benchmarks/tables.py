"""Reading, typing and preparing a table beside pandas and scikit-learn; batches beside DataLoader.

Run: ``OMP_NUM_THREADS=1 python benchmarks/tables.py``. Ratios of one run count; seconds depend on the machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROUNDS = 3


def seconds(work: Callable[[], Any]) -> float:
    """Return the least of `ROUNDS` timings."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def write_table(path: Path, rows: int = 100_000) -> None:
    """Write 40 numeric and 10 category columns, with gaps."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"n{j}": rng.normal(size=rows).round(4).astype(str) for j in range(40)}
    columns |= {f"c{j}": rng.choice(["a", "b", "cc", "NA"], rows) for j in range(10)}
    columns["n0"][::7] = "NA"
    pl.DataFrame(columns).write_csv(path)


def ours(path: Path) -> None:
    """Read, type, fit and apply with Equipoise."""
    from equipoise.data import fit_preprocessor, read_features
    from equipoise.labels import read_table

    features = read_features(read_table(path))
    fit_preprocessor(features, np.arange(70_000), numeric="standard").apply(features)


def scikit_learn(path: Path) -> None:
    """Read with pandas; impute, scale and one-hot with scikit-learn."""
    import pandas as pd
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = pd.read_csv(path)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    transformer = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    transformer.fit(table[:70_000])
    transformer.transform(table)


def batches() -> None:
    """Print the cost of one epoch's batches for the ways a user would make them."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from equipoise.data import epoch_batches, epoch_order

    tensors = [torch.randn(20_000, 50), torch.randint(0, 5, (20_000, 9)), torch.rand(20_000, 3)]

    def indexed(size: int) -> None:
        order = epoch_order(20_000, seed=0, epoch=0)
        for rows in order.split(size):
            _ = [tensor[rows] for tensor in tensors]

    for size in (32, 512):
        loader = DataLoader(TensorDataset(*tensors), batch_size=size, shuffle=True)
        base = seconds(lambda size=size: indexed(size))
        mine = seconds(lambda size=size: list(epoch_batches(tensors, size, seed=0, epoch=0)))
        plain = seconds(lambda loader=loader: [None for _ in loader])
        print(
            f"batch {size:>3}: indexing each batch {base * 1e3:6.1f} ms = 1; equipoise {mine / base:.2f}; "
            f"DataLoader {plain / base:.2f}"
        )


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path)
        ours(path), scikit_learn(path)  # imports and page cache
        mine, theirs = seconds(lambda: ours(path)), seconds(lambda: scikit_learn(path))
        print(f"100,000 x 50: equipoise {mine:.2f} s = 1; pandas + scikit-learn {theirs / mine:.2f}")
    batches()


if __name__ == "__main__":
    main()
