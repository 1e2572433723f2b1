"""Figures of one record each: a census, the events of a training, scores with a rule.

Every function returns a matplotlib `Figure` that belongs to no window; nothing here needs a display or changes pyplot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._checks import ArgumentError
from equipoise.metrics import operating_points
from equipoise.report import _panels as panels
from equipoise.report._style import MOST_CLASSES, class_grid, house_style, new_figure, set_heading
from equipoise.report._words import no_thresholds
from equipoise.report.curve_plots import interval_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from equipoise.decision import DecisionRule
    from equipoise.labels import Census
    from equipoise.scores import Scores


def plot_census(census: Census) -> Figure:
    """Return a figure of the prevalence of every class with its 95 % interval, on a logarithmic axis.

    Args:
        census: from `count_labels`. Of more than 24 classes the rarest are shown.
    """
    with house_style():
        rows = min(len(census.classes), MOST_CLASSES)
        figure, axes = new_figure(8.0, 1.5 + 0.3 * rows)
        panels.draw_prevalence(axes[0, 0], census)
    return figure


def plot_learning_curves(events: Iterable[Mapping[str, Any]], classes: Sequence[str] = ()) -> Figure:
    """Return a figure of the watched metric, the training loss and the predicted-positive rate by epoch.

    Args:
        events: from `Run.events`; only those with ``"event": "epoch"`` are read.
        classes: names, in the order of the rates in the events.

    Raises:
        ArgumentError: no epoch is among the events.
    """
    epochs = panels.epochs_of(events)
    if not epochs:
        raise ArgumentError("plot_learning_curves found no epoch in the events. Train first, or pass Run.events().")
    with house_style():
        figure, axes = new_figure(12.5, 3.4, 1, 3)
        panels.draw_monitored(axes[0, 0], epochs)
        panels.draw_training_loss(axes[0, 1], epochs)
        panels.draw_positive_rate(axes[0, 2], epochs, classes)
    return figure


def plot_thresholds(scores: Scores, rule: DecisionRule) -> Figure:
    """Return a figure of F1, precision and recall against the threshold, one panel per class.

    The chosen threshold, its interval and 0.5 are marked. The curves are those of `scores`: on the validation role the
    chosen threshold is at its own maximum, on the test role it shows how well it carried over.

    Args:
        scores: binary or multilabel. Of more than 24 classes the rarest are shown.
        rule: from `fit_decision`.

    Raises:
        ArgumentError: the rule has no thresholds: one-of-many tasks take the most likely class.
    """
    if rule.thresholds is None:
        raise ArgumentError(no_thresholds("plot_thresholds", rule))
    natural = rule.apply(scores).scores
    truth, probabilities = natural.table(), natural.probability_table()
    chosen = panels.rarest(np.nansum(truth, axis=0), MOST_CLASSES)
    with house_style():
        figure, axes = class_grid(len(chosen), 3.6, 2.6, 3)
        for index, panel in zip(chosen, axes, strict=True):
            points = operating_points(truth[:, index], probabilities[:, index])
            interval = interval_of(rule, index)
            panels.draw_threshold(panel, points, float(rule.thresholds[index]), scores.classes[index], interval)
        for panel in axes:  # a class that cannot be judged has nothing to explain
            if panel.get_legend_handles_labels()[0]:
                panel.legend(loc="best", handlelength=1.6)
                break
        set_heading(figure, f"What a threshold does, on the {scores.role} role")
    return figure
