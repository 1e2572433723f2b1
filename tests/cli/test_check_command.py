"""`equipoise check images`: the flags, the exit status, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from equipoise._checks import ArgumentError, DataError, EquipoiseError
from equipoise.cli import app

PICTURES = np.random.default_rng(2).integers(0, 256, (6, 8, 8), dtype=np.uint8)


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", *map(str, arguments)])
    if isinstance(done.exception, EquipoiseError):
        raise done.exception
    return done.exit_code, done.stdout


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six rows; the last is a copy of the first, with another grade, role and patient."""
    (tmp_path / "images").mkdir()
    for row in range(6):
        cv2.imwrite(str(tmp_path / "images" / f"{row}.png"), PICTURES[row % 5])
    rows = [f"images/{row}.png,{row % 3},{'test' if row > 3 else 'Train'},p{row},x{row}" for row in range(6)]
    (tmp_path / "labels.csv").write_text("image,grade,part,patient,name\n" + "\n".join(rows) + "\n")
    return tmp_path / "labels.csv"


def test_the_command_prints_what_it_found_and_exits_with_1(table: Path) -> None:
    command = [sys.executable, "-m", "equipoise", "check", "images", str(table), "--images", str(table.parent)]
    done = subprocess.run(
        [*command, "--labels", "grade", "--groups", "patient", "--role", "part"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert "labels.csv: 6 images: all can be read, 5 different pictures." in done.stdout
    assert "error: 1 picture stands in more than one role (2 rows): " in done.stdout
    assert '"images/0.png" (row 1, train, label 0, group p0) = "images/5.png" (row 6, test, label 2, gro' in done.stdout
    assert "warning: 1 picture stands in different groups" in done.stdout


def test_json_holds_all_and_nothing_else(table: Path) -> None:
    status, text = run("images", table, "--images", table.parent / "images", "--json", "--workers", 2)
    found = json.loads(text)
    assert status == 0
    assert (found["images"], found["pictures"], found["severity"], found["ok"]) == (6, 5, "warning", True)
    assert [(problem["kind"], problem["rows"]) for problem in found["problems"]] == [("same_picture", [[0, 5]])]
    assert run("images", table, "--images", table.parent, "--strict")[0] == 1


@pytest.mark.parametrize(
    ("key", "extra"), [("id", []), ("image", []), ("name", ["--ids", "name"]), ("id", ["--ids", "name"])]
)
def test_a_split_file_is_joined_by_its_ids(key: str, extra: list[str], table: Path, tmp_path: Path) -> None:
    ids = {"id": "5,0" if not extra else "x5,x0", "image": "images/5.png,images/0.png", "name": "x5,x0"}[key]
    one, two = ids.split(",")
    (tmp_path / "split.csv").write_text(f"{key},role\n{one},test\n{two},train\n")
    status, text = run("images", table, "--images", table.parent, "--split", tmp_path / "split.csv", *extra, "--json")
    assert status == 1
    assert json.loads(text)["problems"][0]["kind"] == "other_role"


def test_other_columns_count_as_labels_when_named(table: Path) -> None:
    status, text = run("images", table, "--images", table.parent, "--also", "name,patient")
    assert status == 1
    assert "with different labels" in text


def test_an_archive_brings_its_own_labels_and_roles(tmp_path: Path) -> None:
    numbers = np.arange(3)[:, None]
    np.savez(
        tmp_path / "x.npz", train_images=PICTURES[:3], train_labels=numbers, test_images=PICTURES[2:5],
        test_labels=numbers,
    )  # fmt: skip
    status, text = run("images", tmp_path / "x.npz", "--groups", "none", "--json")
    assert status == 1
    kinds = [problem["kind"] for problem in json.loads(text)["problems"]]
    assert kinds == ["other_role", "other_labels", "same_picture"]
    with pytest.raises(ArgumentError, match="`--images` is not for an .npz"):
        run("images", tmp_path / "x.npz", "--images", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["masks", "T"], ArgumentError, "must be one of \"images\"; got 'masks'"),
        (["images", "T"], ArgumentError, "`--images` must name the folder"),
        (["images", "T", "--images", "F", "--image", "imge"], DataError, 'no column "imge". Did you mean "image"'),
        (["images", "T", "--images", "F/nothing"], DataError, "does not exist. Give the folder"),
        (["images", "T", "--images", "F", "--image", "name"], DataError, "None of the 6 images was found"),
        (["images", "T", "--images", "F", "--role", "grade"], DataError, '"." is no role'),
        (["images", "T", "--images", "F", "--role", "part", "--split", "T"], ArgumentError, "Give one of them"),
        (["images", "T", "--images", "F", "--split", "T"], DataError, "has no column"),
        (["images", "T", "--images", "F", "--task", "ordinal"], ArgumentError, "`--task` is about labels"),
        (["images", "T", "--images", "F", "--groups", "patent"], DataError, 'no column "patent"'),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], error: type, words: str, table: Path) -> None:
    given = [text.replace("F", str(table.parent), 1) if text[0] == "F" else text for text in arguments]
    with pytest.raises(error, match=words):
        run(*[str(table) if text == "T" else text for text in given])


def test_a_limit_on_pixels_is_obeyed(table: Path) -> None:
    status, text = run("images", table, "--images", table.parent, "--max-pixels", 63)
    assert status == 1
    assert "6 images cannot be read" in text
    assert "above the limit of 63" in text
