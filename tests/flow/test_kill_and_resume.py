"""A training killed with SIGKILL at random instants and resumed ends with the bytes of one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

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


def _start(table: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    settings = [part for setting in _SETTINGS for part in ("--set", setting)]
    return subprocess.Popen(
        [sys.executable, "-m", "equipoise", "train", str(table), "--labels", "y_one,y_two", "--groups", "none",
         *settings, "--out", str(out), *more],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def _finish(process: subprocess.Popen[bytes]) -> None:
    said = process.communicate(timeout=240)[0].decode()
    assert process.returncode == 0, said


@pytest.mark.slow
def test_killed_five_times_at_random_instants_it_ends_with_the_same_bytes(table: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _finish(_start(table, whole))
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
    _finish(process)
    assert kills >= 3, "the training ended too early to be killed"
    for name in _COMPARED:
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert (cut / "DONE").exists()


def test_a_finished_run_is_not_overwritten_unless_told(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _finish(_start(table, out, "--set", "training.members=1", "--set", "training.epochs=1"))
    before = (out / "model.safetensors").read_bytes()
    again = _start(table, out, "--set", "training.members=1", "--set", "training.epochs=1", "--set", "seed=4")
    said = again.communicate(timeout=120)[0].decode()
    assert again.returncode == 2
    assert "holds a finished run" in said
    assert "--overwrite" in said
    assert (out / "model.safetensors").read_bytes() == before


def test_a_run_that_is_there_is_said_before_anything_is_read(table: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"format": 1, "equipoise": "0.1.0", "recipe": "table"}')
    said = _start(table, tmp_path / "run").communicate(timeout=120)[0].decode()
    assert "holds an unfinished run. Go on with --resume" in said
    assert "features" not in said


def test_ctrl_c_says_how_to_go_on(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = _start(table, out, "--set", "training.epochs=100000", "--set", "training.patience=null")
    for _ in range(600):
        if (out / "events.jsonl").exists() and (out / "events.jsonl").stat().st_size:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 130
    assert f"Stopped. The same command with --out {out} --resume goes on where it was." in said
    assert "Traceback" not in said
