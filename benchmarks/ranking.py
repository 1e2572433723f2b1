"""Every threshold and ranking figure of 14 classes in one pass, beside AUC, AP and curves of scikit-learn.

Run: ``OMP_NUM_THREADS=1 python benchmarks/ranking.py [--rounds 9] [--nih FILE]``. Both sides get the same arrays, in
turn, on one thread: the labels of NIH ChestX-ray14 (112,120 x 14; made-up ones of the same prevalences where the file
is not at hand) and made-up scores. Ours are, for every class: the thresholds for nine objectives, AUC, partial AUC, AP,
the best F1, balanced accuracy and Youden's J, precision at recall, recall at precision, sensitivity at specificity and
the reverse, and the corners of both curves. scikit-learn's are AUC, AP and the precision-recall curve of every class.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NIH = Path(__file__).resolve().parents[2] / "shared/data/nih-chestxray14-labels/Data_Entry_2017_v2020.csv.gz"
ROWS = 112_120
PREVALENCES = np.geomspace(0.002, 0.18, 14)  # about those of the file
OBJECTIVES = (
    "f1", "fbeta:2", "balanced_accuracy", "youden", "mcc", "cost:1:10", "recall>=0.9", "precision>=0.5", "alarms=0.05",
)  # fmt: skip
HELD = (
    ("precision", "recall"), ("recall", "precision"), ("recall", "specificity"), ("specificity", "recall"),
)  # fmt: skip


def read_truth(path: Path, random: np.random.Generator) -> tuple[NDArray[np.float64], str]:
    """Return the labels (rows, 14) and what they are."""
    if not path.exists():
        return (random.random((ROWS, len(PREVALENCES))) < PREVALENCES).astype(np.float64), "made-up labels"
    from equipoise.labels import read_labels

    labels = read_labels(path, "Finding Labels", separator="|", groups="Patient ID", ids="Image Index")
    findings = [index for index, name in enumerate(labels.classes) if name != "No Finding"]
    return np.ascontiguousarray(labels.values[:, findings], dtype=np.float64), "NIH ChestX-ray14 labels"


def make_scores(truth: NDArray[np.float64], random: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return probabilities of a model with an AUC of about 0.8: as they are, as float32, and of three digits."""
    prevalence = np.log(truth.mean(axis=0) / (1 - truth.mean(axis=0)))
    odds = random.normal(size=truth.shape) + 1.2 * truth + prevalence - 0.7
    values = 1 / (1 + np.exp(-odds))
    single = values.astype(np.float32)
    return {"float64": values, "float32": single.astype(np.float64), "three digits": np.round(values, 3)}


def ours(truth: NDArray[np.float64], values: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Return every threshold and figure of every class."""
    from equipoise.decision.objectives import parse_objective
    from equipoise.decision.thresholds import alarm_threshold, best_threshold, judge_threshold
    from equipoise.metrics import best_cut, best_cut_where, partial_area, rank_classes
    from equipoise.metrics.ranking import transposed

    objectives = [parse_objective(name) for name in OBJECTIVES]
    found: dict[str, list[Any]] = {"auc": [], "ap": [], "partial": [], "cuts": [], "thresholds": [], "corners": []}
    labels, columns = transposed(truth), transposed(values)
    for index, ranked in enumerate(rank_classes(truth, values)):
        outcomes = ranked.outcomes()
        found["auc"].append(ranked.auc())
        found["ap"].append(ranked.average_precision())
        found["partial"].append(partial_area(ranked, 0.1))
        found["corners"].append((ranked.corners(), outcomes.precision(), outcomes.recall()))
        worths = (outcomes.f1(), outcomes.balanced_accuracy(), outcomes.youden())
        found["cuts"].append([best_cut(ranked, worth) for worth in worths])
        found["cuts"].append([best_cut_where(ranked, wanted, held, 0.9) for wanted, held in HELD])
        for objective in objectives:
            if objective.name == "alarms":  # of all rows, whatever their label
                cut = alarm_threshold(columns[index], objective.parameters[0])
                found["thresholds"].append(judge_threshold(cut, labels[index], columns[index], objective))
            else:
                found["thresholds"].append(best_threshold(ranked, objective))
    return found


def theirs(truth: NDArray[np.float64], values: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Return scikit-learn's AUC, AP and precision-recall curve of every class."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    columns = range(truth.shape[1])
    return {
        "auc": [roc_auc_score(truth[:, one], values[:, one]) for one in columns],
        "ap": [average_precision_score(truth[:, one], values[:, one]) for one in columns],
        "curve": [precision_recall_curve(truth[:, one], values[:, one]) for one in columns],
    }


def timed(function: Callable[..., Any], *arguments: Any) -> float:
    """Return seconds."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nih", type=Path, default=NIH)
    chosen = parser.parse_args()
    random = np.random.default_rng(0)
    truth, said = read_truth(chosen.nih, random)
    print(
        f"{said}, {truth.shape[0]:,} x {truth.shape[1]}; {chosen.rounds} rounds in turn, {chosen.seeds} seeds of scores"
    )
    print(f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}")
    for seed in range(chosen.seeds):
        for name, values in make_scores(truth, np.random.default_rng(seed)).items():
            mine, other = ours(truth, values), theirs(truth, values)
            furthest = max(np.abs(np.subtract(mine[key], other[key])).max() for key in ("auc", "ap"))
            rounds = [(timed(ours, truth, values), timed(theirs, truth, values)) for _ in range(chosen.rounds)]
            times = 1e3 * np.array(rounds)
            ratios, middle, best = times[:, 1] / times[:, 0], np.median(times, axis=0), times.min(axis=0)
            print(
                f"seed {seed}, {name:<13} ours {middle[0]:6.1f} ms (best {best[0]:.1f})"
                f"  scikit-learn {middle[1]:7.1f} ms (best {best[1]:.1f})"
                f"  ratio {np.median(ratios):5.1f} ({ratios.min():.1f} to {ratios.max():.1f})"
                f"  AUC and AP differ by at most {furthest:.1e}"
            )


if __name__ == "__main__":
    main()
