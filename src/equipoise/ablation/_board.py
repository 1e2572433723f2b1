"""What a person sees while cells are trained: a table that moves on a terminal, a line for each cell elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from equipoise._checks import printable
from equipoise.ablation._cell import Outcome
from equipoise.ablation.matrix import Cell, Matrix

if TYPE_CHECKING:
    from rich.table import Table


class Board:
    """Cells done, running, time left and the best so far, by the metric on the validation role.

    Use as a context manager.

    Args:
        matrix: what is trained.
        size: how many cells are trained at a time.
        shown: whether anything is shown.
    """

    def __init__(self, matrix: Matrix, size: int, *, shown: bool = True) -> None:
        from rich.console import Console

        self._matrix, self._size, self._shown = matrix, size, shown
        self._console = Console(stderr=True, markup=False, highlight=False, soft_wrap=not sys.stderr.isatty())
        self._running: dict[str, tuple[float, float, int]] = {}  # cell -> begun at, epoch, epochs
        self._done: dict[str, Outcome] = {}
        self._left = len(matrix.cells)
        self._took: list[float] = []
        self._taken_up: set[str] = set()
        self._failed: dict[str, str] = {}  # message -> the first cell that failed with it
        self._live: Any = None

    def __enter__(self) -> Board:
        if self._shown and self._console.is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, sentence: str) -> None:
        """Show a sentence that stays."""
        if self._shown:
            self._console.print(printable(sentence))

    def start(self, cell: Cell, *, begun: bool = False) -> None:
        """Say that a cell is being trained.

        Args:
            cell: which.
            begun: earlier: what is left of it tells nothing of how long a whole cell takes.
        """
        self._running[cell.id] = (time.monotonic(), 0.0, 0)
        if begun:
            self._taken_up.add(cell.id)

    def move(self, cell: Cell, epoch: float, epochs: int) -> None:
        """Say how far a cell has come."""
        if cell.id in self._running:
            self._running[cell.id] = (self._running[cell.id][0], epoch, epochs)

    def stop(self, cell: Cell) -> None:
        """Say that a cell is not being trained any more."""
        self._running.pop(cell.id, None)

    def end(self, cell: Cell, outcome: Outcome, *, trained: bool = True) -> None:
        """Say how a cell ended.

        Args:
            cell: which.
            outcome: how.
            trained: now, rather than earlier.
        """
        self.stop(cell)
        self._done[cell.id] = outcome
        self._left -= 1
        if not trained:
            return
        if outcome.seconds is not None and outcome.status == "finished" and cell.id not in self._taken_up:
            self._took.append(outcome.seconds)
        if self._live is None:
            self.say(self._line(cell, outcome))

    def drop(self, count: int) -> None:
        """Say that so many cells will not be trained."""
        self._left -= count

    def seconds_left(self) -> float:
        """Return how long the rest will take, as the whole cells so far have taken; NaN before the first."""
        if not self._took:
            return math.nan
        mean = sum(self._took) / len(self._took)
        now = time.monotonic()
        spent = sum(min(now - begun, mean) for begun, _, _ in self._running.values())
        return max(0.0, (self._left * mean - spent) / max(1, min(self._size, self._left)))

    def values(self) -> dict[str, float]:
        """Return the mean value of each arm over its finished cells."""
        found: dict[str, list[float]] = {}
        for cell in self._matrix.cells:
            outcome = self._done.get(cell.id)
            if outcome is not None and not math.isnan(outcome.value):
                found.setdefault(cell.arm, []).append(outcome.value)
        return {arm: sum(values) / len(values) for arm, values in found.items()}

    def _best(self) -> str:
        values = self.values()
        if not values:
            return "-"
        arm = max(values, key=lambda name: values[name])
        return f"{arm} {values[arm]:.3f}"

    def _line(self, cell: Cell, outcome: Outcome) -> str:
        place = f"[{len(self._done)} of {len(self._done) + self._left}] {cell.id} {outcome.status}"
        took = "" if outcome.seconds is None else f" after {duration(outcome.seconds)}"
        if outcome.status != "finished":
            return f"{place}{took}: {self._reason(cell, outcome.message)}"
        said = f"{place}{took}; best so far {self._best()} (validation)"
        left = self.seconds_left()
        return said if math.isnan(left) or not self._left else f"{said}; about {duration(left)} left"

    def _reason(self, cell: Cell, message: str) -> str:
        """Return why a cell failed, in full the first time."""
        first = self._failed.setdefault(message, cell.id)
        return message if first == cell.id else f"as {first}"

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"Ablation {self._matrix.name}", title_justify="left", title_style="bold")
        for heading in ("arm", "done", "failed", "running", f"{self._matrix.metric} (validation, so far)"):
            table.add_column(heading, justify="left" if heading == "arm" else "right")
        values = self.values()
        for arm in self._matrix.arms:
            cells = [cell for cell in self._matrix.cells if cell.arm == arm.name]
            ended = [self._done[cell.id] for cell in cells if cell.id in self._done]
            done = sum(outcome.status == "finished" for outcome in ended)
            value = f"{values[arm.name]:.3f}" if arm.name in values else "-"
            table.add_row(
                Text(arm.name), f"{done} of {len(cells)}", str(len(ended) - done or "-"), _shown(cells, self._running),
                value,
            )  # fmt: skip
        left = self.seconds_left()
        table.caption = f"best so far {self._best()}" + ("" if math.isnan(left) else f"; about {duration(left)} left")
        return table


def _shown(cells: list[Cell], running: Mapping[str, tuple[float, float, int]]) -> str:
    there = [running[cell.id] for cell in cells if cell.id in running]
    said = [f"epoch {epoch:.0f} of {epochs}" if epochs else "begins" for _, epoch, epochs in there]
    return ", ".join(said) or "-"


def duration(seconds: float) -> str:
    """Return a time in words.

    Args:
        seconds: how long.

    Example:
        >>> duration(7.4), duration(90), duration(7300)
        ('7 s', '2 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
