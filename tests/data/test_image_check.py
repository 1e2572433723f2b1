"""What a look at every image finds: planted faults, known in number, and real data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest
from PIL import Image

from equipoise._checks import ArgumentError
from equipoise.data import ImageFiles, check_images, find_images
from equipoise.labels import Labels, Split, read_labels

RNG = np.random.default_rng(11)
PICTURES = RNG.integers(0, 256, (12, 16, 20), dtype=np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    for number, picture in enumerate(PICTURES):
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), picture)
    return find_images([f"{number:02}.png" for number in range(12)], tmp_path, source="labels.csv")


def labels_of(values: Any, **settings: Any) -> Labels:
    return Labels("binary", ("mass",), np.array(values, np.float32), np.arange(len(values)), **settings)


def rows_of(found: Any, kind: str) -> Any:
    problem = found.of(kind)
    return None if problem is None else problem.rows


def test_sound_images_have_no_problem(files: ImageFiles) -> None:
    found = check_images(files, labels=labels_of([0, 1] * 6), roles=["train", "test"] * 6)
    assert found.problems == ()
    assert (found.images, found.readable, found.pictures, found.severity, found.ok) == (12, 12, 12, "none", True)
    assert found.shapes == (("PNG", "grey 8-bit", 20, 16, 12),)
    assert found.sentences() == ["12 images: all can be read, 12 different pictures.", "Nothing wrong was found."]


def test_planted_faults_are_all_found_and_nothing_else(files: ImageFiles) -> None:
    folder = files.folder
    (folder / "01.png").write_bytes(b"")
    (folder / "02.png").write_bytes((folder / "02.png").read_bytes()[:150])
    cv2.imwrite(str(folder / "03.png"), np.full((16, 20), 7, np.uint8))
    cv2.imwrite(str(folder / "04.png"), np.full((16, 20), 7, np.uint8))  # as blank as the other: no copy of it
    Image.fromarray(PICTURES[0]).convert("RGBA").save(folder / "05.png")  # the first, in colour
    cv2.imwrite(str(folder / "06.png"), PICTURES[7].astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "08.png"), np.ascontiguousarray(PICTURES[8].T))
    cv2.imwrite(str(folder / "10.bmp"), PICTURES[10])
    (folder / "09.PNG").write_bytes(b"another")
    found = check_images(files)
    kinds = {problem.kind: problem for problem in found.problems}
    assert set(kinds) == {"unreadable", "truncated", "blank", "same_picture", "mode", "size", "case", "orphans"}
    assert rows_of(found, "unreadable") == ((1,),)
    assert rows_of(found, "truncated") == ((2,),)
    assert rows_of(found, "blank") == ((3,), (4,))
    assert rows_of(found, "same_picture") == ((0, 5),)
    assert rows_of(found, "mode") == ((5,), (6,))
    assert rows_of(found, "size") == ((8,),)
    assert kinds["case"].names == (("09.PNG", "09.png"),)
    assert kinds["orphans"].names == (("09.PNG",), ("10.bmp",))
    assert [problem.severity for problem in found.problems] == ["error"] * 2 + ["warning"] * 4 + ["note"] * 2
    assert (found.readable, found.severity, found.ok) == (10, "error", False)
    assert 'labels.csv row 2, column "image": ' in kinds["unreadable"].message
    assert "8 images are grey 8-bit; 1 RGBA 8-bit, 1 grey 16-bit" in kinds["mode"].message
    assert json.loads(json.dumps(found.to_dict()))["problems"][0]["rows"] == [[1]]


def test_copies_are_named_with_their_roles_labels_and_patients(files: ImageFiles) -> None:
    for copy, of in ((6, 0), (7, 1), (8, 2), (9, 2), (10, 3)):
        cv2.imwrite(str(files.paths[copy]), PICTURES[of])
    values = [1, 0, 1, np.nan, 0, 0, 1, 1, 1, 0, 1, 0]
    roles = ["train", "train", "train", "train", None, None, "test", "train", "train", "train", None, "test"]
    patients = [0, 1, 2, 3, 4, 5, 0, 1, 2, 9, 3, 7]
    labels = labels_of(values, groups=np.array(patients))
    found = check_images(files, labels=labels, roles=np.array(roles, object))
    assert rows_of(found, "other_role") == ((0, 6),)
    assert rows_of(found, "other_labels") == ((1, 7), (2, 8, 9))  # not (3, 10): what is unknown contradicts nothing
    assert rows_of(found, "other_group") == ((2, 8, 9),)
    assert rows_of(found, "same_picture") == ((0, 6), (1, 7), (2, 8, 9), (3, 10))
    message = found.of("other_role").message  # type: ignore[union-attr]
    assert '"00.png" (row 1, train, label mass 1, group 0) = "06.png" (row 7, test, label mass 1, group 0)' in message
    split = Split(np.array([6, 0]), np.array(["test", "train"], object))
    assert rows_of(check_images(files, labels=labels, roles=split), "other_role") == ((0, 6),)
    by_name = Split(np.array(["06.png", "00.png"], object), np.array(["test", "train"], object))
    assert rows_of(check_images(files, roles=by_name), "other_role") == ((0, 6),)
    also = check_images(files, also={"eye": [*"LLLLLL", *"RL", "", "", *"LL"]})
    assert rows_of(also, "other_labels") == ((0, 6),)
    some = check_images(files.select([7, 1]), labels=labels.select([7, 1]))
    assert "row 8, label mass 1" in some.of("other_labels").message  # type: ignore[union-attr]


def test_multilabel_rows_differ_in_any_class(files: ImageFiles) -> None:
    cv2.imwrite(str(files.paths[1]), PICTURES[0])
    table = np.zeros((12, 2), np.float32)
    table[1] = [0, 1]
    labels = Labels("multilabel", ("mass", "edema"), table, np.arange(12))
    found = check_images(files, labels=labels)
    assert "label none" in found.of("other_labels").message  # type: ignore[union-attr]
    assert "label edema" in found.of("other_labels").message  # type: ignore[union-attr]


def test_one_file_on_several_rows_is_told_from_a_copy(files: ImageFiles) -> None:
    again = find_images(["00.png", "01.png", "00.png"], files.folder)
    found = check_images(again, labels=labels_of([0, 1, 1]))
    assert rows_of(found, "same_file") == rows_of(found, "other_labels") == ((0, 2),)
    assert found.of("same_picture") is None


def test_colour_is_not_grey(files: ImageFiles) -> None:
    almost = np.repeat(PICTURES[0][..., None], 3, 2)
    almost[5, 7, 2] ^= 1  # between the few pixels that are looked at first
    Image.fromarray(almost).save(files.paths[1])
    assert check_images(files).of("same_picture") is None


def test_any_number_of_threads_finds_the_same_and_says_how_far_it_is(files: ImageFiles) -> None:
    files.paths[3].write_bytes(b"x")
    many = files.select([*range(12)] * 9)
    said: list[Any] = []

    class Watch:
        def say(self, sentence: str) -> None: ...

        def begin(self, title: str, total: int) -> None:
            said.append(total)

        def move(self, done: float, note: str) -> None:
            said.append(done)

        def end(self, note: str) -> None:
            said.append(note)

    found = [check_images(many, workers=workers, watch=Watch()).to_dict() for workers in (1, 3)]
    assert found[0] == found[1]
    done = said[1 : len(said) // 2 - 1]
    assert said == [108, *done, "108 of 108 read"] * 2
    assert done == sorted(done)
    assert (len(done) > 3, done[-1]) == (True, 108)
    with pytest.raises(ArgumentError, match="`workers`"):
        check_images(files, workers=0)


@pytest.mark.parametrize("name", ["labels", "roles", "groups", "also"])
def test_columns_of_other_rows_are_refused(name: str, files: ImageFiles) -> None:
    wrong: Any = {"labels": labels_of([0, 1]), "also": {"eye": [1]}}.get(name, [1, 2])
    with pytest.raises(ArgumentError, match=f"`{name}` of check_images must have one entry for each of 12 images"):
        check_images(files, **{name: wrong})


# --- real data


def test_the_six_pairs_of_the_fundus_photographs(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("idrid-dr-grading")
    table = pl.read_csv(folder / "labels.csv")
    files = find_images(table["image"], folder, source="labels.csv")
    labels = read_labels(folder / "labels.csv", "dr_grade", task="ordinal", groups="none")
    found = check_images(files, labels=labels, roles=table["split"], also={"dme": table["dme_risk"]})
    said = {
        frozenset((f"images/{row['duplicate_of']}.jpg", row["image"]))
        for row in table.iter_rows(named=True)
        if row["duplicate_of"]
    }
    pairs = found.of("same_picture")
    assert pairs is not None
    assert pairs.count == 6
    assert set(map(frozenset, pairs.names)) == said
    assert found.of("other_labels").count == 4  # type: ignore[union-attr]
    crossing = found.of("other_role")
    assert crossing is not None
    assert crossing.count == 1
    assert "train, label 0" in crossing.message
    assert "test, label 3" in crossing.message
    assert (found.readable, found.pictures) == (516, 510)


def test_the_thousand_small_x_rays_are_sound(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("nih-cxr14-small")
    table = pl.read_csv(folder / "labels.csv")
    found = check_images(find_images(table["image"], folder / "images"), groups=table["patient_id"])
    assert (found.readable, found.pictures, found.severity) == (1000, 1000, "none")
    assert found.shapes == (("PNG", "grey 8-bit", 64, 64, 1000),)
