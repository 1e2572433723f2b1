"""`equipoise decide` and `equipoise evaluate`, as a user of another library meets them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from equipoise._checks import ArgumentError, DataError
from equipoise.cli import app
from equipoise.decision import fit_decision, write_rule
from equipoise.evidence import MetricTable
from equipoise.runs import Run
from equipoise.scores import Scores, write_scores


def make(role, rows=300, seed=0):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, 2)) < [0.1, 0.4]).astype(float)
    return Scores(
        labels=labels,
        values=random.normal(size=(rows, 2)) + labels,
        kind="logits",
        ids=[f"{role}{row}" for row in range(rows)],
        role=role,
        classes=["Mass", "[Hernia]"],
        groups=random.integers(0, 80, rows),
    )


def run(*arguments):
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class _Recipe:
    name = "test"

    def to_yaml(self):
        return "name: test\n"


@pytest.fixture
def folder(tmp_path):
    write_scores(make("validation"), tmp_path / "validation.csv")
    write_scores(make("test", seed=1), tmp_path / "test.parquet")
    return tmp_path


def test_from_csv_of_scores_to_rule_to_metrics(folder):
    rule, out = folder / "decision.json", folder / "metrics.json"
    printed = run("decide", folder / "validation.csv", "--maximize", "youden", "--out", rule).stdout
    assert "[Hernia]" in printed
    assert "rows that the thresholds were fitted on" in printed
    printed = run("evaluate", folder / "test.parquet", "--rule", rule, "--out", out, "--replicates", 50).stdout
    assert "50 bootstrap replicates of" in printed
    assert "macro_f1" in printed
    assert "[Hernia]" in printed
    table = MetricTable.from_dict(json.loads(out.read_text()))
    assert table.row("macro_f1").evaluable == "2 of 2"


def test_json_is_all_that_is_printed(folder):
    rule = json.loads(run("decide", folder / "validation.csv", "--json").stdout)
    assert rule["maximize"] == "f1"
    (folder / "decision.json").write_text(json.dumps(rule))
    shown = run("evaluate", folder / "test.parquet", "--rule", folder / "decision.json", "--json", "--replicates", 0)
    assert json.loads(shown.stdout)["role"] == "test"


def test_judging_the_fitted_rows_is_refused(folder):
    run("decide", folder / "validation.csv", "--out", folder / "decision.json")
    with pytest.raises(ArgumentError, match="the very rows"):
        run("evaluate", folder / "validation.csv", "--rule", folder / "decision.json")


def test_existing_output_is_kept_unless_told(folder):
    out = folder / "decision.json"
    out.write_text("mine")
    with pytest.raises(ArgumentError, match="--overwrite"):
        run("decide", folder / "validation.csv", "--out", out)
    assert out.read_text() == "mine"
    run("decide", folder / "validation.csv", "--out", out, "--overwrite")
    assert json.loads(out.read_text())["version"] == 2


def test_fixed_threshold_has_to_be_said(folder):
    assert "No rule was given" in run("evaluate", folder / "test.parquet", "--replicates", 0).stdout
    printed = run("evaluate", folder / "test.parquet", "--threshold", 0.5, "--replicates", 0).stdout
    assert "macro_f1" in printed
    with pytest.raises(ArgumentError, match="exclude each other"):
        run("evaluate", folder / "test.parquet", "--threshold", 0.5, "--rule", folder / "x.json")


def test_run_folder(tmp_path):
    with Run.create(tmp_path / "run", _Recipe()) as made:
        write_scores(make("validation"), made.scores_file("validation"))
        write_scores(make("test", seed=1), made.scores_file("test"))
        write_rule(fit_decision(make("validation"), log_odds_shift=[0.5, 0.25]), tmp_path / "run" / "decision.json")
    rule = json.loads(run("decide", tmp_path / "run", "--maximize", "balanced_accuracy", "--json").stdout)
    assert rule["log_odds_shift"] == [0.5, 0.25]
    printed = run("evaluate", tmp_path / "run", "--replicates", 20).stdout
    assert "role test" in printed
    assert "macro_f1" in printed
    with pytest.raises(DataError, match="no scores of the role train; it has test, validation"):
        run("evaluate", tmp_path / "run", "--role", "train")


def test_foreign_csv_needs_role_ids_and_groups_declared(tmp_path):
    path = tmp_path / "xgb.csv"
    path.write_text("y_a,p_a\n0,0.1\n1,0.9\n0,0.2\n1,0.8\n")
    for flags, message in (
        ([], "--role"),
        (["--role", "validation"], "--ids none"),
        (["--role", "validation", "--ids", "none"], "--groups none"),
    ):
        with pytest.raises((ArgumentError, DataError), match=message):
            run("decide", path, *flags)
    printed = run("decide", path, "--role", "validation", "--ids", "none", "--groups", "none").stdout
    assert "Nothing was written" in printed


def test_grades_print_kappa(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 90).astype(float)
    scores = Scores(
        labels=labels,
        values=random.normal(size=(90, 3)) + np.eye(3)[labels.astype(int)],
        kind="logits",
        ids=np.arange(90),
        role="test",
        classes=["none", "mild", "severe"],
        task="ordinal",
    )
    write_scores(scores, tmp_path / "grades.csv")
    assert "qwk" in run("evaluate", tmp_path / "grades.csv", "--replicates", 20).stdout


def test_commands_do_not_import_torch_or_scikit_learn(folder):
    code = (
        "import sys; from equipoise.cli import app\n"
        f"try: app(['decide', {str(folder / 'validation.csv')!r}])\n"
        "except SystemExit: pass\n"
        f"try: app(['evaluate', {str(folder / 'test.parquet')!r}, '--threshold', '0.5'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'sklearn', 'scipy.stats', 'numba', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
