from __future__ import annotations

import csv
import json
import subprocess

import pytest

import processes

NIH = ["--labels", "Finding Labels", "--separator", "|", "--groups", "Patient ID", "--ids", "Image Index"]


def equipoise(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = processes.run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def nih(shared_data):
    return shared_data("nih-chestxray14-labels") / "Data_Entry_2017_v2020.csv.gz"


def test_split_then_check_then_plant_a_leak(nih, tmp_path):
    out = tmp_path / "split.csv"
    printed = equipoise("split", nih, *NIH, "--seed", 1, "--out", out).stdout
    assert "Largest deviation of a class's prevalence: 0.0000" in printed
    assert "Hash " in printed
    with out.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "role"]
    assert len(rows) == 112_121
    assert "error" not in equipoise("split", nih, *NIH, "--check", out).stdout
    # One image of a patient with several is moved to another role.
    moved = next(n for n in range(1, 4) if rows[n][0].startswith("00000001"))
    rows[moved][1] = "test" if rows[moved][1] == "train" else "train"
    with out.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = equipoise("split", nih, *NIH, "--check", out, code=1).stdout
    assert "error: 1 group is in more than one part (3 rows)" in found
    value = json.loads(equipoise("split", nih, *NIH, "--check", out, "--json", code=1).stdout)
    assert value["ok"] is False
    assert value["findings"][0]["kind"] == "overlapping_groups"


def test_json_and_folds(nih):
    value = json.loads(equipoise("split", nih, *NIH, "--folds", 5, "--json").stdout)
    assert value["parts"] == [f"fold {n}" for n in range(5)]
    assert value["largest_absolute_deviation"] <= 0.0002
    assert value["largest_relative_deviation"] <= 0.035
    assert len(value["hash"]) == 64


def test_groups_must_be_named_or_declared_absent(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("y\n" + "1\n0\n" * 20)
    assert 'groups="none"' in equipoise("split", path, "--labels", "y", code=2).stderr
    assert "Give --out" in equipoise("split", path, "--labels", "y", "--groups", "none").stdout


def test_bad_flags(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("y\n" + "1\n0\n" * 20)
    common = ("split", path, "--labels", "y", "--groups", "none")
    assert "three numbers such as" in equipoise(*common, "--fractions", "a,b", code=2).stderr
    assert "sum to 1" in equipoise(*common, "--fractions", "0.5,0.2,0.2", code=2).stderr
    assert "Give one of the two" in equipoise(*common, "--check", path, "--out", path, code=2).stderr


def test_a_table_that_carries_its_own_split_is_checked(shared_data):
    path = shared_data("idrid-dr-grading") / "labels.csv"
    printed = equipoise(
        "split", path, "--labels", "dr_grade", "--ids", "image", "--groups", "none", "--check", path
    ).stdout
    assert "516 rows in train, test" in printed


def test_copied_rows_in_two_roles_are_noticed(tmp_path):
    path, split = tmp_path / "t.csv", tmp_path / "s.csv"
    path.write_text("id,x,y\n" + "".join(f"{n},{n % 39},{n % 3 == 0:d}\n" for n in range(40)))
    roles = ["train" if n < 30 else "test" for n in range(40)]
    split.write_text("id,role\n" + "".join(f"{n},{role}\n" for n, role in enumerate(roles)))
    printed = equipoise("split", path, "--labels", "y", "--ids", "id", "--groups", "none", "--check", split).stdout
    assert "warning: 1 row is found in more than one part under different ids" in printed
