"""Ablations as commands: run, killed, taken up again, edited by hand, and grown; on this machine and on Ray."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import processes
from equipoise._checks import EquipoiseError, RunError
from equipoise.ablation import read_matrix
from equipoise.ablation.launch import run_matrix
from equipoise.cli import app
from equipoise.report import AblationView
from equipoise.report.ablation_view import read_status
from equipoise.training import train

_ARMS = """
base: table
set: {data.table: TABLE, data.labels: [y_one, y_two], data.groups: none, model.name: linear, training.members: 1,
      training.epochs: EPOCHS, training.patience: null, training.checkpoint_seconds: 0}
seeds: 2
arms:
  plain: {}
  sqrt: {balance.weights.scheme: sqrt}
  focal: {loss.name: focal}
"""


def _table(path: Path) -> Path:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 3))
    ill = rng.random((300, 2)) < 1 / (1 + np.exp(2.0 - x[:, :2]))
    lines = ["a,b,c,y_one,y_two"]
    lines += [",".join(map(str, [*row.round(4), *map(int, said)])) for row, said in zip(x, ill, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _matrix(folder: Path, epochs: int) -> Path:
    path = folder / "trial.yaml"
    path.write_text(_ARMS.replace("TABLE", str(_table(folder / "table.csv"))).replace("EPOCHS", str(epochs)))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a matrix and, in ``out``, its finished ablation."""
    folder = tmp_path_factory.mktemp("ablation")
    launched = run_matrix(read_matrix(_matrix(folder, 2)), folder / "out", workers=1, shown=False)
    assert len(launched.trained) == 6
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def _marks(out: Path) -> dict[str, tuple[int, int]]:
    """When, and in which file, the DONE of each finished cell was written."""
    found = {path.parent.relative_to(out).as_posix(): path.stat() for path in out.glob("cells/*/*/DONE")}
    return {name: (about.st_ino, about.st_mtime_ns) for name, about in found.items()}


def _workers_of(driver: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(re.search(r"PPid:\s+(\d+)", (folder / "status").read_text())[1])  # type: ignore[index]
            if parent == driver and b"equipoise.ablation.worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, TypeError):
            continue
    return found


def _wait(until: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="finds processes in /proc")
def test_killed_at_random_instants_it_repeats_no_finished_cell(tmp_path: Path) -> None:
    matrix, out = _matrix(tmp_path, 60), tmp_path / "out"
    arguments = ("ablate", matrix, "--out", out, "--workers", 2)
    draw = random.Random(os.environ.get("EQUIPOISE_KILL_SEED", "1"))
    driver = processes.Running(*arguments)
    _wait(lambda: list(out.glob("cells/*/*/events.jsonl")))
    victim = _workers_of(driver._process.pid or 0)[0]
    os.kill(victim, signal.SIGKILL)  # a worker: its cell is taken up again
    for _ in range(int(os.environ.get("EQUIPOISE_KILLS", "1"))):
        before = len(_marks(out))
        _wait(lambda before=before: len(_marks(out)) > before)  # type: ignore[misc]
        time.sleep(draw.uniform(0.0, 0.5))
        marks, workers = _marks(out), _workers_of(driver._process.pid or 0)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        _wait(lambda workers=workers: not any(Path(f"/proc/{pid}").exists() for pid in workers), 20)  # type: ignore[misc]
        driver = processes.Running(*arguments)
    done = driver.finish()
    assert done.returncode == 0, done.stderr
    after = _marks(out)
    assert len(after) == 6
    assert {name: after[name] for name in marks} == marks, "finished cells were not touched"
    told = list(read_status(out))
    assert sorted(event["cell"] for event in told if event["status"] == "finished") == sorted(
        cell.id for cell in read_matrix(matrix).cells
    )
    assert next(event["message"] for event in told if event["status"] == "lost").startswith("its process was killed")
    view = AblationView.read(out)
    assert view.finished
    assert view.problems() == []


def test_a_cell_is_the_run_that_its_recipe_makes(finished: Path, tmp_path: Path) -> None:
    cell = next(cell for cell in read_matrix(finished / "trial.yaml").cells if cell.id == "focal/seed-1")
    alone = train(cell.recipe, out=tmp_path / "alone")
    for name in ("model.safetensors", "scores/validation.parquet", "scores/test.parquet", "recipe.yaml", "split.csv"):
        assert (finished / "out" / cell.folder / name).read_bytes() == (alone.path / name).read_bytes(), name


def test_the_test_role_of_cross_fitted_cells_is_opened(tmp_path: Path) -> None:
    matrix = _matrix(tmp_path, 1)
    text = matrix.read_text().replace(" training.members: 1,", "").replace("seeds: 2", "seeds: 1")
    matrix.write_text(text.replace("  focal: {loss.name: focal}\n", ""))
    out = str(tmp_path / "out")
    _said("ablate", str(matrix), "--out", out, "--workers", "1")
    lines = next(Path(out).rglob("split.csv")).read_text().splitlines()
    assert {line.rpartition(",")[2] for line in lines} > {"fold", "-1", "0", "1"}, "members were cross-fitted"
    assert "rows of the role validation" in _said("verdict", out, "--replicates", "100")
    assert "44 rows of the role test" in _said("verdict", out, "--replicates", "100", "--test")


def _said(*arguments: str) -> str:
    """Return what a command prints, run in this process."""
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_folder_edited_by_hand_is_left_out_and_named(copied: Path) -> None:
    out = copied / "out"
    edited = out / "cells" / "sqrt" / "seed-1" / "metrics.json"
    edited.write_text(edited.read_text().replace("0.", "0.9", 1))
    marks = _marks(out)
    view = AblationView.read(out)
    assert view.views["sqrt/seed-1"] is None
    assert view.status["sqrt/seed-1"] == "changed"
    assert "1 cell is changed after it was finished and left out" in view.problems()[0]
    said = processes.run("ablate", copied / "trial.yaml", "--out", out)
    assert said.returncode == 1
    assert "was changed after it was finished" in said.stdout
    assert _marks(out) == marks
    launched = run_matrix(read_matrix(copied / "trial.yaml"), out, workers=1, overwrite=True, shown=False)
    assert launched.trained == ("sqrt/seed-1",)
    assert (out / "previous" / "sqrt" / "seed-1" / "metrics.json").exists()


def test_it_may_grow_and_an_arm_may_be_renamed_but_not_changed_and_one_that_fails_stops_no_other(copied: Path) -> None:
    out, matrix = copied / "out", copied / "trial.yaml"
    text, marks = matrix.read_text(), _marks(copied / "out")
    matrix.write_text(text.replace("epochs: 2", "epochs: 3"))
    with pytest.raises(RunError, match="holds 6 cells of other recipes or another table, such as plain/seed-0"):
        run_matrix(read_matrix(matrix), out, shown=False)
    arms = text.replace("  focal:", "  wide: {loss.name: focal, loss.gamma: 1}\n  sharp:")
    matrix.write_text(arms + "  broken: {change: {data.numeric: [nothing]}, declare: [data]}\n")
    said = processes.run("ablate", matrix, "--out", out, "--workers", 1, "--json")
    assert said.returncode == 1
    launched = json.loads(said.stdout)
    assert launched["trained"] == ["wide/seed-0", "wide/seed-1"]
    assert "sharp/seed-1" in launched["finished"], "a renamed arm is not trained again"
    assert set(launched["failed"]) == {"broken/seed-0", "broken/seed-1"}
    assert {name: mark for name, mark in _marks(out).items() if name in marks} == marks
    view = AblationView.read(out)
    assert view.status["broken/seed-1"] == "failed"
    assert "nothing" in view.messages["broken/seed-1"]
    assert [problem[:18] for problem in view.problems()] == ["2 cells are failed"]


def test_a_confounded_matrix_is_refused_with_the_difference(tmp_path: Path) -> None:
    matrix = _matrix(tmp_path, 10)
    matrix.write_text(matrix.read_text() + "  longer: {loss.name: focal, loss.gamma: 1, training.epochs: 20}\n")
    said = processes.run("ablate", matrix, "--out", tmp_path / "out")
    assert said.returncode == 2
    assert "differs from plain in budget" in said.stderr
    assert "training.epochs is 10 in plain and 20 in longer" in said.stderr
    assert not (tmp_path / "out").exists()


def test_ready_matrices_are_listed_printed_and_planned(tmp_path: Path) -> None:
    listed = processes.run("ablate", "--list").stdout
    assert [line.split()[0] for line in listed.splitlines()[:6]] == [
        "balance", "comorbidity", "lesion-losses", "mask-losses", "retinopathy", "x-lite"
    ]  # fmt: skip
    assert processes.run("ablate", "--print", "balance").stdout.startswith("# Does correcting for imbalance help")
    table = _table(tmp_path / "table.csv")
    planned = processes.run("ablate", table, "--labels", "y_one,y_two", "--groups", "none", "--plan", folder=tmp_path)
    assert "12 arms x 5 seeds = 60 cells" in planned.stdout
    assert "Equal by construction: budget, schedule, data, model" in planned.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("plan", [True, False], ids=["plan", "run"])
@pytest.mark.parametrize(("arguments", "said"), [
    (["mask-losses", "pairs.csv", "--set", "data.masks=mask", "--groups", "patient"],
     'has no column "patient". Did you mean "patient_id"?'),
    (["mask-losses", "pairs.csv", "--set", "data.masks=masks", "--groups", "none"],
     'has no column "masks". Did you mean "mask"?'),
    (["mask-losses", "pairs.csv", "--set", "data.masks=mask"], "say that images are independent: --groups none"),
    (["balance", "table.csv", "--labels", "y_one,y_two", "--groups", "patiens"], 'has no column "patiens"'),
    (["balance", "table.csv", "--labels", "y_one,y_two"], "Nobody said whether rows of table.csv share a patient"),
    (["balance", "table.csv", "--labels", "y_one,y_tow", "--groups", "none"], 'Did you mean "y_two"?'),
])  # fmt: skip
def test_columns_are_looked_at_before_the_first_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str, plan: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    _table(tmp_path / "table.csv")
    (tmp_path / "pairs.csv").write_text("image,mask,patient_id\na.png,a_mask.png,p1\n")
    with pytest.raises(EquipoiseError, match=re.escape(said)):
        _said("ablate", *arguments, *(["--plan"] if plan else []))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["x-lite", "retinopathy", "comorbidity", "balance", "mask-losses", "lesion-losses"])
def test_ready_matrices_are_fair(name: str) -> None:
    matrix = read_matrix(name)
    assert matrix.reference == "plain"
    aspects = {one.aspect for found in matrix.differences.values() for one in found}
    assert aspects - {"augmentation"} == {"correction"}
    plain = matrix.arm("plain").recipe
    assert plain.balance == type(plain.balance)()
    assert matrix.log["why"]


def test_runs_are_listed_filtered_and_compared(finished: Path) -> None:
    out = finished / "out"
    every = json.loads(processes.run("runs", finished, "--json").stdout)
    assert len(every) == 6
    assert {run["status"] for run in every} == {"finished"}
    assert {run["ablation"] for run in every} == {"trial"}
    assert all(run["value"] is not None for run in every)
    some = json.loads(
        processes.run("runs", finished, "--json", "--where", "loss.name=focal", "--where", "seed=1").stdout
    )
    assert [run["recipe"] for run in some] == ["focal"]
    assert json.loads(processes.run("runs", finished, "--json", "--status", "failed").stdout) == []
    assert "linear" in processes.run("runs", finished, "--recipe", "sqrt").stdout
    cells = out / "cells"
    found = json.loads(
        processes.run("runs", "--compare", cells / "plain/seed-0", cells / "sqrt/seed-0", "--json").stdout
    )
    assert found == [
        {"key": "name", "a": "plain", "b": "sqrt"}, {"key": "balance.weights.scheme", "a": "none", "b": "sqrt"},
    ]  # fmt: skip
    refused = processes.run("runs", finished, "--where", "loss")
    assert (refused.returncode, "must be key=value" in refused.stderr) == (2, True)
