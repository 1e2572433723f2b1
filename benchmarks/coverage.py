"""What 95 % intervals cover, and how often `compare` rejects a true null, by simulation with known truth.

Run: ``OMP_NUM_THREADS=1 python benchmarks/coverage.py [--simulations 1000]``. Scores of positives are normal, one
prevalence of 10 %, noise of variance 1; with patients, rows come in fours, half of the noise and half of what makes a
row positive is the patient's. AUC, AP and F1 at a threshold have closed forms or one integral. The threshold of F1 is
fitted on other rows of the same number; the truth is the F1 of that threshold in the population.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from scipy.special import ndtr

from equipoise.decision import fixed_rule
from equipoise.evidence import compare, evaluate
from equipoise.scores import Scores

PREVALENCE, GOOD, POOR = 0.1, 1.2, 0.8
NORMAL = NormalDist()


def true_auc(shift: float) -> float:
    """Return the area of two normals a shift apart."""
    return NORMAL.cdf(shift / math.sqrt(2))


def true_ap(shift: float) -> float:
    """Return the integral of precision over recall."""
    cuts = np.linspace(-8, 8 + shift, 200_001)
    recall, alarms = ndtr(shift - cuts), ndtr(-cuts)
    precision = PREVALENCE * recall / (PREVALENCE * recall + (1 - PREVALENCE) * alarms)
    return float(-(np.diff(recall) * (precision[1:] + precision[:-1]) / 2).sum())


def true_f1(shift: float, cut: float) -> float:
    """Return F1 in the population of a cut."""
    right, false = PREVALENCE * NORMAL.cdf(shift - cut), (1 - PREVALENCE) * NORMAL.cdf(-cut)
    return 2 * right / (right + false + PREVALENCE)


def fitted_cut(labels: np.ndarray, values: np.ndarray) -> float:
    """Return the cut of the largest F1."""
    order = np.argsort(-values)
    right = np.cumsum(labels[order])
    best = int(np.argmax(2 * right / (np.arange(1, len(labels) + 1) + labels.sum())))
    return float(values[order][best : best + 2].mean())


class Population:
    """Draws labels, patients, and scores of two models on the same rows."""

    def __init__(self, positives: int, patients: bool, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.rows, self.patients = round(positives / PREVALENCE), patients

    def mixed(self, groups: np.ndarray) -> np.ndarray:
        """Return standard normal numbers, half of whose variance is the patient's."""
        own, shared = self.random.normal(size=len(groups)), self.random.normal(size=groups.max() + 1)[groups]
        return math.sqrt(0.5) * (own + shared)

    def draw(self, shifts: Sequence[float]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Return labels, groups, and scores of each model; half of their noise is shared."""
        groups = np.arange(self.rows) // (4 if self.patients else 1)
        labels = (self.mixed(groups) > -NORMAL.inv_cdf(PREVALENCE)).astype(float)
        common = self.mixed(groups)
        return labels, groups, [math.sqrt(0.5) * (common + self.mixed(groups)) + one * labels for one in shifts]

    def scores(self, labels: np.ndarray, groups: np.ndarray, values: np.ndarray) -> Scores:
        """Return them as a table."""
        rows = np.arange(len(labels))
        classes = ["a"] if labels.ndim == 1 else [f"class {one}" for one in range(labels.shape[1])]
        return Scores(
            labels=labels, values=values, kind="logits", ids=rows, role="test", classes=classes,
            groups=groups if self.patients else None,
        )  # fmt: skip


def simulate(
    positives: int, patients: bool, simulations: int, replicates: int = 200, seed: int = 0
) -> dict[str, float]:
    """Return what share of intervals holds the truth, and what share of true nulls is rejected."""
    population = Population(positives, patients, seed)
    truths = {"auc": true_auc(GOOD), "ap": true_ap(GOOD)}
    worse = {"auc": true_auc(POOR), "ap": true_ap(POOR)}
    found: dict[str, list[bool]] = defaultdict(list)
    for turn in range(simulations):
        other_labels, _, other = population.draw([GOOD, GOOD, POOR])
        labels, groups, values = population.draw([GOOD, GOOD, POOR])
        if min(labels.sum(), other_labels.sum()) < 2:
            continue
        tables = [population.scores(labels, groups, one) for one in values]
        cuts = [fitted_cut(other_labels, one) for one in other]
        rules = [fixed_rule(tables[0], float(1 / (1 + math.exp(-one)))) for one in cuts]
        row_of = evaluate(tables[0], rules[0], replicates=replicates, seed=turn).row
        plain = evaluate(tables[0], replicates=replicates, seed=turn, interval="percentile").row("auc")
        found["auc, percentile"].append(plain.low <= truths["auc"] <= plain.high)
        f1s = [true_f1(shift, cut) for shift, cut in zip((GOOD, GOOD, POOR), cuts, strict=True)]
        for metric, truth, apart in (
            *((name, truths[name], truths[name] - worse[name]) for name in truths),
            ("f1", f1s[0], f1s[0] - f1s[2]),
        ):
            row = row_of(metric)
            found[metric].append(row.low <= truth <= row.high)
            given = {"replicates": replicates, "seed": turn}
            null = compare(tables[0], tables[1], metric, rule_a=rules[0], rule_b=rules[0], **given)
            found[f"{metric}, null rejected"].append(null.p < 0.05)
            real = compare(tables[0], tables[2], metric, rule_a=rules[0], rule_b=rules[2], **given)
            found[f"{metric} difference"].append(real.low <= apart <= real.high)
    return {name: float(np.mean(one)) for name, one in found.items()}


def family(positives: int, patients: bool, simulations: int, replicates: int = 200, classes: int = 5) -> float:
    """Return how often any class is said to differ, after adjustment, where none does."""
    population, rejected = Population(positives, patients, 1), []
    for turn in range(simulations):
        labels, both, groups = [], ([], []), np.zeros(0)
        for _ in range(classes):
            one, groups, values = population.draw([GOOD, GOOD])
            labels.append(one)
            for side, drawn in zip(both, values, strict=True):
                side.append(drawn)
        tables = [population.scores(np.column_stack(labels), groups, np.column_stack(side)) for side in both]
        found = compare(*tables, "macro_ap", replicates=replicates, seed=turn)
        rejected.append(any(one.adjusted_p < 0.05 for one in found.classes))
    return float(np.mean(rejected))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1_000)
    parser.add_argument("--positives", type=int, nargs="+", default=[5, 10, 50, 500])
    given = parser.parse_args()
    error = math.sqrt(0.95 * 0.05 / given.simulations)
    print(f"{given.simulations} simulations: one standard error of 95 % is {error:.1%}")
    for positives in given.positives:
        for patients in (False, True):
            found = simulate(positives, patients, given.simulations)
            found["any of 5 classes, null rejected after adjustment"] = family(positives, patients, given.simulations)
            print(f"{positives} positives expected, {'patients of four rows' if patients else 'independent rows'}")
            for name, share in found.items():
                print(f"  {name:<50}{share:7.1%}", flush=True)


if __name__ == "__main__":
    main()
