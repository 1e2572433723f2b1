"""EXPERIMENTS.md: the same folders give the same bytes, and nothing in a folder stops it or speaks for itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablation.ablations import finished, write_table
from equipoise._checks import RunError
from equipoise.ablation.folder import append_status
from equipoise.ablation.verdict import write_verdict
from equipoise.cli import app
from equipoise.recipe import make_recipe
from equipoise.report._markdown import cell, fenced, line
from equipoise.report.log import log_text, write_log
from equipoise.training import train

HOSTILE = "<script>alert(1)</script>|`x`](http://evil)\u202e*"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one table, and an ablation with a verdict."""
    folder = tmp_path_factory.mktemp("log") / "runs"
    folder.mkdir()
    table = write_table(folder.parent / "table.csv", 200)
    text = table.read_text().replace("patient,w,x,y,z,rare", f"patient,w,x,y,z,{HOSTILE}", 1)
    table.write_text(text)
    short = ["model.name=linear", "training.epochs=2", "training.members=1"]
    for name, more in (("first", []), ("second", ["balance.weights.scheme=sqrt", "log.why='Do *weights* help?'"])):
        recipe = make_recipe(table, [HOSTILE, "common"], groups="patient", overrides=[*short, *more])
        train(recipe, out=folder / name)
        about = folder / name / "run.json"
        stored = json.loads(about.read_text()) | {"created": f"2026-01-0{1 + (name == 'second')}T00:00:00+00:00"}
        about.write_text(json.dumps(stored))
        done = json.loads((folder / name / "DONE").read_text())
        done["files"].pop("run.json")
        (folder / name / "DONE").write_text(json.dumps(done))
    write_verdict(finished(folder, arms="  plain: {}\n  full: {balance.weights.scheme: inverse}\n"), replicates=100)
    for left in ("table.csv", "matrix.yaml"):
        (folder / left).unlink()
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


def records(text: str) -> dict[str, str]:
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {part.split("\n", 1)[0]: part for part in parts}


def test_the_same_folders_give_the_same_bytes(runs: Path, tmp_path: Path) -> None:
    out = write_log(runs, tmp_path / "EXPERIMENTS.md")
    first = out.read_bytes()
    write_log(runs, out)
    assert out.read_bytes() == first
    for path in runs.rglob("*"):
        os.utime(path, (1, 1))
    out.unlink()
    assert write_log(runs, out).read_bytes() == first
    code = f"from equipoise.report.log import write_log; write_log({str(runs)!r}, {str(out)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert out.read_bytes() == first


def test_index_and_records(runs: Path, tmp_path: Path) -> None:
    text = write_log(runs, tmp_path / "EXPERIMENTS.md").read_text()
    index = [one for one in text.splitlines() if one.startswith("| ")]
    assert index[0] == "| id | date | focus | status | key result | decision |"
    assert [one.split(" | ")[0] for one in index[1:4]] == ["| runs/first", "| runs/second", "| runs/small"]
    assert "| 2026-01-01 | linear | finished | test macro-F1 0." in text
    found = records(text)
    assert list(found) == ["runs/first", "runs/second", "runs/small"]
    for heading in ("Question", "What differs", "Configuration", "Results", "What the guard found", "Verdict",
                    "Decision", "Artefacts"):  # fmt: skip
        assert all(f"### {heading}\n" in one for one in found.values()), heading
    assert "Do \\*weights\\* help?" in found["runs/second"]
    assert '- balance.weights.scheme: "none" → "sqrt"' in found["runs/second"]
    assert "The first run of this table" in found["runs/first"]
    assert "(runs/first/model.safetensors), SHA-256 " in found["runs/first"]
    assert "[0." in found["runs/first"]  # intervals


def test_an_ablation_is_one_record_and_its_test_stays_closed(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "EXPERIMENTS.md"
    closed = records(write_log(runs, out).read_text())["runs/small"]
    assert "role validation" in closed
    assert "role test" not in closed
    assert "Does weighting help?" in closed
    assert 'full: balance.weights.scheme "none" → "inverse"' in closed
    assert "cells/" not in closed.split("### Configuration")[0]
    shutil.copy(runs / "small/verdict.json", runs / "small/verdict-test.json")  # left there without an opening
    assert records(write_log(runs, out).read_text())["runs/small"] == closed.replace(
        "](runs/small/verdict.json)", "](runs/small/verdict.json)\n- [verdict-test.json](runs/small/verdict-test.json)"
    )
    write_verdict(runs / "small", test=True, replicates=100)
    opened = records(write_log(runs, out).read_text())["runs/small"]
    assert "On the role test:" in opened
    assert "The test role was opened once" in opened


def test_question_and_decision_are_the_persons(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "EXPERIMENTS.md"
    write_log(runs, out)
    recipe = runs / "first/recipe.yaml"
    recipe.write_text(re.sub(r"^  decision: .*$", "  decision: Keep it plain.", recipe.read_text(), flags=re.M))
    matrix = runs / "small/matrix.yaml"
    matrix.write_text(re.sub(r"^  decision: .*$", "  decision: No weights.", matrix.read_text(), flags=re.M))
    text = write_log(runs, out).read_text()
    assert "Keep it plain. |" in text
    assert "No weights. |" in text
    assert "changed after" not in text  # the two fields are the person's


def test_a_log_that_was_edited_is_not_replaced(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "EXPERIMENTS.md"
    write_log(runs, out)
    out.write_bytes(out.read_bytes().replace(b"\n", b"\r\n"))  # as a checkout on Windows has it
    write_log(runs, out)
    out.write_text(out.read_text() + "\nMy own thoughts.\n")
    with pytest.raises(RunError, match="edited by hand.*section log"):
        write_log(runs, out)
    assert "My own thoughts." in out.read_text()
    other = tmp_path / "README.md"
    other.write_text("# Mine\n")
    with pytest.raises(RunError, match="not made by"):
        write_log(runs, other)
    with pytest.raises(RunError, match="is a folder"):
        write_log(runs, tmp_path)
    with pytest.raises(RunError, match="no folder"):
        write_log(tmp_path / "nothing", out)


def test_damaged_unfinished_and_changed_runs_are_listed_with_their_status(runs: Path, tmp_path: Path) -> None:
    for name in ("cut", "odd", "listed"):
        shutil.copytree(runs / "first", runs / name)
    (runs / "cut/DONE").unlink()
    (runs / "odd/metrics.json").write_text('{"rule": 3')
    (runs / "odd/recipe.yaml").write_text("data: [")
    (runs / "listed/run.json").write_text("[]")
    (runs / "second/decision.json").write_text("{}")
    shutil.copytree(runs / "first", runs / "first.previous")
    (runs / "small/cells/full/seed-1/DONE").unlink()
    append_status(runs / "small", "full/seed-1", "failed", "out of <b>memory</b>")
    text = write_log(runs, tmp_path / "EXPERIMENTS.md").read_text()
    found = records(text)
    assert "unfinished" in found["runs/cut"]
    assert "Damaged: " in found["runs/odd"]
    assert "Damaged: " in found["runs/listed"]
    assert "changed after it was finished: decision.json" in found["runs/second"].replace("\\", "")
    assert "3 of 4 cells finished" in found["runs/small"]
    assert "full/seed-1: failed: out of &lt;b&gt;memory" in found["runs/small"]
    assert "runs/first.previous" not in found
    (runs / "small/ablation.json").write_text('{"format": "equipoise ablation", "version": 1}')
    assert "lacks" in records(write_log(runs, tmp_path / "EXPERIMENTS.md").read_text())["runs/small"]


def test_nothing_from_data_is_markdown_or_html(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "first", runs / "a|b `c` <i>")
    text = write_log(runs, tmp_path / "EXPERIMENTS.md").read_text()
    outside = re.sub(r"^(`{3,})yaml\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in outside.replace("<!--", "")
    assert "<i>" not in outside
    assert "\u202e" not in outside
    assert not re.search(r"(?<!\\)\]\(http", outside)
    widths = {row.replace("\\|", "").count("|") for row in outside.splitlines() if row.startswith("| runs/")}
    assert widths == {7}


@pytest.mark.parametrize("text", ["# a", "- a", "1. a", "12) a", "> a", "=== a", "+ a", "<a>", "a\n\n# b", "[x](y)"])
def test_text_stays_text(text: str) -> None:
    shown = line(text)
    assert "\n" not in shown
    assert not re.match(r"(#|-|\+|=|>|\d+[.)]|<|\[)", shown)
    assert "<" not in cell(text)
    assert fenced("```\n`````").startswith("``````\n")


def test_the_command(runs: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["log", str(runs), "--out", str(tmp_path / "LOG.md")])
    assert result.exit_code == 0
    assert "LOG.md" in result.output
    assert (tmp_path / "LOG.md").read_text() == log_text(runs, beside=tmp_path)


def test_an_empty_folder_has_an_empty_log(tmp_path: Path) -> None:
    assert "No experiment yet." in log_text(tmp_path)
