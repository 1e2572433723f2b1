"""`equipoise prevalence`: from score files to figures elsewhere, an estimate and a moved rule."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from equipoise._checks import ArgumentError, DataError
from equipoise.cli import app
from equipoise.cli.prevalence import parse_shares
from equipoise.decision import fit_decision, read_rule, write_rule
from equipoise.runs import Run
from equipoise.scores import Scores, write_scores


def make(role, rows=500, shares=(0.1, 0.3), seed=0):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, 2)) < shares).astype(float)
    return Scores(
        labels=labels, values=random.normal(size=(rows, 2)) + 2 * labels - 3, kind="logits",
        ids=[f"{role}{seed}-{row}" for row in range(rows)], role=role, classes=["Mass", "[Hernia]"],
        groups=random.integers(0, 80, rows),
    )  # fmt: skip


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
    write_scores(make("test", seed=1), tmp_path / "test.csv")
    write_scores(make("test", 800, (0.3, 0.05), seed=2), tmp_path / "new.csv")
    bare = pl.read_csv(tmp_path / "new.csv").drop("y_Mass", "y_[Hernia]", "role", "task")
    bare.write_csv(tmp_path / "new.csv")
    write_rule(fit_decision(make("validation")), tmp_path / "decision.json")
    return tmp_path


def test_table_estimate_moved_rule_and_figure(folder):
    arguments = (
        "prevalence", folder / "test.csv", "--rule", folder / "decision.json", "--at", "0.01,0.5",
        "--unlabelled", folder / "new.csv", "--refit", folder / "validation.csv", "--rule-out", folder / "moved.json",
        "--out", folder / "table.json", "--figure", folder / "figure.png", "--replicates", 100,
    )  # fmt: skip
    printed = run(*arguments).stdout
    for expected in (
        "(these rows)",
        "(estimated)",
        "0.01",
        "[Hernia]",
        "Mass: sensitivity",
        "among 800 unlabelled cases",
    ):
        assert expected in printed
    assert "Thresholds were fitted again for f1 at the new prevalence, on 500 rows." in printed
    found = json.loads((folder / "table.json").read_text())
    np.testing.assert_allclose(found["estimate"]["prevalence"], [0.3, 0.05], atol=0.1)
    rows = [row for row in found["table"]["rows"] if row["class"] == "Mass"]
    assert [row["measured"] for row in rows] == [True, False, False, False]
    assert rows[2]["ppv"]["value"] < rows[0]["ppv"]["value"] < rows[3]["ppv"]["value"]
    moved = read_rule(folder / "moved.json")
    np.testing.assert_allclose(moved.prevalence, found["estimate"]["prevalence"])
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    before = (folder / "figure.png").read_bytes()
    again = run(*arguments, "--overwrite", "--json").stdout
    assert json.loads(again) == found
    assert (folder / "figure.png").read_bytes() == before


def test_a_seed_is_a_result(folder):
    arguments = ("prevalence", folder / "test.csv", "--rule", folder / "decision.json", "--json", "--replicates", 50)
    assert run(*arguments).stdout == run(*arguments).stdout
    assert run(*arguments).stdout != run(*arguments, "--seed", 1).stdout


@pytest.mark.parametrize("method", ["em", "bbse", "bbse_soft"])
def test_every_method_of_estimation(folder, method):
    shown = run(
        "prevalence", folder / "test.csv", "--rule", folder / "decision.json", "--unlabelled", folder / "new.csv",
        "--method", method, "--json", "--replicates", 50,
    )  # fmt: skip
    assert json.loads(shown.stdout)["estimate"]["method"] == method


def test_a_run_folder_has_all_that_is_needed(folder):
    run_folder = Run.create(folder / "run", _Recipe())
    for role in ("validation", "test"):
        write_scores(make(role, seed=role == "test"), run_folder.scores_file(role))
    write_rule(fit_decision(make("validation")), run_folder.file("decision.json"))
    run_folder.close()
    printed = run(
        "prevalence", folder / "run", "--at", "0.05", "--rule-out", folder / "m.json", "--replicates", 50
    ).stdout
    assert "fitted again for f1" in printed
    assert read_rule(folder / "m.json").prevalence.tolist() == [0.05, 0.05]


def test_columns_named_one_by_one_and_one_threshold(folder):
    random = np.random.default_rng(0)
    sick = random.random(300) < 0.2
    table = {
        "outcome": np.where(sick, "yes", "no"),
        "risk": np.clip(random.normal(size=300) * 0.2 + 0.3 + 0.3 * sick, 0, 1),
    }
    pl.DataFrame(table).write_csv(folder / "theirs.csv")
    pl.DataFrame({"risk": table["risk"][:200]}).write_csv(folder / "later.csv")
    printed = run(
        "prevalence", folder / "theirs.csv", "--labels", "outcome", "--scores", "risk", "--kind", "probabilities",
        "--ids", "none", "--groups", "none", "--role", "test", "--threshold", "0.5", "--at", "0.01",
        "--unlabelled", folder / "later.csv", "--replicates", 50,
    ).stdout  # fmt: skip
    assert "among 200 unlabelled cases" in printed
    assert "outcome" in printed


def test_exclusive_classes_need_no_rule(folder):
    random = np.random.default_rng(0)
    labels = random.choice(3, size=300, p=[0.5, 0.3, 0.2])
    scores = Scores(labels=labels.astype(float), values=random.normal(size=(300, 3)) + 2 * np.eye(3)[labels],
                    kind="logits", ids=range(300), role="test", classes=["a", "b", "c"])  # fmt: skip
    write_scores(scores, folder / "three.csv")
    unlabelled = pl.read_csv(folder / "three.csv").drop("y")
    unlabelled.write_csv(folder / "later.csv")
    shown = run("prevalence", folder / "three.csv", "--unlabelled", folder / "later.csv", "--at", "0.1", "--json")
    found = json.loads(shown.stdout)
    np.testing.assert_allclose(sum(found["estimate"]["prevalence"]), 1)


def test_what_cannot_be_is_refused(folder):
    with pytest.raises(ArgumentError, match="needs thresholds"):
        run("prevalence", folder / "test.csv")
    with pytest.raises(ArgumentError, match="exclude each other"):
        run("prevalence", folder / "test.csv", "--rule", folder / "decision.json", "--threshold", "0.5")
    with pytest.raises(ArgumentError, match="the very rows"):
        run("prevalence", folder / "validation.csv", "--role", "validation", "--rule", folder / "decision.json")
    with pytest.raises(ArgumentError, match="where to"):
        run("prevalence", folder / "test.csv", "--rule", folder / "decision.json", "--rule-out", folder / "m.json")
    with pytest.raises(ArgumentError, match="exists"):
        run("prevalence", folder / "test.csv", "--threshold", "0.5", "--out", folder / "decision.json")
    with pytest.raises(ArgumentError, match="is a folder"):
        run("prevalence", folder / "test.csv", "--threshold", "0.5", "--unlabelled", folder)
    with pytest.raises(DataError, match="missing.csv"):
        run("prevalence", folder / "test.csv", "--threshold", "0.5", "--unlabelled", folder / "missing.csv")


@pytest.mark.parametrize(
    "text", ["0", "1", "5", "0.1,2", "a", "", "0.1:0.01", "0.1:2", "0.1:0.2:1", "0.1:0.2:3:4", ":"]
)
def test_shares_that_cannot_be_are_refused(text):
    with pytest.raises(ArgumentError, match="such as --at"):
        parse_shares(text)
