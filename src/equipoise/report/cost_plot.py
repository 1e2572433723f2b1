"""What a threshold costs, or is worth, at every value it could have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError
from equipoise.decision.objectives import Objective, parse_objective
from equipoise.metrics import OperatingPoints, operating_points
from equipoise.report._panels import rarest, say
from equipoise.report._style import (
    BLUE,
    GREY,
    MOST_CLASSES,
    RED,
    class_grid,
    class_head,
    house_style,
    set_heading,
    thinned,
)
from equipoise.report._words import metric_name, no_thresholds
from equipoise.report.curve_plots import interval_of, threshold_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from equipoise.decision import DecisionRule
    from equipoise.scores import Scores


def plot_cost(scores: Scores, rule: DecisionRule, maximize: str | None = None) -> Figure:
    """Return a figure of the expected cost (or of any objective) against the threshold, one panel per class.

    The chosen threshold is a line and its interval a band: where the curve is flat inside the band, the exact threshold
    does not matter. For a cost, grey lines are what predicting never, or always, costs: a model that is not below
    them is of no use for this decision. The curves are those of `scores`: on the validation role the threshold lies at
    its own optimum, on the test role it shows how well it carried over.

    Args:
        scores: binary or multilabel. Of more than 24 classes the rarest are shown.
        rule: with thresholds, from `fit_decision`.
        maximize: the objective, such as "cost:1:10" (a false negative costs ten times a false positive); None for the
            one that the rule was fitted for.

    Raises:
        ArgumentError: the rule has no thresholds, or its objective is no figure of one class and none is given.
    """
    if rule.thresholds is None:
        raise ArgumentError(no_thresholds("plot_cost", rule))
    objective = _objective(rule, maximize)
    natural = rule.apply(scores).scores
    truth, probabilities = natural.table(), natural.probability_table()
    chosen = rarest(np.nansum(truth, axis=0), MOST_CLASSES)
    logarithmic = bool(min(rule.thresholds[chosen], default=1.0) < 0.1)
    with house_style():
        figure, axes = class_grid(len(chosen), 3.0, 2.7, 4)
        for index, panel in zip(chosen, axes, strict=True):
            points = operating_points(truth[:, index], probabilities[:, index])
            _draw_class(panel, points, objective, rule, index, logarithmic=logarithmic)
        _legend(figure, objective)
        words = [f"{_heading(objective)} ({scores.role} role)"]
        words += [f"the {len(chosen)} rarest of {len(scores.classes)} classes"] * (len(chosen) < len(scores.classes))
        set_heading(figure, "; ".join(words))
    return figure


def _objective(rule: DecisionRule, maximize: str | None) -> Objective:
    if maximize is None and rule.maximize in ("fixed", "argmax"):
        raise ArgumentError(
            f"plot_cost needs an objective, and a rule that is {rule.maximize} has none. Pass maximize=, such as "
            '"cost:1:10" (command line: give a rule that equipoise decide fitted with --maximize).'
        )
    return parse_objective(rule.maximize if maximize is None else maximize, function="plot_cost")


def _heading(objective: Objective) -> str:
    if objective.name == "cost":
        alarm, miss = objective.parameters
        return f"Cost per row (false positive {alarm:g}, false negative {miss:g})"
    return f"{metric_name(str(objective))} at every threshold"


def _legend(figure: Figure, objective: Objective) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[tuple[Any, str]] = [
        (Line2D([], [], color=RED, linewidth=1.4), "the rule's threshold"),
        (Patch(color=RED, alpha=0.15, linewidth=0), "its interval"),
    ]
    if objective.name == "cost":
        marks.append((Line2D([], [], color=GREY, linewidth=1.0, linestyle=(0, (4, 2))), "predict never"))
        marks.append((Line2D([], [], color=GREY, linewidth=1.0, linestyle=(0, (1.2, 1.5))), "predict always"))
    figure.legend(*zip(*marks, strict=True), loc="outside lower left", ncols=4 if figure.get_figwidth() > 8 else 2)


def _draw_class(
    axes: Axes, points: OperatingPoints, objective: Objective, rule: DecisionRule, index: int, *, logarithmic: bool
) -> None:
    assert rule.thresholds is not None
    name, threshold = rule.classes[index], float(rule.thresholds[index])
    low, high = interval_of(rule, index)
    if not points.positives or not points.negatives:
        class_head(axes, name)
        say(axes, "not evaluable")
        return
    worth = _figure(objective, points, points.true_positives, points.false_positives)
    keep = thinned(len(points.values))
    axes.plot(points.values[keep], worth[keep], color=BLUE, linewidth=1.6)
    if objective.name == "cost":
        never = float(_figure(objective, points, np.zeros(1), np.zeros(1))[0])
        axes.axhline(never, color=GREY, linewidth=1.0, linestyle=(0, (4, 2)))
        axes.axhline(worth[-1], color=GREY, linewidth=1.0, linestyle=(0, (1.2, 1.5)))
        axes.set_ylim(0, 1.25 * min(never, float(worth[-1])))
    else:
        axes.set_ylim(bottom=min(0.0, float(np.nanmin(worth))))
    if math.isfinite(low) and math.isfinite(high):
        axes.axvspan(max(low, 1e-9), min(high, 1.0), color=RED, alpha=0.15, linewidth=0)
    if 0 < threshold <= 1:
        axes.axvline(threshold, color=RED, linewidth=1.4)
    here = _at(points, objective, threshold)
    class_head(axes, name, f"{here:.3g} here, {points.positives:,.0f} positives", threshold_words(threshold, low, high))
    _set_across(axes, points, low if low > 0 else threshold, logarithmic=logarithmic)


def _figure(objective: Objective, points: OperatingPoints, hits: Floats, alarms: Floats) -> Floats:
    return objective.figure(hits, alarms, points.positives, points.negatives)


def _at(points: OperatingPoints, objective: Objective, threshold: float) -> float:
    """Return the figure at a threshold."""
    called = np.flatnonzero(points.values >= threshold)
    hits, alarms = (
        (points.true_positives[called[-1:]], points.false_positives[called[-1:]])
        if len(called)
        else (np.zeros(1), np.zeros(1))
    )
    return float(_figure(objective, points, hits, alarms)[0])


def _set_across(axes: Axes, points: OperatingPoints, lowest: float, *, logarithmic: bool) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xlabel("threshold")
    if not logarithmic:
        axes.set_xlim(-0.02, 1.02)
        return
    axes.set_xscale("log")
    left = max(1e-6, min(float(np.quantile(points.values, 0.02)), lowest) * 0.8)
    axes.set_xlim(min(left, 0.5), 1.0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
