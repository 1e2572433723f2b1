"""Multi-class areas, ordinal figures, averages over rows, overlap of masks: beside scikit-learn, imbalanced-learn."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.metrics import macro_averaged_mean_absolute_error
from sklearn import metrics as sk

from equipoise import metrics
from reference.metric_cases import CLOSE


@st.composite
def many_classes(draw, every_class=True):
    count, rows = draw(st.integers(2, 5)), draw(st.integers(6, 50))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = random.integers(0, count, rows).astype(float)
    if every_class:
        labels[:count] = range(count)
    values = random.random((rows, count)) + 0.5 * np.eye(count)[labels.astype(int)]
    if draw(st.booleans()):
        values = np.round(4 * values) + 1.0
    values = values / values.sum(axis=1, keepdims=True)
    unknown = random.random(rows) < 0.2
    unknown[:count] = False
    labels[unknown] = np.nan
    return labels, values


@settings(max_examples=100, deadline=None)
@given(many_classes(), st.booleans())
def test_multiclass_auc_equals_scikit_learn(case, weighted):
    labels, values = case
    known, average = ~np.isnan(labels), "weighted" if weighted else "macro"
    for comparison, name in (("one_vs_rest", "ovr"), ("one_vs_one", "ovo")):
        ours = metrics.multiclass_auc_score(labels, values, comparison=comparison, weighted=weighted)
        if values.shape[1] == 2:  # scikit-learn takes two columns for one
            theirs = sk.roc_auc_score(labels[known], values[known, 1])
        else:
            theirs = sk.roc_auc_score(labels[known], values[known], multi_class=name, average=average)
        np.testing.assert_allclose(ours.value, theirs, **CLOSE)
        assert ours.evaluable == ours.total


@settings(max_examples=50, deadline=None)
@given(many_classes(), st.integers(0, 99))
def test_weighted_multiclass_auc_equals_scikit_learn_and_repetition(case, seed):
    labels, values = case
    weights = np.random.default_rng(seed).integers(1, 4, len(labels)).astype(float)
    repeated = np.repeat(labels, weights.astype(int)), np.repeat(values, weights.astype(int), axis=0)
    for comparison in ("one_vs_rest", "one_vs_one"):
        ours = metrics.multiclass_auc_score(labels, values, comparison=comparison, sample_weights=weights)
        expected = metrics.multiclass_auc_score(*repeated, comparison=comparison)
        np.testing.assert_allclose(ours.value, expected.value, **CLOSE)
    areas = metrics.pairwise_auc(labels, values, sample_weights=weights)
    for one in range(values.shape[1]):
        for other in range(values.shape[1]):
            rows = np.isin(labels, (one, other))
            if one == other:
                assert np.isnan(areas[one, other])
                continue
            theirs = sk.roc_auc_score(labels[rows] == one, values[rows, one], sample_weight=weights[rows])
            np.testing.assert_allclose(areas[one, other], theirs, **CLOSE)


def test_a_class_without_rows_is_skipped_and_named_where_scikit_learn_stops_or_answers():
    labels, values = np.array([0.0, 0, 1, 1]), np.array([[0.6, 0.3, 0.1]] * 2 + [[0.2, 0.7, 0.1]] * 2)
    with pytest.raises(ValueError, match="Number of classes"):
        sk.roc_auc_score(labels, values, multi_class="ovr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(sk.roc_auc_score(labels, values, multi_class="ovr", labels=[0, 1, 2]))
    rest = metrics.multiclass_auc_score(labels, values, comparison="one_vs_rest", classes=["a", "b", "c"])
    assert (rest.value, rest.evaluable, rest.total, rest.skipped) == (1.0, 2, 3, ("c",))
    pairs = metrics.multiclass_auc_score(labels, values, comparison="one_vs_one", classes=["a", "b", "c"])
    assert (pairs.value, pairs.evaluable, pairs.total, pairs.skipped) == (1.0, 1, 3, ("a or c", "b or c"))


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 6), st.integers(2, 50), st.integers(0, 2**32), st.booleans())
def test_ordinal_figures_equal_scikit_learn_and_imbalanced_learn(classes, rows, seed, weighted):
    random = np.random.default_rng(seed)
    truth, predicted = random.integers(0, classes, rows), random.integers(0, classes, rows)
    truth[0], predicted[0] = 0, 1  # at least two grades, or kappa is 0 / 0
    weights = random.random(rows) if weighted else None
    given_both = {"classes": classes, "sample_weights": weights}
    kappa = sk.cohen_kappa_score(truth, predicted, weights="linear", labels=range(classes), sample_weight=weights)
    np.testing.assert_allclose(metrics.linear_kappa_score(truth, predicted, **given_both), kappa, **CLOSE)
    error = sk.mean_absolute_error(truth, predicted, sample_weight=weights)
    np.testing.assert_allclose(metrics.mean_absolute_error(truth, predicted, **given_both), error, **CLOSE)
    if set(predicted) <= set(truth):  # else imbalanced-learn stops
        macro = macro_averaged_mean_absolute_error(truth, predicted, sample_weight=weights)
        np.testing.assert_allclose(metrics.macro_absolute_error(truth, predicted, **given_both), macro, **CLOSE)
    adjacent = np.average(np.abs(truth - predicted) <= 1, weights=weights)
    np.testing.assert_allclose(metrics.adjacent_accuracy_score(truth, predicted, **given_both), adjacent, **CLOSE)


def test_a_grade_that_is_predicted_but_does_not_occur_is_skipped_where_imbalanced_learn_stops():
    with pytest.raises(ValueError, match="0 sample"):
        macro_averaged_mean_absolute_error([0, 0], [0, 1])
    assert metrics.macro_absolute_error([0, 0], [0, 1], classes=2) == 0.5


def test_kappa_of_one_single_grade_is_not_evaluable():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(sk.cohen_kappa_score([1, 1], [1, 1], labels=[0, 1, 2], weights="linear"))
    assert np.isnan(metrics.linear_kappa_score([1, 1], [1, 1], classes=3))
    assert np.isnan(metrics.mean_absolute_error([np.nan], [1], classes=3))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.booleans())
def test_averages_over_rows_equal_scikit_learn_where_a_row_has_a_positive(seed, classes, weighted):
    random = np.random.default_rng(seed)
    truth, predicted = random.integers(0, 2, (20, classes)), random.integers(0, 2, (20, classes))
    truth[0, 0] = 1
    weights = random.random(20) if weighted else None
    some = truth.any(axis=1)
    pairs = [
        (metrics.samples_f1_score, sk.f1_score),
        (metrics.samples_recall_score, sk.recall_score),
        (metrics.samples_precision_score, sk.precision_score),
    ]
    for ours, theirs in pairs:
        if classes == 1:
            continue  # scikit-learn has no rows of one class
        expected = theirs(
            truth[some],
            predicted[some],
            average="samples",
            zero_division=0,
            sample_weight=None if weights is None else weights[some],
        )
        np.testing.assert_allclose(ours(truth, predicted, sample_weights=weights), expected, **CLOSE)


def test_rows_without_a_positive_are_skipped_where_scikit_learn_counts_them_as_wrong():
    truth, predicted = np.array([[1, 0], [0, 0]]), np.array([[1, 0], [0, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert sk.f1_score(truth, predicted, average="samples") == 0.5  # both rows are right
    assert metrics.samples_f1_score(truth, predicted) == 1.0
    assert np.isnan(metrics.samples_f1_score(truth[1:], predicted[1:]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 4))
def test_overlap_of_masks_equals_scikit_learn_and_adds_up(seed, classes, masks):
    random = np.random.default_rng(seed)
    truth, predicted = random.integers(0, classes, (masks, 4, 5)), random.integers(0, classes, (masks, 4, 5))
    truth[random.random(truth.shape) < 0.2] = 255
    counts = metrics.count_masks(truth, predicted, classes=classes, ignore_index=255)
    known = truth != 255
    flat, said, present = truth[known], predicted[known], np.bincount(truth[known], minlength=classes) > 0
    labels = range(classes)
    dice = sk.f1_score(flat, said, labels=labels, average=None, zero_division=0)
    overlap = sk.jaccard_score(flat, said, labels=labels, average=None, zero_division=0)
    np.testing.assert_allclose(counts.dice()[present], dice[present], **CLOSE)
    np.testing.assert_allclose(counts.iou()[present], overlap[present], **CLOSE)
    assert np.isnan(counts.dice()[~present]).all()
    np.testing.assert_allclose(counts.outcomes().f1()[present], dice[present], **CLOSE)
    parts = [metrics.count_masks(*one, classes=classes, ignore_index=255) for one in zip(truth, predicted, strict=True)]
    together = sum(parts[1:], parts[0])
    for field in dataclasses.fields(counts):
        np.testing.assert_allclose(getattr(together, field.name), getattr(counts, field.name), **CLOSE)
    single = np.array([part.dice() for part in parts])
    means = [np.nan if np.isnan(column).all() else np.nanmean(column) for column in single.T]
    np.testing.assert_allclose(counts.image_dice(), means, **CLOSE)


def test_an_empty_mask_predicted_empty_is_neither_right_nor_wrong():
    empty, spot = np.zeros((3, 3), dtype=np.uint8), np.eye(3, dtype=np.uint8)
    silent = metrics.count_masks(empty, empty, classes=2)
    assert np.isnan(silent.dice()[1])
    assert silent.false_alarm_rate()[1] == 0.0
    alarm = metrics.count_masks(empty, spot, classes=2)
    assert alarm.false_alarm_rate()[1] == 1.0
    assert np.isnan(alarm.dice()[1])
    right = metrics.count_masks(spot, spot, classes=2)
    assert (right + alarm).dice()[1] == pytest.approx(2 * 3 / (3 + 6))
    assert (right + alarm).image_dice()[1] == 1.0
    assert (right + silent).mean_dice(["background", "ink"]).value == 1.0


@pytest.mark.parametrize(
    ("labels", "predictions", "match"),
    [
        ([[0, 1]], [[0, 1], [1, 1]], "of one shape"),
        ([[0.0, 1.0]], [[0, 1]], "whole numbers"),
        ([[0, 3]], [[0, 1]], "from 0 to 1; got 3"),
        ([[0, 255]], [[0, 1]], "ignore_index"),
        ([0, 1], [0, 1], "of one shape"),
    ],
)
def test_masks_that_cannot_be_counted_are_refused(labels, predictions, match):
    with pytest.raises(ValueError, match=match):
        metrics.count_masks(labels, predictions, classes=2)
