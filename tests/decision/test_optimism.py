"""Simulation with known truth: the corrected figure is unbiased within its error, the naive one visibly not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from equipoise.decision import fit_decision
from equipoise.scores import Scores

REPEATS = 60


def true_f1(threshold: float, prior_odds: float, positives: float, distance: float) -> float:
    """Return the F1 of a threshold in the population: scores of negatives N(0, 1), of positives N(distance, 1)."""
    score = (math.log(threshold / (1 - threshold)) - prior_odds) / distance + distance / 2
    tail = [0.5 * math.erfc((score - mean) / math.sqrt(2)) for mean in (distance, 0.0)]
    hits, alarms = tail[0] * positives, tail[1] * (1 - positives)
    return 2 * hits / (hits + alarms + positives)


def biases(method: str, positives: int, rows: int, groups: int | None = None) -> np.ndarray:
    """Return naive and corrected F1 minus the true F1 of the fitted threshold, for each repetition."""
    distance, share = 1.5, positives / rows
    prior_odds = math.log(share / (1 - share))
    found = []
    for seed in range(REPEATS):
        random = np.random.default_rng(seed)
        labels = (np.arange(rows) < positives).astype(float)
        score = random.normal(size=rows) + distance * labels
        scores = Scores(
            labels=labels, values=distance * (score - distance / 2) + prior_odds, kind="logits", ids=np.arange(rows),
            groups=None if groups is None else random.integers(0, groups, rows), role="validation", classes=["Mass"],
        )  # fmt: skip
        rule = fit_decision(scores, method=method)
        truth = true_f1(float(rule.thresholds[0]), prior_odds, share, distance)
        found.append([rule.fitted_values[0] - truth, rule.corrected_values[0] - truth])
    return np.array(found)


@pytest.mark.parametrize("method", ["exact", "shrunk"])
def test_corrected_f1_is_unbiased_within_its_error_and_the_naive_is_not(method):
    found = biases(method, positives=30, rows=300)
    mean, error = found.mean(axis=0), found.std(axis=0) / math.sqrt(REPEATS)
    assert abs(mean[1]) < 2.5 * error[1]
    if method == "exact":  # a shrunk threshold fits the rows less closely, and its figure is nearly honest as it is
        assert mean[0] > 4 * error[0]
        assert abs(mean[1]) < mean[0] / 2


def test_intervals_hold_the_threshold_and_narrow_with_positives():
    random = np.random.default_rng(0)
    labels = (random.random((4000, 1)) < 0.1).astype(float)
    values = random.normal(size=(4000, 1)) + labels
    widths = []
    for rows in (400, 4000):
        rule = fit_decision(
            Scores(
                labels=labels[:rows, 0], values=values[:rows, 0], kind="logits", ids=np.arange(rows),
                role="validation", classes=["Mass"],
            )
        )  # fmt: skip
        assert rule.interval_low[0] <= rule.thresholds[0] <= rule.interval_high[0]
        widths.append(float(np.ptp(np.log([rule.interval_low[0], rule.interval_high[0]]))))
    assert widths[1] < widths[0]


def test_groups_are_drawn_and_left_out_whole():
    """Each row four times under one patient: nothing new is known, and the interval must not believe so."""
    random = np.random.default_rng(1)
    labels, values = (random.random(250) < 0.2).astype(float), random.random(250)
    rules = [
        fit_decision(
            Scores(
                labels=np.repeat(labels, times), values=np.repeat(values, times), kind="probabilities",
                ids=np.arange(250 * times), groups=np.repeat(np.arange(250), times), role="validation",
                classes=["Mass"],
            )
        )
        for times in (1, 4)
    ]  # fmt: skip
    np.testing.assert_allclose(rules[0].interval_low, rules[1].interval_low)
    np.testing.assert_allclose(rules[0].interval_high, rules[1].interval_high)
    np.testing.assert_allclose(rules[0].corrected_values, rules[1].corrected_values)


def test_order_of_rows_changes_nothing():
    random = np.random.default_rng(2)
    labels, values = (random.random((120, 2)) < 0.3).astype(float), random.random((120, 2))
    scores = Scores(
        labels=labels, values=values, kind="probabilities", ids=np.arange(120), role="validation", classes=["a", "b"]
    )
    turned = scores.select(random.permutation(120))
    for maximize in ("f1", "micro_f1", "recall>=0.8", "alarms=0.1"):
        for method in ("exact", "shrunk"):
            one, other = (fit_decision(table, maximize, method=method).to_dict() for table in (scores, turned))
            for key in ("thresholds", "interval_low", "interval_high", "corrected_values"):
                np.testing.assert_allclose(np.array(one[key], float), np.array(other[key], float), rtol=1e-9)


def test_a_target_says_what_it_comes_to_on_rows_left_out():
    random = np.random.default_rng(3)
    labels = (random.random(300) < 0.2).astype(float)
    scores = Scores(
        labels=labels, values=random.normal(size=300) + labels, kind="logits", ids=np.arange(300), role="validation",
        classes=["Mass"],
    )  # fmt: skip
    notes = fit_decision(scores, "recall>=0.9").notes
    assert any(note.startswith("On rows left out of the fit the recall of Mass is 0.") for note in notes)
    notes = fit_decision(scores, "precision>=0.99").notes
    assert any("No threshold of Mass has a precision of 0.99 on these rows" in note for note in notes)
