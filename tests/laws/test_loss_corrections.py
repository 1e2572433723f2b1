"""The law of the ledger over every loss: what minimises its expected value maps back to the true probability.

The minimiser is found numerically on the loss function itself, so no formula of the ledger is used to check it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from equipoise._checks import ArgumentError, DataError
from equipoise.balance import (
    AsymmetricCorrection,
    ClassWeights,
    CornCorrection,
    Deferred,
    DistributionBalancedCorrection,
    FocalCorrection,
    Ledger,
    LogitAdjustment,
    MarginCorrection,
    RegressionCorrection,
    SmoothingCorrection,
    measured_weights,
)
from equipoise.balance.corrections import rebalancing_weights
from equipoise.losses import (
    LOSSES,
    DistributionBalanced,
    asymmetric_loss,
    binary_cross_entropy_loss,
    corn_loss,
    cross_entropy_loss,
    distribution_balanced_loss,
    ldam_loss,
    logit_adjusted_loss,
    make_loss,
    regression_loss,
    sigmoid_logit_adjusted_loss,
    squared_distance_loss,
)

few = settings(deadline=None, max_examples=25)
NAMES = ("a", "b", "c", "d")


def sigmoid_best(loss: Callable[..., torch.Tensor], eta: float, **given_: object) -> float:
    """Logit at which the slope of the expected loss is zero, by bracketing."""

    def slope(z: float) -> float:
        leaf = torch.full((2, 1), z, dtype=torch.float64, requires_grad=True)
        labels = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
        loss(leaf, labels, reduction="none", **given_).backward(torch.tensor([[eta], [1 - eta]], dtype=torch.float64))
        return float(leaf.grad.sum())

    return brentq(slope, -40.0, 40.0, xtol=1e-12, rtol=1e-14, maxiter=500)


def softmax_best(loss: Callable[..., torch.Tensor], eta: np.ndarray, outputs: int, **given_: object) -> np.ndarray:
    """Logits of least expected loss, by descent."""
    labels = torch.arange(len(eta))

    def risk(z: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.tensor(z, dtype=torch.float64, requires_grad=True)
        total = (loss(leaf.expand(len(eta), -1), labels, reduction="none", **given_) * torch.from_numpy(eta)).sum()
        total.backward()
        return float(total.detach()), leaf.grad.numpy()

    return minimize(risk, np.zeros(outputs), jac=True, method="BFGS", options={"gtol": 1e-11, "maxiter": 3000}).x


def chance(log_odds: np.ndarray) -> float:
    return float(1 / (1 + np.exp(-log_odds)))


def shares(log_p: np.ndarray) -> np.ndarray:
    p = np.exp(log_p - log_p.max())
    return p / p.sum()


def binary(*entries: object, weight: float = 1.0) -> Ledger:
    return Ledger([ClassWeights(("a",), np.array([weight]), "none", {}, "pos_weight"), *entries])


def many(classes: int, *entries: object, weight: np.ndarray) -> Ledger:
    return Ledger([ClassWeights(NAMES[:classes], weight, "none", {}, "class_weight"), *entries])


@few
@given(
    eta=st.floats(1e-3, 0.9), weight=st.floats(0.2, 20.0), up=st.one_of(st.just(0.0), st.floats(0.3, 3.0)),
    down=st.floats(0.0, 5.0), margin=st.one_of(st.just(0.0), st.floats(0.01, 0.3)),
)  # fmt: skip
def test_asymmetric_scores_return_within_their_range(eta, weight, up, down, margin):
    entry = AsymmetricCorrection(up, down, margin)
    low, high = entry.range
    odds = eta * weight / (1 - eta)
    # `range` is of the odds that the loss sees, after the weight.
    if not low < odds / (1 + odds) < high * 0.999:
        return
    best = sigmoid_best(asymmetric_loss, eta, gamma_positive=up, gamma_negative=down, margin=margin,
                        pos_weight=torch.tensor([weight], dtype=torch.float64))  # fmt: skip
    assert chance(binary(entry, weight=weight).to_natural(np.array([best]))[0]) == pytest.approx(eta, abs=1e-7)


@pytest.mark.parametrize(
    "entry", [AsymmetricCorrection(), AsymmetricCorrection(1.0, 4.0, 0.0), AsymmetricCorrection(2, 1, 0.3)]
)
def test_undoing_asymmetric_never_turns_scores_round(entry):
    scores = np.linspace(-300, 25, 2001)[:, None]
    natural = entry.unbend(scores, "pos_weight")[:, 0]
    assert np.isfinite(entry.unbend(np.array([[-1e4], [1e4]]), "pos_weight")).all()
    assert (np.diff(natural) > 0).all()


def test_asymmetric_says_how_good_it_is():
    low, high = AsymmetricCorrection(0.0, 4.0, 0.05).range
    assert low < 1e-7
    assert high == pytest.approx(0.9637, abs=1e-4)  # c / (1 + c), c = 4 0.95^3 ln 20 + 0.95^4 / 0.05 = 26.56
    (said,) = AsymmetricCorrection(0.0, 4.0, 0.05).sentences()
    assert "approximate" in said
    assert "above 0.964" in said
    assert "exact" in AsymmetricCorrection(0.0, 4.0, 0.0).sentences()[0]


@few
@given(eta=st.floats(1e-3, 0.999), weight=st.floats(0.2, 20.0), prior=st.floats(0.001, 0.9), tau=st.floats(0, 2))
def test_sigmoid_logit_adjustment_returns_exactly(eta, weight, prior, tau):
    best = sigmoid_best(sigmoid_logit_adjusted_loss, eta, prior=torch.tensor([prior], dtype=torch.float64), tau=tau,
                        pos_weight=torch.tensor([weight], dtype=torch.float64))  # fmt: skip
    entry = LogitAdjustment(tau, np.array([prior]))
    assert chance(binary(entry, weight=weight).to_natural(np.array([best]))[0]) == pytest.approx(eta, abs=1e-8)


@few
@given(eta=st.floats(1e-3, 0.999), weight=st.floats(0.2, 20.0), smoothing=st.floats(0.01, 0.5))
def test_smoothed_sigmoid_scores_return_exactly(eta, weight, smoothing):
    best = sigmoid_best(
        binary_cross_entropy_loss, eta, smoothing=smoothing, pos_weight=torch.tensor([weight], dtype=torch.float64)
    )
    ledger = binary(SmoothingCorrection(smoothing), weight=weight)
    assert chance(ledger.to_natural(np.array([best]))[0]) == pytest.approx(eta, abs=1e-7)


@few
@given(
    eta=st.floats(1e-3, 0.999), weight=st.floats(0.2, 20.0), gamma=st.floats(0.0, 4.0), lam=st.floats(1.0, 6.0),
    prior=st.floats(0.01, 0.9), kappa=st.floats(0.0, 1.0),
)  # fmt: skip
def test_distribution_balanced_scores_return_where_rows_weigh_the_same(eta, weight, gamma, lam, prior, kappa):
    given_ = {"gamma": gamma, "negative_scale": lam, "kappa": kappa}
    one = lambda value: torch.tensor([value], dtype=torch.float64)
    best = sigmoid_best(
        distribution_balanced_loss, eta, rebalance=None, prior=one(prior), pos_weight=one(weight), **given_
    )
    entry = DistributionBalanced(rebalance=None, prevalence=np.array([prior]), **given_).correction()
    natural = binary(entry, weight=weight).to_natural(np.array([best]))[0]
    assert chance(natural) == pytest.approx(eta, abs=1e-5)  # the prior of the module is float32


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("lam", [1.0, 2.0, 5.0])
def test_undoing_distribution_balanced_never_turns_scores_round(gamma, lam):
    entry = DistributionBalancedCorrection(gamma, lam, np.array([0.3]), np.array([0.1]))
    assert (np.diff(entry.unbend(np.linspace(-50, 50, 2001)[:, None], "pos_weight")[:, 0]) > 0).all()


def test_the_weights_of_distribution_balanced_are_measured_on_the_labels():
    made = np.random.default_rng(0)
    prevalence = np.array([0.4, 0.1, 0.02])
    labels = (made.random((20_000, 3)) < prevalence).astype(np.float64)
    labels[made.random(labels.shape) < 0.1] = np.nan
    shift, spread = measured_weights(labels, prevalence, (0.1, 10.0, 0.2))
    weights = rebalancing_weights(labels, prevalence, (0.1, 10.0, 0.2))
    for position in range(3):
        column = labels[:, position]
        means = [weights[column == side, position].mean() for side in (1.0, 0.0)]
        assert shift[position] == pytest.approx(np.log(means[0] / means[1]))
    assert spread > 0
    entry = DistributionBalanced(prevalence=prevalence).correction(labels)
    assert entry.log_odds_shift_for("pos_weight") == pytest.approx(shift, abs=1e-5)
    assert "varies by" in entry.sentences()[0]
    # The same weights as in the loss: at score nu every entry of a positive loses weight ln 2.
    nu = torch.from_numpy(-0.05 * np.log(prevalence / (1 - prevalence))).expand(len(labels), 3)
    losses = distribution_balanced_loss(nu, torch.from_numpy(labels), prior=torch.from_numpy(prevalence), gamma=0.0,
                                        negative_scale=1.0, reduction="none").numpy()  # fmt: skip
    known = ~np.isnan(labels)
    np.testing.assert_allclose(losses[known], weights[known] * np.log(2), rtol=1e-9)


def drawn(data: st.DataObject, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    numbers = lambda low, high: np.array([data.draw(st.floats(low, high)) for _ in range(classes)])
    eta = numbers(0.02, 1.0)
    return eta / eta.sum(), numbers(0.2, 20.0), numbers(0.02, 0.9)


@few
@given(data=st.data(), classes=st.integers(2, 4), tau=st.floats(0.0, 2.0))
def test_logit_adjusted_scores_return_exactly(data, classes, tau):
    eta, weight, prior = drawn(data, classes)
    best = softmax_best(logit_adjusted_loss, eta, classes, prior=torch.from_numpy(prior), tau=tau,
                        class_weight=torch.from_numpy(weight))  # fmt: skip
    natural = many(classes, LogitAdjustment(tau, prior), weight=weight).to_natural(best[None])[0]
    np.testing.assert_allclose(shares(natural), eta, atol=1e-6)


@few
@given(data=st.data(), classes=st.integers(2, 4), scale=st.floats(0.5, 2.0))
def test_ldam_scores_return_exactly_up_to_margins_of_log_two(data, classes, scale):
    eta, weight, margins = drawn(data, classes)
    margins *= np.log(2) / scale / 0.9
    best = softmax_best(ldam_loss, eta, classes, margins=torch.from_numpy(margins), scale=scale,
                        class_weight=torch.from_numpy(weight))  # fmt: skip
    entry = MarginCorrection(margins, scale)
    assert entry.exact
    natural = many(classes, entry, weight=weight).to_natural(best[None])[0]
    np.testing.assert_allclose(shares(natural), eta, atol=1e-6)


def test_larger_margins_are_said_to_be_approximate_and_keep_the_order():
    entry = MarginCorrection(np.array([0.1, 0.5]), 30.0)
    assert not entry.exact
    assert "approximate" in entry.sentences()[0]
    scores = np.stack([np.zeros(401), np.linspace(-3, 3, 401)], axis=1)
    natural = entry.unbend(scores, "class_weight")
    assert (np.diff(natural[:, 1] - natural[:, 0]) > 0).all()
    assert np.isfinite(entry.unbend(np.array([[1e4, -1e4]]), "class_weight")).all()


@few
@given(data=st.data(), classes=st.integers(2, 4), smoothing=st.floats(0.01, 0.4))
def test_smoothed_softmax_scores_return_exactly(data, classes, smoothing):
    eta, weight, _ = drawn(data, classes)
    best = softmax_best(cross_entropy_loss, eta, classes, smoothing=smoothing, class_weight=torch.from_numpy(weight))
    natural = many(classes, SmoothingCorrection(smoothing), weight=weight).to_natural(best[None])[0]
    np.testing.assert_allclose(shares(natural), eta, atol=1e-6)


@few
@given(data=st.data(), classes=st.integers(2, 4))
def test_corn_outputs_become_the_true_probabilities(data, classes):
    eta, weight, _ = drawn(data, classes)
    best = softmax_best(corn_loss, eta, classes - 1, class_weight=torch.from_numpy(weight))
    ledger = many(classes, CornCorrection(), weight=weight)
    assert ledger.outputs == classes - 1
    np.testing.assert_allclose(shares(ledger.to_natural(best[None])[0]), eta, atol=1e-6)


@few
@given(data=st.data(), classes=st.integers(2, 4), share=st.floats(0.0, 1.0))
def test_squared_distance_is_least_at_the_true_probabilities(data, classes, share):
    eta, weight, _ = drawn(data, classes)
    best = softmax_best(squared_distance_loss, eta, classes, cross_entropy=share,
                        class_weight=torch.from_numpy(weight))  # fmt: skip
    np.testing.assert_allclose(shares(many(classes, weight=weight).to_natural(best[None])[0]), eta, atol=1e-5)


@few
@given(data=st.data(), classes=st.integers(2, 4))
def test_regression_is_least_at_the_mean_grade_of_the_weighted_rows(data, classes):
    eta, weight, _ = drawn(data, classes)
    best = softmax_best(regression_loss, eta, 1, class_weight=torch.from_numpy(weight))
    seen = eta * weight / (eta @ weight)
    assert best[0] == pytest.approx(seen @ np.arange(classes), abs=1e-6)
    ledger = many(classes, RegressionCorrection(classes), weight=weight)
    assert ledger.outputs == 1
    assert ledger.starting_scores(np.log(seen)) == pytest.approx(best, abs=1e-6)


@few
@given(data=st.data(), classes=st.integers(2, 4), spread=st.floats(0.25, 5.0))
def test_the_expected_grade_rises_with_the_output_of_a_regression(data, classes, spread):
    """So a cut point of one is a cut point of the other, whatever offsets and weights are in force."""
    _, weight, _ = drawn(data, classes)
    offsets = np.array(data.draw(st.lists(st.floats(-3, 3), min_size=classes, max_size=classes)))
    ledger = many(classes, RegressionCorrection(classes, spread, offsets), weight=weight)
    scores = np.sort(np.random.default_rng(0).uniform(-0.5, classes - 0.5, 200))
    log_p = ledger.to_natural(scores[:, None])
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    expected = (p @ np.arange(classes)) / p.sum(axis=1)
    assert log_p.shape == (200, classes)
    assert (np.diff(expected) > 0).all()


@few
@given(data=st.data(), classes=st.integers(2, 4), spread=st.floats(0.4, 3.0))
def test_a_regression_whose_bell_is_right_returns_exactly(data, classes, spread):
    """With no offsets, weights move the mean of a bell; the shift that is taken off gives back the unweighted one."""
    _, weight, _ = drawn(data, classes)
    score = data.draw(st.floats(0.0, classes - 1.0))
    ledger = many(classes, RegressionCorrection(classes, spread), weight=weight)
    seen = np.exp(-((score - np.arange(classes)) ** 2) / (2 * spread**2))
    np.testing.assert_allclose(shares(ledger.to_natural(np.array([[score]]))[0]), shares(np.log(seen / weight)))


# -- the entries as records ------------------------------------------------------------------------------------------

ENTRIES = [
    AsymmetricCorrection(1.0, 4.0, 0.05),
    LogitAdjustment(0.5, np.array([0.9, 0.1])),
    DistributionBalancedCorrection(2.0, 2.0, np.array([0.1, 0.2]), np.array([0.3, 0.4]), 0.5),
    SmoothingCorrection(0.1),
    MarginCorrection(np.array([0.1, 0.5]), 1.0),
    CornCorrection(),
    RegressionCorrection(2),
    RegressionCorrection(2, 0.4, np.array([0.0, -1.5])),
    Deferred(FocalCorrection(2.0), 3),
    Deferred(LogitAdjustment(1.0, np.array([0.9, 0.1])), 3),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_entries_survive_a_round_trip(entry):
    kind = getattr(entry, "kind", None) or "pos_weight"
    ledger = Ledger([entry], classes=("a", "b"), kind=kind, prevalence=np.array([0.9, 0.1]))
    again = Ledger.from_dict(ledger.to_dict())
    scores = np.random.default_rng(0).normal(size=(9, ledger.outputs))
    np.testing.assert_array_equal(again.to_natural(scores), ledger.to_natural(scores))
    assert again.sentences() == ledger.sentences()
    assert np.isfinite(ledger.to_natural(np.array([[1e4, -1e4]])[:, : ledger.outputs])).all()


def test_a_deferred_correction_is_in_force_from_its_epoch_on():
    weights = ClassWeights(("a",), np.array([4.0]), "inverse", {}, "pos_weight")
    ledger = Ledger([Deferred(weights, 5)], prevalence=np.array([0.2]))
    assert ledger.classes == ("a",)
    assert ledger.log_odds_shift == pytest.approx(np.log(4))
    assert ledger.at_epoch(4).log_odds_shift == 0.0
    assert ledger.at_epoch(5).log_odds_shift == pytest.approx(np.log(4))
    assert "From epoch 5 on: inverse pos_weight." in ledger.sentences()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AsymmetricCorrection(-1.0), "`gamma_positive` of AsymmetricCorrection must be at least 0.0"),
        (lambda: AsymmetricCorrection(margin=1.0), "`margin` of AsymmetricCorrection must be at most 0.99"),
        (lambda: LogitAdjustment(1.0, np.array([0.0, 1.0])), "`prior` of LogitAdjustment must be finite"),
        (lambda: MarginCorrection(np.array([-0.1])), "`margins` of MarginCorrection"),
        (lambda: SmoothingCorrection(1.0), "`smoothing` of SmoothingCorrection must be at most 0.99"),
        (lambda: RegressionCorrection(1), "`grades` of RegressionCorrection must be at least 2"),
        (lambda: RegressionCorrection(3, 0.0), "`spread` of RegressionCorrection must be at least 0.25"),
        (lambda: RegressionCorrection(3, 1.0, np.zeros(2)), "must hold 3 numbers, one a grade"),
        (
            lambda: Ledger([RegressionCorrection(3)], classes=("a", "b"), kind="class_weight"),
            "RegressionCorrection of Ledger has 3 values for 2 classes",
        ),
        (lambda: Deferred(CornCorrection(), 0), "`from_epoch` of Deferred must be a whole number of at least 1"),
        (lambda: Ledger([CornCorrection()], classes=("a",), kind="pos_weight"), "CornCorrection is not for"),
        (
            lambda: Ledger([FocalCorrection(), AsymmetricCorrection()], classes=("a",), kind="pos_weight"),
            "can undo one focal loss",
        ),
    ],
)  # fmt: skip
def test_entries_that_cannot_be_are_refused(call, message):
    with pytest.raises(ArgumentError, match=message.replace("(", r"\(")):
        call()


def test_stored_entries_that_cannot_be_are_refused():
    stored = Ledger([SmoothingCorrection(0.1)], classes=("a",), kind="pos_weight").to_dict()
    stored["corrections"][0]["smoothing"] = "much"
    with pytest.raises(DataError, match="SmoothingCorrection cannot be used"):
        Ledger.from_dict(stored)
    stored["corrections"][0] = {"type": "label_smoothing"}
    with pytest.raises(DataError, match='SmoothingCorrection has "smoothing"'):
        Ledger.from_dict(stored)


@pytest.mark.parametrize("entry", LOSSES, ids=lambda entry: f"{entry.name}-{entry.weight_argument}")
def test_every_loss_enters_a_ledger(entry):
    loss = make_loss(entry.name, entry.tasks[0], prevalence=np.array([0.7, 0.2, 0.1]))
    correction = loss.correction(np.eye(3)[np.arange(9) % 3])
    ledger = Ledger(
        [] if correction is None else [correction], classes=NAMES[:3], kind=entry.weight_argument,
        prevalence=np.array([0.7, 0.2, 0.1]),
    )  # fmt: skip
    assert ledger.outputs == entry.outputs(3)
    natural = ledger.to_natural(np.array([[-3.0, 0.5, 2.0]])[:, : ledger.outputs])
    assert natural.shape == (1, 3)
    assert Ledger.from_dict(ledger.to_dict()).to_dict() == ledger.to_dict()


@few
@given(data=st.data(), classes=st.integers(2, 4))
def test_a_stated_prevalence_is_the_rule_of_bayes(data, classes):
    """Two populations in which the classes look alike: the same densities, other priors."""
    density, _, natural = drawn(data, classes)
    _, _, stated = drawn(data, classes)
    natural, stated = natural / natural.sum(), stated / stated.sum()
    posterior = lambda prior: density * prior / (density @ prior)
    ledger = Ledger((), NAMES[:classes], "class_weight", natural)
    moved = ledger.to_prevalence(np.log(posterior(natural))[None], stated)[0]
    np.testing.assert_allclose(shares(moved), posterior(stated), rtol=1e-9)
    sigmoid = Ledger((), ("a",), "pos_weight", natural[:1])
    chance_of = lambda prior: density[0] * prior / (density[0] * prior + density[1] * (1 - prior))
    score = np.log(chance_of(natural[0]) / (1 - chance_of(natural[0])))
    assert chance(sigmoid.to_prevalence(np.array([score]), stated[:1])[0]) == pytest.approx(chance_of(stated[0]))


def test_a_stated_prevalence_that_cannot_be_is_refused():
    ledger = Ledger((), ("a", "b"), "class_weight", np.array([0.9, 0.1]))
    for stated in (np.array([0.5, 0.6]), np.array([1.0, 0.0]), np.array([0.5])):
        with pytest.raises(ArgumentError, match="with sum 1"):
            ledger.to_prevalence(np.zeros((1, 2)), stated)
    bare = Ledger((), ("a", "b"), "class_weight")
    with pytest.raises(ArgumentError, match="needs a natural prevalence"):
        bare.to_prevalence(np.zeros((1, 2)), np.array([0.5, 0.5]))
