"""Cells as tasks of a Ray cluster, whose results come back as files: no disk is shared.

Tables and split files travel with the task. Images do not: their folder must be at the same path on every machine, and
so must Equipoise itself be installed there.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import socket
import tarfile
import tempfile
import uuid
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise._checks import RunError
from equipoise._files import write_text
from equipoise.ablation._cell import Outcome, recipe_of, train_cell
from equipoise.ablation._pool import Report, count_cores
from equipoise.ablation.matrix import Cell, Matrix
from equipoise.runs import Run

_PATIENCE = 10.0  # seconds for a cluster to answer
_SHIPPED = (("data", "table"), ("split", "file"))


class RayPool:
    """Cells on a Ray cluster.

    Args:
        out: the folder of the ablation.
        matrix: what is trained.
        address: of the cluster, such as ``ray://host:10001``, ``host:6379`` or ``auto``; None: a Ray of this machine.
        workers: cells at a time; None: as many as the cluster has room for.
        cpus: processors a cell.

    Raises:
        RunError: Ray is not installed, or no cluster answers there.
    """

    def __init__(self, out: Path, matrix: Matrix, *, address: str | None, workers: int | None, cpus: int) -> None:
        self._out, self._metric, self._cpus = out, matrix.metric, cpus
        self._ray = _connect(address, workers, cpus)
        resources = self._ray.cluster_resources()
        devices = {arm.recipe.training.device for arm in matrix.arms}
        self._gpus = 1.0 if resources.get("GPU", 0) >= 1 and devices != {"cpu"} else 0.0
        room = resources["GPU"] if self._gpus else resources.get("CPU", 1) / cpus
        self.size = workers or max(1, min(int(room), len(matrix.cells)))
        self._files = {path: self._ray.put(Path(path).read_bytes()) for path in _paths(matrix)}
        self._running: dict[Any, Cell] = {}
        self._heard: deque[Report] = deque()

    def submit(self, cell: Cell) -> None:
        """Begin to train a cell; a task that is lost is reported, and not retried behind our back."""
        task = self._ray.remote(_train).options(
            num_cpus=self._cpus, num_gpus=self._gpus, max_retries=0, name=f"equipoise {cell.id}"
        )
        values = cell.recipe.model_dump(mode="json")
        files = {path: reference for path, reference in self._files.items() if path in _named(values)}
        self._running[task.remote(values, self._metric, self._cpus, list(files), *files.values())] = cell

    def report(self, seconds: float) -> Report | None:
        """Wait at most so long for something to become known."""
        if not self._running:
            return None
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        if not ready:
            return None
        cell = self._running.pop(ready[0])
        try:
            outcome, packed = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:
            return Report(cell, outcome=Outcome("failed", _last_line(error)))
        except self._ray.exceptions.RayError as error:  # the worker or its machine is gone
            return Report(cell, lost=f"the machine or process that trained it was lost ({type(error).__name__})")
        if packed is not None:
            _unpack(packed, self._out / cell.folder, cell)
        return Report(cell, outcome=Outcome(**outcome))

    def close(self) -> None:
        """Give up what is being trained, and leave the cluster; one that was started here ends."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()


def _train(
    values: dict[str, Any], metric: str, threads: int, paths: list[str], *contents: bytes
) -> tuple[dict[str, Any], bytes | None]:
    """Train a cell on whatever machine this is, and return its run folder as bytes."""
    import dataclasses

    with tempfile.TemporaryDirectory(prefix="equipoise-") as scratch:
        given = _placed(values, dict(zip(paths, contents, strict=True)), Path(scratch))
        folder = Path(scratch) / "run"
        outcome = train_cell(recipe_of(given), folder, metric=metric, threads=threads)
        packed = _pack(folder) if outcome.status == "finished" else None
        return dataclasses.asdict(outcome), packed


def _placed(values: dict[str, Any], contents: Mapping[str, bytes], scratch: Path) -> dict[str, Any]:
    """Return the recipe with the files that came along in place of those that are elsewhere."""
    placed = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for number, (section, key) in enumerate(_SHIPPED):
        path = values[section][key]
        if path in contents:
            file = scratch / str(number) / Path(path).name
            file.parent.mkdir()
            file.write_bytes(contents[path])
            placed[section][key] = str(file)
    return placed


def _named(values: Mapping[str, Any]) -> set[str]:
    return {values[section][key] for section, key in _SHIPPED if values[section][key] is not None}


def _paths(matrix: Matrix) -> list[str]:
    named = {path for arm in matrix.arms for path in _named(arm.recipe.model_dump(mode="json"))}
    return sorted(path for path in named if Path(path).is_file())


def _pack(folder: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "lock":
                archive.add(path, arcname=path.relative_to(folder).as_posix())
    return stream.getvalue()


def _unpack(packed: bytes, folder: Path, cell: Cell) -> None:
    """Put a run folder in its place, all of it or nothing, with the recipe of the cell: the paths of this machine."""
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        temporary.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
            archive.extractall(temporary, filter="data")
        for name in ("scores", "checkpoint", "figures"):
            (temporary / name).mkdir(exist_ok=True)
        write_text(temporary / "recipe.yaml", cell.recipe.to_yaml())
        Run.open(temporary).finish()
        if folder.exists():  # an unfinished run, begun elsewhere
            shutil.rmtree(folder)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(f"{folder} could not be written: {error.strerror or error}. Free some space.") from error


def _connect(address: str | None, workers: int | None, cpus: int) -> Any:
    """Return the module of Ray, connected: no dashboard, and nothing is told to anybody."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise RunError("Ray is not installed. Install it: pip install 'equipoise[cluster]'.") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cores = max(workers * cpus if workers else 0, count_cores())
        ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
        return ray
    _require_answer(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise RunError(f"No Ray cluster answers at {address}: {_last_line(error)}. {_HOW}") from error
    return ray


_HOW = "Start one with `ray start --head`, check the address, or leave it out: --on ray."


def _require_answer(address: str) -> None:
    """Raise at once where nothing listens: Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise RunError(f"--on {address} is no address. Give ray://HOST:10001, HOST:6379, auto, ray or local.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise RunError(f"No Ray cluster answers at {address}: {error}. {_HOW}") from error


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().split("\n") if line.strip()]
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__
