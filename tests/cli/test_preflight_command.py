"""`equipoise preflight`: the table, the verdict, other samplers' rows, and what it refuses."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

import processes


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return processes.run("preflight", *arguments)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "labels.csv"
    rows = ["common,rare", *(f"{int(row % 3 == 0)},{int(row % 40 == 0)}" for row in range(2_000))]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_plan_is_proved(table, tmp_path):
    figure = tmp_path / "four.png"
    done = run(table, "--labels", "common,rare", "--task", "multilabel", "--ranks", 2, "--strict", "--figure", figure)
    assert done.returncode == 0, done.stderr
    assert "Passed: rows, plan, ranks, epochs, repeats, batches." in done.stdout
    assert figure.exists()


def test_rows_of_another_sampler(table, tmp_path):
    natural = tmp_path / "rows.txt"
    natural.write_text("\n".join(map(str, np.random.default_rng(0).integers(0, 2_000, 20_000))))
    given = (table, "--labels", "common,rare", "--task", "multilabel", "--indices", natural)
    done = run(*given, "--json")
    assert done.returncode == 0, done.stderr
    judged = json.loads(done.stdout)
    assert [check["name"] for check in judged["checks"] if check["passed"] is False] == ["plan"]
    done = run(*given, "--strict")
    assert done.returncode == 2
    assert "Failed: The draws do not agree with the plan" in done.stdout
    assert "the sampler ignores the plan" in done.stderr


@pytest.mark.parametrize("text", ["12345678901234567890123", "1.5", "x"])
def test_rows_that_are_no_row_numbers(table, tmp_path, text):
    path = tmp_path / "rows.txt"
    path.write_text(f"1\n{text}\n")
    done = run(table, "--labels", "common,rare", "--task", "multilabel", "--indices", path)
    assert done.returncode == 2
    assert "rows.txt holds no row numbers" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--indices", "none.txt"], "none.txt could not be read"),
        (["--initial", "zero"], '`--initial` must be "half" or "prevalence"'),
        (
            ["--plan", "plan.json", "--strength", 0.3],
            "--strength is for a plan that is made; plan.json is made already",
        ),
        (["--plan", "plan.json", "--target", "natural"], "--target is for a plan that is made"),
        (["--plan", "plan.json", "--max-repeats", 3], "--max-repeats is for a plan that is made"),
        (["--figure", "four.txt"], "figures are written as PNG"),
        (["--ranks", 0], "`--ranks` of preflight must be at least 1"),
        (["--weights", "squrt"], 'Did you mean "sqrt"?'),
    ],
)
def test_what_is_refused(table, arguments, message):
    done = run(table, "--labels", "common,rare", "--task", "multilabel", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_file_is_replaced_unasked_and_the_table_never(table, tmp_path):
    figure = tmp_path / "four.png"
    figure.write_text("mine")
    given = (table, "--labels", "common,rare", "--task", "multilabel")
    before = table.read_bytes()
    done = run(*given, "--figure", figure)
    assert done.returncode == 2
    assert "exists. Choose another name, or add --overwrite" in done.stderr
    assert run(*given, "--figure", table, "--overwrite").returncode == 2
    assert (figure.read_text(), table.read_bytes()) == ("mine", before)
    assert run(*given, "--figure", figure, "--overwrite").returncode == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
