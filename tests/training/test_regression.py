"""Grades by regression, from a table to a judged run, and what cannot be done with its one output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise._checks import ArgumentError
from equipoise.balance import Ledger
from equipoise.recipe import Recipe, make_recipe
from equipoise.runs import Run
from equipoise.scores import read_scores
from equipoise.training import predict, prepare, tau_normalise, train


def qwk(run: Run, under: str) -> dict[str, Any]:
    """Quadratic kappa of the test role with its interval, under the fitted rule or another."""
    return next(row for row in run.read_record("metrics")[under]["rows"] if row["metric"] == "qwk")


def _recipe(folder: Path, *more: str) -> Recipe:
    overrides = [
        "data.task=ordinal", "data.groups=none", "training.members=1", "training.epochs=12", "model.name=mlp",
        "model.width=16", "loss.name=regression", "decision.maximize=qwk", "training.monitor=qwk", *more,
    ]  # fmt: skip
    return make_recipe(folder / "grades.csv", ["grade"], overrides=overrides)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """900 rows; grade 0 is the commonest, 3 is rare."""
    folder, made = tmp_path_factory.mktemp("grades"), np.random.default_rng(0)
    x = made.normal(size=(900, 3))
    score = x @ np.array([1.5, -1.0, 0.5]) + made.logistic(size=900) / 2
    grade = (score[:, None] > np.array([0.5, 2.0, 3.5])).sum(axis=1)
    pl.DataFrame({f"x{i}": x[:, i] for i in range(3)} | {"grade": grade}).write_csv(folder / "grades.csv")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(_recipe(folder), out=tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def weighted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    more = ("balance.weights.scheme=inverse", "model.ensemble=4", "model.name=tabm")
    return train(_recipe(folder, *more), out=tmp_path_factory.mktemp("weighted") / "run")


@pytest.mark.parametrize("which", ["run", "weighted"])
def test_it_beats_the_commonest_grade_and_says_the_natural_prevalence(
    which: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    run: Run = request.getfixturevalue(which)
    assert qwk(run, "never")["value"] == 0.0
    assert qwk(run, "rule")["low"] > 0.5
    ledger = Ledger.from_dict(run.read_record("ledger"))
    assert ledger.outputs == 1
    assert "measured on validation rows" in " ".join(ledger.sentences())
    assert run.read_record("model")["members"][0]["n_outputs"] == 1
    scores = read_scores(run.scores_file("validation"))
    np.testing.assert_allclose(scores.probability_table().mean(axis=0), ledger.prevalence, atol=1e-6)
    said = predict(run, folder / "grades.csv")
    test = read_scores(run.scores_file("test"))
    np.testing.assert_allclose(said.probabilities[test.ids.astype(int)], test.probability_table(), atol=1e-6)


def test_a_new_model_says_the_prior(folder: Path) -> None:
    prepared = prepare(_recipe(folder))
    mean = prepared.training_census.prevalence @ np.arange(4)
    assert prepared.ledger.starting_scores(prepared.prior) == pytest.approx([mean], abs=0.01)
    np.testing.assert_allclose(prepared.starting_probabilities, prepared.training_census.prevalence, atol=0.005)


def test_what_needs_one_score_a_class_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="the loss regression, whose 1 output is no such score. Cut points"):
        tau_normalise(run, 0.5, out=tmp_path / "scaled")
    assert not (tmp_path / "scaled").exists()


def test_it_is_for_grades_alone(folder: Path) -> None:
    with pytest.raises(ArgumentError, match="regression is not for a multiclass task"):
        _recipe(folder, "data.task=multiclass")
    with pytest.raises(ArgumentError, match="belongs to focal"):
        _recipe(folder, "loss.alpha=balanced")
