"""Score files that cannot be right: one message with the place and the remedy, exit status 2, nothing written."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise.scores import Scores, read_scores, write_scores

Command = Callable[..., Any]


def _lines(rows: int = 60) -> list[list[str]]:
    random = np.random.default_rng(0)
    table = [["id", "patient", "y_ill", "y_dead", "p_ill", "p_dead"]]
    for row in range(rows):
        values = random.random(2).round(4)
        table.append([f"r{row}", f"p{row // 2}", str(int(row % 4 == 0)), str(int(row % 5 == 0)), *map(str, values)])
    return table


def _text(table: list[list[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in table).encode()


def _cell(row: int, column: int, cell: str) -> bytes:
    table = _lines()
    table[row][column] = cell
    return _text(table)


def _column(column: int, make: Callable[[int], str]) -> bytes:
    table = _lines()
    for number, row in enumerate(table[1:]):
        row[column] = make(number)
    return _text(table)


_WHOLE = _text(_lines())
_PACKED = gzip.compress(_WHOLE, mtime=0)
_GROUPS = ("--role", "test", "--groups", "patient")
_FILES: dict[str, tuple[str, bytes, tuple[str, ...], tuple[str, ...]]] = {
    # what is wrong: file, content, flags, what the message says
    "above one": ("t.csv", _cell(7, 4, "1.5"), _GROUPS, ('row 7, column "p_ill": 1.5 is not', "--kind logits")),
    "logits declared probabilities": (
        "t.csv", _column(5, lambda row: str(row - 30)), _GROUPS,
        ('row 1, column "p_dead": -30 is not a probability (58 of 60 values', "--kind logits"),
    ),
    "percentages": ("t.csv", _column(4, lambda row: str(row + 2)), _GROUPS, ("percentages, divide by 100",)),
    "no score": ("t.csv", _cell(3, 4, ""), _GROUPS, ('row 3, column "p_ill": the score is missing', "leave the row")),
    "score NaN": ("t.csv", _cell(3, 5, "NaN"), _GROUPS, ('row 3, column "p_dead": the score is missing (empty or',)),
    "infinite": ("t.csv", _cell(9, 5, "-inf"), _GROUPS, ('row 9, column "p_dead": the score is -inf',)),
    "no number": ("t.csv", _cell(9, 5, "high"), _GROUPS, ('row 9, column "p_dead": "high" is not a number',)),
    "decimal comma": (
        "t.csv", _WHOLE.replace(b",", b";").replace(b"0.", b"0,"), _GROUPS, ('"0,', "Write decimals with a point."),
    ),
    "label of three": ("t.csv", _cell(5, 2, "2"), _GROUPS, ('row 5, column "y_ill": label 2 is not', "--positive")),
    "same id twice": (
        "t.csv", _cell(8, 0, "r2"), _GROUPS, ('row 8, column "id": the id "r2" is also that of row 3.', "--ids none"),
    ),
    "no id": ("t.csv", _cell(8, 0, ""), _GROUPS, ('row 8, column "id" is empty.', "--ids none")),
    "no group": ("t.csv", _cell(8, 1, ""), _GROUPS, ('row 8, column "patient" is empty while other rows',)),
    "groups not said": ("t.csv", _WHOLE, ("--role", "test"), ('no column "group"', "--groups none")),
    "other group": ("t.csv", _WHOLE, ("--role", "test", "--groups", "patients"), ('Did you mean "patient"?',)),
    "role not said": ("t.csv", _WHOLE, ("--groups", "none"), ('no column "role"', "--role")),
    "no labels of a class": (
        "t.csv", _WHOLE.replace(b"y_dead", b"dead", 1), _GROUPS, ('no column "y_dead".', "--labels"),
    ),
    "no scores of a class": ("t.csv", _WHOLE.replace(b"p_dead", b"dead", 1), _GROUPS, ('no column "p_dead"',)),
    "column twice": (
        "t.csv", _WHOLE.replace(b"p_dead", b"p_ill", 1), _GROUPS, ('has "p_ill" 2 times (columns 5, 6)', "Rename"),
    ),
    "wrong delimiter": (
        "t.csv", _WHOLE.replace(b",", b"|"), _GROUPS, ("no score columns", "commas, tabs or semicolons"),
    ),
    "ragged": ("t.csv", _WHOLE + b"r99,p99,0\n", _GROUPS, ("row 61 (line 62) has 3 cells where the header has 6",)),
    "nothing at all": ("t.csv", b"", _GROUPS, ("is empty. A table needs a header",)),
    "header only": ("t.csv", _WHOLE.splitlines()[0] + b"\n", _GROUPS, ("has a header but no rows",)),
    "truncated": ("t.csv.gz", _PACKED[:-90], _GROUPS, ("t.csv.gz is truncated", "Copy or export it again.")),
    "not UTF-8": ("t.csv", _WHOLE + b"\xe9,p,1,0,0.1,0.1\n", _GROUPS, ("line 62 is not UTF-8",)),
    "a spreadsheet": ("t.csv", b"PK\x03\x04" + _WHOLE, _GROUPS, ("Save it as CSV or Parquet.",)),
    "damaged Parquet": ("t.parquet", b"PAR1" + _WHOLE, _GROUPS, ("not a whole Parquet file",)),
    "control characters": (
        "t.csv", _cell(9, 5, "\x1b[31mred"), _GROUPS, ('row 9, column "p_dead": "[31mred" is not a number',),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", _FILES)
@pytest.mark.parametrize("name", ["decide", "evaluate"])
def test_a_faulty_file_is_refused_with_place_and_remedy(
    command: Command, tmp_path: Path, name: str, fault: str
) -> None:
    file, content, flags, parts = _FILES[fault]
    path = tmp_path / file
    path.write_bytes(content)
    said = command(name, path, *flags, "--out", tmp_path / "out.json", "--figure", tmp_path / "out.png")
    assert said.code == 2, said
    message = " ".join(said.error.split())
    for part in parts:
        assert part in message
    assert "\x1b" not in said.error
    assert [one.name for one in tmp_path.iterdir()] == [file]


def _write(path: Path, labels: Any, values: Any, kind: str = "probabilities", classes: Any = ("ill", "dead")) -> None:
    ids = [f"{path.stem}{row}" for row in range(len(labels))]
    write_scores(
        Scores(labels=labels, values=values, kind=kind, ids=ids, role=path.stem, classes=classes), path
    )  # fmt: skip


def _labels(rows: int = 80) -> Any:
    return np.column_stack([np.arange(rows) % 4 == 0, np.arange(rows) % 5 == 0]).astype(float)


def test_logits_that_look_like_probabilities_are_allowed_and_said(command: Command, tmp_path: Path) -> None:
    _write(tmp_path / "validation.csv", _labels(), np.random.default_rng(0).random((80, 2)), kind="logits")
    said = command("decide", tmp_path / "validation.csv")
    assert said.code == 0
    assert 'All logits lie in [0, 1]. If they are probabilities, say so: kind="probabilities".' in said.error


def test_constant_scores_are_allowed_and_said(command: Command, tmp_path: Path) -> None:
    values = np.column_stack([np.full(80, 0.25), np.random.default_rng(0).random(80)])
    for role in ("validation", "test"):
        _write(tmp_path / f"{role}.csv", _labels(), values)
    said = command("decide", tmp_path / "validation.csv", "--out", tmp_path / "rule.json")
    assert said.code == 0
    assert 'The scores of "ill" are the same in every row' in said.error
    said = command("evaluate", tmp_path / "test.csv", "--rule", tmp_path / "rule.json", "--replicates", 20)
    assert said.code == 0
    assert 'The scores of "ill" are the same in every row' in said.error


@pytest.mark.parametrize(("value", "word"), [(0.0, "No row is positive"), (1.0, "Every row is positive")])
def test_a_file_of_one_kind_of_row_is_said_and_never_judged(
    command: Command, tmp_path: Path, value: float, word: str
) -> None:
    random = np.random.default_rng(0)
    _write(tmp_path / "validation.csv", _labels(), random.random((80, 2)))
    labels = _labels()
    labels[:, 1] = value
    _write(tmp_path / "test.csv", labels, random.random((80, 2)))
    assert command("decide", tmp_path / "validation.csv", "--out", tmp_path / "rule.json").code == 0
    figures = ("--figure", tmp_path / "f.png")
    said = command(
        "evaluate", tmp_path / "test.csv", "--rule", tmp_path / "rule.json", "--replicates", 20, "--json", *figures
    )
    assert said.code == 0, said
    assert f'{word} for "dead"' in said.error
    rows = {(row["metric"], row["class_name"]): row for row in json.loads(said.out)["rows"]}
    assert rows["auc", "dead"]["value"] is None
    assert rows["auc", "ill"]["value"] is not None
    said = command("decide", tmp_path / "test.csv", "--role", "test")
    assert said.code == 2
    assert "dead" in said.error


def test_a_rule_for_other_classes_is_refused(command: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    _write(tmp_path / "validation.csv", _labels(), random.random((80, 2)))
    _write(tmp_path / "test.csv", _labels(), random.random((80, 2)), classes=("ill", "old"))
    assert command("decide", tmp_path / "validation.csv", "--out", tmp_path / "rule.json").code == 0
    said = command("evaluate", tmp_path / "test.csv", "--rule", tmp_path / "rule.json")
    assert said.code == 2
    assert "dead" in said.error
    assert "old" in said.error


def test_hostile_names_stay_names(command: Command, tmp_path: Path) -> None:
    names = ["[bold red]x[/]", "$\\frac{1$", "../../etc/passwd", "<script>", "a,b", 'say "no"', "bell\x07\x1b[31m"]
    random = np.random.default_rng(0)
    labels = (random.random((90, len(names))) < 0.3).astype(float)
    for role in ("validation", "test"):
        _write(tmp_path / f"{role}.csv", labels, random.random(labels.shape), classes=names)
    rule, figure = tmp_path / "rule.json", tmp_path / "figure.png"
    assert command("decide", tmp_path / "validation.csv", "--out", rule, "--figure", figure).code == 0
    for plot in ("roc", "reliability", "precision_recall"):
        said = command(
            "evaluate", tmp_path / "test.csv", "--rule", rule, "--replicates", 20,
            "--figure", figure, "--plot", plot, "--overwrite",
        )  # fmt: skip
        assert said.code == 0, said
        for name in names[:6]:
            assert name in said.out
        assert "\x07" not in said.out
        assert "\x1b[31m" not in said.out
    assert sorted(one.name for one in tmp_path.iterdir()) == ["figure.png", "rule.json", "test.csv", "validation.csv"]


@pytest.mark.slow
def test_a_thousand_classes_are_read_decided_and_judged_in_bounded_time(command: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = [f"finding {number}" for number in range(1000)]
    for role in ("validation", "test"):
        labels = (random.random((400, 1000)) < 0.1).astype(float)
        labels[0] = 1.0
        _write(tmp_path / f"{role}.csv", labels, random.random(labels.shape), classes=names)
    start = time.perf_counter()
    tracemalloc.start()
    read_scores(tmp_path / "test.csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6
    rule = tmp_path / "rule.json"
    assert command("decide", tmp_path / "validation.csv", "--out", rule).code == 0
    said = command(
        "evaluate", tmp_path / "test.csv", "--rule", rule, "--replicates", 50, "--figure", tmp_path / "figure.png"
    )
    assert said.code == 0, said
    assert time.perf_counter() - start < 120


def test_a_long_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    rows = 300_000
    random = np.random.default_rng(0)
    table = {"y_a": random.integers(0, 2, rows), "p_a": random.random(rows)}
    table |= {f"extra{number}": random.random(rows) for number in range(20)}
    pl.DataFrame(table).write_csv(tmp_path / "long.csv")
    tracemalloc.start()
    found = read_scores(tmp_path / "long.csv", role="test", ids="none", groups="none")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == rows
    assert peak < 60e6  # the twenty columns that nobody asked for, as numbers, would be 48 MB more
