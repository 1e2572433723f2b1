"""Figures class by class show the figures of the table and of the event log, and say what cannot be judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equipoise._checks import ArgumentError
from equipoise.report import RunView, plot_class_learning, plot_classes, write_report
from equipoise.runs import Run

MakeRun = Callable[..., Run]


def _epoch(epoch: int, auc: list[float | None], member: int = 0) -> dict[str, Any]:
    low, high = ([None if one is None else one + step for one in auc] for step in (-0.1, 0.05))
    return {"event": "epoch", "member": member, "epoch": epoch, "auc": auc, "auc_low": low, "auc_high": high,
            "best_epoch": 2}  # fmt: skip


def test_every_bar_and_interval_is_that_of_the_table(make_run: MakeRun) -> None:
    table = RunView.read(make_run(classes=["a", "b", "c"])).metrics["rule"]
    figure = plot_classes(table)
    order = sorted(table.classes, key=lambda name: -table.row("auc", name).support)
    drawn = ["auc", "ap", "f1", "recall"]
    assert len(figure.axes) == len(drawn)
    for axes, metric in zip(figure.axes, drawn, strict=True):
        rows = [table.row(metric, name) for name in order]
        assert [bar.get_width() for bar in axes.patches] == [row.value for row in rows]
        spans = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
        assert spans == [(row.low, row.high) for row in rows if not math.isnan(row.low)]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == order


def test_a_class_without_a_positive_is_said_to_be_not_evaluable(make_run: MakeRun) -> None:
    run = make_run(classes=["common", "never"], rows=40)
    table = RunView.read(run).metrics["rule"]
    assert math.isnan(table.row("auc", "never").value)
    said = [text.get_text() for text in plot_classes(table).axes[0].texts]
    assert "not evaluable" in said


def test_the_learning_curve_of_a_class_is_the_mean_over_members() -> None:
    events = [_epoch(1, [0.5, None]), _epoch(2, [0.7, None]), _epoch(1, [0.6, None], 1), _epoch(2, [0.9, None], 1)]
    figure = plot_class_learning(events, ["a", "b"])

    assert any(np.allclose(line.get_ydata(), [0.55, 0.8]) for line in figure.axes[0].lines)
    assert "not evaluable" in [text.get_text() for text in figure.axes[1].texts]


def test_events_without_aucs_are_an_error() -> None:
    with pytest.raises(ArgumentError, match="no AUC"):
        plot_class_learning([{"event": "epoch", "epoch": 1}], ["a"])


def test_a_report_has_them(make_run: MakeRun) -> None:
    run = make_run(classes=["a", "b"])
    write_report(run)
    assert run.file("figures/classes.png").exists()
    assert "figures/classes.png" in run.file("summary.md").read_text()
