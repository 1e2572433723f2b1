"""`--figure` of `decide` and `evaluate`: a PNG of what was asked for, and no file that is there is lost."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from equipoise._checks import ArgumentError
from equipoise.cli import app
from equipoise.cli._figures import PLOTS
from equipoise.scores import Scores, write_scores


def run(*arguments):
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def folder(tmp_path):
    for role in ("validation", "test"):
        random = np.random.default_rng(len(role))
        labels = (random.random((200, 2)) < 0.2).astype(float)
        values = random.normal(size=(200, 2)) + labels
        ids = [f"{role}{row}" for row in range(200)]
        scores = Scores(labels=labels, values=values, kind="logits", ids=ids, role=role, classes=["[Mass]", "a$b"])
        write_scores(scores, tmp_path / f"{role}.csv")
    return tmp_path


@pytest.mark.parametrize("plot", PLOTS)
def test_each_plot_is_drawn_by_both_commands(folder, plot):
    rule, first, second = folder / "rule.json", folder / "a.png", folder / "b.png"
    printed = run("decide", folder / "validation.csv", "--out", rule, "--figure", first, "--plot", plot).stdout
    assert f"Drawn in {first}." in " ".join(printed.split("\n"))
    run("evaluate", folder / "test.csv", "--rule", rule, "--replicates", 0, "--figure", second, "--plot", plot)
    for figure in (first, second):
        assert figure.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert first.read_bytes() != second.read_bytes()


def test_a_figure_is_the_same_each_time(folder):
    for name in ("a.png", "b.png"):
        run("decide", folder / "validation.csv", "--figure", folder / name, "--json")
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--figure", "taken.png"], r"--figure .*taken.png exists. Choose another name, or add --overwrite"),
        (["--figure", "figure.pdf"], "ends in .png"),
        (["--figure", "x.png", "--out", "x.png"], "Give two names"),
        (["--plot", "roc"], "Add --figure"),
        (["--figure", "x.png", "--plot", "rock"], 'Did you mean "roc"'),
    ],
)
@pytest.mark.parametrize("command", ["decide", "evaluate"])
def test_what_cannot_be_drawn_is_refused_before_any_work(folder, command, flags, message):
    (folder / "taken.png").write_text("mine")
    flags = [str(folder / flag) if "." in flag else flag for flag in flags]
    with pytest.raises(ArgumentError, match=message):
        run(command, folder / "no such file.csv", *flags)
    assert (folder / "taken.png").read_text() == "mine"
    assert not (folder / "x.png").exists()


def test_overwrite_replaces_a_figure(folder):
    (folder / "taken.png").write_text("mine")
    run("decide", folder / "validation.csv", "--figure", folder / "taken.png", "--overwrite")
    assert (folder / "taken.png").read_bytes()[:4] == b"\x89PNG"
