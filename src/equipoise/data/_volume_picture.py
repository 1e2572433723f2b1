"""Pictures: PNG and its like, which are decoded whole."""

from __future__ import annotations

import contextlib
import math
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError
from equipoise.data._opencv import opencv
from equipoise.data.volumes import Piece, Region, Volume, short_of

_TYPES = {"1": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "I": np.int32, "F": np.float32}
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
_MOST = 1 << 30  # pixels; OpenCV decodes no more
_AGAIN = "Copy or export the file again."
_alone = threading.Lock()  # Pillow's limit is one for all threads
_SAMPLES = {"RGB": 3, "RGBA": 4, "LA": 2, "CMYK": 4, "YCbCr": 3}


class PictureSource:
    """One picture. The values of a palette are its numbers, not its colours."""

    def __init__(self, path: Path, mode: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path, self._mode, self._shape, self._dtype = path, mode, shape, dtype

    def pieces(self, size: int) -> Iterator[Piece]:
        """See `Source`: the whole is the only part."""
        whole = tuple(slice(0, length) for length in self._shape)
        yield Piece(whole, lambda: self.read_region(whole))

    def read_region(self, region: Region) -> NDArray[Any]:
        """See `Source`."""
        try:
            image = self._by_opencv() if self._mode in ("L", "RGB") else self._by_pillow()
        except MemoryError as error:
            raise DataError(
                f"{self._path} has {math.prod(self._shape):,} values, which are decoded at once and do not fit into "
                "memory. Save it as a TIFF in tiles."
            ) from error
        if image is None or image.shape != self._shape:
            raise DataError(f"{self._path} is damaged: its pixels do not decode. {_AGAIN}")
        return image[region]

    def _by_opencv(self) -> NDArray[Any] | None:
        cv2 = opencv()
        unturned = cv2.IMREAD_IGNORE_ORIENTATION
        kind = cv2.IMREAD_GRAYSCALE if self._mode == "L" else cv2.IMREAD_COLOR
        data = np.fromfile(self._path, np.uint8)
        try:
            image: NDArray[Any] | None = cv2.imdecode(data, kind | unturned)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError from error
            return None
        if image is not None and image.ndim == 3:
            cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        return image

    def _by_pillow(self) -> NDArray[Any]:
        with _opened(self._path) as image:
            return np.array(image).astype(self._dtype, copy=False)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a picture with Pillow, of any size; kinds that Pillow would start other programs for are not among them."""
    from PIL import Image

    try:
        with _alone:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # larger ones are refused below
            try:
                image = Image.open(path, formats=_FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        with image:
            yield image
    except DataError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError) as error:
        said = short_of(error).removesuffix(f" {str(path)!r}")
        raise DataError(f"{path} is no picture that can be read: {said}. {_AGAIN}") from error


def open_picture(path: Path) -> Volume:
    """Open a PNG or another picture."""
    with _opened(path) as image:
        mode, (width, height) = image.mode, image.size
        if image.format in ("PNG", "GIF", "WEBP") and getattr(image, "is_animated", False):
            raise DataError(
                f"{path} is an animation of {image.n_frames} frames. Save the one that is meant, or a TIFF."
            )
        if width * height > _MOST:
            raise DataError(
                f"{path} says that it has {width:,} x {height:,} pixels, and a picture, which is decoded at once, can "
                f"have {_MOST:,}. Save it as a TIFF in tiles."
            )
        # Of a PNG without EXIF before its pixels Pillow would decode the pixels to look behind them.
        unturned = image.format == "PNG" and "exif" not in image.info
        turned = not unturned and image.getexif().get(0x0112, 1) not in (0, 1)
    dtype = np.dtype(_TYPES.get(mode, np.uint8))
    samples = _SAMPLES.get(mode)
    shape = (height, width) if samples is None else (height, width, samples)
    notes: tuple[str, ...] = (
        (f"{path.name} says that it is to be turned (EXIF), which is left aside.",) if turned else ()
    )
    if path.suffix.casefold() in (".jpg", ".jpeg"):
        notes += (f"{path.name} is a JPEG, which smears the values of a mask at its edges.",)
    axes = "YX" if samples is None else "YXS"
    return Volume(path, shape, dtype, axes, PictureSource(path, mode, shape, dtype), "picture", notes=notes)
