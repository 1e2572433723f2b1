"""Figures of a run of masks: shares and Dice by epoch, Dice beside trivial answers, masks over their images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.report._style import class_rows, house_style, line_looks, new_figure, set_heading, shown
from equipoise.report.mask_view import MaskView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 6  # classes with a line of their own
_COLOURS = ((0.90, 0.62, 0.0), (0.34, 0.71, 0.91), (0.0, 0.62, 0.45), (0.80, 0.47, 0.65), (0.94, 0.89, 0.26))
COLOUR_NAMES = ("orange", "sky blue", "green", "pink", "yellow")


def plot_masks(view: MaskView) -> Figure:
    """Return the overview of a run of masks: predicted shares and Dice by epoch, and Dice beside trivial answers.

    Args:
        view: what the run folder says.
    """
    with house_style():
        figure, axes = new_figure(12.0, 3.9, 1, 3)
        _plot_shares(axes[0, 0], view)
        _plot_learning(axes[0, 1], view)
        _plot_dice(axes[0, 2], view)
        set_heading(figure, f"{shown(view.recipe.name)}: how much is predicted, and how well")
    return figure


def _plot_shares(axes: Axes, view: MaskView) -> None:
    axes.set_title("Predicted share (dotted: true)")
    axes.set_xlabel("epoch")
    epochs = view.epochs
    numbers = [event["epoch"] for event in epochs]
    places = {name: place for place, name in enumerate(view.census.classes)}
    for name, look in zip(view.watched[:_MOST], line_looks(len(view.watched)), strict=False):
        place = places[name]
        values = [event["predicted_share"][place] or 0.0 for event in epochs]
        axes.plot(numbers, values, marker="o" if len(numbers) < 3 else None, label=shown(name), **look)
        if epochs:
            axes.axhline(epochs[-1]["true_share"][place], color=look["color"], linestyle=":", linewidth=1.0)
            if len(view.watched) == 1:
                axes.axhspan(*epochs[-1]["band"][place], color=look["color"], alpha=0.08, linewidth=0)
    if epochs and len(view.watched) > 1:
        axes.set_yscale("symlog", linthresh=1e-4)
    axes.set_ylim(bottom=0)
    axes.legend()


def _plot_learning(axes: Axes, view: MaskView) -> None:
    axes.set_title("Dice, validation images")
    axes.set_xlabel("epoch")
    axes.set_ylim(0, 1)
    numbers = [event["epoch"] for event in view.epochs]
    places = {name: place for place, name in enumerate(view.census.classes)}
    for name, look in zip(view.watched[:_MOST], line_looks(len(view.watched)), strict=False):
        values = [event["best_dice"][places[name]] for event in view.epochs]
        known = [np.nan if value is None else value for value in values]
        axes.plot(numbers, known, marker="o" if len(numbers) < 3 else None, label=shown(name), **look)


def _plot_dice(axes: Axes, view: MaskView) -> None:
    axes.set_title("Dice, test images (grey: trivial)")
    axes.set_xlim(0, 1)
    if "rule" not in view.metrics:
        axes.set_axis_off()
        return
    rows = [view.metrics["rule"].row("dice", name) for name in view.watched]
    class_rows(axes, list(view.watched), right=["" if np.isnan(row.value) else f"{row.value:.3f}" for row in rows])
    for place, (name, row) in enumerate(zip(view.watched, rows, strict=True)):
        for other in ("empty", "full"):
            if other in view.metrics:
                axes.plot(view.metrics[other].value("dice", name), place, "|", color="#888888", markersize=12)
        if not np.isnan(row.low):
            axes.plot([row.low, row.high], [place, place], color="#0072B2", linewidth=2)
        axes.plot(row.value, place, "o", color="#0072B2")


def _middle(name: str, most: int = 28) -> str:
    """Return a name in one line, its middle left out where it is long: names of files differ at their ends."""
    half = (most - 1) // 2
    return shown(name if len(name) <= most else f"{name[:half]}…{name[-half:]}")


def plot_overlays(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Figure:
    """Return the worst and the best images: as they are, with their truth, and with what is predicted.

    Args:
        about: from `read_gallery`.
        arrays: likewise.
    """
    told = about["overlays"]
    first = 1 if about["exclusive"] else 0
    names = about["classes"][first:]
    with house_style():
        figure, axes = new_figure(7.6, 2.5 * max(1, len(told)) + 0.7, max(1, len(told)), 3)
        for row, one in enumerate(told):
            image = arrays[f"overlay-{row}-image"]
            truth, predicted = (arrays[f"overlay-{row}-{name}"][first:] for name in ("truth", "predicted"))
            panels = ((image, ""), (paint_layers(image, truth), "truth"), (paint_layers(image, predicted), "predicted"))
            for column, (picture, title) in enumerate(panels):
                panel = axes[row, column]
                panel.set_axis_off()
                panel.imshow(picture, cmap="gray" if picture.ndim == 2 else None, vmin=0, vmax=255)
                panel.set_title(title or f"{one['rank']} (Dice {one['dice']:.2f})\n{_middle(one['id'])}", fontsize=9)
        from matplotlib.patches import Patch

        patches = [Patch(color=_COLOURS[i % len(_COLOURS)], label=shown(name)) for i, name in enumerate(names)]
        figure.legend(handles=patches, loc="outside lower center", ncols=min(6, max(1, len(patches))))
        set_heading(figure, "Worst and best images, by mean Dice of the classes that they hold")
    return figure


def paint_layers(image: NDArray[Any], layers: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image with a translucent colour where each class is.

    Args:
        image: (height, width) or (height, width, 3) of 0 to 255.
        layers: (classes, height, width) of 0 and 1.
    """
    colour = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    found = colour.astype(np.float64)
    for place, layer in enumerate(layers):
        tint = 255 * np.array(_COLOURS[place % len(_COLOURS)])
        found[layer == 1] = 0.45 * found[layer == 1] + 0.55 * tint
    return found.astype(np.uint8)
