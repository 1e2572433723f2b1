"""Calibration: the minimum is found, nothing is lost at the edges, and it is done only where it was needed."""

from __future__ import annotations

import dataclasses
import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from equipoise._checks import ArgumentError, DataError
from equipoise.decision import DecisionRule, fit_decision
from equipoise.decision.calibration import (
    EXCLUSIVE_METHODS,
    METHODS,
    calibration_need,
    cross_fit,
    fit_calibration,
    isotonic_regression,
)
from equipoise.decision.calibration._isotonic import _pool_one_by_one, pool_violators
from equipoise.decision.calibration.fit import deal_folds
from equipoise.decision.calibration.need import chi_square_tail
from equipoise.metrics import log_loss
from equipoise.scores import Scores
from equipoise.scores.record import logit, sigmoid, softmax


def binary(rows=2000, slope=2.0, shift=1.0, seed=0, prevalence=0.2, **changes):
    """Scores whose log-odds are `slope` times the true ones, plus `shift`."""
    random = np.random.default_rng(seed)
    odds = random.normal(size=rows) * 1.5 + logit(np.asarray(prevalence))
    labels = (random.random(rows) < sigmoid(odds)).astype(float)
    arguments = {
        "labels": labels,
        "values": slope * odds + shift,
        "kind": "logits",
        "ids": [f"{seed}-{row}" for row in range(rows)],
        "role": "validation",
        "classes": ["Mass"],
    }
    return Scores(**(arguments | changes))


def many(rows=3000, seed=0, scale=2.0, bias=(0.0, 1.0, -1.0), **changes):
    random = np.random.default_rng(seed)
    logs = random.normal(size=(rows, 3)) - np.array([0.0, 0.5, 1.5])
    drawn = (softmax(logs).cumsum(axis=1) < random.random(rows)[:, None]).sum(axis=1)
    arguments = {
        "labels": drawn.astype(float),
        "values": scale * logs + bias,
        "kind": "logits",
        "ids": range(rows),
        "role": "validation",
        "classes": ["a", "b", "c"],
    }
    return Scores(**(arguments | changes))


def mean_loss(scores):
    if scores.exclusive:
        return -np.log(scores.probabilities()[np.arange(len(scores)), scores.labels.astype(int)]).mean()
    return log_loss(scores.labels.ravel(), scores.probabilities().ravel())


# --- the minimum


def general_minimum(loss, start):
    return minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000}).fun


def test_platt_and_temperature_are_the_minimum_of_the_log_loss():
    scores = binary(800)
    z, y = scores.values, scores.labels
    platt = fit_calibration(scores, "platt", smoothing="none")
    best = general_minimum(lambda x: np.mean(np.logaddexp(0, x[0] * z + x[1]) - y * (x[0] * z + x[1])), [1, 0])
    assert mean_loss(platt.apply(scores)) == pytest.approx(best, abs=1e-10)
    one = fit_calibration(scores, "temperature", smoothing="none")
    best = general_minimum(lambda x: np.mean(np.logaddexp(0, x[0] * z) - y * x[0] * z), [1])
    assert mean_loss(one.apply(scores)) == pytest.approx(best, abs=1e-10)
    assert one.offsets.tolist() == [0]


def test_platts_targets_agree_with_scikit_learn():
    calibration = pytest.importorskip("sklearn.calibration")
    scores = binary(700)
    theirs = calibration._SigmoidCalibration().fit(scores.values, scores.labels).predict(scores.values)
    ours = fit_calibration(scores, "platt", smoothing="platt").apply(scores).probabilities()
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_beta_is_the_minimum_under_its_bounds():
    for seed in range(6):
        random = np.random.default_rng(seed)
        p = random.beta(0.5, 1.5, 600).clip(1e-6, 1 - 1e-6)
        true = sigmoid(random.normal(1, 1) * np.log(p) - random.normal(1, 1) * np.log1p(-p) + random.normal())
        labels = (random.random(600) < true).astype(float)
        if not 30 <= labels.sum() <= 570:
            continue
        scores = binary(600, labels=labels, values=p, kind="probabilities")
        found = fit_calibration(scores, "beta", smoothing="none")

        def loss(x, p=p, labels=labels):
            a, b = np.abs(x[:2])
            z = a * np.log(p) - b * np.log1p(-p) + x[2]
            return np.mean(np.logaddexp(0, z) - labels * z)

        best = min(general_minimum(loss, start) for start in ([1, 1, 0], [0.1, 1, 0], [1, 0.1, 0]))
        assert (found.slopes >= 0).all()
        assert mean_loss(found.apply(scores)) <= best + 1e-8


def test_vector_scaling_is_the_minimum_and_its_derivatives_are_right():
    scores = many(400)
    logs = np.log(softmax(scores.values))
    rows, y = np.arange(400), scores.labels.astype(int)

    def loss(x):
        return -np.log(softmax(logs * x[:3] + np.array([0, x[3], x[4]]))[rows, y]).mean()

    best = minimize(loss, [1, 1, 1, 0, 0], method="BFGS", options={"gtol": 1e-9}).fun
    found = fit_calibration(scores, "vector", smoothing="none")
    assert mean_loss(found.apply(scores)) == pytest.approx(best, abs=1e-9)
    assert found.offsets.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("method", EXCLUSIVE_METHODS)
def test_a_constant_added_to_the_logits_of_a_row_changes_nothing(method):
    scores = many(600)
    moved = many(600, values=scores.values + np.random.default_rng(1).normal(size=(600, 1)) * 5)
    ours, theirs = (fit_calibration(one, method).apply(one).probabilities() for one in (scores, moved))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_temperature_and_offsets_are_recovered():
    found = fit_calibration(many(60_000), "temperature_bias")
    assert found.slopes[0, 0] == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(found.offsets, [0.0, -0.5, 0.5], atol=0.04)


@pytest.mark.parametrize("method", METHODS)
def test_calibration_lowers_the_loss_of_other_rows_and_never_turns_a_ranking_round(method):
    found = fit_calibration(binary(4000), method)
    other = binary(4000, seed=1)
    calibrated = found.apply(other)
    assert mean_loss(calibrated) < mean_loss(other) - 0.02
    order = np.argsort(other.values)
    assert (np.diff(calibrated.values[order]) >= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_logits_and_probabilities_are_calibrated_alike(method):
    scores = binary(1000)
    told = binary(1000, values=scores.probabilities(), kind="probabilities")
    first, second = fit_calibration(scores, method).apply(scores), fit_calibration(told, method).apply(told)
    assert (first.kind, second.kind) == ("logits", "probabilities")
    np.testing.assert_allclose(first.probabilities(), second.probabilities(), atol=1e-7)


# --- isotonic regression


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=60),
)
def test_isotonic_regression_is_that_of_scikit_learn_with_ties_and_weights(rows):
    isotonic = pytest.importorskip("sklearn.isotonic")
    labels, values, weights = np.array(rows, dtype=float).T
    if not weights.any():
        return
    low, high, level = isotonic_regression(labels, values, sample_weights=weights)
    kept = weights > 0
    theirs = isotonic.IsotonicRegression().fit(values[kept], labels[kept], weights[kept]).predict(values[kept])
    np.testing.assert_allclose(level[np.searchsorted(high, values[kept])], theirs, atol=1e-12)
    assert (np.diff(level) > 0).all()
    assert (low <= high).all()


def test_what_runs_leave_is_pooled_one_by_one_with_the_same_result(monkeypatch):
    random = np.random.default_rng(0)
    mass, hits = np.ones(3000), (random.random(3000) < np.linspace(0, 1, 3000)).astype(float)
    passes = pool_violators(mass, hits)
    for ours, theirs in zip(passes, _pool_one_by_one(np.arange(3000), mass, hits), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_isotonic_regression_of_a_large_table_takes_a_moment():
    random = np.random.default_rng(0)
    values = random.normal(size=112_120)
    labels = (random.random(112_120) < sigmoid(values - 4)).astype(float)
    took = []
    for _ in range(3):
        start = time.perf_counter()
        isotonic_regression(labels, values)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.5


def test_isotonic_levels_are_never_certain():
    scores = binary(400, values=np.linspace(-1, 1, 400), labels=(np.arange(400) >= 300).astype(float))
    calibrated = fit_calibration(scores, "isotonic").apply(scores).probabilities()
    assert calibrated.min() == pytest.approx(1 / 302)
    assert calibrated.max() == pytest.approx(101 / 102)


def test_negative_weights_are_refused():
    with pytest.raises(ArgumentError, match="sample_weights"):
        isotonic_regression([0, 1], [0.1, 0.2], sample_weights=[1, -1])
    with pytest.raises(ArgumentError, match="sample_weights"):
        fit_calibration(binary(100), sample_weights=np.full(100, -1.0))
    with pytest.raises(ArgumentError, match="not all of them 0"):
        fit_calibration(binary(100), sample_weights=np.zeros(100))


@pytest.mark.parametrize("method", METHODS)
def test_whole_weights_are_repetition_and_weight_zero_is_removal(method):
    scores, weights = binary(900), np.random.default_rng(1).integers(0, 3, 900)
    rows = np.repeat(np.arange(900), weights)
    repeated = binary(900, labels=scores.labels[rows], values=scores.values[rows], ids=range(len(rows)))
    weighted = fit_calibration(scores, method, sample_weights=weights).apply(scores)
    np.testing.assert_allclose(weighted.values, fit_calibration(repeated, method).apply(scores).values, atol=1e-6)


# --- the edges


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("smoothing", ["one_case", "platt", "none"])
def test_separable_scores_give_finite_maps_that_rise(method, smoothing):
    scores = binary(400, values=np.linspace(-1, 1, 400), labels=(np.arange(400) >= 300).astype(float))
    found = fit_calibration(scores, method, smoothing=smoothing)
    calibrated = found.apply(scores)
    assert np.isfinite(calibrated.values).all()
    assert (np.diff(calibrated.values) >= 0).all()
    assert found.fitted == (True,)
    if smoothing == "one_case" and method == "platt":
        assert calibrated.probabilities().max() < 0.9999  # not certain after 100 positives


def test_separable_exclusive_classes_give_finite_maps():
    labels = np.repeat([0.0, 1.0, 2.0], 100)
    scores = many(300, labels=labels, values=np.eye(3)[labels.astype(int)] * 3)
    for method in EXCLUSIVE_METHODS:
        found = fit_calibration(scores, method)
        assert np.isfinite(found.slopes).all()
        assert found.apply(scores).probabilities().max() < 0.99999


@pytest.mark.parametrize("method", METHODS)
def test_constant_scores_become_the_prevalence_or_stay(method):
    scores = binary(500, values=np.full(500, 2.0))
    found = fit_calibration(scores, method)
    probabilities = found.apply(scores).probabilities()
    if "temperature" not in method:
        np.testing.assert_allclose(probabilities, scores.labels.mean(), atol=2e-3)
    assert np.ptp(probabilities) == 0
    assert "the same score in every row" in found.notes[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_a_single_class_is_left_as_it_is_and_named(method, truth):
    scores = binary(200, labels=np.full(200, truth))
    found = fit_calibration(scores, method)
    np.testing.assert_array_equal(found.apply(scores).values, scores.values)
    assert found.fitted == (False,)
    assert "Mass was not calibrated" in found.notes[0]


def test_a_class_with_too_few_positives_is_left_and_the_others_are_not():
    good, bad = binary(500), binary(500, seed=1, prevalence=0.002)
    scores = Scores(
        labels=np.column_stack([good.labels, bad.labels]), values=np.column_stack([good.values, bad.values]),
        kind="logits", ids=range(500), role="validation", classes=["Mass", "Hernia"],
    )  # fmt: skip
    assert 0 < bad.labels.sum() < 3
    found = fit_calibration(scores, "platt")
    assert found.fitted == (True, False)
    calibrated = found.apply(scores)
    np.testing.assert_array_equal(calibrated.values[:, 1], scores.values[:, 1])
    assert (calibrated.values[:, 0] != scores.values[:, 0]).all()
    assert found.notes[0].startswith(f"Hernia was not calibrated: it has {bad.labels.sum():.0f} positives")


def test_a_missing_exclusive_class_is_left_and_the_others_keep_their_sum():
    scores = many(900)
    present = scores.labels != 2
    kept = many(900, labels=scores.labels[present], values=scores.values[present], ids=range(int(present.sum())))
    found = fit_calibration(kept, "temperature_bias")
    assert found.fitted == (True, True, False)
    assert found.offsets[2] == 0
    assert found.offsets[:2].sum() == pytest.approx(0, abs=1e-12)


def test_unknown_labels_are_left_out():
    scores = binary(1000)
    masked = np.where(np.arange(1000) % 3 == 0, np.nan, scores.labels)
    known = ~np.isnan(masked)
    part = binary(1000, labels=masked[known], values=scores.values[known], ids=np.flatnonzero(known))
    for method in METHODS:
        ours = fit_calibration(binary(1000, labels=masked), method).apply(scores)
        np.testing.assert_allclose(ours.values, fit_calibration(part, method).apply(scores).values, atol=1e-9)


def test_probabilities_of_0_and_1_are_calibrated():
    values = np.where(np.arange(400) % 2 == 0, 0.0, 1.0)
    labels = np.where(np.random.default_rng(0).random(400) < 0.2, 1 - values, values)
    scores = binary(400, values=values, labels=labels, kind="probabilities")
    for method in METHODS:
        calibrated = fit_calibration(scores, method).apply(scores)
        assert 0.7 < calibrated.values.max() < 0.9


def test_scores_that_rank_backwards_are_flattened_not_turned():
    scores = binary(1000)
    backwards = binary(1000, values=-scores.values)
    found = fit_calibration(backwards, "platt")
    assert np.ptp(found.apply(backwards).values) == 0
    assert "ranks no better than chance" in found.notes[0]


def test_logits_declared_probabilities_are_refused():
    with pytest.raises(DataError, match="is not a probability"):
        binary(100, kind="probabilities")


def test_wrong_arguments_name_what_is_allowed():
    with pytest.raises(ArgumentError, match='"temperature_bias"'):
        fit_calibration(many(100), "platt")
    with pytest.raises(ArgumentError, match='"beta"'):
        fit_calibration(binary(100), "vector")
    with pytest.raises(ArgumentError, match="validation role only"):
        fit_calibration(binary(100, role="test"))
    with pytest.raises(ArgumentError, match="yes-or-no"):
        fit_calibration(many(100), "vector", smoothing="platt")
    with pytest.raises(ArgumentError, match="folds"):
        cross_fit(binary(100), folds=1)
    with pytest.raises(ArgumentError, match="4 groups"):
        cross_fit(binary(100, groups=np.arange(100) % 4))
    with pytest.raises(ArgumentError, match="fit_decision"):
        fit_decision(binary(100), calibrate="plat")
    with pytest.raises(ArgumentError, match="classes"):
        fit_calibration(binary(100)).apply(binary(100, classes=["Hernia"]))


def test_a_thousand_classes():
    random = np.random.default_rng(0)
    values = random.normal(size=(400, 1000))
    scores = Scores(
        labels=random.integers(0, 1000, 400).astype(float), values=values, kind="logits", ids=None, role="validation",
        classes=[f"c{one}" for one in range(1000)],
    )  # fmt: skip
    found = fit_calibration(scores, "temperature")
    assert found.slopes[0, 0] < 0.2  # the scores are noise
    with pytest.raises(ArgumentError, match="at most 100 classes"):
        fit_calibration(scores, "vector")


# --- cross-fitting


def test_folds_keep_groups_whole_and_deal_rare_positives_evenly():
    scores = binary(1000, prevalence=0.02, groups=np.arange(1000) // 4)
    fold = deal_folds(scores, folds=5, seed=0)
    assert all(len(np.unique(fold[scores.groups == group])) == 1 for group in np.unique(scores.groups))
    with_positive = np.array([len(np.unique(scores.groups[(fold == k) & (scores.labels == 1)])) for k in range(5)])
    assert np.ptp(with_positive) <= 1
    shuffled = np.random.default_rng(1).permutation(1000)
    np.testing.assert_array_equal(deal_folds(scores.select(shuffled), folds=5, seed=0), fold[shuffled])


def test_cross_fitted_scores_do_not_depend_on_their_own_label():
    scores = binary(300)
    fold = deal_folds(scores, folds=5, seed=0)
    chosen = fold == 0
    first = cross_fit(scores, "isotonic").values[chosen]
    fitted = fit_calibration(scores.select(~chosen), "isotonic").apply(scores.select(chosen)).values
    np.testing.assert_allclose(first, fitted)


def test_the_loss_of_cross_fitted_scores_is_not_flattered():
    """In sample, isotonic regression promises more than it keeps; out of fold it does not."""
    promised, honest, true = [], [], []
    for seed in range(30):
        scores, other = binary(400, seed=seed), binary(4000, seed=1000 + seed)
        fitted = fit_calibration(scores, "isotonic")
        promised.append(mean_loss(fitted.apply(scores)))
        honest.append(mean_loss(cross_fit(scores, "isotonic")))
        true.append(mean_loss(fitted.apply(other)))
    assert np.mean(promised) < np.mean(true) - 0.01
    assert abs(np.mean(honest) - np.mean(true)) < 0.01


# --- whether it was needed


def test_the_test_of_need_rejects_what_is_wrong_and_five_percent_of_what_is_right():
    rejected = sum(calibration_need(binary(400, 1.0, 0.0, seed=seed)).classes[0].p_value < 0.05 for seed in range(100))
    assert 1 <= rejected <= 12  # 5 expected
    assert all(calibration_need(binary(400, seed=seed)).classes[0].needed for seed in range(5))


def test_groups_are_not_taken_for_independent_rows():
    """Each row ten times: to the test without groups that is ten times the evidence."""
    rejected = {"groups": 0, "rows": 0}
    for seed in range(30):
        few = binary(200, 1.0, 0.0, seed=seed)
        if few.labels.sum() < 20:
            continue
        arguments = {"labels": np.repeat(few.labels, 10), "values": np.repeat(few.values, 10), "ids": range(2000)}
        groups = np.repeat(np.arange(200), 10)
        rejected["groups"] += calibration_need(binary(2000, groups=groups, **arguments)).classes[0].p_value < 0.05
        rejected["rows"] += calibration_need(binary(2000, **arguments)).classes[0].p_value < 0.05
    assert rejected["groups"] <= 5
    assert rejected["rows"] >= 12


def test_the_verdict_is_one_sentence():
    needed = calibration_need(binary(4000)).sentence
    assert needed.startswith("Calibration is needed for Mass: log-odds should be multiplied by 0.")
    assert needed.count(". ") == 0
    assert calibration_need(binary(4000, 1.0, 0.0)).sentence.startswith("No evidence that Mass needs calibration (p = ")
    assert calibration_need(binary(100, prevalence=0.001)).sentence.startswith("Whether calibration is needed cannot")
    json.dumps(calibration_need(binary(100, prevalence=0.001)).to_dict(), allow_nan=False)


def test_need_of_exclusive_classes():
    need = calibration_need(many(3000))
    assert len(need.classes) == 1
    assert need.classes[0].needed
    assert need.classes[0].slope == pytest.approx(0.5, abs=0.1)
    right = [calibration_need(many(600, seed, 1.0, 0.0)).classes[0].p_value < 0.05 for seed in range(40)]
    assert sum(right) <= 6  # 2 expected
    grouped = [
        calibration_need(many(600, seed, 1.0, 0.0, groups=np.arange(600) // 3)).classes[0].p_value < 0.05
        for seed in range(40)
    ]
    assert sum(grouped) <= 6


def test_tails_of_chi_square():
    special = pytest.importorskip("scipy.special")
    for freedom in range(1, 12):
        for statistic in (0.0, 0.3, 3.0, 30.0):
            assert chi_square_tail(statistic, freedom) == pytest.approx(special.chdtrc(freedom, statistic), abs=1e-12)


# --- inside a rule


def test_auto_calibrates_only_the_classes_that_need_it():
    wrong, right = binary(3000), binary(3000, 1.0, 0.0, seed=5)
    scores = Scores(
        labels=np.column_stack([wrong.labels, right.labels]), values=np.column_stack([wrong.values, right.values]),
        kind="logits", ids=range(3000), role="validation", classes=["Mass", "Hernia"],
    )  # fmt: skip
    rule = fit_decision(scores, calibrate="auto")
    assert rule.calibration.fitted == (True, False)
    assert rule.calibration.method == "platt"
    assert any("Calibration is needed for 1 of 2 classes (Mass)" in note for note in rule.notes)
    assert fit_decision(binary(3000, 1.0, 0.0, seed=5), calibrate="auto").calibration is None


def test_calibration_comes_after_the_shift():
    scores = binary(3000, 1.0, 0.0)
    weighted = binary(3000, 1.0, 2.5)
    plain, moved = (
        fit_decision(scores, calibrate="platt"),
        fit_decision(weighted, log_odds_shift=[2.5], calibrate="platt"),
    )
    np.testing.assert_allclose(moved.calibration.slopes, plain.calibration.slopes, atol=1e-9)
    np.testing.assert_allclose(moved.apply(weighted).probabilities, plain.apply(scores).probabilities, atol=1e-9)
    np.testing.assert_allclose(moved.thresholds, plain.thresholds, atol=1e-9)


def test_a_calibrated_rule_predicts_calibrated_probabilities_and_like_the_plain_rule():
    scores, other = binary(5000), binary(5000, seed=1, role="test")
    plain, calibrated = fit_decision(scores), fit_decision(scores, calibrate="platt")
    assert mean_loss(calibrated.apply(other).scores) < mean_loss(other) - 0.02
    same = (plain.apply(other).predictions == calibrated.apply(other).predictions).mean()
    assert same > 0.97


@pytest.mark.parametrize("method", METHODS)
def test_round_trip_through_json(method):
    scores = binary(1000)
    rule = fit_decision(scores, calibrate=method)
    data = json.loads(json.dumps(rule.to_dict(), allow_nan=False))
    again = DecisionRule.from_dict(data)
    assert again.to_dict() == rule.to_dict()
    np.testing.assert_array_equal(again.apply(scores).probabilities, rule.apply(scores).probabilities)


def test_round_trip_of_exclusive_classes():
    scores = many(900)
    for method in ("auto", *EXCLUSIVE_METHODS):
        rule = fit_decision(scores, calibrate=method)
        again = DecisionRule.from_dict(json.loads(json.dumps(rule.to_dict())))
        np.testing.assert_array_equal(again.apply(scores).probabilities, rule.apply(scores).probabilities)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "plat"), ("method", "vector"), ("slopes", [[1.0]]), ("slopes", [[-1.0, 1.0]]), ("offsets", ["1"]),
        ("offsets", [float("nan")]), ("fitted", [1]), ("steps", [None]), ("notes", "none"), ("extra", 1),
    ],
)  # fmt: skip
def test_a_changed_calibration_in_json_is_refused_by_its_key(key, value):
    data = fit_decision(binary(500), calibrate="platt").to_dict()
    data["calibration"][key] = value
    with pytest.raises(DataError, match=rf"calibration.*{key}|{key}.*calibration|unknown key"):
        DecisionRule.from_dict(data)


@pytest.mark.parametrize(
    "steps", [[{"odds": [0.0, 0.0], "calibrated": [0.0, 1.0]}], [{"odds": [0.0, 1.0], "calibrated": [1.0, 0.0]}], [{}]]
)
def test_changed_steps_are_refused(steps):
    data = fit_decision(binary(500), calibrate="isotonic").to_dict()
    data["calibration"]["steps"] = steps
    with pytest.raises(DataError, match="steps"):
        DecisionRule.from_dict(data)


def test_moving_a_calibration_adds_to_its_log_odds():
    scores = binary(500)
    for method in METHODS:
        found = fit_calibration(scores, method)
        np.testing.assert_allclose(found.moved(np.array([0.7])).apply(scores).values, found.apply(scores).values + 0.7)


def test_needs_are_frozen_records():
    need = calibration_need(binary(500)).classes[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        need.slope = 1.0
    assert not math.isnan(need.gain_low)
