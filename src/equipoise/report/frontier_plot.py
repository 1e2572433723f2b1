"""The figure from which a person chooses a sampling plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._checks import ArgumentError
from equipoise.report._style import BLACK, GREY, house_style, line_looks, new_figure, set_heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from equipoise.balance import Frontier, FrontierPoint


def plot_frontier(frontier: Frontier) -> Figure:
    """Return a figure of the evenness of classes against what it costs: effective sample size, and repeats.

    One line a cap, one dot a strength; a hollow dot is the nearest plan to a target that cannot be met. Heuristics are
    crosses. Better is to the lower right on the left, to the lower left on the right.

    Args:
        frontier: from `equipoise.balance.frontier`.

    Raises:
        ArgumentError: it has no solved plan.
    """
    if not frontier.caps:
        raise ArgumentError("plot_frontier found no solved plan. Make it with frontier(labels).")
    with house_style():
        figure, axes = new_figure(12.5, 5.4, 1, 2, sharey=True)
        left, right = axes[0]
        for look, cap in zip(line_looks(len(frontier.caps)), frontier.caps, strict=True):
            label = "no cap" if cap is None else f"at most {cap:g} draws of a row"
            points = frontier.solved(cap)
            _draw_line(left, [100 * p.effective_sample_size for p in points], points, look, label)
            _draw_line(right, [p.repeats for p in points], points, look, label)
        left.set_xlabel("effective sample size, % of the rows")
        left.set_ylabel("coefficient of variation of the class shares")
        left.set_title("Evenness against rows that count")
        left.set_ylim(bottom=-0.03)
        left.set_xlim(0, 104)
        right.set_xscale("log")
        right.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        right.set_xlabel("draws per epoch of the row drawn most (logarithmic)")
        right.set_title("Evenness against repeats")
        left.plot([], [], "o", color=GREY, markerfacecolor="white", markersize=5, label="nearest to what cannot be met")
        left.legend(loc="upper left", handlelength=2.2)
        right.set_xlim(right=max(100.0, 3.0 * max(point.repeats for point in frontier.points)))
        _draw_heuristics(left, [100 * p.effective_sample_size for p in frontier.heuristics], frontier)
        _draw_heuristics(right, [p.repeats for p in frontier.heuristics], frontier)
        set_heading(figure, f"What balance costs: {len(frontier.classes)} classes")
    return figure


def _draw_line(axes: Axes, across: list[float], points: tuple[FrontierPoint, ...], look: dict, label: str) -> None:
    heights = [point.variation for point in points]
    axes.plot(across, heights, label=label, zorder=3, **look)
    for x, point in zip(across, points, strict=True):
        fill = look["color"] if point.reached else "white"
        axes.plot(x, point.variation, "o", color=look["color"], markerfacecolor=fill, markersize=5, zorder=4)


def _draw_heuristics(axes: Axes, across: list[float], frontier: Frontier) -> None:
    heights = [point.variation for point in frontier.heuristics]
    axes.plot(across, heights, "x", color=BLACK, markersize=6, markeredgewidth=1.6, zorder=5)
    taken: list[tuple[float, float]] = []
    to_points = axes.get_figure().dpi / 72  # type: ignore[union-attr]
    edge = axes.transAxes.transform((0.8, 0.0))[0]
    for x, point in sorted(zip(across, frontier.heuristics, strict=True), key=lambda pair: -pair[1].variation):
        at = axes.transData.transform((x, point.variation))
        below = sum(abs(at[0] - other[0]) < 90 * to_points and abs(at[1] - other[1]) < 9 * to_points for other in taken)
        taken.append((at[0], at[1]))
        side, place = (-8, "right") if at[0] > edge else (8, "left")
        axes.annotate(
            point.method.replace("_", " "), (x, point.variation), xytext=(side, -11 * below), va="center", ha=place,
            textcoords="offset points", fontsize=8.5, color="#555555", zorder=6,
        )  # fmt: skip
