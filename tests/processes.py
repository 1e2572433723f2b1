"""The command line in processes that need not start Python and import torch: forked from one that has done so.

A fork server of its own stands beside each process of pytest, made when the first command is asked for. It imports the
package (as it is, without the type checks that the tests hang into it) and runs nothing, so that what a command finds
is what a fresh process finds after its imports: the same memory for everyone, changed by nobody. Every child has its
own standard output, error, folder and environment, ends with its own exit status, and can be killed.

Two things are those of the server and not of a fresh process: the seed of Python's hashes (the order of a set of words
is the same in all children), and what was imported. A test that compares bytes keeps one side in a fresh process, and
what a command may import is tested in fresh processes.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_WARM = (
    "equipoise.training", "equipoise.report", "equipoise.cli", "equipoise.cli.train", "equipoise.cli.decide",
    "equipoise.cli.evaluate", "equipoise.cli.predict", "equipoise.cli.compare", "equipoise.samplers", "rich.table",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "torch._dynamo", "torch._inductor",
)  # fmt: skip
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "Agg"}

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(list(_WARM))


@atexit.register
def _end() -> None:
    """End what a failed test left running: multiprocessing would wait for it."""
    for process in multiprocessing.active_children():
        process.kill()


def _command(arguments: list[str], out: str, error: str, folder: str, environment: dict[str, str]) -> None:
    for target, path in ((1, out), (2, error)):
        place = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(place, target)
        os.close(place)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["equipoise", *arguments]
    from equipoise.cli import main

    main()


class Running:
    """A command that runs: `equipoise ARGUMENTS`, with the words of `subprocess.Popen` for what is done to it."""

    def __init__(self, *arguments: object, folder: Path | None = None, more: Mapping[str, str] | None = None) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self._said = tempfile.TemporaryDirectory()
        self._out, self._error = (Path(self._said.name) / name for name in ("out", "error"))
        environment = dict(os.environ) | _ENVIRONMENT | dict(more or {})
        target = (self.arguments, str(self._out), str(self._error), str(folder or Path.cwd()), environment)
        self._process = _server.Process(target=_command, args=target)
        self._process.start()

    def poll(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self, timeout: float = 240) -> int:
        """Wait for its end and return the exit status; it is killed when it takes longer than `timeout` seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"{self.arguments} took more than {timeout} s; it said:\n{self._read()}")
        return self._process.exitcode

    def finish(self, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Wait for its end and return what it said."""
        code = self.wait(timeout)
        out, error = self._read()
        self._said.cleanup()
        return subprocess.CompletedProcess(self.arguments, code, out, error)

    def _read(self) -> tuple[str, str]:
        texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (self._out, self._error)]
        return texts[0], texts[1]


def run(
    *arguments: object, folder: Path | None = None, more: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run `equipoise ARGUMENTS` to its end, in `folder`, with the variables `more`."""
    return Running(*arguments, folder=folder, more=more).finish(timeout)


def run_fresh(
    *arguments: object, folder: Path | None = None, more: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Do what `run` does in a Python that starts from nothing."""
    return subprocess.run(
        [sys.executable, "-m", "equipoise", *map(str, arguments)],
        cwd=folder, env=dict(os.environ) | _ENVIRONMENT | dict(more or {}), capture_output=True, text=True,
        encoding="utf-8", check=False, timeout=timeout,
    )  # fmt: skip


def run_as_ranks(count: int, *arguments: object) -> list[subprocess.CompletedProcess[str]]:
    """Run `equipoise ARGUMENTS` in `count` processes that find in their environment what torchrun would put there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = [Running(*arguments, more=common | {"RANK": str(n), "LOCAL_RANK": str(n)}) for n in range(count)]
    return [rank.finish() for rank in ranks]
