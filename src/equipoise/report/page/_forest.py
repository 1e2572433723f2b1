"""Differences with their intervals, one line each: of every arm, and of every class under one arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from equipoise.report._style import BLUE, GREY, MOST_CLASSES, RED, class_rows, house_style, new_figure, shown
from equipoise.report._words import joined, metric_name
from equipoise.report.page._parts import Chart
from equipoise.report.page._svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"helps": BLUE, "hurts": RED}


class Line(NamedTuple):
    """One difference: its name, value, ends of the interval (NaN without), verdict, and a remark on the right."""

    name: str
    value: float
    low: float
    high: float
    verdict: str
    remark: str = ""


def arms_chart(verdict: Mapping[str, Any]) -> tuple[Chart, ...]:
    """Return the difference of every arm, with the free fix on both sides; none where nothing could be judged.

    Args:
        verdict: as in ``verdict.json``.
    """
    lines = [_line(arm["against_free_fix"]["overall"], "value", str(arm["name"]), str(arm["verdict"]))
             for arm in verdict["arms"]]  # fmt: skip
    metric = metric_name(str(verdict["metric"]))
    title = f"Difference in {metric} to {verdict.get('reference', 'plain')}, both with the free fix"
    return _forest("arms", lines, title, verdict.get("margin"))


def class_chart(place: int, arm: Mapping[str, Any], metric: str) -> Chart:
    """Return the difference of every class under one arm, commonest first.

    Args:
        place: of the arm, for names in the page.
        arm: as in ``verdict.json``.
        metric: in words.
    """
    chosen = sorted(arm["classes"], key=lambda one: one["positives"])[:MOST_CLASSES]
    lines = [_line(one, "difference", str(one["name"]), str(one["verdict"]), f"{one['positives']:,}")
             for one in reversed(chosen)]  # fmt: skip
    made = _forest(f"arm-{place}", lines, f"{shown(arm['name'])}: difference in {metric}", None)
    return made[0] if made else Chart("", f"{arm['name']}: no class could be judged.")


def _line(found: Mapping[str, Any], key: str, name: str, verdict: str, remark: str = "") -> Line:
    value, low, high = (math.nan if found.get(one) is None else float(found[one]) for one in (key, "low", "high"))
    return Line(name, value, low, high, verdict, remark)


def _forest(key: str, lines: Sequence[Line], title: str, margin: float | None) -> tuple[Chart, ...]:
    if not any(math.isfinite(line.value) for line in lines):
        return ()
    said = joined([f"{line.name} {line.value:+.3f}, {line.verdict}" for line in lines if math.isfinite(line.value)],
                  most=MOST_CLASSES)  # fmt: skip
    with house_style():
        drawing, axes = new_figure(8.0, 1.3 + 0.32 * len(lines))
        _draw(axes[0, 0], lines, margin)
        axes[0, 0].set_title(title)
    described = f"{title}, with intervals; right of zero the arm is better: {said}."
    return (Chart(inline_svg(drawing, f"forest-{key}", described)),)


def _draw(axes: Axes, lines: Sequence[Line], margin: float | None) -> None:
    axes.axvline(0.0, color="#555555", linewidth=1.0)
    if margin is not None:
        axes.axvspan(-margin, margin, color=GREY, alpha=0.15, linewidth=0)
    reach = _reach(lines, margin)
    for place, line in enumerate(lines):
        colour = _COLOURS.get(line.verdict, GREY)
        if not math.isnan(line.low):
            axes.plot([max(line.low, -reach), min(line.high, reach)], [place, place], color=colour, linewidth=2.4,
                      alpha=0.5)  # fmt: skip
        for edge, sign, arrow in ((line.low, -1, "<"), (line.high, 1, ">")):
            if abs(edge) > reach:
                axes.plot(sign * reach, place, arrow, color=colour, markersize=7, clip_on=False)
        axes.plot(line.value, place, "o", color=colour, markersize=6.5)
    class_rows(axes, [line.name for line in lines], right=[line.remark or line.verdict for line in lines],
               heading="positives" if any(line.remark for line in lines) else "")  # fmt: skip
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.3g}" if abs(value) > 1e-12 else "0")
    axes.set_xlabel("← worse      better →")


def _reach(lines: Sequence[Line], margin: float | None) -> float:
    """Return how far the axis goes to each side: one wide interval does not press all others to a point."""
    ends = [max(abs(edge) for edge in (line.value, line.low, line.high) if math.isfinite(edge)) for line in lines
            if math.isfinite(line.value)]  # fmt: skip
    values = max((abs(line.value) for line in lines if math.isfinite(line.value)), default=0.0)
    return 1.1 * max(min(max(ends), 3 * float(np.median(ends))), values, margin or 0.0, 1e-3)
