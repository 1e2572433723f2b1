"""The census of masks: exact in every format, whatever the blocks; merges; odd values are named; memory is bounded."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.data import count_masks_of, find_mask_columns, find_masks, open_mask, part_sizes
from equipoise.data._mask_values import ValueCounts, kernels
from equipoise.labels import MaskCensus, MaskClasses, ratio_interval

tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
LESIONS = ("MA", "HE", "EX", "SE", "OD")


def blobs(shape: tuple[int, ...], classes: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    for number in range(12):
        corner = [int(rng.integers(0, max(1, length - 1))) for length in shape]
        mask[tuple(slice(c, c + int(rng.integers(2, 20))) for c in corner)] = number % classes
    return mask


# --- the kernels


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "u2", "i2", "i4", "f2", "f4"])
@pytest.mark.parametrize("kinds", [1, 2, 3, 40])
def test_values_are_counted_exactly_in_blocks_of_any_size(fast: bool, dtype: str, kinds: int) -> None:
    if fast:
        kernels()
    rng = np.random.default_rng(kinds)
    pixels = rng.integers(-3 if np.dtype(dtype).kind in "if" else 0, kinds, 100_003).astype(dtype)
    pixels[:5_000] = pixels[0]  # a run
    counts = ValueCounts(MaskClasses.from_foreground(), fast)
    for start in (0, 1, 4_097, 70_001):
        stop = {0: 1, 1: 4_097, 4_097: 70_001, 70_001: len(pixels)}[start]
        counts.add(pixels[start:stop])
    values, times = np.unique(pixels, return_counts=True)
    assert dict(+counts.total()) == dict(zip(values.tolist(), times.tolist(), strict=True))


def test_scores_are_counted_by_the_rule_where_values_are_too_many() -> None:
    scores = np.random.default_rng(0).random(50_000).astype(np.float32)
    scores[:7] = np.nan
    scores[7:9] = 1
    counts = ValueCounts(MaskClasses.from_foreground("> 0.25"))
    counts.add(scores)
    assert counts.scale[1] == np.count_nonzero(scores > 0.25)
    assert counts.nans == 7
    assert counts.between == 50_000 - 7 - 2 - np.count_nonzero(scores == 0)


# --- laws of the record


def random_folder(folder: Path, images: int, seed: int) -> Path:
    folder.mkdir()
    for number in range(images):
        np.save(folder / f"{seed}-{number}.npy", blobs((40, 30 + number), 3, seed + number))
    return folder


CLASSES = MaskClasses.from_values({"rest": 0, "tumour": 1, "cyst": 2})


def test_the_sum_of_two_equals_counting_both_and_survives_json(tmp_path: Path) -> None:
    one = count_masks_of(random_folder(tmp_path / "one", 3, 10), CLASSES, components=True)
    two = count_masks_of(random_folder(tmp_path / "two", 4, 50), CLASSES, components=True)
    both = tmp_path / "both"
    both.mkdir()
    for path in (*tmp_path.glob("one/*"), *tmp_path.glob("two/*")):
        (both / path.name).hardlink_to(path)
    whole = count_masks_of(both, CLASSES, components=True)
    assert one + two == whole
    assert two + one == whole
    assert (one + two).fingerprint == whole.fingerprint
    again = MaskCensus.from_dict(json.loads(json.dumps(whole.to_dict())))
    assert again == whole
    assert again.prevalence.tolist() == whole.prevalence.tolist()
    with pytest.raises(ArgumentError, match="is in both"):
        _ = one + one
    with pytest.raises(ArgumentError, match="components"):
        _ = one + count_masks_of(tmp_path / "two", CLASSES)
    damaged = whole.to_dict()
    damaged["images"][0]["pixels"][0] += 1
    with pytest.raises(DataError, match="census of masks is damaged"):
        MaskCensus.from_dict(damaged)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("block", [2_000, 1 << 20])
def test_threads_and_blocks_change_nothing(tmp_path: Path, workers: int, block: int) -> None:
    mask = blobs((6, 90, 110), 3)
    tifffile.imwrite(tmp_path / "a.tif", mask, compression="deflate", rowsperstrip=8)
    census = count_masks_of(tmp_path / "a.tif", CLASSES, workers=workers, block=block)
    assert census.positives.tolist() == np.bincount(mask.ravel(), minlength=3).tolist()
    assert census.negatives.tolist() == (mask.size - np.bincount(mask.ravel(), minlength=3)).tolist()


@pytest.mark.parametrize("shape", [(60, 70), (1, 60, 70), (13, 20, 21)])
@pytest.mark.parametrize("slab", [1, 900, 1 << 20])
def test_parts_joined_over_slabs_are_those_of_the_whole(shape: tuple[int, ...], slab: int, tmp_path: Path) -> None:
    from scipy.ndimage import label

    mask = (np.random.default_rng(3).random(shape) < 0.12).astype(np.uint8)
    np.save(tmp_path / "a.npy", mask)
    labels, count = label(mask, np.ones((3,) * mask.ndim))
    found = part_sizes(open_mask(tmp_path / "a.npy"), MaskClasses.from_foreground(), 1, slab)
    assert len(found) == count
    assert sorted(found) == sorted(np.bincount(labels.ravel())[1:])


def test_the_interval_over_images_covers_and_is_wider_than_one_over_pixels() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        share = rng.beta(2, 40, 50)  # images differ
        low, high = ratio_interval((share * 10_000).round()[:, None], np.full((50, 1), 10_000))
        inside += low[0] <= 2 / 42 <= high[0]
    assert 0.90 <= inside / 400 <= 0.99
    whole = ratio_interval(np.array([[1.0], [3.0]]), np.full((2, 1), 10.0), population=2)
    assert [end[0] for end in whole] == pytest.approx([0.2, 0.2])  # every image was counted: nothing is left to chance
    assert np.isnan(ratio_interval(np.ones((1, 1)), np.ones((1, 1)))[0]).all()


# --- real data


def test_counts_of_the_lesions_are_those_of_the_readme(shared_data: Callable[[str], Path]) -> None:
    table = shared_data("idrid-lesions") / "pairs.csv"
    census = count_masks_of(find_mask_columns(table, LESIONS), MaskClasses.from_columns(LESIONS))
    assert census.task == "multilabel"
    assert [f"{100 * share:.3f}" for share in census.prevalence] == ["0.102", "1.017", "0.898", "0.187", "1.782"]
    assert census.present.tolist() == [81, 80, 81, 40, 81]
    assert census.rows == 81 * 771 * 512
    rows = list(csv.DictReader(table.open()))
    shares = {image.name: np.array(image.pixels) / image.size for image in census.images}
    for row in rows:
        written = [float(row[f"frac_{name}"]) for name in LESIONS]
        np.testing.assert_allclose(shares[row["image"]], written, atol=6e-7)
    low, high = census.prevalence_interval
    assert np.all((low < census.prevalence) & (census.prevalence < high))


def test_counts_of_the_lungs_are_those_of_the_readme(shared_data: Callable[[str], Path]) -> None:
    table = shared_data("covid-lung-masks") / "pairs.csv"
    census = count_masks_of(find_mask_columns(table, ["mask"]), MaskClasses.from_foreground("> 0.5"))
    shares = census.pixels[:, 1] / census.known[:, 1]
    assert (len(shares), *(round(float(x), 3) for x in (shares.mean(), shares.min(), shares.max()))) == (
        198, 0.361, 0.094, 0.611,
    )  # fmt: skip
    written = {row["image"]: float(row["foreground_fraction"]) for row in csv.DictReader(table.open())}
    for image, share in zip(census.images, shares, strict=True):
        assert share == pytest.approx(written[image.name], abs=6e-5)


# --- bad input


def test_masks_that_differ_in_their_values_are_named(tmp_path: Path) -> None:
    for name, top in (("a", 255), ("b", 255), ("c", 1), ("d", 2), ("e", 0)):
        np.save(tmp_path / f"{name}.npy", np.array([[0, top]], np.uint8))
    census = count_masks_of(tmp_path, MaskClasses.from_foreground())
    assert "0/255 in 3" in str(census)
    assert "0/1 in 1 (c.npy)" in str(census)
    assert "0/2 in 1 (d.npy)" in str(census)
    by_value = count_masks_of(tmp_path, MaskClasses.from_values({"rest": 0, "lesion": 255}))
    assert by_value.unknowns.tolist() == [2, 2]
    assert "2 pixels in 2 images have a value that is no class: counted as unknown (1, 2) (c.npy, d.npy)" in str(
        by_value
    )
    assert by_value.empty_images == ("c.npy", "d.npy", "e.npy")


def test_empty_masks_nan_scores_and_ignored_pixels_are_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5), np.uint8))
    census = count_masks_of(tmp_path, MaskClasses.from_foreground())
    assert "All masks are empty" in str(census)
    assert census.empty_classes == ("foreground",)
    np.save(tmp_path / "a.npy", np.array([[0.0, 1.0, np.nan, 0.4, 0.6, 9.0]], np.float32))
    census = count_masks_of(tmp_path, MaskClasses.from_foreground("> 0.5", ignore=9))
    image = census.images[0]
    assert (image.pixels, image.known, image.nans, image.ignored) == ((2, 2), (4, 4), 1, 1)
    assert image.between == 3
    text = str(census)
    assert "1 pixels in 1 images are NaN" in text
    assert "lie between the values" in text


def test_shapes_missing_masks_and_wrong_columns_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((4, 6), np.uint8))
    table = tmp_path / "pairs.csv"
    two = MaskClasses.from_columns(["A", "B"])
    table.write_text("image,A,B\nx.png,a.npy,b.npy\n")
    with pytest.raises(DataError, match=r"b.npy has the shape \(4, 6\), but another mask of x.png \(4, 5\)"):
        count_masks_of(find_mask_columns(table, ["A", "B"]), two)
    table.write_text("image,A,B\nx.png,a.npy,c.npy\n")
    with pytest.raises(DataError, match="c.npy, a mask of x.png, does not exist"):
        find_mask_columns(table, ["A", "B"])
    with pytest.raises(DataError, match='no column "C" or "mask_C"'):
        find_mask_columns(table, ["C"])
    table.write_text("image,A\nx.png,\n")
    with pytest.raises(DataError, match=r"x.png has no mask"):
        count_masks_of(find_mask_columns(table, ["A"]), MaskClasses.from_foreground())
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="holds no mask"):
        find_masks(tmp_path / "nothing")
    with pytest.raises(ArgumentError, match="one mask for each class"):
        count_masks_of(tmp_path / "a.npy", two)


LIMITED = """
import resource, sys
from equipoise.data import count_masks_of
from equipoise.labels import MaskClasses
from equipoise.data._mask_values import ValueCounts
import numpy as np
ValueCounts(MaskClasses.from_foreground()).add(np.arange(100, dtype="u1"))
ValueCounts(MaskClasses.from_foreground()).add(np.zeros(100, "u1"))
count_masks_of(sys.argv[2], MaskClasses.from_foreground(), workers=2)  # what is loaded late is loaded now
held = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (held + (64 << 20),) * 2)
census = count_masks_of(sys.argv[1], MaskClasses.from_foreground(), workers=2)
print(census.positives.tolist())
"""


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_volume_larger_than_the_memory_limit_is_counted(tmp_path: Path, compression: str | None) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("the size of a process is read from /proc")
    plane = blobs((1024, 2048))
    with tifffile.TiffWriter(tmp_path / "big.tif", bigtiff=True) as writer:  # 128 MiB, twice the limit
        for _ in range(64):
            writer.write(plane * 255, compression=compression, contiguous=compression is None, rowsperstrip=256)
    np.save(tmp_path / "small.npy", plane[:64])
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "big.tif", tmp_path / "small.npy"],
        capture_output=True, text=True, check=False, env={"OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == [64 * int(np.sum(plane == 0)), 64 * int(np.sum(plane == 1))]
