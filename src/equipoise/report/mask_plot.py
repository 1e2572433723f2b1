"""What masks hold: the share of the pixels and of the images that each class has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from equipoise.report._style import BLUE, GREY, MOST_CLASSES, class_rows, house_style, new_figure, set_heading
from equipoise.report._words import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from equipoise.labels import MaskCensus


def plot_mask_shares(census: MaskCensus) -> Figure:
    """Return a figure of two panels: each class's share of the pixels, on a logarithmic axis, and of the images.

    The lines are 95 % intervals over images; the dots of the left panel are single images that hold the class. Of more
    than 24 classes the rarest are drawn.

    Args:
        census: from `count_masks_of`.
    """
    shares = np.nan_to_num(census.prevalence)
    order = np.argsort(-shares)[-MOST_CLASSES:]
    names, places = [census.classes[k] for k in order], np.arange(len(order))
    low, high = (np.nan_to_num(end[order], nan=0.0) for end in census.prevalence_interval)
    with house_style():
        figure, axes = new_figure(10.5, 1.8 + 0.42 * len(order), 1, 2)
        left, right = axes[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            each = census.pixels[:, order] / census.known[:, order]
        for place in places:
            held = each[:, place][each[:, place] > 0]
            left.plot(held, np.full(len(held), place), ".", color=GREY, alpha=0.35, markersize=4)
        left.hlines(places, np.maximum(low, 1e-12), np.maximum(high, 1e-12), color=BLUE, linewidth=3)
        left.plot(shares[order], places, "o", color=BLUE)
        left.set_xscale("log")
        left.set_title("Share of the pixels")
        class_rows(left, names, right=[percent(float(share)) for share in shares[order]])
        held_by = census.present[order] / max(1, len(census.images))
        right.barh(places, held_by, color=BLUE, height=0.6)
        right.set_xlim(0, 1)
        right.set_title("Share of the images that hold it")
        class_rows(right, names, right=[f"{int(count):,}" for count in census.present[order]])
        set_heading(figure, f"{len(census.images):,} images, {census.rows:,} pixels")
    return figure
