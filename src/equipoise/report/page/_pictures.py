"""Pictures inside a page: written as PNG in a `data:` address, so that nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.report.mask_plots import COLOUR_NAMES, paint_layers
from equipoise.report.page._parts import Picture, Section

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def overlays_section(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], role: str) -> Section | None:
    """Return the worst and the best images with their truth and what was predicted; None where there are none.

    Args:
        about: from `read_gallery`.
        arrays: likewise.
        role: of the images.
    """
    told = about.get("overlays") or []
    first = 1 if about.get("exclusive") else 0
    if not told:
        return None
    rows = []
    for place, one in enumerate(told):
        image = arrays[f"overlay-{place}-image"]
        truth, predicted = (arrays[f"overlay-{place}-{name}"][first:] for name in ("truth", "predicted"))
        rows.append((f"{str(one['rank']).capitalize()}: {one['id']} (Dice {one['dice']:.2f})", (
            Picture(png_address(image), f"Image {one['id']}", "image"),
            Picture(png_address(paint_layers(image, truth)), f"Image {one['id']}, its true masks painted", "truth"),
            Picture(png_address(paint_layers(image, predicted)), f"Image {one['id']}, what is predicted painted",
                    "predicted"),
        )))  # fmt: skip
    names = about["classes"][first:]
    colours = ", ".join(f"{name} {COLOUR_NAMES[i % len(COLOUR_NAMES)]}" for i, name in enumerate(names))
    intro = (
        f"By the mean Dice of the classes that they hold, {role} role, small parts removed; of volumes the slice that "
        f"holds most. Colours: {colours}.",
    )
    return Section("images", "Worst and best images", intro, pictures=tuple(rows))


def png_address(pixels: NDArray[Any]) -> str:
    """Return an image as the text of a ``data:`` address, in a PNG that depends on the pixels alone.

    Args:
        pixels: (height, width) of grey or (height, width, 3) of colours, 0 to 255.

    Example:
        >>> png_address(np.zeros((1, 1), np.uint8))[:32]
        'data:image/png;base64,iVBORw0KGg'
    """
    whole = np.ascontiguousarray(pixels, dtype=np.uint8)
    height, width = whole.shape[:2]
    kind = 0 if whole.ndim == 2 else 2
    lines = np.concatenate([np.zeros((height, 1), np.uint8), whole.reshape(height, -1)], axis=1)  # filter 0 a line
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    content = _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
