"""Volumes of every format: the same pixels by blocks, by regions and whole; damage and colours are named."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.data import open_mask, open_volume, read_image_volume, read_mask, read_masks
from equipoise.data._volume_tiff import TiffSource
from equipoise.labels import MaskClasses

tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")

MASK = np.zeros((5, 90, 130), np.uint8)
MASK[1:4, 20:60, 30:77] = 255
MASK[2, 5:9, 100:130] = 128


def write(path: Path, pixels: np.ndarray) -> Path:
    how = path.name.split("-")[0]
    options = {
        "raw": {}, "big": {"bigtiff": True}, "deflate": {"compression": "deflate"},
        "strips": {"compression": "deflate", "rowsperstrip": 16, "predictor": True},
        "tiles": {"compression": "deflate", "tile": (32, 48)}, "solid": {"tile": (16, 32, 32), "compression": "zlib"},
        "swapped": {"byteorder": ">"}, "lzw": {"compression": "lzw"}, "zstd": {"compression": "zstd"},
        "swapped deflate": {"byteorder": ">", "compression": "deflate"},
        "ome": {"metadata": {"axes": "ZYX", "PhysicalSizeZ": 2.0, "PhysicalSizeX": 0.5}, "compression": "zlib"},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 3.0}, "resolution": (2, 2)},
    }  # fmt: skip
    if path.suffix == ".npy":
        np.save(path, np.asfortranarray(pixels) if how == "fortran" else pixels)
    elif ".nii" in path.name:
        nibabel = pytest.importorskip("nibabel")
        nibabel.save(nibabel.Nifti1Image(pixels, np.diag([2.0, 2.0, 3.0, 1.0])), path)
    elif path.suffix == ".zarr":
        zarr = pytest.importorskip("zarr")
        array = zarr.create_array(path, shape=pixels.shape, chunks=(2, 40, 64), dtype=pixels.dtype)
        array[:] = pixels
    elif how == "series":
        with tifffile.TiffWriter(path) as writer:
            for page in pixels:
                writer.write(page, compression="zlib", rowsperstrip=20)
    elif how == "pages":
        with tifffile.TiffWriter(path) as writer:
            for page in pixels:
                writer.write(page, metadata=None, compression="zlib", contiguous=False)
    else:
        tifffile.imwrite(path, pixels, **options[how])
    return path


FORMATS = (
    "raw-.tif", "big-.btf", "deflate-.tif", "strips-.tif", "tiles-.tiff", "solid-.tif", "swapped-.tif", "lzw-.tif",
    "zstd-.tif", "swapped deflate-.tif", "ome-.ome.tif", "imagej-.tif", "pages-.tif", "series-.tif", "plain-.npy",
    "fortran-.npy", "a-.nii", "a-.nii.gz", "a-.zarr",
)  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["u1", "f4"])
def test_blocks_tile_every_format_once_and_regions_agree(name: str, kind: str, tmp_path: Path) -> None:
    pixels = MASK.astype(kind) * (1 if kind == "u1" else 3)
    volume = open_mask(write(tmp_path / name, pixels))
    assert volume.shape == pixels.shape
    assert volume.dtype == pixels.dtype
    assert len(volume.axes) == 3
    np.testing.assert_array_equal(volume.read(), pixels)
    for size in (3_000, 20_000, 1 << 20):
        seen, got = np.zeros(pixels.shape, int), np.zeros_like(pixels)
        for region, block in volume.blocks(size):
            got[region] = block
            seen[region] += 1
        assert (seen == 1).all()
        np.testing.assert_array_equal(got, pixels)
    region = (slice(1, 4), slice(17, 71), slice(31, 130))
    np.testing.assert_array_equal(volume.read_region(region), pixels[region])
    np.testing.assert_array_equal(volume.read_region((2,)), pixels[2:3])
    with pytest.raises(ArgumentError, match="not inside"):
        volume.read_region((slice(0, 6),))


def test_a_codec_that_leaves_the_place_of_the_pixels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does the one that tifffile has where imagecodecs is missing: it returns bytes, whatever it is given."""

    def bytes_alone(data: bytes, out: object) -> bytes:
        return zlib.decompress(data)

    monkeypatch.setattr(TiffSource, "_direct", staticmethod(lambda keyframe: bytes_alone))
    volume = open_mask(write(tmp_path / "deflate-.tif", MASK))
    for piece in volume.pieces(5_000):
        assert np.array_equal(piece.read(), MASK[piece.region])


@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd"])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_tiles_that_reach_beyond_the_page(compression: str, kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(20):
        pixels = random.integers(0, 5, random.integers(17, 90, 2)).astype(kind)
        tifffile.imwrite(path := tmp_path / f"{number}.tif", pixels, compression=compression, tile=(16, 32))
        volume = open_mask(path)
        for size in (1, 3_000, 1 << 20):
            for piece in volume.pieces(size):
                assert np.array_equal(piece.read(), pixels[piece.region])


def test_pages_that_are_stored_each_in_its_way(tmp_path: Path) -> None:
    ways = (
        {"compression": "deflate"}, {"compression": "deflate", "predictor": True}, {"compression": "lzw"}, {},
        {"compression": "zstd", "predictor": True},
    )  # fmt: skip
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page, way in zip(MASK, ways, strict=True):
            writer.write(page, rowsperstrip=90, metadata=None, contiguous=False, **way)
    volume = open_mask(tmp_path / "a.tif")
    assert volume.shape == MASK.shape
    for piece in volume.pieces(20_000):
        assert np.array_equal(piece.read(), MASK[piece.region])


def test_a_width_of_tiles_that_is_two_numbers_is_named(tmp_path: Path) -> None:
    with tifffile.TiffWriter(path := tmp_path / "a.tif") as writer:
        for page in MASK:
            writer.write(page, metadata=None, contiguous=False, tile=(32, 32))
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags[322].offset
    damaged = bytearray(path.read_bytes())
    damaged[place + 4 : place + 8] = struct.pack("<I", 2)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.tif is (no TIFF that can be read|a damaged TIFF)"):
        open_mask(path)


def test_spacing_and_affine_are_kept(tmp_path: Path) -> None:
    assert open_volume(write(tmp_path / "ome-.ome.tif", MASK)).spacing == (2.0, 1.0, 0.5)
    assert open_volume(write(tmp_path / "imagej-.tif", MASK)).spacing == (3.0, 0.5, 0.5)
    volume = open_volume(write(tmp_path / "a-.nii.gz", MASK))
    assert volume.spacing == (2.0, 2.0, 3.0)
    np.testing.assert_array_equal(volume.affine, np.diag([2.0, 2.0, 3.0, 1.0]))
    geo = tmp_path / "geo.tif"
    tifffile.imwrite(geo, MASK[0], extratags=[(33550, "d", 3, (10.0, 10.0, 0.0), True)])
    assert open_volume(geo).georeference[33550] == (10.0, 10.0, 0.0)
    assert open_volume(geo).spacing == (10.0, 10.0)


@pytest.mark.parametrize("name", ["raw-.tif", "big-.tif", "deflate-.tif", "tiles-.tif", "ome-.ome.tif", "pages-.tif"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_tiff_is_named_and_never_read_short(name: str, kept: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write(tmp_path / name, rng.integers(0, 255, MASK.shape, np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=r"truncated|ends|damaged|no TIFF"):
        read_mask(path)


@pytest.mark.parametrize("name", ["plain-.npy", "a-.nii", "a-.nii.gz"])
def test_other_truncated_files_are_named(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, np.random.default_rng(0).integers(0, 255, MASK.shape, np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"ends early|no array|no NIfTI"):
        read_mask(path)


def test_pictures_keep_the_numbers_of_a_palette(tmp_path: Path) -> None:
    from PIL import Image

    labels = (MASK[2] // 100).astype(np.uint8)
    picture = Image.fromarray(labels, "P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "palette.png"), labels)
    cv2.imwrite(str(tmp_path / "grey.png"), labels)
    np.testing.assert_array_equal(read_mask(tmp_path / "grey.png"), labels)
    cv2.imwrite(str(tmp_path / "deep.png"), labels.astype(np.uint16) * 300)
    np.testing.assert_array_equal(read_mask(tmp_path / "deep.png"), labels.astype(np.uint16) * 300)


def test_colour_masks_are_one_repeated_channel_or_named_colours(tmp_path: Path) -> None:
    grey = np.repeat(MASK[2][..., None], 3, axis=-1)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    np.testing.assert_array_equal(read_mask(tmp_path / "grey.png"), MASK[2])
    red = np.zeros((*MASK.shape[1:], 3), np.uint8)
    red[..., 0] = MASK[2]
    tifffile.imwrite(tmp_path / "red.tif", red, photometric="rgb")
    with pytest.raises(DataError, match=r"mask of colours \(#000000, #800000, #ff0000\)"):
        read_mask(tmp_path / "red.tif")
    classes = MaskClasses.from_values({"rest": (0, 0x800000), "lesion": 0xFF0000})
    np.testing.assert_array_equal(read_mask(tmp_path / "red.tif", classes, colours=True), MASK[2] == 255)
    assert read_image_volume(tmp_path / "red.tif").shape == red.shape


def test_values_become_classes_and_others_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", MASK)
    found = read_mask(tmp_path / "mask.npy", MaskClasses.from_values({"rest": 0, "organ": 255}, ignore=128))
    assert np.bincount(found.ravel())[[0, 1, 255]].tolist() == [
        np.count_nonzero(value == MASK) for value in (0, 255, 128)
    ]
    with pytest.raises(DataError, match=r"mask.npy: 120 pixels of value 128, which is no class \(rest=0, organ=255\)"):
        read_mask(tmp_path / "mask.npy", MaskClasses.from_values({"rest": 0, "organ": 255}))
    floats = np.array([[0.0, 0.4, 0.6, np.nan]])
    assert MaskClasses.from_foreground("> 0.5").indices(floats).tolist() == [[0, 0, 1, 255]]
    for wrong in ("about half", "> ", "> nan"):
        with pytest.raises(ArgumentError, match="comparison with a number"):
            MaskClasses.from_foreground(wrong)
    with pytest.raises(ArgumentError, match="would mean two things"):
        MaskClasses.from_values({"a": 0, "b": [1, 0]})


@pytest.mark.parametrize(
    "classes",
    [
        MaskClasses.from_foreground(">= 0.3", ignore=9),
        MaskClasses.from_values({"a": 0, "b": (1, 2.5)}, ignore=[255]),
        MaskClasses.from_columns(["MA", "HE"]),
    ],
)
def test_classes_survive_json(classes: MaskClasses) -> None:
    assert MaskClasses.from_dict(classes.to_dict()) == classes
    with pytest.raises(DataError, match="no classes of masks"):
        MaskClasses.from_dict({**classes.to_dict(), "foreground": "maybe"})


def test_several_masks_of_an_image_have_one_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MASK[2])
    np.save(tmp_path / "b.npy", MASK[2][:50])
    classes = MaskClasses.from_columns(["MA", "SE"])
    found = read_masks({"MA": tmp_path / "a.npy", "SE": None}, classes)
    assert found.shape == (2, *MASK.shape[1:])
    assert found[1].sum() == 0
    with pytest.raises(DataError, match=r"b.npy has the shape \(50, 130\), but its image \(90, 130\)"):
        read_masks({"MA": tmp_path / "a.npy", "SE": tmp_path / "b.npy"}, classes)
    with pytest.raises(ArgumentError, match="without a single mask"):
        read_masks({}, classes)
