"""The figure of a comparison: what is drawn is what was compared, and noise is grey."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from equipoise.evidence import compare
from equipoise.report import plot_comparison
from equipoise.report._style import BLUE, GREY, RED, write_figure
from equipoise.scores import Scores


def make(gain, classes=4, rows=800, seed=0, names=None):
    random = np.random.default_rng(0)
    labels = (random.random((rows, classes)) < np.geomspace(0.4, 0.05, classes)).astype(float)
    noise = np.random.default_rng(seed).normal(size=labels.shape)
    return Scores(
        labels=labels, values=noise + gain * labels, kind="logits", ids=np.arange(rows), role="test",
        classes=names or [f"$c_{index}$" for index in range(classes)],
    )  # fmt: skip


def rows_of(figure):
    axes = figure.axes[0]
    marks = [line for line in axes.lines if line.get_marker() in ("o", "D")]
    return {round(float(line.get_ydata()[0])): (float(line.get_xdata()[0]), line.get_color()) for line in marks}


def test_differences_are_drawn_with_overall_first_and_common_classes_next():
    found = compare(make(2.5, seed=1), make(0.3, seed=2), "macro_auc", replicates=200, names=("$A$", "[B]"))
    figure = plot_comparison(found)
    rows = rows_of(figure)
    assert rows[0] == (pytest.approx(found.overall.value), BLUE)
    assert [rows[place + 1][0] for place in range(4)] == pytest.approx([one.value for one in found.classes])
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["macro-AUC", r"\$c_0\$", r"\$c_1\$", r"\$c_2\$", r"\$c_3\$"]
    assert r"\$A\$ minus [B]" in figure.axes[0].get_xlabel()


def test_worse_is_red_and_no_evidence_is_grey():
    worse = compare(make(0.3, seed=1), make(2.5, seed=2), "macro_auc", replicates=200)
    assert rows_of(plot_comparison(worse))[0][1] == RED
    same = compare(make(1.0, seed=1), make(1.0, seed=1), "macro_auc", replicates=200)
    assert rows_of(plot_comparison(same))[0][1] == GREY


def test_where_lower_is_better_the_ends_of_the_axis_change_places():
    found = compare(make(2.5, seed=1), make(0.3, seed=2), "macro_log_loss", replicates=200, names=("A", "B"))
    assert plot_comparison(found).axes[0].get_xlabel().startswith("← A is better")


def test_an_interval_that_says_nothing_does_not_press_the_others_to_a_point(tmp_path):
    found = compare(make(1.3, seed=1), make(1.0, seed=2), "macro_auc", replicates=200, margin=0.01)
    wide = dataclasses.replace(found.classes[-1], low=-40.0, high=40.0)
    nothing = dataclasses.replace(found.classes[0], value=math.nan, low=math.nan, high=math.nan, adjusted_p=math.nan)
    figure = plot_comparison(dataclasses.replace(found, classes=(nothing, *found.classes[1:-1], wide)))
    assert figure.axes[0].get_xlim()[1] < 2
    assert any(text.get_text() == "not evaluable" for text in figure.axes[0].texts)
    write_figure(figure, tmp_path / "figure.png")


def test_many_classes_stay_readable():
    found = compare(make(1.3, classes=60, seed=1), make(1.0, classes=60, seed=2), "macro_ap", replicates=100)
    figure = plot_comparison(found)
    assert len(rows_of(figure)) == 24
    assert "the 23 rarest of 60 classes" in figure.axes[0].get_title("left")
