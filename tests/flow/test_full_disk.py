"""A disk that is full at some file of a training: one plain message, and with room again it ends with the same bytes.

The disk is played by the limit on the size of a file that the system puts on this process: what is longer fails for
real, in Python's own writing as in that of every library.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from equipoise._checks import RunError
from equipoise.recipe import Recipe, make_recipe
from equipoise.runs import Run
from equipoise.scores import read_scores, write_scores
from equipoise.training import train
from full_disk import no_file_longer_than

_SETTINGS = (
    "training.members=2", "training.epochs=2", "training.checkpoint_seconds=0", "model.name=mlp", "model.width=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(150, 2)).round(3)
    ill = rng.random(150) < 1 / (1 + np.exp(1 - x[:, 0]))
    path = tmp_path_factory.mktemp("full") / "table.csv"
    path.write_text("a,b,ill\n" + "".join(f"{a},{b},{y:d}\n" for (a, b), y in zip(x, ill, strict=True)))
    return make_recipe(path, "ill", groups="none", overrides=_SETTINGS)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(recipe, out=tmp_path_factory.mktemp("whole") / "run").path


def _contents(run: Path) -> dict[str, bytes]:
    other = ("run.json", "lock", "DONE", "last.safetensors")
    return {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name not in other}


def test_a_full_disk_stops_a_training_in_one_sentence_and_loses_nothing(
    recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    longest = sorted({path.stat().st_size for path in whole.rglob("*") if path.is_file()})
    run = tmp_path / "run"
    stopped = set()
    for size in (longest[1] - 1, *(size - 1 for size in longest[2:])):
        with no_file_longer_than(size), pytest.raises(RunError, match=r"could not be written: .*Free some") as caught:
            train(recipe, out=run, resume=True)
        stopped.add(Path(str(caught.value).split(" could not")[0]).name)
        assert not list(run.rglob("*.part"))
        assert not (run / "DONE").exists()
        del caught
    # The first file that is written and the longest; which of the others are met depends on their lengths.
    assert {"recipe.yaml", "last.safetensors"} <= stopped
    train(recipe, out=run, resume=True)
    assert _contents(run) == _contents(whole)


def test_a_full_disk_keeps_the_finished_run_that_was_to_be_replaced(
    recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    with no_file_longer_than(5000), pytest.raises(RunError, match="could not be written"):
        train(recipe, out=run, overwrite=True)
    assert _contents(run.with_name("run.previous")) == _contents(whole)
    assert Run.open(run.with_name("run.previous")).changed_files() == []
    train(recipe, out=run, resume=True)
    assert _contents(run) == _contents(whole)
    assert not run.with_name("run.previous").exists()


@pytest.mark.parametrize("name", ["scores.parquet", "scores.csv"])
def test_a_full_disk_under_scores_is_the_same_sentence(whole: Path, tmp_path: Path, name: str) -> None:
    scores = read_scores(whole / "scores" / "validation.parquet")
    write_scores(scores, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with no_file_longer_than(100), pytest.raises(RunError, match=rf"{name} could not be written: File too large"):
        write_scores(scores, tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]
