"""A training killed with SIGKILL at random instants and resumed ends with the bytes of one that was not."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import processes

_SETTINGS = (
    "training.epochs=6", "training.patience=null", "training.members=3", "training.checkpoint_seconds=0",
    "split.fractions=[0.6, 0.2, 0.2]", "training.batch_size=16",
)  # fmt: skip
_COMPARED = (
    "model.safetensors", "model.json", "columns.json", "metrics.json", "decision.json", "events.jsonl", "split.csv",
    "census.json", "ledger.json", "scores/validation.parquet", "scores/test.parquet",
)  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 4))
    ill = rng.random((400, 2)) < 1 / (1 + np.exp(2.0 - x[:, :2]))
    lines = ["a,b,c,d,y_one,y_two"]
    lines += [",".join(map(str, [*row.round(4), *map(int, said)])) for row, said in zip(x, ill, strict=True)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _arguments(table: Path, out: Path, *more: str) -> list[str]:
    settings = [part for setting in _SETTINGS for part in ("--set", setting)]
    return [
        "train", str(table), "--labels", "y_one,y_two", "--groups", "none", *settings, "--out", str(out), *more
    ]  # fmt: skip


def _start(table: Path, out: Path, *more: str) -> processes.Running:
    return processes.Running(*_arguments(table, out, *more))


@pytest.mark.slow
def test_killed_five_times_at_random_instants_it_ends_with_the_same_bytes(table: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    # Each Python that starts from nothing orders its sets by a seed of its own; those below are forked from another.
    done = processes.run_fresh(*_arguments(table, whole))
    assert done.returncode == 0, done.stderr
    draw = random.Random(os.environ.get("EQUIPOISE_KILL_SEED", "1"))
    kills = 0
    process = _start(table, cut)
    while kills < 5:
        # Wait for training to be under way, so that no kill is spent on the imports alone, then a random moment more.
        events = cut / "events.jsonl"
        size = events.stat().st_size if events.exists() else -1
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if events.exists() and events.stat().st_size != size:
                break
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.25))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        process = _start(table, cut, "--resume")
    done = process.finish()
    assert done.returncode == 0, done.stderr
    assert kills >= 3, "the training ended too early to be killed"
    for name in _COMPARED:
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert (cut / "DONE").exists()


def test_a_finished_run_is_not_overwritten_unless_told(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    quick = ("--set", "training.members=1", "--set", "training.epochs=1")
    done = _start(table, out, *quick).finish()
    assert done.returncode == 0, done.stderr
    before = (out / "model.safetensors").read_bytes()
    again = _start(table, out, *quick, "--set", "seed=4").finish()
    assert again.returncode == 2
    assert "holds a finished run" in again.stderr
    assert "--overwrite" in again.stderr
    assert (out / "model.safetensors").read_bytes() == before


def test_a_run_that_is_there_is_said_before_anything_is_read(table: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"format": 1, "equipoise": "0.1.0", "recipe": "table"}')
    said = _start(table, tmp_path / "run").finish()
    assert said.returncode == 2
    assert "holds an unfinished run. Go on with --resume" in said.stderr
    assert "features" not in said.stdout + said.stderr


def test_ctrl_c_says_how_to_go_on(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = _start(table, out, "--set", "training.epochs=100000", "--set", "training.patience=null")
    for _ in range(600):
        if (out / "events.jsonl").exists() and (out / "events.jsonl").stat().st_size:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.finish()
    assert said.returncode == 130
    assert f"Stopped. The same command with --out {out} --resume goes on where it was." in said.stderr
    assert "Traceback" not in said.stderr
