"""Planning a sampler: seconds beside a general solver, and what heuristics give beside the frontier.

Run: ``OMP_NUM_THREADS=1 python benchmarks/plan.py [LABELS.csv]``; without a table (NIH ChestX-ray14 has the columns it
reads) labels of 112,120 rows and 14 classes are made. Ratios of one run count; seconds depend on the machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from equipoise.balance import frontier, plan_sampling
from equipoise.balance._combinations import combine_labels
from equipoise.balance._solver import solve
from equipoise.balance._targets import read_target
from equipoise.balance.sampling import make_goal
from equipoise.labels import Labels, read_labels

ROUNDS = 7


def seconds(work: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, float]:
    """Return the least and the largest of some timings."""
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took), max(took)


def made_labels(rows: int, classes: int = 14) -> Labels:
    """Labels whose classes go from common to one row in 500, and stand together more often than by chance."""
    rng = np.random.default_rng(0)
    prevalence = np.geomspace(0.17, 0.002, classes)
    ill = rng.random(rows) < 0.46
    values = ((rng.random((rows, classes)) < prevalence / 0.46) & ill[:, None]).astype(np.float32)
    return Labels("multilabel", tuple(f"c{number}" for number in range(classes)), values, np.arange(rows))


def general(labels: Labels, cap: float) -> tuple[float, float, bool]:
    """Solve the same problem over combinations with scipy's SLSQP; return seconds, variation and whether it ended."""
    from scipy.optimize import minimize

    found = combine_labels(labels)
    mass = found.counts / len(labels)
    positive = (found.labels == 1).astype(float)
    conditions = (positive * len(labels.classes) - positive.sum(axis=1, keepdims=True)).T
    without = (~(found.labels == 1).any(axis=1)).astype(float)
    conditions = np.vstack([conditions[:-1], without, np.ones(len(mass))]) * mass
    level = np.concatenate([np.zeros(len(labels.classes) - 1), [mass @ without, 1.0]])
    start = time.perf_counter()
    answer = minimize(
        lambda r: float((mass * r) @ np.log(r)), np.ones(len(mass)), jac=lambda r: mass * (np.log(r) + 1.0),
        method="SLSQP", bounds=[(1e-9, cap)] * len(mass), options={"maxiter": 300, "ftol": 1e-9},
        constraints={"type": "eq", "fun": lambda r: conditions @ r - level, "jac": lambda r: conditions},
    )  # fmt: skip
    took = time.perf_counter() - start
    shares = (mass * answer.x) @ positive
    return took, float(shares.std() / shares.mean()), bool(answer.success)


def show_solver(labels: Labels) -> None:
    """Print the seconds of a solve and of a whole plan, and those of a general solver."""
    found = combine_labels(labels)
    print(f"{len(labels):,} rows, {len(found.counts):,} label combinations, {len(labels.classes)} classes")
    for cap in (50.0, 20.0, 10.0):
        wanted = read_target("uniform", 1.0, labels.task, labels.classes, found, "labels")
        without = float(found.counts @ ~(found.labels == 1).any(axis=1)) / len(labels)
        goal, _ = make_goal(found, wanted, without, cap)
        plan = plan_sampling(labels, max_repeats=cap)
        low, high = seconds(lambda goal=goal: solve(goal))
        whole = seconds(lambda cap=cap: plan_sampling(labels, max_repeats=cap))
        print(
            f"  cap {cap:g}: solve {1e3 * low:.1f} to {1e3 * high:.1f} ms, plan {1e3 * whole[0]:.0f} to "
            f"{1e3 * whole[1]:.0f} ms; CV {plan.variation:.4f}, effective {plan.effective_sample_size:.3f}, "
            f"rarest row {plan.repeats:.1f} times, {'met' if plan.reached else 'nearest'}"
        )
        if cap == 20.0:
            took, variation, fine = general(labels, cap)
            print(
                f"    scipy SLSQP: {took:.1f} s ({took / low:,.0f}x), CV {variation:.4f}, "
                f"{'converged' if fine else 'stopped after 300 steps'}"
            )


def show_length() -> None:
    """Print the seconds of a plan for longer and longer tables."""
    for rows in (100_000, 1_000_000, 10_000_000):
        labels = made_labels(rows, classes=8)
        low, high = seconds(lambda labels=labels: plan_sampling(labels), rounds=3)
        print(f"  {rows:>12,} rows x 8 classes: {low:.2f} to {high:.2f} s")


def main() -> None:
    """Print everything."""
    if len(sys.argv) > 1:
        labels = read_labels(sys.argv[1], "Finding Labels", separator="|", groups="Patient ID", ids="Image Index")
    else:
        labels = made_labels(112_120)
    show_solver(labels)
    table = frontier(labels)
    print(table)
    print("Heuristics above the frontier:", ", ".join(table.above()) or "none")
    show_length()


if __name__ == "__main__":
    main()
