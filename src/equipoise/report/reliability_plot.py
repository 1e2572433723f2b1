"""Whether probabilities mean what they say: observed against predicted, and how many cases lie where."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from equipoise._arrays import Floats
from equipoise.labels._rates import wilson_interval
from equipoise.report._panels import rarest, say
from equipoise.report._style import (
    BLUE,
    GREY,
    MOST_CLASSES,
    class_grid,
    class_head,
    house_style,
    new_figure,
    set_heading,
)
from equipoise.report._words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from equipoise.scores import Scores

_BINS = 10
_HISTOGRAM_BINS = 30
_LOWEST = 1e-6  # probabilities below are drawn at the edge


def plot_reliability(scores: Scores, *, per_class: bool = False) -> Figure:
    """Return a figure of observed frequency against predicted probability, on logarithmic axes.

    Bins hold equal numbers of expected positives, so that rare classes have points too; bars are 95 % intervals
    (Wilson). On the diagonal a probability means what it says; below it, probabilities are too high. The histogram
    counts cases by their probability.

    Args:
        scores: at natural prevalence.
        per_class: one panel per class (of more than 24 the rarest) instead of all classes pooled.
    """
    with house_style():
        if not per_class:
            figure, axes = new_figure(5.4, 6.0, 2, 1, sharex=True, height_ratios=[3.2, 1])
            draw_reliability(axes[0, 0], scores)
            axes[0, 0].set_xlabel("")
            low, high = axes[0, 0].get_xlim()
            _draw_histogram(axes[1, 0], *_known(scores), low)
            axes[1, 0].set(xlabel=_across(scores), xlim=(low, high))
            return figure
        truth, probabilities = scores.table(), scores.probability_table()
        chosen = rarest(np.nansum(truth, axis=0), MOST_CLASSES)
        figure, panels = class_grid(len(chosen), 2.7, 2.7, 4)
        for index, panel in zip(chosen, panels, strict=True):
            known = ~np.isnan(truth[:, index])
            draw_class(panel, truth[known, index], probabilities[known, index], scores.classes[index])
        left_out = len(scores.classes) - len(chosen)
        more = f"; the {len(chosen)} rarest of {len(scores.classes)} classes" if left_out else ""
        set_heading(figure, f"Do probabilities mean what they say? {scores.role} role{more}")
    return figure


def draw_reliability(axes: Axes, scores: Scores) -> None:
    """Observed frequency against predicted probability, all classes pooled, in bins of equal expected positives."""
    _draw_bins(axes, *reliability_bins(scores))
    axes.set_title("Do probabilities mean what they say?")
    axes.set(xlabel=_across(scores), ylabel="observed share")
    axes.legend(loc="upper left", handlelength=1.6)


def _across(scores: Scores) -> str:
    pooled = f", all {len(scores.classes)} classes together" if len(scores.classes) > 1 else ""
    return f"predicted probability ({scores.role} role{pooled})"


def _draw_bins(axes: Axes, predicted: Floats, observed: Floats, low: Floats, high: Floats) -> None:
    shows = observed > 0
    floor = 0.5 * float(min(predicted.min(initial=1.0), observed[shows].min(initial=1.0)))
    floor = 10 ** math.floor(math.log10(max(floor, _LOWEST)))
    predicted = np.maximum(predicted, floor)  # marks are not clipped: far outside they leave no room for the axes
    axes.plot([floor, 1], [floor, 1], color=GREY, linewidth=1.0, linestyle=(0, (4, 2)), label="means what it says")
    axes.vlines(predicted, np.maximum(low, floor), high, color=BLUE, alpha=0.4, linewidth=2.2)
    axes.plot(predicted[shows], observed[shows], "o", color=BLUE, markersize=6, label="observed", clip_on=False)
    axes.set(xscale="log", yscale="log", xlim=(floor, 1.05), ylim=(floor, 1.05))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: percent(value))


def draw_class(axes: Axes, truth: Floats, probabilities: Floats, name: str) -> None:
    """Observed frequency against predicted probability of one class, with the number of cases along the foot."""
    from matplotlib.ticker import LogLocator, NullLocator

    if not len(truth) or not probabilities.max() > 0:
        class_head(axes, name)
        say(axes, "nothing to draw")
        return
    _draw_bins(axes, *bins_of(truth, probabilities))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=4))
        axis.set_minor_locator(NullLocator())
    said = f"said {percent(float(probabilities.mean()))}, found {percent(float(truth.mean()))}"
    class_head(axes, name, said)
    axes.set(xlabel="predicted probability", ylabel="observed share")
    _draw_counts(axes, probabilities)


def _draw_counts(axes: Axes, probabilities: Floats) -> None:
    """Draw the histogram along the foot of a panel, in grey, at most a fifth of its height."""
    low, high = axes.get_xlim()
    counts, edges = _counts(probabilities, low)
    below = axes.get_xaxis_transform()
    heights = 0.2 * counts / max(float(counts.max()), 1.0)
    axes.bar(edges[:-1], heights, width=np.diff(edges), align="edge", transform=below, color="#D0D0D0", zorder=0.5)
    axes.set_xlim(low, high)


def _draw_histogram(axes: Axes, truth: Floats, probabilities: Floats, low: float) -> None:
    counts, edges = _counts(probabilities, low)
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color="#BBBBBB")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("cases")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(visible=False, axis="x")


def _counts(probabilities: Floats, low: float) -> tuple[Floats, Floats]:
    edges = np.geomspace(low, 1.0, _HISTOGRAM_BINS + 1)
    counts, _ = np.histogram(np.clip(probabilities, low, 1.0), edges)
    return counts.astype(np.float64), edges


def _known(scores: Scores) -> tuple[Floats, Floats]:
    truth, probabilities = scores.table().ravel(), scores.probability_table().ravel()
    known = ~np.isnan(truth)
    return truth[known], probabilities[known]


def reliability_bins(scores: Scores, bins: int = _BINS) -> tuple[Floats, Floats, Floats, Floats]:
    """Return mean predicted probability, observed frequency and its 95 % interval per bin, classes pooled."""
    return bins_of(*_known(scores), bins)


def bins_of(truth: Floats, probabilities: Floats, bins: int = _BINS) -> tuple[Floats, Floats, Floats, Floats]:
    """Return mean predicted probability, observed frequency and its 95 % interval per bin.

    Bins are cut so that each holds the same sum of predicted probabilities: with equal counts, nearly all bins of a
    rare class would hold no positive.

    Args:
        truth: (rows,) of 0 and 1.
        probabilities: (rows,).
        bins: how many at most.
    """
    order = np.argsort(probabilities, kind="stable")
    truth, probabilities = truth[order], probabilities[order]
    expected = np.cumsum(probabilities)
    if not len(expected) or expected[-1] <= 0:
        empty = np.zeros(0)
        return empty, empty, empty, empty
    edges = np.searchsorted(expected, np.linspace(0, expected[-1], bins + 1)[1:-1])
    starts = np.unique(np.concatenate([[0], edges]))
    counts = np.diff(np.append(starts, len(truth)))
    starts, counts = starts[counts > 0], counts[counts > 0]
    hits = np.add.reduceat(truth, starts)
    low, high = wilson_interval(hits, counts)
    return np.add.reduceat(probabilities, starts) / counts, hits / counts, low, high
