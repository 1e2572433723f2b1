"""What the first bytes of an image file say, before a pixel is decoded: kind, size, mode, and whether it is whole.

Only the headers that `read_image` knows are looked at, and the content decides, never the name: a PNG called ``x.jpg``
is a PNG. A header is a claim, so its size is checked against a limit before anything of that size is allocated.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise._checks import DataError

AGAIN = "Copy or download the file again, or remove its row."
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_MODES = {0: ("grey", 1), 2: ("RGB", 3), 3: ("palette", 1), 4: ("grey with alpha", 2), 6: ("RGBA", 4)}
_DEFLATE_RATIO = 1032  # deflate cannot expand by more (zlib.net, "Technical Details": 1032:1)
_SIZES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})  # SOFn of JPEG
_TIFF_GREY, _TIFF_RGB, _TIFF_CMYK = (0, 1), 2, 5  # PhotometricInterpretation


class TruncatedError(DataError):
    """An image file that stops before its end."""


@dataclass(frozen=True)
class Header:
    """What a file claims to be.

    Attributes:
        kind: ``"PNG"``, ``"JPEG"``, ``"TIFF"``, ``"BMP"``, ``"GIF"``, ``"WebP"`` or ``"DICOM"``.
        width: pixels.
        height: pixels.
        mode: how the file holds a pixel, such as ``"grey 8-bit"``, ``"palette 4-bit"``, ``"CMYK 8-bit"``.
        grey: whether the decoded image has one channel.
        plain: whether OpenCV reads this mode as the file means it.
    """

    kind: str
    width: int
    height: int
    mode: str
    grey: bool
    plain: bool = True


def read_header(data: bytes, path: Path, max_pixels: int) -> Header:
    """Return the header of an image file that looks whole.

    Raises:
        DataError: it is no image, of a kind that is not read, an animation, too large, or damaged.
        TruncatedError: it stops before its end.
    """
    if data[128:132] == b"DICM":  # first: what stands before it may be anything, a TIFF header too
        return Header("DICOM", 0, 0, "DICOM", grey=True)  # its size is checked where its tags are read
    if data.startswith(_PNG):
        return _png(data, path, max_pixels)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data, path, max_pixels)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _tiff(data, path, max_pixels)
    if data.startswith(b"BM"):
        return _bmp(data, path, max_pixels)
    if data[:6] in (b"GIF87a", b"GIF89a") or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return _by_pillow(data, path, max_pixels)
    if path.suffix.casefold() in (".dcm", ".dicom", ".ima"):
        raise DataError(f"{path} lacks the mark of a DICOM file (DICM at byte 128). Write it anew with: dcmconv.")
    raise DataError(
        f"{path} is not an image that can be read: it begins with {data[:8]!r}. "
        "Give a PNG, JPEG, TIFF, BMP, single-frame GIF or WebP, or a DICOM file."
    )


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Raise `DataError` when an image has no pixel, or more than `max_pixels`."""
    if width < 1 or height < 1:
        raise DataError(f"{path} is damaged: its header says {width} x {height} pixels. {AGAIN}")
    if width * height > max_pixels:
        raise DataError(
            f"{path} says it has {width:,} x {height:,} pixels, above the limit of {max_pixels:,}; it was not decoded. "
            "Reduce the image, or raise `max_pixels` if it is truly that large."
        )


def truncated(path: Path, why: str) -> TruncatedError:
    """Return the error for a file that stops before its end."""
    return TruncatedError(f"{path} is truncated: {why}. {AGAIN}")


def _png(data: bytes, path: Path, max_pixels: int) -> Header:
    if len(data) < 33:
        raise truncated(path, "not even its PNG header is whole")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    check_size(path, width, height, max_pixels)
    mode, channels = _PNG_MODES.get(colour, ("", 0))
    if not mode or depth not in (1, 2, 4, 8, 16):
        raise DataError(f"{path} is damaged: its PNG header has colour type {colour}, depth {depth}. {AGAIN}")
    held = _png_data(data, path)
    if held * _DEFLATE_RATIO + 1024 < height * (1 + (width * depth * channels + 7) // 8):
        raise truncated(path, f"{held:,} bytes of pixels cannot hold the {width:,} x {height:,} that its header says")
    return Header("PNG", width, height, f"{mode} {depth}-bit", grey=colour in (0, 4))


def _png_data(data: bytes, path: Path) -> int:
    """Return how many bytes of compressed pixels a PNG holds, every chunk of it whole and of the right checksum."""
    view, place, held = memoryview(data), len(_PNG), 0
    while place + 12 <= len(data):
        length = int.from_bytes(view[place : place + 4], "big")
        kind, end = data[place + 4 : place + 8], place + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise DataError(f"{path} is damaged: a PNG chunk has the wrong checksum. {AGAIN}")
        if kind == b"acTL":
            raise _animated(path, int.from_bytes(view[place + 8 : place + 12], "big"))
        if kind == b"IEND":
            return held
        held += length if kind == b"IDAT" else 0
        place = end
    raise truncated(path, "the end mark of a PNG is missing")


def _jpeg(data: bytes, path: Path, max_pixels: int) -> Header:
    place, header = 2, None
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker in _SIZES and place + 10 <= len(data):
            precision, height, width, parts = struct.unpack(">BHHB", data[place + 4 : place + 10])
            check_size(path, width, height, max_pixels)
            header = _jpeg_mode(path, precision, width, height, parts)
        if marker == 0xDA and header is not None:
            if data.rfind(b"\xff\xd9", place) < 0:  # looked for after the first scan: thumbnails have an end mark too
                raise truncated(path, "the end mark of a JPEG is missing")
            return header
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    if place + 4 > len(data):
        raise truncated(path, "it stops inside its JPEG header")
    raise DataError(f"{path} is damaged: its JPEG header makes no sense. {AGAIN}")


def _jpeg_mode(path: Path, precision: int, width: int, height: int, parts: int) -> Header:
    if precision != 8 or parts not in (1, 3, 4):
        raise DataError(
            f"{path} is a JPEG of {parts} channels with {precision} bits, which is not read. "
            "Save it as PNG or TIFF with 8 or 16 bits."
        )
    mode = {1: "grey", 3: "RGB", 4: "CMYK"}[parts]
    return Header("JPEG", width, height, f"{mode} 8-bit", grey=parts == 1)


def _bmp(data: bytes, path: Path, max_pixels: int) -> Header:
    if len(data) < 54:
        raise truncated(path, "not even its BMP header is whole")
    offset, _, width, height, _, bits, packing = struct.unpack("<IIiiHHI", data[10:34])
    height = abs(height)  # negative: rows run from the top
    check_size(path, width, height, max_pixels)
    needed = offset + (width * bits + 31) // 32 * 4 * height
    if packing in (0, 3) and needed > len(data):
        raise truncated(path, f"{needed:,} bytes are needed, {len(data):,} are there")
    mode = {1: "palette", 4: "palette", 8: "palette", 32: "RGBA"}.get(bits, "RGB")
    grey = bits <= 8 and _grey_palette(data[14 + int.from_bytes(data[14:18], "little") : offset])
    return Header("BMP", width, height, f"grey {bits}-bit" if grey else f"{mode} 8-bit", grey=grey)


def _grey_palette(colours: bytes) -> bool:
    """Return whether the blue, green and red of each colour are the same: how BMP holds grey."""
    return bool(colours) and colours[0::4] == colours[1::4] == colours[2::4]


def _tiff(data: bytes, path: Path, max_pixels: int) -> Header:
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            every: list[Any] = list(file.pages)
            pages = [page for page in every if not page.is_reduced]  # reduced: thumbnails of the same picture
            if not pages:
                raise truncated(path, "the list of its pages is missing")
            if len(pages) != 1:
                raise DataError(
                    f"{path} has {len(pages)} pages, where one image is wanted. Save the page that is meant as a file."
                )
            return _tiff_page(pages[0], path, max_pixels, len(data))
    except DataError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, struct.error, OSError, RuntimeError, AttributeError) as error:
        raise DataError(f"{path} is a damaged TIFF: {str(error) or type(error).__name__}. {AGAIN}") from error


def _tiff_page(page: Any, path: Path, max_pixels: int, size: int) -> Header:
    width, height = int(page.imagewidth), int(page.imagelength)
    check_size(path, width, height, max_pixels)
    if int(page.imagedepth) != 1:
        raise DataError(f"{path} is a volume of {page.imagedepth} slices. Save the slice that is meant as a file.")
    ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > size:
        raise truncated(path, f"{max(ends, default=0):,} bytes are needed, {size:,} are there")
    bits, samples, form, photometric = (
        int(page.bitspersample), int(page.samplesperpixel), int(page.sampleformat), int(page.photometric),
    )  # fmt: skip
    if form != 1 or bits not in (1, 2, 4, 8, 16):
        held = {2: "signed integers", 3: "floating-point numbers"}.get(form, "values")
        raise DataError(
            f"{path} holds {held} of {bits} bits, whose black and white nobody says. "
            "Scale them to 8 or 16 bits without sign and save again."
        )
    names = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
    mode = names.get(photometric, f"photometric {photometric}") + (" with alpha" if len(page.extrasamples) else "")
    usual = (photometric in _TIFF_GREY and samples == 1) or (photometric == _TIFF_RGB and samples == 3)
    return Header(
        "TIFF", width, height, f"{mode} {bits}-bit", grey=photometric in _TIFF_GREY, plain=usual and bits in (8, 16)
    )


def _by_pillow(data: bytes, path: Path, max_pixels: int) -> Header:
    image = open_pillow(data, path)
    check_size(path, image.width, image.height, max_pixels)
    if getattr(image, "n_frames", 1) > 1:
        raise _animated(path, image.n_frames)
    kind = {"WEBP": "WebP"}.get(str(image.format), str(image.format))
    mode = {"L": "grey", "P": "palette"}.get(image.mode, image.mode)
    return Header(kind, image.width, image.height, f"{mode} 8-bit", grey=image.mode in ("L", "1", "LA"), plain=False)


def open_pillow(data: bytes, path: Path) -> Any:
    """Return a file opened, not decoded, by Pillow. It is offered no other kinds: some of those run programs."""
    from PIL import Image

    try:
        return Image.open(io.BytesIO(data), formats=["GIF", "WEBP", "TIFF"])
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}. {AGAIN}") from error


def _animated(path: Path, frames: int) -> DataError:
    return DataError(f"{path} is an animation of {frames} frames. Save the frame that is meant as a file of its own.")
