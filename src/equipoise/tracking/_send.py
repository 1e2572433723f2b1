"""Sending what was not sent yet: once for a run that is there, or again and again while it is trained."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from equipoise._checks import ArgumentError, RunError
from equipoise._yaml import read_yaml
from equipoise.runs import Run
from equipoise.tracking._contents import digest, epoch_metrics, files_to_send, final_metrics, flat_recipe
from equipoise.tracking._state import Position, State

_EVERY, _LONGEST = 2.0, 60.0  # seconds between two looks, and after failures at most


class TrackingError(RunError):
    """A tracker could not be told. Nothing is lost: the run folder has everything."""


@runtime_checkable
class Target(Protocol):
    """A tracker that is told of one run. Each method raises `TrackingError` where it fails, and may be repeated."""

    def begin(self, position: Position, run: Run, parameters: Mapping[str, str]) -> None:
        """Make the run there, or find it again; set ``position.run_id``."""

    def tell(self, metrics: Mapping[str, float], step: int, time: int) -> None:
        """Take figures of an epoch; they are sent by `flush`."""

    def flush(self) -> None:
        """Send what was told."""

    def file(self, name: str, path: Path) -> None:
        """Send a file."""

    def end(self) -> None:
        """Say that the run is finished."""


@dataclasses.dataclass(frozen=True)
class Sent:
    """What a call of `send_run` sent: where, how many events and files, and whether the run is told to its end."""

    address: str
    events: int
    files: int
    complete: bool


def send_run(run: Run | str | Path, kind: str | None = None, *, uri: str | None = None,
             experiment: str | None = None) -> Sent:  # fmt: skip
    """Send what was not sent yet of a run, finished or not, and return what that was.

    Args:
        run: a run folder.
        kind: ``"mlflow"`` or ``"tensorboard"``; None: what its recipe says.
        uri: of an MLflow server or database, or a folder for TensorBoard; None: what the recipe says, else
            ``mlflow.db`` or ``tensorboard`` beside the run folder.
        experiment: of MLflow; None: what the recipe says, else the name of the recipe.

    Raises:
        ArgumentError: the recipe names no tracker, and neither does `kind`; or its package is not installed.
        RunError: the tracker cannot be reached. What was sent until then is not sent again.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    sender = _Sender(run, kind, uri, experiment)
    return sender.send()


def follow_run(run: Run | str | Path, ended: threading.Event, **where: Any) -> Sent | None:
    """Send what comes as it comes, until `ended` is set; then once more. None where that last time failed.

    Args:
        run: a run folder that is written by another process.
        ended: set when nothing more comes.
        where: `kind`, `uri` and `experiment` of `send_run`.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    sender, wait = None, 0.0
    while True:
        last = ended.wait(wait)
        try:
            sender = sender or _Sender(run, where.get("kind"), where.get("uri"), where.get("experiment"))
            sent, wait = sender.send(), _EVERY
        except RunError:
            sent, sender, wait = None, None, min(max(2 * wait, _EVERY), _LONGEST)
        if last:
            return sent


class _Sender:
    """Sends one run to one target, from the position that is on disk."""

    def __init__(self, run: Run, kind: str | None, uri: str | None, experiment: str | None) -> None:
        recipe = read_yaml(run.file("recipe.yaml")).values
        asked = recipe.get("tracking") or {}
        asked = {"kind": asked} if isinstance(asked, str) else asked
        self.kind = kind or str(asked.get("kind") or "none")
        same = kind is None or kind == asked.get("kind")
        if self.kind == "none":
            raise ArgumentError(
                f"The recipe of {run.path} names no tracker. Name one: --to mlflow or --to tensorboard."
            )
        self.run, self.recipe = run, recipe
        self.address = uri or (asked.get("uri") if same else None) or _beside(run.path, self.kind)
        self.experiment = experiment or (asked.get("experiment") if same else None) or str(recipe.get("name", "run"))
        self.target: Target | None = None

    def send(self) -> Sent:
        """Send everything that is there and was not sent; the position is on disk before and after each part."""
        with _taking_turns(self.address):
            state, key = State(self.run.path), f"{self.kind} {self.address}"
            position = state.position(key)
            keep = functools.partial(state.write, key, position)
            keep()
            self.target = self.target or _target(self.kind, self.address, self.experiment)
            self.target.begin(position, self.run, {} if position.parameters else flat_recipe(self.recipe))
            position.parameters = True
            keep()
            events = self._send_events(position, keep)
            files = self._send_end(position, keep)
            return Sent(self.address, events, files, position.ended)

    def _send_events(self, position: Position, keep: Callable[[], None]) -> int:
        assert self.target is not None
        classes = self.run.read_record("census")["classes"] if self.run.has_record("census") else []
        path = self.run.path / "events.jsonl"
        content = path.read_bytes() if path.exists() else b""
        lines = content[: content.rfind(b"\n") + 1].splitlines()
        size, count = len(lines), 0
        while position.events < size:
            if not position.pending > position.events:
                position.pending, position.time = size, int(time.time() * 1000)
                keep()
            for line in lines[position.events : position.pending]:
                event = _event(line)
                metrics = epoch_metrics(event, [str(name) for name in classes])
                if metrics:
                    count += 1
                    self.target.tell(metrics, int(event["epoch"]), position.time)
            self.target.flush()
            position.events, position.pending = min(position.pending, size), 0
            keep()
        return count

    def _send_end(self, position: Position, keep: Callable[[], None]) -> int:
        assert self.target is not None
        if not self.run.is_done:
            return 0
        sent = 0
        for name, path in files_to_send(self.run).items():
            found = digest(path)
            if position.files.get(name) != found:
                self.target.file(name, path)
                position.files[name] = found
                sent += 1
                keep()
        figures = final_metrics(self.run)
        mark = hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest() if figures else ""
        if mark != position.final or not position.ended:
            if mark != position.final:
                made = int((self.run.path / "DONE").stat().st_mtime * 1000)
                self.target.tell(figures, 0, made)
                self.target.flush()
            self.target.end()
            position.final, position.ended = mark, True
            keep()
        return sent


def _event(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:  # a damaged line has no figures; `diagnose` names it
        return {}
    return found if isinstance(found, dict) else {}


def _beside(path: Path, kind: str) -> str:
    folder = path.resolve().parent
    return f"sqlite:///{folder.as_posix()}/mlflow.db" if kind == "mlflow" else str(folder / "tensorboard")


def _target(kind: str, address: str, experiment: str) -> Target:
    if kind == "mlflow":
        from equipoise.tracking._mlflow import MLflowTarget

        return MLflowTarget(address, experiment)
    from equipoise.tracking._tensorboard import TensorBoardTarget

    return TensorBoardTarget(Path(address))


@contextlib.contextmanager
def _taking_turns(address: str) -> Iterator[None]:
    """Let one process at a time write to a database file: two that make its tables together spoil it."""
    with contextlib.ExitStack() as stack:
        if address.startswith("sqlite:///"):
            path = Path(address.removeprefix("sqlite:///"))
            try:
                import fcntl

                path.parent.mkdir(parents=True, exist_ok=True)
                opened = stack.enter_context(path.with_name(f".{path.name}.turn").open("w"))
                fcntl.flock(opened, fcntl.LOCK_EX)
            except ImportError:  # Windows: SQLite's own lock has to do
                pass
            except OSError as error:
                raise TrackingError(
                    f"{path} could not be written: {error.strerror or error}. Give another --uri."
                ) from error
        yield
