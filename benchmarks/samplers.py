"""Drawing an epoch beside PyTorch's WeightedRandomSampler: seconds, memory, and what happens beyond 2^24 rows.

Run: ``OMP_NUM_THREADS=1 python benchmarks/samplers.py [--rows 112120 16777216] [--large 100000000]``. Each measurement
is a process of its own, so that peak memory is its own; both are given the same multi-label rows (801 combinations, as
in NIH) and go through every index as a DataLoader does. Ratios are of medians in one run.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from equipoise.balance import SamplingPlan

COMBINATIONS = 801


def make_plan(rows: int) -> SimpleNamespace:
    """Return rows of 801 label combinations, the rare ones drawn more often; made in blocks."""
    rng = np.random.default_rng(0)
    shares = rng.gamma(0.1, size=COMBINATIONS) + 1e-4
    edges = np.cumsum(shares / shares.sum())
    codes = np.empty(rows, np.int32)
    for begin in range(0, rows, 1 << 20):
        part = codes[begin : begin + (1 << 20)]
        part[:] = np.minimum(np.searchsorted(edges, rng.random(len(part))), COMBINATIONS - 1)
    codes[:COMBINATIONS] = np.arange(COMBINATIONS)
    counts = np.zeros(COMBINATIONS, np.int64)
    for begin in range(0, rows, 1 << 20):
        counts += np.bincount(codes[begin : begin + (1 << 20)], minlength=COMBINATIONS)
    weights = np.minimum(1.0 / np.sqrt(counts), 20.0 / np.sqrt(counts.max()))
    weights /= weights @ counts
    return SimpleNamespace(
        combination_codes=codes, combination_counts=counts, combination_weights=weights, draws=rows,
        combination_labels=np.zeros((COMBINATIONS, 0), np.int8),
    )  # fmt: skip


def plan_labels(rows: int) -> SamplingPlan:
    """Return the library's own plan of `rows` labels of 20 classes: what a user does before drawing."""
    from equipoise.balance import plan_sampling
    from equipoise.labels import Labels

    rng = np.random.default_rng(0)
    shares = np.geomspace(1.0, 1e-3, 20)
    edges = np.cumsum(shares / shares.sum())
    values = np.empty(rows, np.float32)
    for begin in range(0, rows, 1 << 20):
        part = values[begin : begin + (1 << 20)]
        part[:] = np.minimum(np.searchsorted(edges, rng.random(len(part))), 19)
    labels = Labels("multiclass", tuple(map(str, range(20))), values, np.arange(rows))
    start = time.perf_counter()
    plan = plan_sampling(labels)
    sys.stderr.write(f"planned in {time.perf_counter() - start:.1f} s\n")
    return plan


def peak() -> float:
    """Return the most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def through(sampler: object) -> int:
    """Go through a sampler as a loader does, and return how many indices or rows it gave."""
    count = 0
    for _ in sampler:  # type: ignore[attr-defined]
        count += 1
    return count


def measure(kind: str, rows: int, repeats: int) -> dict[str, object]:
    """Measure one sampler in this process: seconds to make it and to draw an epoch, and peak memory."""
    import torch
    from torch.utils.data import BatchSampler, WeightedRandomSampler

    from equipoise.samplers import IndexStream, PlanBatchSampler, PlanSampler

    plan = plan_labels(rows) if kind == "planned stream" else make_plan(rows)
    weighted = kind.startswith("torch")
    weights = torch.as_tensor(plan.combination_weights[plan.combination_codes]) if weighted else None
    before = peak()
    start = time.perf_counter()
    made: object
    try:
        if weighted:
            made = WeightedRandomSampler(weights, rows)
            made = BatchSampler(made, 64, drop_last=False) if kind.endswith("batches") else made
        elif kind.endswith("stream"):
            made = IndexStream(plan, seed=0)
        else:
            made = PlanSampler(plan, rank=0, world=1, replacement="in turn" not in kind)
            made = PlanBatchSampler(made, 64) if kind.endswith("batches") else made
        making = time.perf_counter() - start
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            if kind.endswith("stream"):
                total = np.zeros(len(plan.combination_counts), np.int64)
                for chunk in made.chunks(0):  # type: ignore[attr-defined]
                    total += np.bincount(plan.combination_codes[chunk], minlength=len(total))
                assert total.sum() == rows
            else:
                through(made)
            seconds.append(time.perf_counter() - start)
    except RuntimeError as error:
        return {"error": str(error).splitlines()[0]}
    found: dict[str, object] = {"making": making, "seconds": seconds, "memory": peak() - before, "peak": peak()}
    if kind.endswith("stream"):
        from equipoise.balance._fit import chi_square_fit

        found["p"] = chi_square_fit(total, plan.combination_counts * plan.combination_weights).p_value
    return found


def run(kind: str, rows: int, repeats: int) -> dict[str, object]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--one", kind, "--rows", str(rows), "--repeats", str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1] if lines else f"ended with status {done.returncode}"}
    read: dict[str, object] = json.loads(done.stdout)
    return read


def show(name: str, found: dict[str, object], beside: float | None) -> float | None:
    """Print a line; return the median seconds of an epoch."""
    if "error" in found:
        print(f"  {name:<42} fails: {found['error']}")
        return None
    seconds: list[float] = found["seconds"]  # type: ignore[assignment]
    median = float(np.median(seconds))
    ratio = "" if beside is None else f"  {beside / median:6.1f}x faster"
    print(
        f"  {name:<42}{median:8.3f} s an epoch ({min(seconds):.3f} to {max(seconds):.3f}), made in "
        f"{found['making']:.3f} s, {found['memory']:,.0f} MiB more{ratio}"
    )
    return median


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[112_120, 16_777_215])
    parser.add_argument("--large", type=int, default=0, help="also draw an epoch of so many rows, in chunks")
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--one", default=None)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(measure(chosen.one, chosen.rows[0], chosen.repeats)))
        return
    for rows in chosen.rows:
        repeats = chosen.repeats or (9 if rows < 1_000_000 else 1)
        print(f"{rows:,} rows, an epoch of as many draws, index by index")
        beside = show("WeightedRandomSampler", run("torch", rows, repeats), None)
        show("PlanSampler", run("plan", rows, repeats), beside)
        show("PlanSampler(replacement=False)", run("plan in turn", rows, repeats), beside)
        print("in batches of 64")
        beside = show("BatchSampler(WeightedRandomSampler)", run("torch batches", rows, repeats), None)
        show("PlanBatchSampler", run("plan batches", rows, repeats), beside)
    over = (1 << 24) + 1
    print(f"{over:,} rows: one more than 2^24")
    show("WeightedRandomSampler", run("torch", over, 1), None)
    show("PlanSampler", run("plan", over, 1), None)
    if chosen.large:
        print(f"{chosen.large:,} rows, an epoch in chunks of a million")
        for name, kind in (("801 combinations", "stream"), ("planned by plan_sampling, 20 classes", "planned stream")):
            found = run(kind, chosen.large, 1)
            show(name, found, None)
            print(f"  peak of the process {found.get('peak', 0):,.0f} MiB; chi-square p {found.get('p')}")


if __name__ == "__main__":
    main()
