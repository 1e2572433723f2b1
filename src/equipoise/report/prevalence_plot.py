"""What a rule does where a class is more or less common."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from equipoise._checks import ArgumentError
from equipoise.report._panels import rarest, say
from equipoise.report._style import (
    BLUE,
    GREEN,
    GREY,
    MOST_CLASSES,
    ORANGE,
    PURPLE,
    class_grid,
    house_style,
    new_figure,
    set_heading,
    shown,
)
from equipoise.report._words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from equipoise.decision.prevalence import PrevalenceEstimate, PrevalenceTable

_LINES = (("ppv", "PPV", BLUE), ("f1", "F1", ORANGE), ("npv", "NPV", GREEN))


def plot_prevalence(table: PrevalenceTable, estimate: PrevalenceEstimate | None = None) -> Figure:
    """Return a figure of PPV, NPV and F1 of a rule against the prevalence, on a logarithmic axis.

    One panel per class (of more than 24 the rarest); a table of one class has a second panel with alarms per thousand.
    Bands are the intervals of the table. The dot is at the prevalence of the rows that were judged, the dashed line
    with its band at the one estimated.

    Args:
        table: from `prevalence_table`, at two prevalences or more: the denser, the smoother the lines.
        estimate: of the same classes, to be marked.

    Raises:
        ArgumentError: fewer than two prevalences to draw a line through, or an estimate of other classes.
    """
    if table.prevalence.shape[1] < 3:
        raise ArgumentError("plot_prevalence draws lines: pass a table at two prevalences or more.")
    if estimate is not None and estimate.classes != table.classes:
        raise ArgumentError("`estimate` of plot_prevalence is of other classes than the table.")
    with house_style():
        if len(table.classes) == 1:
            figure, axes = new_figure(10.5, 4.6, 1, 2)
            _draw_rates(axes[0, 0], table, 0, estimate)
            axes[0, 0].set_title("What an alarm is worth")
            _draw_alarms(axes[0, 1], table, estimate)
            set_heading(figure, f"{shown(table.classes[0])} at other prevalences")
            return figure
        chosen = rarest(table.positives, MOST_CLASSES)
        figure, panels = class_grid(len(chosen), 2.9, 2.6, 4)
        for place, (index, panel) in enumerate(zip(chosen, panels, strict=True)):
            _draw_rates(panel, table, index, estimate, legend=place == 0)
            panel.set_title(shown(table.classes[index]))
        left_out = len(table.classes) - len(chosen)
        more = f"; the {len(chosen)} rarest of {len(table.classes)} classes" if left_out else ""
        set_heading(figure, f"What an alarm is worth at other prevalences{more}")
    return figure


def _draw_rates(
    axes: Axes, table: PrevalenceTable, index: int, estimate: PrevalenceEstimate | None, *, legend: bool = True
) -> None:
    if not table.positives[index] * table.negatives[index]:
        say(axes, "positives or negatives are missing")
        return
    for figure, name, colour in _LINES:
        _draw_line(axes, table, index, figure, colour, name)
    axes.set_ylim(-0.02, 1.03)
    axes.yaxis.set_major_formatter(lambda value, _: percent(value))
    _finish(axes, index, estimate)
    if legend:
        axes.legend(loc="center right" if len(table.classes) == 1 else "best", handlelength=1.4)


def _draw_alarms(axes: Axes, table: PrevalenceTable, estimate: PrevalenceEstimate | None) -> None:
    if not table.positives[0] * table.negatives[0]:
        say(axes, "positives or negatives are missing")
        return
    _draw_line(axes, table, 0, "alarms", PURPLE, "alarms")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("alarms per thousand cases")
    axes.set_title("How many alarms there are")
    _finish(axes, 0, estimate)


def _draw_line(axes: Axes, table: PrevalenceTable, index: int, figure: str, colour: str, name: str) -> None:
    shares, values = table.prevalence[index], table.values[figure][index]
    order = 1 + np.argsort(shares[1:], kind="stable")
    order = order[~np.isnan(shares[order])]
    axes.plot(shares[order], values[order], color=colour, label=name, zorder=3)
    low, high = table.low[figure][index][order], table.high[figure][index][order]
    axes.fill_between(shares[order], low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(shares[0], values[0], "o", color=colour, markersize=5, zorder=4)


def _finish(axes: Axes, index: int, estimate: PrevalenceEstimate | None) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: percent(value))
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.set_xlabel("prevalence (logarithmic)")
    if estimate is not None and not math.isnan(estimate.prevalence[index]) and estimate.prevalence[index] > 0:
        left, right = axes.get_xlim()
        axes.axvspan(max(float(estimate.low[index]), left), float(estimate.high[index]), color=GREY, alpha=0.15)
        axes.axvline(float(estimate.prevalence[index]), color=GREY, linestyle=(0, (4, 2)), label="estimated")
        axes.set_xlim(left, right)
