"""Training the cells of a matrix side by side: on this machine, or on a Ray cluster.

Whatever is killed, at whatever instant, the same call goes on where it was: finished cells are never trained again, an
unfinished one goes on from its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise._checks import ArgumentError, EquipoiseError, RunError
from equipoise._files import FolderLock
from equipoise.ablation._board import Board
from equipoise.ablation._cell import Outcome, validation_value
from equipoise.ablation._halving import Halving
from equipoise.ablation._pool import LocalPool, Pool, Report, count_cores, visible_gpus
from equipoise.ablation._trainable import require_trainable
from equipoise.ablation.folder import append_status, begin_ablation, finished_twin, write_ablation
from equipoise.ablation.matrix import Cell, Matrix
from equipoise.report.ablation_view import read_status
from equipoise.runs import Run

_LOSSES = 3  # so often may the process of a cell be lost before the cell counts as failed
_TICK = 0.5  # seconds


@dataclasses.dataclass(frozen=True)
class Launched:
    """What became of the cells of an ablation.

    Attributes:
        path: the folder.
        finished: ids of finished cells. trained: those that were finished by this call.
        failed: id to message, of cells that failed or were changed by hand.
        dropped: arms that were dropped early, and why.
    """

    path: Path
    finished: tuple[str, ...]
    trained: tuple[str, ...]
    failed: Mapping[str, str]
    dropped: tuple[Mapping[str, Any], ...]


def run_matrix(
    matrix: Matrix,
    out: str | Path,
    *,
    on: str = "local",
    workers: int | None = None,
    cpus: int = 1,
    budget: float | None = None,
    overwrite: bool = False,
    shown: bool = True,
) -> Launched:
    """Train every cell of a matrix that is not finished yet, several at a time.

    A cell that fails is recorded with its message and does not stop the others. A process that dies is replaced and its
    cell goes on; a cell that loses three processes counts as failed.

    Args:
        matrix: from `read_matrix`.
        out: the folder of the ablation.
        on: ``local``; ``ray`` (a Ray of this machine, started for this), or the address of a Ray cluster.
        workers: cells at a time; None: one a processor or GPU of this machine, or as many as the cluster has room for.
        cpus: processors a cell, on Ray; on this machine they are shared out.
        budget: seconds. When the cells would take longer, the worse half of the arms is dropped after 1, 2, 4 seeds, by
            the metric on the validation role, and never the reference. None: every cell is trained.
        overwrite: set cells aside that are there under another recipe, table or version, or were changed by hand.
        shown: whether progress is shown on standard error.

    Returns:
        What became of the cells.

    Raises:
        ArgumentError: a recipe that cannot run, or arguments that cannot work.
        DataError: the table of the reference cannot be read, or lacks a column.
        RunError: the folder holds something else or is in use, or the cluster is not there.
    """
    out = Path(out)
    _check(workers, budget)
    require_trainable(matrix, on=on)
    begin_ablation(out)
    lock = FolderLock(out)
    try:
        write_ablation(matrix, out, overwrite=overwrite, keep_dropped=budget is not None)
        pool = _make_pool(matrix, out, on, workers, cpus)
        try:
            with Board(matrix, pool.size, shown=shown) as board:
                return _Launch(matrix, out, pool, board, budget).run()
        finally:
            pool.close()
    finally:
        lock.release()


def _check(workers: int | None, budget: float | None) -> None:
    if workers is not None and workers < 1:
        raise ArgumentError(f"`workers` of run_matrix must be at least 1; got {workers}.")
    if budget is not None and not budget > 0:
        raise ArgumentError(f"`budget` of run_matrix must be a time above 0; got {budget}.")


def _make_pool(matrix: Matrix, out: Path, on: str, workers: int | None, cpus: int) -> Pool:
    if on != "local":
        from equipoise.ablation._ray_pool import RayPool

        return RayPool(out, matrix, address=None if on == "ray" else on, workers=workers, cpus=cpus)
    devices = {arm.recipe.training.device for arm in matrix.arms}
    gpus = [] if devices == {"cpu"} else visible_gpus()
    cores = count_cores()
    size = min(workers or (len(gpus) if gpus else cores), len(matrix.cells))
    return LocalPool(out, size, max(1, cores // size), matrix.metric, gpus)


class _Launch:
    """One call of `run_matrix`: what waits, what runs, what is done."""

    def __init__(self, matrix: Matrix, out: Path, pool: Pool, board: Board, budget: float | None) -> None:
        self._matrix, self._out, self._pool, self._board = matrix, out, pool, board
        self._halving = None if budget is None else Halving(matrix, out, budget)
        self._running: set[str] = set()
        self._losses: Counter[str] = Counter()
        self._finished: dict[str, bool] = {}  # cell -> trained by this call
        self._failed: dict[str, str] = {}
        self._waiting: deque[Cell] = deque()

    def run(self) -> Launched:
        self._waiting.extend(self._unfinished())
        for cells in self._rungs():
            self._waiting = deque(cells)
            while self._waiting or self._running:
                self._fill()
                report = self._pool.report(_TICK)
                if report is not None:
                    self._hear(report)
        return Launched(
            path=self._out,
            finished=tuple(self._finished),
            trained=tuple(name for name, now in self._finished.items() if now),
            failed=self._failed,
            dropped=() if self._halving is None else tuple(self._halving.dropped),
        )

    def _rungs(self) -> Iterator[Sequence[Cell]]:
        """Yield the cells to train: all at once, or rung by rung where there is a budget."""
        cells = list(self._waiting)
        if self._halving is None:
            yield cells
            return
        yield from self._halving.rungs(cells, self._board)

    def _unfinished(self) -> Iterator[Cell]:
        """Yield the cells to train; of the others, say what is there."""
        told = {event["cell"]: event.get("status") for event in read_status(self._out)}
        for cell in self._matrix.cells:
            folder = self._out / cell.folder
            if not (folder / "DONE").is_file():
                twin = finished_twin(self._out, cell)
                if twin is None or (folder / "run.json").exists():
                    yield cell
                    continue
                _copy(self._out / twin, folder)
                append_status(self._out, cell.id, "finished", f"the same as {twin}", digest=cell.hash)
            try:
                run = Run.open(folder)
                run.require_done()
                value = validation_value(run, cell.recipe, self._matrix.metric)
            except EquipoiseError as error:
                self._failed[cell.id] = str(error)
                self._board.say(f"Warning: {error} It is left as it is; --overwrite trains it again.")
                self._board.end(cell, Outcome("failed", str(error)), trained=False)
                continue
            if told.get(cell.id) != "finished":  # killed between the last file of the run and the line that says so
                append_status(self._out, cell.id, "finished", digest=cell.hash)
            self._finished[cell.id] = False
            self._board.end(cell, Outcome("finished", value=value), trained=False)

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._pool.size:
            cell = self._waiting.popleft()
            append_status(self._out, cell.id, "started")
            self._running.add(cell.id)
            self._board.start(cell, begun=(self._out / cell.folder / "run.json").exists())
            self._pool.submit(cell)

    def _hear(self, report: Report) -> None:
        cell = report.cell
        if report.lost is not None:
            self._running.discard(cell.id)
            self._board.stop(cell)
            self._losses[cell.id] += 1
            if self._losses[cell.id] < _LOSSES:
                append_status(self._out, cell.id, "lost", report.lost)
                self._board.say(f"{cell.id}: {report.lost}; it is taken up again.")
                self._waiting.appendleft(cell)
                return
            self._end(cell, Outcome("failed", f"{report.lost}, {_LOSSES} times"))
        elif report.outcome is not None:
            self._running.discard(cell.id)
            self._end(cell, report.outcome)
        else:
            self._board.move(cell, report.epoch, report.epochs)

    def _end(self, cell: Cell, outcome: Outcome) -> None:
        digest = cell.hash if outcome.status == "finished" else None
        append_status(self._out, cell.id, outcome.status, outcome.message, outcome.seconds, digest=digest)
        if outcome.status == "finished":
            self._finished[cell.id] = True
        else:
            self._failed[cell.id] = outcome.message
        self._board.end(cell, outcome)


def _copy(finished: Path, folder: Path) -> None:
    """Copy a finished run, all of it or nothing."""
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(finished, temporary)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(f"{folder} could not be written: {error.strerror or error}. Free some space.") from error


def seconds_of(text: str) -> float:
    """Return the seconds of a time such as ``90s``, ``45m``, ``2h`` or ``1h30m``.

    Args:
        text: numbers, each with its unit.

    Raises:
        ArgumentError: it is none.

    Example:
        >>> seconds_of("2h"), seconds_of("1h30m"), seconds_of("45m")
        (7200.0, 5400.0, 2700.0)
    """
    import re

    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise ArgumentError(f"--budget {text}: must be a time such as 45m, 2h or 1h30m.")
    total = sum(float(number) * units[unit] for number, unit in parts)
    if not total > 0:
        raise ArgumentError(f"--budget {text}: must be a time above 0.")
    return total


def plan_text(matrix: Matrix, on: str, workers: int | None) -> list[str]:
    """Return what is about to be trained, in sentences: arms, what differs, what is equal, and how many cells.

    Args:
        matrix: from `read_matrix`.
        on: as in `run_matrix`.
        workers: as in `run_matrix`.
    """
    training = matrix.arm(matrix.reference).recipe.training
    folds = "" if matrix.folds is None else f" x {matrix.folds} folds"
    place = "on this machine" if on == "local" else "on Ray"
    at_a_time = f", {workers} at a time" if workers else ""
    lines = [
        f"{len(matrix.arms)} arms x {len(matrix.seeds)} seeds{folds} = {len(matrix.cells)} cells {place}{at_a_time}; "
        f"compared in {matrix.metric} with {matrix.reference}."
    ]
    for arm in matrix.arms:
        if arm.name == matrix.reference:
            lines.append(f"  {arm.name}: the reference")
            continue
        found = "; ".join(map(str, matrix.differences[arm.name]))
        declared = f" (declares {', '.join(arm.declare)})" if arm.declare else ""
        lines.append(f"  {arm.name}: {found}{declared}")
    patience = "no early stop" if training.patience is None else f"patience {training.patience}"
    free = {aspect for arm in matrix.arms for aspect in arm.declare}
    equal = [name for name in ("budget", "schedule", "data", "model") if name not in free]
    lines.append(
        f"Equal by construction: {', '.join(equal)} (at most {training.epochs} epochs, {patience}, split of seed "
        f"{matrix.recipe.split_seed})."
    )
    if len(matrix.seeds) == 1:
        lines.append("One seed: what another training seed would change cannot be known.")
    return lines
