"""Finding and reading images: what is right is read exactly, what is wrong is named in a moment."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from equipoise._checks import ArgumentError, DataError
from equipoise.data import ImageFiles, find_images, read_image, to_uint8
from equipoise.data._step_kinds import To8Bits

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (24, 32), dtype=np.uint8)
RGB = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
RGBA = RNG.integers(0, 256, (24, 32, 4), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (24, 32), dtype=np.uint16)
RGB16 = RNG.integers(0, 65536, (24, 32, 3), dtype=np.uint16)
PALETTE = Image.fromarray(RGB).quantize(16)
BITS = GREY > 127


def encoded(image: Any, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **settings)
    return buffer.getvalue()


def tiff(array: Any, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **settings)
    return buffer.getvalue()


def written(folder: Path, data: bytes, name: str = "x.png") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int, data: bytes = b"") -> bytes:
    """A whole and valid PNG with a large claim and little data."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", data or zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


# --- what is read, exactly

EXACT: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "png grey": (lambda: encoded(GREY, "PNG"), GREY),
    "png rgb": (lambda: encoded(RGB, "PNG"), RGB),
    "png rgba": (lambda: encoded(RGBA, "PNG"), RGBA[..., :3]),
    "png grey with alpha": (lambda: encoded(Image.fromarray(RGBA[..., :2].copy(), "LA"), "PNG"), RGBA[..., 0]),
    "png palette": (lambda: encoded(PALETTE, "PNG"), np.array(PALETTE.convert("RGB"))),
    "png palette, one colour clear": (
        lambda: encoded(PALETTE, "PNG", transparency=3),
        np.array(PALETTE.convert("RGB")),
    ),
    "png 1 bit": (lambda: encoded(Image.fromarray(BITS), "PNG"), BITS * np.uint8(255)),
    "png 16 bit": (lambda: encoded(GREY16, "PNG"), GREY16),
    "png 16 bit rgb": (cv2.imencode(".png", RGB16[..., ::-1])[1].tobytes, RGB16),
    "bmp grey": (lambda: encoded(GREY, "BMP"), GREY),
    "bmp rgb": (lambda: encoded(RGB, "BMP"), RGB),
    "bmp 1 bit": (lambda: encoded(Image.fromarray(BITS), "BMP"), BITS * np.uint8(255)),
    "bmp palette": (lambda: encoded(PALETTE, "BMP"), np.array(PALETTE.convert("RGB"))),
    "tiff grey": (lambda: tiff(GREY), GREY),
    "tiff 16 bit": (lambda: tiff(GREY16), GREY16),
    "tiff 16 bit rgb": (lambda: tiff(RGB16, photometric="rgb"), RGB16),
    "tiff tiles": (lambda: tiff(GREY16, tile=(16, 16), compression="zlib", predictor=True), GREY16),
    "tiff big-endian": (lambda: tiff(GREY16, byteorder=">"), GREY16),
    "bigtiff": (lambda: tiff(GREY16, bigtiff=True), GREY16),
    "tiff white is zero": (lambda: tiff(GREY, photometric="miniswhite"), 255 - GREY),
    "tiff lzw": (lambda: encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "tiff deflate": (lambda: encoded(RGB, "TIFF", compression="tiff_adobe_deflate"), RGB),
    "tiff packbits": (lambda: encoded(RGB, "TIFF", compression="packbits"), RGB),
    "tiff rgba": (lambda: encoded(RGBA, "TIFF"), RGBA[..., :3]),
    "tiff planes": (
        lambda: tiff(np.ascontiguousarray(RGB.transpose(2, 0, 1)), planarconfig="separate", photometric="rgb"),
        RGB,
    ),
    "tiff palette": (lambda: encoded(PALETTE, "TIFF"), np.array(PALETTE.convert("RGB"))),
    "tiff 1 bit": (lambda: encoded(Image.fromarray(BITS), "TIFF", compression="group4"), BITS * np.uint8(255)),
    "tiff with a thumbnail": (lambda: with_thumbnail(GREY), GREY),
    "gif of one frame": (lambda: encoded(GREY, "GIF"), np.repeat(GREY[..., None], 3, 2)),
    "webp lossless": (lambda: encoded(RGB, "WEBP", lossless=True), RGB),
}


def with_thumbnail(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(image)
        file.write(image[::4, ::4].copy(), subfiletype=1)
    return buffer.getvalue()


@pytest.mark.parametrize("case", EXACT)
def test_every_kind_is_read_exactly(case: str, tmp_path: Path) -> None:
    make, expected = EXACT[case]
    image = read_image(written(tmp_path, make()))
    if case == "gif of one frame" and image.ndim == 2:  # Pillow writes a grey palette as grey
        expected = expected[..., 0]
    assert image.dtype == expected.dtype
    assert image.shape == expected.shape
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_obeyed(kind: str, turn: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = turn
    settings = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    data = encoded(RGB, kind, exif=exif, **settings)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    image = read_image(written(tmp_path, data))
    assert image.shape == expected.shape
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_equals_another_decoder(mode: str, progressive: bool, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(RGB).convert(mode), "JPEG", quality=90, progressive=progressive)
    expected = np.array(Image.open(io.BytesIO(data)).convert("L" if mode == "L" else "RGB"))
    image = read_image(written(tmp_path, data))
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= 1  # CMYK is rounded twice


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(written(tmp_path, encoded(RGB, "PNG"), "x.jpg")), RGB)


# --- what is refused

ANIMATION = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "no bytes": (lambda: b"", "is empty"),
    "a text": (lambda: b"id,finding\n1,Mass\n", "is not an image that can be read"),
    "a program": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image that can be read"),
    "eight bytes of a png": (lambda: encoded(GREY, "PNG")[:8], "is truncated"),
    "half a png": (lambda: encoded(GREY, "PNG")[:400], "is truncated"),
    "a png without its end": (lambda: encoded(GREY, "PNG")[:-12], "is truncated"),
    "a png with a flipped bit": (lambda: flipped(encoded(GREY, "PNG"), 300), "is damaged"),
    "half a jpeg": (lambda: encoded(RGB, "JPEG")[:900], "is truncated"),
    "a jpeg without its last bytes": (lambda: encoded(RGB, "JPEG")[:-2], "is truncated"),
    "a jpeg cut after a thumbnail": (lambda: jpeg_with_thumbnail()[:-40], "is truncated"),
    "the head of a jpeg": (lambda: encoded(RGB, "JPEG")[:50], "is truncated"),
    "half a bmp": (lambda: encoded(RGB, "BMP")[:500], "is truncated"),
    "half a tiff": (lambda: tiff(GREY16)[:800], "is truncated"),
    "half a compressed tiff": (lambda: encoded(RGB, "TIFF", compression="tiff_lzw")[:900], "is (truncated|a damaged)"),
    "half a gif": (lambda: encoded(RGB, "GIF")[:900], "is truncated|is damaged"),
    "half a webp": (lambda: encoded(RGB, "WEBP")[:300], "is truncated|is damaged|cannot be read"),
    "a moving gif": (lambda: encoded(ANIMATION[0], "GIF", save_all=True, append_images=ANIMATION[1:]), "of 2 frames"),
    "a moving png": (lambda: encoded(ANIMATION[0], "PNG", save_all=True, append_images=ANIMATION[1:]), "of 2 frames"),
    "a moving webp": (lambda: encoded(ANIMATION[0], "WEBP", save_all=True, append_images=ANIMATION[1:]), "2 frames"),
    "a tiff of pages": (lambda: tiff(np.stack([GREY, GREY]), photometric="minisblack"), "has 2 pages"),
    "a tiff of floats": (lambda: tiff(GREY.astype(np.float32)), "floating-point numbers"),
    "a tiff with signs": (lambda: tiff(GREY.astype(np.int16)), "signed integers"),
    "a tiff of 32 bits": (lambda: tiff(GREY.astype(np.uint32)), "of 32 bits"),
    "a png without width": (lambda: bomb(0, 5), "says 0 x 5"),
    "a tiff header and noise": (lambda: b"II*\0" + bytes(RNG.integers(0, 256, 300, dtype=np.uint8)), "truncated|dam"),
}  # fmt: skip


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def jpeg_with_thumbnail() -> bytes:
    """A JPEG whose EXIF block holds a whole JPEG, with an end mark of its own."""
    small = encoded(RGB[:8, :8].copy(), "JPEG")
    block = b"Exif\0\0" + small
    whole = encoded(RGB, "JPEG")
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + whole[2:]


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named(case: str, tmp_path: Path) -> None:
    make, words = REFUSED[case]
    path = written(tmp_path, make(), "bad file.png")
    with pytest.raises(DataError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).count(". ") >= 1  # what is wrong, and what to do


def test_a_jpeg_with_a_thumbnail_is_read(tmp_path: Path) -> None:
    image = read_image(written(tmp_path, jpeg_with_thumbnail()))
    np.testing.assert_array_equal(image, np.array(Image.open(io.BytesIO(encoded(RGB, "JPEG")))))


@pytest.mark.parametrize(
    ("data", "limit", "words"),
    [
        (bomb(30_000, 30_000), None, "30,000 x 30,000 pixels, above the limit"),
        (bomb(30_000, 30_000), 10**9, "is truncated"),
        (bomb(1_000, 1_000), 999_999, "above the limit of 999,999"),
        (bomb(2**31 - 1, 2**31 - 1), 10**30, "is truncated|has no|damaged"),
        (b"BM" + struct.pack("<IIIIiiHHIIIIII", 1078, 0, 54, 40, 30_000, 30_000, 1, 24, *[0] * 6), None, "limit"),
    ],
)  # fmt: skip
def test_bombs_are_refused_in_milliseconds_with_little_memory(
    data: bytes, limit: int | None, words: str, tmp_path: Path
) -> None:
    path = written(tmp_path, data)
    read_image(written(tmp_path, encoded(GREY, "PNG"), "warm.png"))
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(DataError, match=words):
        read_image(path, **({} if limit is None else {"max_pixels": limit}))
    took, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 0.1
    assert peak < 1e6


def test_paths_that_are_no_files_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "wide.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    os.truncate(tmp_path / "wide.png", 10**10)  # sparse: takes no disk
    for name, words in {
        "pipe": "a pipe", ".": "is a folder", "none": "does not exist", "a\0b": "read", "wide.png": "bytes, more than",
    }.items():  # fmt: skip
        with pytest.raises(DataError, match=words):
            read_image(tmp_path / name)


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, None])
def test_the_limit_is_a_whole_number(limit: Any, tmp_path: Path) -> None:
    with pytest.raises((ArgumentError, TypeError)):
        read_image(written(tmp_path, encoded(GREY, "PNG")), max_pixels=limit)


# --- scaling


def test_sixteen_bits_are_scaled_by_the_depth_that_holds_the_maximum() -> None:
    for bits in (10, 12, 14, 16):
        image = np.arange(0, 1 << bits, 7, dtype=np.uint16)
        image[-1] = (1 << bits) - 1
        expected = np.rint(image / ((1 << bits) - 1) * 255)
        assert np.abs(to_uint8(image) - expected).max() == 0
    assert to_uint8(GREY) is GREY
    np.testing.assert_array_equal(to_uint8(GREY.astype(np.uint16)), GREY)
    np.testing.assert_array_equal(to_uint8(GREY.astype(np.uint16) * 257, bits=16), GREY)
    assert to_uint8(np.zeros((0, 3), np.uint16)).shape == (0, 3)
    for wrong in (0, 17, True):
        with pytest.raises(ArgumentError, match="bits"):
            to_uint8(GREY16, bits=wrong)
    with pytest.raises(ArgumentError, match="float32"):
        to_uint8(GREY.astype(np.float32))


@pytest.mark.parametrize("bits", [None, *range(1, 17)])
def test_the_step_of_the_cache_scales_the_same(bits: int | None) -> None:
    image = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(To8Bits(bits).apply(image, 1), to_uint8(image, bits=bits))


# --- finding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images/a.png", "images/b.png", "images/deep/c.png", "images/notes.txt"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(encoded(GREY, "PNG"))
    return tmp_path / "data"


@pytest.mark.parametrize("inner", ["", "images"])
def test_names_are_found_from_the_folder_and_from_its_parent(inner: str, folder: Path) -> None:
    files = find_images(["images/b.png", "images/a.png", "images/deep/c.png"], folder / inner)
    assert [path.relative_to(folder).as_posix() for path in files.paths] == list(files.names)
    np.testing.assert_array_equal(files.read(1), GREY)


def test_a_bare_name_is_found_in_the_one_subfolder_that_has_it(folder: Path) -> None:
    files = find_images(["c.png", "a.png"], folder)
    assert [path.name for path in files.paths] == ["c.png", "a.png"]
    assert files.notes == (f"2 images were found by name in subfolders of {folder}.",)
    (folder / "images" / "deep" / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match='row 2, .*"a.png" stands in 2 folders: "images/a.png", "images/deep/a.png"'):
        find_images(["c.png", "a.png"], folder)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["images/a.png", "images/bb.png"], 'row 812, column "image": there is no file .*Did you mean "b.png"'),
        (["images/a.png", "images/a.jpg"], 'Did you mean "a.png"'),
        (["images/a.png", "images/A.PNG"], '"a.png" differs only in capital letters'),
        (["images/a.png", ""], "row 812, .*the cell is empty"),
        (["images/a.png", None], "the cell is empty"),
        (["images/a.png", "../a.png"], r'"../a.png" leaves the folder .*--allow-outside'),
        (["images/a.png", "images/../../a.png"], "leaves the folder"),
        (["images/a.png", "/etc/passwd"], '"/etc/passwd" leaves the folder'),
        (["images/a.png", "images"], 'there is no file "images"'),
        (["images/a.png", "images\\a.png"], "Write / between folders"),
        (["images/a.png", "images/\0.png"], "there is no file"),
        (["images/a.png", "x/" * 3000], "there is no file"),
        (["images/a.png", *["q"] * 37], r"\(36 more rows have no image.\)"),
        (["p", "q"], r'None of the 2 images was found.*The first image in it is "images/a.png"'),
    ],
)
def test_names_that_cannot_be_found_are_named_with_their_row(names: list[Any], words: str, folder: Path) -> None:
    with pytest.raises(DataError, match=words):
        find_images(names, folder, source="labels.csv", rows=[3, *range(811, 810 + len(names))])


def test_links_are_followed_inside_the_folder_only(folder: Path, tmp_path: Path) -> None:
    written(tmp_path, encoded(RGB, "PNG"), "secret.png")
    (tmp_path / "elsewhere").mkdir()
    written(tmp_path / "elsewhere", encoded(RGB, "PNG"), "d.png")
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "away").symlink_to(tmp_path / "elsewhere")
    (folder / "in.png").symlink_to(folder / "images" / "a.png")
    np.testing.assert_array_equal(find_images(["in.png"], folder).read(0), GREY)
    for name in ("out.png", "away/d.png"):
        with pytest.raises(DataError, match="is a link that leads out of the folder"):
            find_images([name], folder)
        np.testing.assert_array_equal(find_images([name], folder, allow_outside=True).read(0), RGB)
    inside = str(folder / "images" / "a.png")
    np.testing.assert_array_equal(find_images([inside], folder).read(0), GREY)
    outside = find_images([str(tmp_path / "secret.png"), "../secret.png"], folder, allow_outside=True)
    np.testing.assert_array_equal(outside.read(0), outside.read(1))


def test_a_link_that_leads_to_itself_hides_no_other_file(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(12)]
    for name in names:
        written(tmp_path, encoded(RGB, "PNG"), name)
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "self").symlink_to(tmp_path)
    assert len(find_images(names, tmp_path)) == len(names)
    with pytest.raises(DataError, match=r'there is no file "loop\.png"'):
        find_images([*names, "loop.png"], tmp_path)


def test_a_missing_folder_is_named_with_the_nearest(folder: Path) -> None:
    with pytest.raises(DataError, match='imags does not exist. Give the folder. Did you mean "images"'):
        find_images(["a.png"], folder / "imags")
    with pytest.raises(DataError, match="is a file"):
        find_images(["a.png"], folder / "images" / "a.png")
    with pytest.raises(ArgumentError, match="no image"):
        find_images([], folder)
    with pytest.raises(ArgumentError, match="`rows`"):
        find_images(["a.png"], folder / "images", rows=[1, 2])


def test_files_that_no_row_names_are_listed(folder: Path) -> None:
    assert find_images(["images/b.png"], folder).orphans() == ("images/a.png", "images/deep/c.png")


def test_the_stamp_changes_with_the_file_and_the_digest_with_its_bytes(folder: Path) -> None:
    files = find_images(["a.png", "b.png"], folder / "images")
    assert files.digest(0) == files.digest(1) == hashlib.blake2b(encoded(GREY, "PNG"), digest_size=16).hexdigest()
    before, whole = files.stamp(0), files.stamp(0, content=True)
    assert whole == f"{before}-{files.digest(0)}"
    os.utime(files.paths[0], ns=(1, 1))
    assert files.stamp(0) != before
    files.paths[1].write_bytes(encoded(RGB, "PNG"))
    assert files.digest(1) != files.digest(0)
    files.paths[1].unlink()
    for ask in (files.stamp, files.digest, files.read):
        with pytest.raises(DataError, match=r"b\.png"):
            ask(1)


def test_some_rows_keep_their_place_in_the_table(folder: Path) -> None:
    files = find_images(["a.png", "b.png", "deep/c.png"], folder / "images", source="t.csv", rows=[4, 5, 9])
    for some in (files.select([2, 0]), files.select(np.array([True, False, True])).select([1, 0])):
        assert isinstance(some, ImageFiles)
        assert (some.names, some.rows) == (("deep/c.png", "a.png"), (9, 4))
    some.paths[0].write_bytes(b"")
    with pytest.raises(DataError, match='t.csv row 10, column "image": .*c.png is empty'):
        some.read(0)


def test_each_directory_is_listed_once_and_no_file_is_asked_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(4):
        (tmp_path / f"{part}").mkdir()
        for number in range(50):
            (tmp_path / f"{part}" / f"{number:08}_000.png").touch()
    names = [f"{row % 4}/{row // 4 % 50:08}_000.png" for row in range(4_000)]
    asked = {"scandir": 0, "stat": 0}

    def counted(name: str) -> Any:
        real = getattr(os, name)

        def call(*arguments: Any, **settings: Any) -> Any:
            asked[name] += 1
            return real(*arguments, **settings)

        return call

    for name in asked:
        monkeypatch.setattr(os, name, counted(name))
    files = find_images(names, tmp_path)
    assert len(files) == 4_000
    assert asked["scandir"] == 4
    assert asked["stat"] < 10
