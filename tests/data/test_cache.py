"""The image cache: what is read is what the steps make, and no kill, damage or second builder changes that."""

from __future__ import annotations

import errno
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import equipoise
from data.image_fakes import Folder, make_folder, write_image
from equipoise._checks import ArgumentError, DataError, RunError
from equipoise.data import find_images
from equipoise.data._cache_index import read_index
from equipoise.data._cache_store import INDEX, STORES
from equipoise.data.cache import ImageCache, build_cache
from equipoise.data.steps import Steps, parse_steps
from full_disk import no_file_longer_than

STEPS = parse_steps(["clahe", "resize"], size=16, channels=1)


def all_of(cache: ImageCache) -> np.ndarray:
    return cache.read(np.arange(len(cache)))


def expected(files: Folder, steps: Steps = STEPS) -> np.ndarray:
    return np.stack([steps.apply(files.read(row)) for row in range(len(files))])


@pytest.mark.parametrize("store", ["raw", "compressed"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_read_is_what_the_steps_make(tmp_path: Path, store: str, channels: int) -> None:
    files = make_folder(tmp_path / "images", 21)
    steps = parse_steps(["clahe", "resize"], size=16, channels=channels)
    cache = build_cache(files, steps, tmp_path / "cache", store=store)
    rows = np.array([20, 0, 0, 7])
    whole = expected(files, steps)
    assert cache.shape == (21, 16, 16, channels)
    for _ in range(2):  # checked at the first reading, known at the second
        assert np.array_equal(cache.read(rows), whole[rows])
    out = np.zeros((4, 16, 16, channels), np.uint8)
    assert cache.read(rows, out) is out
    assert np.array_equal(out, whole[rows])
    assert np.array_equal(all_of(pickle.loads(pickle.dumps(cache))), whole)
    cache.read(rows)[:] = 0
    assert np.array_equal(all_of(cache), whole)


class Told:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.moved: list[float] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def begin(self, title: str, total: int) -> None:
        self.said.append(title)

    def move(self, done: float, note: str) -> None:
        self.moved.append(done)

    def end(self, note: str) -> None:
        self.said.append(note)


def index_of(cache: ImageCache) -> Path:
    return cache.path / INDEX


def pixels_of(cache: ImageCache) -> Path:
    return next(cache.path.glob("pixels-000.*"))


def damage(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    with path.open("r+b") as file:  # in place, as a bad disk does it
        file.write(content)


# --- what is made, and what is not made again


def test_only_what_is_missing_or_changed_is_made(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 20)
    told = Told()
    build_cache(Folder(files.paths[:12]), STEPS, tmp_path / "cache", watch=told)
    assert told.said == ["Image cache, 12 to make", "12 of 12 made"]
    assert told.moved == sorted(told.moved) != []
    whole = build_cache(files, STEPS, tmp_path / "cache", workers=3)
    assert files.reads == 8
    again = Folder(files.paths[::-1])
    reversed_cache = build_cache(again, STEPS, tmp_path / "cache")
    assert again.reads == 0
    assert np.array_equal(all_of(reversed_cache), all_of(whole)[::-1])
    write_image(files.paths[7], np.random.default_rng(99))
    changed = build_cache(again, STEPS, tmp_path / "cache")
    assert again.reads == 1
    assert np.array_equal(all_of(changed), expected(again))
    assert build_cache(again, STEPS, tmp_path / "cache", watch=told).mended == []


def test_other_steps_have_a_folder_of_their_own(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 5)
    other = parse_steps(["resize", "clahe"], size=16, channels=1)
    first, second = (build_cache(files, steps, tmp_path / "cache") for steps in (STEPS, other))
    assert first.path != second.path
    assert np.array_equal(all_of(first), expected(files))
    assert np.array_equal(all_of(second), expected(files, other))


def test_by_content_the_same_image_under_two_names_is_made_once(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 4)
    copy = tmp_path / "images" / "copy.png"
    copy.write_bytes(files.paths[2].read_bytes())
    both = Folder((*files.paths, copy))
    cache = build_cache(both, STEPS, tmp_path / "cache", hash_files=True)
    assert both.reads == 4
    assert np.array_equal(all_of(cache), expected(both))
    state = copy.stat()
    write_image(copy, np.random.default_rng(1))
    os.utime(copy, ns=(state.st_atime_ns, state.st_mtime_ns))  # a change that the time of the file hides
    assert np.array_equal(all_of(build_cache(both, STEPS, tmp_path / "cache", hash_files=True)), expected(both))


def test_rows_that_repeat_an_image_share_its_entry(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 3)
    twice = Folder((files.paths[0], files.paths[1], files.paths[0]))
    cache = build_cache(twice, STEPS, tmp_path / "cache")
    assert twice.reads == 2
    assert cache.shape[0] == 3
    assert np.array_equal(cache.read(np.array([0])), cache.read(np.array([2])))


def test_what_it_costs_and_saves_is_said(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 30, side=300)
    words = build_cache(files, STEPS, tmp_path / "cache").describe()
    assert words.startswith("30 images of 16 x 16 x 1 in ")
    saved = re.search(r"saves ([\d.]+) ms an image", words)
    assert saved is not None
    assert float(saved[1]) > 0


def test_compressed_is_smaller(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 12, side=64)
    steps = parse_steps(["resize"], size=128, channels=1)
    sizes = [
        pixels_of(build_cache(files, steps, tmp_path / "cache", store=store)).stat().st_size
        for store in ("raw", "compressed")
    ]
    assert sizes[0] == 12 * 128 * 128
    assert sizes[1] < 0.8 * sizes[0]


def test_a_full_file_of_compressed_images_is_followed_by_another(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(STORES["compressed"], "file_bytes", 1000)
    files = make_folder(tmp_path / "images", 12)
    for part in (7, 12):
        cache = build_cache(Folder(files.paths[:part]), STEPS, tmp_path / "cache", store="compressed")
    assert len(list(cache.path.glob("pixels-*"))) > 2
    assert np.array_equal(all_of(cache), expected(files))


def test_real_images_as_a_table_names_them(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("idrid-dr-grading") / "images"
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".jpg", ".png"))[:12]
    files = find_images(names, folder, source="labels.csv")
    steps = parse_steps(["crop_borders", "clahe", {"resize": {"fit": "pad"}}], size=64, channels=3)
    cache = build_cache(files, steps, tmp_path / "cache")
    pixels = all_of(cache)
    assert np.array_equal(pixels, np.stack([steps.apply(files.read(row)) for row in range(12)]))
    assert (pixels.reshape(12, -1).std(axis=1) > 20).all()
    sure = build_cache(files.select([3, 1]), steps, tmp_path / "cache", hash_files=True)
    assert np.array_equal(all_of(sure), pixels[[3, 1]])


# --- kills, and several at once


def test_killed_builders_and_two_at_once(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(Path(equipoise.__file__).parents[1]), str(tests)])
    done = subprocess.run(
        [sys.executable, tests / "data" / "killed_builders.py", tmp_path], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": paths}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("fine")
    assert "waits and then goes on" in done.stdout


def test_threads_share_a_cache(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 30)
    cache, whole = build_cache(files, STEPS, tmp_path / "cache"), expected(files)
    wrong: list[int] = []

    def work(seed: int) -> None:
        drawn = np.random.default_rng(seed).integers(0, 30, (200, 3))
        wrong.extend(seed for rows in drawn if not np.array_equal(cache.read(rows), whole[rows]))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- damage


@pytest.mark.parametrize("store", ["raw", "compressed"])
def test_a_damaged_entry_is_named_and_made_again(tmp_path: Path, store: str) -> None:
    files = make_folder(tmp_path / "images", 9)
    cache = build_cache(files, STEPS, tmp_path / "cache", store=store)
    whole = all_of(cache)
    damage(pixels_of(cache), pixels_of(cache).stat().st_size // 2)  # the fifth of nine images
    opened = build_cache(files, STEPS, tmp_path / "cache", store=store)
    assert np.array_equal(opened.read(np.array([0, 8])), whole[[0, 8]])
    with pytest.warns(RuntimeWarning, match=r"image 0004\.png in .* was damaged and is made again"):
        assert np.array_equal(all_of(opened), whole)
    assert opened.mended == ["0004.png"]
    assert np.array_equal(all_of(build_cache(files, STEPS, tmp_path / "cache", store=store)), whole)  # and for good
    damage(pixels_of(cache), 3)
    with pytest.warns(RuntimeWarning, match=r"0000\.png"):
        assert build_cache(files, STEPS, tmp_path / "cache", store=store).verify() == ["0000.png"]
    assert build_cache(files, STEPS, tmp_path / "cache", store=store).verify() == []


def test_damage_where_nothing_can_be_written_is_mended_in_memory(tmp_path: Path, read_only: Callable[[], None]) -> None:
    files = make_folder(tmp_path / "images", 9)
    cache = build_cache(files, STEPS, tmp_path / "cache")
    damage(pixels_of(cache), 4 * 256 + 1)
    read_only()
    with pytest.warns(RuntimeWarning, match=r"0004\.png"):
        assert np.array_equal(all_of(cache), expected(files))
    assert np.array_equal(all_of(pickle.loads(pickle.dumps(cache))), expected(files))


def test_damage_with_the_source_gone_or_changed_says_so(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 3)
    caches = [build_cache(files, STEPS, tmp_path / "cache") for _ in range(2)]
    damage(pixels_of(caches[0]), 256)
    write_image(files.paths[1], np.random.default_rng(1))
    with pytest.raises(DataError, match=r"0001\.png .* is damaged, and its source has changed"):
        all_of(caches[0])
    files.paths[1].unlink()
    with pytest.raises(DataError, match=r"0001\.png .* is damaged, and its source cannot be read"):
        all_of(caches[1])


def test_files_cut_short_or_gone_are_made_again(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 9)
    for harm in (
        lambda cache: os.truncate(pixels_of(cache), 7 * 256 + 100),
        lambda cache: pixels_of(cache).unlink(),
        lambda cache: pixels_of(cache).write_bytes(b""),
    ):
        cache = build_cache(files, STEPS, tmp_path / "cache")
        harm(cache)
        told = Told()
        mended = build_cache(files, STEPS, tmp_path / "cache", watch=told)
        assert "0008.png" in mended.mended
        assert any(f"damaged entries of the image cache {cache.path}" in sentence for sentence in told.said)
        assert np.array_equal(all_of(mended), expected(files))


def test_a_damaged_index_is_passed_over(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 9)
    for harm in (
        lambda cache: damage(index_of(cache), 4 * 48 + 20),
        lambda cache: index_of(cache).unlink(),
        lambda cache: index_of(cache).write_bytes(b"\0" * 1000),
        lambda cache: index_of(cache).write_bytes(index_of(cache).read_bytes()[:-7]),
    ):
        cache = build_cache(files, STEPS, tmp_path / "cache")
        harm(cache)
        assert np.array_equal(all_of(build_cache(files, STEPS, tmp_path / "cache")), expected(files))
    told = Told()
    damage(index_of(cache), 48)
    files.paths[0].touch()
    build_cache(files, STEPS, tmp_path / "cache", watch=told)
    assert any("damaged records" in sentence for sentence in told.said)


# --- what cannot be done


def test_images_that_cannot_be_read_are_all_named_and_the_others_kept(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 20)
    good = [path.read_bytes() for path in files.paths]
    files.paths[3].write_bytes(b"no image")
    files.paths[17].write_bytes(good[17][:50])
    files.paths[9].unlink()
    with pytest.raises(DataError, match="3 of 20 images could not be read; the other 17 were cached") as caught:
        build_cache(files, STEPS, tmp_path / "cache")
    assert all(f'row {row + 1}, "{row:04d}.png"' in str(caught.value) for row in (3, 9, 17))
    for row in (3, 9, 17):
        files.paths[row].write_bytes(good[row])
    files.reads = 0
    cache = build_cache(files, STEPS, tmp_path / "cache")
    assert files.reads == 3
    assert np.array_equal(all_of(cache), expected(files))


def test_a_folder_full_of_what_is_no_image_is_not_read_to_its_end(tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"{number:03d}.png").write_bytes(b"no image")
    files = Folder(tuple(sorted(tmp_path.glob("*.png"))))
    with pytest.raises(DataError, match=r"(?s)At least 100 of 400 images .* and 92 more"):
        build_cache(files, STEPS, tmp_path / "cache")
    assert files.reads < 300


@pytest.mark.parametrize(("store", "size"), [("raw", 256 * 10 + 100), ("compressed", 700), ("raw", 48 * 5 + 7)])
def test_a_full_disk_keeps_what_was_made(tmp_path: Path, store: str, size: int) -> None:
    files = make_folder(tmp_path / "images", 30)
    folder = build_cache(Folder(files.paths[:1]), STEPS, tmp_path / "cache", store=store).path
    with no_file_longer_than(size), pytest.raises(RunError, match=r"could not be written: File too large.*are kept"):
        build_cache(files, STEPS, tmp_path / "cache", store=store)
    kept = len(read_index(folder / INDEX)[0])
    assert (size - 100) // 256 <= kept < 30
    files.reads = 0
    cache = build_cache(files, STEPS, tmp_path / "cache", store=store)
    assert files.reads == 30 - kept
    assert np.array_equal(all_of(cache), expected(files))


def test_a_disk_without_room_is_told_before_the_work(tmp_path: Path, monkeypatch: Any) -> None:
    class Small:
        f_bavail, f_frsize = 1, 512

    files = make_folder(tmp_path / "images", 30)
    monkeypatch.setattr(os, "statvfs", lambda _: Small)
    with pytest.raises(RunError, match='needs 0.00 GB more, .* store="compressed"'):
        build_cache(files, STEPS, tmp_path / "cache")
    assert files.reads == 0


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: Any) -> Callable[[], None]:
    """Return what makes the cache folder refuse to be written to; the tests may run as root, whom no mode stops."""

    def refuse() -> None:
        original = os.open

        def deny(path: Any, flags: int, *rest: Any, **named: Any) -> int:
            if str(path).startswith(str(tmp_path / "cache")) and flags & (os.O_WRONLY | os.O_RDWR):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            return original(path, flags, *rest, **named)

        monkeypatch.setattr(os, "open", deny)

    return refuse


def test_a_read_only_folder_can_be_read_but_not_filled(tmp_path: Path, read_only: Callable[[], None]) -> None:
    files = make_folder(tmp_path / "images", 6)
    build_cache(Folder(files.paths[:5]), STEPS, tmp_path / "cache")
    read_only()
    part = Folder(files.paths[:5])
    assert np.array_equal(all_of(build_cache(part, STEPS, tmp_path / "cache")), expected(part))
    with pytest.raises(RunError, match=r"could not be written: Read-only file system\. Choose a folder"):
        build_cache(files, STEPS, tmp_path / "cache")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(RunError, match="could not be written: Not a directory"):
        build_cache(make_folder(tmp_path / "images", 1), STEPS, tmp_path / "cache")


@pytest.mark.parametrize("about", ["{", "{}", '{"format": 2}', "[" * 100_000])
def test_a_cache_of_another_version_is_refused(tmp_path: Path, about: str) -> None:
    files = make_folder(tmp_path / "images", 2)
    cache = build_cache(files, STEPS, tmp_path / "cache")
    (cache.path / "about.json").write_text(about)
    with pytest.raises(RunError, match="no image cache of this version .* Delete the folder"):
        build_cache(files, STEPS, tmp_path / "cache")


@pytest.mark.parametrize("rows", [[3], [-1], [0, 7], [-4], [10**9], [1.0], [True, False, True], [[0, 1]]])
def test_rows_that_are_not_there_are_refused(tmp_path: Path, rows: list) -> None:
    cache = build_cache(make_folder(tmp_path / "images", 3), STEPS, tmp_path / "cache")
    cache.verify()  # the fast way is open
    with pytest.raises(ArgumentError, match="`rows` of ImageCache.read must be"):
        read_any(cache, np.array(rows))
    assert cache.read(np.array([], dtype=np.int64)).shape == (0, 16, 16, 1)
    with pytest.raises(ArgumentError, match="`out` of ImageCache.read"):
        cache.read(np.array([0]), np.zeros((2, 16, 16, 1), np.uint8))


def read_any(cache: ImageCache, rows: Any) -> Any:
    return ImageCache.read.__wrapped__(cache, rows) if hasattr(ImageCache.read, "__wrapped__") else cache.read(rows)


@pytest.mark.parametrize(("given", "said"), [({"store": "zip"}, "must be one of"), ({"workers": 0}, "at least 1")])
def test_arguments_that_cannot_be_are_refused(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        build_cache(make_folder(tmp_path / "images", 1), STEPS, tmp_path / "cache", **given)
