"""A process that trains one cell after the other, as it is told on standard input, and ends with who started it.

It speaks lines of JSON. In: ``{"cell", "recipe", "folder", "metric", "threads"}``. Out: ``{"cell", "epoch", "epochs"}``
while it trains, and ``{"cell", "outcome"}`` at the end. What libraries print goes to standard error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

_PAUSE = 0.5  # seconds between two reports of progress


def main() -> None:
    """Work until standard input ends: then whoever started this process is gone, or has no more to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides what it means
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what anything prints is no answer
    tasks: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    while True:
        _work(tasks.get(), answers)


def _listen(tasks: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        tasks.put(json.loads(line))
    os._exit(0)  # at once, in the middle of a training: a run can be killed at any instant


def _work(task: dict[str, Any], answers: IO[str]) -> None:
    from equipoise.ablation._cell import recipe_of, train_cell

    outcome = train_cell(
        recipe_of(task["recipe"]),
        Path(task["folder"]),
        metric=task["metric"],
        threads=task["threads"],
        watch=_Reports(task["cell"], answers),
    )
    _answer(answers, {"cell": task["cell"], "outcome": dataclasses.asdict(outcome)})


def _answer(answers: IO[str], said: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the listener ends this process
        answers.write(json.dumps(said) + "\n")
        answers.flush()


class _Reports:
    """A watch that hands progress on to the driver."""

    def __init__(self, cell: str, answers: IO[str]) -> None:
        self._cell, self._answers = cell, answers
        self._epochs, self._told = 0, 0.0

    def say(self, sentence: str) -> None:
        """Show nothing: the run folder has it."""

    def begin(self, title: str, epochs: int) -> None:
        """Start the line of one training."""
        self._epochs = epochs

    def move(self, epoch: float, note: str) -> None:
        """Report the epochs done, twice a second at most."""
        now = time.monotonic()
        if now - self._told >= _PAUSE:
            self._told = now
            _answer(self._answers, {"cell": self._cell, "epoch": epoch, "epochs": self._epochs})

    def end(self, note: str) -> None:
        """Show nothing."""


if __name__ == "__main__":
    main()
