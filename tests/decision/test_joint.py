"""Macro-F1 and micro-F1 of several classes against exhaustive search over all thresholds together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from equipoise.decision import fit_decision
from equipoise.metrics import measure
from equipoise.scores import Scores


def make(seed, rows=7, classes=3):
    random = np.random.default_rng(seed)
    labels = random.choice([0.0, 1.0, np.nan], (rows, classes), p=[0.5, 0.4, 0.1])
    labels[0], labels[1] = 0, 1
    return Scores(
        labels=labels,
        values=np.round(random.random((rows, classes)), 1 + seed % 2),
        kind="probabilities",
        ids=np.arange(rows),
        role="validation",
        classes=[f"c{index}" for index in range(classes)],
    )


def f1_of(scores, thresholds, pooled):
    predicted, truth = scores.values >= thresholds, scores.labels
    hits = ((truth == 1) & predicted).sum(axis=0)
    total = (truth == 1).sum(axis=0) + (predicted & ~np.isnan(truth)).sum(axis=0)
    return 2 * hits.sum() / total.sum() if pooled else (2 * hits / total).mean()


@pytest.mark.parametrize("maximize", ["f1", "macro_f1", "micro_f1"])
@pytest.mark.parametrize("seed", range(12))
def test_equals_exhaustive_search(maximize, seed):
    scores = make(seed)
    pooled = maximize == "micro_f1"
    candidates = [[*np.unique(column), np.inf] for column in scores.values.T]
    best = max(f1_of(scores, np.array(one), pooled) for one in itertools.product(*candidates))
    rule = fit_decision(scores, maximize)
    assert f1_of(scores, rule.thresholds, pooled) == pytest.approx(best, abs=1e-12)
    figures = measure(scores, rule.apply(scores)).overall
    assert float(figures["micro_f1" if pooled else "macro_f1"]) == pytest.approx(best, abs=1e-12)
    assert rule.fitted_overall == (pytest.approx(best, abs=1e-12) if pooled else None)


def test_micro_f1_leaves_a_hopeless_class_alone_where_macro_f1_cannot():
    random = np.random.default_rng(0)
    labels = (random.random((2000, 2)) < [0.3, 0.01]).astype(float)
    values = random.normal(size=(2000, 2)) + labels * [3.0, 0.0]
    scores = Scores(
        labels=labels,
        values=values,
        kind="logits",
        ids=np.arange(2000),
        role="validation",
        classes=["good", "hopeless"],
    )
    rates = {name: fit_decision(scores, name).apply(scores).predictions.mean(axis=0)[1] for name in ("f1", "micro_f1")}
    assert rates["micro_f1"] < 0.005


def test_calibrated_probabilities_have_one_threshold_half_of_the_best_micro_f1():
    random = np.random.default_rng(1)
    probabilities = 1 / (1 + np.exp(-random.normal([-3.0, -1.5], 1.5, (100_000, 2))))
    labels = (random.random((100_000, 2)) < probabilities).astype(float)
    scores = Scores(
        labels=labels, values=probabilities, kind="probabilities", ids=np.arange(100_000), role="validation",
        classes=["rare", "common"],
    )  # fmt: skip
    rule = fit_decision(scores, "micro_f1", method="shrunk")
    np.testing.assert_allclose(rule.thresholds, rule.fitted_overall / 2, atol=0.03)
