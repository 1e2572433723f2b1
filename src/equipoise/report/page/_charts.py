"""The charts of a page: one panel each, so that they stand side by side or below each other, with a description."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.metrics import rank_class
from equipoise.report import _panels as panels
from equipoise.report import preflight_plots
from equipoise.report._style import BLUE, GREY, MOST_CLASSES, class_grid, house_style, new_figure, thinned
from equipoise.report._words import figure_cell, joined, metric_name, one_in, percent
from equipoise.report.page._parts import Chart
from equipoise.report.page._svg import inline_svg
from equipoise.report.reliability_plot import bins_of, draw_class, draw_reliability, reliability_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from equipoise._arrays import Floats
    from equipoise.balance import Preflight
    from equipoise.labels import Census
    from equipoise.report.page._explorer import ClassCurve
    from equipoise.report.view import RunView
    from equipoise.scores import Scores

_NARROW, _WIDE = 5.4, 6.6  # inches


def draw_chart(
    key: str, size: tuple[float, float], draw: Callable[[Axes], object], described: str, caption: str = ""
) -> Chart:
    """Return a chart of one pair of axes.

    Args:
        key: unlike that of any other chart of the page.
        size: width and height in inches.
        draw: what draws it.
        described: what it shows, for those who do not see it.
        caption: under it.
    """
    with house_style():
        drawing, axes = new_figure(*size)
        draw(axes[0, 0])
    return Chart(inline_svg(drawing, key, described), caption)


def prevalence_chart(census: Census) -> Chart:
    """How common each class is, with its interval."""
    rows = min(len(census.classes), MOST_CLASSES)
    order = sorted(range(len(census.classes)), key=lambda at: -float(census.positives[at]))
    said = joined(
        [f"{census.classes[at]} {percent(float(census.prevalence[at]))}" for at in order if census.positives[at]],
        most=MOST_CLASSES,
    )
    return draw_chart(
        "prevalence", (_WIDE, 1.3 + 0.3 * rows), lambda axes: panels.draw_prevalence(axes, census),
        f"Share of positives of each class with its 95 % interval, on a logarithmic axis: {said or 'none'}.",
    )  # fmt: skip


def f1_chart(view: RunView) -> Chart:
    """F1 of each class under each rule that was judged."""
    table = view.metrics["rule"]
    rows = min(len(table.classes), MOST_CLASSES) + (len(table.classes) > 1)
    said = joined([f"{name} {figure_cell(table.row('f1', name))}" for name in table.classes], most=MOST_CLASSES)
    return draw_chart(
        "f1", (_WIDE, 1.5 + 0.36 * rows), lambda axes: panels.draw_f1(axes, view.metrics),
        f"F1 on the {table.role} role under each rule, with intervals. Under the fitted rule: {said}.",
    )  # fmt: skip


def learning_charts(view: RunView) -> tuple[Chart, ...]:
    """The watched metric, the training loss and how often each class is predicted, by epoch."""
    epochs = panels.epochs_of(view.events)
    if not epochs:
        return ()
    length = max(len(events) for events in epochs.values())
    who = f"{len(epochs)} members" if len(epochs) > 1 else "one model"
    first, last = _ends(epochs, "monitored"), _ends(epochs, "training_loss")
    name = metric_name(str(next(iter(epochs.values()))[0].get("monitor", "watched metric")))
    classes = view.census.classes
    size = (3.7, 2.9)
    return (
        draw_chart("learning-1", size, lambda axes: panels.draw_monitored(axes, epochs),
               f"Held-out {name} of {who} over {length} epochs, {first}; a dot marks the best epoch."),
        draw_chart("learning-2", size, lambda axes: panels.draw_training_loss(axes, epochs),
               f"Training loss of {who} over {length} epochs, {last}."),
        draw_chart("learning-3", (4.8, 2.9), lambda axes: panels.draw_positive_rate(axes, epochs, classes),
               f"Share of held-out rows predicted positive, by epoch, each class at its best cut; {length} epochs."),
    )  # fmt: skip


def _ends(epochs: Any, key: str) -> str:
    """Say where a quantity of the first member begins and ends."""
    values = [event.get(key) for event in next(iter(epochs.values()))]
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    return f"from {known[0]:.3g} to {known[-1]:.3g}" if known else "with no figure"


def preflight_charts(found: Preflight) -> tuple[Chart, ...]:
    """Original distribution, loss weights, sampler shares, and the two combined."""
    chosen = panels.rarest(found.natural_rates, MOST_CLASSES)
    chosen.sort(key=lambda index: -float(found.natural_rates[index]))
    names = [found.classes[index] for index in chosen]
    drawings = (
        (preflight_plots.draw_natural, "Share of rows with the class", found.natural_rates, percent),
        (preflight_plots.draw_weights, "Weight of a positive in the loss", found.weights, lambda one: f"{one:.3g}"),
        (preflight_plots.draw_rates, "Share of draws with the class", found.drawn_rates, percent),
        (preflight_plots.draw_gradient, "Share of the gradient that positives pull up by, before anything is learned",
         found.gradient.positive_shares, percent),
    )  # fmt: skip
    made = []
    for place, (draw, what, values, word) in enumerate(drawings):
        said = joined([f"{found.classes[at]} {word(float(values[at]))}" for at in chosen], most=MOST_CLASSES)
        made.append(
            draw_chart(f"preflight-{place}", (6.2, 1.8 + 0.29 * len(chosen)),
                   lambda axes, draw=draw: draw(axes, found, chosen, names), f"{what}: {said}.")  # type: ignore[misc]
        )  # fmt: skip
    return tuple(made)


def reliability_charts(scores: Scores) -> tuple[tuple[Chart, ...], tuple[Chart, ...]]:
    """Return the chart of all classes pooled, and those of each class; none where there is only one class.

    Args:
        scores: at natural prevalence.
    """
    described = f"Observed share against predicted probability. {_bins_said(*reliability_bins(scores)[:2])}"
    pooled = draw_chart("reliability", (_NARROW, 4.4), lambda axes: draw_reliability(axes, scores), described)
    if len(scores.classes) == 1:
        return (pooled,), ()
    truth, probabilities = scores.table(), scores.probability_table()
    made = []
    for index in panels.rarest(np.nansum(truth, axis=0), MOST_CLASSES):
        known = ~np.isnan(truth[:, index])
        said, found = truth[known, index], probabilities[known, index]
        name = scores.classes[index]
        told = _bins_said(*bins_of(said, found)[:2])
        with house_style():
            drawing, (axes,) = class_grid(1, 1.9, 1.9, 1)
            draw_class(axes, said, found, name)
        made.append(Chart(inline_svg(drawing, f"reliability-{index}", f"Reliability of {name}. {told}")))
    return (pooled,), tuple(made)


def _bins_said(predicted: Floats, observed: Floats) -> str:
    pairs = [f"{percent(float(p))} predicted, {percent(float(o))} observed"
             for p, o in zip(predicted, observed, strict=True)]  # fmt: skip
    return f"{joined(pairs, most=10)}." if pairs else "There is nothing to draw."


def curve_chart(index: int, curve: ClassCurve, truth: Floats, probabilities: Floats) -> Chart | None:
    """Precision against recall of one class with a mark that the explorer moves; None without a positive or a negative.

    Args:
        index: of the class, for names in the page.
        curve: from `class_curves`.
        truth: (rows,) of 0, 1 and NaN.
        probabilities: (rows,) of the role that the curve is of.
    """
    ranked = rank_class(truth, probabilities)
    if not ranked.positives * ranked.negatives:
        return None
    keep = thinned(len(ranked.values), 160)
    hits, alarms = ranked.true_positives[keep], ranked.false_positives[keep]
    recall, precision = hits / ranked.positives, hits / (hits + alarms)
    prevalence = ranked.positives / (ranked.positives + ranked.negatives)
    with house_style():
        drawing, axes = _square()
        axes.axhline(prevalence, color=GREY, linewidth=1.0, linestyle=(0, (4, 2)))
        axes.plot(
            np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision]), drawstyle="steps-pre",
            color=BLUE, linewidth=1.5,
        )  # fmt: skip
    area = ranked.average_precision()
    described = (
        f"Precision against recall of {curve.name}: average precision {area:.3f}, {one_in(prevalence)} by chance. "
        "The dot is where the threshold of the slider lies."
    )
    role = next(iter(curve.roles.values()))
    hit, alarm = int(role.hits[curve.chosen]), int(role.alarms[curve.chosen])
    mark = (hit / role.positives, hit / (hit + alarm) if hit + alarm else 1.0)
    return Chart(inline_svg(drawing, f"curve-{index}", described, mark=mark), f"AP {area:.3f}; dashed: chance")


def _square() -> tuple[Any, Axes]:
    """Return a small figure whose axes lie where they are told to: a layout would be worked out anew for each class."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(3.0, 2.3))
    axes = drawing.add_axes((0.17, 0.2, 0.8, 0.76))
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ticks: Sequence[float] = (0.0, 0.5, 1.0)
    axes.set(xticks=ticks, yticks=ticks)
    return drawing, axes
