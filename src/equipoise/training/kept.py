"""One training that a run keeps: resumed where it was cut, checkpointed while it goes, and told to whoever watches."""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from equipoise._checks import RunError
from equipoise.data import stable_seed
from equipoise.evidence.finding import Finding, findings_of
from equipoise.training.checkpoint import read_checkpoint, write_checkpoint
from equipoise.training.loop import Fit, Workers

if TYPE_CHECKING:
    from equipoise.recipe import Recipe
    from equipoise.runs import Run
    from equipoise.training.telemetry import Watch

_MOVE_SECONDS = 0.1  # how often the progress line moves inside an epoch


@runtime_checkable
class Watcher(Protocol):
    """What looks at every epoch, remembers what it has said, and is stored with the training."""

    @property
    def collapsed(self) -> bool:
        """Whether `training.on_collapse` counts."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint stores: plain JSON."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state."""


class KeptTraining(abc.ABC):
    """Abstract. One training of a run, with its checkpoints, its events and what a person sees of it.

    Args:
        recipe: what is trained. number: which member of the run, from 0, of how many (`count`).
        folder: of the checkpoints. run: where events go; None in all processes but the first.
        watch: what a person sees. workers: how many processes share the work.
    """

    def __init__(
        self,
        recipe: Recipe,
        number: int,
        count: int,
        *,
        folder: Path,
        run: Run | None,
        watch: Watch,
        workers: Workers,
        device: torch.device,
    ) -> None:
        self.number, self.count, self.run, self.watch = number, count, run, watch
        self.settings = recipe.training
        self.finished_file = folder / f"member-{number}.safetensors"
        self.last_file = folder / "last.safetensors"
        self.workers, self.device = workers, device
        self.seed = stable_seed(recipe.seed, number)
        self._saved = self._moved = time.monotonic()
        self._shown = {one.subject for one in findings_of(run.events())} if run is not None else set()

    @property
    @abc.abstractmethod
    def watcher(self) -> Watcher:
        """What looks at every epoch."""

    # -- telling ---------------------------------------------------------------------------------------------------

    def begin(self, fit: Fit) -> None:
        """Start the line that a person sees, and go on from the last checkpoint where there is one."""
        self.watch.begin(self.title(), self.settings.epochs)
        self._resume(fit)

    def tell_epoch(self, fit: Fit, mean_loss: float, seen: Mapping[str, Any], note: str) -> None:
        """Store what an epoch showed, move the line, show findings, and stop where the recipe says so.

        Args:
            fit: after the epoch.
            mean_loss: of its steps.
            seen: what the watcher saw, plain JSON, with its `findings`.
            note: of it in the line that moves.
        """
        progress = fit.progress
        if self.run is not None:
            self.run.append_event(
                {
                    "event": "epoch",
                    "member": self.number,
                    "epoch": progress.epoch,
                    "training_loss": mean_loss,
                    "monitor": self.settings.monitor,
                    "monitored": progress.last_value,
                    "best_epoch": progress.best_epoch,
                    "learning_rate": fit.schedule.learning_rate,
                    **seen,
                }
            )
        told = f"{self.settings.monitor} {progress.last_value:.4f}  best {progress.best_value:.4f}  {note}"
        self.watch.move(progress.epoch, told)
        self.tell([Finding.from_dict(one) for one in seen["findings"]])
        if self.watcher.collapsed and self.settings.on_collapse == "stop":
            progress.stopped = True

    def tell(self, findings: Sequence[Finding]) -> None:
        """Show each finding once a run, whichever member has it first."""
        for finding in findings:
            if finding.subject not in self._shown:
                self.watch.say(finding.text)
        self._shown |= {finding.subject for finding in findings}

    def ended_by(self, fit: Fit) -> str:
        """Say what ended the training: epochs, patience or collapse."""
        if not fit.progress.stopped:
            return "epochs"
        return "collapse" if self.watcher.collapsed and self.settings.on_collapse == "stop" else "patience"

    def title(self) -> str:
        """Name the training."""
        return "training" if self.count == 1 else f"member {self.number + 1} of {self.count}"

    def outcome(self, fit: Fit) -> str:
        """Say how the training ended."""
        if math.isnan(fit.progress.best_value):
            return f"{fit.progress.epoch} epochs; {self.settings.monitor} could not be computed"
        progress = fit.progress
        best = f"best {self.settings.monitor} {progress.best_value:.4f}"
        return f"{best} in epoch {progress.best_epoch} of {progress.epoch}"

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def after_step(self, fit: Fit) -> None:
        """Move the line, and store a checkpoint when it is time."""
        now = time.monotonic()
        if fit.progress.step and now - self._moved >= _MOVE_SECONDS:
            self._moved = now
            self.watch.move(fit.progress.epoch + fit.progress.step / fit.steps_per_epoch, "")
        if self.run is not None and now - self._saved >= self.settings.checkpoint_seconds:
            record = fit.record() | {
                "member": self.number,
                "events": self.run.events_position(),
                "guard": self.watcher.state(),
            }
            write_checkpoint(self.last_file, fit.tensors(), record)
            self._saved = time.monotonic()

    def _resume(self, fit: Fit) -> None:
        if not self.last_file.exists():
            return
        tensors, record = read_checkpoint(self.last_file)
        if record["member"] != self.number:
            return
        try:
            fit.load(tensors, record)
            self.watcher.load(record["guard"])
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(
                f"{self.last_file} does not fit this recipe ({error}). Start again with --overwrite."
            ) from error
        self.watch.say(f"{self.title()}: going on after epoch {fit.progress.epoch}, step {fit.progress.step}")


def resume_position(folder: Path, members: int) -> int:
    """Return how many bytes of the event log are vouched for by checkpoints: the rest will be written again."""
    position, first_open = 0, 0
    for number in range(members):
        path = folder / f"member-{number}.safetensors"
        if not path.exists():
            break
        position, first_open = _whole_number(path, "events"), number + 1
    last = folder / "last.safetensors"
    if last.exists() and _whole_number(last, "member") == first_open:
        position = _whole_number(last, "events")
    return position


def _whole_number(path: Path, key: str) -> int:
    value = read_checkpoint(path)[1].get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RunError(f"The state inside {path} is damaged: {key} is {value!r}. Start the run again with --overwrite.")
    return value
