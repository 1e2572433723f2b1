"""The drawing of single panels, which figures are put together from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from equipoise._tasks import is_exclusive
from equipoise.report._style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MOST_CLASSES,
    ORANGE,
    RED,
    class_rows,
    legend_below,
    line_looks,
    shown,
    thinned,
)
from equipoise.report._words import metric_name, one_in, percent, rule_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from equipoise.evidence import MetricRow, MetricTable
    from equipoise.labels import Census
    from equipoise.metrics import OperatingPoints

Floats: TypeAlias = NDArray[np.float64]


def rarest(positives: NDArray[Any], most: int) -> list[int]:
    """Return the indices of the `most` classes with the fewest positives, in the order of the classes."""
    order = np.argsort(np.asarray(positives), kind="stable")[:most]
    return sorted(int(index) for index in order)


# --- counts


def draw_prevalence(axes: Axes, census: Census) -> None:
    """One dot per class with its interval, commonest first."""
    chosen = rarest(census.positives, MOST_CLASSES)
    chosen.sort(key=lambda index: -float(census.positives[index]))
    low, high = census.prevalence_interval
    for row, index in enumerate(chosen):
        if census.positives[index] > 0:
            axes.plot([low[index], high[index]], [row, row], color=BLUE, linewidth=2.2, alpha=0.45)
            axes.plot(census.prevalence[index], row, "o", color=BLUE, markersize=6)
    positive = census.prevalence[census.positives > 0]
    axes.set_xscale("log")
    axes.set_xlim(10 ** math.floor(math.log10(max(positive.min() * 0.7, 1e-9))) if len(positive) else 1e-3, 1.0)
    axes.xaxis.set_major_formatter(lambda value, _: percent(value))
    remarks = [
        f"{int(census.positives[i]):,}  ({one_in(float(census.prevalence[i]))})"
        if census.positives[i]
        else "no positive"
        for i in chosen
    ]
    class_rows(axes, [census.classes[index] for index in chosen], right=remarks)
    left_out = len(census.classes) - len(chosen)
    more = f", the {len(chosen)} rarest of {len(census.classes)} classes" if left_out else ""
    axes.set_title(f"How common: {census.rows:,} {census.unit}{more}")
    axes.set_xlabel("share of positives (logarithmic)")


# --- training


def epochs_of(events: Iterable[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """Return the epoch events of each member, in order."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for event in events:
        if event.get("event") == "epoch":
            found.setdefault(int(event.get("member", 0)), []).append(event)
    return found


def _series(events: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    values = [math.nan if event.get(key) is None else float(event[key]) for event in events]
    return [int(event["epoch"]) for event in events], values


def draw_monitored(axes: Axes, epochs: Mapping[int, Sequence[Mapping[str, Any]]]) -> None:
    """The watched metric of each member, with its best epoch."""
    several = len(epochs) > 1
    for events in epochs.values():
        number, values = _series(events, "monitored")
        best = int(events[-1].get("best_epoch") or 0)
        axes.plot(number, values, color=BLUE, alpha=0.55 if several else 1.0, linewidth=1.3 if several else 1.8)
        if best in number:
            axes.plot(best, values[number.index(best)], "o", color=RED, markersize=5.5, zorder=3)
    name = metric_name(str(next(iter(epochs.values()))[0].get("monitor", "watched metric")))
    axes.plot(
        [],
        [],
        "o",
        color=RED,
        markersize=5.5,
        label=f"best epoch{' of each of ' + str(len(epochs)) if several else ''}",
    )
    axes.set_title(f"Held-out {name}")
    axes.set_xlabel("epoch")
    axes.legend(loc="best", handlelength=1.0)
    whole_epochs(axes)


def draw_training_loss(axes: Axes, epochs: Mapping[int, Sequence[Mapping[str, Any]]]) -> None:
    """The training loss of each member."""
    for events in epochs.values():
        number, values = _series(events, "training_loss")
        axes.plot(number, values, color=GREY, alpha=0.8, linewidth=1.3)
    axes.set_title("Training loss")
    axes.set_xlabel("epoch")
    whole_epochs(axes)


def draw_positive_rate(axes: Axes, epochs: Mapping[int, Sequence[Mapping[str, Any]]], classes: Sequence[str]) -> None:
    """How often each class is predicted at its best threshold of the epoch."""
    rates = mean_by_epoch(epochs, "positive_rate")
    chosen = rarest(np.nan_to_num(rates[-1]), 7) if len(rates) else []
    for index, look in zip(chosen, line_looks(len(chosen)), strict=True):
        name = shown(classes[index], 18) if index < len(classes) else f"class {index}"
        axes.plot(np.arange(1, len(rates) + 1), rates[:, index], label=name, **look)
    axes.set_title("Rows predicted positive, at each epoch's best cut")
    axes.set_xlabel("epoch")
    axes.yaxis.set_major_formatter(lambda value, _: percent(value))
    axes.set_ylim(bottom=0)
    if chosen:
        said = f"{len(chosen)} least predicted of {len(classes)}" if len(chosen) < len(classes) else None
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), handlelength=1.6, title=said, alignment="left")
    whole_epochs(axes)


def mean_by_epoch(epochs: Mapping[int, Sequence[Mapping[str, Any]]], key: str) -> Floats:
    """(epochs, classes) mean over members; one that has stopped keeps its last figures, so that nothing jumps."""
    table = [[event.get(key) or [] for event in events] for events in epochs.values()]
    width = max((len(rates) for events in table for rates in events), default=0)
    length = max((len(events) for events in table), default=0)
    filled = np.full((len(table), length, width), np.nan)
    for member, events in enumerate(table):
        for epoch in range(length):
            rates = events[min(epoch, len(events) - 1)]
            filled[member, epoch, : len(rates)] = [math.nan if rate is None else rate for rate in rates]
    counts = (~np.isnan(filled)).sum(axis=0)
    return np.asarray(np.nansum(filled, axis=0) / np.where(counts, counts, np.nan))


def whole_epochs(axes: Axes) -> None:
    """Mark whole epochs only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlim(left=min(1.0, axes.get_xlim()[1]) - 0.02 * axes.get_xlim()[1])


# --- decisions


def draw_threshold(
    axes: Axes, points: OperatingPoints, chosen: float, name: str, interval: tuple[float, float] = (math.nan, math.nan)
) -> None:
    """F1, precision and recall of one class against the threshold, with the chosen one, its interval and 0.5."""
    from matplotlib.ticker import NullLocator

    axes.set_title(f"{shown(name, 20)}  ({points.positives:,.0f} positives)")
    if not points.positives:
        say(axes, "no positive: nothing to draw")
        return
    keep = thinned(len(points.values))
    cuts, hits, alarms = points.values[keep], points.true_positives[keep], points.false_positives[keep]
    recall, precision = hits / points.positives, hits / (hits + alarms)
    f1 = 2 * hits / (hits + alarms + points.positives)
    axes.plot(cuts, recall, color=GREEN, linewidth=1.3, label="recall")
    axes.plot(cuts, precision, color=ORANGE, linewidth=1.3, label="precision")
    axes.plot(cuts, f1, color=BLUE, linewidth=2.2, label="F1")
    axes.axvline(0.5, color=GREY, linestyle=(0, (1.2, 1.5)), linewidth=1.2)
    if all(map(math.isfinite, interval)):
        axes.axvspan(max(interval[0], 1e-9), min(interval[1], 1.0), color=BLACK, alpha=0.08, linewidth=0)
    if math.isfinite(chosen) and chosen > 0:
        axes.axvline(chosen, color=BLACK, linewidth=1.2)
        place = ("left", 4) if chosen < 0.12 else ("right", -4)
        axes.annotate(
            f"{chosen:.3g}", (chosen, 1.0), xycoords=("data", "axes fraction"), xytext=(place[1], -3),
            textcoords="offset points", ha=place[0], va="top", fontsize=9, color=BLACK,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(max(1e-4, float(np.quantile(points.values, 0.02)) * 0.8), 1.0)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("threshold (dotted: 0.5)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())  # minor ticks of many panels take longer to draw than all else


def say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


# --- judgement

RULES = {
    "rule": ("fitted thresholds", BLUE, "o", 7.0),
    "half": ("cut at 0.5", ORANGE, "D", 5.5),
    "never": ("always no", GREY, "|", 9.0),
}


def draw_f1(axes: Axes, tables: Mapping[str, MetricTable]) -> None:
    """F1 of every class and of their mean under each rule, with intervals."""
    table = tables["rule"]
    support = {name: table.row("f1", name).support for name in table.classes}
    names = sorted(_f1_classes(table, support), key=lambda name: -support[name])
    rows: list[str | None] = [None, *names] if len(names) > 1 else [*names]
    exclusive = is_exclusive(table.task)
    drawn = [key for key in RULES if key in tables]
    names_of_rules = rule_names(drawn, exclusive=exclusive)
    highest = 0.3
    for place, key in enumerate(drawn):
        found = [tables[key].row("macro_f1" if name is None else "f1", name) for name in rows]
        _draw_rule(axes, key, found, (place - (len(drawn) - 1) / 2) * 0.24)
        highest = max([highest, *(edge for row in found for edge in (row.high, row.value) if not math.isnan(edge))])
    remarks = ["" if name is None else f"{support[name]:,}" for name in rows]
    class_rows(
        axes,
        ["macro-F1" if name is None else name for name in rows],
        right=remarks,
        heading="rows" if exclusive else "positives",
    )
    if len(rows) > 1:
        axes.axhline(0.5, color="#CCCCCC", linewidth=1.0)
    axes.set_xlim(-0.02, min(1.03, 1.1 * highest))
    more = f", {len(names)} of {len(support)} classes" if len(names) < len(support) else ""
    axes.set_title(f"F1 on {table.cases:,} {table.role} rows, {percent(table.level)} intervals{more}")
    for key in drawn:
        label, colour, marker, size = RULES[key]
        label = names_of_rules[key]
        axes.plot([], [], marker, color=colour, markersize=size, linestyle="none", label=label, **_EDGE[marker])
    legend_below(axes, len(drawn))


def _f1_classes(table: MetricTable, support: Mapping[str, int]) -> list[str]:
    """The classes to draw: all, or of many the rarest that could be judged."""
    if len(support) < MOST_CLASSES:
        return list(support)
    judged = [name for name in support if not math.isnan(table.row("f1", name).value)]
    chosen = rarest(np.array([support[name] for name in judged]), MOST_CLASSES - 1)
    return [judged[index] for index in chosen]


_EDGE: dict[str, dict[str, Any]] = {"|": {"markeredgewidth": 1.6}, "o": {}, "D": {}}


def _draw_rule(axes: Axes, key: str, rows: Sequence[MetricRow], offset: float) -> None:
    _, colour, marker, size = RULES[key]
    for place, row in enumerate(rows):
        if math.isnan(row.value) and key == "rule":
            axes.text(0.0, place, "not evaluable", ha="left", va="center", fontsize=8.5, color=GREY)
        if not math.isnan(row.low):
            axes.plot([row.low, row.high], [place + offset] * 2, color=colour, linewidth=2.2, alpha=0.4)
        axes.plot(row.value, place + offset, marker, color=colour, markersize=size, **_EDGE[marker])
