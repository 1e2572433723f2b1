"""From the bytes of an image file to an array. OpenCV decodes (it lets other threads run), Pillow what it cannot."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError
from equipoise.data._image_header import AGAIN, Header, check_size, open_pillow, read_header, truncated
from equipoise.data._opencv import opencv

MAX_PIXELS = 178_956_970  # what Pillow refuses to go beyond: 512 MiB of RGB
_SPARE = 64 << 20  # bytes a file may have beyond its pixels


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image and what its file said. The header's size is that of the image: EXIF orientation is done."""

    image: NDArray[Any]
    header: Header


def decode_file(path: str | Path, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Return the image of a file and its header; see `equipoise.data.images.read_image`."""
    path = path if isinstance(path, Path) else Path(path)
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise ArgumentError(f"`max_pixels` of read_image must be a whole number from 1; got {max_pixels!r}.")
    data = _read_bytes(path, max_pixels)
    header = read_header(data, path, max_pixels)
    if header.kind == "DICOM":
        from equipoise.data._dicom import decode_dicom

        image, header = decode_dicom(data, path, max_pixels)
    elif header.plain:
        image = _by_opencv(data, path, header)
    else:
        image = _by_pillow(data, path)
    if image.dtype not in (np.uint8, np.uint16) or image.shape[2:] not in ((), (3,)):
        raise DataError(
            f"{path} decodes to {image.dtype} of shape {image.shape}. Save it as grey or RGB with 8 or 16 bits."
        )
    height, width = image.shape[:2]
    check_size(path, width, height, max_pixels)
    if (height, width) != (header.height, header.width):  # turned by its orientation
        header = replace(header, width=width, height=height)
    return Decoded(image, header)


def _read_bytes(path: Path, max_pixels: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would else wait for ever
        try:
            return _all_bytes(descriptor, path, max_pixels)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} could not be read: {getattr(error, 'strerror', None) or error}. Check it.") from error


def _all_bytes(descriptor: int, path: Path, max_pixels: int) -> bytes:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no file: a pipe or a device"
        raise DataError(f"{path} is {what}. Give the image itself.")
    if found.st_size == 0:
        raise DataError(f"{path} is empty: it has no bytes. {AGAIN}")
    if found.st_size > 8 * max_pixels + _SPARE:
        raise DataError(
            f"{path} has {found.st_size:,} bytes, more than {max_pixels:,} pixels need. "
            "Reduce the image, or raise `max_pixels` if it is truly that large."
        )
    data = os.read(descriptor, found.st_size)
    while len(data) < found.st_size and (more := os.read(descriptor, found.st_size - len(data))):
        data += more  # one read gives at most 2 GiB
    return data


def _by_opencv(data: bytes, path: Path, header: Header) -> NDArray[Any]:
    cv2 = opencv()
    # OpenCV 5.0 gives blue first for a TIFF of 16 bits that is asked for as RGB; older ones cannot be asked.
    rgb = None if header.kind == "TIFF" else getattr(cv2, "IMREAD_COLOR_RGB", None)
    blue_first = rgb is None
    wanted = cv2.IMREAD_GRAYSCALE if header.grey else cv2.IMREAD_COLOR if blue_first else rgb
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | wanted)
    except cv2.error as error:
        raise DataError(f"{path} is a damaged {header.kind}: {_short(error)}. {AGAIN}") from error
    if image is None:
        raise DataError(f"{path} is a damaged {header.kind}: its pixels do not decode. {AGAIN}")
    if blue_first and image.ndim == 3:
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    found: NDArray[Any] = image
    return found


def _short(error: Any) -> str:
    return str(getattr(error, "err", None) or error).strip().splitlines()[0].rstrip(".")


def _by_pillow(data: bytes, path: Path) -> NDArray[Any]:
    from PIL import Image, ImageOps

    opened = open_pillow(data, path)
    try:
        image = ImageOps.exif_transpose(opened)
        if image.mode in ("I;16", "I;16B", "I;16L"):
            return np.asarray(image).astype(np.uint16)
        wanted = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
        return np.array(image if image.mode == wanted else image.convert(wanted))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        if "truncated" in str(error):
            raise truncated(path, str(error)) from error
        raise DataError(f"{path} is damaged: {error}. {AGAIN}") from error


def file_stamp(path: str | os.PathLike[str], digest: str = "") -> str:
    """Return what changes when a file is replaced: size and time of last change, and the digest if one is given."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a stat a row: no object for it)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} could not be read: {getattr(error, 'strerror', None) or error}. Check it.") from error
    return f"{found.st_size}-{found.st_mtime_ns}" + (f"-{digest}" if digest else "")
