"""Members are averaged as probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equipoise.balance import Deferred, FocalCorrection, Ledger, plan_sampling
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
    measured = measured_ledger(ledger, [logits], [known])
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
    assert measured_ledger(ledger, [np.zeros((1, 5, 1))], [np.ones((5, 1), bool)]) is ledger


@pytest.mark.parametrize("prevalence", [1e-6, 0.2, 0.999])
@pytest.mark.parametrize("spread", [0.0, 1.0, 300.0])
def test_the_matching_shift_is_found_for_scores_of_any_size(prevalence: float, spread: float) -> None:
    logits = np.random.default_rng(2).normal(5.0, spread, 1000)
    shift = matching_shift(logits, prevalence)
    said = np.exp(-np.logaddexp(0.0, shift - logits)).mean()
    # Of 1,000 scores far apart each is 0 or 1, and the mean a step of one in a thousand at most.
    assert said == pytest.approx(prevalence, abs=1e-9 if spread < 100 else 1e-3)
