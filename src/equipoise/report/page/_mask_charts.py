"""Figures in the page of a run of masks: each holds a description in words, and follows the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.evidence.finding import findings_of
from equipoise.labels._rates import ratio_interval
from equipoise.metrics.mask_figures import objective_grid
from equipoise.report._panels import whole_epochs
from equipoise.report._style import BLACK, BLUE, GREY, MOST_CLASSES, ORANGE, RED, class_rows, line_looks, shown
from equipoise.report._words import figure_cell, joined, percent
from equipoise.report.mask_view import ANSWERS, MaskView
from equipoise.report.page._charts import draw_chart
from equipoise.report.page._parts import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from equipoise.evidence import MetricTable
    from equipoise.labels import MaskCensus
    from equipoise.metrics.mask_scores import MaskScores

_SMALL = (3.7, 2.9)  # inches
_EDGES = (0.0, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)
_LEAST_PIXELS = 20  # of a bin that is shown
_LOOKS = {"half": (ORANGE, "D"), "empty": (GREY, "|"), "full": (GREY, "|")}


def dice_chart(metrics: Mapping[str, MetricTable], classes: Sequence[str]) -> Chart:
    """Dice of each class under the fitted rule with its interval, and beside it what costs nothing."""
    rule = metrics["rule"]
    rows = [rule.row("dice", name) for name in classes[:MOST_CLASSES]]
    said = joined([f"{row.class_name} {figure_cell(row)}" for row in rows], most=MOST_CLASSES)

    def draw(axes: Axes) -> None:
        class_rows(axes, list(classes[:MOST_CLASSES]), right=[f"{row.support:,}" for row in rows], heading="images")
        for place, row in enumerate(rows):
            for key, (colour, marker) in _LOOKS.items():
                if key in metrics:
                    value = metrics[key].value("dice", row.class_name)
                    axes.plot(value, place, marker, color=colour, markersize=9 if marker == "|" else 5)
            if not math.isnan(row.low):
                axes.plot([row.low, row.high], [place, place], color=BLUE, linewidth=2.2, alpha=0.5)
            axes.plot(row.value, place, "o", color=BLUE, markersize=7)
        axes.set_xlim(-0.02, 1.03)
        axes.set_title(f"Dice of all pixels on {rule.cases:,} {rule.role} images")

    beside = joined([ANSWERS[key] for key in _LOOKS if key in metrics])
    return draw_chart(
        "dice", (6.6, 1.4 + 0.36 * len(rows)), draw, f"Dice of each class with its interval: {said}.",
        f"Dots: the fitted rule. Diamonds and strokes: {beside}." if beside else "",
    )  # fmt: skip


def share_chart(census: MaskCensus, classes: Sequence[str]) -> Chart:
    """Share of the pixels of each class with its interval over images, and single images as dots."""
    chosen = [census.classes.index(name) for name in classes]
    order = sorted(chosen, key=lambda at: -float(census.prevalence[at]))[:MOST_CLASSES]
    low, high = census.prevalence_interval
    said = joined([f"{census.classes[at]} {percent(float(census.prevalence[at]))}" for at in order], most=MOST_CLASSES)

    def draw(axes: Axes) -> None:
        class_rows(axes, [census.classes[at] for at in order],
                   right=[percent(float(census.prevalence[at])) for at in order])  # fmt: skip
        for place, at in enumerate(order):
            known = census.known[:, at] > 0
            each = census.pixels[known, at] / census.known[known, at]
            held = each[each > 0]
            axes.plot(held, np.full(len(held), place), ".", color=GREY, alpha=0.4, markersize=4)
            if math.isfinite(low[at]) and low[at] > 0:
                axes.plot([low[at], high[at]], [place, place], color=BLUE, linewidth=3)
            axes.plot(max(float(census.prevalence[at]), 1e-9), place, "o", color=BLUE)
        axes.set_xscale("log")
        axes.set_title("Share of the pixels")
        axes.xaxis.set_major_formatter(lambda value, _: percent(value))

    return draw_chart("shares", (6.6, 1.3 + 0.34 * len(order)), draw,
                      f"Share of the pixels of each class, on a logarithmic axis: {said}.",
                      "Grey dots: single images that hold the class. Lines: 95 % intervals over images.")  # fmt: skip


# --- the course of the training


def learning_charts(view: MaskView) -> tuple[Chart, ...]:
    """The training loss, and the Dice of each class, by epoch."""
    epochs = view.epochs
    if not epochs:
        return ()
    numbers = [int(event["epoch"]) for event in epochs]
    places = _places(view)
    losses = _numbers(epochs, "training_loss")
    dice = {name: _numbers(epochs, "best_dice", place) for name, place in places.items()}
    ends = joined([f"{name} {_ends(values)}" for name, values in dice.items()], most=MOST_CLASSES)

    def draw_dice(axes: Axes) -> None:
        for (name, values), look in zip(dice.items(), line_looks(len(dice)), strict=True):
            axes.plot(numbers, values, marker="o" if len(numbers) < 3 else None, label=shown(name, 18), **look)
        axes.set_ylim(0, 1)
        axes.set(title="Dice, validation images", xlabel="epoch")
        axes.axvline(int(epochs[-1].get("best_epoch") or numbers[-1]), color=GREY, linestyle=(0, (1.2, 1.5)))
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02))
        whole_epochs(axes)

    def draw_loss(axes: Axes) -> None:
        axes.plot(numbers, losses, color=BLUE, marker="o" if len(numbers) < 3 else None)
        axes.set(title="Training loss", xlabel="epoch")
        whole_epochs(axes)

    return (
        draw_chart("learning-1", _SMALL, draw_loss, f"Training loss over {len(numbers)} epochs, {_ends(losses)}."),
        draw_chart("learning-2", (5.2, 2.9), draw_dice,
                   f"Dice of all pixels of the validation images by epoch, each class at its best threshold: {ends}.",
                   "Each class at its best threshold of the epoch; dotted: the epoch that was kept."),
    )  # fmt: skip


def predicted_charts(view: MaskView) -> tuple[Chart, ...]:
    """Of each class: the predicted share of the pixels by epoch, the true one, its band, and where the guard spoke."""
    if not view.epochs:
        return ()
    return tuple(_predicted_chart(view, name, place) for name, place in list(_places(view).items())[:MOST_CLASSES])


def _predicted_chart(view: MaskView, name: str, place: int) -> Chart:
    epochs = view.epochs
    numbers = np.array([int(event["epoch"]) for event in epochs])
    predicted, true = _numbers(epochs, "predicted_share", place), _numbers(epochs, "true_share", place)
    band = np.array([[_number(end) for end in event["band"][place]] for event in epochs])
    told = {one.epoch for one in findings_of(epochs) if one.class_name == name and one.epoch is not None}
    hit = np.isin(numbers, sorted(told))

    def draw(axes: Axes) -> None:
        axes.fill_between(numbers, band[:, 0], band[:, 1], color=BLUE, alpha=0.12, linewidth=0)
        axes.plot(numbers, true, color=BLACK, linestyle=(0, (1.2, 1.5)))
        axes.plot(numbers, predicted, color=BLUE, marker="o" if len(numbers) < 3 else None)
        axes.plot(numbers[hit], predicted[hit], "^", color=RED, markersize=8, linestyle="none")
        axes.set_ylim(0, 1.15 * max(1e-6, float(np.nanmax([*predicted, *true, *band[:, 1]]))))
        axes.yaxis.set_major_formatter(lambda value, _: percent(value))
        axes.set(title=shown(name, 26), xlabel="epoch")
        whole_epochs(axes)

    last = f"at the end {percent(predicted[-1])} predicted, {percent(true[-1])} true"
    spoke = f" The guard spoke at epoch {joined([str(one) for one in sorted(told)])}." if told else ""
    return draw_chart(f"predicted-{place}", _SMALL, draw,
                      f"Predicted share of the pixels of {name} by epoch: {last}.{spoke}")  # fmt: skip


# --- decision and calibration


def threshold_charts(view: MaskView) -> tuple[Chart, ...]:
    """Of each class: Dice of all pixels against the threshold, with the one that was chosen and its interval."""
    rule = view.rule
    if rule is None or rule.thresholds is None or "validation" not in view.scores:
        return ()
    return tuple(_threshold_chart(view, name, place) for name, place in list(_places(view).items())[:MOST_CLASSES])


def _threshold_chart(view: MaskView, name: str, place: int) -> Chart:
    assert view.rule is not None
    assert view.rule.thresholds is not None
    chosen, low, high = (float(one[place]) for one in (view.rule.thresholds, view.rule.low, view.rule.high))
    curves = {role: (one.thresholds, objective_grid(one, place, "dice"))
              for role, one in sorted(view.scores.items(), reverse=True)}  # fmt: skip

    def draw(axes: Axes) -> None:
        for role, (grid, values) in curves.items():
            look = {"color": BLUE} if role == "validation" else {"color": ORANGE, "linestyle": (0, (4, 1.5))}
            axes.plot(grid, values, label=role, **look)
        if math.isfinite(low) and math.isfinite(high):
            axes.axvspan(low, high, color=BLACK, alpha=0.08, linewidth=0)
        axes.axvline(0.5, color=GREY, linestyle=(0, (1.2, 1.5)), linewidth=1.2)
        axes.axvline(chosen, color=BLACK, linewidth=1.2)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set(title=shown(name, 26), xlabel="threshold (dotted: 0.5)")
        axes.legend(loc="lower left")

    said = joined([f"{role} {_best(*curve)}" for role, curve in curves.items()])
    return draw_chart(f"threshold-{place}", _SMALL, draw,
                      f"Dice of {name} against the threshold; {chosen:.3g} was chosen. Highest: {said}.")  # fmt: skip


def _best(grid: Any, values: Any) -> str:
    if np.isnan(values).all():
        return "not evaluable"
    return f"{float(np.nanmax(values)):.3f} at {float(grid[int(np.nanargmax(values))]):.2g}"


def reliability_charts(scores: MaskScores, classes: Sequence[str]) -> tuple[Chart, ...]:
    """Of each class: the observed share of pixels against the predicted probability, with intervals over images."""
    made: list[Chart] = []
    for name in classes[:MOST_CLASSES]:
        predicted, observed, low, high = pixel_bins(scores, scores.classes.index(name))
        pairs = [f"{percent(p)} predicted, {percent(o)} observed" for p, o in zip(predicted, observed, strict=True)]

        def draw(axes: Axes, found: Any = (predicted, observed, low, high), name: str = name) -> None:
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.0, linestyle=(0, (4, 2)))
            for p, o, below, above in zip(*found, strict=True):
                if math.isfinite(below):
                    axes.plot([p, p], [below, above], color=BLUE, linewidth=2.0, alpha=0.45)
                axes.plot(p, o, "o", color=BLUE, markersize=5)
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.set(title=shown(name, 26), xlabel="predicted", ylabel="observed")

        said = f"Reliability of the pixels of {name}: {joined(pairs, most=14) or 'nothing'}."
        made.append(draw_chart(f"reliability-{len(made)}", (3.4, 3.1), draw, said))
    return tuple(made)


def pixel_bins(scores: MaskScores, class_: int) -> tuple[Any, Any, Any, Any]:
    """Return mean probability, observed share, and its interval, of bins of pixels that are given about the same.

    Args:
        scores: of the images.
        class_: number of the class.

    Returns:
        Four arrays (bins,), without bins of fewer than 20 pixels. Intervals are over patients,
        or over images where there are none; NaN where a single one has pixels in the bin.
    """
    middle = np.concatenate([[0.0], scores.thresholds.astype(np.float64)])
    bins = np.clip(np.searchsorted(_EDGES, middle, side="right") - 1, 0, len(_EDGES) - 2)
    positives, negatives, sums = (
        _binned(one[:, class_].astype(np.float64), bins) for one in (scores.positives, scores.negatives, scores.sums)
    )
    if scores.groups is not None:
        _, member = np.unique(scores.groups.astype(str), return_inverse=True)
        positives, negatives, sums = (_grouped(one, member) for one in (positives, negatives, sums))
    known = positives + negatives
    filled = known.sum(axis=0) >= _LEAST_PIXELS
    positives, known, sums = positives[:, filled], known[:, filled], sums[:, filled]
    low, high = ratio_interval(positives, known)
    alone = (known > 0).sum(axis=0) < 2
    total = known.sum(axis=0)
    return (sums.sum(axis=0) / total, positives.sum(axis=0) / total, np.where(alone, np.nan, low),
            np.where(alone, np.nan, high))  # fmt: skip


def _binned(table: Any, bins: Any) -> Any:
    return np.stack([table[:, bins == one].sum(axis=1) for one in range(len(_EDGES) - 1)], axis=1)


def _grouped(table: Any, member: Any) -> Any:
    found = np.zeros((int(member.max()) + 1, table.shape[1]))
    np.add.at(found, member, table)
    return found


# --- events


def _places(view: MaskView) -> dict[str, int]:
    return {name: view.census.classes.index(name) for name in view.watched[:MOST_CLASSES]}


def _numbers(epochs: Sequence[Mapping[str, Any]], key: str, place: int | None = None) -> Any:
    found = [event.get(key) for event in epochs]
    return np.array([_number(one if place is None or one is None else one[place]) for one in found])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _ends(values: Any) -> str:
    known = values[~np.isnan(values)]
    return f"from {known[0]:.3g} to {known[-1]:.3g}" if len(known) else "without a figure"
