"""Order and batches: a function of seed and epoch, every row once, never a batch of one."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from equipoise._checks import ArgumentError
from equipoise.data import Batch, Rows, batch_bounds, epoch_batches, epoch_order, stable_seed
from equipoise.data.rows import _loaded_ahead


def test_order_depends_on_its_arguments_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    order = epoch_order(100, seed=3, epoch=7)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    assert torch.equal(order, epoch_order(100, seed=3, epoch=7))
    for other in ({"seed": 4, "epoch": 7}, {"seed": 3, "epoch": 8}, {"seed": 3, "epoch": 7, "stream": "other"}):
        assert not torch.equal(order, epoch_order(100, **other))


def test_order_is_the_same_everywhere():
    assert stable_seed(0, 0, "order") == 6966386321333152537
    code = "from equipoise.data import epoch_order; print(epoch_order(10, seed=0, epoch=0).tolist())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(epoch_order(10, seed=0, epoch=0).tolist())


@given(st.integers(1, 300), st.integers(1, 64), st.booleans())
def test_bounds(n, size, drop_last):
    bounds = batch_bounds(n, size, drop_last=drop_last)
    assert bounds[0][0] == 0
    assert all(left[1] == right[0] for left, right in itertools.pairwise(bounds))
    sizes = [end - begin for begin, end in bounds]
    assert all(count in (size, size + 1) for count in sizes[:-1])
    if drop_last and n >= size:
        assert set(sizes) == {size}
    else:
        assert sum(sizes) == n
    if size > 1 and n > 1:
        assert min(sizes) > 1


@given(st.integers(2, 200), st.integers(1, 32), st.integers(0, 5))
def test_every_row_once_and_resumed_in_the_middle(n, size, start):
    tensors = [torch.arange(n), torch.arange(n).float() * 2]
    whole = list(epoch_batches(tensors, size, seed=1, epoch=2))
    assert torch.equal(torch.cat([rows for rows, _ in whole]), epoch_order(n, seed=1, epoch=2))
    assert all(torch.equal(rows.float() * 2, doubled) for rows, doubled in whole)
    rest = list(epoch_batches(tensors, size, seed=1, epoch=2, start=start))
    assert len(rest) == max(0, len(whole) - start)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(rest, whole[start:], strict=True))


def test_chunks_join_without_a_seam():
    rows = torch.arange(50_000)
    joined = torch.cat([batch for (batch,) in epoch_batches([rows], 300, seed=0, epoch=0)])
    assert torch.equal(joined, epoch_order(50_000, seed=0, epoch=0))


def test_what_cannot_be_batched():
    with pytest.raises(ArgumentError, match="same number"):
        list(epoch_batches([torch.ones(3), torch.ones(4)], 2, seed=0, epoch=0))
    with pytest.raises(ArgumentError, match="at least one row"):
        batch_bounds(0, 3)


@dataclass(frozen=True)
class _Slow(Rows):
    """One row that tells who loaded it, and waits until `together` have been begun."""

    number: int
    loaders: set[int]
    barrier: threading.Barrier | None = None

    loads_slowly = True

    def __len__(self) -> int:
        return 1

    @property
    def labels(self) -> torch.Tensor:
        return torch.zeros(1)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def load(self) -> Batch:
        if self.barrier is not None:
            self.barrier.wait(timeout=20)
        if self.number == 99:
            raise ArgumentError("broken here")
        self.loaders.add(threading.get_ident())
        return Batch((torch.tensor([self.number]),), torch.zeros(1))

    def take(self, index: torch.Tensor) -> Rows:
        return self

    part = weighed = to = in_epoch = take  # type: ignore[assignment]


def test_batches_come_in_order_from_several_threads_that_load_at_the_same_time():
    loaders: set[int] = set()
    barrier = threading.Barrier(4)  # passed only when four load at once
    parts = (_Slow(number, loaders, barrier) for number in range(40))
    found = [int(batch.inputs[0]) for batch in _loaded_ahead(iter(parts), 4)]
    assert found == list(range(40))
    assert threading.get_ident() not in loaders
    assert len(loaders) == 4


@pytest.mark.parametrize("threads", [1, 3])
def test_what_loading_raises_is_raised_at_its_place_and_closing_early_ends_the_threads(threads):
    loaders: set[int] = set()
    before = threading.active_count()
    batches = _loaded_ahead((_Slow(number, loaders) for number in (0, 1, 2, 99, 4)), threads)
    assert [int(next(batches).inputs[0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ArgumentError, match="broken here"):
        next(batches)
    assert threading.active_count() == before
    begun: list[int] = []

    def endless():
        for number in itertools.count():
            begun.append(number)
            yield _Slow(number % 90, loaders)

    batches = _loaded_ahead(endless(), threads)
    next(batches)
    batches.close()
    assert threading.active_count() == before
    assert len(begun) <= 3 + threads  # no more is loaded ahead than that
