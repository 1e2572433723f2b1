"""Pictures: PNG and its like, which are decoded whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError
from equipoise.data._opencv import opencv
from equipoise.data.volumes import Piece, Region, Volume

_TYPES = {"1": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "I": np.int32, "F": np.float32}
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
        image = self._by_opencv() if self._mode in ("L", "RGB") else self._by_pillow()
        if image is None or image.shape != self._shape:
            raise DataError(f"{self._path} is damaged: its pixels do not decode. Copy or export the file again.")
        return image[region]

    def _by_opencv(self) -> NDArray[Any] | None:
        cv2 = opencv()
        unturned = cv2.IMREAD_IGNORE_ORIENTATION
        kind = cv2.IMREAD_GRAYSCALE if self._mode == "L" else cv2.IMREAD_COLOR
        data = np.fromfile(self._path, np.uint8)
        image: NDArray[Any] | None = cv2.imdecode(data, kind | unturned)
        if image is not None and image.ndim == 3:
            cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        return image

    def _by_pillow(self) -> NDArray[Any]:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = None
        try:
            with Image.open(self._path) as image:
                return np.array(image).astype(self._dtype, copy=False)
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise DataError(f"{self._path} is damaged: {error}. Copy or export the file again.") from error


def open_picture(path: Path) -> Volume:
    """Open a PNG or another picture."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode, (width, height) = image.mode, image.size
            turned = image.getexif().get(0x0112, 1) not in (0, 1)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is no picture that can be read: {error}. Copy or export the file again.") from error
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
