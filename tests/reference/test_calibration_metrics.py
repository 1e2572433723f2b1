"""Calibration figures against scikit-learn where it has them, and against plain loops in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from equipoise import metrics
from reference.metric_cases import CLOSE, known_only, one_class


def _bins(values, weights, bins):
    """Return the bin of each row, row by row: where the middle of its tied block falls in the sorted weight."""
    found = []
    for value in values:
        below, equal = weights[values < value].sum(), weights[values == value].sum()
        found.append(min(int((below + equal / 2) * bins / weights.sum()), bins - 1))
    return np.array(found)


def _by_hand(case, bins):
    truth, values, weights = known_only(*case)
    weights = np.ones(len(truth)) if weights is None else weights
    keep = weights > 0
    truth, values, weights = truth[keep], values[keep], weights[keep]
    groups = _bins(values, weights, bins)
    parts = []
    for one in np.unique(groups):
        chosen = groups == one
        forecast, rate = (np.average(array[chosen], weights=weights[chosen]) for array in (values, truth))
        parts.append((weights[chosen].sum(), forecast, rate, truth[chosen] - values[chosen], weights[chosen]))
    return parts


@settings(max_examples=100, deadline=None)
@given(one_class(), st.integers(1, 12))
def test_errors_equal_a_plain_loop(case, bins):
    parts = _by_hand(case, bins)
    total = sum(part[0] for part in parts)
    plain = sum(mass * abs(forecast - rate) for mass, forecast, rate, _, _ in parts) / total
    ours = metrics.expected_calibration_error(*case[:2], bins=bins, sample_weights=case[2])
    np.testing.assert_allclose(ours, plain, **CLOSE)
    curve = metrics.reliability_curve(*case[:2], bins=bins, sample_weights=case[2])
    np.testing.assert_allclose(curve.weight, [part[0] for part in parts], **CLOSE)
    np.testing.assert_allclose(curve.probability, [part[1] for part in parts], **CLOSE)
    np.testing.assert_allclose(curve.rate, [part[2] for part in parts], **CLOSE)
    assert ((curve.low <= curve.rate + 1e-12) & (curve.rate <= curve.high + 1e-12)).all()


@settings(max_examples=100, deadline=None)
@given(one_class(), st.integers(1, 12))
def test_debiased_error_equals_a_plain_loop(case, bins):
    weights = case[2]
    if weights is not None:
        case = (*case[:2], np.ceil(weights * 2))
    parts = _by_hand(case, bins)
    total = sum(part[0] for part in parts)
    parts = _by_hand(case, min(bins, int(total // 2))) if total >= 2 else []
    squares, seen = 0.0, 0.0
    for mass, _, _, gaps, counts in parts:
        rows = np.repeat(gaps, counts.astype(int))
        if len(rows) > 1:
            squares += mass * (rows.mean() ** 2 - rows.var(ddof=1) / len(rows))
            seen += mass
    ours = metrics.debiased_calibration_error(*case[:2], bins=bins, sample_weights=case[2])
    if not seen:
        assert np.isnan(ours)
    else:
        np.testing.assert_allclose(ours**2, max(0.0, squares / seen), **CLOSE)


def test_debiased_error_is_that_of_kumar_where_a_bin_has_one_probability():
    random = np.random.default_rng(0)
    values = np.repeat([0.2, 0.5, 0.7], [30, 50, 40])
    labels = (random.random(120) < values + 0.2).astype(float)
    squared = 0.0
    for value in (0.2, 0.5, 0.7):  # Kumar, Liang and Ma 2019, section 5
        rate, rows = labels[values == value].mean(), (values == value).sum()
        squared += rows / 120 * ((rate - value) ** 2 - rate * (1 - rate) / (rows - 1))
    ours = metrics.debiased_calibration_error(labels, values, bins=3)
    np.testing.assert_allclose(ours**2, squared, **CLOSE)


def test_debiasing_takes_away_what_chance_adds():
    random = np.random.default_rng(1)
    plain, debiased = [], []
    for _ in range(300):
        values = np.repeat(np.linspace(0.05, 0.95, 10), 20)
        labels = (random.random(200) < values).astype(float)
        plain.append(metrics.expected_calibration_error(labels, values, bins=10))
        rates = labels.reshape(10, 20).mean(axis=1)
        squared = (np.square(rates - values[::20]) - rates * (1 - rates) / 19).sum()
        debiased.append(squared / 10)
        ours = metrics.debiased_calibration_error(labels, values, bins=10)
        assert ours**2 == pytest.approx(max(0.0, squared / 10), abs=1e-12)
    assert np.mean(plain) > 0.05  # calibrated, and yet
    assert abs(np.mean(debiased)) < 3 * np.std(debiased) / np.sqrt(300)


@settings(max_examples=150, deadline=None)
@given(one_class(), st.sampled_from([None, 1, 2, 5, 11]))
def test_parts_add_up_to_the_brier_score(case, bins):
    truth, values, weights = known_only(*case)
    parts = metrics.brier_decomposition(*case[:2], bins=bins, sample_weights=case[2])
    np.testing.assert_allclose(parts.brier, sk.brier_score_loss(truth, values, sample_weight=weights), **CLOSE)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    np.testing.assert_allclose(total, parts.brier, **CLOSE)
    if bins is None:
        assert parts.within == 0.0
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= 0.0


def test_murphy_by_hand():
    # Ten forecasts of 0.2 with 3 events, ten of 0.8 with 7.
    values, labels = np.repeat([0.2, 0.8], 10), np.r_[np.ones(3), np.zeros(7), np.ones(7), np.zeros(3)]
    parts = metrics.brier_decomposition(labels, values)
    assert (parts.reliability, parts.resolution, parts.uncertainty) == pytest.approx((0.01, 0.04, 0.25))


def test_reliability_curve_equals_scikit_learn_without_ties():
    random = np.random.default_rng(3)
    values = random.permutation((np.arange(200) + 0.5) / 200)
    labels = (random.random(200) < values).astype(float)
    rate, forecast = calibration_curve(labels, values, n_bins=10, strategy="quantile")
    curve = metrics.reliability_curve(labels, values, bins=10)
    np.testing.assert_allclose(curve.rate, rate, **CLOSE)
    np.testing.assert_allclose(curve.probability, forecast, **CLOSE)
    np.testing.assert_array_equal(curve.weight, 20.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.booleans())
def test_multiclass_losses_equal_scikit_learn(seed, classes, weighted):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, 30).astype(float)
    values = random.dirichlet(np.ones(classes), 30)
    weights = random.random(30) if weighted else None
    ours = metrics.multiclass_log_loss(labels, values, sample_weights=weights)
    expected = sk.log_loss(labels, values, sample_weight=weights, labels=range(classes))
    np.testing.assert_allclose(ours, expected, **CLOSE)
    ours = metrics.multiclass_brier_loss(labels, values, sample_weights=weights)
    expected = sk.brier_score_loss(labels, values, sample_weight=weights, labels=range(classes), scale_by_half=False)
    np.testing.assert_allclose(ours, expected, **CLOSE)
    each = [
        metrics.expected_calibration_error(labels == one, values[:, one], bins=4, sample_weights=weights)
        for one in range(classes)
    ]
    ours = metrics.classwise_calibration_error(labels, values, bins=4, sample_weights=weights)
    np.testing.assert_allclose(ours.value, np.mean(each), **CLOSE)


def test_a_class_of_which_nothing_is_known_is_skipped_and_named():
    labels, values = [[0, np.nan], [1, np.nan]], [[0.5, 0.2], [0.5, 0.3]]
    found = metrics.classwise_calibration_error(labels, values, bins=1, classes=["Mass", "Hernia"])
    assert (found.value, found.evaluable, found.total, found.skipped) == (0.0, 1, 2, ("Hernia",))


def test_nothing_known_is_nan_everywhere():
    assert np.isnan(metrics.brier_decomposition([np.nan], [0.5]).brier)
    assert np.isnan(metrics.debiased_calibration_error([np.nan, 1], [0.5, 0.5]))
    assert len(metrics.reliability_curve([np.nan], [0.5]).rate) == 0
    assert np.isnan(metrics.multiclass_log_loss([np.nan], [[0.5, 0.5]]))


@pytest.mark.parametrize(
    "function",
    [metrics.brier_decomposition, metrics.debiased_calibration_error, metrics.reliability_curve, metrics.log_loss],
)
def test_logits_are_refused(function):
    with pytest.raises(ValueError, match="must be in"):
        function([0, 1], [-2.0, 3.0])
