"""What is done to an image before it is cached: a declared list of steps, in the order that the user gives."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, check_one_of, listed, nearest
from equipoise.data._opencv import opencv
from equipoise.data._step_kinds import KINDS, CropBorders, Resize, Step, To8Bits
from equipoise.data.clahe import Image, check_image
from equipoise.data.images import to_uint8

FORMAT = 1
"""Raised whenever the same list would make other pixels, so that no cache of before is taken for one of now."""

LARGEST_SIZE = 4096

STEP_NAMES = tuple(KINDS)
"""The names that `parse_steps` takes."""


@dataclass(frozen=True)
class Steps:
    """A list of steps with the form of the finished image. Make it with `parse_steps`.

    With one channel, colours become grey before the first step, by the luma weights 0.299, 0.587 and 0.114 of red,
    green and blue. With three, grey images stay grey through all steps and are repeated three times at the end.

    Attributes:
        steps: in the order in which they are done.
        size: side of the finished image in pixels.
        channels: 1 (grey) or 3 (red, green, blue).
    """

    steps: tuple[Step, ...]
    size: int
    channels: int

    def apply(self, image: Image) -> NDArray[np.uint8]:
        """Return the finished image: uint8 (size, size, channels).

        Args:
            image: (height, width) grey, or (height, width, 3) red, green, blue; uint8 or uint16. Not changed.

        Raises:
            ArgumentError: the shape or type is another, or there is no pixel.
        """
        check_image(image)
        image = self.begin(image)
        for step in self.steps:
            image = step.apply(image, self.size)
        if image.ndim == 2 and self.channels == 3:
            image = np.repeat(image[:, :, None], 3, axis=2)
        return np.ascontiguousarray(image).reshape(self.size, self.size, self.channels)

    def begin(self, image: Image) -> Image:
        """Return what the first step is given: one channel where grey is asked for."""
        if image.ndim == 3 and self.channels == 1:
            return np.asarray(opencv().cvtColor(np.ascontiguousarray(image), opencv().COLOR_RGB2GRAY))
        return image

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that change when, and only when, the steps, size, channels or format do."""
        return hashlib.blake2b(json.dumps(self.to_dict(), sort_keys=True).encode(), digest_size=8).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the canonical list, with every setting that was left at its default."""
        return {
            "format": FORMAT, "size": self.size, "channels": self.channels,
            "steps": [{step.name: step.settings()} for step in self.steps],
        }  # fmt: skip

    def describe(self) -> str:
        """Return the steps, in their order, in one sentence.

        Example:
            >>> parse_steps(["clahe", "resize"], size=224, channels=1).describe()
            'Grey, then any 16 bits to 8 by the least depth that holds the image, then CLAHE (clip 2, 8 x 8 tiles),
            then resized to 224 x 224 (stretched).'
        """
        colour = ["Grey"] if self.channels == 1 else ["Colours kept"]
        last = [] if self.channels == 1 else ["grey repeated as red, green and blue"]
        return ", then ".join([*colour, *(step.words(self.size) for step in self.steps), *last]) + "."


def step_by_step(steps: Steps, image: Image) -> list[tuple[str, Image]]:
    """Return the image as it is and after each step that changes it, each with its name, for people to look at."""
    found = [("as it is", image)]
    image = steps.begin(image)
    for step in steps.steps:
        before, image = image, step.apply(image, steps.size)
        if before.shape != image.shape or before.dtype != image.dtype or not np.array_equal(before, image):
            found.append((step.name.replace("_", " "), image))
    return found


def thumbnail(image: Image, side: int) -> NDArray[np.uint8]:
    """Return a small copy for people to look at: uint8, its longer side `side` pixels.

    Args:
        image: (h, w) or (h, w, 1) grey, or (h, w, 3) red, green, blue; uint8 or uint16.
        side: pixels.
    """
    small = to_uint8(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    scale = side / max(small.shape[:2])
    size = (max(1, round(small.shape[1] * scale)), max(1, round(small.shape[0] * scale)))
    way = opencv().INTER_AREA if scale < 1 else opencv().INTER_NEAREST
    return np.asarray(opencv().resize(np.ascontiguousarray(small), size, interpolation=way), np.uint8)


def parse_steps(steps: Sequence[str | Mapping[str, Any]] = ("clahe", "resize"), *, size: int, channels: int) -> Steps:
    """Return the steps that a list of names declares.

    The order is the user's and matters. CLAHE *before* the resize sees all pixels of the source, as X-Lite does it
    ("clahe", "resize", the default here); it costs about 5 ms for an image of 1024 x 1024 on one core. *After* it
    ("resize", "clahe") costs 0.2 ms, but it is another image: its tiles are made of averaged pixels, so that the fine
    texture and noise that the first would lift are gone already. Neither is better by rule; a model must be given
    what it was trained on.

    Args:
        steps: each a name, or a mapping from one name to its settings, such as ``{"clahe": {"clip": 3.0}}``:

            - ``crop_borders`` (threshold 10): cut the black borders of a fundus photograph;
            - ``to_8_bits`` (bits 1 to 16, or null): where 16 bits become 8; put first when it is not in the list;
            - ``clahe`` (clip 2, tiles 8);
            - ``resize`` (fit "stretch", "pad" or "crop"; enlarge "cubic" or "linear"); once in every list.
        size: side of the finished image in pixels, 8 to 4096.
        channels: 1 (grey) or 3 (red, green, blue).

    Raises:
        ArgumentError: a name, setting or value does not exist (the nearest is named), a step is there twice, there
            is no resize, or borders are cut after it.
    """
    size = _whole("size", size, 8, LARGEST_SIZE)
    if channels not in (1, 3) or isinstance(channels, bool):
        raise ArgumentError(f"`channels` of steps must be 1 (grey) or 3 (red, green, blue); got {channels!r}.")
    if isinstance(steps, str | Mapping) or not isinstance(steps, Sequence):
        raise ArgumentError(f'`steps` must be a list, such as ["clahe", "resize"]; got {steps!r}.')
    parsed = [_step(item, number) for number, item in enumerate(steps, start=1)]
    names = [step.name for step in parsed]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f'`steps` has "{name}" {names.count(name)} times. Keep the one that is meant.')
    if Resize.name not in names:
        raise ArgumentError(
            '`steps` has no "resize", and all images of a cache have one size. Say where it belongs: before the other '
            "steps it makes them cheap, after them they see every pixel of the source."
        )
    if CropBorders.name in names[names.index(Resize.name) :]:
        raise ArgumentError(
            '`steps` has "crop_borders" after "resize", and what is cut would no longer have its size. Put it before.'
        )
    if To8Bits.name not in names:
        parsed.insert(0, To8Bits())
    return Steps(tuple(parsed), size, int(channels))


def _step(item: object, number: int) -> Step:
    settings: Any = {}
    if isinstance(item, str):
        name: Any = item
    elif isinstance(item, Mapping) and len(item) == 1:
        name, settings = next(iter(item.items()))
        settings = {} if settings is None else settings
    else:
        raise ArgumentError(
            f"`steps` item {number} must be a name, or one name with its settings, such as "
            f'{{"clahe": {{"clip": 2.0}}}}; got {item!r}.'
        )
    check_one_of(name, KINDS, argument=f"item {number}", function="steps")
    kind = KINDS[name]
    allowed = [field.name for field in dataclasses.fields(kind)]
    if not isinstance(settings, Mapping):
        raise ArgumentError(f"`steps` item {number}, {name}, takes a mapping of {listed(allowed)}; got {settings!r}.")
    for setting in settings:
        if setting not in allowed:
            raise ArgumentError(
                f"`steps` item {number}, {name}, has no setting {setting!r}; it has {listed(allowed)}."
                f"{nearest(setting, allowed)}"
            )
    return kind(**settings)


def _whole(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= int(value) <= most:
        raise ArgumentError(f"`{name}` of steps must be a whole number of pixels, {least} to {most}; got {value!r}.")
    return int(value)
