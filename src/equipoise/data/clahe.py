"""Contrast-limited adaptive histogram equalisation (CLAHE): local contrast evened out, noise held down by a limit."""

from __future__ import annotations

import math
import numbers
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, check_number
from equipoise.data._opencv import opencv

Image = NDArray[Any]  # (height, width) or (height, width, 3), uint8 or uint16

MOST_TILES = 64
_OWN = threading.local()  # OpenCV's CLAHE objects keep tables while they work: one for each thread


def apply_clahe(image: Image, *, clip: float = 2.0, tiles: int = 8) -> Image:
    """Return `image` with its contrast evened out tile by tile, as OpenCV's ``createCLAHE`` does it.

    The picture is cut into `tiles` x `tiles` parts; the histogram of each, cut off at `clip` times its mean height,
    gives a curve of greys, and every pixel is mapped by the curves of the four nearest tiles, mixed by distance.

    A grey image is worked on as it is, with 256 or 65,536 bins. With 16 bits, a tile of fewer than 65,536 / `clip`
    pixels has less than one in most bins; OpenCV then cuts at one, which is no limit, and noise is lifted without
    bounds: `Steps` brings images to 8 bits first unless told otherwise.

    Of a colour image only the lightness L of CIE LAB is changed, so that colours keep their hue; for 8 bits the way
    through LAB rounds each channel by a level or two, for 16 bits it goes through 32-bit floats.

    Args:
        image: (height, width) grey or (height, width, 3) red, green, blue; uint8 or uint16. Not changed.
        clip: where the histogram is cut, in multiples of its mean height; above 0. X-Lite and most work on chest
            X-rays use 2. (scikit-image's ``clip_limit`` is another scale: a share of the pixels of a tile.)
        tiles: parts along each side, 1 to 64. Fewer tiles look at more of the picture at once.

    Returns:
        An image of the same shape and type.

    Raises:
        ArgumentError: `clip`, `tiles` or the image's shape or type cannot work.
        RunError: OpenCV is not installed.

    Source: K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV (1994), 474-485.

    Example:
        >>> image = np.tile(np.arange(100, 116, dtype=np.uint8), (16, 1))
        >>> int(np.ptp(image)), [int(np.ptp(apply_clahe(image, clip=clip, tiles=1))) for clip in (2, 8)]
        (15, [44, 126])
    """
    clip, tiles = check_clip(clip), check_tiles(tiles)
    check_image(image)
    if image.ndim == 2:
        return _clahe(clip, tiles).apply(np.ascontiguousarray(image))  # type: ignore[no-any-return]
    cv2 = opencv()
    if image.dtype == np.uint8:
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        lab[..., 0] = _clahe(clip, tiles).apply(np.ascontiguousarray(lab[..., 0]))
        return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)  # type: ignore[no-any-return]
    lab = cv2.cvtColor(image.astype(np.float32) / 65535, cv2.COLOR_RGB2LAB)  # L in [0, 100]
    lightness = np.rint(lab[..., 0] * 655.35).clip(0, 65535).astype(np.uint16)
    lab[..., 0] = _clahe(clip, tiles).apply(lightness).astype(np.float32) / np.float32(655.35)
    colours = np.rint(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 65535)
    return np.asarray(colours, dtype=np.uint16)


def check_clip(clip: object) -> float:
    """Return `clip` as a float, or raise `ArgumentError` unless it is a finite number above 0."""
    return check_number(clip, argument="clip", function="clahe", above=0)


def check_tiles(tiles: object) -> int:
    """Return `tiles` as an int, or raise `ArgumentError` unless it is a whole number from 1 to 64."""
    number = check_number(tiles, argument="tiles", function="clahe", at_least=1, at_most=MOST_TILES)
    if not isinstance(tiles, numbers.Integral) and not math.modf(number)[0] == 0:
        raise ArgumentError(f"`tiles` of clahe must be a whole number of parts along each side; got {tiles!r}.")
    return int(number)


def check_image(image: Image) -> None:
    """Raise `ArgumentError` unless `image` is grey or colour, of 8 or 16 bits, with at least one pixel."""
    right = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if not right or image.dtype not in (np.uint8, np.uint16) or image.size == 0:
        raise ArgumentError(
            "An image is (height, width) or (height, width, 3) of uint8 or uint16, with at least one pixel; got "
            f"{image.shape} of {image.dtype}. Read it with read_image."
        )


def _clahe(clip: float, tiles: int) -> Any:
    made: dict[tuple[float, int], Any] = _OWN.__dict__.setdefault("made", {})
    if (clip, tiles) not in made:
        made[clip, tiles] = opencv().createCLAHE(clipLimit=clip, tileGridSize=(tiles, tiles))
    return made[clip, tiles]
