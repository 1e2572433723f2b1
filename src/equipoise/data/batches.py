"""Batches of tensors that are in memory: no worker processes, and an order that is a function of seed and epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from equipoise._checks import ArgumentError

_CHUNK_ROWS = 16_384  # rows gathered at once: large enough to cost nothing per batch, small enough to stay in cache


def stable_seed(*parts: object) -> int:
    """Return 63 bits that depend on `parts` alone: the same on every platform and in every process.

    >>> stable_seed(0, 1, "order") == stable_seed(0, 1, "order"), stable_seed(0, 1) == stable_seed(1, 0)
    (True, False)
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def epoch_order(n: int, *, seed: int, epoch: int, stream: str = "order") -> Tensor:
    """Return the order of `n` rows in an epoch: a permutation (n,) int64 that depends on the arguments alone.

    Args:
        n: number of rows.
        seed: the seed of the run.
        epoch: which epoch; any epoch can be asked for without those before it.
        stream: what the order is for; streams of one seed are independent.

    >>> order = epoch_order(5, seed=0, epoch=3)
    >>> sorted(order.tolist()), torch.equal(order, epoch_order(5, seed=0, epoch=3))
    ([0, 1, 2, 3, 4], True)
    """
    generator = torch.Generator().manual_seed(stable_seed(seed, epoch, stream))
    return torch.randperm(n, generator=generator)


def batch_bounds(n: int, batch_size: int, *, drop_last: bool = False) -> list[tuple[int, int]]:
    """Return where each batch begins and ends.

    The last batch holds what is left; a single row that is left joins the batch before it, since one row has no
    variance to normalise by and its gradient is all noise.

    Args:
        n: number of rows, at least 1.
        batch_size: rows in a batch, at least 1.
        drop_last: leave out a last batch that is not full (never the only one).

    >>> batch_bounds(7, 3), batch_bounds(8, 3), batch_bounds(8, 3, drop_last=True), batch_bounds(1, 3)
    ([(0, 3), (3, 7)], [(0, 3), (3, 6), (6, 8)], [(0, 3), (3, 6)], [(0, 1)])
    """
    if n < 1 or batch_size < 1:
        raise ArgumentError(f"batch_bounds needs at least one row and one row per batch; got n={n}, {batch_size=}.")
    starts = list(range(0, n, batch_size))
    short = n - starts[-1]
    if len(starts) > 1 and short < batch_size and (drop_last or short == 1):
        starts.pop()
    ends = [*starts[1:], n if not drop_last or n - starts[-1] < batch_size else starts[-1] + batch_size]
    return list(zip(starts, ends, strict=True))


def epoch_batches(
    tensors: Sequence[Tensor],
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    drop_last: bool = False,
    start: int = 0,
) -> Iterator[tuple[Tensor, ...]]:
    """Yield the batches of one epoch, each a tuple of slices of `tensors` in the epoch's order.

    Rows are gathered by the thousand and handed out as views, so that a batch costs a slice and memory does not
    double; `start` resumes inside an epoch without replaying it.

    Args:
        tensors: each (rows, ...), all on one device.
        batch_size: rows in a batch.
        seed: the seed of the run.
        epoch: which epoch.
        drop_last: leave out a last batch that is not full.
        start: number of batches to pass over.

    >>> batches = list(epoch_batches([torch.arange(7)], 3, seed=0, epoch=0))
    >>> [len(rows) for (rows,) in batches], torch.cat([rows for (rows,) in batches]).sort().values.tolist()
    ([3, 4], [0, 1, 2, 3, 4, 5, 6])
    """
    rows = len(tensors[0])
    if any(len(tensor) != rows for tensor in tensors):
        raise ArgumentError(f"epoch_batches got tensors of {[len(t) for t in tensors]} rows. Give all the same number.")
    bounds = batch_bounds(rows, batch_size, drop_last=drop_last)[start:]
    order = epoch_order(rows, seed=seed, epoch=epoch).to(tensors[0].device)
    at_once = max(1, _CHUNK_ROWS // batch_size)
    for first in range(0, len(bounds), at_once):
        group = bounds[first : first + at_once]
        index = order[group[0][0] : group[-1][1]]
        sizes = [end - begin for begin, end in group]
        yield from zip(*(torch.split(tensor.index_select(0, index), sizes) for tensor in tensors), strict=True)
