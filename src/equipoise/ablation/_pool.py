"""Processes on this machine that train cells side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from equipoise.ablation._cell import Outcome
from equipoise.ablation.matrix import Cell

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclasses.dataclass(frozen=True)
class Report:
    """What became known of a cell.

    Attributes:
        cell: which.
        outcome: how it ended, or None while it is trained.
        lost: why the process that trained it is gone, or None.
        epoch: how far it has come. epochs: of how many.
    """

    cell: Cell
    outcome: Outcome | None = None
    lost: str | None = None
    epoch: float = 0.0
    epochs: int = 0


@runtime_checkable
class Pool(Protocol):
    """Where cells are trained."""

    @property
    def size(self) -> int:
        """How many cells are trained at a time."""

    def submit(self, cell: Cell) -> None:
        """Begin to train a cell; at most `size` at a time."""

    def report(self, seconds: float) -> Report | None:
        """Wait at most so long for something to become known."""

    def close(self) -> None:
        """End all processes at once."""


def count_cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that a training could use, without importing PyTorch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip() not in ("", "-1")]
    listing = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number in range(len(list(listing.iterdir())))] if listing.is_dir() else []


class LocalPool:
    """Processes that are started once and train one cell after the other.

    Args:
        path: the folder of the ablation.
        size: how many.
        threads: of each.
        metric: of the ablation.
        gpus: names of GPUs, shared out among the processes; empty: none is used differently than the recipe says.
    """

    def __init__(self, path: Path, size: int, threads: int, metric: str, gpus: list[str] | None = None) -> None:
        self._path, self._threads, self._metric = path, threads, metric
        self._gpus = gpus or []
        self._said: queue.Queue[tuple[_Process, dict[str, Any] | None]] = queue.Queue()
        self._processes: list[_Process | None] = [None] * size

    @property
    def size(self) -> int:
        """How many cells are trained at a time."""
        return len(self._processes)

    def submit(self, cell: Cell) -> None:
        """Begin to train a cell, in a process that is idle or new."""
        place = next(
            number for number, process in enumerate(self._processes) if process is None or process.cell is None
        )
        process = self._processes[place]
        if process is None:
            process = self._processes[place] = _Process(self._environment(place), self._said)
        process.give(
            cell,
            {
                "cell": cell.id, "recipe": cell.recipe.model_dump(mode="json"), "folder": str(self._path / cell.folder),
                "metric": self._metric, "threads": self._threads,
            },
        )  # fmt: skip

    def report(self, seconds: float) -> Report | None:
        """Wait at most so long for something to become known."""
        try:
            process, said = self._said.get(timeout=seconds)
        except queue.Empty:
            return None
        cell = process.cell
        if said is None:
            self._processes[self._processes.index(process)] = None
            process.cell = None
            return None if cell is None else Report(cell, lost=process.why())
        if cell is None:
            return None
        if "outcome" in said:
            process.cell = None
            return Report(cell, outcome=Outcome(**said["outcome"]))
        return Report(cell, epoch=float(said["epoch"]), epochs=int(said["epochs"]))

    def close(self) -> None:
        """End all processes at once: whatever they train goes on from its last checkpoint next time."""
        for process in self._processes:
            if process is not None:
                process.end()

    def _environment(self, place: int) -> dict[str, str]:
        more = dict.fromkeys(_THREADS, str(self._threads))
        if self._gpus:
            more["CUDA_VISIBLE_DEVICES"] = self._gpus[place % len(self._gpus)]
        return dict(os.environ) | more


class _Process:
    """One worker, and a thread that hears it."""

    def __init__(
        self, environment: Mapping[str, str], said: queue.Queue[tuple[_Process, dict[str, Any] | None]]
    ) -> None:
        self.cell: Cell | None = None
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "equipoise.ablation.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environment),
            text=True, encoding="utf-8", errors="replace", bufsize=1,
        )  # fmt: skip
        self._errors = ""
        self._threads = [threading.Thread(target=self._drain, daemon=True)]
        self._threads.append(threading.Thread(target=self._hear, args=(said,), daemon=True))
        for thread in self._threads:
            thread.start()

    def give(self, cell: Cell, task: dict[str, Any]) -> None:
        self.cell = cell
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError, OSError):  # it has died: the thread says so
            self._popen.stdin.write(json.dumps(task) + "\n")
            self._popen.stdin.flush()

    def why(self) -> str:
        code = self._popen.wait()
        if code >= 0:
            last = self._errors.strip().rsplit("\n", 1)[-1]
            return f"its process ended with status {code}{f': {last}' if last else ''}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"its process was killed ({name}{'; often for want of memory' if name == 'SIGKILL' else ''})"

    def end(self) -> None:
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()

    def _hear(self, said: queue.Queue[tuple[_Process, dict[str, Any] | None]]) -> None:
        assert self._popen.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed while it was heard
            for line in self._popen.stdout:
                said.put((self, json.loads(line)))
        said.put((self, None))

    def _drain(self) -> None:
        """Read what the worker prints, so that it never waits for a reader; the end of it may say why it died."""
        assert self._popen.stderr is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self._popen.stderr:
                self._errors = (self._errors + line)[-4000:]
