"""What a rule says of labels and scores that hold little or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.decision import DecisionRule, fit_decision
from equipoise.scores import Scores


def binary(labels, values, **changes):
    rows = len(labels)
    arguments = {"kind": "probabilities", "ids": np.arange(rows), "role": "validation", "classes": ["Mass"]}
    return Scores(labels=labels, values=values, **(arguments | changes))


@pytest.mark.parametrize("maximize", ["f1", "micro_f1", "mcc", "cost:1:10", "recall>=0.9", "precision>=0.9"])
@pytest.mark.parametrize("method", ["exact", "shrunk"])
def test_constant_scores_end_in_a_rule_that_says_so(maximize, method):
    rule = fit_decision(binary([0, 0, 1, 0, 1, 0], np.full(6, 0.4)), maximize, method=method)
    assert any("Mass has the same score in every row" in note for note in rule.notes)
    assert DecisionRule.from_dict(rule.to_dict()).to_dict() == rule.to_dict()


@pytest.mark.parametrize(("labels", "missing"), [([1, 1, 1], "negative"), ([0, 0, 0], "positive")])
def test_one_sided_labels_are_an_error_or_a_stated_result(labels, missing):
    scores = binary(labels, [0.1, 0.2, 0.3])
    with pytest.raises(DataError, match=f'class "Mass": no {missing} among the 3 known labels'):
        fit_decision(scores)
    rule = fit_decision(scores, empty="never")
    assert rule.thresholds[0] == (np.inf if missing == "positive" else 0.0)
    assert np.isnan(rule.fitted_values[0])
    assert np.isnan(rule.corrected_values[0])
    assert any(f"no known {missing}" in note for note in rule.notes)


def test_one_positive_has_a_threshold_and_no_corrected_figure():
    rule = fit_decision(binary([0, 0, 1, 0], [0.1, 0.2, 0.8, 0.3]))
    assert rule.fitted_values[0] == 1.0
    assert np.isnan(rule.corrected_values[0])
    assert any("rests on 1 positives only" in note for note in rule.notes)


def test_alarms_need_no_labels_and_ties_are_said():
    rule = fit_decision(binary([np.nan] * 20, np.linspace(0.05, 0.95, 20)), "alarms=0.1")
    assert rule.fitted_values[0] == pytest.approx(0.1)
    assert rule.apply(binary([np.nan] * 20, np.linspace(0.05, 0.95, 20), role="test")).predictions.sum() == 2
    tied = fit_decision(binary([0] * 10, [0.9] * 10), "alarms=0.1")
    assert tied.thresholds[0] == np.inf
    assert any("the nearest share within reach is 0" in note or "same score" in note for note in tied.notes)


def test_no_known_label_of_exclusive_classes():
    scores = Scores(
        labels=[np.nan, np.nan], values=np.eye(2), kind="probabilities", ids=[1, 2], role="validation",
        classes=["a", "b"], task="multiclass",
    )  # fmt: skip
    with pytest.raises(DataError, match="No label of the validation role is known"):
        fit_decision(scores)


def test_a_class_that_does_not_occur_is_named():
    scores = Scores(
        labels=[0, 1, 0, 1], values=np.tile([0.5, 0.3, 0.2], (4, 1)), kind="probabilities", ids=[1, 2, 3, 4],
        role="validation", classes=["a", "b", "c"],
    )  # fmt: skip
    assert any('No known row of "c"' in note for note in fit_decision(scores).notes)


def test_hundreds_of_classes():
    random = np.random.default_rng(0)
    labels = (random.random((60, 300)) < 0.3).astype(float)
    scores = Scores(
        labels=labels, values=random.random((60, 300)), kind="probabilities", ids=np.arange(60), role="validation",
        classes=[f"c{index}" for index in range(300)],
    )  # fmt: skip
    rule = fit_decision(scores, empty="never")
    assert np.isfinite(rule.fitted_values).all()
    assert (rule.corrected_values < rule.fitted_values).mean() > 0.9


def test_a_rule_for_other_classes_is_refused():
    rule = fit_decision(binary([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]))
    with pytest.raises(ArgumentError, match="same classes in the same order"):
        rule.apply(binary([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], classes=["Hernia"]))
