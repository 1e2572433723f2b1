"""What samplers that a `DataLoader` takes have in common: their place among processes, batches, state."""

from __future__ import annotations

import abc
import os
from collections.abc import Iterator, Mapping, Sized
from typing import Any

import torch.distributed
from torch.utils.data import Sampler

from equipoise._checks import ArgumentError, RunError

_AT_ONCE = 1 << 14  # rows drawn together


class ResumableBatches(Sampler[list[int]], abc.ABC):
    """Batches of row numbers that are a pure function of epoch and step; all state is an epoch and a step."""

    def __init__(self, batch_size: int) -> None:
        if batch_size < 1:
            raise ArgumentError(f"`batch_size` of {type(self).__name__} must be at least 1; got {batch_size}.")
        self.batch_size = batch_size
        self._done = 0  # by the pass under way
        self._from = 0  # where the next pass begins

    @abc.abstractmethod
    def __len__(self) -> int:
        """Batches of an epoch of this process."""

    @property
    @abc.abstractmethod
    def epoch(self) -> int:
        """The epoch of the pass under way, or of the next one."""

    @abc.abstractmethod
    def _take_epoch(self, epoch: int) -> None: ...

    @abc.abstractmethod
    def _batches(self, epoch: int, begin: int, end: int) -> list[list[int]]: ...

    @abc.abstractmethod
    def _identity(self) -> tuple[int, int, str]:
        """Rank, world size and fingerprint of the stream."""

    def __iter__(self) -> Iterator[list[int]]:
        epoch, start, total = self.epoch, self._from, len(self)
        self._from, self._done = 0, start
        at_once = max(1, _AT_ONCE // self.batch_size)
        for begin in range(start, total, at_once):
            for batch in self._batches(epoch, begin, min(begin + at_once, total)):
                self._done += 1
                yield batch
        if self.epoch == epoch:
            self.set_epoch(epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Draw `epoch` (from 0) in the next pass, from its beginning unless the state of that epoch was just loaded."""
        if int(epoch) != self.epoch:
            self._done, self._from = 0, 0
        self._take_epoch(int(epoch))

    def resume(self, epoch: int, steps: int) -> None:
        """Begin the next pass in `epoch` after `steps` batches."""
        if steps < 0 or steps > len(self):
            raise ArgumentError(f"`steps` of resume must be in 0 to {len(self)}, the batches of an epoch; got {steps}.")
        self._take_epoch(int(epoch))
        self._done, self._from = int(steps), int(steps)

    def state_dict(self, *, steps: int | None = None, shared: bool = False) -> dict[str, Any]:
        """Return where the sampler stands, in plain JSON types.

        Args:
            steps: batches that were used; by default those handed out, which a loader with workers runs ahead of.
            shared: for every rank to load, as when rank 0 alone writes a checkpoint: all ranks stand at the same step.
        """
        rank, world, fingerprint = self._identity()
        used = self._done if steps is None else steps
        state = {
            "epoch": self.epoch, "steps": used, "batch_size": self.batch_size, "world": world, "stream": fingerprint,
        }  # fmt: skip
        return state if shared else {**state, "rank": rank}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the batch that `state_dict` names.

        Raises:
            RunError: rank, world size, batch size or stream has changed.
        """
        rank, world, fingerprint = self._identity()
        check_state(state, rank=rank, world=world, fingerprint=fingerprint)
        if state_number(state, "batch_size") != self.batch_size:
            raise RunError(
                f"The sampler's state is of batches of {state['batch_size']} rows; this one makes {self.batch_size}. "
                f"Use batch_size={state['batch_size']}, or begin the next epoch with set_epoch."
            )
        self.resume(state_number(state, "epoch"), state_number(state, "steps"))


def parts(whole: int, size: int) -> int:
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


def state_number(state: Mapping[str, Any], name: str) -> int:
    """Return a number of a sampler's state.

    Raises:
        RunError: it is not there, or no whole number of at least 0.
    """
    value = state.get(name) if isinstance(state, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RunError(
            f"The sampler's state is damaged: its {name} is {value!r}. Take the state of another checkpoint, or begin "
            "an epoch anew with set_epoch."
        )
    return value


def check_state(state: Mapping[str, Any], *, rank: int, world: int, fingerprint: str) -> None:
    """Raise unless `state` belongs to this stream, at this place among the processes."""
    state_number(state, "epoch")
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
