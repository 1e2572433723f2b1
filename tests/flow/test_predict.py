"""Predicting with a finished run: new tables of every shape, and run folders that somebody changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise.recipe import make_recipe
from equipoise.training import predict, train

_HEADER = "id,patient,age,dose,sex,code,ill,dead"


def _rows(count: int = 160) -> list[str]:
    rng = np.random.default_rng(5)
    age, dose = rng.normal(60, 9, count).round(2), rng.normal(size=count).round(3)
    sex, code = rng.choice(["F", "M"], count), rng.choice([1, 2, 3], count)
    ill = (rng.random(count) < 1 / (1 + np.exp(-dose))).astype(int)
    dead = (rng.random(count) < 0.3).astype(int)
    columns = zip(range(count), age, dose, sex, code, ill, dead, strict=True)
    return [f"scan-{n},p{n // 2},{a},{d},{s},{c},{y},{z}" for n, a, d, s, c, y, z in columns]


def _write(path: Path, rows: list[str], header: str = _HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose rows have names and groups, beside its table."""
    folder = tmp_path_factory.mktemp("predict")
    table = _write(folder / "table.csv", _rows())
    settings = ["training.members=1", "training.epochs=2", "model.name=mlp", "data.categories=[code]"]
    recipe = make_recipe(table, ["ill", "dead"], ids="id", groups="patient", overrides=settings)
    return train(recipe, out=folder / "run").path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may damage."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def _vouch(run: Path, name: str) -> None:
    """Make DONE agree with a changed file, as one would who changes it on purpose."""
    done = json.loads((run / "DONE").read_text())
    done["files"][name] = hashlib.sha256((run / name).read_bytes()).hexdigest()
    (run / "DONE").write_text(json.dumps(done))


def test_rows_keep_the_names_that_the_id_column_gives_them(
    finished: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    out = tmp_path / "predictions.csv"
    assert command("predict", finished, finished.with_name("table.csv"), "--out", out).code == 0
    assert pl.read_csv(out)["id"].to_list()[:2] == ["scan-0", "scan-1"]
    assert "exists" in command("predict", finished, finished.with_name("table.csv"), "--out", out).error
    assert command("predict", finished, finished.with_name("table.csv"), "--out", out, "--overwrite").code == 0


def test_order_of_rows_and_columns_and_other_columns_change_no_prediction(finished: Path, tmp_path: Path) -> None:
    usual = predict(finished, finished.with_name("table.csv"))
    frame = pl.read_csv(finished.with_name("table.csv"), infer_schema=False)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=3).select(sorted(frame.columns, reverse=True))
    shuffled.drop("ill", "dead").with_columns(more=pl.lit("x")).write_csv(tmp_path / "other.csv")
    other = predict(finished, tmp_path / "other.csv")
    back = np.argsort([int(name.removeprefix("scan-")) for name in other.ids])
    assert np.array_equal(other.probabilities[back], usual.probabilities)
    frame.with_columns(pl.col("age", "dose", "code").cast(pl.Float64)).write_parquet(tmp_path / "typed.parquet")
    assert np.array_equal(predict(finished, tmp_path / "typed.parquet").probabilities, usual.probabilities)


def _changed(*path: str | int, value: Any = None, remove: bool = False) -> Callable[[Any], Any]:
    def change(data: Any) -> Any:
        inside = data
        for key in path[:-1]:
            inside = inside[key]
        if remove:
            del inside[path[-1]]
        else:
            inside[path[-1]] = value
        return data

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("model.json", lambda _: [], "model.json, columns.json and model.safetensors"),
        ("model.json", lambda _: {}, "train again"),
        ("model.json", _changed("members", value=[]), "train again"),
        ("model.json", _changed("members", value=3), "train again"),
        ("model.json", _changed("members", 0, "name", value="resnet"), '"linear", "mlp", "tabm"'),
        ("model.json", _changed("members", 0, "name", remove=True), "train again"),
        ("model.json", _changed("members", 0, "n_numeric", value=10**12), "train again"),
        ("model.json", _changed("members", 0, "n_numeric", value="x"), "train again"),
        ("model.json", _changed("members", 0, "n_outputs", value=5), "do not fit together"),
        ("model.json", _changed("members", 0, "cardinalities", value=["q"]), "train again"),
        ("model.json", _changed("members", 0, "settings", value=None), "train again"),
        ("model.json", _changed("members", 0, "settings", value={"evil": 1}), 'no setting "evil"'),
        ("columns.json", lambda _: 3, "train again"),
        ("columns.json", _changed("members", value=None), "train again"),
        ("columns.json", _changed("members", 0, "version", value=99), "newer Equipoise"),
        ("columns.json", _changed("members", 0, "numeric", value=[]), "not those that the model takes"),
        ("columns.json", _changed("members", 0, "categories", value=[]), "not those that the model takes"),
        ("columns.json", _changed("members", 0, "columns", value=[]), 'no column "age"'),
        ("census.json", _changed("version", value=99), "Update Equipoise"),
        ("decision.json", _changed("version", value=99), "Update Equipoise"),
        ("decision.json", _changed("thresholds", 0, value=10**400), '"thresholds" must be'),
        ("ledger.json", _changed("prevalence", value=[2, 3]), "share in [0, 1]"),
        ("run.json", _changed("format", value=99), "Upgrade to read it"),
    ],
)
def test_a_changed_run_is_one_plain_message(
    run: Path, finished: Path, name: str, change: Callable[[Any], Any], message: str, command: Callable[..., Any]
) -> None:
    (run / name).write_text(json.dumps(change(json.loads((run / name).read_text()))))
    _vouch(run, name)
    said = command("predict", run, finished.with_name("table.csv"), "--out", run.parent / "p.csv")
    assert said.code == 2
    assert message in said.error
    assert not (run.parent / "p.csv").exists()
