"""Grades of retinopathy from real photographs: the packaged recipe on a part of IDRiD, small and briefly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise._checks import ArgumentError, RunError
from equipoise.recipe import Recipe, read_recipe
from equipoise.runs import Run
from equipoise.training import prepare, train
from equipoise.training.inputs import ModelRequest
from equipoise.training.predict import load_members


class Heard:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def begin(self, title: str, epochs: int) -> None: ...

    def move(self, epoch: float, note: str) -> None: ...

    def end(self, note: str) -> None: ...


def qwk(run: Run, under: str) -> dict[str, Any]:
    """Quadratic kappa of the test role with its interval, under the fitted rule or another."""
    return next(row for row in run.read_record("metrics")[under]["rows"] if row["metric"] == "qwk")


@pytest.fixture
def recipe(shared_data: Callable[[str], Path], tmp_path: Path) -> Callable[..., Recipe]:
    """The packaged recipe on every third photograph and all that are there twice, by the official split."""
    folder = shared_data("idrid-dr-grading")
    table = pl.read_csv(folder / "labels.csv")
    twice = set(table["duplicate_of"].drop_nulls())
    names = [Path(name).stem for name in table["image"]]
    kept = [
        n % 3 == 0 or name in twice or pair is not None
        for n, (name, pair) in enumerate(zip(names, table["duplicate_of"], strict=True))
    ]
    table = table.filter(pl.Series(kept))
    roles = np.where(table["split"] == "test", "test", np.where(np.arange(len(table)) % 4 == 1, "validation", "train"))
    pl.DataFrame({"id": table["image"], "role": roles.tolist()}).write_csv(tmp_path / "split.csv")
    table.write_csv(tmp_path / "labels.csv")

    def made(*more: str) -> Recipe:
        return read_recipe(
            "retinopathy-grading",
            [f"data.table={tmp_path / 'labels.csv'}", f"data.images={folder}", "data.labels=[dr_grade]",
             "data.ids=image", "data.groups=none", f"split.file={tmp_path / 'split.csv'}",
             f"images.cache={tmp_path / 'cache'}", "images.size=32", "model.name=mobilenetv3_small_050",
             "training.epochs=3", "training.batch_size=8", "training.learning_rate=2e-3", *more],
        )  # fmt: skip

    return made


def test_grading_says_what_is_doubtful_and_starts_from_a_run_without_weights(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    heard = Heard()
    both = ("balance.sampling.method=uniform",)
    plain = train(recipe("loss.name=cross_entropy", "loss.alpha=null"), out=tmp_path / "plain", watch=heard)
    said = "\n".join(heard.said)
    assert "Rows to learn from, by class: " in said
    assert "Warning: images are taken as independent" in said
    assert "Warning: 6 pictures stand in more than one row" in said
    assert "images/train_IDRiD_045.jpg and images/train_IDRiD_333.jpg" in said
    assert "images/train_IDRiD_079.jpg and images/train_IDRiD_279.jpg" in said
    assert (
        'Warning: 1 of them both learned from and judged on: "images/train_IDRiD_118.jpg and images/test_IDRiD_064.jpg"'
        in said
    )
    figures = qwk(plain, "rule")
    assert figures["low"] <= figures["value"] <= figures["high"]
    assert qwk(plain, "never")["value"] == 0.0

    prepared = prepare(recipe(*both))
    warned = " ".join(prepared.ledger.warnings())
    assert "2 corrections together go" in warned
    assert "beyond full balance" in warned
    assert not prepare(recipe()).ledger.warnings()

    started = prepare(recipe(*both, f"model.pretrained={plain.path}"))
    request = ModelRequest(5, True, np.zeros(5), 7, started.members[0].train)
    model = started.inputs.fit(started.members[0].train).make_model(started.recipe, request)
    theirs = load_members(Run.open(plain.path))[0][0].state_dict()
    assert all(bool((theirs[name] == tensor).all()) for name, tensor in model.state_dict().items())

    again = train(recipe("loss.name=regression", "loss.alpha=null", "training.epochs=1"), out=tmp_path / "regression")
    assert qwk(again, "rule")["support"] == qwk(plain, "rule")["support"]
    other = started.inputs.fit(started.members[0].train)
    with pytest.raises(ArgumentError, match="is a run of another model: n_outputs 1 and not 5"):
        other.make_model(recipe(f"model.pretrained={again.path}"), request)
    (tmp_path / "split.csv").write_text((tmp_path / "split.csv").read_text().replace(",train", ",validation", 1))
    with pytest.raises(RunError, match="learned from 1 rows that this run is watched or judged on"):
        prepare(recipe(f"model.pretrained={plain.path}"))
