"""Members are averaged as probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from equipoise.balance import ClassWeights, Deferred, FocalCorrection, Ledger, RegressionCorrection, plan_sampling
from equipoise.labels import Labels, count_labels
from equipoise.scores.record import sigmoid, softmax
from equipoise.training import mean_of_members
from equipoise.training.combine import matching_shift, measured_ledger

_LOGITS = arrays(np.float64, (3, 4, 2), elements=st.floats(-30, 30))


@given(_LOGITS)
def test_the_mean_is_that_of_the_probabilities(logits: np.ndarray) -> None:
    together = mean_of_members(list(logits), exclusive=False)
    np.testing.assert_allclose(sigmoid(together), sigmoid(logits).mean(axis=0), rtol=1e-9)
    together = mean_of_members(list(logits), exclusive=True)
    np.testing.assert_allclose(softmax(together), softmax(logits).mean(axis=0), rtol=1e-9)


def test_extreme_logits_stay_finite() -> None:
    for exclusive in (False, True):
        assert np.isfinite(mean_of_members([np.array([[1e4, -1e4]])] * 2, exclusive=exclusive)).all()


def test_one_member_is_left_as_it_is() -> None:
    logits = np.array([[0.25, 3.0]])
    np.testing.assert_array_equal(mean_of_members([logits], exclusive=True), logits)


def _unmeasured(deferred: bool) -> tuple[Ledger, np.ndarray]:
    rng = np.random.default_rng(0)
    values = (rng.random((3000, 2)) < [0.3, 0.05]).astype(np.float32)
    labels = Labels("multilabel", ("common", "rare"), values, np.arange(3000))
    plan = plan_sampling(labels)
    entry = Deferred(plan, 3) if deferred else plan
    return Ledger([entry, FocalCorrection(2.0)], census=count_labels(labels)), rng.normal(size=(2, 500, 2))


@pytest.mark.parametrize("deferred", [False, True])
def test_a_measured_ledger_says_the_natural_prevalence_in_the_mean(deferred: bool) -> None:
    ledger, logits = _unmeasured(deferred)
    known = np.random.default_rng(1).random((500, 2)) < 0.8
    measured = measured_ledger(ledger, [logits], [np.where(known, 0.0, np.nan)])
    assert [type(entry) for entry in measured.corrections] == [type(entry) for entry in ledger.corrections]
    for place, share in enumerate(ledger.prevalence):
        said = [1 / (1 + np.exp(-measured.to_natural(one)[known[:, place], place])) for one in logits]
        assert np.mean(said) == pytest.approx(share, abs=1e-9)
    again = Ledger.from_dict(json.loads(json.dumps(measured.to_dict())))
    np.testing.assert_array_equal(again.log_odds_shift, measured.log_odds_shift)
    np.testing.assert_allclose(again.trained_prevalence, ledger.trained_prevalence)


def test_a_ledger_that_is_exact_is_not_measured() -> None:
    labels = Labels("binary", ("ill",), (np.arange(100) % 10 == 0).astype(np.float32), np.arange(100))
    ledger = Ledger([plan_sampling(labels)], census=count_labels(labels))
    assert measured_ledger(ledger, [np.zeros((1, 5, 1))], [np.ones((5, 1))]) is ledger


def _graded(rows: int, slope: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs, grades drawn from the model of adjacent categories that they mean, and their shares."""
    rng = np.random.default_rng(3)
    scores = rng.normal(1.2, 0.8, rows)
    log_p = slope * np.outer(scores, np.arange(4)) + np.array([0.0, -1.0, -2.0, -6.0])
    p = np.exp(log_p - np.logaddexp.reduce(log_p, axis=1)[:, None])
    grades = (rng.random((rows, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return scores, grades, p


def test_a_regression_is_measured_on_rows_that_were_not_learned_from() -> None:
    scores, grades, p = _graded(20_000, 1.5)
    truth = np.where(np.arange(20_000)[:, None] % 10 == 0, np.nan, np.eye(4)[grades])
    prevalence = np.nanmean(truth, axis=0)
    weights = ClassWeights(("a", "b", "c", "d"), np.array([1.0, 2.0, 3.0, 9.0]), "none", {}, "class_weight")
    ledger = Ledger([weights, RegressionCorrection(4)], prevalence=prevalence)
    measured = measured_ledger(ledger, [scores[None, :, None]], [truth])
    said = softmax(measured.to_natural(scores[:, None]))
    known = ~np.isnan(truth[:, 0])
    np.testing.assert_allclose(said[known].mean(axis=0), prevalence, atol=1e-8)
    assert measured.corrections[1].spread == pytest.approx(1.5**-0.5, rel=0.03)
    np.testing.assert_allclose(said, p, atol=0.02)
    again = Ledger.from_dict(json.loads(json.dumps(measured.to_dict())))
    np.testing.assert_array_equal(again.to_natural(scores[:, None]), measured.to_natural(scores[:, None]))


def test_the_measured_regression_is_that_of_largest_likelihood() -> None:
    scores, grades, _ = _graded(400, 2.0)
    ledger = Ledger([RegressionCorrection(4)], ("a", "b", "c", "d"), "class_weight", np.bincount(grades) / 400)
    measured = measured_ledger(ledger, [scores[None, :, None]], [np.eye(4)[grades]])

    def unlikelihood(values: np.ndarray) -> float:
        log_p = np.outer(scores, values[0] * np.arange(4)) + np.array([0.0, *values[1:]])
        return float(np.mean(np.logaddexp.reduce(log_p, axis=1) - log_p[np.arange(400), grades]))

    best = minimize(unlikelihood, np.zeros(4), method="BFGS")
    assert measured.corrections[0].spread == pytest.approx(best.x[0] ** -0.5, rel=1e-3)
    said = measured.to_natural(scores[:, None])[np.arange(400), grades]
    assert -said.mean() == pytest.approx(best.fun, abs=1e-6)


@pytest.mark.parametrize(
    "scores", [[0.0, 0.0, 0.0, 0.0], [3.0, 2.0, 1.0, 0.0], [0.0, 10.0, 20.0, 1e6], [1.0, np.nan, 2, 3]]
)
def test_a_regression_that_says_nothing_or_the_contrary_stays_usable(scores: list[float]) -> None:
    ledger = Ledger([RegressionCorrection(4)], ("a", "b", "c", "d"), "class_weight", np.array([0.5, 0.5, 0.0, 0.0]))
    measured = measured_ledger(ledger, [np.array(scores)[None, :, None]], [np.eye(4)])
    natural = measured.to_natural(np.array([[0.0], [1.0], [30.0]]))
    assert np.isfinite(natural).all()
    assert (np.diff(softmax(natural) @ np.arange(4)) >= 0).all()


@pytest.mark.parametrize("prevalence", [1e-6, 0.2, 0.999])
@pytest.mark.parametrize("spread", [0.0, 1.0, 300.0])
def test_the_matching_shift_is_found_for_scores_of_any_size(prevalence: float, spread: float) -> None:
    logits = np.random.default_rng(2).normal(5.0, spread, 1000)
    shift = matching_shift(logits, prevalence)
    said = np.exp(-np.logaddexp(0.0, shift - logits)).mean()
    # Of 1,000 scores far apart each is 0 or 1, and the mean a step of one in a thousand at most.
    assert said == pytest.approx(prevalence, abs=1e-9 if spread < 100 else 1e-3)
