"""Laws of sampling plans: optimality (KKT), agreement with a general convex solver, and what must change nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from equipoise.balance import HEURISTICS, SamplingPlan, plan_heuristic, plan_sampling
from equipoise.balance._combinations import combine_labels
from equipoise.balance._solver import Goal, solve, solve_softly
from equipoise.balance._targets import read_target
from equipoise.balance.sampling import make_goal
from equipoise.labels import Labels

brief = settings(deadline=None, max_examples=40)


def labelled(table: np.ndarray, task: str = "multilabel") -> Labels:
    classes = tuple(f"c{number}" for number in range(table.shape[1]))
    return Labels(task, classes, table.astype(np.float32), np.arange(len(table)))


@st.composite
def tables(draw, unknown: bool = False, most_classes: int = 5):
    """Small multilabel tables in which every class has a positive, some with unknown labels."""
    classes = draw(st.integers(2, most_classes))
    rows = draw(st.integers(8, 60))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    table = (rng.random((rows, classes)) < rng.uniform(0.05, 0.7, classes)).astype(np.float32)
    if unknown:
        table[rng.random(table.shape) < 0.15] = np.nan
    assume(np.all(np.nansum(table, axis=0) > 0))
    return table


caps = st.sampled_from([None, 1.0, 1.5, 2.0, 3.0, 5.0, 20.0])
negative_choices = st.sampled_from([None, "free", 0.3])


def plan_of(table, target="uniform", **settings_) -> SamplingPlan:
    try:
        return plan_sampling(labelled(table), target, **settings_)
    except ValueError as error:  # a share without findings that no weights can have
        assume("negatives_share" not in str(error) and "without a finding" not in str(error))
        raise


def goal_of(table, cap, negatives="kept", target="uniform") -> Goal:
    labels = labelled(table)
    found = combine_labels(labels)
    wanted = read_target(target, 1.0, labels.task, labels.classes, found, "labels")
    without = float(found.counts @ ~(found.labels == 1).any(axis=1)) / len(labels)
    held = without if negatives == "kept" and 0 < without < 1 else None
    return make_goal(found, wanted, held, np.inf if cap is None else cap)[0]


# --- optimality


@brief
@given(table=tables(unknown=True), cap=caps, negatives=st.sampled_from(["kept", "free"]))
def test_karush_kuhn_tucker_conditions_hold(table, cap, negatives):
    """Stationarity of every weight, feasibility, complementary slackness, and no multiplier of the cap below zero."""
    goal = goal_of(table, cap, negatives)
    solution = solve(goal)
    score = goal.wanted @ solution.dual + solution.offsets[goal.groups]
    multiplier = np.maximum(0.0, score - np.log(goal.cap))  # of r <= cap
    np.testing.assert_allclose(np.exp(score - multiplier), solution.ratios, rtol=1e-9, atol=1e-300)
    assert np.all(solution.ratios <= goal.cap * (1 + 1e-12))
    slackness = np.where(multiplier > 0, goal.cap - solution.ratios, 0.0)
    assert np.all(np.abs(slackness) <= 1e-9 * solution.ratios.max())
    drawn = goal.masses * solution.ratios
    np.testing.assert_allclose(drawn @ held(goal), goal.level, atol=1e-9)
    if solution.reached:
        np.testing.assert_allclose(drawn @ goal.wanted, 0.0, atol=1e-8)


def held(goal: Goal) -> np.ndarray:
    """One column a group, whose mass always holds."""
    return (goal.groups[:, None] == np.arange(len(goal.level))).astype(float)


def general_solver(goal: Goal, start: np.ndarray):
    """The same problem for scipy's SLSQP, in the masses drawn of each combination."""
    from scipy.optimize import minimize

    mass = goal.masses

    def divergence(drawn):
        drawn = np.maximum(drawn, 1e-300)
        return float(np.sum(drawn * np.log(drawn / mass)))

    def slope(drawn):
        return np.log(np.maximum(drawn, 1e-300) / mass) + 1.0

    # One of the conditions on shares follows from the others; a solver of dense systems stumbles over it.
    left, size, _ = np.linalg.svd(np.hstack([goal.wanted, held(goal)]).T, full_matrices=False)
    keep = left[:, size > 1e-10 * size[0]]
    conditions = keep.T @ np.hstack([goal.wanted, held(goal)]).T
    level = keep.T @ np.concatenate([np.zeros(goal.wanted.shape[1]), goal.level])
    return minimize(
        divergence, start, jac=slope, method="SLSQP",
        bounds=[(1e-14, None if np.isinf(goal.cap) else goal.cap * m) for m in mass],
        constraints=[{"type": "eq", "fun": lambda d: conditions @ d - level, "jac": lambda d: conditions}],
        options={"maxiter": 1000, "ftol": 1e-14},
    )  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(table=tables(most_classes=4), cap=caps, negatives=st.sampled_from(["kept", "free"]))
def test_a_general_convex_solver_finds_no_better_weights(table, cap, negatives):
    goal = goal_of(table, cap, negatives)
    solution = solve(goal)
    assume(solution.reached)
    found = general_solver(goal, goal.masses.copy())
    assume(found.success)
    ours = goal.masses * solution.ratios
    positive = ours > 0
    divergence = float(np.sum(ours[positive] * np.log(solution.ratios[positive])))
    assert divergence <= found.fun + 1e-7
    np.testing.assert_allclose(ours, found.x, atol=2e-4)


@settings(deadline=None, max_examples=30)
@given(table=tables(most_classes=4), cap=st.sampled_from([1.1, 1.3, 1.6, 2.0]))
def test_where_the_target_is_out_of_reach_no_weights_have_a_smaller_gap(table, cap):
    from scipy.optimize import lsq_linear

    goal = goal_of(table, cap)
    solution = solve(goal, slack=0.0)
    # Least squares with bounds; the conditions that always hold weigh a million times as much.
    design = np.vstack([goal.wanted.T, 1e6 * held(goal).T])
    level = np.concatenate([np.zeros(goal.wanted.shape[1]), 1e6 * goal.level])
    nearest = lsq_linear(design, level, bounds=(0.0, goal.cap * goal.masses), tol=1e-14)
    least = float(np.linalg.norm(goal.wanted.T @ nearest.x))
    assert solution.gap <= least + 1e-5
    softer = solve(goal)
    if solution.gap > 1e-6:
        assert not softer.reached
        assert solution.gap - 1e-6 <= softer.gap <= solution.gap + 0.0101
    divergence = [
        float(np.nansum(goal.masses * found.ratios * np.log(np.maximum(found.ratios, 1e-300))))
        for found in (solution, softer)
    ]
    assert divergence[1] <= divergence[0] + 1e-6


@brief
@given(table=tables(), stiffness=st.sampled_from([0.1, 1.0, 10.0]), other=st.integers(0, 2**32 - 1))
def test_a_soft_solution_is_the_least_of_divergence_and_gap_together(table, stiffness, other):
    goal = goal_of(table, None, "free")
    solution = solve_softly(goal, stiffness)

    def cost(ratios):
        drawn = goal.masses * ratios
        return float(drawn @ np.log(ratios)) + 0.5 * stiffness * float(np.sum((drawn @ goal.wanted) ** 2))

    rng = np.random.default_rng(other)
    moved = solution.ratios * np.exp(0.05 * rng.normal(size=len(goal.masses)))
    moved /= goal.masses @ moved
    assert cost(solution.ratios) <= cost(moved) + 1e-12


# --- what the plan promises


@brief
@given(table=tables(unknown=True), cap=caps, negatives=negative_choices)
def test_weights_sum_to_one_and_keep_the_cap_and_the_negatives(table, cap, negatives):
    plan = plan_of(table, max_repeats=cap, negatives_share=negatives)
    weights = plan.sample_weights
    assert weights.shape == (len(table),)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    if cap is not None:
        assert plan.repeats <= cap * (1 + 1e-9)
    if negatives is None:
        assert plan.negatives_share == pytest.approx(plan.natural_negatives_share, abs=1e-8)
    if negatives == 0.3 and 0 < plan.natural_negatives_share < 1:
        assert plan.negatives_share == pytest.approx(0.3, abs=1e-8)
    positives = np.nansum(weights[:, None] * table, axis=0)
    np.testing.assert_allclose(plan.shares, positives / positives.sum(), atol=1e-9)
    known = (weights[:, None] * ~np.isnan(table)).sum(axis=0)
    np.testing.assert_allclose(plan.expected_prevalence, positives / known, atol=1e-9)
    assert plan.effective_sample_size == pytest.approx(1 / (len(table) * np.sum(weights**2)), rel=1e-9)
    if plan.reached:
        assert plan.variation <= 1e-6


@brief
@given(table=tables(unknown=True), cap=caps)
def test_strength_zero_is_natural_and_one_is_the_target(table, cap):
    natural = plan_of(table, strength=0.0, max_repeats=cap)
    np.testing.assert_allclose(natural.sample_weights, 1 / len(table), rtol=1e-7)
    np.testing.assert_allclose(plan_of(table, "natural", max_repeats=cap).sample_weights, 1 / len(table), rtol=1e-7)
    assert natural.reached
    full, said = plan_of(table, max_repeats=cap), plan_of(table, strength=1.0, max_repeats=cap)
    np.testing.assert_array_equal(full.sample_weights, said.sample_weights)


@brief
@given(table=tables(), low=st.floats(0, 1), high=st.floats(0, 1))
def test_more_strength_is_never_nearer_to_natural(table, low, high):
    low, high = sorted((low, high))
    gentle, harsh = (plan_of(table, strength=strength, max_repeats=None) for strength in (low, high))
    assume(harsh.reached and gentle.reached)
    assert gentle.divergence <= harsh.divergence + 1e-9


# --- what must change nothing


@brief
@given(table=tables(unknown=True), cap=caps, seed=st.integers(0, 2**32 - 1), name=st.sampled_from([None, *HEURISTICS]))
def test_permuting_rows_and_classes_permutes_the_plan(table, cap, seed, name):
    rng = np.random.default_rng(seed)
    rows, classes = rng.permutation(len(table)), rng.permutation(table.shape[1])

    def make(values):
        return plan_heuristic(labelled(values), name) if name else plan_of(values, max_repeats=cap)

    plan, moved = make(table), make(table[rows][:, classes])
    np.testing.assert_allclose(moved.sample_weights, plan.sample_weights[rows], rtol=2e-4, atol=1e-9)
    np.testing.assert_allclose(moved.shares, plan.shares[classes], atol=1e-5)
    np.testing.assert_allclose(moved.log_odds_shift, plan.log_odds_shift[classes], rtol=2e-3, atol=2e-3)


@brief
@given(table=tables(unknown=True), cap=caps, times=st.integers(2, 4), name=st.sampled_from([None, *HEURISTICS]))
def test_writing_every_row_several_times_changes_nothing(table, cap, times, name):
    def make(values):
        return plan_heuristic(labelled(values), name) if name else plan_of(values, max_repeats=cap)

    once, often = make(table), make(np.repeat(table, times, axis=0))
    # n_0 of the heuristics is at least one, so that it can be divided by; with such a row it is what it is.
    np.testing.assert_allclose(often.sample_weights[::times] * times, once.sample_weights, rtol=1e-5, atol=1e-9)
    assert often.effective_sample_size == pytest.approx(once.effective_sample_size, rel=1e-5)
    assert often.repeats == pytest.approx(once.repeats, rel=1e-5)


@brief
@given(table=tables(unknown=True), cap=caps)
def test_a_plan_survives_a_round_trip(table, cap):
    plan = plan_of(table, max_repeats=cap)
    again = SamplingPlan.from_dict(json.loads(json.dumps(plan.to_dict(), allow_nan=False)))
    assert again == plan
    np.testing.assert_array_equal(again.log_odds_shift, plan.log_odds_shift)
    order = np.random.default_rng(0).permutation(len(table))
    rows = again.with_rows(labelled(table[order]))
    np.testing.assert_array_equal(rows.sample_weights, plan.sample_weights[order])


# --- the log-odds shift


@brief
@given(table=tables())
def test_without_cap_and_with_free_negatives_the_dual_is_the_shift(table):
    plan = plan_of(table, max_repeats=None, negatives_share="free")
    assume(plan.reached and plan.combination_weights.min() > 1e-9 / plan.rows)
    assert plan.shift_quality == 1.0
    ratio = np.log(plan.sample_weights * plan.rows)
    left = ratio - table @ plan.log_odds_shift
    np.testing.assert_allclose(left, left[0], atol=1e-6)
    # Two classes that always stand together share their shift in any way: the weights are what is determined.
    np.testing.assert_allclose(table @ plan.dual - (table @ plan.dual)[0], ratio - ratio[0], atol=1e-6)


def test_one_of_many_is_the_easy_case():
    counts = np.array([700, 200, 90, 10])
    values = np.repeat(np.arange(4), counts).astype(np.float32)
    for task in ("multiclass", "ordinal"):
        labels = Labels(task, ("a", "b", "c", "d"), values, np.arange(1000))
        plan = plan_sampling(labels, max_repeats=None)
        expected = 1 / (4 * counts[values.astype(int)])
        np.testing.assert_allclose(plan.sample_weights, expected, rtol=1e-7)
        np.testing.assert_allclose(plan.log_odds_shift, np.log(1000 / (4 * counts)), rtol=1e-7)
        assert plan.kind == "class_weight"
        assert plan.shift_quality == 1.0
        np.testing.assert_allclose(
            plan.sample_weights, plan_heuristic(labels, "inverse_frequency").sample_weights, rtol=1e-7
        )


# --- stabilised plans


@brief
@given(table=tables(unknown=True), cap=caps, seed=st.integers(0, 2**32 - 1), heuristic=st.sampled_from(["", "max"]))
def test_a_stabilised_plan_shifts_the_odds_of_every_input_by_one_number_a_class(table, cap, seed, heuristic):
    """However the labels hang together given the input: rows are dealt to cells (inputs) at random, and the odds of
    each class among the weighted draws of a cell are those of its rows times one factor, the same in every cell."""
    labels = labelled(table)
    plan = plan_heuristic(labels, heuristic) if heuristic else plan_of(table, max_repeats=cap)
    plan = plan.stabilise(1e12)
    assume(plan.shift_quality == 1.0)
    cells = np.random.default_rng(seed).integers(0, 3, len(table))
    mass = plan.sample_weights[:, None] * plan.entry_weights.astype(np.float64)
    for cell in range(3):
        inside = cells == cell
        for place in range(table.shape[1]):
            sides = [inside & (table[:, place] == side) for side in (0, 1)]
            if all(side.any() for side in sides):
                weighed = [mass[side, place].sum() for side in sides]
                factor = (weighed[1] / weighed[0]) / (sides[1].sum() / sides[0].sum())
                assert np.log(factor) == pytest.approx(plan.log_odds_shift[place], abs=1e-4)


@brief
@given(table=tables(unknown=True), limit=st.floats(1.01, 30.0))
def test_stabilising_leaves_how_often_each_class_is_drawn_as_planned(table, limit):
    plan = plan_of(table)
    stabilised = plan.stabilise(limit)
    mass = plan.sample_weights[:, None] * stabilised.entry_weights
    for side in (0, 1):
        drawn = ((table == side) * plan.sample_weights[:, None]).sum(axis=0)
        np.testing.assert_allclose((mass * (table == side)).sum(axis=0), drawn, rtol=1e-5)
    np.testing.assert_array_equal(stabilised.sample_weights, plan.sample_weights)
    again = SamplingPlan.from_dict(json.loads(json.dumps(stabilised.to_dict())))
    assert again == stabilised
    assert again.shift_quality == stabilised.shift_quality


@brief
@given(table=tables(unknown=True), limit=st.floats(1.01, 30.0), heuristic=st.sampled_from(["", "max", "mean"]))
def test_no_stabilising_weight_is_above_the_limit(table, limit, heuristic):
    plan = plan_heuristic(labelled(table), heuristic) if heuristic else plan_of(table)
    assert plan.stabilise(limit).combination_entry_weights.max() <= limit * (1 + 1e-9)


@brief
@given(table=tables(unknown=True), seed=st.integers(0, 2**32 - 1), heuristic=st.sampled_from(["", "max"]))
def test_one_shift_holds_for_any_rows_of_a_stabilised_plan(table, seed, heuristic):
    """Members of a cross-fitting take some of the rows each; the odds of each class among these are multiplied by the
    number of the whole plan."""
    labels = labelled(table)
    plan = (plan_heuristic(labels, heuristic) if heuristic else plan_of(table)).stabilise(1e12)
    assume(plan.shift_quality == 1.0)
    rows = np.flatnonzero(np.random.default_rng(seed).random(len(table)) < 0.7)
    assume(len(rows))
    part = plan.for_rows(rows)
    assert part.log_odds_shift.tolist() == plan.log_odds_shift.tolist()
    mass = part.sample_weights[:, None] * part.entry_weights.astype(np.float64)
    for place in range(table.shape[1]):
        sides = [table[rows, place] == side for side in (0, 1)]
        if all(side.any() for side in sides):
            weighed = [mass[side, place].sum() for side in sides]
            factor = (weighed[1] / weighed[0]) / (sides[1].sum() / sides[0].sum())
            assert np.log(factor) == pytest.approx(plan.log_odds_shift[place], abs=1e-4)
    again = SamplingPlan.from_dict(json.loads(json.dumps(part.to_dict()))).with_rows(labels.select(rows))
    np.testing.assert_array_equal(again.entry_weights, part.entry_weights)


@brief
@given(table=tables(), seed=st.integers(0, 2**32 - 1))
def test_stabilising_weights_follow_the_classes(table, seed):
    order = np.random.default_rng(seed).permutation(table.shape[1])
    plain, permuted = (plan_of(one).stabilise() for one in (table, table[:, order]))
    np.testing.assert_allclose(permuted.entry_weights, plain.entry_weights[:, order], rtol=1e-3)


def test_rows_of_one_class_each_have_nothing_to_stabilise():
    plan = plan_sampling(Labels("binary", ("ill",), np.array([0, 0, 1], np.float32), np.arange(3)))
    assert plan.stabilise() is plan
    assert (plan.entry_weights == 1.0).all()
    with pytest.raises(ValueError, match="`limit` of SamplingPlan.stabilise must be above 1"):
        plan.stabilise(1.0)
