"""The one training loop: explicit, in plain PyTorch, and resumable at any step.

A training is a function of (recipe, data, seed). The order of rows is a pure function of (seed, epoch), so it need not
be stored; everything else that the next step depends on is in `Fit.tensors` and `Fit.record`, which a checkpoint holds.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise._checks import RunError
from equipoise.data import Batch, Rows, epoch_order, load_each
from equipoise.training.schedule import Schedule, make_optimizer

if TYPE_CHECKING:
    from equipoise.recipe import TrainingSettings
    from equipoise.training.distil import Teaching

_HALF = {"bf16": torch.bfloat16, "16": torch.float16}


@dataclass(frozen=True)
class Workers:
    """How many processes share one training, and which of them this is."""

    rank: int = 0
    count: int = 1


@dataclass
class Progress:
    """Where a training stands: plain values, stored as JSON in every checkpoint."""

    epoch: int = 0  # epochs finished
    step: int = 0  # optimiser steps finished in the epoch under way
    best_epoch: int = 0  # from 1; 0 = none yet
    best_value: float = math.nan
    last_value: float = math.nan
    waited: int = 0  # epochs since the best
    stopped: bool = False


Logits = NDArray[np.float64]  # (submodels, rows, outputs), as the model gives them
Validate = Callable[[nn.Module, Rows, str], Any]  # the judged model, the validation rows, precision -> what it says
Judge = Callable[[Any, int], float]  # what `Validate` gave (logits) and the epoch (from 1) -> the watched metric
Report = Callable[["Fit", float], None]  # after every epoch: the fit and its training loss


@dataclass(frozen=True)
class Phase:
    """What is trained on from an epoch on.

    Attributes:
        loss: called as ``loss(logits, labels, normaliser=...)``; returns the sum of weighted losses over `normaliser`.
        order: from an epoch (from 0) to the rows it draws, (draws,) int64, a pure function; None draws each row once.
        from_epoch: the first epoch of the phase, from 1.
        entry_weights: (rows, classes) what the loss of each label is multiplied by, on the device; None for ones.
        teaching: adds what teachers say to the loss; None: the labels alone teach.
    """

    loss: nn.Module
    order: Callable[[int], Tensor] | None = None
    from_epoch: int = 1
    entry_weights: Tensor | None = None
    teaching: Teaching | None = None


class Fit:
    """One training of one model.

    Args:
        model: takes what the rows load, returns logits (rows, outputs) or (rows, submodels, outputs).
        phases: in order of `from_epoch`, the first from 1. Only epochs of the last one can be the best: what is kept
            was trained under all corrections.
        train: rows to learn from. validation: rows to watch.
        settings: the `training` part of a recipe, with `batch_size` resolved.
        batch_size: rows of a micro-batch; `settings.accumulate` of them make an optimiser step.
        seed: of the order of rows and of dropout.
        higher_is_better: direction of the watched metric.
        workers: how many processes share the work, under `torchrun`.
        trained: what is called in training in the place of `model`, of the same parameters; None: the model itself.
    """

    def __init__(
        self,
        model: nn.Module,
        phases: Sequence[Phase],
        train: Rows,
        validation: Rows,
        settings: TrainingSettings,
        *,
        batch_size: int,
        seed: int,
        higher_is_better: bool,
        workers: Workers = Workers(),
        trained: nn.Module | None = None,
    ) -> None:
        self._trained = model if trained is None else trained
        self.model, self.phases, self.train_rows, self.validation_rows = model, tuple(phases), train, validation
        self.settings, self.seed, self.workers = settings, seed, workers
        self.higher_is_better = higher_is_better
        self.progress = Progress()
        self.device = train.device
        self.rows_per_step = batch_size * settings.accumulate
        self.steps_per_epoch = step_count(len(train), self.rows_per_step)
        self.batch_size = batch_size
        self._optimizer = make_optimizer(
            model, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.schedule = Schedule(
            settings,
            self._optimizer,
            total_steps=settings.epochs * self.steps_per_epoch,
            higher_is_better=higher_is_better,
        )
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=settings.precision == "16")
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self._best: dict[str, Tensor] = {}
        self._average = copy.deepcopy(model) if settings.average else None
        self._parameters: list[Tensor] = list(model.parameters())
        self._averaged: list[Tensor] = [] if self._average is None else list(self._average.parameters())
        torch.manual_seed(seed)

    # -- running ---------------------------------------------------------------------------------------------------

    def run(
        self,
        judge: Judge,
        report: Report,
        after_step: Callable[[Fit], None],
        *,
        validate: Validate | None = None,
    ) -> None:
        """Train until the last epoch or until the watched metric has not improved for `patience` epochs.

        Args:
            judge: from what `validate` gave and the epoch to the watched metric; NaN never counts as an improvement.
            report: called after each epoch.
            after_step: called after each optimiser step and each epoch; it may store a checkpoint.
            validate: what the model says of the validation rows after an epoch; None: `predict_logits`.

        Raises:
            RunError: the training loss became infinite or NaN.
        """
        forward, validate = self._forward(), validate or predict_logits
        while self.progress.epoch < self.settings.epochs and not self.progress.stopped:
            mean_loss = self._epoch(forward, after_step)
            said = validate(self.judged, self.validation_rows, self.settings.precision)
            value = judge(said, self.progress.epoch)
            self.schedule.after_epoch(value)
            self._remember(value)
            report(self, mean_loss)
            after_step(self)
        if self._best:
            self.model.load_state_dict(self._best)

    @property
    def judged(self) -> nn.Module:
        """The model that is validated and kept: the moving average of the weights, where there is one."""
        if self._average is None:
            return self.model
        # Statistics of batch normalisation are averages already.
        for kept, current in zip(self._average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(current)
        return self._average

    def _epoch(self, forward: nn.Module, after_step: Callable[[Fit], None]) -> float:
        phase = self._phase()
        order = self._order(phase)
        shuffled = self.train_rows.take(order).in_epoch(self.progress.epoch)
        if phase.entry_weights is not None:
            shuffled = shuffled.weighed(phase.entry_weights[order])
        known = _known_entries(shuffled.labels, self.rows_per_step, self.steps_per_epoch)
        self.model.train()
        with contextlib.closing(load_each(self._micro_batches(shuffled))) as batches:
            while self.progress.step < self.steps_per_epoch:
                step = self.progress.step
                micro = itertools.islice(batches, len(self._micro_bounds(step, len(shuffled))))
                self._step(forward, phase, micro, step, known[step])
                self.progress.step += 1
                if self.progress.step < self.steps_per_epoch:
                    after_step(self)
        mean_loss = float(self._loss_sum) / max(1, sum(known))
        if not math.isfinite(mean_loss):
            raise RunError(
                f"The training loss became {mean_loss} in epoch {self.progress.epoch + 1}. Lower "
                f"training.learning_rate (now {self.settings.learning_rate:g}), set training.gradient_clip, or use "
                "training.precision: 32."
            )
        self._loss_sum.zero_()
        self.progress.epoch += 1
        self.progress.step = 0
        return mean_loss

    def _phase(self) -> Phase:
        """The phase of the epoch under way."""
        return [phase for phase in self.phases if phase.from_epoch <= self.progress.epoch + 1][-1]

    def _order(self, phase: Phase) -> Tensor:
        epoch = self.progress.epoch
        rows = len(self.train_rows)
        order = epoch_order(rows, seed=self.seed, epoch=epoch) if phase.order is None else phase.order(epoch)
        return order.to(self.device)

    def _step(self, forward: nn.Module, phase: Phase, micro_batches: Iterator[Batch], step: int, known: int) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        rows = self._rows_of_step(step)
        for micro in micro_batches:
            with _autocast(self.device, self.settings.precision):
                logits = forward(*micro.inputs)
                loss = member_loss(
                    phase.loss, logits, micro.labels, normaliser=float(max(1, known)), weights=micro.entry_weights
                )
                if phase.teaching is not None:
                    share = len(micro.labels) / rows
                    loss = phase.teaching.blend(loss, logits, micro, share=share)
            self._loss_sum += loss.detach() * known
            # DistributedDataParallel averages over processes; the loss is already divided by all entries of the step.
            scaled = loss * self.workers.count if self.workers.count > 1 else loss
            self._scaler.scale(scaled).backward()  # type: ignore[no-untyped-call]
        self._apply_gradients()
        self.schedule.after_step()
        if self._averaged:
            done = self.progress.epoch * self.steps_per_epoch + step + 1
            keep = min(
                self.settings.average, (1 + done) / (10 + done)
            )  # a short memory while there is little to recall
            with torch.no_grad():
                torch._foreach_lerp_(self._averaged, self._parameters, 1 - keep)

    def _apply_gradients(self) -> None:
        if self.settings.gradient_clip is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self.settings.gradient_clip)
        self._scaler.step(self._optimizer)  # without half precision the scaler only passes on
        self._scaler.update()

    def _micro_bounds(self, step: int, rows: int) -> list[tuple[int, int]]:
        """First row, and first row after it, of each micro-batch of a step."""
        begin, end = step_bounds(step, self.rows_per_step, self.steps_per_epoch, rows)
        width = self.batch_size if self.settings.accumulate > 1 else end - begin
        return [(left, min(left + width, end)) for left in range(begin, end, width)]

    def _rows_of_step(self, step: int) -> int:
        begin, end = step_bounds(step, self.rows_per_step, self.steps_per_epoch, len(self.train_rows))
        return end - begin

    def _micro_batches(self, shuffled: Rows) -> Iterator[Rows]:
        """The micro-batches of the epoch, from the step under way on."""
        for step in range(self.progress.step, self.steps_per_epoch):
            for left, right in self._micro_bounds(step, len(shuffled)):
                yield shuffled.part(left + self.workers.rank, right, self.workers.count)

    def _forward(self) -> nn.Module:
        model: Any = torch.compile(self._trained) if self.settings.compile else self._trained
        return model if self.workers.count == 1 else nn.parallel.DistributedDataParallel(model)

    def _remember(self, value: float) -> None:
        """Keep the weights of the best epoch of the last phase. A NaN never counts as an improvement."""
        progress, best = self.progress, self.progress.best_value
        progress.last_value = value
        if progress.epoch < self.phases[-1].from_epoch:
            return
        gained = not math.isnan(value) and (
            math.isnan(best) or (value > best if self.higher_is_better else value < best)
        )
        if gained or not self._best:
            self._best = {name: tensor.detach().clone() for name, tensor in self.judged.state_dict().items()}
            progress.best_epoch = progress.epoch
        if gained:
            progress.best_value, progress.waited = value, 0
        else:
            progress.waited += 1
        progress.stopped = self.settings.patience is not None and progress.waited >= self.settings.patience

    # -- state -----------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on, by name."""
        found = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self._average is not None:
            found |= {f"average.{name}": tensor for name, tensor in self._average.state_dict().items()}
        found |= {f"best.{name}": tensor for name, tensor in self._best.items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
        found["loss_sum"] = self._loss_sum
        found["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return found

    def record(self) -> dict[str, Any]:
        """Every plain value that the next step depends on."""
        return {
            "progress": vars(self.progress),
            "schedule": self.schedule.state(),
            "learning_rate": self.schedule.learning_rate,
            "groups": [
                {name: value for name, value in group.items() if name != "params"}
                for group in self._optimizer.param_groups
            ],
            "scaler": self._scaler.state_dict(),
        }

    def load(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Go on from `tensors` and `record` of a checkpoint, as if nothing had happened."""

        def named(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        self.model.load_state_dict(named("model."))
        if self._average is not None:
            self._average.load_state_dict(named("average."))
        self._best = {name: tensor.to(self.device) for name, tensor in named("best.").items()}
        state = self._optimizer.state_dict()
        stored: dict[int, dict[str, Tensor]] = {}
        for name, tensor in named("optimizer.").items():
            number, key = name.split(".", 1)
            stored.setdefault(int(number), {})[key] = tensor
        state["state"] = stored
        for group, kept in zip(state["param_groups"], record["groups"], strict=True):
            group.update(kept | {"betas": tuple(kept["betas"])})
        self._optimizer.load_state_dict(state)
        self.schedule.load(record["schedule"])
        if record["scaler"]:
            self._scaler.load_state_dict(record["scaler"])
        self.progress = Progress(**record["progress"])
        self._loss_sum = tensors["loss_sum"].to(self.device)
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)


def member_loss(
    loss: nn.Module, logits: Tensor, labels: Tensor, *, normaliser: float, weights: Tensor | None = None
) -> Tensor:
    """Return the loss, each submodel of an ensemble (rows, submodels, outputs) judged on its own, and averaged."""
    expected = labels.dim() if labels.dim() == 2 else 2
    if logits.dim() == expected + 1:
        submodels = logits.shape[1]
        logits, labels = logits.flatten(0, 1), labels.repeat_interleave(submodels, 0)
        normaliser = normaliser * submodels
        weights = None if weights is None else weights.repeat_interleave(submodels, 0)
    if labels.dim() == 1 and logits.shape[-1] == 1:
        logits = logits.squeeze(-1)
    given = {} if weights is None else {"sample_weights": weights}
    result: Tensor = loss(logits, labels, normaliser=normaliser, **given)
    return result


@torch.inference_mode()
def predict_logits(model: nn.Module, rows: Rows, precision: str = "32") -> NDArray[np.float64]:
    """Return raw logits (submodels, rows, outputs), one submodel for a model that is no ensemble.

    Submodels are not averaged here: each is returned to the natural prevalence first, and only then averaged.
    """
    was_training = model.training
    model.eval()
    found = []
    width = rows.prediction_rows
    for batch in load_each(rows.part(begin, begin + width) for begin in range(0, max(1, len(rows)), width)):
        with _autocast(rows.device, precision):
            logits = model(*batch.inputs)
        found.append(logits if logits.dim() == 3 else logits.unsqueeze(1))
    model.train(was_training)
    return np.ascontiguousarray(torch.cat(found).transpose(0, 1).float().cpu().numpy(), dtype=np.float64)


def step_count(rows: int, rows_per_step: int) -> int:
    """Optimiser steps an epoch. A last step of fewer than half the rows joins the one before it.

    >>> step_count(100, 32), step_count(120, 32), step_count(5, 32)
    (3, 4, 1)
    """
    full, rest = divmod(rows, rows_per_step)
    return max(1, full + (2 * rest >= rows_per_step))


def step_bounds(step: int, rows_per_step: int, steps: int, rows: int) -> tuple[int, int]:
    """First row of a step, and the first row after it; the last step takes what is left.

    >>> step_bounds(0, 32, 3, 100), step_bounds(2, 32, 3, 100)
    ((0, 32), (64, 100))
    """
    begin = step * rows_per_step
    return begin, rows if step == steps - 1 else begin + rows_per_step


def _known_entries(labels: Tensor, rows_per_step: int, steps: int) -> list[int]:
    """Entries whose label is known, for each step: what the step's loss is divided by."""
    rows = int(labels.shape[0])
    known = (~labels.isnan()).reshape(rows, -1).sum(dim=1).cumsum(0).tolist()
    bounds = [step_bounds(step, rows_per_step, steps, rows) for step in range(steps)]
    return [int(known[end - 1] - (known[begin - 1] if begin else 0)) for begin, end in bounds]


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    if precision == "32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=_HALF[precision])


def resolve_batch_size(batch_size: int | str, rows: int, *, most: int = 256) -> int:
    """Return the rows of a batch. "auto": about sixteen steps an epoch, a power of two from 16 to `most`.

    >>> resolve_batch_size("auto", 300), resolve_batch_size("auto", 4000), resolve_batch_size(64, 9)
    (16, 256, 64)
    """
    if isinstance(batch_size, int):
        return batch_size
    return int(min(most, max(16, 2 ** round(math.log2(max(1, rows) / 16)))))
