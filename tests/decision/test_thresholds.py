"""Thresholds against brute force, and the corners where a search can go wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise._checks import ArgumentError
from equipoise.decision import fit_decision, fit_threshold
from equipoise.metrics import count_outcomes
from equipoise.scores import Scores
from equipoise.scores.record import sigmoid

OBJECTIVES = [
    "f1", "macro_f1", "micro_f1", "fbeta:2", "fbeta:0.5", "balanced_accuracy", "youden", "mcc", "cost:1:10", "cost:3:1",
    "recall>=0.7", "recall>=1", "precision>=0.5", "precision>=0.9", "alarms=0.3",
]  # fmt: skip


def brute_force(labels, values, text):
    """Return the worth of every candidate: each score and never, computed from rates and not from counts of cuts."""
    known = ~np.isnan(labels)
    found = []
    for threshold in [*np.unique(values), np.inf]:
        predicted = values >= threshold
        outcomes = count_outcomes(labels, predicted)
        precision, recall = float(outcomes.precision()), float(outcomes.recall())
        name, _, number = text.replace(">=", ":").replace("=", ":").partition(":")
        if name.endswith("f1"):
            worth = float(outcomes.f1())
        elif name == "fbeta":
            beta = float(number) ** 2
            worth = (1 + beta) * precision * recall / (beta * precision + recall) if recall else 0.0
        elif name == "cost":
            alarm, miss = map(float, number.split(":"))
            worth = -(alarm * float(outcomes.false_positives) + miss * float(outcomes.false_negatives)) / known.sum()
        elif name == "recall":
            worth = precision if recall >= float(number) else recall - float(number)
        elif name == "precision":
            worth = recall if precision >= float(number) else precision - float(number)
        elif name == "alarms":
            share = predicted.mean()
            worth = share if share <= float(number) + 1e-12 else -share
        else:
            rates = {"balanced_accuracy": outcomes.balanced_accuracy, "mcc": outcomes.matthews}
            worth = float(rates[name]()) if name in rates else 2 * float(outcomes.balanced_accuracy()) - 1
        found.append(worth)
    return np.array(found), np.array([*np.unique(values), np.inf])


@pytest.mark.parametrize("maximize", OBJECTIVES)
@settings(max_examples=40, deadline=None)
@given(rows=st.integers(2, 14), digits=st.integers(0, 3), seed=st.integers(0, 2**32))
def test_search_equals_brute_force(maximize, rows, digits, seed):
    random = np.random.default_rng(seed)
    labels = random.choice([0.0, 1.0, np.nan], rows, p=[0.55, 0.3, 0.15])
    labels[:2] = [0, 1]
    values = np.round(random.random(rows), digits)
    fitted = fit_threshold(labels, values, maximize=maximize)
    worth, candidates = brute_force(labels, values, maximize)
    reached = brute_force(labels, values, maximize)[0][np.searchsorted(candidates, fitted.threshold)]
    assert reached == pytest.approx(worth.max(), abs=1e-12)
    if fitted.reached:
        assert abs(fitted.value) == pytest.approx(abs(worth.max()), abs=1e-12)
    assert (fitted.positives, fitted.negatives) == ((labels == 1).sum(), (labels == 0).sum())


@pytest.mark.parametrize("maximize", OBJECTIVES)
def test_a_rule_has_the_very_threshold(maximize):
    random = np.random.default_rng(5)
    labels, values = random.choice([0.0, 1.0, np.nan], 14, p=[0.5, 0.4, 0.1]), np.round(random.random(14), 1)
    scores = Scores(
        labels=labels, values=values, kind="probabilities", ids=np.arange(14), role="validation", classes=["a"]
    )
    fitted = fit_threshold(labels, values, maximize=maximize)
    rule = fit_decision(scores, maximize)
    assert rule.thresholds[0] == fitted.threshold
    assert rule.fitted_values[0] == pytest.approx(fitted.value)


@pytest.mark.parametrize("maximize", OBJECTIVES)
def test_integer_weight_is_repetition(maximize):
    random = np.random.default_rng(3)
    labels, values = (random.random(60) < 0.4).astype(float), np.round(random.random(60), 2)
    weights = random.integers(0, 3, 60)
    weighted = fit_threshold(labels, values, maximize=maximize, sample_weights=weights.astype(float))
    repeated = fit_threshold(np.repeat(labels, weights), np.repeat(values, weights), maximize=maximize)
    assert weighted.value == pytest.approx(repeated.value, abs=1e-12)
    assert (values >= weighted.threshold)[weights > 0].tolist() == (values >= repeated.threshold)[weights > 0].tolist()


def test_a_target_out_of_reach_gives_the_nearest_and_says_so():
    fitted = fit_threshold([0, 1, 0, 1], [0.9, 0.8, 0.7, 0.2], maximize="precision>=0.9")
    assert not fitted.reached
    assert 0.7 < fitted.threshold <= 0.8  # precision 1/2, of which there is none higher
    assert fit_threshold([0, 1], [0.5, 0.5], maximize="alarms=0.4").threshold == np.inf
    assert not fit_threshold([0, 1], [0.5, 0.5], maximize="alarms=0.4").reached


def test_threshold_is_midway_in_log_odds():
    fitted = fit_threshold([0, 1], sigmoid(np.array([-5.0, -3.0])))
    assert fitted.threshold == pytest.approx(sigmoid(np.array(-4.0)))


def test_threshold_beside_zero_or_one_is_midway_in_probability():
    assert fit_threshold([0, 1], [0.0, 0.2]).threshold == pytest.approx(0.1)
    assert fit_threshold([0, 1], [0.5, 1.0]).threshold == pytest.approx(0.75)


def test_of_equal_cuts_the_widest_gap_is_taken():
    # Cutting below 0.9 (one of two found, no false alarm) or below 0.3 (both, one alarm ...): youden 0.5 either way.
    labels, values = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.29]
    first = fit_threshold(labels, values, maximize="youden")
    assert first.value == 0.5
    assert 0.8 < first.threshold < 0.9


def test_neighbouring_floats_are_told_apart():
    low = 0.3
    high = np.nextafter(low, 1)
    fitted = fit_threshold([0, 1], [low, high])
    assert low < fitted.threshold <= high


def test_saturated_scores_are_ties():
    fitted = fit_threshold([0, 1, 1], [1.0, 1.0, 1.0])
    assert fitted.threshold == 0.0
    assert fitted.value == pytest.approx(0.8)


def test_scores_that_rank_backwards_predict_never_or_always():
    fitted = fit_threshold([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9], maximize="balanced_accuracy")
    assert fitted.value == 0.5
    assert fitted.threshold == np.inf


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], [np.nan, np.nan], []])
def test_one_sided_labels_are_refused(labels):
    with pytest.raises(ArgumentError, match="needs positives and negatives"):
        fit_threshold(labels, [0.5] * len(labels))


def test_unknown_objective_names_the_nearest():
    with pytest.raises(ArgumentError, match='Did you mean "f1"'):
        fit_threshold([0, 1], [0, 1], maximize="F1")
