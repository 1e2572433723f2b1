"""Laws that every metric obeys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise import metrics
from equipoise.decision import MONITORS, fit_decision, fit_threshold, monitor_value
from equipoise.evidence import evaluate
from equipoise.scores import Scores
from equipoise.scores.record import sigmoid

RANKING = [metrics.auc_score, metrics.average_precision_score]
RATES = [
    metrics.precision_score,
    metrics.recall_score,
    metrics.specificity_score,
    metrics.f1_score,
    metrics.accuracy_score,
    metrics.balanced_accuracy_score,
    metrics.matthews_score,
]
LOSSES = [
    metrics.brier_loss,
    metrics.log_loss,
    metrics.expected_calibration_error,
    metrics.debiased_calibration_error,
]


def _named(name, function):
    function.__name__ = name
    return function


# Functions that need another argument or return more than a number.
RANKING += [
    _named("partial_auc", lambda *case, **kept: metrics.partial_auc_score(*case, max_fpr=0.3, **kept)),
    _named("best_f1", lambda *case, **kept: float(metrics.best_f1(*case, **kept))),
    _named("best_balanced_accuracy", lambda *case, **kept: float(metrics.best_balanced_accuracy(*case, **kept))),
    _named("best_youden", lambda *case, **kept: float(metrics.best_youden(*case, **kept))),
    _named("precision_at_recall", lambda *case, **kept: float(metrics.precision_at_recall(*case, recall=0.6, **kept))),
    _named("recall_at_precision", lambda *case, **k: float(metrics.recall_at_precision(*case, precision=0.6, **k))),
    _named("sensitivity", lambda *case, **k: float(metrics.sensitivity_at_specificity(*case, specificity=0.6, **k))),
    _named("specificity", lambda *case, **k: float(metrics.specificity_at_sensitivity(*case, sensitivity=0.6, **k))),
]
LOSSES += [
    _named("reliability", lambda *case, **kept: metrics.brier_decomposition(*case, bins=4, **kept).reliability),
    _named("resolution", lambda *case, **kept: metrics.brier_decomposition(*case, bins=4, **kept).resolution),
    _named("within", lambda *case, **kept: metrics.brier_decomposition(*case, bins=4, **kept).within),
]
EVERY = [*RANKING, *RATES, *LOSSES]
TABLES = [
    metrics.exact_match_score,
    metrics.hamming_loss,
    metrics.samples_f1_score,
    metrics.samples_precision_score,
    metrics.samples_recall_score,
]
GRADES = [
    metrics.quadratic_kappa_score,
    metrics.linear_kappa_score,
    metrics.mean_absolute_error,
    metrics.macro_absolute_error,
    metrics.adjacent_accuracy_score,
]
CLASSES = [
    _named("auc_rest", lambda *case, **k: float(metrics.multiclass_auc_score(*case, comparison="one_vs_rest", **k))),
    _named("auc_pairs", lambda *case, **k: float(metrics.multiclass_auc_score(*case, comparison="one_vs_one", **k))),
    _named("classwise", lambda *case, **k: float(metrics.classwise_calibration_error(*case, bins=3, **k))),
    metrics.multiclass_brier_loss,
    metrics.multiclass_log_loss,
]
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@st.composite
def cases(draw):
    rows = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = random.choice([0.0, 1.0, np.nan], rows, p=[0.6, 0.3, 0.1])
    values = np.round(random.random(rows), draw(st.integers(0, 3)))
    return labels, values, random.integers(0, 4, rows)


def _inputs(metric, values):
    return (values >= 0.5).astype(float) if metric in RATES else values


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.__name__)
@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_integer_weight_is_repetition_and_weight_zero_is_removal(metric, case):
    labels, values, weights = case
    values = _inputs(metric, values)
    weighted = metric(labels, values, sample_weights=weights)
    repeated = metric(np.repeat(labels, weights), np.repeat(values, weights))
    np.testing.assert_allclose(weighted, repeated, **CLOSE)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.__name__)
@settings(max_examples=40, deadline=None)
@given(case=cases(), seed=st.integers(0, 99))
def test_order_of_rows_and_unknown_rows_change_nothing(metric, case, seed):
    labels, values = case[0], _inputs(metric, case[1])
    order = np.random.default_rng(seed).permutation(len(labels))
    known = ~np.isnan(labels)
    expected = metric(labels, values)
    np.testing.assert_allclose(metric(labels[order], values[order]), expected, **CLOSE)
    np.testing.assert_allclose(metric(labels[known], values[known]), expected, **CLOSE)


@pytest.mark.parametrize("metric", RANKING, ids=lambda metric: metric.__name__)
@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_monotone_transforms_leave_ranking_unchanged(metric, case):
    labels, values, _ = case
    expected = metric(labels, values)
    for transformed in (np.exp(3 * values), values**3 - 7, np.arctan(values)):
        np.testing.assert_array_equal(metric(labels, transformed), expected)


@pytest.mark.parametrize("metric", TABLES, ids=lambda metric: metric.__name__)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_tables_weight_and_class_order(metric, seed):
    random = np.random.default_rng(seed)
    labels = random.choice([0.0, 1.0, np.nan], (20, 3), p=[0.6, 0.3, 0.1])
    predictions, weights = random.integers(0, 2, (20, 3)), random.integers(0, 3, 20)
    repeated = metric(np.repeat(labels, weights, axis=0), np.repeat(predictions, weights, axis=0))
    np.testing.assert_allclose(metric(labels, predictions, sample_weights=weights), repeated, **CLOSE)
    np.testing.assert_allclose(metric(labels[:, ::-1], predictions[:, ::-1]), metric(labels, predictions), **CLOSE)


@pytest.mark.parametrize("metric", GRADES, ids=lambda metric: metric.__name__)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_grades_weight_order_and_direction(metric, seed):
    random = np.random.default_rng(seed)
    labels = random.choice([0.0, 1.0, 2.0, 3.0, np.nan], 25)
    predictions, weights = random.integers(0, 4, 25), random.integers(0, 3, 25)
    expected = metric(labels, predictions, classes=4, sample_weights=weights)
    repeated = metric(np.repeat(labels, weights), np.repeat(predictions, weights), classes=4)
    np.testing.assert_allclose(expected, repeated, **CLOSE)
    turned = metric(3 - labels[::-1], 3 - predictions[::-1], classes=4, sample_weights=weights[::-1])
    np.testing.assert_allclose(turned, expected, **CLOSE)


@pytest.mark.parametrize("metric", CLASSES, ids=lambda metric: metric.__name__)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_one_of_many_weight_and_class_order(metric, seed):
    random = np.random.default_rng(seed)
    labels = random.choice([0.0, 1.0, 2.0, 3.0, np.nan], 25)
    values, weights = np.round(random.dirichlet(np.ones(4), 25), 1), random.integers(0, 3, 25)
    expected = metric(labels, values, sample_weights=weights)
    repeated = metric(np.repeat(labels, weights), np.repeat(values, weights, axis=0))
    np.testing.assert_allclose(expected, repeated, **CLOSE)
    order = random.permutation(4)
    moved = np.where(np.isnan(labels), np.nan, np.argsort(order)[np.nan_to_num(labels).astype(int)])
    np.testing.assert_allclose(metric(moved, values[:, order], sample_weights=weights), expected, **CLOSE)


def _scores(seed, rows=60, classes=3, role="validation", names=None):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, classes)) < [0.1, 0.3, 0.6]).astype(float)
    labels[0], labels[1] = 0, 1
    labels[5, 1] = np.nan
    values = np.round(random.normal(size=(rows, classes)) + np.nan_to_num(labels), 1)
    return Scores(
        labels=labels,
        values=values,
        kind="logits",
        ids=[f"{role}{row}" for row in range(rows)],
        role=role,
        classes=names or ["a", "b", "c"],
        groups=random.integers(0, 20, rows),
    )


def _permuted_classes(scores, order):
    return Scores(
        labels=scores.labels[:, order],
        values=scores.values[:, order],
        kind=scores.kind,
        ids=scores.ids,
        role=scores.role,
        classes=[scores.classes[one] for one in order],
        groups=scores.groups,
    )


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_permuting_classes_permutes_the_table(seed):
    fitted, judged, order = _scores(seed), _scores(seed + 1, role="test"), [2, 0, 1]
    table = evaluate(judged, fit_decision(fitted), replicates=20)
    moved = evaluate(_permuted_classes(judged, order), fit_decision(_permuted_classes(fitted, order)), replicates=20)
    for row in table.rows:
        other = moved.row(row.name, row.class_name)
        np.testing.assert_allclose([other.value, other.low, other.high], [row.value, row.low, row.high], rtol=1e-9)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_rows_changes_no_table_and_no_rule(seed):
    fitted, judged = _scores(seed), _scores(seed + 1, role="test")
    order = np.random.default_rng(seed).permutation(len(judged))
    rule, moved_rule = fit_decision(fitted), fit_decision(fitted.select(order))
    np.testing.assert_array_equal(rule.thresholds, moved_rule.thresholds)
    assert rule.fitted_on.hash == moved_rule.fitted_on.hash
    table, moved = evaluate(judged, rule, replicates=20), evaluate(judged.select(order), rule, replicates=20)
    for row, other in zip(table.rows, moved.rows, strict=True):
        np.testing.assert_allclose([other.value, other.low, other.high], [row.value, row.low, row.high], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_threshold_of_integer_weights_is_that_of_repeated_rows(case):
    labels, values, weights = case
    kept = labels[(weights > 0) & ~np.isnan(labels)]
    if not {0.0, 1.0} <= set(kept.tolist()):
        return
    weighted = fit_threshold(labels, values, sample_weights=weights)
    assert weighted == fit_threshold(np.repeat(labels, weights), np.repeat(values, weights))


@pytest.mark.parametrize("name", sorted(set(MONITORS) - {"qwk"}))
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_monitors_agree_on_logits_and_probabilities(name, seed):
    logits = _scores(seed)
    probabilities = Scores(
        labels=logits.labels,
        values=sigmoid(logits.values),
        kind="probabilities",
        ids=logits.ids,
        role="validation",
        classes=logits.classes,
    )
    assert monitor_value(name, logits) == pytest.approx(monitor_value(name, probabilities), rel=1e-12)
