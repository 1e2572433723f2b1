"""Figures class by class: what each reaches on rows nobody learned from, and how it got there epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError
from equipoise.report import _panels as panels
from equipoise.report._style import (
    BLUE,
    GREY,
    MOST_CLASSES,
    RED,
    class_grid,
    class_rows,
    house_style,
    new_figure,
    set_heading,
    shown,
)
from equipoise.report._words import metric_name, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from equipoise.evidence import MetricTable

Floats: TypeAlias = NDArray[np.float64]

_METRICS = ("auc", "ap", "f1", "recall")


def plot_classes(table: MetricTable) -> Figure:
    """Return a figure of AUC, AP, F1 and recall of every class with their intervals, and what no skill would reach.

    No skill is an AUC of one half, and an AP of the share of positives. Of more than 24 classes the rarest are shown.

    Args:
        table: from `evaluate`; metrics that it does not have are left out.

    Raises:
        ArgumentError: it has none of them.
    """
    there = [name for name in _METRICS if any(row.metric == name for row in table.of_class(table.classes[0]))]
    if not there:
        raise ArgumentError("plot_classes found no metric of single classes. Pass the table of `evaluate`.")
    support = np.array([table.row(there[0], name).support for name in table.classes])
    chosen = sorted(panels.rarest(support, MOST_CLASSES), key=lambda index: -int(support[index]))
    names = [table.classes[index] for index in chosen]
    with house_style():
        figure, axes = new_figure(3.2 + 2.4 * len(there), 1.7 + 0.28 * len(names), 1, len(there))
        for place, metric in enumerate(there):
            _draw_bars(axes[0, place], table, metric, names, first=place == 0, last=place == len(there) - 1)
        more = f", the {len(names)} rarest of {len(support)} classes" if len(names) < len(support) else ""
        set_heading(figure, f"{table.cases:,} {table.role} rows, {percent(table.level)} intervals{more}")
    return figure


def _draw_bars(axes: Axes, table: MetricTable, metric: str, names: Sequence[str], *, first: bool, last: bool) -> None:
    """One bar a class with its interval; grey marks say what no skill reaches."""
    for place, name in enumerate(names):
        row = table.row(metric, name)
        if math.isnan(row.value):
            axes.text(0.02, place, "not evaluable", va="center", fontsize=8.5, color=GREY)
            continue
        axes.barh(place, row.value, height=0.62, color=BLUE, alpha=0.35, linewidth=0)
        if not math.isnan(row.low):
            axes.plot([row.low, row.high], [place, place], color=BLUE, linewidth=1.8)
        axes.plot(row.value, place, "o", color=BLUE, markersize=4.5)
        nothing = {"auc": 0.5, "ap": row.support / max(table.cases, 1)}.get(metric)
        if nothing is not None:
            axes.plot(nothing, place, "|", color=GREY, markersize=11, markeredgewidth=1.6)
    remarks = [f"{table.row(metric, name).support:,}" for name in names] if last else ()
    class_rows(axes, names if first else [""] * len(names), right=remarks, heading="positives" if last else "")
    axes.set_xlim(0, 1.02)
    axes.set_title(metric_name(metric))
    if metric in ("auc", "ap"):
        axes.set_xlabel("grey: no skill")


def plot_class_learning(events: Iterable[Mapping[str, Any]], classes: Sequence[str]) -> Figure:
    """Return a figure of the held-out AUC of every class by epoch, with its 95 % interval, one panel a class.

    Args:
        events: from `Run.events`; of several members the mean is drawn, and the mean of their intervals.
        classes: names, in the order of the figures in the events. Of more than 24 the worst at the end are shown.

    Raises:
        ArgumentError: no epoch with figures of classes is among the events.
    """
    epochs = panels.epochs_of(events)
    middle, low, high = (panels.mean_by_epoch(epochs, key) for key in ("auc", "auc_low", "auc_high"))
    if not middle.size or np.isnan(middle).all():
        raise ArgumentError("plot_class_learning found no AUC of classes in the events. Train first.")
    last = np.nan_to_num(middle[-1], nan=-1.0)
    chosen = sorted(int(index) for index in np.argsort(last, kind="stable")[:MOST_CLASSES])
    best = [int(found[-1].get("best_epoch") or 0) for found in epochs.values()]
    with house_style():
        figure, axes = class_grid(len(chosen), 2.7, 1.9, 5)
        for index, panel in zip(chosen, axes, strict=True):
            name = classes[index] if index < len(classes) else f"class {index}"
            _draw_course(panel, (middle[:, index], low[:, index], high[:, index]), name, best)
            panel.label_outer()  # the axes are alike, and ticks take longer to draw than all else
        set_heading(figure, "AUC on held-out rows by epoch, with its interval; dotted: no skill, red: the best epoch")
    return figure


def _draw_course(axes: Axes, course: tuple[Floats, Floats, Floats], name: str, best: Sequence[int]) -> None:
    middle, low, high = course
    number = np.arange(1, len(middle) + 1)
    axes.set_title(shown(name, 20))
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.set_xlim(0.9, max(2, len(middle)) + 0.1)
    axes.set_xticks(sorted({1, max(1, len(middle) // 2), len(middle)}))
    axes.axhline(0.5, color=GREY, linestyle=(0, (1.2, 1.5)), linewidth=1.0)
    if np.isnan(middle).all():
        panels.say(axes, "not evaluable")
        return
    axes.fill_between(number, low, high, color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(number, middle, color=BLUE, linewidth=1.6, marker="." if len(number) < 3 else None)
    if len(best) == 1 and 1 <= best[0] <= len(number):
        axes.plot(best[0], middle[best[0] - 1], "o", color=RED, markersize=4.5, zorder=3)
