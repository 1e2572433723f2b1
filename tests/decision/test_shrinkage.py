"""Shrunk thresholds: the same for any order of rows, sane with few positives, better than the exact search there."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.decision import fit_decision
from equipoise.decision.shrinkage import plug_in_f1
from equipoise.metrics import f1_score
from equipoise.scores import Scores
from equipoise.scores.record import sigmoid


def make(positives, rows=400, seed=0, bias=0.0):
    random = np.random.default_rng(seed)
    odds = random.normal(-3, 1.5, rows)
    labels = (random.random(rows) < sigmoid(odds)).astype(float)
    spare = np.flatnonzero(labels)[positives:]
    labels[spare] = np.nan
    return Scores(
        labels=labels, values=odds + bias, kind="logits", ids=np.arange(rows), role="validation", classes=["Mass"]
    )


def test_order_of_rows_changes_nothing_and_method_is_kept():
    scores = make(20)
    order = np.random.default_rng(1).permutation(len(scores))
    rule = fit_decision(scores, method="shrunk")
    assert rule.method == "shrunk"
    np.testing.assert_array_equal(rule.thresholds, fit_decision(scores.select(order), method="shrunk").thresholds)


def test_uncalibrated_probabilities_do_not_pull():
    rule = fit_decision(make(400, bias=3.0), method="shrunk")
    assert any("pass log_odds_shift" in note for note in rule.notes)
    moved = fit_decision(make(400, bias=3.0), method="shrunk", log_odds_shift=[3.0])
    assert moved.notes == ()


def test_with_many_positives_both_methods_agree():
    scores = make(100_000, rows=40_000)
    exact, shrunk = (fit_decision(scores, method=method).thresholds[0] for method in ("exact", "shrunk"))
    assert shrunk == pytest.approx(exact, abs=0.05)


def test_plug_in_is_half_of_the_best_f1_in_simulation():
    random = np.random.default_rng(0)
    probabilities = sigmoid(random.normal(-3, 1.5, 200_000))
    labels = (random.random(200_000) < probabilities).astype(float)
    threshold = plug_in_f1(probabilities)
    assert f1_score(labels, probabilities >= threshold) == pytest.approx(2 * threshold, abs=0.01)


@pytest.mark.parametrize("maximize", ["f1", "balanced_accuracy"])
def test_few_positives_generalise_better_than_the_exact_search(maximize):
    from equipoise.metrics import measure

    random = np.random.default_rng(99)
    odds = random.normal(-3, 1.5, 50_000)
    future = Scores(
        labels=(random.random(50_000) < sigmoid(odds)).astype(float),
        values=odds,
        kind="logits",
        ids=[f"new{row}" for row in range(50_000)],
        role="test",
        classes=["Mass"],
    )
    gains = []
    for seed in range(30):
        fitted = make(1000, rows=200, seed=seed)
        values = [
            measure(future, fit_decision(fitted, maximize, method=method).apply(future)).per_class[maximize][0]
            for method in ("exact", "shrunk")
        ]
        gains.append(values[1] - values[0])
    assert np.mean(gains) > 0.01
