"""An ablation on a Ray of this machine, with one of its two workers killed half-way."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from equipoise.ablation import read_matrix
from equipoise.ablation.launch import run_matrix
from equipoise.report import AblationView
from equipoise.report.ablation_view import read_status
from equipoise.runs import Run

_MATRIX = """
base: table
set: {data.table: TABLE, data.labels: [y], data.groups: none, model.name: linear, training.members: 1,
      training.epochs: 100, training.patience: null}
seeds: 2
arms: {plain: {}, focal: {loss.name: focal}}
"""


def _family() -> dict[int, tuple[int, bytes]]:
    """Return the parent and the command line of every process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = re.search(r"PPid:\s+(\d+)", (folder / "status").read_text())
            found[int(folder.name)] = (int(parent[1]), (folder / "cmdline").read_bytes()) if parent else (0, b"")
        except OSError:
            continue
    return found


def _ours(pid: int, family: dict[int, tuple[int, bytes]]) -> bool:
    while pid in family and pid > 1:
        pid = family[pid][0]
        if pid == os.getpid():
            return True
    return False


def _kill_one(out: Path, killed: list[int]) -> None:
    """Kill a process that trains, as soon as there is one."""
    deadline = time.monotonic() + 120
    while not killed and time.monotonic() < deadline:
        family = _family()
        for pid, (_, command) in family.items():
            if command.startswith(b"ray::equipoise") and _ours(pid, family):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="finds processes in /proc")
def test_with_a_worker_killed_half_way_every_cell_is_finished_once(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    rng = np.random.default_rng(3)
    x = rng.normal(size=200)
    rows = [f"{a:.4f},{int(b)}" for a, b in zip(x, rng.random(200) < 1 / (1 + np.exp(1.5 - x)), strict=True)]
    (tmp_path / "table.csv").write_text("\n".join(["a,y", *rows]) + "\n")
    (tmp_path / "trial.yaml").write_text(_MATRIX.replace("TABLE", str(tmp_path / "table.csv")))
    matrix, out, killed = read_matrix(tmp_path / "trial.yaml"), tmp_path / "out", list[int]()
    killer = threading.Thread(target=_kill_one, args=(out, killed))
    killer.start()
    launched = run_matrix(matrix, out, on="ray", workers=2, shown=False)
    killer.join()
    assert killed
    assert sorted(launched.trained) == sorted(cell.id for cell in matrix.cells)
    told = [event["status"] for event in read_status(out)]
    assert told.count("lost") == 1
    assert told.count("finished") == 4
    view = AblationView.read(out)
    assert view.problems() == []
    cell = matrix.cells[0]
    run = Run.open(out / cell.folder)
    run.require_done()
    assert run.file("recipe.yaml").read_text() == cell.recipe.to_yaml(), "with the paths of this machine"
    assert not list(out.glob("cells/*/.*")), "nothing half-written is left"
    again = run_matrix(matrix, out, on="local", workers=1, shown=False)
    assert again.trained == ()
