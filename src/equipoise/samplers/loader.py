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

import os
from collections.abc import Iterator, Mapping, Sized
from typing import Any

import torch.distributed
from torch.utils.data import Sampler

from equipoise._checks import ArgumentError, RunError
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
        return _parts(self.stream.draws, self.world)

    def indices(self, epoch: int, start: int = 0, stop: int | None = None) -> Rows:
        """Return this process's draws `start` to `stop` of an epoch, int64: a pure function, nothing moves on.

        Every process has ``ceil(draws / world)`` draws; the few beyond `draws` go on in the same stream.
        """
        rank, world = self._place.now()
        stop = _parts(self.stream.draws, world) if stop is None else stop
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
        self.resume(int(state["epoch"]), int(state["drawn"]))


class PlanBatchSampler(Sampler[list[int]]):
    """Batches of a `PlanSampler`, for ``DataLoader(batch_sampler=...)``: faster than row by row, and resumable by step.

    Args:
        sampler: makes the rows of this process.
        batch_size: rows of a batch of this process.
        drop_last: leave out a last batch that is not full.

    Raises:
        ArgumentError: `batch_size` is below 1.
    """

    def __init__(self, sampler: PlanSampler, batch_size: int, drop_last: bool = False) -> None:
        if batch_size < 1:
            raise ArgumentError(f"`batch_size` of PlanBatchSampler must be at least 1; got {batch_size}.")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last
        self._done = 0
        self._from = 0

    def __len__(self) -> int:
        rows = len(self.sampler)
        return rows // self.batch_size if self.drop_last else _parts(rows, self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        epoch, start, total = self.epoch, self._from, len(self)
        self._from, self._done = 0, start
        at_once = max(1, _AT_ONCE // self.batch_size)
        for begin in range(start, total, at_once):
            stop = min((begin + at_once) * self.batch_size, len(self.sampler))
            rows = self.sampler.indices(epoch, begin * self.batch_size, stop).tolist()
            for first in range(0, min(at_once, total - begin) * self.batch_size, self.batch_size):
                self._done += 1
                yield rows[first : first + self.batch_size]
        if self.epoch == epoch:
            self.set_epoch(epoch + 1)

    @property
    def epoch(self) -> int:
        """The epoch of the pass under way, or of the next one."""
        return self.sampler.epoch

    def set_epoch(self, epoch: int) -> None:
        """Draw `epoch` in the next pass."""
        if int(epoch) != self.epoch:
            self._done, self._from = 0, 0
        self.sampler.set_epoch(epoch)

    def resume(self, epoch: int, steps: int) -> None:
        """Begin the next pass in `epoch` after `steps` batches."""
        if steps < 0 or steps > len(self):
            raise ArgumentError(f"`steps` of resume must be in 0 to {len(self)}, the batches of an epoch; got {steps}.")
        self.sampler.set_epoch(epoch)
        self._done, self._from = int(steps), int(steps)

    def state_dict(self, *, steps: int | None = None, shared: bool = False) -> dict[str, Any]:
        """Return where the sampler stands; `steps` are the batches that were used (by default those handed out)."""
        state = self.sampler.state_dict(shared=shared)
        del state["drawn"]
        return {**state, "steps": self._done if steps is None else steps, "batch_size": self.batch_size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the batch that `state_dict` names.

        Raises:
            RunError: rank, world size, batch size or stream has changed.
        """
        sampler = self.sampler
        check_state(state, rank=sampler.rank, world=sampler.world, fingerprint=sampler.stream.fingerprint)
        if state["batch_size"] != self.batch_size:
            raise RunError(
                f"The sampler's state is of batches of {state['batch_size']} rows; this one makes {self.batch_size}. "
                f"Use batch_size={state['batch_size']}, or begin the next epoch with set_epoch."
            )
        self.resume(int(state["epoch"]), int(state["steps"]))


def _parts(whole: int, size: int) -> int:
    """Return how many parts of `size` hold `whole`."""
    return -(-whole // size)


class Place:
    """Which process this is and how many there are: given, or looked up when it is first needed to be known."""

    def __init__(self, rank: int | None, world: int | None) -> None:
        if (rank is None) != (world is None):
            raise ArgumentError(
                "`rank` and `world` of a sampler belong together. Give both, or neither to look them up."
            )
        self._given = None if rank is None or world is None else _checked_place(int(rank), int(world))

    def now(self) -> tuple[int, int]:
        """Return (rank, world)."""
        if self._given is not None:
            return self._given
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return _checked_place(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def _checked_place(rank: int, world: int) -> tuple[int, int]:
    if world < 1 or not 0 <= rank < world:
        raise ArgumentError(
            f"`rank` of a sampler must be in 0 to world - 1; got rank {rank} of {world}. Count ranks from 0."
        )
    return rank, world


def check_rows(rows: int, dataset: Sized | int | None) -> None:
    """Raise unless the data set has as many rows as the plan; None is not checked."""
    if dataset is None:
        return
    there = dataset if isinstance(dataset, int) else len(dataset)
    if there != rows:
        raise ArgumentError(
            f"The plan was made for {rows:,} rows, but the data set has {there:,}. Plan the sampling from the labels "
            "of this data set, in its order: plan_sampling(labels.select(rows))."
        )


def check_state(state: Mapping[str, Any], *, rank: int, world: int, fingerprint: str) -> None:
    """Raise unless `state` belongs to this stream, at this place among the processes."""
    if state.get("world") != world:
        raise RunError(
            f"The sampler's state is of {state.get('world')} processes, but now there are {world}: in the middle of an "
            f"epoch nobody could say which draws are done. Resume with {state.get('world')}, or begin the next epoch "
            f"with set_epoch({int(state.get('epoch', 0)) + 1}), where any number of processes draws the same stream."
        )
    if "rank" in state and state["rank"] != rank:
        raise RunError(
            f"The sampler's state was written by rank {state['rank']}, but this is rank {rank}. Load the state that "
            "this rank wrote, or write one for all ranks with state_dict(shared=True)."
        )
    if state.get("stream") != fingerprint:
        raise RunError(
            "The sampler's state is of another stream: its seed, plan, draws or replacement differ from this one's. "
            "Make the sampler as it was, or begin anew with set_epoch."
        )
