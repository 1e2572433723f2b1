"""What an augmentation draws for each image: numbers that depend on (seed, epoch, row, draw) and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise._counter import key_of, random_units, random_words

Floats32 = NDArray[np.float32]

_DRAWN = (
    "rotation", "shift_x", "shift_y", "scale", "flip", "flip_vertical", "brightness", "contrast", "saturation",
    "red", "green", "blue", "noise", "noise_place", "erase", "erase_area", "erase_ratio", "erase_x", "erase_y",
)  # fmt: skip
_LUMA = np.array([0.299, 0.587, 0.114])
NOISE_PLACES = 1 << 18


@dataclass(frozen=True)
class Ranges:
    """How far an augmentation goes; every number is drawn evenly between its ends.

    Attributes:
        rotation: degrees to either side; 180 is any.
        shift: of the side, in each direction.
        scale: 0.1 enlarges or shrinks by up to a factor of 1.1.
        flip: share of images mirrored left to right.
        flip_vertical: share mirrored top to bottom.
        brightness: added to all pixels, of the range from black to white.
        contrast: 0.2 spreads or narrows the greys around the training mean by up to a factor of 1.2.
        colour: the same factor for red, green and blue each, and for saturation; grey images have none.
        noise: the largest standard deviation of normal noise, of the range from black to white.
        erase: share of images in which a rectangle is set to the training mean.
        erase_area: the largest of these rectangles, of the image.
    """

    rotation: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    flip: float = 0.0
    flip_vertical: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0
    noise: float = 0.0
    erase: float = 0.0
    erase_area: float = 0.1

    def describe(self, channels: int) -> str:
        """Return what is drawn, in a few words."""
        said = [
            (self.rotation, "any rotation" if self.rotation == 180 else f"rotation up to {self.rotation:g} degrees"),
            (self.shift, f"shift up to {self.shift:.0%}"),
            (self.scale, f"scale up to {self.scale:.0%}"),
            (self.brightness, f"brightness up to {self.brightness:.0%}"),
            (self.contrast, f"contrast up to {self.contrast:.0%}"),
            (self.colour * (channels == 3), f"colours up to {self.colour:.0%}"),
            (self.noise, f"noise up to {self.noise:.1%}"),
            (self.erase, f"a rectangle of up to {self.erase_area:.0%} erased in {self.erase:.0%} of images"),
            (self.flip, f"left and right swapped in {self.flip:.0%}"),
            (self.flip_vertical, f"top and bottom swapped in {self.flip_vertical:.0%}"),
        ]
        return ", ".join(words for used, words in said if used) + (
            "" if self.flip else ", left and right never swapped"
        )


@dataclass(frozen=True)
class Draws:
    """The numbers of a batch.

    Attributes:
        matrices: (images, 2, 3) float64, from the place of a finished pixel to the place in the source, both counted
            from the middle and in halves of the side, x first.
        colours: (images, channels, channels + 1) float32: what is done to the channels of a pixel in [0, 1].
        noise: (images,) float32, standard deviations. noise_places: (images,) where the noise is taken from.
        boxes: (images, 4) float64: left, top, right, bottom of the erased rectangle, of the side; zeros for none.
    """

    matrices: NDArray[np.float64]
    colours: Floats32
    noise: Floats32
    noise_places: NDArray[np.int64]
    boxes: NDArray[np.float64]


def draw(
    ranges: Ranges,
    rows: NDArray[np.int64],
    draws: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    mean: NDArray[np.float64],
) -> Draws:
    """Return what is done to each image of a batch.

    Args:
        ranges: how far it goes.
        rows: (images,) which rows they are.
        draws: (images,) which drawing of the row within the epoch.
        seed: the seed of the run.
        epoch: which epoch.
        mean: (channels,) in [0, 1]: the middle of the contrast.
    """
    words = random_words(key_of(seed, epoch, "augment"), rows)
    words = random_words(key_of("draw"), words + draws.astype(np.uint64))
    counters: NDArray[np.uint64] = np.add.outer(words, np.arange(len(_DRAWN), dtype=np.uint64))
    units = dict(zip(_DRAWN, random_units(key_of("augment"), counters).T, strict=True))
    return Draws(
        _matrices(ranges, units),
        _colours(ranges, units, mean),
        (ranges.noise * units["noise"]).astype(np.float32),
        (NOISE_PLACES * units["noise_place"]).astype(np.int64),
        _boxes(ranges, units),
    )


def _either_side(units: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2 * units - 1


def _factor(reach: float, units: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1 + reach) ** _either_side(units))


def _matrices(ranges: Ranges, units: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    angle = np.deg2rad(ranges.rotation) * _either_side(units["rotation"])
    scale = _factor(ranges.scale, units["scale"])
    flips = np.stack(
        [
            np.where(units["flip"] < ranges.flip, -1.0, 1.0),
            np.where(units["flip_vertical"] < ranges.flip_vertical, -1.0, 1.0),
        ]
    )
    matrices = np.empty((len(angle), 2, 3))
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    matrices[:, 0, 0], matrices[:, 0, 1] = cosine * flips[0], -sine * flips[0]
    matrices[:, 1, 0], matrices[:, 1, 1] = sine * flips[1], cosine * flips[1]
    for axis, name in enumerate(("shift_x", "shift_y")):
        matrices[:, axis, 2] = 2 * ranges.shift * _either_side(units[name])
    return matrices


def _colours(ranges: Ranges, units: dict[str, NDArray[np.float64]], mean: NDArray[np.float64]) -> Floats32:
    channels = len(mean)
    contrast = _factor(ranges.contrast, units["contrast"])
    change = np.tile(np.eye(channels), (len(contrast), 1, 1))
    if channels == 3:
        saturation = _factor(ranges.colour, units["saturation"])[:, None, None]
        change = saturation * change + (1 - saturation) * _LUMA
        gains = np.stack([_factor(ranges.colour, units[name]) for name in ("red", "green", "blue")], axis=1)
        change *= gains[:, :, None]
    change *= contrast[:, None, None]
    offset = mean * (1 - contrast[:, None]) + (ranges.brightness * _either_side(units["brightness"]))[:, None]
    return np.concatenate([change, offset[:, :, None]], axis=2).astype(np.float32)


def _boxes(ranges: Ranges, units: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    area = ranges.erase_area * (0.2 + 0.8 * units["erase_area"])
    ratio = _factor(1.0, units["erase_ratio"])
    width, height = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
    left, top = (1 - width) * units["erase_x"], (1 - height) * units["erase_y"]
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    return np.where((units["erase"] < ranges.erase)[:, None], boxes, 0.0)
