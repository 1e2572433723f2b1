"""The figure of the frontier."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.balance import HEURISTICS, Frontier, frontier
from equipoise.labels import Labels
from equipoise.report import plot_frontier


def test_every_cap_is_a_line_and_every_heuristic_a_name():
    values = np.zeros((200, 3), np.float32)
    values[:90, 0] = values[80:110, 1] = values[108:112, 2] = 1.0
    table = frontier(Labels("multilabel", ("a", "b", "c"), values, np.arange(200)), caps=(None, 10, 3))
    figure = plot_frontier(table)
    left, right = figure.axes
    lines = [line for line in left.lines if len(line.get_xdata()) == len(table.solved(None))]
    assert len(lines) >= 3
    for axes in (left, right):
        assert {text.get_text() for text in axes.texts} == {name.replace("_", " ") for name in HEURISTICS}
    hollow = [line for line in left.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert len(hollow) == sum(not point.reached for point in table.points)


def test_a_frontier_without_plans_is_refused():
    with pytest.raises(ValueError, match="found no solved plan"):
        plot_frontier(Frontier(("a",), ()))
