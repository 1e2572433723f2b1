"""Batches with guaranteed positives: every batch holds them, and shares are the plan's where they can be."""

from __future__ import annotations

import inspect
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from equipoise._checks import ArgumentError, RunError
from equipoise.balance import plan_sampling, preflight
from equipoise.labels import Labels
from equipoise.samplers import GuaranteedBatchSampler, GuaranteedStream
from equipoise.samplers.guarantee import _checked
from samplers.plans import chi_square_p, make_plan

PLAN = make_plan(3_000)
LABELS = PLAN.combination_labels[PLAN.combination_codes]


@pytest.mark.parametrize("at_least", [{"d": 1}, {"c": 2, "d": 1}, {"a": 1, "b": 1, "c": 1, "d": 1}, {"d": 8}])
def test_every_batch_holds_them(at_least):
    for seed in range(3):
        rows = GuaranteedStream(PLAN, at_least, 8, seed=seed).batches(1, 0, 2_000)
        assert rows.shape == (2_000, 8)
        for name, many in at_least.items():
            assert LABELS[rows][:, :, PLAN.classes.index(name)].sum(axis=1).min() >= many


def test_shares_are_those_of_the_plan_where_it_gives_that_many():
    stream = GuaranteedStream(PLAN, {"c": 1, "d": 1}, 64)
    assert stream.changes() == ()
    np.testing.assert_allclose(stream.combination_shares, PLAN.shares, atol=1e-12)
    rows = stream.batches(0, 0, 2_000)
    drawn = np.bincount(PLAN.combination_codes[rows.reshape(-1)], minlength=len(PLAN.shares))
    assert chi_square_p(drawn, PLAN.shares * rows.size) > 1e-3


def test_shares_that_change_are_stated_and_drawn():
    stream = GuaranteedStream(PLAN, {"d": 2}, 8)
    assert stream.changes()[-1].startswith("d: ")
    assert "since a batch of 8 must hold 2" in stream.changes()[-1]
    rows = stream.batches(0, 0, 2_000)
    drawn = np.bincount(PLAN.combination_codes[rows.reshape(-1)], minlength=len(PLAN.shares))
    assert chi_square_p(drawn, stream.combination_shares * rows.size) > 1e-3
    np.testing.assert_allclose(stream.row_weights.sum(), 1.0)
    # What is not guaranteed keeps its proportions.
    others = PLAN.combination_labels[:, 3] == 0
    ratio = stream.combination_shares[others] / PLAN.shares[others]
    np.testing.assert_allclose(ratio, ratio[0])


def test_places_in_a_batch_are_shuffled():
    rows = GuaranteedStream(PLAN, {"d": 1}, 4).batches(0, 0, 4_000)
    holds = LABELS[rows][:, :, 3].sum(axis=0)
    assert chi_square_p(holds, np.full(4, holds.sum() / 4)) > 1e-3


def test_any_batch_by_itself_and_ranks_together():
    stream = GuaranteedStream(PLAN, {"d": 1}, 8, seed=4)
    whole = stream.batches(2, 0, 60)
    np.testing.assert_array_equal(stream.batches(2, 17, 21), whole[17:21])
    for world in (1, 2, 3, 4):
        ranks = [
            list(GuaranteedBatchSampler(PLAN, {"d": 1}, 8, seed=4, rank=rank, world=world)) for rank in range(world)
        ]
        assert len({len(rank) for rank in ranks}) == 1
        together = list(itertools.chain(*zip(*ranks, strict=True)))
        np.testing.assert_array_equal(together[: 3_000 // 8], stream.batches(0, 0, 3_000 // 8))


def test_in_a_data_loader_and_resumed():
    def make():
        return GuaranteedBatchSampler(PLAN, {"d": 1}, 16, seed=1, rank=0, world=1, dataset=3_000)

    sampler = make()
    loader = DataLoader(TensorDataset(torch.arange(3_000)), batch_sampler=sampler)
    expected = [batch.tolist() for (batch,) in loader]
    assert len(expected) == len(sampler) == 187
    assert sampler.epoch == 1
    again = make()
    again.load_state_dict(make().state_dict(steps=40))
    assert list(again) == expected[40:]
    with pytest.raises(RunError, match="another stream"):
        GuaranteedBatchSampler(PLAN, {"d": 2}, 16, seed=1, rank=0, world=1).load_state_dict(make().state_dict())


def test_preflight_judges_it_by_its_own_weights():
    labels = Labels("multilabel", PLAN.classes, LABELS.astype(np.float32), np.arange(3_000))
    plan = plan_sampling(labels)
    sampler = GuaranteedBatchSampler(plan, {"d": 4}, 8, rank=0, world=1)
    found = preflight(sampler, labels, plan=sampler.stream.row_weights, strict=True)
    assert found.empty_drawn[3] == 0
    assert not preflight(sampler, labels, plan=plan).passed


@pytest.mark.parametrize(
    ("at_least", "batch_size", "message"),
    [
        ({"c": 5, "d": 4}, 8, r"cannot hold the 9 guaranteed positives \(5 of c, 4 of d\). Use batch_size=9"),
        ({"e": 1}, 8, 'names the class "e"'),
        ({"d": -1}, 8, "whole number"),
        ({"d": 1}, 0, "`batch_size`"),
    ],
)
def test_what_is_refused(at_least, batch_size, message):
    with pytest.raises(ArgumentError, match=message):
        GuaranteedStream(PLAN, at_least, batch_size)


def test_a_class_that_is_never_drawn_or_another_data_set():
    weights = np.where(PLAN.combination_labels[:, 3] == 1, 0, PLAN.combination_weights)
    with pytest.raises(ArgumentError, match="the plan never draws one"):
        GuaranteedStream(replace(PLAN, combination_weights=weights), {"d": 1}, 8)
    with pytest.raises(ArgumentError, match="the data set has 5"):
        GuaranteedBatchSampler(PLAN, {"d": 1}, 8, dataset=5)


@pytest.mark.parametrize("many", ["x", None, 1.5, float("inf"), True, -1])
def test_what_is_guaranteed_must_be_a_whole_number(many):
    with pytest.raises(ArgumentError, match="must be a whole number of at least 0"):
        inspect.unwrap(_checked)({"a": many}, ("a", "b"), 16)
