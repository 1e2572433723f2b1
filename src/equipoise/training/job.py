"""What a training of one kind of data must do, so that one flow trains all of them."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from equipoise.runs import Run
    from equipoise.training.loop import Workers
    from equipoise.training.telemetry import Watch


class Job(abc.ABC):
    """Abstract. Everything that one recipe asks for, prepared; `train` calls it from `announce` to `finish`.

    Attributes:
        members: how many trainings it takes.
    """

    members: int

    @abc.abstractmethod
    def announce(self, watch: Watch) -> None:
        """Say what will be trained, on what, and what is doubtful; do what takes long and is done once."""

    @abc.abstractmethod
    def begin(self, run: Run) -> None:
        """Write what is known before the first step."""

    @abc.abstractmethod
    def train_member(
        self, number: int, *, folder: Path, run: Run | None, watch: Watch, workers: Workers, device: torch.device
    ) -> Any:
        """Train a member, from 0, or read it where it was finished before.

        Args:
            number: which.
            folder: of the checkpoints.
            run: where events go; None in all processes but the first.
            watch: where progress is shown.
            workers: how many processes share the work, and which this is.
            device: where it is trained.
        """

    @abc.abstractmethod
    def finish(self, run: Run, trained: Sequence[Any], watch: Watch) -> None:
        """Write the model, what it says, the decision and the metrics, then DONE."""
