"""Figures of images: what the steps do to them, and what a model got most wrong. Drawn from the gallery of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import RunError
from equipoise.report._style import house_style, new_figure, set_heading, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 4
_LARGEST = 64 * 2**20  # bytes of a gallery: some dozens of thumbnails are far below
_Arrays = Mapping[str, NDArray[Any]]


def read_gallery(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what a gallery says of its thumbnails, and the thumbnails by name.

    Raises:
        RunError: it is damaged. Nothing in it is ever unpickled.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is far too large")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(arrays.pop("about").tobytes())
        if not isinstance(about, dict) or not {"samples", "mistakes"} <= set(about):
            raise ValueError("it does not say what it holds")
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise RunError(f"{path} is damaged ({error}). Restore it, or train again.") from error
    return about, arrays


def plot_samples(about: Mapping[str, Any], arrays: _Arrays) -> Figure:
    """Return a figure of some images: as they are, after each step, and varied.

    Args:
        about: from `read_gallery`.
        arrays: likewise.
    """
    samples = about["samples"]
    across = max(len(one["stages"]) for one in samples)
    with house_style():
        figure, axes = new_figure(1.9 * across, 2.1 * len(samples) + 0.5, len(samples), across)
        for row, one in enumerate(samples):
            for column in range(across):
                panel = axes[row, column]
                panel.set_axis_off()
                if column < len(one["stages"]):
                    _draw(panel, arrays[f"sample-{row}-{column}"])
                    panel.set_title(shown(one["stages"][column]), fontsize=9)
            axes[row, 0].set_title(shown(one["id"], 24), fontsize=9)
        set_heading(figure, "Images as they are, after each step, and varied")
    return figure


def plot_mistakes(about: Mapping[str, Any], arrays: _Arrays) -> Figure:
    """Return a sheet of the images that the model was most sure of and wrong about, with where it looked at some.

    Args:
        about: from `read_gallery`.
        arrays: likewise.
    """
    tiles = _tiles(about["mistakes"], arrays)
    rows = max(1, -(-len(tiles) // _ACROSS))
    with house_style():
        figure, axes = new_figure(2.3 * _ACROSS, 2.75 * rows + 0.6, rows, _ACROSS)
        for panel in axes.flat:
            panel.set_axis_off()
        for panel, (lines, image, heat) in zip(axes.flat, tiles, strict=False):
            _draw(panel, image)
            if heat is not None:
                height, width = image.shape[:2]
                panel.imshow(
                    heat, cmap="magma", alpha=0.5, extent=(-0.5, width - 0.5, height - 0.5, -0.5), vmin=0, vmax=1
                )
            panel.set_title("\n".join(lines), fontsize=8)
        set_heading(figure, "Most confident mistakes; bright where the image spoke for the class (Grad-CAM)")
    return figure


_Tile = tuple[list[str], NDArray[Any], NDArray[Any] | None]


def _tiles(mistakes: list[Mapping[str, Any]], arrays: _Arrays) -> list[_Tile]:
    found: list[_Tile] = []
    for number, one in enumerate(mistakes):
        image, name = arrays[f"mistake-{number}"], shown(one["class"], 20)
        label = shown(one["true"], 20) if "true" in one else "yes" if one["label"] == 1 else "no"
        said = f"{name} {one['probability']:.2f}, label {label}"
        found.append(([shown(one["id"], 26), said], image, None))
        heat = arrays.get(f"look-{number}")
        if heat is not None:
            found.append(([shown(one["id"], 26), f"where it looked for {name}"], image, heat))
    return found


def _draw(panel: Axes, image: NDArray[Any]) -> None:
    panel.imshow(image, cmap="gray" if image.ndim == 2 else None, vmin=0, vmax=255, interpolation="nearest")
