"""Samplers that a PyTorch `DataLoader` takes: `sampler=` or `batch_sampler=`.

Processes. Rank r of w takes draws r, r + w, r + 2w, ... of one stream: what the ranks draw together is what a single
process would draw, for any w. Rank and world size come from `torch.distributed`, else from the variables that
`torchrun` sets, else they are 0 of 1; they are looked up when drawing begins.

Trainers that shard samplers themselves must not do so twice:

- Lightning: `Trainer(use_distributed_sampler=False)` with a sampler as it is; or leave Lightning's default and make the
  sampler with ``rank=0, world=1``, which Lightning then shards. Lightning calls `set_epoch`.
- Hugging Face `Trainer` / Accelerate: shards batches of any loader. Return the sampler from `_get_train_sampler`, made
  with ``rank=0, world=1``. Accelerate calls `set_epoch`.
- Plain PyTorch: nothing to do. The epoch moves on by itself at the end of each pass; `set_epoch` sets it.

Resuming. The stream itself has no state: `state_dict` is an epoch and a number of draws. A loader with worker processes
asks for indices ahead of the batches it hands out; then say how many draws were used, ``state_dict(drawn=steps *
batch_size)``, or call `resume(epoch, drawn)`. `torchdata.StatefulDataLoader` does this by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

from torch.utils.data import Sampler

from equipoise._checks import ArgumentError, check_number
from equipoise.samplers._resumable import Place, ResumableBatches, check_rows, check_state, parts, state_number
from equipoise.samplers.guarantee import GuaranteedStream, LabelledPlan
from equipoise.samplers.stream import IndexStream, Planned, Rows

_AT_ONCE = 1 << 14


class PlanSampler(Sampler[int]):
    """Row numbers drawn as a plan asks, for ``DataLoader(sampler=...)`` or for a loop in memory (`indices`).

    Args:
        plan: from `plan_sampling`.
        seed: of every epoch.
        rank: which of the processes this is; None looks it up (see the module).
        world: how many processes share the stream; None looks it up.
        replacement: draws are independent; False draws each row floor or ceil of its expected count.
        draws: draws of an epoch, all processes together; by default those of the plan.
        dataset: the data set, or its number of rows, to check the plan against.

    Raises:
        ArgumentError: the plan is for another number of rows; rank is not below world; draws below 1.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> plan = SimpleNamespace(
        ...     combination_codes=np.array([0, 0, 0, 1], np.int32), combination_counts=np.array([3, 1]),
        ...     combination_weights=np.array([1 / 6, 1 / 2]), draws=6,
        ... )
        >>> sampler = PlanSampler(plan, seed=0, rank=0, world=1, replacement=False)
        >>> len(sampler), sorted(sampler)
        (6, [0, 1, 2, 3, 3, 3])
    """

    def __init__(
        self,
        plan: Planned,
        *,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
        replacement: bool = True,
        draws: int | None = None,
        dataset: Sized | int | None = None,
    ) -> None:
        self._place = Place(rank, world)
        self.stream = IndexStream(plan, seed=seed, replacement=replacement, draws=draws)
        check_rows(self.stream.rows, dataset)
        self.epoch = 0
        self._drawn = 0  # by the pass under way
        self._from = 0  # where the next pass begins

    @property
    def rank(self) -> int:
        """Which of the processes this is."""
        return self._place.now()[0]

    @property
    def world(self) -> int:
        """How many processes share the stream."""
        return self._place.now()[1]

    def __len__(self) -> int:
        return parts(self.stream.draws, self.world)

    def indices(self, epoch: int, start: int = 0, stop: int | None = None) -> Rows:
        """Return this process's draws `start` to `stop` of an epoch, int64: a pure function, nothing moves on.

        Every process has ``ceil(draws / world)`` draws; the few beyond `draws` go on in the same stream.
        """
        rank, world = self._place.now()
        stop = parts(self.stream.draws, world) if stop is None else stop
        return self.stream.indices(epoch, rank + start * world, rank + stop * world, world)

    def __iter__(self) -> Iterator[int]:
        epoch, start = self.epoch, self._from
        self._from, self._drawn = 0, start
        total = len(self)
        for begin in range(start, total, _AT_ONCE):
            for row in self.indices(epoch, begin, min(begin + _AT_ONCE, total)).tolist():
                self._drawn += 1
                yield row
        if self.epoch == epoch:
            self.set_epoch(epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Draw `epoch` (from 0) in the next pass, from its beginning unless the state of that epoch was just loaded."""
        if int(epoch) != self.epoch:
            self.epoch, self._drawn, self._from = int(epoch), 0, 0

    def resume(self, epoch: int, drawn: int) -> None:
        """Begin the next pass in `epoch` after `drawn` draws of this process: steps done times batch size."""
        if drawn < 0 or drawn > len(self):
            raise ArgumentError(f"`drawn` of resume must be in 0 to {len(self)}, the draws of an epoch; got {drawn}.")
        self.epoch, self._drawn, self._from = int(epoch), int(drawn), int(drawn)

    def state_dict(self, *, drawn: int | None = None, shared: bool = False) -> dict[str, Any]:
        """Return where the sampler stands, in plain JSON types.

        Args:
            drawn: draws that were used; by default those handed out, which a loader with workers runs ahead of.
            shared: for every rank to load, as when rank 0 alone writes a checkpoint: all ranks stand at the same draw.
        """
        rank, world = self._place.now()
        used = self._drawn if drawn is None else drawn
        state = {"epoch": self.epoch, "drawn": used, "world": world, "stream": self.stream.fingerprint}
        return state if shared else {**state, "rank": rank}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the draw that `state_dict` names.

        Raises:
            RunError: rank or world size has changed, or the stream is another one (seed, plan, draws, replacement).
        """
        rank, world = self._place.now()
        check_state(state, rank=rank, world=world, fingerprint=self.stream.fingerprint)
        self.resume(state_number(state, "epoch"), state_number(state, "drawn"))


class PlanBatchSampler(ResumableBatches):
    """Batches of a `PlanSampler`, for ``DataLoader(batch_sampler=...)``: faster than row by row, and resumable by step.

    Args:
        sampler: makes the rows of this process.
        batch_size: rows of a batch of this process.
        drop_last: leave out a last batch that is not full.

    Raises:
        ArgumentError: `batch_size` is below 1.
    """

    def __init__(self, sampler: PlanSampler, batch_size: int, drop_last: bool = False) -> None:
        super().__init__(batch_size)
        self.sampler, self.drop_last = sampler, drop_last

    def __len__(self) -> int:
        rows = len(self.sampler)
        return rows // self.batch_size if self.drop_last else parts(rows, self.batch_size)

    @property
    def epoch(self) -> int:
        """The epoch of the pass under way, or of the next one."""
        return self.sampler.epoch

    def _take_epoch(self, epoch: int) -> None:
        self.sampler.set_epoch(epoch)

    def _batches(self, epoch: int, begin: int, end: int) -> list[list[int]]:
        size = self.batch_size
        rows = self.sampler.indices(epoch, begin * size, min(end * size, len(self.sampler))).tolist()
        return [rows[first : first + size] for first in range(0, len(rows), size)]

    def _identity(self) -> tuple[int, int, str]:
        return self.sampler.rank, self.sampler.world, self.sampler.stream.fingerprint


class GuaranteedBatchSampler(ResumableBatches):
    """Batches of which each holds at least so many positives of chosen classes, for ``DataLoader(batch_sampler=...)``.

    The shares stay those of the plan where the plan gives a batch that many positives on average; where it does not,
    they change as little as they must, and `changes` says how (see `GuaranteedStream`). Batch b of rank r is batch
    ``b * world + r`` of one stream.

    Args:
        plan: from `plan_sampling`.
        at_least: class to positives in every batch of this process, such as ``{"Hernia": 1}``.
        batch_size: rows of a batch of this process.
        seed: of every epoch.
        rank: which of the processes this is; None looks it up.
        world: how many processes share the stream; None looks it up.
        draws: draws of an epoch, all processes together; by default those of the plan.
        dataset: the data set, or its number of rows, to check the plan against.

    Raises:
        ArgumentError: the batch is smaller than what is guaranteed; a class is unknown or never drawn by the plan; the
            plan is for another number of rows.
    """

    def __init__(
        self,
        plan: LabelledPlan,
        at_least: Mapping[str, int],
        batch_size: int,
        *,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
        draws: int | None = None,
        dataset: Sized | int | None = None,
    ) -> None:
        super().__init__(batch_size)
        self._place = Place(rank, world)
        self.stream = GuaranteedStream(plan, at_least, batch_size, seed=seed)
        check_rows(self.stream.rows, dataset)
        whole = check_number(plan.draws if draws is None else draws, argument="draws",
                             function="GuaranteedBatchSampler", at_least=1)  # fmt: skip
        self.batches = max(1, int(whole) // batch_size)
        self._epoch = 0

    def __len__(self) -> int:
        return parts(self.batches, self._place.now()[1])

    @property
    def epoch(self) -> int:
        """The epoch of the pass under way, or of the next one."""
        return self._epoch

    @property
    def sampler(self) -> GuaranteedBatchSampler:
        """This sampler: trainers look here for `set_epoch`."""
        return self

    def changes(self) -> tuple[str, ...]:
        """Say which shares the guarantee changes; empty where it changes none."""
        return self.stream.changes()

    def _take_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def _batches(self, epoch: int, begin: int, end: int) -> list[list[int]]:
        rank, world = self._place.now()
        found: list[list[int]] = self.stream.batches(epoch, rank + begin * world, rank + end * world, world).tolist()
        return found

    def _identity(self) -> tuple[int, int, str]:
        return (*self._place.now(), self.stream.fingerprint)
