"""The one figure of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.report import _panels as panels
from equipoise.report._style import MOST_CLASSES, house_style, new_figure, set_heading, shown
from equipoise.report.reliability_plot import draw_reliability
from equipoise.report.summary import headline
from equipoise.report.view import RunView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from equipoise.runs import Run


def plot_run(run: Run | RunView) -> Figure:
    """Return the overview of a run: how common each class is, F1 under each rule, reliability, learning.

    It needs nothing but the run folder. What the run does not have yet is said in its panel.
    """
    view = run if isinstance(run, RunView) else RunView.read(run)
    rows = min(len(view.census.classes), MOST_CLASSES)
    with house_style():
        upper = 1.9 + 0.25 * rows
        figure, axes = new_figure(11.0, upper + 3.9, 2, 2, height_ratios=(upper, 3.2))
        panels.draw_prevalence(axes[0, 0], view.census)
        _draw_or_say(axes[0, 1], "rule" in view.metrics, "no test role: nothing was judged")
        if "rule" in view.metrics:
            panels.draw_f1(axes[0, 1], view.metrics)
        judged = view.natural("test") or view.natural("validation")
        _draw_or_say(axes[1, 0], judged is not None, "no scores yet")
        if judged is not None:
            draw_reliability(axes[1, 0], judged)
        epochs = panels.epochs_of(view.events)
        _draw_or_say(axes[1, 1], bool(epochs), "no epoch was finished")
        if epochs:
            panels.draw_monitored(axes[1, 1], epochs)
        set_heading(figure, shown(headline(view), 140))
    return figure


def _draw_or_say(axes: Axes, there: bool, missing: str) -> None:
    if not there:
        axes.set_axis_off()
        axes.text(0.5, 0.5, missing, transform=axes.transAxes, ha="center", va="center", color="#8C8C8C")
