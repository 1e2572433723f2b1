"""The progress bar of commands that do not train."""

from __future__ import annotations

import sys


class Bar:
    """A progress bar on standard error, where that is a screen: the one of training needs torch."""

    def __enter__(self) -> Bar:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        screen = Console(stderr=True, markup=False, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False), TimeRemainingColumn(),
            console=screen, transient=True, disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, sentence: str) -> None:
        """Show a sentence that stays."""
        self._bar.console.print(sentence)

    def begin(self, title: str, total: int) -> None:
        """Start the line."""
        self._task = self._bar.add_task(title, total=total, note="")

    def move(self, done: float, note: str) -> None:
        """Move the line."""
        self._bar.update(self._task, completed=done, note=note)

    def end(self, note: str) -> None:
        """Take the line away: what was found is said elsewhere."""
        self._bar.remove_task(self._task)
