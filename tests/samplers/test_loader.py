"""Samplers as a DataLoader takes them: ranks, epochs, resuming, workers, trainers, and what is refused."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from equipoise._checks import ArgumentError, RunError
from equipoise.samplers import GuaranteedBatchSampler, PlanBatchSampler, PlanSampler
from samplers.plans import make_plan

PLAN = make_plan()
DATA = TensorDataset(torch.arange(2_000))


@given(st.integers(1, 9), st.booleans(), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_ranks_together_draw_the_single_stream(world, replacement, epoch):
    single = PlanSampler(PLAN, seed=3, rank=0, world=1, replacement=replacement)
    ranks = [PlanSampler(PLAN, seed=3, rank=rank, world=world, replacement=replacement) for rank in range(world)]
    parts = [sampler.indices(epoch) for sampler in ranks]
    assert {len(part) for part in parts} == {len(ranks[0])}
    together = np.stack(parts, axis=1).reshape(-1)
    np.testing.assert_array_equal(together[:2_000], single.indices(epoch))


def test_a_step_of_all_ranks_is_a_step_of_one_process():
    single = PlanBatchSampler(PlanSampler(PLAN, rank=0, world=1), 24)
    ranks = [PlanBatchSampler(PlanSampler(PLAN, rank=rank, world=4), 6) for rank in range(4)]
    for whole, *parts in zip(single, *ranks, strict=False):
        if len(whole) == 24:
            assert sorted(whole) == sorted(itertools.chain(*parts))


def test_iterating_is_indices_and_epochs_move_on_by_themselves():
    sampler = PlanSampler(PLAN, seed=1, rank=1, world=3)
    assert len(sampler) == 667
    for epoch in range(3):
        assert sampler.epoch == epoch
        np.testing.assert_array_equal(list(sampler), sampler.indices(epoch))
    sampler.set_epoch(1)
    np.testing.assert_array_equal(list(sampler), sampler.indices(1))


def test_a_pass_that_is_broken_off_begins_again():
    sampler = PlanSampler(PLAN, rank=0, world=1)
    first = list(itertools.islice(sampler, 10))
    assert list(itertools.islice(sampler, 10)) == first


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_data_loader(workers):
    sampler = PlanSampler(PLAN, seed=1, rank=0, world=1, dataset=DATA)
    rows = torch.cat([batch for (batch,) in DataLoader(DATA, 32, sampler=sampler, num_workers=workers)])
    np.testing.assert_array_equal(rows.numpy(), sampler.indices(0))
    batches = PlanBatchSampler(PlanSampler(PLAN, seed=1, rank=0, world=1), 32)
    loader = DataLoader(DATA, batch_sampler=batches, num_workers=workers)
    assert len(loader) == 63
    np.testing.assert_array_equal(torch.cat([batch for (batch,) in loader]).numpy(), sampler.indices(0))
    assert batches.epoch == 1


def test_drop_last():
    batches = list(PlanBatchSampler(PlanSampler(PLAN, rank=0, world=1), 32, drop_last=True))
    assert {len(batch) for batch in batches} == {32}
    assert len(batches) == 62


@given(st.integers(0, 2_000), st.booleans(), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_resuming_anywhere_goes_on_with_the_next_index(stop, replacement, world):
    def make():
        return PlanSampler(PLAN, seed=9, rank=world - 1, world=world, replacement=replacement)

    sampler = make()
    sampler.set_epoch(2)
    stop = min(stop, len(sampler))
    before = list(itertools.islice(sampler, stop))
    state = json.loads(json.dumps(sampler.state_dict()))
    again = make()
    again.load_state_dict(state)
    again.set_epoch(2)  # as trainers do after loading
    np.testing.assert_array_equal(before + list(again), sampler.indices(2))
    np.testing.assert_array_equal(list(again), sampler.indices(3))


@given(st.integers(0, 62))
@settings(max_examples=10, deadline=None)
def test_resuming_batches(stop):
    batches = PlanBatchSampler(PlanSampler(PLAN, seed=9, rank=0, world=1), 32)
    expected = list(batches)
    batches.set_epoch(0)
    list(itertools.islice(batches, stop))
    again = PlanBatchSampler(PlanSampler(PLAN, seed=9, rank=0, world=1), 32)
    again.load_state_dict(batches.state_dict())
    assert list(again) == expected[stop:]
    again.load_state_dict(batches.state_dict(steps=3))
    assert list(again) == expected[3:]


def test_a_loader_with_workers_is_resumed_by_steps_done():
    def loader():
        sampler = PlanBatchSampler(PlanSampler(PLAN, seed=9, rank=0, world=1), 16)
        return sampler, DataLoader(DATA, batch_sampler=sampler, num_workers=2)

    sampler, batches = loader()
    expected = [batch.tolist() for (batch,) in batches]
    sampler, batches = loader()
    for step, _ in enumerate(batches, 1):
        if step == 7:
            break
    assert sampler.state_dict()["steps"] > 7  # asked for ahead of what was used
    state = sampler.state_dict(steps=7)
    sampler, batches = loader()
    sampler.load_state_dict(state)
    assert [batch.tolist() for (batch,) in batches] == expected[7:]


def test_what_changed_on_resume_is_named():
    state = PlanSampler(PLAN, seed=1, rank=1, world=4).state_dict()
    with pytest.raises(RunError, match=r"of 4 processes, but now there are 2.*Resume with 4, or.*set_epoch\(1\)"):
        PlanSampler(PLAN, seed=1, rank=1, world=2).load_state_dict(state)
    with pytest.raises(RunError, match=r"written by rank 1, but this is rank 0.*shared=True"):
        PlanSampler(PLAN, seed=1, rank=0, world=4).load_state_dict(state)
    shared = PlanSampler(PLAN, seed=1, rank=1, world=4).state_dict(shared=True)
    PlanSampler(PLAN, seed=1, rank=0, world=4).load_state_dict(shared)
    with pytest.raises(RunError, match="another stream: its seed, plan, draws or replacement"):
        PlanSampler(PLAN, seed=2, rank=1, world=4).load_state_dict(state)
    small = PlanBatchSampler(PlanSampler(PLAN, rank=0, world=1), 8).state_dict()
    with pytest.raises(RunError, match="of batches of 8 rows; this one makes 16"):
        PlanBatchSampler(PlanSampler(PLAN, rank=0, world=1), 16).load_state_dict(small)


def test_what_is_refused():
    with pytest.raises(ArgumentError, match=r"made for 2,000 rows, but the data set has 1,999.*Plan the sampling from"):
        PlanSampler(PLAN, dataset=range(1_999))
    with pytest.raises(ArgumentError, match="rank 4 of 4"):
        PlanSampler(PLAN, rank=4, world=4)
    with pytest.raises(ArgumentError, match="belong together"):
        PlanSampler(PLAN, rank=1)
    with pytest.raises(ArgumentError, match="`batch_size` of PlanBatchSampler must be at least 1"):
        PlanBatchSampler(PlanSampler(PLAN), 0)
    with pytest.raises(ArgumentError, match="in 0 to 2000"):
        PlanSampler(PLAN, rank=0, world=1).resume(0, 2_001)


def test_place_is_that_of_torchrun(monkeypatch):
    sampler = PlanSampler(PLAN, seed=1)
    assert (sampler.rank, sampler.world) == (0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    np.testing.assert_array_equal(list(sampler), PlanSampler(PLAN, seed=1, rank=2, world=4).indices(0))


def test_sharded_by_lightning():
    distributed = pytest.importorskip("lightning_fabric.utilities.distributed")
    single = PlanSampler(PLAN, seed=1, rank=0, world=1)
    wrapped = [
        distributed.DistributedSamplerWrapper(
            PlanSampler(PLAN, seed=1, rank=0, world=1), num_replicas=2, rank=rank, shuffle=False
        )
        for rank in range(2)
    ]
    together = np.stack([list(sampler) for sampler in wrapped], axis=1).reshape(-1)
    np.testing.assert_array_equal(together, single.indices(0))


def test_in_a_lightning_trainer(tmp_path):
    """Lightning sets the epoch of samplers and of what is inside batch samplers."""
    lightning = pytest.importorskip("pytorch_lightning")

    class Seen(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.rows = []

        def training_step(self, batch, _):
            self.rows += batch[0].tolist()
            return self.weight.sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    for as_batches in (True, False):
        sampler = PlanSampler(PLAN, seed=1)
        asked = {"batch_sampler": PlanBatchSampler(sampler, 100)} if as_batches else {"sampler": sampler}
        loader = DataLoader(DATA, **asked, **({} if as_batches else {"batch_size": 100}))
        seen = Seen()
        trainer = lightning.Trainer(
            max_epochs=2, use_distributed_sampler=False, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(seen, loader)
        fresh = PlanSampler(PLAN, seed=1)
        np.testing.assert_array_equal(seen.rows, np.concatenate([fresh.indices(0), fresh.indices(1)]))


def test_in_a_hugging_face_trainer(tmp_path):
    """Accelerate takes over the loader that the trainer makes, and sets the epoch of its sampler."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")

    class Numbered(torch.utils.data.Dataset):
        def __len__(self):
            return 2_000

        def __getitem__(self, row):
            return {"row": row}

    class Seen(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.rows = []

        def forward(self, row=None):
            self.rows += row.tolist()
            return {"loss": self.weight.sum()}

    class Drawn(transformers.Trainer):
        def _get_train_sampler(self, *_):
            return PlanSampler(PLAN, seed=1, rank=0, world=1)

    seen = Seen()
    asked = transformers.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=2, per_device_train_batch_size=100, report_to=[],
        save_strategy="no", disable_tqdm=True, use_cpu=True, remove_unused_columns=False,
    )  # fmt: skip
    Drawn(model=seen, args=asked, train_dataset=Numbered()).train()
    fresh = PlanSampler(PLAN, seed=1)
    np.testing.assert_array_equal(seen.rows, np.concatenate([fresh.indices(0), fresh.indices(1)]))


@pytest.mark.parametrize(
    "change", [{"epoch": None}, {"epoch": "x"}, {"drawn": -1, "steps": -1}, {"drawn": 1.5, "steps": 1.5}]
)
def test_a_damaged_state_is_named(change):
    sampler = PlanSampler(make_plan(), rank=0, world=1)
    for one in (
        sampler,
        PlanBatchSampler(sampler, 16),
        GuaranteedBatchSampler(make_plan(), {"a": 1}, 16, rank=0, world=1),
    ):
        with pytest.raises(RunError, match="The sampler's state is damaged"):
            one.load_state_dict(one.state_dict() | change)
        lacking = {key: value for key, value in one.state_dict().items() if key != "epoch"}
        with pytest.raises(RunError, match="its epoch is None"):
            one.load_state_dict(lacking)
