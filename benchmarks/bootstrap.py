"""Bootstrap replicates of macro-AUC, macro-AP and macro-F1, beside resampling with scikit-learn.

Run: ``python benchmarks/bootstrap.py`` (16,818 rows x 14 findings of 4,620 patients, as a test split of ChestX-ray14).
Both take the same replicates, turn and turn about in one run; the ratio counts, seconds depend on the machine.
Equipoise is timed once more for all of its figures, micro averages among them, as `evaluate` makes them.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time

import numpy as np

from equipoise.decision import fixed_rule
from equipoise.evidence import Resampling, resample_figures
from equipoise.evidence.resampling import draw_counts, number_clusters
from equipoise.metrics import measure
from equipoise.metrics.figures import evaluable_classes
from equipoise.scores import Scores

PREVALENCE = (0.103, 0.025, 0.119, 0.177, 0.052, 0.056, 0.013, 0.047, 0.042, 0.021, 0.022, 0.015, 0.030, 0.002)
THRESHOLD = 0.2
NAMES = ("macro_auc", "macro_ap", "macro_f1")


def make(rows: int, patients: int, decimals: int | None) -> Scores:
    """Return made-up scores with the prevalences of ChestX-ray14."""
    random = np.random.default_rng(0)
    labels = (random.random((rows, len(PREVALENCE))) < PREVALENCE).astype(float)
    values = 1 / (1 + np.exp(2 - 1.2 * labels - random.normal(size=labels.shape)))
    return Scores(
        labels=labels,
        values=values if decimals is None else values.round(decimals),
        kind="probabilities",
        ids=np.arange(rows),
        groups=random.integers(0, patients, rows),
        role="test",
        classes=[f"finding {one}" for one in range(len(PREVALENCE))],
    )


def ours(scores: Scores, replicates: int, metrics: tuple[str, ...] | None = NAMES) -> dict[str, np.ndarray]:
    """Return figures of every replicate: three, or all of them."""
    decisions = fixed_rule(scores, THRESHOLD).apply(scores)
    averaged = evaluable_classes(measure(scores, decisions))
    return resample_figures(scores, decisions, averaged, Resampling(replicates), metrics=metrics).overall


def scikit_learn(scores: Scores, rows: np.ndarray) -> list[float]:
    """Return the three averages of one replicate."""
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    labels, values = scores.labels[rows], scores.values[rows]
    return [
        float(roc_auc_score(labels, values, average="macro")),
        float(average_precision_score(labels, values, average="macro")),
        float(f1_score(labels, values >= THRESHOLD, average="macro")),
    ]


def side_by_side(scores: Scores, replicates: int, rounds: int) -> None:
    """Print seconds of both, their ratio, and the largest difference of what they found."""
    clusters, count = number_clusters(scores)
    counts = np.concatenate(list(draw_counts(count, Resampling(replicates))), axis=1)
    ours(scores, 64)
    ratios, ahead, whole, behind, apart = [], [], [], [], 0.0
    for turn in range(rounds):
        start = time.perf_counter()
        drawn = ours(scores, replicates)
        ahead.append(time.perf_counter() - start)
        start = time.perf_counter()
        for replicate in range(3 * turn, 3 * turn + 3):
            found = scikit_learn(scores, np.repeat(np.arange(len(scores)), counts[clusters, replicate]))
            apart = max(apart, *(abs(drawn[name][replicate] - one) for name, one in zip(NAMES, found, strict=True)))
        behind.append((time.perf_counter() - start) / 3)
        start = time.perf_counter()
        ours(scores, replicates, None)
        whole.append(time.perf_counter() - start)
        ratios.append(behind[-1] * replicates / ahead[-1])
    print(f"  Equipoise, {replicates:,} replicates, three averages: {min(ahead):.2f} to {max(ahead):.2f} s")
    print(f"  scikit-learn, 1 replicate, three averages: {min(behind):.3f} to {max(behind):.3f} s")
    print(f"  ratio {statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f})")
    full = [one * replicates / other for one, other in zip(behind, whole, strict=True)]
    print(f"  with all figures {min(whole):.2f} to {max(whole):.2f} s, ratio {statistics.median(full):.0f}")
    print(f"  largest difference of {3 * rounds} replicates: {apart:.1e}")


def main() -> None:
    """Print the ratio with and without ties, and the most memory that was in use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16_818)
    parser.add_argument("--patients", type=int, default=4_620)
    parser.add_argument("--replicates", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for name, decimals in (("no ties", None), ("probabilities of three decimals", 3)):
        scores = make(given.rows, given.patients, decimals)
        ours(scores, given.replicates, None)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        loaded = "" if "sklearn" in sys.modules else f", peak memory of the process {peak:.0f} MB"
        print(f"{name}: {given.rows:,} x {len(PREVALENCE)}, {given.patients:,} patients{loaded}")
        side_by_side(scores, given.replicates, given.rounds)


if __name__ == "__main__":
    main()
