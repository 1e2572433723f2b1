"""A resampled stream as a PyTorch `DataLoader` takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from equipoise.samplers._resumable import Place
from equipoise.samplers.streaming import StreamResampler


class ResampledDataset(IterableDataset[Any]):
    """An iterable data set whose rows are thinned to a target as they pass (see `StreamResampler`).

    Each process and each worker resamples its own shard and reaches the target in it, whatever the shares of the shard;
    the data set itself shards its rows, as any iterable data set must. A census begins anew in every pass; where the
    population is known, give its `plan`.

    Args:
        dataset: iterable; it yields this process's and this worker's samples.
        labels_of: from a sample to its labels, see `StreamResampler.resample`.
        task: of the labels.
        classes: class names.
        seed: of the choice of rows; epochs, ranks and workers differ by themselves.
        rank: which of the processes this is; None looks it up.
        world: how many there are; None looks it up.
        **settings: of `StreamResampler`: target, strength, max_ratio, max_repeats, plan, unknown.

    Raises:
        ArgumentError: a setting is out of range.
    """

    def __init__(
        self,
        dataset: Iterable[Any],
        labels_of: Callable[[Any], Any],
        *,
        task: str,
        classes: tuple[str, ...],
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
        **settings: Any,
    ) -> None:
        self.dataset, self.labels_of, self.task, self.classes = dataset, labels_of, task, tuple(classes)
        self.seed, self.settings, self.epoch = seed, settings, 0
        self._place = Place(rank, world)
        self.resampler()  # a wrong setting is an error now, not in a worker

    def set_epoch(self, epoch: int) -> None:
        """Choose other rows in the next pass."""
        self.epoch = int(epoch)

    def resampler(self) -> StreamResampler:
        """Return the resampler of the next pass of this process and worker."""
        worker = get_worker_info()
        stream = (self.epoch, *self._place.now(), 0 if worker is None else worker.id)
        return StreamResampler(self.task, self.classes, seed=self.seed, stream=stream, **self.settings)

    def __iter__(self) -> Iterator[Any]:
        return self.resampler().resample(self.dataset, self.labels_of)
