"""Every input that cannot be right: one message with the place and the remedy, exit status 2, nothing written."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_QUICK = ("--set", "training.members=1", "--set", "training.epochs=1", "--set", "model.name=linear")
_READERS = ("census", "weights", "split", "train")

Run = Callable[..., Any]


def _table(rows: int = 100, header: str = "id,patient,age,ill,dead") -> list[str]:
    return [header] + [f"r{n},p{n // 2},{n * 37 % 61},{n % 4 == 0:d},{n % 5 == 0:d}" for n in range(rows)]


def _changed(line: int, cells: dict[int, str]) -> str:
    lines = _table()
    written = lines[line].split(",")
    for place, cell in cells.items():
        written[place] = cell
    lines[line] = ",".join(written)
    return "\n".join(lines) + "\n"


def _only(place: int, cell: Callable[[int], str]) -> str:
    lines = [line.split(",") for line in _table()]
    for number, cells in enumerate(lines[1:]):
        cells[place] = cell(number)
    return "\n".join(map(",".join, lines)) + "\n"


_WHOLE = "\n".join(_table()) + "\n"
_PACKED = gzip.compress(_WHOLE.encode(), mtime=0)
_TABLES: dict[str, tuple[str, bytes, str, tuple[str, ...], tuple[str, ...]]] = {
    # what is wrong: file, content, labels, further flags, what the message says
    "missing column": ("t.csv", _WHOLE.encode(), "il", (), ('t.csv has no column "il". Did you mean "ill"?',)),
    "duplicate column": (
        "t.csv", _WHOLE.replace("dead", "ill", 1).encode(), "ill", (),
        ('the header has "ill" 2 times (columns 4, 5)', "Rename or remove all but one."),
    ),
    "label that is no label": (
        "t.csv", _changed(7, {3: "yess"}).encode(), "ill,dead", (), ('t.csv row 7, column "ill": "yess"',),
    ),
    "all unknown": (
        "t.csv", _only(3, lambda _: "").encode(), "ill,dead", (),
        ('t.csv, column "ill": every label is empty or unknown. Leave the column out',),
    ),
    "duplicate ids with other labels": (
        "t.csv", (_WHOLE + "r4,p9,3,0,0\n").encode(), "ill,dead", ("--ids", "id"),
        ('column "id": the id "r4" stands in rows 5 and 101 with different labels ("ill")', "Keep the right row"),
    ),
    "zero rows": ("t.csv", b"id,patient,age,ill,dead\n", "ill,dead", (), ("has a header but no rows. Check the path",)),
    "nothing at all": ("t.csv", b"", "ill", (), ("is empty. A table needs a header and at least one row.",)),
    "not UTF-8": (
        "t.csv", _WHOLE.encode() + "é,p,1,0,0\n".encode("latin-1"), "ill", (),
        ("t.csv line 102 is not UTF-8 text (byte 0xe9). Save the file as UTF-8.",),
    ),
    "truncated": ("t.csv.gz", _PACKED[:-90], "ill", (), ("t.csv.gz is truncated", "Copy or export it again.")),
    "damaged": ("t.csv.gz", _PACKED[:40] + b"\0\0\0\0" + _PACKED[44:], "ill", (), ("t.csv.gz", "Copy or export it")),
    "one column twice": ("t.csv", _WHOLE.encode(), "ill,ill", (), ("twice",)),
    "label and group": ("t.csv", _WHOLE.encode(), "ill", ("--groups", "ill"), ("A column has one purpose.",)),
}  # fmt: skip


@pytest.fixture
def refused(command: Run, tmp_path: Path) -> Run:
    """Run a command that has to refuse, see that it left nothing behind, and return its message."""

    def run(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        said = command(*arguments)
        assert said.code == 2, said
        assert "Traceback" not in said.error
        assert sorted(tmp_path.rglob("*")) == before
        return str(said.error)

    return run


@pytest.mark.parametrize("name", _READERS)
@pytest.mark.parametrize("fault", _TABLES)
def test_a_faulty_table(fault: str, name: str, tmp_path: Path, refused: Run) -> None:
    file, content, labels, flags, parts = _TABLES[fault]
    (tmp_path / file).write_bytes(content)
    more = () if "--groups" in flags or name in ("census", "weights") else ("--groups", "none")
    said = refused(name, tmp_path / file, "--labels", labels, *flags, *more, "--out", tmp_path / "out")
    for part in parts:
        assert part in said


@pytest.mark.parametrize("name", _READERS)
def test_a_directory_and_a_file_that_is_not_there(name: str, tmp_path: Path, refused: Run) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "table.csv").write_text(_WHOLE)
    common = ("--labels", "ill", "--groups", "none", "--out", tmp_path / "out")
    assert "is a directory. Give the table inside it." in refused(name, tmp_path / "folder", *common)
    said = refused(name, tmp_path / "tabel.csv", *common)
    assert "tabel.csv does not exist" in said or "neither a table nor a recipe" in said
    assert 'Did you mean "table.csv"?' in said or name == "train"


@pytest.mark.parametrize("name", ["census", "weights", "split", "plan", "train"])
def test_an_unknown_label_with_the_nearest_spelling(name: str, tmp_path: Path, refused: Run) -> None:
    (tmp_path / "t.csv").write_text("id,finding\n" + "a,Effusion|Mass\nb,Mass\nc,Effussion\n" * 9)
    flags = ("--labels", "finding", "--separator", "|", "--classes", "Effusion,Mass", "--groups", "none")
    said = refused(name, tmp_path / "t.csv", *flags)
    assert 't.csv row 3, column "finding": "Effussion" is not one of "Effusion", "Mass".' in said
    assert 'Did you mean "Effusion"?' in said


def test_a_class_without_a_positive_and_one_in_one_group_only(tmp_path: Path, refused: Run) -> None:
    path = tmp_path / "t.csv"
    common = (path, "--labels", "ill,dead", "--out", tmp_path / "out")
    path.write_text(_only(3, lambda _: "0"))
    for name, flags in (("weights", ("--scheme", "sqrt")), ("train", ("--groups", "none"))):
        said = refused(name, *common, *flags)
        assert '"ill" has no positive' in said
        assert "rop the class, add data" in said
    path.write_text(_only(3, lambda n: str(int(n < 2))))
    said = refused("train", *common, "--groups", "patient")
    assert 'every positive of "ill" is in one group (p0)' in said
    assert "add data of other groups" in said


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e400", "1e39"])
def test_an_infinite_feature(cell: str, tmp_path: Path, refused: Run, command: Run) -> None:
    (tmp_path / "t.csv").write_text(_changed(7, {2: cell}))
    flags = ("--labels", "ill", "--groups", "patient", "--out", tmp_path / "out")
    said = refused("train", tmp_path / "t.csv", *flags)
    assert 't.csv row 7, column "age":' in said
    assert "Leave the cell empty if the value is unknown" in said
    (tmp_path / "t.csv").write_text(_changed(7, {2: "NaN"}))
    assert command("train", tmp_path / "t.csv", *flags, *_QUICK).code == 0  # NaN is a missing cell


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.features=[age, ill]", 'names a label: "ill". A label can never be a feature'),
        ("data.features=[age, patient]", 'Column "patient" is the group column and can never be a feature'),
        ("data.features=[age, id]", 'Column "id" is the id column and can never be a feature'),
        ("data.features=[aeg]", 'no column "aeg" (listed in `features`). Did you mean "age"?'),
        ("data.features=[]", "No column of t.csv can be used as a feature."),
        ("data.exclude=[age, dead]", "No column of t.csv can be used as a feature."),
        ("training.epoch=3", 'key training.epoch: unknown key.'),
        ("training.epochs=many", 'key training.epochs: must be a whole number; got "many".'),
        ("seed=-1", "key seed: must be at least 0; got -1."),
        ("nonsense", "must be key=value, such as --set training.epochs=5"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work(setting: str, message: str, tmp_path: Path, refused: Run) -> None:
    (tmp_path / "t.csv").write_text(_WHOLE)
    flags = ("--labels", "ill", "--groups", "patient", "--ids", "id", "--out", tmp_path / "out")
    assert message in refused("train", tmp_path / "t.csv", *flags, "--set", setting)


_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"training:\n  epoch: 3\n", 'r.yaml line 2, key training.epoch: unknown key.'),
        (b"training:\n  epoch: 3\n", 'Did you mean "epochs"?'),
        (b"seed: 1\ntraining:\n  epochs: many\n", 'r.yaml line 3, key training.epochs: must be a whole number; got'),
        (b"seed: 1\nseed: 2\n", "r.yaml line 2, key seed: given twice (first on line 1)"),
        (_BOMB.encode(), "aliases (*name) expand without end"),
        (b"name: !!python/object/apply:os.system ['false']\n", "line 1: the tag !!python/object/apply:os.system is"),
        ("seed: 1\nname: é\n".encode("latin-1"), "r.yaml line 2 is not UTF-8 text. Save the file as UTF-8."),
        (b"", "data.table names no table. Give one: --set data.table=TABLE.csv."),
        (b"- a\n", "must hold keys such as `training:`"),
    ],
)  # fmt: skip
def test_a_faulty_recipe(content: bytes, message: str, tmp_path: Path, refused: Run) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    assert message in refused("train", tmp_path / "r.yaml", "--out", tmp_path / "out")


def test_a_split_file_that_tears_a_patient_apart_is_refused(tmp_path: Path, refused: Run, command: Run) -> None:
    (tmp_path / "t.csv").write_text(_WHOLE)
    roles = ["train", "validation", "test"]
    (tmp_path / "s.csv").write_text("id,role\n" + "".join(f"r{n},{roles[n % 3]}\n" for n in range(100)))
    flags = ("--labels", "ill", "--ids", "id", "--out", tmp_path / "out", "--set", f"split.file={tmp_path / 's.csv'}")
    said = refused("train", tmp_path / "t.csv", *flags, "--groups", "patient")
    assert 's.csv puts rows of 50 groups of t.csv into more than one role, such as "p0" in train and validation' in said
    assert "data.groups: none" in said
    assert command("train", tmp_path / "t.csv", *flags, "--groups", "none", *_QUICK).code == 0


def test_few_rows_train_without_a_warning(tmp_path: Path, command: Run) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{x:.3f},{n < 2:d}\n" for n, x in enumerate(rng.random(40))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = command(
            "train", tmp_path / "t.csv", "--labels", "y", "--groups", "none", *_QUICK, "--out", tmp_path / "o"
        )
    assert said.code == 0
