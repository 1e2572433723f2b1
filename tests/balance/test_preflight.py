"""Pre-flight: good samplers pass, planted broken ones fail with a message that names the cause."""

from __future__ import annotations

import inspect
import itertools
import json
import threading
from itertools import chain, islice

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DistributedSampler, RandomSampler, WeightedRandomSampler

from equipoise._checks import ArgumentError
from equipoise.balance import class_weights, plan_sampling
from equipoise.balance.preflight import Preflight, PreflightError, preflight
from equipoise.labels import Labels, count_labels
from equipoise.samplers import GuaranteedBatchSampler, IndexStream, PlanBatchSampler, PlanSampler
from equipoise.samplers.stream import RankStream

ROWS = 20_000
CLASSES = ("Common", "Seldom", "Rare")


def make_labels(rows: int = ROWS, *, grouped: bool = False) -> Labels:
    rng = np.random.default_rng(0)
    values = (rng.random((rows, 3)) < [0.3, 0.05, 0.01]).astype(np.float32)
    if grouped:
        values = values[np.lexsort(values.T)]
    return Labels("multilabel", CLASSES, values, np.arange(rows))


LABELS = make_labels()
PLAN = plan_sampling(LABELS, "uniform", max_repeats=50)
WEIGHTS = torch.as_tensor(PLAN.sample_weights)


def weighted(seed: int, weights=WEIGHTS, draws: int = ROWS, replacement: bool = True):
    return WeightedRandomSampler(weights, draws, replacement, generator=torch.Generator().manual_seed(seed))


GOOD = {
    "plan": lambda: PlanSampler(PLAN, rank=0, world=1),
    "in turn": lambda: PlanSampler(PLAN, rank=0, world=1, replacement=False),
    "batches": lambda: PlanBatchSampler(PlanSampler(PLAN, rank=0, world=1), 32),
    "torch": lambda: weighted(1),
    "torch batches": lambda: BatchSampler(weighted(2), 32, drop_last=False),
    "tensor": lambda: torch.from_numpy(PlanSampler(PLAN, rank=0, world=1).indices(0)),
    "list of tensors": lambda: list(torch.from_numpy(PlanSampler(PLAN, rank=0, world=1).indices(0))),
    "array": lambda: PlanSampler(PLAN, rank=0, world=1).indices(0),
    "list": lambda: PlanSampler(PLAN, rank=0, world=1).indices(0).tolist(),
    "ranks": lambda: [PlanSampler(PLAN, rank=rank, world=4) for rank in range(4)],
    "ranks in turn": lambda: [PlanSampler(PLAN, rank=rank, world=2, replacement=False) for rank in range(2)],
    "ranks as arrays": lambda: [PlanSampler(PLAN, rank=rank, world=2).indices(0) for rank in range(2)],
    "generator": lambda: map(int, PlanSampler(PLAN, rank=0, world=1).indices(0)),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_samplers_pass(name):
    found = preflight(GOOD[name](), LABELS, plan=PLAN, batch_size=32, strict=True)
    assert found.passed
    assert found.p_value > 1e-3
    np.testing.assert_allclose(found.drawn_rates, PLAN.expected_prevalence, rtol=0.08)
    assert found.distinct_expected == pytest.approx(PLAN.distinct_rows, rel=1e-6) or found.ranks > 1
    assert found.effective_expected == pytest.approx(PLAN.effective_sample_size)
    if "turn" not in name:
        assert found.distinct_drawn == pytest.approx(PLAN.distinct_rows, rel=0.03)
        assert found.effective_drawn == pytest.approx(PLAN.effective_sample_size, rel=0.1)
        # Batches without a positive: the formula and what was seen.
        error = 5 * np.sqrt(found.empty_expected * (1 - found.empty_expected) / found.batches) + 1e-3
        assert np.all(np.abs(found.empty_drawn - found.empty_expected) < error)


def shards(kind: str):
    for rank in range(2):
        rows = np.arange(rank, ROWS, 2) if kind == "strided" else np.arange(rank * ROWS // 2, (rank + 1) * ROWS // 2)
        yield Mapped(weighted(rank, WEIGHTS[rows], ROWS // 2), rows)


class Mapped:
    def __init__(self, sampler, rows):
        self.sampler, self.rows = sampler, rows

    def __iter__(self):
        return (int(self.rows[place]) for place in self.sampler)


class Frozen:
    """The same rows in every epoch, in another order or not."""

    def __init__(self, shuffled: bool):
        self.rows, self.shuffled, self.epoch = PlanSampler(PLAN, rank=0, world=1).indices(0), shuffled, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        order = np.random.default_rng(self.epoch if self.shuffled else 0).permutation(len(self.rows))
        return iter(self.rows[order].tolist())


SORTED = make_labels(grouped=True)


def one_row_each():
    """All weight of each label combination on its first row."""
    first = np.unique(PLAN.combination_codes, return_index=True)[1]
    weights = np.zeros(ROWS)
    weights[first] = PLAN.combination_weights * PLAN.combination_counts
    return weighted(0, torch.as_tensor(weights))


def inside(factors):
    """The planned share of each label combination, shared out among its rows by `factors`."""
    weights = PLAN.sample_weights * factors
    kept = np.bincount(PLAN.combination_codes, weights=weights)[PLAN.combination_codes]
    whole = np.bincount(PLAN.combination_codes, weights=PLAN.sample_weights)[PLAN.combination_codes]
    return torch.as_tensor(weights * np.divide(whole, kept, out=np.ones(ROWS), where=kept > 0))


def same_rows_shuffled():
    rows = PLAN_ROWS[: ROWS // 2]
    return [rows, np.random.default_rng(0).permutation(rows)]


PLAN_ROWS = PlanSampler(PLAN, rank=0, world=1).indices(0)
HALF = np.random.default_rng(4).random(ROWS) < 0.5
BROKEN = {
    "all weight on one class": (lambda: weighted(0, torch.as_tensor(LABELS.values[:, 2])), "plan", "weight is on Rare"),
    "labels shifted by one row": (lambda: weighted(0, WEIGHTS.roll(1)), "plan", "shifted against each other by 1 row:"),
    "labels shifted back": (lambda: weighted(0, WEIGHTS.roll(-1)), "plan", "shifted against each other by 1 row:"),
    "labels shifted by two": (lambda: weighted(0, WEIGHTS.roll(2)), "plan", "shifted against each other by 2 rows"),
    "inside each rank's shard": (lambda: list(shards("halves")), "ranks", "draws inside a shard of its own"),
    "inside strided shards": (lambda: list(shards("strided")), "ranks", "rank 0 draws one row in 2 only"),
    "shards of a distributed sampler": (
        lambda: [DistributedSampler(LABELS, 2, rank, shuffle=False) for rank in range(2)], "ranks", "shard of its own",
    ),
    "identical ranks": (lambda: [weighted(3), weighted(3)], "ranks", "Ranks 0 and 1 draw the same rows"),
    "no plan followed": (lambda: RandomSampler(LABELS, replacement=True), "plan", "ignores the plan"),
    "shuffle only": (lambda: RandomSampler(LABELS), "plan", "ignores the plan"),
    "weights of other rows": (
        lambda: weighted(0, WEIGHTS[torch.randperm(ROWS, generator=torch.Generator().manual_seed(5))]),
        "plan", "the weights belong to other rows",
    ),
    "without replacement": (lambda: weighted(0, draws=ROWS // 2, replacement=False), "repeats", "No row is drawn"),
    "out of range": (lambda: PlanSampler(PLAN, rank=0, world=1).indices(0) + 99, "rows", "no row of the table: it"),
    "epochs repeat": (lambda: Frozen(False), "epochs", "same rows in the same order"),
    "rows frozen": (lambda: Frozen(True), "epochs", "only their order changes"),
    "ranks of other shares": (
        lambda: [PlanSampler(PLAN, rank=0, world=2), RandomSampler(LABELS, replacement=True)],
        "ranks", "Ranks draw different shares",
    ),
    "one row of each combination": (one_row_each, "repeats", "fall on too few of the rows"),
    "half of the rows left out": (
        lambda: weighted(0, inside(HALF)), "repeats", "fall on too few of the rows",
    ),
    "the second half left out": (
        lambda: weighted(0, inside(np.arange(ROWS) < ROWS // 2)), "repeats", "Only rows 0 to 9,999",
    ),
    "every second row": (
        lambda: weighted(0, inside(np.arange(ROWS) % 2 == 0)), "repeats", "Only one row in 2 is drawn",
    ),
    "uneven inside combinations": (lambda: weighted(0, inside(0.5 + HALF), 4 * ROWS), "repeats", "too few of"),
    "made for half of the table": (
        lambda: PlanSampler(plan_sampling(LABELS.select(np.arange(ROWS // 2)), max_repeats=50), rank=0, world=1),
        "repeats", "Only rows 0 to 9,999 of the 20,000 are drawn",
    ),
    "an epoch of another length": (
        lambda: PlanSampler(PLAN, rank=0, world=1, draws=17_000), "repeats", "has 17,000 draws, the plan 20,000",
    ),
    "same rows on both ranks": (same_rows_shuffled, "ranks", "draw the same rows in another order"),
    "other plan": (
        lambda: PlanSampler(plan_sampling(LABELS, "uniform", strength=0.5), rank=0, world=1), "plan", "furthest off is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_planted_faults_are_named(name):
    sampler, check, cause = BROKEN[name]
    torch.manual_seed(0)
    found = preflight(sampler(), LABELS, plan=PLAN, batch_size=32)
    failed = {one.name: one.message for one in found.checks if one.passed is False}
    assert check in failed, found
    assert cause in failed[check]
    torch.manual_seed(0)
    with pytest.raises(PreflightError, match="Pre-flight failed"):
        preflight(sampler(), LABELS, plan=PLAN, batch_size=32, strict=True)


def test_the_message_of_a_fault_names_it_alone():
    for name in ("identical ranks", "epochs repeat"):
        found = preflight(BROKEN[name][0](), LABELS, plan=PLAN, batch_size=32)
        assert len(found.failures) == 1, found


def test_rows_sorted_by_label_are_found():
    found = preflight(np.arange(ROWS), SORTED, batch_size=32)
    assert "come in runs" in found.failures[0]
    assert preflight(np.arange(ROWS), LABELS, batch_size=32).passed


def test_distributed_samplers_are_no_shards():
    ranks = [DistributedSampler(LABELS, 2, rank, shuffle=True) for rank in range(2)]
    assert preflight(ranks, LABELS, batch_size=32).passed


def test_false_alarms_are_rare():
    failed = sum(
        not preflight(PlanSampler(PLAN, seed=seed, rank=0, world=1), LABELS, plan=PLAN, batch_size=32).passed
        for seed in range(40)
    )
    assert failed <= 1


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("replacement", [True, False])
def test_small_tables_and_weak_plans_raise_no_alarm(replacement, world):
    failed = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        for rows, strength in itertools.product((60, 500), (0.0, 0.01, 0.1, 0.5, 1.0)):
            values = (rng.random((rows, 3)) < [0.3, 0.1, 0.02]).astype(np.float32)
            values[:3] = np.eye(3)
            labels = Labels("multilabel", CLASSES, values, np.arange(rows))
            plan = plan_sampling(labels, strength=strength)
            stream = IndexStream(plan, seed=seed, replacement=replacement)
            found = preflight([RankStream(stream, rank, world) for rank in range(world)], labels, plan=plan,
                              batch_size=8, batches=1 + seed % 2 * 200)  # fmt: skip
            failed += [] if found.passed else [(seed, rows, strength, found.failures)]
    assert len(failed) <= 1, failed


@pytest.mark.parametrize("strength", [0.01, 0.1, 0.3])
def test_ranks_that_share_an_epoch_in_turn_are_no_shards(strength):
    values = (np.random.default_rng(0).random(10_000) < 0.003).astype(np.float32)
    labels = Labels("binary", ("x",), values, np.arange(10_000))
    plan = plan_sampling(labels, strength=strength)
    for seed in range(5):
        stream = IndexStream(plan, seed=seed, replacement=False)
        ranks = [stream.indices(0, rank, None, 2) for rank in range(2)]
        assert preflight(ranks, labels, plan=plan, batch_size=32, strict=True).passed


def test_one_process_of_several_may_be_looked_at_alone():
    assert preflight(PlanSampler(PLAN, rank=1, world=3), LABELS, plan=PLAN, batch_size=32).passed


def test_what_too_few_draws_cannot_show_is_not_called_passed():
    for drawn, batch_size in ((np.array([3]), 1), (PLAN_ROWS[:4], 32)):
        found = preflight(drawn, LABELS, plan=PLAN, batch_size=batch_size)
        assert [check.name for check in found.checks if check.passed] == ["rows"]
        assert "Passed: rows." in str(found)
        assert "plan (too few draws to compare with the plan)" in str(found)
        assert "nan" not in str(found) + str(found.class_rows())
    ranks = preflight([np.array([3]), np.array([4])], LABELS, plan=PLAN, batch_size=1)
    assert [check.name for check in ranks.checks if check.passed] == ["rows"]


def test_row_weights_of_another_maker():
    found = preflight(weighted(1), LABELS, plan=PLAN.sample_weights, batch_size=32)
    assert found.passed
    assert found.repeats_expected == pytest.approx(PLAN.repeats)
    assert found.effective_expected == pytest.approx(PLAN.effective_sample_size)


def set_to(sampler, *place):
    sampler.resume(*place)
    return sampler


class Uncopied:
    """A sampler that holds what cannot be copied, but has a state."""

    def __init__(self):
        self.inner, self.lock = set_to(PlanSampler(PLAN, rank=0, world=1), 3, 100), threading.Lock()
        self.state_dict, self.load_state_dict = self.inner.state_dict, self.inner.load_state_dict

    def __iter__(self):
        return iter(self.inner)


class Shuffling:
    """Shuffles its own rows in place."""

    def __init__(self):
        self.rows = PLAN_ROWS.copy()

    def __iter__(self):
        np.random.shuffle(self.rows)  # noqa: NPY002
        return iter(self.rows.tolist())


STANDING = {
    "plan": lambda: set_to(PlanSampler(PLAN, rank=0, world=1), 3, 100),
    "batches": lambda: set_to(PlanBatchSampler(PlanSampler(PLAN, rank=0, world=1), 32), 3, 100),
    "guaranteed": lambda: set_to(GuaranteedBatchSampler(PLAN, {"Rare": 1}, 32, rank=0, world=1), 3, 100),
    "own generator": lambda: weighted(1),
    "batches of a generator": lambda: BatchSampler(weighted(1), 32, drop_last=False),
    "global generator": lambda: RandomSampler(LABELS),
    "with state only": Uncopied,
    "shuffles in place": Shuffling,
}


@pytest.mark.parametrize("name", STANDING)
def test_a_sampler_stays_where_it_stands(name):
    found = []
    for looked_at in (False, True):
        sampler = STANDING[name]()
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        if looked_at:
            preflight(sampler, LABELS, batch_size=32)
        found.append([row for part in sampler for row in np.atleast_1d(part)])
    np.testing.assert_array_equal(*found)


def test_ranks_that_share_a_generator_are_not_taken_for_copies():
    generator = torch.Generator().manual_seed(0)
    ranks = [WeightedRandomSampler(WEIGHTS, ROWS // 2, generator=generator) for _ in range(2)]
    assert preflight(ranks, LABELS, plan=PLAN, batch_size=32).passed


def test_the_data_set_is_not_copied():
    class Data:
        def __len__(self):
            return ROWS

        def __getitem__(self, row):
            return row

        def __deepcopy__(self, memo):
            raise AssertionError

    assert preflight(BatchSampler(RandomSampler(Data()), 32, drop_last=False), LABELS).passed
    assert preflight(DistributedSampler(Data(), 1, 0), LABELS, batch_size=32).passed


class Endless:
    def __iter__(self):
        sampler = PlanSampler(PLAN, rank=0, world=1)
        return chain.from_iterable(sampler.indices(epoch).tolist() for epoch in range(10**9))


def test_long_and_endless_samplers_are_cut(monkeypatch):
    monkeypatch.setattr("equipoise.balance._draws._LONGEST", 5_000)
    found = preflight(Endless(), LABELS, plan=PLAN, batch_size=32, batches=200)
    assert found.draws == 6_400
    assert len(list(islice(Endless(), 3))) == 3


def test_a_generator_cannot_be_left_alone():
    with pytest.raises(ArgumentError, match="a generator .*would use it up. Give the sampler that makes it"):
        preflight((row for row in range(ROWS)), LABELS, batch_size=32)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_other_tasks_and_unknown_labels(task):
    values = np.where(np.random.default_rng(1).random(5_000) < 0.1, 1, 0).astype(np.float32)
    values[::50] = np.nan
    labels = Labels(task, ("yes",) if task == "binary" else ("no", "yes"), values, np.arange(5_000))
    plan = plan_sampling(labels)
    found = preflight(PlanSampler(plan, rank=0, world=1), labels, plan=plan, batch_size=16, strict=True)
    assert found.drawn_rates[-1] == pytest.approx(0.49, abs=0.02)
    assert "x" not in found.class_rows()


def test_stored_and_read_again():
    weights = class_weights(count_labels(LABELS), "sqrt")
    for sampler, plan in ((PlanSampler(PLAN, rank=0, world=1), PLAN), (np.arange(ROWS), None)):
        found = preflight(sampler, LABELS, plan=plan, batch_size=32, weights=weights)
        again = Preflight.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
        assert str(again) == str(found)
        assert again.to_dict() == found.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plan": np.ones(5)}, "weights for 20,000 rows of labels"),
        ({"plan": plan_sampling(make_labels(100))}, "a plan for 100 rows of"),
        ({"batch_size": None}, "needs `batch_size`"),
        ({"batch_size": 0}, "`batch_size` of preflight must be at least 1"),
        ({"sampler": []}, "got no sampler"),
        ({"sampler": iter(())}, "yields nothing"),
        ({"sampler": np.array([0.5])}, "must yield row numbers"),
        ({"plan": np.zeros(ROWS)}, "at least 0 and not all 0"),
        ({"plan": np.full(ROWS, np.inf)}, "must be finite, at least 0"),
        ({"plan": "uniform"}, "`plan` of preflight must be a SamplingPlan or one weight a row; got str"),
        ({"batch_size": 1.5}, "`batch_size` of preflight must be a whole number"),
        ({"batches": 1.5}, "`batches` of preflight must be a whole number"),
        ({"sampler": [2**70]}, "must yield row numbers"),
        ({"sampler": iter([2**70, 1])}, "must yield row numbers"),
        ({"sampler": np.array([2**63 + 1], np.uint64)}, "must yield row numbers"),
        ({"sampler": 5}, "must be row numbers or a sampler"),
    ],
)
def test_what_is_refused(change, message):
    given = {"sampler": np.arange(ROWS), "plan": None, "batch_size": 32} | change
    with pytest.raises(ArgumentError, match=message):
        inspect.unwrap(preflight)(given.pop("sampler"), LABELS, **given)
