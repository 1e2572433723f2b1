"""Is one model better than another: the difference with its interval, overall and in each class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from equipoise.report._panels import rarest
from equipoise.report._style import (
    BLUE,
    GREY,
    MOST_CLASSES,
    RED,
    class_rows,
    house_style,
    new_figure,
    set_heading,
    shown,
)
from equipoise.report._words import metric_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from equipoise.evidence import Comparison, Difference


def plot_comparison(comparison: Comparison) -> Figure:
    """Return a figure of the difference between two models with its interval: overall, and in each class.

    Differences for which there is evidence after adjustment are blue (the first is better) or red (worse), all others
    grey: an interval that crosses zero is no finding. The band is the margin within which a difference does not matter.

    Args:
        comparison: from `compare`. Of more than 24 classes those with the fewest positives are shown.
    """
    rows = [comparison.overall, *_classes(comparison)]
    with house_style():
        figure, axes = new_figure(9.5, 2.0 + 0.32 * len(rows))
        _draw_rows(axes[0, 0], comparison, rows)
        set_heading(figure, shown(comparison.sentence, 300))
    return figure


def _classes(comparison: Comparison) -> list[Difference]:
    import numpy as np

    positives = np.array([one.positives for one in comparison.classes])
    chosen = [comparison.classes[index] for index in rarest(positives, MOST_CLASSES - 1)]
    return sorted(chosen, key=lambda one: -one.positives)


def _draw_rows(axes: Axes, comparison: Comparison, rows: list[Difference]) -> None:
    axes.axvline(0.0, color="#555555", linewidth=1.0)
    if comparison.margin is not None:
        axes.axvspan(-comparison.margin, comparison.margin, color=GREY, alpha=0.15, linewidth=0)
    reach = _reach(comparison, rows)
    for place, row in enumerate(rows):
        colour, mark = _colour(comparison, row), "D" if row.class_name is None else "o"
        if not math.isnan(row.low):
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.4, alpha=0.45)
            for edge, sign, arrow in ((row.low, -1, "<"), (row.high, 1, ">")):
                if abs(edge) > reach:  # it goes on beyond the edge of the panel
                    axes.plot(sign * reach, place, arrow, color=colour, markersize=7, clip_on=False)
        axes.plot(row.value, place, mark, color=colour, markersize=7 if mark == "D" else 6)
    names = [metric_name(comparison.metric) if row.class_name is None else row.class_name for row in rows]
    count = "images" if comparison.unit == "images" else "positives"
    class_rows(axes, names, right=[_remark(row) for row in rows], heading=f"difference, adjusted p, {count}")
    if len(rows) > 1:
        axes.axhline(0.5, color="#CCCCCC", linewidth=1.0)
    _set_across(axes, comparison, reach)
    left_out = len(comparison.classes) + 1 - len(rows)
    more = f", the {len(rows) - 1} rarest of {len(comparison.classes)} classes" if left_out else ""
    axes.set_title(f"{comparison.cases:,} {comparison.role} {comparison.unit}, {comparison.level:.0%} intervals{more}")


def _reach(comparison: Comparison, rows: list[Difference]) -> float:
    """Return how far the axis goes to each side: a class of two positives does not press all others to a point."""
    import numpy as np

    ends = [[abs(edge) for edge in (row.value, row.low, row.high) if math.isfinite(edge)] for row in rows]
    farthest = [max(edges) for edges in ends if edges]
    whole = max([*ends[0], comparison.margin or 0.0, 1e-3])
    usual = float(np.median(farthest)) if farthest else 0.0
    shown_values = max((abs(row.value) for row in rows if math.isfinite(row.value)), default=0.0)
    return 1.1 * max(min(max([*farthest, whole]), 3 * max(whole, usual)), shown_values)


def _set_across(axes: Axes, comparison: Comparison, reach: float) -> None:
    axes.set_xlim(-reach, reach)
    first, second = (shown(name, 20) for name in comparison.names)
    better = (second, first) if comparison.higher_is_better else (first, second)
    axes.set_xlabel(f"← {better[0]} is better      {first} minus {second}      {better[1]} is better →")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.3g}" if abs(value) > 1e-12 else "0")


def _colour(comparison: Comparison, row: Difference) -> str:
    if math.isnan(row.adjusted_p) or row.adjusted_p >= 1 - comparison.level:
        return GREY
    return BLUE if (row.value > 0) == comparison.higher_is_better else RED


def _remark(row: Difference) -> str:
    if math.isnan(row.value):
        return "not evaluable"
    interval = "" if math.isnan(row.low) else f" [{row.low:+.3f}, {row.high:+.3f}]"
    p = "" if math.isnan(row.adjusted_p) else f"  p {'< 0.001' if row.adjusted_p < 0.0005 else f'{row.adjusted_p:.2g}'}"
    return f"{row.value:+.3f}{interval}{p}  ({row.positives:,})"
