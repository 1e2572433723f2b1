"""DICOM files as a screen would show them, against the arithmetic of the standard."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from equipoise._checks import DataError
from equipoise.data import read_image

STORED = np.random.default_rng(5).integers(0, 4096, (10, 12), dtype=np.uint16)


def written(
    path: Path, stored: np.ndarray | None = STORED, *, syntax: Any = ExplicitVRLittleEndian, **tags: Any
) -> Path:
    """A small file of one 12-bit grey image, with other tags on request; None leaves a tag out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality = "DX"
    if stored is not None:
        dataset.Rows, dataset.Columns = stored.shape[:2]
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated = 8 * stored.dtype.itemsize
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        dataset.PixelData = stored.tobytes()
        if stored.dtype == np.uint8:
            dataset["PixelData"].VR = "OB"
            dataset.BitsStored, dataset.HighBit = 8, 7
    for name, value in tags.items():
        setattr(dataset, name, value)
    if syntax == RLELossless:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless)
    elif syntax == JPEGLSLossless:
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + bytes(20)])
        dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
    return path


def stretched(values: np.ndarray, low: float, high: float, top: int = 65535) -> np.ndarray:
    return np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * top)


def window(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, onto 0 to 1, value by value."""
    out = np.empty(values.shape)
    for place, x in np.ndenumerate(values.astype(float)):
        if x <= center - 0.5 - (width - 1) / 2:
            out[place] = 0
        elif x > center - 0.5 + (width - 1) / 2:
            out[place] = 1
        else:
            out[place] = (x - (center - 0.5)) / (width - 1) + 0.5
    return out


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_the_range_that_bits_stored_says_becomes_the_full_range(syntax: Any, tmp_path: Path) -> None:
    image = read_image(written(tmp_path / "x.dcm", syntax=syntax))
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, stretched(STORED, 0, 4095))


def test_the_window_and_the_rescale_are_those_of_the_standard(tmp_path: Path) -> None:
    tags = {"WindowCenter": 1000, "WindowWidth": 1500}
    np.testing.assert_allclose(
        read_image(written(tmp_path / "w.dcm", **tags)), window(STORED, 1000, 1500) * 65535, atol=1
    )
    tags |= {"RescaleSlope": "2", "RescaleIntercept": "-1024"}
    np.testing.assert_allclose(
        read_image(written(tmp_path / "r.dcm", **tags)), window(STORED * 2.0 - 1024, 1000, 1500) * 65535, atol=1
    )
    several = {"WindowCenter": [1000, 5], "WindowWidth": [1500, 6]}
    np.testing.assert_array_equal(read_image(written(tmp_path / "s.dcm", **several)), read_image(tmp_path / "w.dcm"))


def test_signed_values_pass_from_the_least_to_the_greatest(tmp_path: Path) -> None:
    signed = STORED.astype(np.int16) - 2048
    np.testing.assert_array_equal(read_image(written(tmp_path / "x.dcm", signed)), stretched(signed, -2048, 2047))


def test_monochrome1_is_inverted_after_its_window(tmp_path: Path) -> None:
    tags = {"WindowCenter": 1000, "WindowWidth": 1500}
    plain = read_image(written(tmp_path / "a.dcm", **tags))
    inverted = read_image(written(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", **tags))
    np.testing.assert_array_equal(inverted, 65535 - plain)


def test_a_table_of_grey_values_is_looked_up(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = np.arange(65535, 65535 - 4096, -1).astype("<u2").tobytes()
    image = read_image(written(tmp_path / "x.dcm", VOILUTSequence=[table]))
    np.testing.assert_array_equal(image, 65535 - STORED)


def test_eight_bits_and_colour_stay_eight_bits(tmp_path: Path) -> None:
    grey = (STORED >> 4).astype(np.uint8)
    image = read_image(written(tmp_path / "g.dcm", grey))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, grey)
    colour = np.random.default_rng(6).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    np.testing.assert_array_equal(read_image(written(tmp_path / "c.dcm", colour, **tags)), colour)


@pytest.mark.parametrize(
    ("stored", "tags", "words"),
    [
        (None, {}, r"without pixels \(DX\)"),
        (STORED, {"NumberOfFrames": 7}, "has 7 frames, where one image is wanted"),
        (STORED, {"Rows": 30_000, "Columns": 30_000}, "30,000 x 30,000 pixels, above the limit"),
        (STORED, {"Rows": 500}, "is truncated"),
        (STORED, {"Rows": 0}, "damaged"),
        (STORED, {"syntax": DeflatedExplicitVRLittleEndian}, "deflated"),
        (STORED, {"syntax": JPEGLSLossless}, "pip install python-gdcm"),
        (STORED, {"BitsStored": 40}, "damaged or unusual"),
        (STORED, {"WindowCenter": 1, "WindowWidth": 0}, "damaged or unusual.*Window Width"),
        (None, {"FloatPixelData": np.zeros(120, np.float32).tobytes()}, "floating-point"),
    ],
)
def test_what_cannot_be_shown_is_named(stored: Any, tags: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = written(tmp_path / "x.dcm", stored, **tags)
    with pytest.raises(DataError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_a_file_damaged_anywhere_is_an_error_of_the_data(tmp_path: Path) -> None:
    path = written(tmp_path / "x.dcm", WindowCenter=2000, WindowWidth=1000)
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    for place in range(128, len(whole) - STORED.nbytes):  # every byte of its tags
        damaged = bytearray(whole)
        damaged[place] = int(rng.choice([0, 255, damaged[place] ^ 1, damaged[place] ^ 2]))
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            read_image(path)


@pytest.mark.filterwarnings("ignore")
def test_a_cut_file_and_one_without_its_mark_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.dcm")
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.raises(DataError, match="is (truncated|a damaged)"):
        read_image(path)
    path.write_bytes(whole[132:])
    with pytest.raises(DataError, match="lacks the mark of a DICOM file"):
        read_image(path)
    for place in range(140, len(whole) - 260, 7):  # any byte may be wrong: an error or an image, never anything else
        path.write_bytes(whole[:place] + b"\xee" + whole[place + 1 :])
        with contextlib.suppress(DataError):
            read_image(path, max_pixels=10_000)
