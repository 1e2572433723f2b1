"""Images of MedMNIST-style archives."""

from __future__ import annotations

import contextlib
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._checks import DataError
from equipoise.data import check_images, read_npz_images
from equipoise.labels import read_labels

RNG = np.random.default_rng(8)


def arrays(shape: tuple[int, ...] = (9, 9), dtype: Any = np.uint8) -> dict[str, np.ndarray]:
    made = {}
    for role, rows in (("train", 6), ("val", 3), ("test", 4)):
        made[f"{role}_images"] = RNG.integers(0, 250, (rows, *shape)).astype(dtype)
        made[f"{role}_labels"] = np.arange(rows)[:, None] % 3
    return made


@pytest.mark.parametrize(
    ("shape", "dtype", "read"),
    [((9, 9), np.uint8, (9, 9)), ((9, 7, 3), np.uint8, (9, 7, 3)), ((5, 9, 1), np.uint16, (5, 9))],
)
def test_rows_are_those_of_the_labels(shape: Any, dtype: Any, read: Any, tmp_path: Path) -> None:
    made = arrays(shape, dtype)
    np.savez_compressed(tmp_path / "x.npz", **made)
    images = read_npz_images(tmp_path / "x.npz")
    labels = read_labels(tmp_path / "x.npz", groups="none")
    assert images.names == tuple(labels.ids)
    assert images.roles == ("train",) * 6 + ("validation",) * 3 + ("test",) * 4
    assert len(images) == 13
    whole = np.concatenate([made[f"{role}_images"] for role in ("train", "val", "test")]).reshape(13, *read)
    for row in range(13):
        assert images.read(row).dtype == dtype
        np.testing.assert_array_equal(images.read(row), whole[row])
    some = images.select([12, 0])
    assert (some.names, some.roles, some.rows) == (("test-3", "train-0"), ("test", "train"), (12, 0))
    np.testing.assert_array_equal(some.read(0), whole[12])
    assert some.stamp(0) == images.stamp(12) != images.stamp(11)
    assert some.digest(1) == images.digest(0) != images.digest(1)
    before = images.stamp(0, content=True)
    os.utime(tmp_path / "x.npz", ns=(5, 5))
    assert images.stamp(0, content=True) != before


def test_a_picture_in_two_roles_of_an_archive_is_found(tmp_path: Path) -> None:
    made = arrays()
    made["test_images"][1] = made["train_images"][4]
    np.savez(tmp_path / "x.npz", **made)
    images = read_npz_images(tmp_path / "x.npz")
    found = check_images(images, roles=images.roles, labels=read_labels(tmp_path / "x.npz", groups="none"))
    problem = found.of("other_role")
    assert problem is not None
    assert problem.names == (("train-4", "test-1"),)
    assert "label 1" in problem.message
    assert found.of("other_labels") is None  # both are class 1


class Trap:
    """Would make a file if it were unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("trapped",))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train_images": np.zeros((6, 9, 9, 9), np.uint8)}, "Volumes are not read"),
        ({"train_images": np.zeros((6, 9, 9), np.float32)}, "uint8 or uint16.*got float32"),
        ({"train_images": np.array([Trap()] * 6)}, "got object|cannot be read"),
        ({"train_images": np.zeros((5, 9, 9), np.uint8)}, "train_images has 5 rows and train_labels has 6"),
        ({"train_images": np.zeros((6, 0, 9), np.uint8)}, "9 x 0 pixels"),
    ],
)
def test_other_arrays_are_refused(
    changed: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "x.npz", **(arrays() | changed), allow_pickle=True)
    with pytest.raises(DataError, match=words):
        read_npz_images(tmp_path / "x.npz")
    assert not (tmp_path / "trapped").exists()


def npy_claiming(shape: tuple[int, ...]) -> bytes:
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


@pytest.mark.parametrize(
    ("shape", "limits", "words"),
    [
        ((10**6, 1000, 1000), {}, "nothing was unpacked"),
        ((400, 1000, 1000), {}, "nothing was unpacked"),
        ((10, 1000, 1000), {"max_bytes": 10**6}, "nothing was unpacked"),
        ((1, 30_000, 30_000), {}, "above the limit"),
        ((2, 10, 10), {}, "cannot be read"),
    ],
)
def test_bombs_and_lies_are_refused(shape: Any, limits: Any, words: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_images.npy", npy_claiming(shape) + bytes(30))
    with pytest.raises(DataError, match=words):
        read_npz_images(tmp_path / "x.npz", **limits)


def packed(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_a_header_is_never_read_to_a_length_that_it_claims(tmp_path: Path) -> None:
    bomb = b"\x93NUMPY\x02\x00" + (1 << 28).to_bytes(4, "little") + b" " * (1 << 25)
    path = packed(tmp_path / "x.npz", train_images=bomb, train_labels=bomb)
    tracemalloc.start()
    for read in (read_npz_images, read_labels):
        with pytest.raises(DataError, match="its header has 268,435,456 bytes"):
            read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22


@pytest.mark.parametrize("shape", [(10**12,), (2**63, 1), (1 << 29, 1)])
def test_labels_that_are_a_bomb_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = packed(tmp_path / "x.npz", train_labels=npy_claiming(shape) + bytes(30))
    with pytest.raises(DataError, match="nothing was unpacked"):
        read_labels(path)


def test_the_directory_of_an_archive_is_not_believed(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.npz", train_images=npy_claiming((1 << 22, 10, 10)) + bytes(30))
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 20  # the packed size
    content[place : place + 4] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match="nothing was unpacked"):
        read_npz_images(path)


def test_an_archive_damaged_anywhere_is_an_error_of_the_data(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", **arrays())
    whole, rng = (tmp_path / "x.npz").read_bytes(), np.random.default_rng(2)
    for place in rng.integers(0, len(whole), 300).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "y.npz").write_bytes(damaged)
        for read in (read_npz_images, read_labels):
            with contextlib.suppress(DataError):
                read(tmp_path / "y.npz")


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04" + bytes(50), pickle.dumps([1])])
def test_files_that_are_no_archive_are_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"x\.npz cannot be read as .npz"):
        read_npz_images(tmp_path / "x.npz")
    with pytest.raises(DataError, match="does not exist"):
        read_npz_images(tmp_path / "y.npz")


def test_an_archive_without_images_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", train_labels=np.zeros(3, np.uint8))
    with pytest.raises(DataError, match='has no array "train_images".*it has "train_labels"'):
        read_npz_images(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", train_images=np.zeros((0, 3, 3), np.uint8))
    with pytest.raises(DataError, match="holds no image"):
        read_npz_images(tmp_path / "x.npz")
