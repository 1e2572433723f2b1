"""The process beside a training that sends what it does: training starts it, and waits only at the end, briefly."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from equipoise._checks import ArgumentError

_AT_MOST = 30.0  # seconds that a finished training waits for what is left to send


def require_tracker(kind: str) -> None:
    """Raise `ArgumentError` where the package of a tracker is not installed, before anything is trained."""
    if kind != "none" and importlib.util.find_spec(kind) is None:
        raise ArgumentError(
            f"tracking: {kind} needs the package {kind}. Install it: pip install 'equipoise[tracking]', or leave the "
            "key out."
        )


class Tracker:
    """Sends runs while they are trained, by a process of its own. Use it as a context manager around the trainings.

    When it is left, each process is given up to `at_most` seconds to send what is left; what it did not manage is kept
    in the run folder, and one sentence says how it is sent later. If this process is killed, the other sends what is
    there and ends.

    Args:
        at_most: seconds to wait at the end.
    """

    def __init__(self, at_most: float = _AT_MOST) -> None:
        self._at_most = at_most
        self._started: list[tuple[Path, subprocess.Popen[bytes] | None]] = []

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: Any) -> None:
        self.finish()

    def start(self, run: Path, kind: str) -> None:
        """Begin to send a run; nothing where `kind` is "none"."""
        if kind == "none":
            return
        quiet = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", "equipoise", "track", str(run.resolve()), "--follow"]
        nowhere = subprocess.DEVNULL
        try:  # in a session of its own: Ctrl-C is for the training, whose end it then sees
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, env=os.environ | quiet,
                start_new_session=True,
            )  # fmt: skip
        except OSError:  # no process to spare: no reason not to train
            self._started.append((run, None))
        else:
            self._started.append((run, process))

    def finish(self) -> list[str]:
        """Let every process send what is left; return a sentence for each run of which something was not sent."""
        said = []
        for _, process in self._started:
            if process is not None and process.stdin is not None:
                process.stdin.close()  # what it waits for: nothing more comes
        for run, process in self._started:
            if process is None or self._ended(process):
                said.append(f"Not everything of {run} was sent. Nothing is lost; send it with: equipoise track {run}")
        self._started = []
        return said

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Return the exit status of a process; one that takes longer than is waited is ended."""
        try:
            return process.wait(self._at_most)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
