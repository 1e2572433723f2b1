"""A new last layer, and a rescaled one, from a finished run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from equipoise._checks import ArgumentError, RunError
from equipoise.evidence import MetricTable
from equipoise.recipe import make_recipe
from equipoise.runs import Run
from equipoise.scores import read_scores
from equipoise.training import normalised_weights, predict, retrain_last_layer, tau_normalise, train
from equipoise.training.predict import load_members

_GRADES = ["data.task=ordinal", "data.groups=none", "data.exclude=[sick]"]
_SMALL = ["training.members=1", "training.epochs=8", "model.name=mlp", "model.width=16", "model.depth=1"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = np.random.default_rng(0)
    x = made.normal(size=(3000, 4))
    score = x @ np.array([1.5, -1.0, 0.5, 0.0])
    latent = score + made.logistic(size=3000)
    grade = (latent[:, None] > np.array([1.0, 3.5])).sum(axis=1)
    path = tmp_path_factory.mktemp("posthoc") / "grades.csv"
    columns = {f"x{i}": x[:, i] for i in range(4)} | {"grade": grade, "sick": (grade > 1).astype(int)}
    pl.DataFrame(columns).write_csv(path)
    return path


@pytest.fixture(scope="module")
def finished(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = make_recipe(table, ["grade"], overrides=[*_GRADES, *_SMALL])
    return train(recipe, out=tmp_path_factory.mktemp("runs") / "plain")


def _weights(run: Run) -> dict[str, torch.Tensor]:
    return load_members(run)[0][0].state_dict()


def test_a_retrained_last_layer_leaves_the_others_as_they_are(finished: Run, table: Path, tmp_path: Path) -> None:
    again = retrain_last_layer(finished, out=tmp_path / "crt")
    before, after = _weights(finished), _weights(again)
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == (not name.startswith(("output.", "skip."))), name
    assert again.is_done
    assert again.read_record("posthoc")["source"] == str(finished.path)
    assert again.read_record("plan") is not None
    # Classes were drawn evenly; the ledger takes that back.
    found = read_scores(again.scores_file("test"))
    known = np.bincount(found.labels.astype(int)) / len(found.labels)
    assert found.probability_table().mean(axis=0) == pytest.approx(known, abs=0.05)
    tables = [MetricTable.from_dict(run.read_record("metrics")["rule"]) for run in (finished, again)]
    assert tables[1].value("log_loss") == pytest.approx(tables[0].value("log_loss"), abs=0.05)
    assert predict(again, table).probabilities.shape == (3000, 3)


def test_tau_is_chosen_on_validation_and_zero_changes_nothing(finished: Run, tmp_path: Path) -> None:
    same = tau_normalise(finished, 0.0, out=tmp_path / "zero")
    np.testing.assert_allclose(
        read_scores(same.scores_file("test")).values, read_scores(finished.scores_file("test")).values, atol=1e-6
    )
    chosen = tau_normalise(finished, out=tmp_path / "chosen")
    about = chosen.read_record("posthoc")
    worth = about["validated"]
    assert len(worth) == 11
    assert worth[str(about["tau"])] == max(worth.values())
    one = tau_normalise(finished, 1.0, out=tmp_path / "one")
    after = _weights(one)
    rows = torch.cat([after[name] for name in ("output.weight", "skip.weight") if name in after], dim=1)
    lengths = rows.norm(dim=1)
    torch.testing.assert_close(lengths, lengths.mean().expand_as(lengths), rtol=1e-5, atol=0)


def test_lengths_of_an_ensemble_are_evened_out_for_each_submodel() -> None:
    weight = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    made = normalised_weights({"output.weight": weight}, 1.0)["output.weight"]
    lengths = made.norm(dim=1)
    torch.testing.assert_close(lengths, lengths.mean(dim=1, keepdim=True).expand_as(lengths), rtol=1e-5, atol=0)
    torch.testing.assert_close(made / weight, (made / weight)[:, :1].expand_as(made), rtol=1e-5, atol=0)


def test_what_cannot_be_is_refused(finished: Run, table: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="at least 0.0"):
        tau_normalise(finished, -1.0, out=tmp_path / "bad")
    with pytest.raises(RunError):
        tau_normalise(finished, 1.0, out=finished.path)
    common = ["data.groups=none", "data.exclude=[grade]", "training.members=1", "training.epochs=2"]
    binary = train(make_recipe(table, ["sick"], overrides=[*common, "model.name=linear"]), out=tmp_path / "binary")
    with pytest.raises(ArgumentError, match="A threshold a class, fitted on validation, does the same"):
        tau_normalise(binary, out=tmp_path / "no")
    with pytest.raises(ArgumentError, match="is a last layer only"):
        retrain_last_layer(binary, out=tmp_path / "no")


def test_a_table_that_changed_is_refused(table: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes(table.read_bytes())
    common = [*_GRADES, *_SMALL, "training.epochs=1"]
    run = train(make_recipe(copy, ["grade"], overrides=common), out=tmp_path / "run")
    pl.read_csv(copy).head(2500).write_csv(copy)
    with pytest.raises(RunError, match="gives another split than"):
        retrain_last_layer(run, out=tmp_path / "crt")
