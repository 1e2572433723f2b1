"""Curves over all thresholds, with the one that was chosen: ROC, and precision against recall."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from equipoise._arrays import Floats
from equipoise.metrics import RankedClass, operating_points, rank_class
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from equipoise.decision import DecisionRule
    from equipoise.scores import Scores


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Where on the curve of a class a rule lies.

    Attributes:
        point: recall, precision and false positive rate; None where one of them has no meaning.
        arc: the same three for every threshold inside the interval of the chosen one, each (k,).
        threshold: the threshold and its interval in words; "" where the rule has none.
    """

    point: tuple[float, float, float] | None
    arc: tuple[Floats, Floats, Floats]
    threshold: str


Draw: TypeAlias = Callable[["Axes", RankedClass, "Chosen | None", str], None]


def plot_precision_recall(scores: Scores, rule: DecisionRule | None = None) -> Figure:
    """Return a figure of precision against recall, one panel per class; the dashed line is its prevalence: chance.

    Each panel has the average precision. Steps, not slopes: precision does not move in a straight line between points.

    Args:
        scores: of any task; one-of-many classes are taken one against the rest. Of more than 24 classes the rarest are
            shown.
        rule: when given, the dot is where it predicts, and the shaded arc where it would at any threshold inside the
            interval of the chosen one.
    """
    return _plot_curves(scores, rule, _draw_precision_recall, "Precision and recall")


def plot_roc(scores: Scores, rule: DecisionRule | None = None) -> Figure:
    """Return a figure of the true against the false positive rate, one panel per class; the diagonal is chance.

    Each panel has the area under the curve. The curves are drawn from scores, never from predictions already cut.

    Args:
        scores: of any task; one-of-many classes are taken one against the rest. Of more than 24 classes the rarest are
            shown.
        rule: when given, the dot is where it predicts, and the shaded arc where it would at any threshold inside the
            interval of the chosen one.
    """
    return _plot_curves(scores, rule, _draw_roc, "ROC")


def _plot_curves(scores: Scores, rule: DecisionRule | None, draw: Draw, title: str) -> Figure:
    decisions = None if rule is None else rule.apply(scores)
    natural = scores if decisions is None else decisions.scores
    truth, ranking, probabilities = natural.table(), natural.ranking_table(), natural.probability_table()
    predicted = None if decisions is None else decisions.table()
    chosen = rarest(np.nansum(truth, axis=0), MOST_CLASSES)
    arcs = False
    with house_style():
        figure, axes = class_grid(len(chosen), 2.6, 2.6, 4)
        for index, panel in zip(chosen, axes, strict=True):
            found = None
            if rule is not None and predicted is not None:
                found = _chosen(rule, index, truth[:, index], probabilities[:, index], predicted[:, index] == 1)
                arcs |= len(found.arc[0]) > 0
            draw(panel, rank_class(truth[:, index], ranking[:, index]), found, scores.classes[index])
        words = [f"{title}, on the {scores.role} role"]
        words += [] if rule is None else ["dot: where the rule predicts"]
        words += ["shaded: inside the interval of its threshold"] if arcs else []
        words += [f"the {len(chosen)} rarest of {len(scores.classes)} classes"] * (len(chosen) < len(scores.classes))
        set_heading(figure, "; ".join(words))
    return figure


def _chosen(rule: DecisionRule, index: int, truth: Floats, probabilities: Floats, predicted: Floats) -> Chosen:
    known = ~np.isnan(truth)
    truth, probabilities, predicted = truth[known], probabilities[known], predicted[known]
    point = operating_point(truth, predicted)
    none = np.zeros(0)
    if rule.thresholds is None:
        return Chosen(point, (none, none, none), "")
    low, high = interval_of(rule, index)
    words = threshold_words(float(rule.thresholds[index]), low, high)
    points = operating_points(truth, probabilities)
    inside = (
        (points.values >= low) & (points.values <= high) if point is not None else np.zeros(len(points.values), bool)
    )
    hits, alarms = points.true_positives[inside], points.false_positives[inside]
    with np.errstate(divide="ignore", invalid="ignore"):
        arc = hits / points.positives, hits / (hits + alarms), alarms / points.negatives
    return Chosen(point, arc, words)


def operating_point(truth: Floats, predicted: Floats) -> tuple[float, float, float] | None:
    """Return recall, precision and false positive rate of a cut; None where one of them has no meaning.

    Args:
        truth: (rows,) of 0 and 1.
        predicted: (rows,) of booleans.
    """
    positives, negatives, called = float((truth == 1).sum()), float((truth == 0).sum()), float(predicted.sum())
    if not positives * negatives * called:
        return None
    hits = float((predicted & (truth == 1)).sum())
    return hits / positives, hits / called, (called - hits) / negatives


def interval_of(rule: DecisionRule, index: int) -> tuple[float, float]:
    """Return the interval of the threshold of a class; NaN twice where it has none."""
    if rule.thresholds is None or rule.interval_low is None or rule.interval_high is None:
        return math.nan, math.nan
    return float(rule.interval_low[index]), float(rule.interval_high[index])


def threshold_words(threshold: float, low: float, high: float) -> str:
    """Return a threshold and its interval in words.

    Example:
        >>> threshold_words(0.1234, 0.1, 0.25), threshold_words(float("inf"), float("nan"), float("nan"))
        ('threshold 0.123 [0.1, 0.25]', 'never predicted')
    """
    if math.isnan(threshold):
        return ""
    if threshold > 1 or threshold <= 0:
        return "never predicted" if threshold > 1 else "always predicted"
    interval = "" if math.isnan(low) or math.isnan(high) else f" [{low:.3g}, {high:.3g}]"
    return f"threshold {threshold:.3g}{interval}"


def _draw_precision_recall(axes: Axes, ranked: RankedClass, chosen: Chosen | None, name: str) -> None:
    value = ranked.average_precision()
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if math.isnan(value):
        class_head(axes, name)
        say(axes, "not evaluable")
        return
    keep = thinned(len(ranked.values))
    hits, alarms = ranked.true_positives[keep], ranked.false_positives[keep]
    recall = np.concatenate([[0.0], hits / ranked.positives])
    precision = hits / (hits + alarms)
    prevalence = ranked.positives / (ranked.positives + ranked.negatives)
    axes.axhline(prevalence, color=GREY, linewidth=1.0, linestyle=(0, (4, 2)))
    axes.plot(recall, np.concatenate([precision[:1], precision]), drawstyle="steps-pre", color=BLUE, linewidth=1.5)
    class_head(axes, name, f"AP {value:.2f}, chance {prevalence:.2g}", *_threshold_line(chosen))
    if chosen is not None:
        _draw_chosen(axes, chosen, 0, 1)


def _draw_roc(axes: Axes, ranked: RankedClass, chosen: Chosen | None, name: str) -> None:
    value = ranked.auc()
    axes.set(xlabel="false positive rate", ylabel="recall", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if math.isnan(value):
        class_head(axes, name)
        say(axes, "not evaluable")
        return
    alarms, hits = ranked.corners()
    keep = thinned(len(alarms))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.0, linestyle=(0, (4, 2)))
    axes.plot(alarms[keep] / ranked.negatives, hits[keep] / ranked.positives, color=BLUE, linewidth=1.5)
    class_head(axes, name, f"AUC {value:.2f}, {ranked.positives:,.0f} positives", *_threshold_line(chosen))
    if chosen is not None:
        _draw_chosen(axes, chosen, 2, 0)


def _threshold_line(chosen: Chosen | None) -> list[str]:
    return [chosen.threshold] if chosen is not None and chosen.threshold else []


def _draw_chosen(axes: Axes, chosen: Chosen, across: int, up: int) -> None:
    if len(chosen.arc[0]):
        keep = thinned(len(chosen.arc[0]), 500)
        axes.plot(
            chosen.arc[across][keep], chosen.arc[up][keep], color=RED, linewidth=6.0, alpha=0.35,
            solid_capstyle="butt", zorder=1.5,
        )  # fmt: skip
    if chosen.point is not None:
        axes.plot(
            chosen.point[across], chosen.point[up], "o", color=RED, markersize=6.5, markeredgecolor="white", zorder=3
        )
