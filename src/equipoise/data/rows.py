"""Rows as a training loop takes them: in some order, cut into parts, each loaded when its turn comes."""

from __future__ import annotations

import abc
import itertools
import operator
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from equipoise.data._ahead import done_ahead


@dataclass(frozen=True)
class Batch:
    """Some rows, loaded: what the model is called with, and what the loss compares its answer to.

    Attributes:
        inputs: the positional arguments of the model, each (rows, ...).
        labels: (rows,) or (rows, classes) float32; NaN is unknown.
        entry_weights: (rows, classes) float32 what the loss of each label is multiplied by; None for ones.
        rows: (rows,) int64 numbers of the rows in the table, on the CPU; None where nobody needs them.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor
    entry_weights: Tensor | None = None
    rows: Tensor | None = None


class Rows(abc.ABC):
    """Abstract. Rows to learn from or to score, in an order; making an order or a part never loads anything.

    Attributes:
        loads_slowly: whether `load` takes long enough to be worth doing beside the model's own work.
        prediction_rows: rows that are scored at once.
    """

    loads_slowly: bool = False
    prediction_rows: int = 8192

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @property
    @abc.abstractmethod
    def labels(self) -> Tensor:
        """(rows,) or (rows, classes) float32, NaN is unknown."""

    @property
    @abc.abstractmethod
    def device(self) -> torch.device:
        """Where `load` puts what it loads."""

    @abc.abstractmethod
    def take(self, index: Tensor) -> Rows:
        """The rows at `index`, (n,) int64, in that order; a row may stand there more than once."""

    @abc.abstractmethod
    def part(self, begin: int, end: int, stride: int = 1) -> Rows:
        """Every `stride`-th row from `begin` before `end`."""

    @abc.abstractmethod
    def weighed(self, entry_weights: Tensor) -> Rows:
        """The same rows with weights of their labels, (rows, classes)."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> Rows:
        """The same rows, loaded to a device."""

    @abc.abstractmethod
    def in_epoch(self, epoch: int) -> Rows:
        """The same rows as an epoch, from 0, shows them: what is varied by chance is a function of it."""

    @abc.abstractmethod
    def load(self) -> Batch:
        """Load all of them."""


@final
@dataclass(frozen=True)
class TableRows(Rows):
    """Rows of a table in memory: numbers, category codes and labels (NaN is unknown)."""

    numeric: Tensor  # (rows, numeric columns) float32
    categorical: Tensor  # (rows, categorical columns) int64
    answers: Tensor  # (rows,) or (rows, classes) float32
    entry_weights: Tensor | None = field(default=None)

    def __len__(self) -> int:
        return int(self.answers.shape[0])

    @property
    def labels(self) -> Tensor:
        """(rows,) or (rows, classes) float32."""
        return self.answers

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.answers.device

    def take(self, index: Tensor) -> TableRows:
        """Rows at `index`, in that order: one gather, after which parts are slices."""
        return self._each(lambda tensor: tensor[index.to(tensor.device)])

    def part(self, begin: int, end: int, stride: int = 1) -> TableRows:
        """Every `stride`-th row from `begin` before `end`, without a copy."""
        cut = slice(begin, end, stride)
        return self._each(lambda tensor: tensor[cut])

    def weighed(self, entry_weights: Tensor) -> TableRows:
        """The same rows with weights of their labels."""
        return replace(self, entry_weights=entry_weights)

    def to(self, device: torch.device) -> TableRows:
        """The same rows on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def in_epoch(self, epoch: int) -> TableRows:
        """The same rows: cells are not varied."""
        del epoch
        return self

    def load(self) -> Batch:
        """The tensors as they are."""
        return Batch((self.numeric, self.categorical), self.answers, self.entry_weights)

    def _each(self, change: Callable[[Tensor], Tensor]) -> TableRows:
        weights = None if self.entry_weights is None else change(self.entry_weights)
        return TableRows(change(self.numeric), change(self.categorical), change(self.answers), weights)


_AHEAD = 3  # batches that wait, loaded, for a model that is slower than the loading
_THREADS = 4  # at most, that load for a GPU


def load_each(parts: Iterable[Rows]) -> Iterator[Batch]:
    """Yield each part loaded, in order; slow ones are loaded by threads while the caller works on those before.

    For a model on the CPU one thread loads, since more would take the processors from it; for one on a GPU up to four.
    Closing the generator early ends the threads. What loading raises is raised here, at the part where it happened.

    >>> parts = [TableRows(torch.zeros(1, 1), torch.zeros(1, 0), torch.tensor([label])) for label in (0.0, 1.0)]
    >>> [batch.labels.item() for batch in load_each(parts)]
    [0.0, 1.0]
    """
    parts = iter(parts)
    first = next(parts, None)
    if first is None:
        return
    if not first.loads_slowly:
        yield first.load()
        for part in parts:
            yield part.load()
        return
    threads = 1 if first.device.type == "cpu" else min(_THREADS, os.cpu_count() or 1)
    yield from _loaded_ahead(itertools.chain((first,), parts), threads)


def _loaded_ahead(parts: Iterator[Rows], threads: int) -> Iterator[Batch]:
    load = operator.methodcaller("load")
    return done_ahead(parts, load, threads=threads, begun=_AHEAD + threads, name="equipoise-loader")
