"""Files of pixels that are damaged, lie about themselves or are not what they are called: one error each, or right."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError, EquipoiseError
from equipoise.data import count_masks_of, find_mask_columns, open_mask, open_volume
from equipoise.labels import MaskCensus, MaskClasses

tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
zarr = pytest.importorskip("zarr", reason="zarr is not installed")
pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
pytest.importorskip("cv2", reason="OpenCV is not installed")

NOISE = (np.random.default_rng(0).random((4, 40, 50)) > 0.5).astype(np.uint8) * 255
PLANE = NOISE[0]


def read_all(path: Path) -> np.ndarray:
    volume = open_mask(path)
    found = np.empty(volume.shape, volume.dtype)
    for region, block in volume.blocks():
        found[region] = block
    return found


def entry(content: bytes, tag: int) -> int:
    """Return where the entry of a tag lies in the first directory of a TIFF."""
    start = struct.unpack_from("<I", content, 4)[0]
    for number in range(struct.unpack_from("<H", content, start)[0]):
        place = start + 2 + 12 * number
        if struct.unpack_from("<H", content, place)[0] == tag:
            return place
    raise AssertionError(tag)


def tiff(*changes: tuple[int, int], **how: Any) -> Callable[[Path], Path]:
    """A TIFF of one page with other numbers in some of its tags."""

    def write(folder: Path) -> Path:
        tifffile.imwrite(folder / "a.tif", PLANE, **{"compression": "zlib", **how})
        content = bytearray((folder / "a.tif").read_bytes())
        for tag, value in changes:
            place = entry(content, tag)
            struct.pack_into("<H", content, place + 2, 4)
            struct.pack_into("<I", content, place + 8, value)
        (folder / "a.tif").write_bytes(content)
        return folder / "a.tif"

    return write


def png(width: int, height: int, *more: bytes) -> Callable[[Path], Path]:
    """A PNG that says how large it is, with a thousand zeros in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def write(folder: Path) -> Path:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
        (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b""))
        return folder / "a.png"

    return write


def npy(header: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        text = header.encode().ljust(117) + b"\n"
        (folder / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(100))
        return folder / "a.npy"

    return write


def nifti(change: Callable[[bytes], bytes], name: str = "a.nii.gz") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        nibabel.save(nibabel.Nifti1Image(NOISE, np.eye(4)), folder / name)
        (folder / name).write_bytes(change((folder / name).read_bytes()))
        return folder / name

    return write


def zarray(change: Callable[[Path], object], **how: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "a.zarr"
        zarr.create_array(path, shape=NOISE.shape, chunks=(2, 20, 20), dtype="u1", **how)[:] = NOISE
        change(path)
        return path

    return write


def metadata(**changes: Any) -> Callable[[Path], object]:
    return lambda path: (path / "zarr.json").write_text(
        json.dumps(json.loads((path / "zarr.json").read_text()) | changes)
    )


def saved(array: Any, **how: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(folder / "a.npy", array, **how)
        return folder / "a.npy"

    return write


def bytes_of(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def zipped(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda content: gzip.compress(change(gzip.decompress(content)))


_WIDTH, _LENGTH, _STRIP, _OFFSETS, _COUNTS = 256, 257, 278, 273, 279
HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tiff 0 pixels wide": (tiff((_WIDTH, 0)), "no TIFF"),
    "tiff 2^31 wide and high": (tiff((_WIDTH, 2**31 - 1), (_LENGTH, 2**31 - 1)), "of .* strips"),
    "tiff 2^31 wide and high, not compressed": (
        tiff((_WIDTH, 2**31 - 1), (_LENGTH, 2**31 - 1), compression=None), "ends early"),
    "tiff with more rows than strips": (tiff((_LENGTH, 50)), "1 of 2 strips"),
    "tiff whose strips have no rows": (tiff((_STRIP, 0)), "no rows"),
    "tiff whose strip is at another place": (tiff((_OFFSETS, 5)), "does not decode"),
    "tiff whose strip is beyond its end": (tiff((_OFFSETS, 10**9)), "ends inside page 1"),
    "tiff whose strip has 2 GiB": (tiff((_COUNTS, 2**31)), "ends inside page 1"),
    "tiff whose strip has no bytes": (tiff((_COUNTS, 0)), "has no bytes"),
    "tiff of an unknown compression": (tiff((259, 9999)), "does not decode"),
    "png of 2^31 pixels a side": (png(2**31 - 1, 2**31 - 1), "can have"),
    "png of 60,000 pixels a side": (png(60_000, 60_000), "can have"),
    "png of no pixel": (png(0, 0), "no picture"),
    "png that is text": (bytes_of("a.png", b"hello"), "no picture"),
    "png that is a program for a printer": (bytes_of("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n"), "no picture"),
    "npy of a negative side": (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-3, 4), }"), "no pixel"),
    "npy of 2^64 pixels": (
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"), "ends early"),
    "npy with half a header": (npy("{'descr': '|u1', 'shape': (3,"), "no array"),
    "npy with a call in its header": (npy("{'descr': __import__('os').system('false')}"), "no array"),
    "npy of objects": (saved(np.array([{}], object), allow_pickle=True), "holds object"),
    "npy of records": (saved(np.zeros(4, [("a", "u1")])), "Save an array of numbers"),
    "npy of one number": (saved(np.uint8(4)), "Save an array of numbers"),
    "npy of no pixel": (saved(np.zeros((0, 5), np.uint8)), "no pixel"),
    "nifti cut": (nifti(lambda content: content[: len(content) * 9 // 10]), "ends early"),
    "nifti that is not zipped": (nifti(lambda content: b"hello" * 99), "no NIfTI"),
    "nifti whose zip is damaged": (nifti(lambda content: content[:20] + b"\xff" * 40 + content[60:]), "NIfTI|damaged"),
    "nifti of 32,767 voxels a side": (
        nifti(zipped(lambda head: head[:42] + struct.pack("<3h", *[32767] * 3) + head[48:])), "ends early"),
    "nifti of an unknown type": (nifti(zipped(lambda head: head[:70] + b"\x02\x7f" + head[72:])), "no NIfTI"),
    "zarr with a cut chunk": (zarray(lambda path: (path / "c/1/0/0").write_bytes(b"abc")), "does not decode"),
    "zarr of 2^120 pixels": (zarray(metadata(shape=[2**40] * 3)), "says that its shape"),
    "zarr of a negative side": (zarray(metadata(shape=[-1, 40, 50])), "no Zarr"),
    "zarr whose chunks have other axes": (zarray(metadata(shape=[40, 50])), "no Zarr"),
    "zarr of another type": (zarray(metadata(data_type="float64")), "does not decode"),
    "zarr of an unknown codec": (zarray(metadata(codecs=[{"name": "evil", "configuration": {}}])), "no Zarr"),
    "zarr with broken metadata": (zarray(lambda path: (path / "zarr.json").write_text("{")), "no Zarr"),
    "zarr without metadata": (zarray(lambda path: (path / "zarr.json").unlink()), "no Zarr"),
    "a folder called x.png": (lambda folder: (folder / "x.png").mkdir() or folder / "x.png", "is a folder"),
    "a link to nothing": (
        lambda folder: (folder / "a.png").symlink_to(folder / "b.png") or folder / "a.png", "does not exist|could not"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_lies_about_itself_is_one_error_that_names_the_file(name: str, tmp_path: Path) -> None:
    write, said = HOSTILE[name]
    path = write(tmp_path)
    with pytest.raises(DataError, match=said) as found:
        for _ in open_mask(path).blocks():
            pass
    message = str(found.value)
    assert path.name in message
    assert "\n" not in message
    assert len(message) < 400 + len(str(path))
    with pytest.raises(DataError):
        count_masks_of(path, MaskClasses.from_foreground())


def kinds_of_files(folder: Path) -> dict[str, bytes]:
    from PIL import Image

    stacks: dict[str, dict[str, Any]] = {
        "raw.tif": {"photometric": "minisblack"}, "strips.tif": {"compression": "zlib", "rowsperstrip": 16},
        "tiles.tif": {"compression": "lzw", "tile": (16, 16), "photometric": "minisblack"},
        "ome.ome.tif": {"metadata": {"axes": "ZYX"}, "compression": "zlib"}, "imagej.tif": {"imagej": True},
        "big.tif": {"bigtiff": True, "compression": "zlib"},
    }  # fmt: skip
    for name, how in stacks.items():
        tifffile.imwrite(folder / name, NOISE, **{"photometric": "minisblack", **how})
    tifffile.imwrite(folder / "rgb.tif", np.repeat(NOISE[..., None], 3, -1), photometric="rgb", compression="zlib")
    tifffile.imwrite(folder / "planes.tif", np.stack([PLANE] * 3), photometric="rgb", planarconfig="separate")
    np.save(folder / "a.npy", NOISE)
    np.save(folder / "f.npy", np.asfortranarray(NOISE.astype(">f4")))
    for name in ("n.nii", "n.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(NOISE, np.eye(4)), folder / name)
    for ending in ("png", "bmp", "gif", "jpg"):
        Image.fromarray(PLANE).save(folder / f"p.{ending}")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def spoil(content: bytes, draw: random.Random) -> bytes:
    """Change, insert or cut a few bytes, mostly in the first four hundred."""
    spoilt = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(min(len(spoilt), 400) if draw.random() < 0.7 else len(spoilt))
        kind = draw.random()
        if kind < 0.5:
            spoilt[place] = draw.choice((0, 1, 255, 127, 128, draw.randrange(256)))
        elif kind < 0.7:
            spoilt[place : place + 4] = draw.choice((bytes(4), b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0\0\1\0"))
        elif kind < 0.85:
            del spoilt[place : place + draw.choice((1, 4, 100))]
        else:
            spoilt[place:place] = draw.randbytes(draw.choice((1, 2, 8)))
        if not spoilt:
            break
    return bytes(spoilt)


@pytest.mark.filterwarnings("ignore")
def test_files_with_any_bytes_changed_are_read_whole_or_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(100)
    draw, said = random.Random(os.environ.get("EQUIPOISE_SPOIL_SEED", "0")), []
    for name, content in kinds_of_files(tmp_path).items():
        path = tmp_path / name
        for _ in range(25):
            unpacked = name.endswith(".gz") and draw.random() < 0.7
            spoilt = spoil(gzip.decompress(content) if unpacked else content, draw)
            path.write_bytes(gzip.compress(spoilt, 1) if unpacked else spoilt)
            try:
                volume = open_volume(path)
                if volume.size > 1 << 24:
                    continue  # a header may claim what the file truly holds, packed
                sizes = [block.size for _, block in volume.blocks()]
                assert sum(sizes) == volume.size
                half = tuple(slice(0, max(1, side // 2)) for side in volume.shape)
                assert volume.read_region(half).size == math.prod(part.stop for part in half)
            except EquipoiseError as error:
                said.append((path.name, str(error)))
    assert len(said) > 50
    assert [message for name, message in said if name not in message or "\n" in message] == []


def test_a_census_that_somebody_changed_is_damaged_or_means_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PLANE)
    census = count_masks_of(tmp_path / "a.npy", MaskClasses.from_foreground(), components=True)
    stored = json.loads(json.dumps(census.to_dict()))
    places = [stored, stored["images"][0], stored["meaning"], stored["components"]]
    told = {"classes", "present", "fingerprint", "source", "notes", "name", "stamp", "values", "odd_values", "ignore"}
    refused = []
    for place in places:
        for key, before in list(place.items()):
            for other in (None, -1, "x", [], {}, [[1]], [2**70, 1], ["a", None], 1e308):
                place[key] = other
                try:
                    again = MaskCensus.from_dict(json.loads(json.dumps(stored)))
                except DataError as error:
                    refused.append(str(error))
                else:
                    assert again.positives.tolist() == census.positives.tolist()
                    assert key in told or other in (None, {}), (key, other)
            place[key] = before
    assert len(refused) > 100
    assert not [message for message in refused if "\n" in message and "Type-check" not in message]


def test_stacks_in_colours_are_read_by_region(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 20, 30, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression="zlib")
    volume = open_volume(tmp_path / "a.tif")
    for region in ((slice(0, 3),), (slice(1, 2), slice(5, 10), slice(2, 9)), (slice(1, 3), slice(0, 20), slice(4, 5))):
        np.testing.assert_array_equal(volume.read_region(region), pixels[region])


def test_booleans_that_tifffile_wrote_are_not_turned_round(tmp_path: Path) -> None:
    from PIL import Image

    tifffile.imwrite(tmp_path / "a.tif", PLANE > 0)
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), PLANE > 0)
    Image.fromarray(PLANE).convert("1").save(tmp_path / "b.tif", compression="group4")
    np.testing.assert_array_equal(read_all(tmp_path / "b.tif") > 0, PLANE > 0)


def test_a_thumbnail_before_the_image_is_passed_over(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANE[::4, ::4], subfiletype=1)
        writer.write(PLANE)
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), PLANE)


def test_strips_that_gdal_leaves_out_are_empty(tmp_path: Path) -> None:
    path = tiff((_COUNTS, 0), (_OFFSETS, 0))(tmp_path)
    assert not read_all(path).any()


def test_animations_are_refused_and_pillows_limit_is_left_alone(tmp_path: Path) -> None:
    from PIL import Image

    frames = [Image.fromarray(plane) for plane in NOISE]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(DataError, match="animation of 4 frames"):
        open_mask(tmp_path / "a.gif")
    frames[0].convert("1").save(tmp_path / "b.png")
    read_all(tmp_path / "b.png")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_one_class_alone_is_refused_and_images_without_masks_count_by_their_size(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="two classes at least"):
        MaskClasses.from_values({"lesion": 255})
    np.save(tmp_path / "i.npy", PLANE)
    np.save(tmp_path / "m.npy", PLANE)
    (tmp_path / "pairs.csv").write_text("image,A,B\nx.npy,m.npy,\ni.npy,,\n")
    census = count_masks_of(find_mask_columns(tmp_path / "pairs.csv", ["A", "B"]), MaskClasses.from_columns(["A", "B"]))
    assert (census.positives + census.negatives).tolist() == [2 * PLANE.size] * 2
    (tmp_path / "i.npy").unlink()
    with pytest.raises(DataError, match=r"i\.npy has a mask of no class"):
        count_masks_of(find_mask_columns(tmp_path / "pairs.csv", ["A", "B"]), MaskClasses.from_columns(["A", "B"]))
