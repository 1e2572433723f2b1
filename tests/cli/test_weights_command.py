"""`equipoise weights`: the table, the words, the file, and what it refuses."""

from __future__ import annotations

import json
import subprocess

import pytest

import processes
from equipoise.balance import ClassWeights
from equipoise.labels import Census


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return processes.run("weights", *arguments)


@pytest.fixture
def census_file(tmp_path):
    census = Census.from_counts({"Hernia": (227, 111_893), "Mass": (5_782, 106_338)}, task="multilabel")
    path = tmp_path / "census.json"
    path.write_text(json.dumps(census.to_dict()))
    return path


def test_table_words_and_file(census_file, tmp_path):
    out = tmp_path / "weights.json"
    done = run(census_file, "--scheme", "sqrt", "--floor", 1, "--cap", 8, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "\nchosen: 1 positive of Hernia counts as 8 negatives.\n" in done.stdout
    assert "counts as 493 negatives" not in done.stdout
    assert "\ninverse: 1 positive of Hernia counts as 493 negatives.\n" in run(census_file).stdout
    assert "Warning: inverse: 493x for Hernia" in done.stdout
    assert f"Written to {out}." in done.stdout
    weights = ClassWeights.from_dict(json.loads(out.read_text()))
    assert weights.values.round(2).tolist() == [8.0, 4.29]


def test_json_is_nothing_but_json(census_file):
    done = run(census_file, "--json")
    shown = json.loads(done.stdout)
    assert shown["schemes"]["inverse"]["weights"][0] == pytest.approx(111_893 / 227)
    assert shown["chosen"] is None


def test_weight_by_hand(census_file):
    done = run(census_file, "--value", "Hernia=8", "--json")
    assert json.loads(done.stdout)["chosen"]["values"][0] == 8.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--floor", 1, "--cap", 0.5], "`cap` of class_weights must be at least `floor` (1.0); got 0.5."),
        (["--scheme", "squrt"], 'Did you mean "sqrt"?'),
        (["--value", "Hernia"], 'must be a class and its weight, such as "Hernia=8"; got "Hernia"'),
        (["--value", "Hernia=many"], 'must be a class and its weight, such as "Hernia=8"'),
        (["--value", "Hernai=8"], 'Did you mean "Hernia"?'),
        (["--labels", "a"], "is a census, whose labels are counted already"),
    ],
)
def test_bad_flags(census_file, arguments, message):
    done = run(census_file, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_file(tmp_path):
    for name in ("none.json", "none.csv"):
        done = run(tmp_path / name)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_nih(shared_data):
    table = shared_data("nih-chestxray14-labels") / "Data_Entry_2017_v2020.csv.gz"
    done = run(table, "--labels", "Finding Labels", "--separator", "|")
    assert done.returncode == 0, done.stderr
    assert "1 positive of Hernia counts as 493 negatives." in done.stdout
