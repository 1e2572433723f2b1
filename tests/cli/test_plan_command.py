"""`equipoise plan`: the table, the words, the files and the figure, and what it refuses."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

import processes
from equipoise.balance import SamplingPlan
from equipoise.labels import read_labels


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return processes.run("plan", *arguments)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "labels.csv"
    findings = ["Mass"] * 40 + ["Hernia"] * 4 + ["Mass|Hernia"] * 2 + ["No Finding"] * 54
    path.write_text("id,finding\n" + "".join(f"r{row},{finding}\n" for row, finding in enumerate(findings)))
    return path


FLAGS = ("--labels", "finding", "--separator", "|", "--ids", "id")


def test_words_weights_and_figure(table, tmp_path):
    weights, figure = tmp_path / "weights.csv", tmp_path / "plan.png"
    done = run(table, *FLAGS, "--frontier", "--figure", figure, "--out", weights)
    assert done.returncode == 0, done.stderr
    assert "multilabel, 100 rows, 4 label combinations" in done.stdout
    assert "The target (uniform) is met." in done.stdout
    assert "square root" in done.stdout
    assert figure.read_bytes().startswith(b"\x89PNG")
    header, *lines = weights.read_text().splitlines()
    assert header == "id,weight"
    assert lines[0].startswith("r0,")
    assert sum(float(line.split(",")[1]) for line in lines) == pytest.approx(1.0)
    assert f"Wrote {weights}." in done.stdout


def test_the_stored_plan_finds_its_rows_again(table, tmp_path):
    out = tmp_path / "plan.json"
    done = run(table, *FLAGS, "--strength", 0.5, "--max-repeats", "none", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    plan = SamplingPlan.from_dict(json.loads(out.read_text())).with_rows(
        read_labels(table, "finding", separator="|", ids="id")
    )
    assert plan.sample_weights.sum() == pytest.approx(1.0)
    assert shown["max_repeats"] is None
    np.testing.assert_allclose(shown["shares"], plan.shares)
    assert shown["combinations"] == 4


def test_target_from_a_file_and_an_older_sampler(table, tmp_path):
    target = tmp_path / "target.json"
    target.write_text('{"Mass": 0.6, "Hernia": 0.4}')
    shares = json.loads(run(table, *FLAGS, "--target", target, "--json").stdout)["shares"]
    assert sorted(shares) == pytest.approx([0.4, 0.6])
    older = json.loads(run(table, *FLAGS, "--method", "repeat_factor", "--json").stdout)
    assert older["method"] == "repeat_factor"
    free = json.loads(run(table, *FLAGS, "--negatives-share", "free", "--json").stdout)
    assert free["shift_quality"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "evn"), 'must be one of "natural", "uniform"'),
        (("--max-repeats", "few"), '`--max-repeats` must be a number or "none"; got "few".'),
        (("--max-repeats", "0.5"), "must be at least 1.0; got 0.5"),
        (("--strength", "1.5"), "must be at most 1.0"),
        (("--negatives-share", "most"), '`--negatives-share` must be a number or "free"'),
        (("--method", "max", "--strength", "0.5"), "`--method max` does not read --strength"),
        (("--method", "maxi"), 'Did you mean "max"?'),
        (("--figure", "plan.txt"), "figures are written as PNG"),
        (("--figure", "plan.png", "--out", "plan.txt"), "must end in .json"),
        (("--out", "plan.txt"), "must end in .json (the plan) or .csv (a weight a row); got plan.txt"),
    ],
)
def test_bad_flags_are_named(table, arguments, message):
    done = run(table, *FLAGS, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_file_is_replaced_unasked_and_what_is_read_never(table, tmp_path):
    out, figure, target = (tmp_path / name for name in ("plan.json", "plan.png", "target.json"))
    out.write_text("mine")
    figure.write_text("mine")
    target.write_text('{"Mass": 0.6, "Hernia": 0.4}')
    read = table.read_bytes(), target.read_bytes()
    for flags in (("--out", out), ("--figure", figure)):
        done = run(table, *FLAGS, *flags)
        assert done.returncode == 2
        assert "exists. Choose another name, or add --overwrite" in done.stderr
    for flags in (("--out", table), ("--figure", table), ("--target", target, "--out", target)):
        assert run(table, *FLAGS, *flags, "--overwrite").returncode == 2
    assert (table.read_bytes(), target.read_bytes()) == read
    assert (out.read_text(), figure.read_text()) == ("mine", "mine")
    done = run(table, *FLAGS, "--out", out, "--figure", figure, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["task"] == "multilabel"
    assert figure.read_bytes().startswith(b"\x89PNG")
