"""The cost of a threshold at every value it could have: what is drawn is what was computed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from equipoise._checks import ArgumentError
from equipoise.decision import fit_decision, fixed_rule
from equipoise.report import plot_cost
from equipoise.report._style import write_figure
from equipoise.scores import Scores


def make(role="test", seed=0, rows=500, classes=("$a$", "[b]"), rates=0.2):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, len(classes))) < rates).astype(float)
    values = 1 / (1 + np.exp(2 - random.normal(size=labels.shape) - 1.5 * labels))
    return Scores(labels=labels, values=values, kind="probabilities", ids=None, role=role, classes=classes)


def costs(truth, probabilities, threshold, alarm, miss):
    called = probabilities >= threshold
    return (alarm * (called & (truth == 0)).sum() + miss * (~called & (truth == 1)).sum()) / len(truth)


def test_the_curve_is_the_cost_of_every_cut_and_grey_lines_are_never_and_always():
    scores = make()
    rule = fit_decision(make("validation", 1), "cost:1:5")
    figure = plot_cost(scores, rule)
    for index in range(2):
        axes, truth = figure.axes[index], scores.labels[:, index]
        curve, never, always, chosen = (np.asarray(line.get_xydata()) for line in axes.lines)
        for threshold, cost in curve[:: max(1, len(curve) // 40)]:
            assert cost == pytest.approx(costs(truth, scores.values[:, index], threshold, 1, 5))
        assert never[0, 1] == pytest.approx(5 * truth.mean())
        assert always[0, 1] == pytest.approx(1 - truth.mean())
        assert chosen[0, 0] == pytest.approx(rule.thresholds[index])
    assert "false positive 1, false negative 5" in " ".join(figure.get_suptitle().split())


def test_another_objective_can_be_asked_for():
    scores, rule = make(), fit_decision(make("validation", 1), "f1")
    axes = plot_cost(scores, rule, "youden").axes[0]
    threshold, value = np.asarray(axes.lines[0].get_xydata())[100]
    called, truth = scores.values[:, 0] >= threshold, scores.labels[:, 0] == 1
    assert value == pytest.approx(called[truth].mean() - called[~truth].mean())


def test_what_cannot_be_drawn_says_why(tmp_path):
    scores = make()
    with pytest.raises(ArgumentError, match="Pass maximize="):
        plot_cost(scores, fixed_rule(scores, 0.5))
    plot_cost(scores, fixed_rule(scores, 0.5), "cost:1:1")
    with pytest.raises(ArgumentError, match="f2"):
        plot_cost(scores, fixed_rule(scores, 0.5), "f2")
    empty = dataclasses.replace(fit_decision(make("validation", 1), "f1"), thresholds=np.array([np.inf, 0.0]))
    write_figure(plot_cost(make(rates=0.0), empty), tmp_path / "figure.png")
    write_figure(plot_cost(scores, empty), tmp_path / "other.png")


def test_many_classes_stay_readable():
    scores = make(classes=[f"c{index}" for index in range(60)], rows=200)
    figure = plot_cost(scores, fixed_rule(scores, 0.3), "f1")
    assert len(figure.axes) == 24
    assert "the 24 rarest of 60 classes" in " ".join(figure.get_suptitle().split())
