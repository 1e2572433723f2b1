"""Curves with the chosen threshold on them, and reliability: what is drawn is what was computed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from equipoise.decision import fit_decision, fixed_rule
from equipoise.report import plot_precision_recall, plot_reliability, plot_roc
from equipoise.report._style import write_figure
from equipoise.report.reliability_plot import bins_of
from equipoise.scores import Scores

AWKWARD = ("cost_$x^2$_a", "$\\frac{1$ \\$", "<script>alert(1)</script> ../../etc", "bell\a\x1b[31m", "ünïcode " * 20)


def make(classes=AWKWARD, rows=600, role="test", seed=0, rates=0.15):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, len(classes))) < rates).astype(float)
    values = random.normal(size=labels.shape) + 1.5 * labels - 2
    return Scores(labels=labels, values=values, kind="logits", ids=None, role=role, classes=classes)


@pytest.fixture
def rule():
    found = fit_decision(make(role="validation", seed=1), "f1")
    low, high = found.thresholds * 0.5, np.minimum(found.thresholds * 1.5, 1.0)
    return dataclasses.replace(found, interval_low=low, interval_high=high)


def drawn_lines(axes):
    return [np.asarray(line.get_xydata()) for line in axes.lines]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for axes in figure.axes for text in [axes.title, axes._left_title, *axes.texts])


@pytest.mark.parametrize("plot", [plot_roc, plot_precision_recall])
def test_the_dot_is_where_the_rule_predicts_and_the_arc_inside_its_interval(plot, rule):
    scores = make()
    figure = plot(scores, rule)
    predicted = rule.apply(scores).table()
    for index, axes in enumerate(figure.axes[: len(AWKWARD)]):
        truth, called = scores.labels[:, index], predicted[:, index] == 1
        recall, precision = truth[called].sum() / truth.sum(), truth[called].mean()
        alarms = (1 - truth)[called].sum() / (1 - truth).sum()
        dot = drawn_lines(axes)[-1]
        expected = (alarms, recall) if plot is plot_roc else (recall, precision)
        np.testing.assert_allclose(dot, [expected])
        arc = drawn_lines(axes)[-2]
        for edge, limit in ((0, rule.interval_high[index]), (-1, rule.interval_low[index])):
            cut = scores.probabilities()[:, index] >= limit
            assert arc[edge][1 if plot is plot_roc else 0] == pytest.approx(truth[cut].sum() / truth.sum())


@pytest.mark.parametrize("plot", [plot_roc, plot_precision_recall])
def test_a_rule_without_an_interval_has_a_dot_alone(plot):
    scores = make(("a",), seed=2)
    with_rule, without = plot(scores, fixed_rule(scores, 0.2)), plot(scores)
    assert len(with_rule.axes[0].lines) == len(without.axes[0].lines) + 1
    assert "threshold 0.2" in texts(with_rule)


def test_exclusive_classes_have_their_dots_too():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300).astype(float)
    values = random.normal(size=(300, 3)) + np.eye(3)[labels.astype(int)]
    scores = Scores(labels=labels, values=values, kind="logits", ids=None, role="test", classes=["x", "y", "z"])
    figure = plot_roc(scores, fixed_rule(scores, None))
    said = values.argmax(axis=1)
    for index, axes in enumerate(figure.axes[:3]):
        truth = labels == index
        np.testing.assert_allclose(
            drawn_lines(axes)[-1], [[(said[~truth] == index).mean(), (said[truth] == index).mean()]]
        )


@pytest.mark.parametrize(
    "plot", [plot_roc, plot_precision_recall, lambda scores: plot_reliability(scores, per_class=True), plot_reliability]
)
def test_names_from_data_are_drawn_as_they_are(plot, tmp_path):
    figure = plot(make())
    write_figure(figure, tmp_path / "figure.png")
    assert "$x^2$" not in texts(figure)
    assert max(map(len, texts(figure).splitlines())) < 60


@pytest.mark.parametrize(
    "plot", [plot_roc, plot_precision_recall, lambda scores: plot_reliability(scores, per_class=True)]
)
def test_a_thousand_classes_stay_readable(plot):
    scores = make([f"c{index}" for index in range(1000)], rows=50, rates=np.linspace(0, 0.5, 1000))
    figure = plot(scores)
    assert len(figure.axes) == 24
    assert "the 24 rarest of 1000 classes" in " ".join(figure._suptitle.get_text().split())
    assert figure.get_figheight() < 25


@pytest.mark.parametrize("labels", [np.zeros(20), np.ones(20), np.full(20, np.nan)])
@pytest.mark.parametrize("plot", [plot_roc, plot_precision_recall])
def test_what_cannot_be_judged_is_said(plot, labels, tmp_path):
    scores = Scores(labels=labels, values=np.full(20, 0.5), kind="probabilities", ids=None, role="test", classes=["a"])
    figure = plot(scores, fixed_rule(scores, 0.5))
    assert "not evaluable" in texts(figure)
    write_figure(figure, tmp_path / "figure.png")


@pytest.mark.parametrize("values", [np.zeros(20), np.ones(20), np.full(20, 0.5), np.linspace(0, 1, 20)])
@pytest.mark.parametrize("per_class", [False, True])
def test_reliability_of_any_probabilities_can_be_drawn(values, per_class, tmp_path):
    labels = np.arange(20) % 2
    scores = Scores(labels=labels, values=values, kind="probabilities", ids=None, role="test", classes=["a"])
    write_figure(plot_reliability(scores, per_class=per_class), tmp_path / "figure.png")


def test_bins_hold_all_rows_and_equal_promises():
    random = np.random.default_rng(0)
    probabilities = random.beta(0.3, 6, 4000)
    truth = (random.random(4000) < probabilities).astype(float)
    predicted, observed, low, high = bins_of(truth, probabilities)
    assert len(predicted) == 10
    assert (np.diff(predicted) > 0).all()
    assert ((low <= observed) & (observed <= high)).all()
    assert np.mean((low <= predicted) & (predicted <= high)) >= 0.7  # probabilities that mean what they say
