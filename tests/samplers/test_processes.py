"""Several processes with gloo: what they draw together is the single stream, in the planned shares, also resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch.distributed
import torch.multiprocessing

from equipoise.balance import plan_sampling, preflight
from equipoise.labels import Labels
from equipoise.samplers import PlanBatchSampler, PlanSampler

ROWS, BATCH, STEPS = 16_000, 32, 2_000


def make_labels() -> Labels:
    values = (np.random.default_rng(0).random((ROWS, 4)) < [0.3, 0.1, 0.03, 0.01]).astype(np.float32)
    return Labels("multilabel", ("a", "b", "c", "d"), values, np.arange(ROWS))


def _draw(rank: int, world: int, folder: str) -> None:
    """Draw 2,000 batches of all ranks; be broken off in the middle of an epoch and resume."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", world)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=world)
    plan = plan_sampling(make_labels(), max_repeats=50)
    sampler = PlanSampler(plan, seed=7)  # rank and world size are those of the process group
    batches = PlanBatchSampler(sampler, BATCH)
    rows: list[list[int]] = []
    needed = STEPS // world
    stop = int(np.random.default_rng(0).integers(1, len(batches)))
    while len(rows) < needed:
        for batch in batches:
            rows.append(batch)
            if len(rows) == stop:  # killed here: a new sampler goes on from the state
                state = batches.state_dict()
                batches = PlanBatchSampler(PlanSampler(plan, seed=7), BATCH)
                batches.load_state_dict(state)
                break
            if len(rows) == needed:
                break
    counts = torch.tensor([len(row) for row in rows]).sum()
    torch.distributed.all_reduce(counts)
    np.save(Path(folder) / f"{rank}.npy", np.concatenate([np.array(row) for row in rows]))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_of_gloo_draw_the_plan_together(world, tmp_path):
    labels = make_labels()
    plan = plan_sampling(labels, max_repeats=50)
    if world == 1:
        sampler = PlanSampler(plan, seed=7, rank=0, world=1)
        parts = [np.concatenate([sampler.indices(epoch) for epoch in range(4)])[: STEPS * BATCH]]
    else:
        torch.multiprocessing.start_processes(_draw, (world, str(tmp_path)), nprocs=world, start_method="fork")
        parts = [np.load(tmp_path / f"{rank}.npy") for rank in range(world)]
    together = np.stack(parts, axis=1).reshape(-1)
    single = PlanSampler(plan, seed=7, rank=0, world=1)
    expected = np.concatenate([single.indices(epoch) for epoch in range(5)])[: len(together)]
    np.testing.assert_array_equal(together, expected)
    found = preflight(parts, labels, plan=plan, batch_size=BATCH, level=1e-3, strict=True)
    assert found.batches == STEPS
    assert found.p_value > 1e-3
