"""Every metric against scikit-learn, to 1e-12, on tied, weighted, masked and degenerate inputs.

Where scikit-learn answers something for an empty class, the test states its answer and ours.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.metrics import macro_averaged_mean_absolute_error
from sklearn import metrics as sk

from equipoise import metrics
from equipoise.decision import fit_decision, fixed_rule
from equipoise.metrics import measure
from equipoise.scores import Scores
from reference.metric_cases import CLOSE, known_only, one_class


@settings(max_examples=150, deadline=None)
@given(one_class())
def test_ranking_equals_scikit_learn(case):
    truth, values, weights = known_only(*case)
    ours = metrics.auc_score(*case[:2], sample_weights=case[2])
    np.testing.assert_allclose(ours, sk.roc_auc_score(truth, values, sample_weight=weights), **CLOSE)
    ours = metrics.average_precision_score(*case[:2], sample_weights=case[2])
    np.testing.assert_allclose(ours, sk.average_precision_score(truth, values, sample_weight=weights), **CLOSE)


@settings(max_examples=150, deadline=None)
@given(one_class(), st.floats(0.0, 1.0))
def test_rates_equal_scikit_learn(case, threshold):
    labels, values, weights = case
    truth, known, known_weights = known_only(*case)
    predictions, compared = (values >= threshold).astype(int), (known >= threshold).astype(int)
    pairs = [
        (metrics.precision_score, lambda *a, **k: sk.precision_score(*a, zero_division=0, **k)),
        (metrics.recall_score, sk.recall_score),
        (metrics.specificity_score, lambda *a, **k: sk.recall_score(*a, pos_label=0, **k)),
        (metrics.f1_score, sk.f1_score),
        (metrics.accuracy_score, sk.accuracy_score),
        (metrics.balanced_accuracy_score, sk.balanced_accuracy_score),
        (metrics.matthews_score, sk.matthews_corrcoef),
    ]
    for ours, theirs in pairs:
        expected = theirs(truth, compared, sample_weight=known_weights)
        if theirs is sk.matthews_corrcoef and len(set(compared.tolist())) == 1:
            # 0 by scikit-learn's own rule for constant predictions, but NaN where its sums of weights are rounded.
            assert np.isnan(expected) or abs(expected) < 1e-6
            expected = 0.0
        np.testing.assert_allclose(ours(labels, predictions, sample_weights=weights), expected, **CLOSE)


@settings(max_examples=150, deadline=None)
@given(one_class())
def test_losses_equal_scikit_learn(case):
    truth, known, weights = known_only(*case)
    ours = metrics.brier_loss(*case[:2], sample_weights=case[2])
    np.testing.assert_allclose(ours, sk.brier_score_loss(truth, known, sample_weight=weights), **CLOSE)
    ours = metrics.log_loss(*case[:2], sample_weights=case[2])
    np.testing.assert_allclose(ours, sk.log_loss(truth, known, sample_weight=weights, labels=[0, 1]), **CLOSE)


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 6), st.integers(2, 50), st.integers(0, 2**32), st.booleans())
def test_kappa_equals_scikit_learn(classes, rows, seed, weighted):
    random = np.random.default_rng(seed)
    truth, predicted = random.integers(0, classes, rows), random.integers(0, classes, rows)
    truth[0], predicted[0] = 0, 1  # at least two grades, or kappa is 0 / 0
    weights = random.random(rows) if weighted else None
    expected = sk.cohen_kappa_score(truth, predicted, weights="quadratic", labels=range(classes), sample_weight=weights)
    ours = metrics.quadratic_kappa_score(truth, predicted, classes=classes, sample_weights=weights)
    np.testing.assert_allclose(ours, expected, **CLOSE)


def _multilabel(seed, rows=40, classes=4):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, classes)) < 0.3).astype(float)
    labels[0], labels[1] = 0, 1
    values = np.round(random.random((rows, classes)), 1)
    return Scores(
        labels=labels,
        values=values,
        kind="probabilities",
        ids=np.arange(rows),
        role="test",
        classes=list("abcdefgh")[:classes],
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_multilabel_averages_equal_scikit_learn(seed):
    scores = _multilabel(seed)
    decisions = fixed_rule(scores, 0.5).apply(scores)
    overall = measure(scores, decisions).overall
    truth, values, predicted = scores.labels, scores.values, decisions.predictions
    expected = {"exact_match": sk.accuracy_score(truth, predicted), "hamming": sk.hamming_loss(truth, predicted)}
    for average in ("macro", "micro", "weighted"):
        expected |= {
            f"{average}_auc": sk.roc_auc_score(truth, values, average=average),
            f"{average}_ap": sk.average_precision_score(truth, values, average=average),
            f"{average}_f1": sk.f1_score(truth, predicted, average=average, zero_division=0),
            f"{average}_precision": sk.precision_score(truth, predicted, average=average, zero_division=0),
            f"{average}_recall": sk.recall_score(truth, predicted, average=average),
        }
    some = truth.any(axis=1)
    expected["samples_f1"] = sk.f1_score(truth[some], predicted[some], average="samples", zero_division=0)
    for name, value in expected.items():
        np.testing.assert_allclose(overall[name], value, err_msg=name, **CLOSE)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_multiclass_figures_equal_scikit_learn(seed, ordinal):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, 60).astype(float)
    labels[:4] = range(4)
    logits = random.normal(size=(60, 4))
    scores = Scores(
        labels=labels,
        values=logits,
        kind="logits",
        ids=np.arange(60),
        role="validation",
        classes=list("abcd"),
        task="ordinal" if ordinal else None,
    )
    decisions = fit_decision(scores, maximize="argmax").apply(scores)
    figures = measure(scores, decisions)
    values, predicted = scores.probabilities(), logits.argmax(axis=1)
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "mcc": sk.matthews_corrcoef(labels, predicted),
        "log_loss": sk.log_loss(labels, values),
        "brier": np.square(values - np.eye(4)[labels.astype(int)]).sum(axis=1).mean(),
    }
    for average in ("macro", "weighted"):
        expected |= {
            f"{average}_f1": sk.f1_score(labels, predicted, average=average),
            f"{average}_recall": sk.recall_score(labels, predicted, average=average),
            f"{average}_auc": sk.roc_auc_score(labels, values, multi_class="ovr", average=average),
            f"{average}_ap": sk.average_precision_score(labels, values, average=average),
        }
    if ordinal:
        expected |= {
            "qwk": sk.cohen_kappa_score(labels, predicted, weights="quadratic"),
            "linear_kappa": sk.cohen_kappa_score(labels, predicted, weights="linear"),
            "mae": sk.mean_absolute_error(labels, predicted),
            "macro_mae": macro_averaged_mean_absolute_error(labels, predicted),
            "adjacent_accuracy": metrics.adjacent_accuracy_score(labels, predicted, classes=4),
        }
    for name, value in expected.items():
        np.testing.assert_allclose(figures.overall[name], value, err_msg=name, **CLOSE)


def test_empty_class_is_not_evaluable_where_scikit_learn_answers():
    truth, values = np.zeros(5), np.linspace(0, 1, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert sk.average_precision_score(truth, values) == 0.0
        assert sk.f1_score(truth, np.zeros(5)) == 0.0
        assert sk.average_precision_score(np.ones(5), values) == 1.0
        assert sk.matthews_corrcoef(truth, np.zeros(5)) == 0.0
        assert sk.balanced_accuracy_score(truth, np.zeros(5)) == 1.0
    assert np.isnan(metrics.average_precision_score(truth, values))
    assert np.isnan(metrics.f1_score(truth, np.zeros(5)))
    assert np.isnan(metrics.average_precision_score(np.ones(5), values))
    assert np.isnan(metrics.matthews_score(truth, np.zeros(5)))
    assert np.isnan(metrics.balanced_accuracy_score(truth, np.zeros(5)))
    assert np.isnan(metrics.auc_score(truth, values))


def test_never_predicted_class_has_precision_zero_as_in_scikit_learn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert sk.precision_score([0, 1], [0, 0]) == 0.0
    assert metrics.precision_score([0, 1], [0, 0]) == 0.0


def test_hanley_mcneil_published_example():
    # Hanley and McNeil 1982, table II: 51 abnormal and 58 normal CT images, area 0.893, standard error 0.032.
    low, high = metrics.auc_interval(0.893, 51, 58)
    assert (high - low) / (2 * 1.96) == pytest.approx(0.032, abs=0.003)
    assert low < 0.893 < high
