"""What a person sees while a model trains: one line that moves, and sentences that stay."""

from __future__ import annotations

import sys
from typing import Any, Protocol, runtime_checkable

from equipoise._checks import printable


@runtime_checkable
class Watch(Protocol):
    """Where a training tells what it does. Implementations never change the training."""

    def say(self, sentence: str) -> None:
        """Show a sentence that stays."""

    def begin(self, title: str, epochs: int) -> None:
        """Start the line of one training."""

    def move(self, epoch: float, note: str) -> None:
        """Move the line: epochs done, with what the last epoch showed."""

    def end(self, note: str) -> None:
        """Finish the line of one training."""


class Silent:
    """Shows nothing."""

    def say(self, sentence: str) -> None:
        """Show nothing."""

    def begin(self, title: str, epochs: int) -> None:
        """Show nothing."""

    def move(self, epoch: float, note: str) -> None:
        """Show nothing."""

    def end(self, note: str) -> None:
        """Show nothing."""


class ProgressBar:
    """A progress bar on a terminal; in a log file, one plain line for each training that ends.

    Use as a context manager.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, markup=False, highlight=False, soft_wrap=not sys.stderr.isatty())
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            refresh_per_second=8,
        )
        self._task: TaskID | None = None
        self._title = ""

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def say(self, sentence: str) -> None:
        """Show a sentence that stays."""
        self._console.print(printable(sentence))

    def begin(self, title: str, epochs: int) -> None:
        """Start the line of one training."""
        self._title = title
        self._task = self._bar.add_task(title, total=epochs, note="")

    def move(self, epoch: float, note: str) -> None:
        """Move the line: epochs done, with what the last epoch showed."""
        if self._task is not None:
            self._bar.update(self._task, completed=epoch, note=note)

    def end(self, note: str) -> None:
        """Finish the line of one training, and leave its outcome on the screen."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._console.print(f"{self._title}: {note}")
