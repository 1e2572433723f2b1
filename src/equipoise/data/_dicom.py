"""DICOM files, as a radiologist's screen would show them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError
from equipoise.data._image_header import AGAIN, Header, check_size, truncated

_LONGEST = 300  # characters of what pydicom says: it quotes bytes by the thousand
_DEFLATED = "1.2.840.10008.1.2.1.99"
# What pydicom raises for files that are not what they say; it has no error class of its own for most of it.
_FAULTS = (
    OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, RuntimeError, EOFError,
    OverflowError, AssertionError, struct.error,
)  # fmt: skip


def decode_dicom(data: bytes, path: Path, max_pixels: int) -> tuple[NDArray[Any], Header]:
    """Return the image of a DICOM file and its header.

    Grey values pass the modality transform (rescale slope and intercept, or its table) and the first VOI window or
    table; MONOCHROME1 is inverted, so that white is always the large value. The range that the file says its values
    can have (bits stored, through the transform) becomes the full range of the result: uint8 for up to 8 bits without
    a table, else uint16. Colour (RGB, YBR, palette) becomes RGB.

    Raises:
        DataError: there are no pixels or many frames, the size is above `max_pixels`, the transfer syntax needs a
            plugin, or the file is damaged.
    """
    try:
        import pydicom
        import pydicom.errors
    except ImportError as error:
        raise DataError(f"{path} is a DICOM file, which needs pydicom. Run: pip install pydicom") from error
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
        if str(meta.get("TransferSyntaxUID", "")) == _DEFLATED:  # unpacked whole at reading, to any size
            raise DataError(f"{path} is a deflated DICOM file, which is not read. Convert it with: dcmconv +te")
        dataset = pydicom.dcmread(io.BytesIO(data))
        _check(dataset, path, max_pixels)
        return _shown(dataset, path)
    except DataError:
        raise
    except (*_FAULTS, pydicom.errors.BytesLengthException) as error:
        raise _fault(error, path) from error


def _check(dataset: Any, path: Path, max_pixels: int) -> None:
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise DataError(f"{path} holds floating-point pixels. Scale them to 16 bits without sign and save again.")
    if "PixelData" not in dataset:
        what = str(dataset.get("Modality", "")) or "an object"
        raise DataError(f"{path} is a DICOM file without pixels ({what}). Leave it out, or name the image itself.")
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise DataError(f"{path} has {frames} frames, where one image is wanted. Save the frame that is meant.")
    check_size(path, int(dataset.Columns), int(dataset.Rows), max_pixels)


def _shown(dataset: Any, path: Path) -> tuple[NDArray[Any], Header]:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    stored = pixel_array(dataset)
    photometric = str(dataset.PhotometricInterpretation)
    bits = int(dataset.BitsStored)
    if photometric.startswith("MONOCHROME"):
        image = _grey(stored, dataset)
        if photometric == "MONOCHROME1":
            image = np.iinfo(image.dtype).max - image
    else:
        if photometric == "PALETTE COLOR":
            stored = apply_color_lut(stored, dataset)
            bits = 8 * stored.dtype.itemsize
        image = _stretched(stored, 0, 2**bits - 1, np.dtype(np.uint8 if bits <= 8 else np.uint16))
    height, width = image.shape[:2]
    mode = f"DICOM {photometric} {bits}-bit"
    return image, Header("DICOM", width, height, mode, grey=image.ndim == 2)


def _grey(stored: NDArray[Any], dataset: Any) -> NDArray[Any]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    values = apply_modality_lut(stored, dataset)
    table = bool(dataset.get("VOILUTSequence"))
    if table and not np.issubdtype(values.dtype, np.integer):
        values = np.rint(values).astype(np.int64)  # a table is looked up by whole numbers
    low, high = _value_range(dataset)
    windowed = apply_voi_lut(values, dataset)
    if table:
        low, high = 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    few = int(dataset.BitsStored) <= 8 and not table and not dataset.get("ModalityLUTSequence")
    return _stretched(windowed, low, high, np.dtype(np.uint8 if few else np.uint16))


def _value_range(dataset: Any) -> tuple[float, float]:
    """Return the least and greatest value that the modality transform can give (PS3.3 C.7.6.3, C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits = int(dataset.BitsStored)
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    ends = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is not None and intercept is not None:
        ends = (ends[0] * float(slope) + float(intercept), ends[1] * float(slope) + float(intercept))
    return min(ends), max(ends)


def _stretched(values: NDArray[Any], low: float, high: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    top = int(np.iinfo(dtype).max)
    if values.dtype == dtype and low == 0 and high == top:
        return values
    if not high > low:
        raise ValueError(f"its values can only range from {low} to {high}")
    scaled = np.clip((values.astype(np.float64) - low) * (top / (high - low)), 0, top)
    return np.rint(scaled).astype(dtype)


def _fault(error: Exception, path: Path) -> DataError:
    said = " ".join(str(error).split()).rstrip(".")[:_LONGEST] or type(error).__name__
    if isinstance(error, EOFError) or "less than expected" in said or "actual length" in said:
        return truncated(path, said)
    if any(words in said for words in ("missing required dependencies", "plugins are missing", "does not support")):
        return DataError(
            f"{path} is compressed in a way that needs another package. Run: pip install python-gdcm (or pylibjpeg "
            f"and its plugins), or convert it with: dcmdjpeg. pydicom says: {said}."
        )
    return DataError(f"{path} is a damaged or unusual DICOM file: {said}. {AGAIN}")
