"""Objectives: one string everywhere, and figures that agree with the metrics."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise._checks import ArgumentError
from equipoise.decision import OBJECTIVES, Objective, fit_decision, parse_objective
from equipoise.decision.objectives import allowed_objectives
from equipoise.metrics import count_outcomes
from equipoise.scores import TASKS, Scores


@pytest.mark.parametrize("text", [form for form, _ in OBJECTIVES.values()])
def test_what_is_written_is_read(text):
    assert str(parse_objective(text)) == text
    assert parse_objective(parse_objective(text)) == parse_objective(text)


def test_spaces_and_other_spellings_of_numbers_are_the_same():
    assert parse_objective("cost: 1.0 : 10") == Objective("cost", (1.0, 10.0))
    assert parse_objective("recall >= 0.90") == parse_objective("recall>=0.9")
    assert str(parse_objective("costs:0,1/2.5,0")) == "costs:0,1/2.5,0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("F1", 'Did you mean "f1"'),
        ("balanced accuracy", 'Did you mean "balanced_accuracy"'),
        ("recal>=0.9", 'Did you mean "recall>=0.9"'),
        ("fbeta", 'Did you mean "fbeta:2"'),
        ("fbeta:0", "a beta above 0"),
        ("fbeta:-1", "a beta above 0"),
        ("cost:0:0", "not both 0"),
        ("cost:-1:2", "two costs of at least 0"),
        ("cost:1", "must be one of"),
        ("recall>=1.5", "a share above 0 and at most 1"),
        ("precision>=0", "a share above 0 and at most 1"),
        ("alarms=nan", "must be one of"),
        ("alarms=e", "a share above 0"),
        ("costs:0,1/2", "a square matrix"),
        ("costs:0,1/x,0", "a square matrix"),
        ("costs:0,-1/1,0", "a square matrix"),
        ("", "must be one of"),
    ],
)
def test_what_cannot_be_is_refused_and_the_nearest_named(text, message):
    with pytest.raises(ArgumentError, match="`maximize` of parse_objective") as caught:
        parse_objective(text)
    assert message in str(caught.value)


def test_each_task_has_objectives_that_make_sense_for_it():
    assert {name for task in TASKS for name in allowed_objectives(task)} == set(OBJECTIVES)
    scores = Scores(
        labels=[0, 1], values=[0.1, 0.9], kind="probabilities", ids=[1, 2], role="validation", classes=["a"]
    )
    with pytest.raises(ArgumentError, match='cannot be "qwk" for task binary'):
        fit_decision(scores, "qwk")
    graded = Scores(
        labels=[0, 1], values=np.eye(2), kind="probabilities", ids=[1, 2], role="validation", classes=["a", "b"]
    )
    with pytest.raises(ArgumentError, match='cannot be "mcc" for task multiclass'):
        fit_decision(graded, "mcc")
    with pytest.raises(ArgumentError, match="costs for 3 classes; the scores have 2"):
        fit_decision(graded, "costs:0,1,1/1,0,1/1,1,0")


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_the_metrics(seed):
    random = np.random.default_rng(seed)
    labels, predicted = (random.random(30) < 0.3).astype(float), (random.random(30) < 0.4).astype(float)
    labels[:2] = [0, 1]
    outcomes = count_outcomes(labels, predicted)
    counts = [outcomes.true_positives, outcomes.false_positives, outcomes.positives, outcomes.negatives]
    precision, recall = float(outcomes.precision()), float(outcomes.recall())
    expected = {
        "f1": float(outcomes.f1()),
        "balanced_accuracy": float(outcomes.balanced_accuracy()),
        "youden": recall + float(outcomes.specificity()) - 1,
        "mcc": float(outcomes.matthews()),
        "recall>=0.5": precision,
        "precision>=0.5": recall,
        "cost:1:10": (float(outcomes.false_positives) + 10 * float(outcomes.false_negatives)) / 30,
        "alarms=0.5": predicted.mean(),
        "fbeta:2": 5 * precision * recall / max(4 * precision + recall, 1e-300),
    }
    for text, value in expected.items():
        assert float(parse_objective(text).figure(*counts)) == pytest.approx(value, abs=1e-12), text


def test_a_missed_target_is_below_zero_and_never_better_than_a_reached_one():
    worth = parse_objective("precision>=0.5").worth([1.0, 2.0, 2.0], [0.0, 2.0, 4.0], 2.0, 10.0)
    np.testing.assert_allclose(worth, [0.5, 1.0, 1 / 3 - 0.5])
