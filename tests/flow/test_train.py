"""From a table to a judged model, on real data, by the commands that a user types."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import processes
from equipoise.evidence import MetricTable
from equipoise.recipe import make_recipe, read_recipe
from equipoise.runs import Run
from equipoise.scores import read_scores
from equipoise.training import predict, prepare, train

_QUICK = ["training.members=2", "training.epochs=12"]


def _metrics(run: Run, rule: str = "rule") -> MetricTable:
    return MetricTable.from_dict(run.read_record("metrics")[rule])


@pytest.fixture
def survey(shared_data: Callable[[str], Path]) -> tuple[Path, list[str]]:
    path = shared_data("brfss2022-comorbidity") / "brfss2022.csv"
    return path, [name for name in pl.read_csv(path, n_rows=1).columns if name.startswith("y_")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["comorbidity", "comorbidity-aggressive", "comorbidity-very-aggressive"])
def test_comorbidity_recipes_find_positives_early_and_beat_plain_training_at_half(
    name: str, survey: tuple[Path, list[str]], tmp_path: Path
) -> None:
    table, targets = survey
    common = [f"data.table={table}", f"data.labels={json.dumps(targets)}", "data.groups=none", "training.members=1"]
    weighted = train(read_recipe(name, common), out=tmp_path / "weighted")
    uncorrected = [*common, "balance.weights.scheme=none", "loss={name: bce}"]
    plain = train(read_recipe(name, uncorrected), out=tmp_path / "plain")
    assert _metrics(weighted).value("macro_f1") > _metrics(plain, "half").value("macro_f1")
    assert _metrics(weighted).value("macro_f1") > _metrics(weighted, "never").value("macro_f1") == 0
    fifth = [event for event in weighted.events() if event["event"] == "epoch" and event["epoch"] == 5]
    assert fifth
    assert all(min(event["positive_rate"]) > 0 for event in fifth)


def test_probabilities_of_a_weighted_run_are_at_the_natural_prevalence(
    survey: tuple[Path, list[str]], tmp_path: Path
) -> None:
    table, targets = survey
    overrides = ["balance.weights.scheme=inverse", "training.members=1", "training.monitor=loss", "model.name=linear"]
    run = train(make_recipe(table, targets, groups="none", overrides=overrides), out=tmp_path / "run")
    scores = read_scores(run.scores_file("test"))
    observed = np.nanmean(scores.table(), axis=0)
    said = scores.probability_table().mean(axis=0)
    np.testing.assert_allclose(said, observed, atol=0.06)  # uncorrected, a balanced loss would say about 0.5
    assert run.read_record("weights")["scheme"] == "inverse"


def test_a_leak_that_is_planted_is_named_and_not_dropped(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    ill = rng.random(400) < 0.1
    frame = pl.DataFrame(
        {
            "age": rng.normal(60, 10, 400).round(1),
            "discharge_code": np.where(ill, 7, rng.integers(0, 3, 400)),
            "ill": ill.astype(int),
        }
    )
    frame.write_csv(tmp_path / "table.csv")
    done = processes.run(
        "train", tmp_path / "table.csv", "--labels", "ill", "--groups", "none", "--out", tmp_path / "run",
        *(part for setting in _QUICK for part in ("--set", setting)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'Probable leak: "discharge_code"' in done.stderr
    assert _metrics(Run.open(tmp_path / "run")).value("auc", "ill") > 0.99


@pytest.mark.parametrize("table", ["glass-multiclass.csv", "hypothyroid.csv", "ecoli4.csv"])
def test_small_tables_train_and_never_collapse(table: str, shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    path = shared_data("keel-imbalanced") / table
    run = train(make_recipe(path, "target", groups="none", overrides=["training.members=3"]), out=tmp_path / "run")
    assert _metrics(run).value("macro_f1") > _metrics(run, "never").value("macro_f1")
    assert _metrics(run).value("macro_f1") > 0.3


def test_a_single_model_with_a_validation_role_and_a_patient_column(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(150), 4)
    risk = rng.normal(size=150)[patients]
    frame = pl.DataFrame(
        {
            "visit": np.arange(600),
            "patient": patients,
            "score": (risk + rng.normal(size=600) * 0.5).round(3),
            "ill": (risk + rng.normal(size=600) * 0.5 > 1.2).astype(int),
        }
    )
    frame.write_csv(tmp_path / "table.csv")
    overrides = ["training.members=1"]
    recipe = make_recipe(tmp_path / "table.csv", "ill", ids="visit", groups="patient", overrides=overrides)
    run = train(recipe, out=tmp_path / "run")
    split = pl.read_csv(run.file("split.csv")).join(frame.rename({"visit": "id"}), on="id")
    assert split.group_by("patient").agg(pl.col("role").n_unique())["role"].max() == 1
    assert set(split["role"]) == {"train", "validation", "test"}
    columns = run.read_record("columns")["members"][0]
    assert [column["name"] for column in columns["columns"]] == ["score"]


def test_predictions_of_a_run_are_those_of_its_test_scores(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    table = shared_data("keel-imbalanced") / "hypothyroid.csv"
    run = train(make_recipe(table, "target", groups="none", overrides=_QUICK), out=tmp_path / "run")
    found = predict(run, table).to_polars()
    test = read_scores(run.scores_file("test"))
    again = found["p_target"].to_numpy()[test.ids.astype(int)]
    np.testing.assert_allclose(again, test.probabilities(), atol=1e-6)
    frame = pl.read_csv(table, infer_schema=False).drop("target")
    frame.write_csv(tmp_path / "unlabelled.csv")
    np.testing.assert_array_equal(predict(run, tmp_path / "unlabelled.csv").to_polars()["p_target"], found["p_target"])


def test_predict_says_what_is_wrong_with_a_table(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    table = shared_data("keel-imbalanced") / "ecoli4.csv"
    train(make_recipe(table, "target", groups="none", overrides=_QUICK), out=tmp_path / "run")
    frame = pl.read_csv(table, infer_schema=False)
    name = frame.columns[0]
    frame.drop(name).write_csv(tmp_path / "lacks.csv")
    frame.with_columns(pl.when(pl.arange(pl.len()) == 5).then(pl.lit("inf")).otherwise(name).alias(name)).write_csv(
        tmp_path / "infinite.csv"
    )
    for file, said in {"lacks.csv": name, "infinite.csv": "row 6"}.items():
        done = processes.run("predict", tmp_path / "run", tmp_path / file)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_run_of_torchrun_with_two_processes_learns_what_one_process_learns(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 3))
    ill = (rng.random(300) < 1 / (1 + np.exp(1.5 - 2 * x[:, 0]))).astype(int)
    pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "ill": ill}).write_csv(tmp_path / "table.csv")
    settings = [
        "model.name=linear", "training.members=1", "training.epochs=5", "training.gradient_clip=null",
        "training.device=cpu",  # two processes need two GPUs
    ]  # fmt: skip
    arguments = [
        "train", str(tmp_path / "table.csv"), "--labels", "ill", "--groups", "none",
        *(part for setting in settings for part in ("--set", setting)),
    ]  # fmt: skip
    done = processes.run(*arguments, "--out", tmp_path / "one")
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29611",
         "-m", "equipoise", *arguments, "--out", str(tmp_path / "two")],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (read_scores(Run.open(tmp_path / name).scores_file("test")) for name in ("one", "two"))
    np.testing.assert_allclose(one.values, two.values, atol=1e-4)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0] * 40, '"ill" has no positive'),
        ([1] * 4 + [0] * 36, r'every positive of "ill" is in one group \(0\).*Leave the class out'),
    ],
)
def test_a_class_that_cannot_be_learned_and_judged_is_an_error(labels: list[int], said: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=40).round(3)
    well = np.arange(40) % 2
    frame = pl.DataFrame({"patient": np.arange(40) // 4, "x": x, "ill": labels, "well": well})
    frame.write_csv(tmp_path / "table.csv")
    done = processes.run(
        "train", tmp_path / "table.csv", "--labels", "ill,well", "--groups", "patient", "--out", tmp_path / "run"
    )
    assert done.returncode == 2
    assert re.search(said, done.stderr), done.stderr
    assert not (tmp_path / "run").exists()


def test_a_column_named_like_a_division_into_roles_is_pointed_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"x": rng.normal(size=60), "Split": ["a", "b", "c"] * 20, "ill": [0, 0, 1] * 20})
    frame.write_csv(tmp_path / "table.csv")
    said = prepare(make_recipe(tmp_path / "table.csv", "ill", groups="none")).sentences()
    assert any('Column "Split" is used as a feature' in sentence for sentence in said)
    kept_out = make_recipe(tmp_path / "table.csv", "ill", groups="none", overrides=["data.exclude=[Split]"])
    assert not any("division into roles" in sentence for sentence in prepare(kept_out).sentences())
