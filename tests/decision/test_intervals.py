"""Intervals of thresholds: what the search itself finds on people drawn anew, and none where nobody can be drawn."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.decision import fit_decision, fit_threshold
from equipoise.decision.objectives import parse_objective
from equipoise.decision.per_class import YesNo, resample
from equipoise.decision.resampling import Groups
from equipoise.decision.shrinkage import bounded_log_odds, draw_to_plug_in, plug_in_f1
from equipoise.metrics.ranking import rank_classes
from equipoise.scores import Scores
from equipoise.scores.ids import hash_ids

OBJECTIVES = ["f1", "balanced_accuracy", "mcc", "cost:1:10", "recall>=0.8", "precision>=0.5", "alarms=0.1"]


def table(seed, *, rows=120, digits=None, unknown=0.0):
    rng = np.random.default_rng(seed)
    values = 1 / (1 + np.exp(-1.5 * rng.normal(size=(rows, 2)) - (-1.5, 0.0)))
    labels = (rng.random((rows, 2)) < values).astype(float)
    labels[rng.random((rows, 2)) < unknown] = np.nan
    groups = np.array([f"g{one}" for one in rng.integers(0, rows // 2, rows)], dtype=object)
    return labels, values if digits is None else values.round(digits), groups


def problem_of(labels, values, groups, maximize):
    objective = parse_objective(maximize)
    if objective.name == "alarms":
        labels = np.zeros_like(labels)
    return YesNo(labels, values, rank_classes(labels, values), objective, Groups.of(hash_ids(groups)))


def search_by_hand(problem, maximize, replicates):
    """Fit on rows repeated as often as their group was drawn; NaN without positives or negatives."""
    found = np.full((replicates, problem.count), np.nan)
    for number, drawn in enumerate(problem.groups.draws(replicates)):
        rows = np.repeat(np.arange(len(problem.truth)), drawn[problem.groups.member])
        for index in range(problem.count):
            labels = problem.truth[rows, index].copy()
            if problem.objective.name == "alarms":
                labels[:2] = 0, 1  # labels play no part, but `fit_threshold` wants some
            if {0.0, 1.0} <= set(labels.tolist()):
                values = problem.probabilities[rows, index]
                found[number, index] = fit_threshold(labels, values, maximize=maximize).threshold
    return found


@pytest.mark.parametrize("maximize", OBJECTIVES)
@pytest.mark.parametrize(("digits", "unknown"), [(None, 0.0), (1, 0.0), (2, 0.2)])
def test_a_sample_has_the_threshold_that_is_fitted_on_it(maximize, digits, unknown):
    problem = problem_of(*table(3, digits=digits, unknown=unknown), maximize)
    expected = search_by_hand(problem, maximize, 15)
    odds = resample(problem, 15, bag=False).own
    inside = (expected > 0) & (expected <= 1)
    np.testing.assert_allclose(odds[inside], bounded_log_odds(expected[inside]), atol=1e-12)
    np.testing.assert_array_equal(np.isnan(odds), np.isnan(expected))
    highest, lowest = (bounded_log_odds(one) for one in (problem.probabilities.max(0), problem.probabilities.min(0)))
    np.testing.assert_array_equal(odds > highest + 0.25, expected == np.inf)
    np.testing.assert_array_equal(odds < lowest - 0.25, expected == 0)


@pytest.mark.parametrize("method", ["exact", "shrunk"])
def test_the_interval_is_that_of_thresholds_fitted_on_people_drawn(method):
    labels, values, groups = table(8, rows=300)
    scores = Scores(
        labels=labels, values=values, kind="probabilities", ids=np.arange(300), groups=groups, role="validation",
        classes=["a", "b"],
    )  # fmt: skip
    rule = fit_decision(scores, method=method)
    problem = problem_of(labels, values, groups, "f1")
    found = search_by_hand(problem, "f1", 100)
    odds = np.log(found / (1 - found))
    if method == "shrunk":
        for index in range(2):
            odds[:, index] = draw_to_plug_in(odds[:, index], plug_in_f1(values[:, index]), labels[:, index].sum())
        assert not any("do not add up" in note for note in rule.notes)
    low, high = (1 / (1 + np.exp(-one)) for one in np.quantile(odds, (0.025, 0.975), axis=0))
    np.testing.assert_allclose(rule.interval_low, np.minimum(low, rule.thresholds), atol=1e-9)
    np.testing.assert_allclose(rule.interval_high, np.maximum(high, rule.thresholds), atol=1e-9)


@pytest.mark.parametrize("method", ["exact", "shrunk"])
@pytest.mark.parametrize("kind", ["one group", "positives in one group", "one positive"])
def test_nothing_to_resample_has_no_interval_and_no_corrected_figure(kind, method):
    labels = np.array([0.0] * 15 + [1.0] * (1 if kind == "one positive" else 5))
    groups = {
        "one group": np.zeros(len(labels), dtype=int),
        "positives in one group": np.where(labels == 1, 99, np.arange(len(labels))),
        "one positive": None,
    }[kind]
    scores = Scores(
        labels=labels, values=np.linspace(0.1, 0.9, len(labels)), kind="probabilities", ids=np.arange(len(labels)),
        groups=groups, role="validation", classes=["Mass"],
    )  # fmt: skip
    rule = fit_decision(scores, method=method)
    assert np.isnan([rule.interval_low[0], rule.interval_high[0], rule.corrected_values[0]]).all()
    assert any("nothing to resample" in note for note in rule.notes)
