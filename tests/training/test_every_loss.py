"""Every loss trains from a recipe, and its probabilities come back to the natural prevalence and to plain training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise.recipe import make_recipe
from equipoise.scores import read_scores
from equipoise.training import predict, train

ROWS = 6000
_COMMON = ["data.groups=none", "training.members=1", "training.epochs=20", "model.name=mlp", "model.width=32"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, np.ndarray]]:
    """Per task a table, and the true probabilities of its rows."""
    made, folder = np.random.default_rng(0), tmp_path_factory.mktemp("world")
    x = made.normal(size=(ROWS, 4))
    features = {f"x{i}": x[:, i] for i in range(4)}
    chances = 1 / (1 + np.exp(-(x @ made.normal(size=(4, 3)) + np.array([-1.0, -2.5, -3.5]))))
    found = (made.random(chances.shape) < chances).astype(int)
    pl.DataFrame(features | {f"y{i}": found[:, i] for i in range(3)}).write_csv(folder / "findings.csv")
    score, cuts = x @ np.array([1.5, -1.0, 0.5, 0.0]), np.array([0.5, 2.5, 4.0])
    grade = (score[:, None] + made.logistic(size=(ROWS, 1)) > cuts).sum(axis=1)
    below = np.c_[np.zeros(ROWS), 1 / (1 + np.exp(-(cuts - score[:, None]))), np.ones(ROWS)]
    pl.DataFrame(features | {"grade": grade}).write_csv(folder / "grades.csv")
    return {
        "multilabel": (folder / "findings.csv", chances),
        "ordinal": (folder / "grades.csv", np.diff(below, axis=1)),
    }


def distance(world: dict[str, tuple[Path, np.ndarray]], task: str, out: Path, *overrides: str) -> float:
    """Mean divergence (Kullback-Leibler, in nats) of the test role's probabilities from the true ones."""
    table, truth = world[task]
    columns = ["y0", "y1", "y2"] if task == "multilabel" else ["grade"]
    run = train(make_recipe(table, columns, overrides=[f"data.task={task}", *_COMMON, *overrides]), out=out)
    scores = read_scores(run.scores_file("test"))
    p, q = truth[scores.ids.astype(int)], np.clip(scores.probability_table(), 1e-9, 1 - 1e-9)
    assert q.mean(axis=0) == pytest.approx(p.mean(axis=0), rel=0.25, abs=0.003)
    assert predict(run, table).probabilities.shape == truth.shape
    if task == "multilabel":
        return float((p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean())
    return float((p * np.log(p / q)).sum(axis=1).mean())


@pytest.fixture(scope="module")
def plain(world, tmp_path_factory) -> Callable[[str], float]:
    """What plain training reaches on a task: the same for every loss, so trained once."""

    @functools.cache
    def trained(task: str) -> float:
        return distance(world, task, tmp_path_factory.mktemp("plain") / "run")

    return trained


@pytest.mark.parametrize(
    ("task", "overrides"),
    [
        ("multilabel", ["loss={name: bce, smoothing: 0.1}"]),
        ("multilabel", ["loss.name=focal"]),
        ("multilabel", ["loss.name=asymmetric"]),
        ("multilabel", ["loss.name=asymmetric", "balance.weights.scheme=sqrt"]),
        ("multilabel", ["loss.name=logit_adjusted", "model.initial_bias=zero"]),
        ("multilabel", ["loss.name=distribution_balanced"]),
        ("multilabel", ["balance.weights.scheme=inverse", "balance.schedule.from_epoch=10"]),
        ("ordinal", ["loss={name: cross_entropy, smoothing: 0.1}"]),
        ("ordinal", ["loss={name: logit_adjusted, tau: 1.5}", "model.initial_bias=zero"]),
        ("ordinal", ["loss.name=balanced_softmax"]),
        ("ordinal", ["loss.name=ldam", "balance.weights.scheme=balanced", "balance.schedule.from_epoch=10"]),
        ("ordinal", ["loss.name=squared_distance"]),
        ("ordinal", ["loss.name=corn", "balance.weights.scheme=sqrt"]),
        ("ordinal", ["loss.name=regression", "balance.weights.scheme=sqrt"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_probabilities_are_as_near_the_truth_as_those_of_plain_training(world, plain, task, overrides, tmp_path):
    assert distance(world, task, tmp_path / "corrected", *overrides) < 2.5 * plain(task) + 0.01
