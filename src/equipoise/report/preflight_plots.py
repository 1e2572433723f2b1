"""The figure of a pre-flight: what the data hold, what the loss and the sampler do to it, and what the model feels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.report._panels import rarest
from equipoise.report._style import (
    BLUE,
    GREY,
    MOST_CLASSES,
    ORANGE,
    class_rows,
    house_style,
    legend_below,
    new_figure,
    set_heading,
)
from equipoise.report._words import one_in, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from equipoise.balance import Preflight


def plot_preflight(found: Preflight) -> Figure:
    """Return a figure of four panels: original distribution, loss weights, sampler shares, and the two combined.

    The last panel has each class's share of the gradient at the outputs before anything is learned: what its positives
    pull up by and what its negatives push down by; all bars together are one. Its title has what the model is taken to
    say at that time. Hollow marks are the same without sampler and weights.

    Args:
        found: from `equipoise.balance.preflight`. Of more than 24 classes the rarest are shown.
    """
    chosen = rarest(found.natural_rates, MOST_CLASSES)
    chosen.sort(key=lambda index: -float(found.natural_rates[index]))
    names = [found.classes[index] for index in chosen]
    with house_style():
        figure, axes = new_figure(13.5, 2 * (1.5 + 0.27 * len(chosen)) + 0.5, 2, 2)
        draw_natural(axes[0, 0], found, chosen, names)
        draw_weights(axes[0, 1], found, chosen, names)
        draw_rates(axes[1, 0], found, chosen, names)
        draw_gradient(axes[1, 1], found, chosen, names)
        verdict = (
            "passed" if found.passed else "failed: " + ", ".join(c.name for c in found.checks if c.passed is False)
        )
        set_heading(figure, f"Pre-flight {verdict}")
    return figure


def draw_natural(axes: Axes, found: Preflight, chosen: Sequence[int], names: Sequence[str]) -> None:
    """Share of rows with each class."""
    rates = found.natural_rates[chosen]
    _bars(axes, rates, GREY)
    _log_share(axes, rates)
    class_rows(axes, names, right=[one_in(float(rate)) for rate in rates])
    axes.set_title(f"Original distribution: {found.rows:,} rows")
    axes.set_xlabel("share of rows with the class (logarithmic)")


def draw_weights(axes: Axes, found: Preflight, chosen: Sequence[int], names: Sequence[str]) -> None:
    """Weight of a positive of each class."""
    weights = found.weights[chosen]
    _bars(axes, weights, ORANGE)
    axes.axvline(1.0, color=GREY, linewidth=1.0)
    axes.set_xlim(0, max(1.15, 1.1 * float(weights.max())))
    class_rows(axes, names, right=[f"{weight:.3g}" for weight in weights])
    axes.set_title("Loss weights" if np.any(weights != 1.0) else "Loss weights: none")
    axes.set_xlabel("weight of a positive")


def draw_rates(axes: Axes, found: Preflight, chosen: Sequence[int], names: Sequence[str]) -> None:
    """Share of draws with each class, drawn, planned and natural."""
    natural, planned, drawn = (
        rates[chosen] for rates in (found.natural_rates, found.expected_rates, found.drawn_rates)
    )
    _bars(axes, drawn, BLUE)
    axes.plot([], [], "s", color=BLUE, label="drawn")
    if not np.isnan(planned).any():
        axes.plot(planned, range(len(planned)), "|", color="black", markersize=13, markeredgewidth=1.8, label="planned")
    _hollow(axes, natural, np.arange(len(natural)), "natural")
    if len(found.rank_rates) > 1:
        for rates in found.rank_rates:
            axes.plot(rates[chosen], range(len(drawn)), "x", color=ORANGE, markersize=4)
        axes.plot([], [], "x", color=ORANGE, markersize=4, label="each rank")
    axes.set_xlim(0, min(1.0, 1.1 * float(np.nanmax([natural, drawn, np.nan_to_num(planned)]))) or 1.0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    class_rows(axes, names, right=[percent(float(rate)) for rate in drawn])
    axes.set_title(f"Sampler: {found.draws:,} draws")
    axes.set_xlabel("share of draws with the class")
    _legend(axes)


def draw_gradient(axes: Axes, found: Preflight, chosen: Sequence[int], names: Sequence[str]) -> None:
    """What the positives and negatives of each class pull on a model that has learned nothing."""
    sides: tuple[Any, ...] = (
        (-0.19, BLUE, "positives pull up", found.gradient.positive_shares, found.natural_gradient.positive_shares),
        (0.19, ORANGE, "negatives push down", found.gradient.negative_shares, found.natural_gradient.negative_shares),
    )
    places = np.arange(len(chosen))
    for offset, colour, label, shares, natural in sides:
        axes.barh(places + offset, shares[chosen], height=0.36, color=colour, label=label)
        _hollow(axes, natural[chosen], places + offset, "without sampler and weights" if offset > 0 else None)
    every = [shares[chosen] for *_, one, other in sides for shares in (one, other)]
    axes.set_xlim(0, 1.1 * max(float(np.max(shares)) for shares in every) or 1.0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    balance = found.gradient.positive[chosen] / np.maximum(found.gradient.negative[chosen], 1e-300)
    class_rows(axes, names, right=[_ratio(float(ratio)) for ratio in balance], heading="up : down")
    axes.set_title(f"Combined: pull on a model that says {_said(found)}")
    axes.set_xlabel("share of the gradient at the outputs")
    _legend(axes)


def _said(found: Preflight) -> str:
    """Say at which start of the model the pull was computed."""
    low, high = float(found.start.min()), float(found.start.max())
    if high - low > 1e-9:
        return f"{percent(low)} to {percent(high)}"
    return "1/2" if low == 0.5 else percent(low)


def _legend(axes: Axes) -> None:
    from matplotlib.transforms import ScaledTranslation

    legend_below(axes, 4)
    legend, figure = axes.get_legend(), axes.get_figure()
    assert legend is not None
    assert figure is not None
    below = axes.transAxes + ScaledTranslation(0, -38 / 72, figure.dpi_scale_trans)
    legend.set_bbox_to_anchor((0.45, 0.0), transform=below)


def _bars(axes: Axes, lengths: Any, colour: str) -> None:
    axes.barh(range(len(lengths)), lengths, height=0.6, color=colour)


def _hollow(axes: Axes, values: Any, places: Any, label: str | None) -> None:
    axes.plot(
        values, places, "o", markerfacecolor="white", markeredgecolor="#444444", markersize=5, markeredgewidth=1.1,
        label=label, zorder=4,
    )  # fmt: skip


def _log_share(axes: Axes, rates: Any) -> None:
    least = min((float(rate) for rate in rates if rate > 0), default=1e-3)
    axes.set_xscale("log")
    axes.set_xlim(10 ** math.floor(math.log10(least * 0.7)), 1.0)
    axes.xaxis.set_major_formatter(lambda value, _: percent(value))


def _ratio(ratio: float) -> str:
    if ratio <= 0 or ratio > 1e6:
        return "one side only"
    return f"{ratio:.2g} : 1" if ratio >= 1 else f"1 : {1 / ratio:.2g}" if ratio > 0.02 else f"1 : {1 / ratio:.0f}"
