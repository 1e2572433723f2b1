"""Sampling plans: what they reach on real labels, the heuristics by hand, the ledger, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

import equipoise as eq
from equipoise.balance import HEURISTICS, SamplingPlan, frontier, plan_heuristic, plan_sampling
from equipoise.labels import Labels


def labelled(rows, task="multilabel", classes=None) -> Labels:
    values = np.asarray(rows, np.float32)
    if classes is None:
        count = values.shape[1] if values.ndim == 2 else int(np.nanmax(values)) + 1
        classes = ("stroke",) if task == "binary" else tuple("abcdefgh"[:count])
    return Labels(task, classes, values, np.arange(len(values)))


@pytest.fixture
def small() -> Labels:
    """Ten rows: 4 x a, 1 x b, 1 x both, 4 without a finding."""
    return labelled([[1, 0]] * 4 + [[0, 1]] + [[1, 1]] + [[0, 0]] * 4)


@pytest.fixture(scope="module")
def chest_xrays():
    from conftest import _SHARED

    path = _SHARED / "nih-chestxray14-labels" / "Data_Entry_2017_v2020.csv.gz"
    if not path.exists():
        pytest.skip(f"real data is not at {path}")
    return eq.read_labels(path, "Finding Labels", separator="|", groups="Patient ID", ids="Image Index")


# --- real labels


@pytest.mark.parametrize(
    ("cap", "variation", "effective"), [(50, 0.01, 0.31), (20, 0.06, 0.40), (None, 0.001, 0.31)]
)  # fmt: skip
def test_uniform_shares_of_fourteen_findings(chest_xrays, cap, variation, effective):
    plan = eq.plan_sampling(chest_xrays, "uniform", max_repeats=cap)
    assert plan.variation <= variation
    assert plan.effective_sample_size >= effective
    assert plan.reached
    if cap is not None:
        assert plan.repeats <= cap * (1 + 1e-9)
    assert plan.negatives_share == pytest.approx(60_361 / 112_120)
    assert len(plan.combination_counts) == 801
    assert plan.combination_codes is not None
    assert plan.combination_codes.dtype == np.int32


def test_natural_shares_and_samplers_in_use_measure_as_they_did(chest_xrays):
    """The coefficient of variation is that of the population: divided by the number of classes."""
    assert plan_sampling(chest_xrays, "natural").variation == pytest.approx(0.916, abs=5e-4)
    worst, mended = plan_heuristic(chest_xrays, "max"), plan_heuristic(chest_xrays, "mean")
    assert worst.variation == pytest.approx(0.420, abs=5e-4)
    assert worst.effective_sample_size == pytest.approx(0.15, abs=5e-3)
    assert mended.variation == pytest.approx(0.356, abs=5e-4)
    assert mended.effective_sample_size == pytest.approx(0.25, abs=5e-3)
    assert mended.repeats == pytest.approx(43, abs=0.5)


def test_no_heuristic_lies_above_the_frontier(chest_xrays):
    table = frontier(chest_xrays)
    assert {point.method for point in table.heuristics} == set(HEURISTICS)
    assert table.above() == ()
    free = frontier(chest_xrays, negatives_share="free", caps=(None, 20))
    assert free.above() == ()
    assert json.loads(json.dumps(table.to_dict(), allow_nan=False))["above"] == []
    assert str(table).count("\n") == len(table.points)


def test_a_cap_of_five_is_out_of_reach_and_says_so(chest_xrays):
    plan = plan_sampling(chest_xrays, max_repeats=5)
    assert not plan.reached
    assert plan.repeats == pytest.approx(5)
    assert plan.variation < 0.21
    text = str(plan)
    assert "cannot be met with at most 5 draws of a row and 53.8 % of the draws without a finding; this is" in text
    assert "Hernia 0.0" in text
    # Nearest, but not by dropping rows: all but one in a hundred still have a chance.
    dropped = plan.combination_weights * plan.rows < 1e-3
    assert plan.combination_counts[dropped].sum() < 0.011 * plan.rows


# --- by hand


def test_two_classes_by_hand(small):
    """Uniform shares ask for as many a as b: r_a 4 = r_b 1, with 6 findings' mass kept: r = exp(l), exp(-l), 1 of x."""
    plan = plan_sampling(small, max_repeats=None)
    weights = plan.sample_weights
    assert weights[0] * 4 == pytest.approx(weights[4])
    assert weights[6:].sum() == pytest.approx(0.4)
    assert weights[0] * weights[4] == pytest.approx(weights[5] ** 2)  # the log weight is a sum over labels
    assert plan.shares.tolist() == pytest.approx([0.5, 0.5])
    assert plan.natural_shares.tolist() == pytest.approx([5 / 7, 2 / 7])
    assert plan.prevalence.tolist() == pytest.approx([0.5, 0.2])


def test_a_target_that_only_rows_never_drawn_can_meet_is_not_called_out_of_reach():
    """Rows of the first class alone meet it, with weights of 0 for all others."""
    table = np.ones((300, 2))
    table[58:, 0] = 0
    plan = plan_sampling(labelled(table))
    assert not plan.reached
    assert plan.least_gap == 0.0
    assert plan.sample_weights.min() > 0
    assert "cannot be met with at most 20 draws of a row unless some rows are never drawn" in str(plan)
    assert "near it with every row drawn" in str(plan)
    assert SamplingPlan.from_dict(plan.to_dict()) == plan
    impossible = plan_sampling(labelled(table), max_repeats=2)
    assert impossible.least_gap > 0.1
    assert "cannot be met with at most 2 draws of a row; this is the nearest" in str(impossible)


def test_prevalences_can_be_asked_for_some_classes(small):
    plan = plan_sampling(small, {"prevalence": {"b": 0.4}}, negatives_share="free")
    assert plan.expected_prevalence[1] == pytest.approx(0.4)
    assert np.isnan(plan.wanted[0])
    # Rows without b keep their proportions, and so do rows with it.
    weights = plan.sample_weights
    assert weights[4] == pytest.approx(weights[5])
    assert weights[0] == pytest.approx(weights[9])
    assert plan.log_odds_shift[1] == pytest.approx(np.log(0.4 / 0.6) - np.log(0.2 / 0.8))
    assert plan.dual[1] == pytest.approx(plan.log_odds_shift[1])


def test_negatives_are_kept_set_or_free(small):
    assert plan_sampling(small).negatives_share == pytest.approx(0.4)
    assert plan_sampling(small, negatives_share=0.1).negatives_share == pytest.approx(0.1)
    assert plan_sampling(small, negatives_share=0.0).negatives_share == 0.0
    free = plan_sampling(small, negatives_share="free")
    assert free.divergence < plan_sampling(small).divergence
    assert free.effective_sample_size > plan_sampling(small).effective_sample_size
    half = plan_sampling(small, negatives_share=0.1, strength=0.5)
    assert half.negatives_share == pytest.approx(0.25)


def test_binary_and_its_strengths():
    labels = labelled([0] * 90 + [1] * 10, task="binary")
    plan = plan_sampling(labels)
    assert plan.expected_prevalence[0] == pytest.approx(0.5)
    assert plan.variation == pytest.approx(0.0, abs=1e-9)
    assert plan.log_odds_shift[0] == pytest.approx(np.log(9))
    assert plan.kind == "pos_weight"
    half = plan_sampling(labels, strength=0.5)
    assert half.log_odds_shift[0] == pytest.approx(0.5 * np.log(9))
    assert plan_sampling(labels, {"stroke": 0.2}).expected_prevalence[0] == pytest.approx(0.2)


def test_shares_given_for_every_class(small):
    plan = plan_sampling(small, {"a": 0.6, "b": 0.4})
    assert plan.shares.tolist() == pytest.approx([0.6, 0.4])
    same = plan_sampling(small, {"shares": {"a": 0.6, "b": 0.4}})
    assert same.sample_weights.tolist() == plan.sample_weights.tolist()


def test_fewer_draws_than_rows_raise_the_cap_of_a_draw():
    labels = labelled([0] * 99 + [1], task="binary")
    whole = plan_sampling(labels, max_repeats=20)
    assert not whole.reached
    assert 19 < whole.repeats <= 20
    short = plan_sampling(labels, max_repeats=20, draws=39)
    assert short.repeats == pytest.approx(19.5)
    assert short.reached


def test_unknown_labels_are_counted_and_planned_around():
    labels = labelled([[1, np.nan], [0, 1], [1, 0], [np.nan, np.nan], [0, 0], [1, 1]])
    plan = plan_sampling(labels)
    assert plan.shares.tolist() == pytest.approx([0.5, 0.5])
    assert plan.unknowns.tolist() == [1, 2]
    assert "3 labels are unknown and count as neither" in str(plan)
    assert plan.combination_labels.min() == -1


def test_one_of_many_with_unknown_rows():
    labels = labelled([0, 0, 0, 1, np.nan], task="multiclass", classes=("a", "b"))
    plan = plan_sampling(labels)
    assert plan.expected_prevalence.tolist() == pytest.approx([0.5, 0.5])
    assert plan.log_odds_shift[1] - plan.log_odds_shift[0] == pytest.approx(np.log(3))


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("method", ["uniform", *HEURISTICS])
def test_a_row_whose_only_label_is_unknown_is_never_drawn(task, method):
    """It has no loss: drawn as often as a rare class it would take two draws in three, and hide behind known labels."""
    values = np.repeat([0.0, 1.0, np.nan], [890, 10, 300]).astype(np.float32)
    classes = ("ill",) if task == "binary" else ("well", "ill")
    labels = labelled(values, task=task, classes=classes)
    plan = plan_sampling(labels, method, max_repeats=None) if method == "uniform" else plan_heuristic(labels, method)
    assert plan.sample_weights[900:].tolist() == [0.0] * 300
    alone = labels.select(np.arange(900))
    known = plan_sampling(alone, method, max_repeats=None) if method == "uniform" else plan_heuristic(alone, method)
    np.testing.assert_allclose(plan.sample_weights[:900], known.sample_weights, rtol=1e-12)
    np.testing.assert_allclose(plan.log_odds_shift, known.log_odds_shift, atol=1e-12)
    assert plan.effective_sample_size == pytest.approx(known.effective_sample_size * 900 / 1200)
    assert "The label of 300 rows is unknown: they are never drawn" in str(plan)
    assert "count as neither" not in str(plan)


def test_the_cap_is_of_rows_that_are_drawn_and_there_must_be_one():
    values = np.repeat([0.0, 1.0, np.nan], [85, 5, 30]).astype(np.float32)
    plan = plan_sampling(labelled(values, task="binary", classes=("ill",)), max_repeats=2)
    assert 1.8 < plan.repeats <= 2.0
    assert not plan.reached
    natural = plan_sampling(labelled(values, task="multiclass", classes=("a", "b")), "natural")
    assert natural.log_odds_shift.tolist() == pytest.approx([0.0, 0.0], abs=1e-9)
    with pytest.raises(ValueError, match="120 draws of 90 rows, more than max_repeats"):
        plan_sampling(labelled(values, task="binary", classes=("ill",)), max_repeats=1)
    with pytest.raises(ValueError, match="no row to draw whose label is known"):
        plan_sampling(labelled([np.nan] * 3, task="binary", classes=("ill",)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("inverse_frequency", [1 / 5, 1 / 2, 1 / 5 + 1 / 2, 1 / 4]),
        ("max", [1 / 5, 1 / 2, 1 / 2, 0.01 * 0.35]),
        ("mean", [1 / 5, 1 / 2, 0.35, 0.01 * 0.5]),
        ("per_class", [(1 / 5 + 1 / 8) / 2, (1 / 5 + 1 / 2) / 2, (1 / 5 + 1 / 2) / 2, (1 / 5 + 1 / 8) / 2]),
        ("aggressive", [(3 / 5 + 1 / 8) / 2, (1 / 5 + 3 / 2) / 2, (3 / 5 + 3 / 2) / 2, (1 / 5 + 1 / 8) / 2]),
        ("balanced", [1 / 6, 1 / 6, 1 / 6, 1 / 4]),
        ("repeat_factor", [1, 1, 1, 1]),
        ("square_root", [5**-0.5, 2**-0.5, 5**-0.5 + 2**-0.5, 0.5]),
    ],
)
def test_heuristics_by_hand(small, name, expected):
    plan = plan_heuristic(small, name)
    counts = np.array([4, 1, 1, 4])
    np.testing.assert_allclose(plan.sample_weights[[0, 4, 5, 6]], np.array(expected) / (expected @ counts), rtol=1e-12)
    assert f"heuristic {name}, which has no target" in str(plan)
    assert HEURISTICS[name].formula.split()[0] in (plan_heuristic.__doc__ or "")


def test_the_unknown_is_no_negative():
    """Three positives, two negatives and an unknown label of the first class; the second is known of all."""
    plan = plan_heuristic(
        labelled([[1, 0], [1, 0], [1, 1], [0, 0], [0, 1], [np.nan, 0], [np.nan, np.nan]]), "per_class"
    )
    expected = np.array([1 / 3 + 1 / 4, 1 / 3 + 1 / 4, 1 / 3 + 1 / 2, 1 / 2 + 1 / 4, 1 / 2 + 1 / 2, 2 / 4, 0.0]) / 2
    np.testing.assert_allclose(plan.sample_weights, expected / expected.sum(), rtol=1e-12)


def test_repeat_factor_above_its_threshold(small):
    plan = plan_heuristic(small, "repeat_factor", threshold=0.45)
    assert plan.sample_weights[4] / plan.sample_weights[0] == pytest.approx(np.sqrt(0.45 / 0.2))


# --- the ledger


def test_a_ledger_adds_up_plan_and_weights(small):
    plan = plan_sampling(small)
    weights = eq.class_weights(eq.count_labels(small), "sqrt")
    ledger = eq.Ledger([plan, weights])
    np.testing.assert_allclose(ledger.log_odds_shift, plan.log_odds_shift + weights.log_odds_shift)
    assert ledger.classes == ("a", "b")
    assert ledger.kind == "pos_weight"
    again = eq.Ledger.from_dict(json.loads(json.dumps(ledger.to_dict(), allow_nan=False)))
    np.testing.assert_array_equal(again.log_odds_shift, ledger.log_odds_shift)
    np.testing.assert_allclose(eq.Ledger([plan]).trained_prevalence, plan.expected_prevalence)
    odds = plan.expected_prevalence / (1 - plan.expected_prevalence) * weights.values
    np.testing.assert_allclose(ledger.trained_prevalence, odds / (1 + odds))


def test_a_ledger_says_what_was_drawn_and_warns_of_double_correction():
    labels = labelled([0] * 90 + [1] * 10, task="binary")
    plan = plan_sampling(labels)
    assert "as if 1 in 2 had it; in the data it is 1 in 10" in str(eq.Ledger([plan]))
    assert eq.Ledger([plan]).warnings() == ()
    weights = eq.class_weights(eq.count_labels(labels), "inverse")
    assert "2 corrections together go 9x beyond full balance" in str(eq.Ledger([plan, weights]))
    np.testing.assert_allclose(eq.Ledger([plan]).to_natural(np.array([0.0])), [np.log(1 / 9)])


def test_a_ledger_says_how_good_an_approximate_shift_is(small):
    assert "of the variance of the log weights" in str(eq.Ledger([plan_sampling(small, negatives_share=0.1)]))


def test_a_ledger_refuses_two_plans_and_other_classes(small):
    plan = plan_sampling(small)
    with pytest.raises(eq.EquipoiseError, match="takes one SamplingPlan; got more than one"):
        eq.Ledger([plan, plan])
    with pytest.raises(eq.EquipoiseError, match='has the classes "x", "y", but the sampling plan is for "a", "b"'):
        eq.Ledger([plan], classes=("x", "y"), kind="pos_weight")
    with pytest.raises(eq.EquipoiseError, match="the sampling plan is for multilabel labels"):
        eq.Ledger([plan], kind="class_weight")


# --- storage


def test_a_stored_plan_needs_its_rows_back(small):
    stored = plan_sampling(small).to_dict()
    plan = SamplingPlan.from_dict(stored)
    with pytest.raises(eq.EquipoiseError, match=r"Give it its rows with plan\.with_rows"):
        _ = plan.sample_weights
    with pytest.raises(eq.EquipoiseError, match="is not the table of this SamplingPlan"):
        plan.with_rows(labelled([[1, 0], [0, 1]]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metod": "x"}, 'no key "metod". Did you mean "method"?'),
        ({"draws": None}, "cannot be used"),
        ({"draws": -4}, "`draws` of SamplingPlan must be at least 1"),
        ({"stabilised": 0.5}, "`stabilised` of SamplingPlan must be above 1"),
        ({"task": "maybe"}, "cannot be used: `task` of SamplingPlan"),
        ({"combinations": {"labels": [[1]], "counts": [1], "weights": [0.5]}}, "cannot be used"),
    ],
)
def test_a_broken_stored_plan_is_refused(small, change, message):
    with pytest.raises(eq.EquipoiseError, match=message):
        SamplingPlan.from_dict({**plan_sampling(small).to_dict(), **change})


def test_what_is_no_plan_is_refused(small):
    with pytest.raises(eq.EquipoiseError, match="must be a JSON object; got list"):
        SamplingPlan.from_dict([])
    stored = plan_sampling(small).to_dict()
    stored.pop("dual")
    with pytest.raises(eq.EquipoiseError, match='lacks "dual"'):
        SamplingPlan.from_dict(stored)


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "even"}, 'must be one of "natural", "uniform"'),
        ({"target": 3}, "or a mapping of class to share; got int"),
        ({"target": {}}, "is empty"),
        ({"target": {"a": 0.5, "b": 0.6}}, "must sum to one; they sum to 1.1"),
        ({"target": {"a": 0.5}}, 'has no share for "b"'),
        ({"target": {"a": 0.5, "bb": 0.5}}, 'names the class "bb", which the labels do not have'),
        ({"target": {"a": 1.5, "b": -0.5}}, "must be"),
        ({"target": {"a": 0.0, "b": 1.0}}, "must be above 0"),
        ({"target": {"prevalence": {"a": 1.0}}}, "must be below 1"),
        ({"target": {"rate": {"a": 0.5}}}, 'must be one of "shares", "prevalence"'),
        ({"max_repeats": 0.5}, "`max_repeats` of plan_sampling must be at least 1.0; got 0.5"),
        ({"max_repeats": float("nan")}, "`max_repeats` of plan_sampling must be a finite number"),
        ({"strength": -0.1}, "`strength` of plan_sampling must be at least 0.0; got -0.1"),
        ({"strength": 1.1}, "`strength` of plan_sampling must be at most 1.0; got 1.1"),
        ({"draws": 0}, "`draws` of plan_sampling must be at least 1"),
        ({"draws": 1000}, "more than max_repeats .20. allows. Draw at most 200"),
        ({"negatives_share": "some"}, 'must be a share, "free" or None'),
        ({"negatives_share": 1.0}, "must be below 1"),
        ({"negatives_share": 0.9, "max_repeats": 2.0}, "must lie between 0.000 and 0.800"),
    ],
)
def test_bad_arguments_are_named(small, arguments, message):
    with pytest.raises(eq.EquipoiseError, match=message):
        plan_sampling(small, **arguments)


def test_bad_data_is_named():
    with pytest.raises(eq.EquipoiseError, match='asks for a share of "b", which no row has'):
        plan_sampling(labelled([[1, 0], [0, 0]]))
    with pytest.raises(eq.EquipoiseError, match='every known label of "stroke" is positive'):
        plan_sampling(labelled([1, 1, np.nan], task="binary"))
    with pytest.raises(eq.EquipoiseError, match="has no row to draw"):
        plan_sampling(labelled(np.zeros((0, 2)), classes=("a", "b")))
    with pytest.raises(eq.EquipoiseError, match="no row is without a finding"):
        plan_sampling(labelled([[1, 0], [0, 1]]), negatives_share=0.5)
    with pytest.raises(eq.EquipoiseError, match="is for multilabel rows; these labels are binary"):
        plan_sampling(labelled([0, 1], task="binary"), negatives_share=0.5)
    with pytest.raises(eq.EquipoiseError, match="sum to 1.2, but a row has exactly one class"):
        plan_sampling(labelled([0, 1], task="multiclass"), {"prevalence": {"a": 0.6, "b": 0.6}})
    with pytest.raises(eq.EquipoiseError, match='no row has "b", so max would divide by nothing'):
        plan_heuristic(labelled([[1, 0], [0, 0]]), "max")
    assert plan_sampling(labelled([[1, 0], [0, 0]]), "natural").effective_sample_size == pytest.approx(1.0)
    assert plan_sampling(labelled([[1, 0], [0, 0]]), {"prevalence": {"a": 0.7}}, negatives_share="free").reached


def test_bad_frontiers_are_named(small):
    with pytest.raises(eq.EquipoiseError, match="need one value at least"):
        frontier(small, strengths=())
    with pytest.raises(eq.EquipoiseError, match='`heuristics` of frontier has "maxx"'):
        frontier(small, heuristics=("maxx",))
    with pytest.raises(eq.EquipoiseError, match='must be one of .* Did you mean "repeat_factor"'):
        plan_heuristic(small, "repeat_facto")


# --- long tables


def test_a_long_table_takes_few_bytes_a_row():
    import tracemalloc

    rng = np.random.default_rng(0)
    rows = 2_000_000
    values = np.zeros((rows, 8), np.float32)
    values[rng.integers(0, rows, 300_000), rng.integers(0, 8, 300_000)] = 1.0
    labels = Labels("multilabel", tuple("abcdefgh"), values, np.arange(rows))
    tracemalloc.start()
    plan = plan_sampling(labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert plan.reached
    assert peak < 4 * rows + 150e6  # the codes, and one block of rows
