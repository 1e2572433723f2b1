"""The single steps that bring an image to the form in which it is cached: each a frozen record of its settings."""

from __future__ import annotations

import abc
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from equipoise._checks import ArgumentError, check_number, check_one_of
from equipoise.data._opencv import opencv
from equipoise.data.clahe import Image, apply_clahe, check_clip, check_tiles
from equipoise.data.images import to_uint8

_LEAST_SHARE = 0.01  # of a row or column that must be lit, so that a hot pixel or a letter at the rim is no picture


@dataclass(frozen=True)
class Step(abc.ABC):
    """One step: a name, settings that are plain numbers and words, and what it does to an image."""

    name: ClassVar[str]

    @abc.abstractmethod
    def apply(self, image: Image, size: int) -> Image:
        """Return the image after this step; `size` is the side of the finished image in pixels."""

    @abc.abstractmethod
    def words(self, size: int) -> str:
        """Return what the step does, as a part of a sentence."""

    def settings(self) -> dict[str, Any]:
        """Return every setting, those left at their defaults too."""
        return asdict(self)


@dataclass(frozen=True)
class To8Bits(Step):
    """Bring 16 bits to 8, as `to_uint8` does; images of 8 bits stay as they are.

    Attributes:
        bits: of the stored values, 1 to 16. None takes the least of 8, 10, 12, 14 and 16 that hold the image's
            largest value, since most detectors use fewer bits than the file has, and nobody wrote down how many.
    """

    name: ClassVar[str] = "to_8_bits"
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.bits is not None and (isinstance(self.bits, bool) or self.bits not in range(1, 17)):
            raise ArgumentError(f"`bits` of to_8_bits must be a whole number from 1 to 16, or null; got {self.bits!r}.")

    def apply(self, image: Image, size: int) -> Image:
        """Return the image as uint8."""
        return to_uint8(image, bits=self.bits)

    def words(self, size: int) -> str:
        """Return what happens to images of 16 bits."""
        return f"any {self.bits or 16} bits to 8" + ("" if self.bits else " by the least depth that holds the image")


@dataclass(frozen=True)
class Clahe(Step):
    """Even out local contrast: see `apply_clahe`."""

    name: ClassVar[str] = "clahe"
    clip: float = 2.0
    tiles: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "clip", check_clip(self.clip))
        object.__setattr__(self, "tiles", check_tiles(self.tiles))

    def apply(self, image: Image, size: int) -> Image:
        """Return the image with its contrast evened out."""
        return apply_clahe(image, clip=self.clip, tiles=self.tiles)

    def words(self, size: int) -> str:
        """Return the two settings."""
        return f"CLAHE (clip {self.clip:g}, {self.tiles} x {self.tiles} tiles)"


@dataclass(frozen=True)
class CropBorders(Step):
    """Cut the black borders around a fundus photograph: rows and columns of which at most 1 % is lit.

    Attributes:
        threshold: the brightest value that is still black, of 255 (of 65,535 in proportion for 16 bits). A pixel is
            lit when one of its channels is above. An image that is black everywhere stays whole.
    """

    name: ClassVar[str] = "crop_borders"
    threshold: float = 10.0

    def __post_init__(self) -> None:
        value = check_number(self.threshold, argument="threshold", function=self.name, at_least=0, at_most=254)
        object.__setattr__(self, "threshold", value)

    def apply(self, image: Image, size: int) -> Image:
        """Return the part of the image inside its borders."""
        brightest = image if image.ndim == 2 else image.max(axis=2)
        lit = brightest > self.threshold * (1 if image.dtype == np.uint8 else 257)
        rows = np.flatnonzero(np.count_nonzero(lit, axis=1) > _LEAST_SHARE * lit.shape[1])
        columns = np.flatnonzero(np.count_nonzero(lit, axis=0) > _LEAST_SHARE * lit.shape[0])
        if not len(rows) or not len(columns):
            return image
        return np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])

    def words(self, size: int) -> str:
        """Return the threshold."""
        return f"borders at or below {self.threshold:g} of 255 cut off"


@dataclass(frozen=True)
class Resize(Step):
    """Bring the image to `size` x `size` pixels.

    Attributes:
        fit: "stretch" gives both sides the size, whatever their ratio; "pad" keeps the ratio and fills with black;
            "crop" keeps the ratio and cuts the longer side at both ends.
        enlarge: "cubic" or "linear", for images that grow. Those that shrink are averaged over areas, which never
            makes patterns that were not there.
    """

    name: ClassVar[str] = "resize"
    fit: str = "stretch"
    enlarge: str = "cubic"

    def __post_init__(self) -> None:
        check_one_of(self.fit, ("stretch", "pad", "crop"), argument="fit", function=self.name)
        check_one_of(self.enlarge, ("cubic", "linear"), argument="enlarge", function=self.name)

    def apply(self, image: Image, size: int) -> Image:
        """Return the image at its size."""
        height, width = image.shape[:2]
        if self.fit == "stretch":
            return self._scaled(image, size, size)
        if self.fit == "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            return self._scaled(image[top : top + side, left : left + side], size, size)
        longest = max(height, width)
        inner = self._scaled(image, max(1, round(size * height / longest)), max(1, round(size * width / longest)))
        whole = np.zeros((size, size, *image.shape[2:]), dtype=image.dtype)
        top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
        whole[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return whole

    def _scaled(self, image: Image, height: int, width: int) -> Image:
        cv2 = opencv()
        if image.shape[:2] == (height, width):
            return image
        grows = cv2.INTER_CUBIC if self.enlarge == "cubic" else cv2.INTER_LINEAR
        shrinks = image.shape[0] >= height and image.shape[1] >= width
        return cv2.resize(  # type: ignore[no-any-return]
            np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_AREA if shrinks else grows
        )

    def words(self, size: int) -> str:
        """Return the size and how the picture is made to fit."""
        how = {"stretch": "stretched", "pad": "ratio kept, padded with black", "crop": "ratio kept, longer side cut"}
        return f"resized to {size} x {size} ({how[self.fit]})"


KINDS: dict[str, type[Step]] = {kind.name: kind for kind in (CropBorders, To8Bits, Clahe, Resize)}
