"""Thumbnails of images with their truth and their masks: the worst and the best, kept for the figures of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._files import replacing
from equipoise.data.mask_resize import resize_planes, scaled_size
from equipoise.metrics.mask_scores import ImageCounts
from equipoise.metrics.outcomes import divide

_SIDE = 256
SHOWN = 3  # worst, and as many best


def chosen_images(counts: ImageCounts, watched: Sequence[int], most: int = SHOWN) -> list[tuple[int, str, float]]:
    """Return (image, "worst" or "best", mean Dice of the classes that it holds), worst first, each image once.

    Args:
        counts: at the fitted rule.
        watched: indices of the classes that masks are about.
        most: of each kind.
    """
    dice = counts.dice()[:, list(watched)]
    known = ~np.isnan(dice)
    mean = divide(np.where(known, dice, 0.0).sum(axis=1), known.sum(axis=1))
    order = [int(place) for place in np.argsort(mean, kind="stable") if not np.isnan(mean[place])]
    worst = order[: min(most, (len(order) + 1) // 2)]
    best = order[len(worst) :][-most:]
    return [(place, "worst", float(mean[place])) for place in worst] + [
        (place, "best", float(mean[place])) for place in best
    ]


def write_mask_gallery(path: Path, shown: Sequence[dict[str, Any]], classes: Sequence[str], *, exclusive: bool) -> None:
    """Write thumbnails as one archive without anything pickled.

    Args:
        path: of the archive.
        shown: of each image its ``id``, ``rank``, ``dice``, and the arrays ``image``, ``truth`` and ``predicted`` of
            `thumbnails`.
        classes: names.
        exclusive: whether each pixel has one class.
    """
    arrays: dict[str, NDArray[Any]] = {}
    told = []
    for number, one in enumerate(shown):
        for name in ("image", "truth", "predicted"):
            arrays[f"overlay-{number}-{name}"] = one[name]
        told.append({name: one[name] for name in ("id", "rank", "dice")})
    about = {"samples": [], "mistakes": [], "overlays": told, "classes": list(classes), "exclusive": exclusive}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def thumbnails(
    pixels: NDArray[Any], truth: NDArray[np.uint8], mask: NDArray[np.uint8], classes: int, *, exclusive: bool
) -> dict[str, NDArray[np.uint8]]:
    """Return an image, its truth and its mask at a small size; of volumes the slice that holds most of the classes.

    Args:
        pixels: (channels, ...).
        truth: (...) class indices, or (classes, ...) of 0 and 1.
        mask: of the same shape.
        classes: how many there are.
        exclusive: whether each pixel has one class.

    Returns:
        ``image`` (h, w) or (h, w, 3) of 0 to 255; ``truth`` and ``predicted`` (classes, h, w) of 0 and 1.
    """
    layers = [_layers(one, classes, exclusive) for one in (truth, mask)]
    if pixels.ndim == 4:
        watched = layers[0][1:] if exclusive and classes > 1 else layers[0]
        place = int(watched.sum(axis=(0, 2, 3)).argmax())
        pixels, layers = pixels[:, place], [one[:, place] for one in layers]
    size = scaled_size(pixels.shape[1:], _SIDE)
    shown = resize_planes(pixels[:3] if len(pixels) >= 3 else pixels[:1], size)
    low, high = np.percentile(shown, [0.5, 99.5])
    grey = np.clip((shown - low) / max(float(high - low), 1e-6) * 255, 0, 255).astype(np.uint8)
    small = [(resize_planes(one, size) >= 0.5).astype(np.uint8) for one in layers]
    return {
        "image": grey[0] if len(grey) == 1 else np.moveaxis(grey, 0, -1),
        "truth": small[0],
        "predicted": small[1],
    }


def _layers(mask: NDArray[np.uint8], classes: int, exclusive: bool) -> NDArray[np.bool_]:
    return np.stack([mask == place for place in range(classes)]) if exclusive else mask == 1
