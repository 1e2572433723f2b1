"""What is trained, in which order, and what is given up: with a pool that trains nothing."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from equipoise._checks import ArgumentError, RunError
from equipoise._files import FolderLock, read_json
from equipoise.ablation import Matrix, read_matrix
from equipoise.ablation._board import Board
from equipoise.ablation._cell import Outcome
from equipoise.ablation._pool import Report
from equipoise.ablation._ray_pool import _require_answer
from equipoise.ablation.folder import append_status, write_ablation
from equipoise.ablation.launch import Launched, _Launch, plan_text, run_matrix, seconds_of
from equipoise.ablation.matrix import Cell
from equipoise.report.ablation_view import read_status

_VALUES = {"plain": 0.1, "best": 0.9, "good": 0.6, "fair": 0.4, "poor": 0.2}


class Played:
    """A pool whose cells end at once, as `ends` has it."""

    def __init__(self, ends: Callable[[Cell], Report], size: int = 2) -> None:
        self.size, self.begun, self._ends, self._said = size, list[str](), ends, deque[Report]()

    def submit(self, cell: Cell) -> None:
        self.begun.append(cell.id)
        assert len(self._said) < self.size
        self._said.append(self._ends(cell))

    def report(self, seconds: float) -> Report | None:
        return self._said.popleft() if self._said else None

    def close(self) -> None:
        """Nothing runs."""


def _good(cell: Cell) -> Report:
    return Report(cell, outcome=Outcome("finished", "", 100.0, _VALUES[cell.arm]))


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    arms = "".join(f"  {name}: {{loss.gamma: {2 + place}, loss.name: focal}}\n" for place, name in enumerate(_VALUES))
    path = tmp_path / "matrix.yaml"
    path.write_text(f"base: table\nseeds: 8\narms:\n{arms}")
    return read_matrix(path)


def _run(matrix: Matrix, out: Path, pool: Played, budget: float | None = None) -> Launched:
    write_ablation(matrix, out, keep_dropped=budget is not None)
    with Board(matrix, pool.size, shown=False) as board:
        return _Launch(matrix, out, pool, board, budget).run()


def test_every_cell_is_trained_once_seed_by_seed(matrix: Matrix, tmp_path: Path) -> None:
    pool = Played(_good)
    launched = _run(matrix, tmp_path / "out", pool)
    assert pool.begun == [cell.id for cell in matrix.cells]
    assert len(launched.trained) == 40
    assert launched.failed == {}
    told = list(read_status(tmp_path / "out"))
    assert [event["status"] for event in told].count("finished") == 40
    assert {event["seconds"] for event in told if event["status"] == "finished"} == {100.0}


def test_a_cell_that_fails_stops_no_other(matrix: Matrix, tmp_path: Path) -> None:
    def ends(cell: Cell) -> Report:
        return Report(cell, outcome=Outcome("failed", "no luck", 1.0)) if cell.arm == "poor" else _good(cell)

    launched = _run(matrix, tmp_path / "out", Played(ends))
    assert len(launched.finished) == 32
    assert launched.failed == {f"poor/seed-{seed}": "no luck" for seed in range(8)}


def test_a_lost_cell_is_taken_up_again_but_not_for_ever(matrix: Matrix, tmp_path: Path) -> None:
    lost = {"plain/seed-0": 2, "best/seed-1": 99}

    def ends(cell: Cell) -> Report:
        lost[cell.id] = lost.get(cell.id, 0) - 1
        return Report(cell, lost="its process was killed") if lost[cell.id] >= 0 else _good(cell)

    pool = Played(ends)
    launched = _run(matrix, tmp_path / "out", pool)
    assert pool.begun.count("plain/seed-0") == 3
    assert "plain/seed-0" in launched.finished
    assert launched.failed == {"best/seed-1": "its process was killed, 3 times"}
    assert [event["status"] for event in read_status(tmp_path / "out") if event["cell"] == "best/seed-1"] == [
        "started", "lost", "started", "lost", "started", "failed",
    ]  # fmt: skip


def test_without_a_budget_nothing_is_dropped_and_with_a_long_one_neither(matrix: Matrix, tmp_path: Path) -> None:
    launched = _run(matrix, tmp_path / "out", Played(_good), budget=1e6)
    assert launched.dropped == ()
    assert len(launched.finished) == 40


def test_the_worse_half_goes_after_1_2_and_4_seeds_and_never_the_reference(matrix: Matrix, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pool = Played(_good)
    launched = _run(matrix, out, pool, budget=300.0)  # 40 cells of 100 s, two at a time, would take 2,000
    assert [(one["arm"], one["seeds"]) for one in launched.dropped] == [("poor", 1), ("fair", 1), ("good", 2)]
    seeds = {arm: sum(name.startswith(f"{arm}/") for name in pool.begun) for arm in _VALUES}
    assert seeds == {"plain": 8, "best": 8, "good": 2, "fair": 1, "poor": 1}
    assert read_json(out / "ablation.json")["dropped"][0]["why"].startswith("among the worse half on the validation")
    told = [event["cell"] for event in read_status(out) if event["status"] == "dropped"]
    assert sorted(told) == sorted({cell.id for cell in matrix.cells} - set(pool.begun))
    again = Played(_good)
    _run(matrix, out, again, budget=300.0)
    assert not {name.split("/")[0] for name in again.begun if not name.endswith("seed-0")} & {"poor", "fair"}
    everything = Played(_good)
    _run(matrix, out, everything)
    assert len(everything.begun) == 40, "asked without a budget, nothing stays dropped"


def test_when_time_is_up_all_arms_end_after_the_same_seeds(matrix: Matrix, tmp_path: Path) -> None:
    launched = _run(matrix, tmp_path / "out", Played(_good), budget=1e-9)
    assert len(launched.finished) == 5
    assert {one["arm"] for one in launched.dropped} == set(_VALUES)
    assert "was spent" in launched.dropped[0]["why"]


def test_the_board_knows_the_best_and_the_time_left(matrix: Matrix) -> None:
    board = Board(matrix, 2, shown=False)
    assert math.isnan(board.seconds_left())
    board.start(matrix.cells[0], begun=True)
    board.end(matrix.cells[0], Outcome("finished", "", 0.1, _VALUES[matrix.cells[0].arm]))
    assert math.isnan(board.seconds_left()), "what was left of a cell begun earlier tells nothing of a whole one"
    board = Board(matrix, 2, shown=False)
    for cell in matrix.cells[:5]:
        board.start(cell)
        board.end(cell, Outcome("finished", "", 10.0, _VALUES[cell.arm]))
    assert board.seconds_left() == pytest.approx(35 * 10 / 2)
    assert board._best() == "best 0.900"
    assert board._table().row_count == 5


def test_one_driver_at_a_time_works_in_a_folder(matrix: Matrix, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ArgumentError, match="names no table"):
        run_matrix(matrix, out)
    assert not out.exists()
    data = {"table": str(tmp_path / "t.csv"), "labels": ["a"], "groups": "none"}
    (tmp_path / "t.csv").write_text("a,x\n0,1\n1,2\n")
    out.mkdir()
    held = FolderLock(out)
    with pytest.raises(RunError, match="is in use by process"):
        run_matrix(read_matrix(tmp_path / "matrix.yaml", data=data), out)
    held.release()


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1"])
def test_an_address_without_a_cluster_is_said_at_once(address: str) -> None:
    with pytest.raises(RunError, match="No Ray cluster answers at .*127.0.0.1:1"):
        _require_answer(address)


@pytest.mark.parametrize("address", ["nowhere", "ray://", "host:port"])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(RunError, match="is no address"):
        _require_answer(address)


def test_the_plan_names_what_differs_and_what_is_equal(matrix: Matrix) -> None:
    said = "\n".join(plan_text(matrix, "local", 2))
    assert "5 arms x 8 seeds = 40 cells on this machine, 2 at a time" in said
    assert "best: loss.gamma: 2.0 -> 3.0" in said
    assert "Equal by construction: budget, schedule, data, model (at most 100 epochs, patience 12" in said


@pytest.mark.parametrize("text", ["", "2", "h", "2 hours", "-1h", "0s"])
def test_a_budget_that_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ArgumentError, match="must be a time"):
        seconds_of(text)


def test_finished_cells_are_found_by_their_status_too(tmp_path: Path) -> None:
    append_status(tmp_path, "a/seed-0", "finished", digest="abc")
    assert next(read_status(tmp_path))["hash"] == "abc"
