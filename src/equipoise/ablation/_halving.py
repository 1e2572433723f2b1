"""Successive halving: where time is short, the worse half of the arms is given up after 1, 2, 4 seeds.

K. Jamieson, A. Talwalkar: Non-stochastic best arm identification and hyperparameter optimization (2016), figure 1; the
resource is seeds, the reference is never given up, and nothing is given up while all is expected to fit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise._files import read_json, write_json
from equipoise.ablation._board import Board, duration
from equipoise.ablation.folder import append_status
from equipoise.ablation.matrix import Cell, Matrix
from equipoise.report.ablation_view import ABOUT


class Halving:
    """Which arms are still trained.

    Args:
        matrix: what is trained.
        out: the folder of the ablation; what was dropped before stays dropped.
        budget: seconds from now.
    """

    def __init__(self, matrix: Matrix, out: Path, budget: float) -> None:
        self._matrix, self._out, self._budget = matrix, out, budget
        self._begun = time.monotonic()
        self.dropped: list[Mapping[str, Any]] = list(read_json(out / ABOUT).get("dropped") or [])

    def rungs(self, cells: Sequence[Cell], board: Board) -> Iterator[Sequence[Cell]]:
        """Yield the cells of the first seed, then of the second, of the next two, four and so on, of arms still alive.

        Args:
            cells: that are not finished, in order of seed.
            board: has the values of finished cells, and the time that the rest will take.
        """
        seeds = self._matrix.seeds
        reached = 0
        while reached < len(seeds):
            if reached:
                self._decide(cells, seeds[reached:], board)
            next_reach = min(max(1, 2 * reached), len(seeds))
            now = set(seeds[reached:next_reach])
            gone = self._gone()
            yield [cell for cell in cells if cell.seed in now and gone.get(cell.arm, len(seeds)) >= next_reach]
            reached = next_reach

    def _gone(self) -> dict[str, int]:
        """Arm to the number of seeds after which it was dropped."""
        return {str(one["arm"]): int(one["seeds"]) for one in self.dropped}

    def _decide(self, cells: Sequence[Cell], later: Sequence[int], board: Board) -> None:
        """Drop the worse half where the rest would take too long, and everything left when time is up."""
        reached = len(self._matrix.seeds) - len(later)
        alive = [arm.name for arm in self._matrix.arms if arm.name not in self._gone()]
        left = [cell for cell in cells if cell.seed in later and cell.arm in alive]
        spent, needed = time.monotonic() - self._begun, board.seconds_left()
        if not left or not spent + (0.0 if math.isnan(needed) else needed) > self._budget:
            return
        values = board.values()
        others = [name for name in alive if name != self._matrix.reference]
        order = sorted(others, key=lambda name: values.get(name, -math.inf))
        if spent >= self._budget:
            worst, why = alive, f"the time of {duration(self._budget)} was spent"
        else:
            worst = order[: len(order) // 2]
            why = f"among the worse half on the validation role, and the rest would have taken {duration(needed)} more"
        self._drop(worst, left, reached, why, values, board)

    def _drop(
        self, arms: Sequence[str], left: Sequence[Cell], reached: int, why: str, values: Mapping[str, float],
        board: Board,
    ) -> None:  # fmt: skip
        if not arms:
            return
        seeds = "1 seed" if reached == 1 else f"{reached} seeds"
        for arm in arms:
            value = values.get(arm)
            self.dropped.append({"arm": arm, "seeds": reached, "value": value, "why": why})
            board.say(f"{arm} is dropped after {seeds}: {why}.")
        write_json(self._out / ABOUT, read_json(self._out / ABOUT) | {"dropped": self.dropped})
        gone = [cell for cell in left if cell.arm in arms]
        for cell in gone:
            append_status(self._out, cell.id, "dropped", f"dropped after {seeds}: {why}")
        board.drop(len(gone))
