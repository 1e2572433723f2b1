"""Index streams: the planned shares, exact counts without replacement, any part by itself."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise._checks import ArgumentError
from equipoise._counter import permuted, random_units, random_words
from equipoise.samplers import IndexStream
from equipoise.samplers._alias import alias_table
from equipoise.samplers.stream import group_rows
from samplers.plans import chi_square_p, make_plan


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=40).filter(lambda p: sum(p) > 1e-3))
def test_alias_table_is_exact(weights):
    weights = np.array(weights)
    table = alias_table(weights)
    np.testing.assert_allclose(table.probabilities, weights / weights.sum(), atol=1e-12)
    drawn = table.draw(np.linspace(0, 1, 10_001)[:-1])
    assert np.all(weights[drawn] > 0)


def test_random_words_are_those_of_splitmix64():
    # Vigna, https://prng.di.unimi.it/splitmix64.c, seed 1234567
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert random_words(1234567, np.arange(4)).tolist() == expected


def test_units_are_uniform_and_streams_are_not_correlated():
    one, two = (random_units(key, np.arange(200_000)) for key in (1, 2))
    assert chi_square_p(np.bincount((one * 1000).astype(int), minlength=1000), np.full(1000, 200.0)) > 1e-3
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.01
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.01


@given(st.integers(1, 40_000), st.integers(0, 2**64 - 1))
@settings(max_examples=50)
def test_permutation_of_any_size(size, key):
    assert sorted(permuted(np.arange(size), size, key).tolist()) == list(range(size))


@pytest.mark.parametrize("size", [3, 5, 8])
def test_permutations_of_few_are_even(size):
    seen = np.zeros((size, size), int)
    pairs = np.zeros((size, size), int)
    for key in range(4_000):
        found = permuted(np.arange(size), size, key * 7919)
        seen[np.arange(size), found] += 1
        pairs[found[0], found[1]] += 1
    assert chi_square_p(seen.reshape(-1), np.full(size * size, 4_000 / size)) > 1e-3
    off = ~np.eye(size, dtype=bool)
    assert chi_square_p(pairs[off], np.full(size * (size - 1), 4_000 / size / (size - 1))) > 1e-3


@given(st.lists(st.integers(0, 6), min_size=1, max_size=200))
def test_rows_are_grouped_in_order(codes):
    codes = np.array(codes, np.int32)
    counts = np.bincount(codes, minlength=7)
    members, starts = group_rows(codes, counts)
    np.testing.assert_array_equal(members, np.argsort(codes, kind="stable"))
    assert starts[3] == counts[:3].sum()


def test_rows_are_grouped_block_by_block(monkeypatch):
    monkeypatch.setattr("equipoise.samplers.stream._ROWS_AT_ONCE", 7)
    codes = np.random.default_rng(0).integers(0, 5, 100).astype(np.int32)
    members, _ = group_rows(codes, np.bincount(codes, minlength=5))
    np.testing.assert_array_equal(members, np.argsort(codes, kind="stable"))


@pytest.mark.parametrize("seed", range(3))
def test_shares_of_two_thousand_batches_are_those_of_the_plan(seed):
    plan = make_plan()
    rows = IndexStream(plan, seed=seed).indices(0, stop=2_000 * 32)
    drawn = np.bincount(plan.combination_codes[rows], minlength=len(plan.shares))
    assert chi_square_p(drawn, plan.shares * len(rows)) > 1e-3
    each = np.bincount(rows, minlength=len(plan.combination_codes))
    assert chi_square_p(each, plan.sample_weights * len(rows)) > 1e-3


def test_any_part_of_any_epoch_by_itself():
    for replacement in (True, False):
        stream = IndexStream(make_plan(), seed=5, replacement=replacement)
        whole = stream.indices(3)
        assert whole.dtype == np.int64
        for start, stop in ((0, 1), (17, 900), (1_999, 2_000), (5, 5)):
            np.testing.assert_array_equal(stream.indices(3, start, stop), whole[start:stop])
        np.testing.assert_array_equal(stream.indices(3, 2, None, 3), whole[2::3])
        np.testing.assert_array_equal(np.concatenate(list(stream.chunks(3, 300))), whole)


def test_epochs_and_seeds_differ():
    plan = make_plan()
    for replacement in (True, False):
        found = [
            IndexStream(plan, seed=seed, replacement=replacement).indices(epoch)
            for seed, epoch in itertools.product(range(3), range(3))
        ]
        for one, two in itertools.combinations(found, 2):
            assert np.mean(one == two) < 0.05


@given(st.integers(1, 400), st.integers(1, 3_000), st.integers(0, 50))
@settings(max_examples=40)
def test_without_replacement_each_row_is_drawn_floor_or_ceil(rows, draws, epoch):
    plan = make_plan(rows + 4, draws=draws)
    found = IndexStream(plan, seed=1, replacement=False).indices(epoch)
    each = np.bincount(found, minlength=rows + 4)
    expected = plan.sample_weights * draws
    assert len(found) == draws
    assert np.all(each >= np.floor(expected + 1e-9)) or np.allclose(each, expected)
    assert np.all(each <= np.ceil(expected - 1e-9))


def test_without_replacement_the_natural_plan_is_a_permutation():
    plan = make_plan()
    natural = replace(plan, combination_weights=np.full(len(plan.shares), 1 / 2_000))
    found = IndexStream(natural, seed=1, replacement=False).indices(4)
    assert sorted(found.tolist()) == list(range(2_000))


def test_rows_left_out_of_an_epoch_come_first_in_the_next():
    plan = make_plan(draws=500)  # the commonest rows are drawn less than once in four epochs
    stream = IndexStream(plan, seed=2, replacement=False)
    for epochs in (5, 20, 40):
        each = sum(np.bincount(stream.indices(epoch), minlength=2_000) for epoch in range(epochs))
        expected = plan.sample_weights * plan.draws * epochs
        assert np.max(np.abs(each - expected)) < 3.0


@pytest.mark.parametrize("size", [1, 2, 3, 40])
@pytest.mark.parametrize("share", [0.5, 0.3, 0.07])
def test_rows_of_small_groups_are_all_seen_soon(size, share):
    rows = 64 * size
    plan = replace(
        make_plan(), combination_codes=np.repeat(np.arange(64, dtype=np.int32), size),
        combination_counts=np.full(64, size), combination_weights=np.full(64, 1 / rows), draws=round(share * rows),
    )  # fmt: skip
    rate = plan.draws / rows
    for seed in range(10):
        stream, seen, epochs = IndexStream(plan, seed=seed, replacement=False), set(), 0
        while len(seen) < rows:
            seen |= set(stream.indices(epochs).tolist())
            epochs += 1
        assert epochs <= np.ceil((1 + 1.7 / size) / rate)


def test_a_late_epoch_by_itself():
    stream = IndexStream(make_plan(draws=777), seed=5, replacement=False)
    several = [stream.indices(epoch) for epoch in range(30)]
    again = IndexStream(make_plan(draws=777), seed=5, replacement=False)
    for epoch in (29, 3, 17):
        np.testing.assert_array_equal(again.indices(epoch), several[epoch])
    assert len(again.indices(1_000_000)) == 777


def test_permuting_rows_permutes_the_draws_in_distribution():
    plan = make_plan()
    order = np.random.default_rng(0).permutation(2_000)
    turned = replace(plan, combination_codes=plan.combination_codes[order])
    for replacement in (True, False):
        rows = IndexStream(plan, seed=0, replacement=replacement).indices(0)
        moved = order[IndexStream(turned, seed=0, replacement=replacement).indices(0)]
        # The same combination at every draw; which of its rows depends on their order.
        np.testing.assert_array_equal(plan.combination_codes[rows], plan.combination_codes[moved])


def test_weight_zero_is_removal():
    plan = make_plan()
    weights = plan.combination_weights.copy()
    weights[0] = 0
    for replacement in (True, False):
        stream = IndexStream(replace(plan, combination_weights=weights), replacement=replacement)
        assert not np.any(plan.combination_codes[stream.indices(0)] == 0)


def test_beyond_two_to_the_24_rows():
    rows = (1 << 24) + 5
    codes = np.zeros(rows, np.int32)
    codes[-5:] = 1
    plan = replace(
        make_plan(), combination_codes=codes, combination_counts=np.array([rows - 5, 5]),
        combination_weights=np.array([0.5 / (rows - 5), 0.1]), draws=1000,
    )  # fmt: skip
    found = IndexStream(plan).indices(0)
    assert np.sum(found >= rows - 5) == pytest.approx(500, abs=80)
    assert len(np.unique(found[found >= rows - 5])) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"combination_weights": np.ones(2)}, "counts and 2 weights"),
        ({"combination_codes": np.zeros(2_000, np.int32)}, "was it made for other labels"),
        ({"combination_codes": np.full(2_000, 99, np.int32)}, "a row has code 99"),
        ({"draws": 0}, "`draws` of IndexStream must be at least 1"),
    ],
)
def test_bad_plans(change, message):
    with pytest.raises(ArgumentError, match=message):
        IndexStream(replace(make_plan(), **change))


def test_bad_weights_and_places():
    plan = make_plan()
    with pytest.raises(ArgumentError, match="finite, not negative and not all 0"):
        IndexStream(replace(plan, combination_weights=-plan.combination_weights))
    with pytest.raises(ArgumentError, match="must be at least 0"):
        IndexStream(plan).indices(-1)


def test_permutations_of_many_are_even():
    size = 10_007
    found = np.array([permuted(np.arange(0, size, 97), size, key) for key in range(300)])
    assert chi_square_p(np.bincount(found.reshape(-1) * 100 // size), np.full(100, found.size / 100)) > 1e-3
    steps = np.diff(found, axis=1) % size  # neighbours go anywhere
    assert chi_square_p(np.bincount(steps.reshape(-1) * 100 // size), np.full(100, steps.size / 100)) > 1e-3
