"""Thresholds against brute force, and the corners where a search can go wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise._checks import ArgumentError
from equipoise.decision import OBJECTIVES, fit_threshold
from equipoise.metrics import count_outcomes
from equipoise.scores.record import sigmoid


def _worth(labels, values, threshold, maximize):
    outcomes = count_outcomes(labels, values >= threshold)
    if maximize == "f1":
        return float(outcomes.f1())
    balanced = float(outcomes.balanced_accuracy())
    return balanced if maximize == "balanced_accuracy" else 2 * balanced - 1


@pytest.mark.parametrize("maximize", sorted(OBJECTIVES))
@settings(max_examples=150, deadline=None)
@given(rows=st.integers(2, 14), digits=st.integers(0, 3), seed=st.integers(0, 2**32))
def test_search_equals_brute_force(maximize, rows, digits, seed):
    random = np.random.default_rng(seed)
    labels = random.choice([0.0, 1.0, np.nan], rows, p=[0.55, 0.3, 0.15])
    labels[:2] = [0, 1]
    values = np.round(random.random(rows), digits)
    fitted = fit_threshold(labels, values, maximize=maximize)
    candidates = [*np.unique(values), np.inf]
    best = max(_worth(labels, values, one, maximize) for one in candidates)
    assert fitted.value == pytest.approx(best, abs=1e-12)
    assert _worth(labels, values, fitted.threshold, maximize) == pytest.approx(best, abs=1e-12)
    assert (fitted.positives, fitted.negatives) == ((labels == 1).sum(), (labels == 0).sum())


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
