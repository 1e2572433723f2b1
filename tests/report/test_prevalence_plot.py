"""The figure of a rule at other prevalences."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from equipoise._checks import ArgumentError
from equipoise.decision import fixed_rule
from equipoise.decision.prevalence import estimate_prevalence, prevalence_table
from equipoise.report import plot_prevalence
from equipoise.scores import Scores

GRID = np.geomspace(0.001, 0.5, 20)


def scores(classes, role="test", share=0.2, seed=0):
    random = np.random.default_rng(seed)
    labels = (random.random((200, classes)) < share).astype(float)
    return Scores(labels=labels, values=random.normal(size=(200, classes)) + 2 * labels - 1, kind="logits",
                  ids=np.arange(200) + 1000 * seed, role=role,
                  classes=[f"class $_{one}" for one in range(classes)])  # fmt: skip


def table_of(found):
    return prevalence_table(found, fixed_rule(found, 0.5), GRID, replicates=50)


def test_lines_are_the_figures_of_the_table():
    found = scores(1)
    table = table_of(found)
    figure = plot_prevalence(table, estimate_prevalence(found, scores(1, "test", 0.4, 1), replicates=30))
    rates, alarms = figure.axes
    drawn = {line.get_label(): line for line in rates.lines}
    np.testing.assert_allclose(drawn["PPV"].get_ydata(), table.values["ppv"][0, 1:])
    np.testing.assert_allclose(drawn["F1"].get_xdata(), GRID)
    assert "estimated" in drawn
    np.testing.assert_allclose(alarms.lines[0].get_ydata(), table.values["alarms"][0, 1:])


def test_a_panel_per_class_and_no_more_than_anyone_reads():
    assert len([axes for axes in plot_prevalence(table_of(scores(3))).axes if axes.axison]) == 3
    many = plot_prevalence(table_of(scores(30)))
    assert len([axes for axes in many.axes if axes.axison]) == 24
    assert "24 rarest of 30" in many.get_suptitle()


def test_a_class_without_positives_is_said_not_drawn():
    found = scores(2)
    labels = found.labels.copy()
    labels[:, 1] = 0
    bare = Scores(labels=labels, values=found.values, kind="logits", ids=found.ids, role="test", classes=found.classes)
    panel = plot_prevalence(table_of(bare)).axes[1]
    assert not panel.lines
    assert any("missing" in text.get_text() for text in panel.texts)


def test_what_cannot_be_drawn_is_refused():
    found = scores(1)
    with pytest.raises(ArgumentError, match="two prevalences"):
        plot_prevalence(prevalence_table(found, fixed_rule(found, 0.5), [0.1], replicates=0))
    estimate = estimate_prevalence(found, scores(1, "test", 0.4, 1), replicates=30)
    with pytest.raises(ArgumentError, match="other classes"):
        plot_prevalence(table_of(found), dataclasses.replace(estimate, classes=("other",)))
