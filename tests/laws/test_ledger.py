"""The law of the ledger: what minimises the expected loss maps back to the true probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from equipoise.balance import ClassWeights, FocalCorrection, Ledger

GAMMAS = st.one_of(st.just(0.0), st.floats(0.1, 5.0))


def sigmoid_minimiser(eta: float, weight: float, alpha: float | None, gamma: float) -> float:
    """Logit at which the expected focal loss has slope zero, by bracketing; no formula of the ledger is used."""
    up, down = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)

    def slope(z: float) -> float:
        log_p, log_q = -np.logaddexp(0, -z), -np.logaddexp(0, z)
        p, q = np.exp(log_p), np.exp(log_q)
        missed = q**gamma * (gamma * p * log_p - q)
        alarmed = p**gamma * (p - gamma * q * log_q)
        return eta * weight * up * missed + (1 - eta) * down * alarmed

    return brentq(slope, -60.0, 60.0, xtol=1e-13, rtol=1e-15, maxiter=500)


@settings(deadline=None, max_examples=150)
@given(
    eta=st.floats(1e-4, 1 - 1e-4),
    weight=st.floats(0.05, 500.0),
    alpha=st.one_of(st.none(), st.floats(0.02, 0.98)),
    gamma=GAMMAS,
)
def test_sigmoid_scores_return_to_the_true_probability(eta, weight, alpha, gamma):
    best = sigmoid_minimiser(eta, weight, alpha, gamma)
    weights = ClassWeights(("a",), np.array([weight]), "none", {}, "pos_weight")
    natural = Ledger([weights, FocalCorrection(gamma, alpha)]).to_natural(np.array([best]))[0]
    assert 1 / (1 + np.exp(-natural)) == pytest.approx(eta, abs=1e-8)


def softmax_risk(z: np.ndarray, mass: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
    """Expected focal loss and its gradient, straight from the definition."""
    p = np.exp(z - z.max())
    p /= p.sum()
    q = 1.0 - p
    risk = float(np.sum(mass * q**gamma * -np.log(p)))
    by_p = mass * (gamma * q ** (gamma - 1) * np.log(p) - q**gamma / p)
    return risk, p * (by_p - np.sum(by_p * p))


@settings(deadline=None, max_examples=60)
@given(data=st.data(), classes=st.integers(2, 5), gamma=st.one_of(st.just(0.0), st.floats(0.5, 4.0)))
def test_softmax_scores_return_to_the_true_probabilities(data, classes, gamma):
    numbers = lambda low, high: np.array([data.draw(st.floats(low, high)) for _ in range(classes)])
    eta, weight, alpha = numbers(0.02, 1.0), numbers(0.2, 20.0), numbers(0.1, 3.0)
    eta /= eta.sum()
    mass = eta * weight * alpha
    found = minimize(
        softmax_risk, np.log(mass / mass.sum()), args=(mass / mass.sum(), gamma), jac=True, method="BFGS",
        options={"gtol": 1e-11, "maxiter": 5000},
    )  # fmt: skip
    names = tuple(f"class {number}" for number in range(classes))
    weights = ClassWeights(names, weight, "none", {}, "class_weight")
    natural = Ledger([weights, FocalCorrection(gamma, alpha)]).to_natural(found.x[None])[0]
    back = np.exp(natural - natural.max())
    np.testing.assert_allclose(back / back.sum(), eta, atol=1e-6)


@settings(deadline=None)
@given(gamma=GAMMAS, z=st.floats(-200.0, 200.0), step=st.floats(1e-3, 50.0))
def test_undoing_focal_is_odd_increasing_and_finite(gamma, z, step):
    ledger = Ledger([FocalCorrection(gamma)], classes=("a",), kind="pos_weight")
    low, same, high = ledger.to_natural(np.array([-z, z, z + step]))
    assert low == pytest.approx(-same, rel=1e-12, abs=1e-12)
    assert np.isfinite(high)
    assert high > same
    assert abs(same) >= abs(z) * (1 - 1e-12) - 1e-12  # focal scores are too timid, never too bold


@settings(deadline=None)
@given(gamma=GAMMAS, a=st.floats(-200.0, 200.0), b=st.floats(-200.0, 200.0))
def test_two_classes_of_a_softmax_are_a_sigmoid(gamma, a, b):
    softmax = Ledger([FocalCorrection(gamma)], classes=("no", "yes"), kind="class_weight")
    sigmoid = Ledger([FocalCorrection(gamma)], classes=("yes",), kind="pos_weight")
    pair = softmax.to_natural(np.array([[a, b]]))[0]
    assert pair[1] - pair[0] == pytest.approx(sigmoid.to_natural(np.array([b - a]))[0], rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(data=st.data(), gamma=GAMMAS)
def test_softmax_is_finite_and_equivariant_at_extremes(data, gamma):
    row = np.array(
        data.draw(st.lists(st.sampled_from([-1e4, -200.0, -1.0, 0.0, 3.0, 200.0, 1e4]), min_size=2, max_size=6))
    )
    names = tuple(f"class {number}" for number in range(len(row)))
    ledger = Ledger([FocalCorrection(gamma)], classes=names, kind="class_weight")
    natural = ledger.to_natural(row[None])[0]
    assert np.all(np.isfinite(natural))
    order = data.draw(st.permutations(range(len(row))))
    np.testing.assert_allclose(ledger.to_natural(row[order][None])[0], natural[order], rtol=1e-9)
    assert natural[np.argmax(row)] == pytest.approx(natural.max(), rel=1e-12)  # equal scores differ by rounding


@settings(deadline=None, max_examples=60)
@given(
    prior=st.lists(st.floats(0.001, 0.6), min_size=2, max_size=6),
    weight=st.floats(0.2, 50.0),
    alpha=st.one_of(st.none(), st.floats(0.05, 0.95)),
    gamma=GAMMAS,
    kind=st.sampled_from(["pos_weight", "class_weight"]),
)
def test_a_first_bias_means_the_natural_prior_under_every_correction(prior, weight, alpha, gamma, kind):
    shares = np.array(prior)
    names = tuple(f"class {number}" for number in range(len(shares)))
    values = np.linspace(1.0, weight, len(shares))
    ledger = Ledger([ClassWeights(names, values, "none", {}, kind), FocalCorrection(gamma, alpha)])
    natural = np.log(shares / (1 - shares)) if kind == "pos_weight" else np.log(shares / shares.sum())
    start = ledger.starting_scores(natural + ledger.log_odds_shift)
    back = ledger.to_natural(start[None])[0]
    if kind == "class_weight":
        back = back - np.logaddexp.reduce(back)
    np.testing.assert_allclose(back, natural, atol=1e-6)
