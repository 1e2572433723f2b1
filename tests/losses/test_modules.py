"""Loss modules: what they accept, refuse, say and keep out of the state."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from equipoise._checks import ArgumentError
from equipoise.balance import Ledger, class_weights
from equipoise.labels import Census
from equipoise.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    SigmoidFocal,
    SoftmaxFocal,
    binary_cross_entropy_loss,
    cross_entropy_loss,
    make_loss,
    sigmoid_focal_loss,
)

FINDINGS = Census.from_counts({"Hernia": (227, 111_893), "Mass": (5_782, 106_338)}, task="multilabel")
GRADES = Census.from_counts({"none": 80, "mild": 15, "severe": 5}, task="ordinal")


@pytest.mark.parametrize(
    ("name", "task", "kind"),
    [
        ("auto", "binary", BinaryCrossEntropy),
        ("auto", "multilabel", BinaryCrossEntropy),
        ("auto", "multiclass", CrossEntropy),
        ("auto", "ordinal", CrossEntropy),
        ("bce", "binary", BinaryCrossEntropy),
        ("cross_entropy", "ordinal", CrossEntropy),
        ("focal", "multilabel", SigmoidFocal),
        ("focal", "multiclass", SoftmaxFocal),
    ],
)
def test_the_loss_of_a_task(name, task, kind):
    assert type(make_loss(name, task)) is kind


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_loss("bce", "multiclass"), 'Loss "bce" is not for a multiclass task. Use "auto" or one of'),
        (lambda: make_loss("focl", "binary"), 'Did you mean "focal"?'),
        (lambda: make_loss("auto", "regression"), "`task` of make_loss must be one of"),
        (lambda: make_loss("bce", "binary", alpha=0.25), "`alpha` belongs to focal loss"),
        (
            lambda: make_loss("bce", "multilabel", weights=class_weights(GRADES)),
            "a pos_weight; got a class_weight",
        ),
        (
            lambda: make_loss("auto", "ordinal", weights=class_weights(FINDINGS)),
            "a class_weight; got a pos_weight",
        ),
        (lambda: make_loss("focal", "binary", alpha=1.0), "above 0 and below 1"),
        (lambda: make_loss("focal", "binary", alpha="balanced"), "needs to know how common the classes are"),
        (lambda: make_loss("focal", "binary", alpha="even"), 'must be numbers, "balanced" or None; got "even"'),
        (lambda: make_loss("focal", "binary", gamma=-1.0), "`gamma` of SigmoidFocal must be at least 0.0"),
        (lambda: make_loss("bce", "binary", reduction="avg"), "`reduction` of BinaryCrossEntropy must be one of"),
        (
            lambda: make_loss("bce", "binary", expected_weight=0.0),
            "`expected_weight` of BinaryCrossEntropy must",
        ),
        (
            lambda: BinaryCrossEntropy([1.0, float("nan")]),
            "finite numbers above 0, one a class; got [1.0, nan].",
        ),
        (lambda: BinaryCrossEntropy(torch.ones(2, 1)), "must be finite numbers above 0"),
        (lambda: BinaryCrossEntropy([-1.0]), "must be finite numbers above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(call, message):
    with pytest.raises(ArgumentError) as raised:
        call()
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binary_cross_entropy_loss(torch.zeros(4, 1), torch.zeros(4)), "take logits.squeeze(-1)"),
        (
            lambda: binary_cross_entropy_loss(torch.zeros(3), torch.zeros(3), pos_weight=torch.ones(3)),
            "`pos_weight` of binary_cross_entropy_loss must hold one number for each of the 1 classes; got 3.",
        ),
        (
            lambda: sigmoid_focal_loss(torch.zeros(3, 2), torch.zeros(3, 2), alpha=torch.ones(3) / 2),
            "`alpha` of sigmoid_focal_loss must hold one number for each of the 2 classes; got 3.",
        ),
        (lambda: cross_entropy_loss(torch.zeros(3, 1), torch.zeros(3)), "use a sigmoid loss"),
        (lambda: cross_entropy_loss(torch.zeros(3, 4), torch.zeros(3, 4)), "Take labels.argmax(1) of one-hot labels."),
        (
            lambda: cross_entropy_loss(torch.zeros(3, 4), torch.zeros(3), class_weight=torch.ones(5)),
            "one number for each of the 4 classes; got 5",
        ),
        (
            lambda: binary_cross_entropy_loss(torch.zeros(3), torch.zeros(3), reduction="avg"),
            "`reduction` of the loss must be one of",
        ),
    ],
)
def test_shapes_that_would_broadcast_are_refused(call, message):
    with pytest.raises(ArgumentError) as raised:
        call()
    assert message in str(raised.value)


def test_mean_divides_by_entries_times_expected_weight():
    weights = class_weights(FINDINGS, "inverse")
    loss = make_loss("bce", "multilabel", weights=weights)
    logits, labels = torch.randn(6, 2), torch.tensor([[1.0, 0.0], [0.0, torch.nan]] * 3)
    total = binary_cross_entropy_loss(logits, labels, pos_weight=torch.tensor(weights.values).float(), reduction="sum")
    torch.testing.assert_close(loss(logits, labels), total / (9 * weights.expected_weight))
    torch.testing.assert_close(loss(logits, labels, normaliser=20.0), total / (20 * weights.expected_weight))
    plain = make_loss("bce", "multilabel", weights=weights, expected_weight=1.0)
    torch.testing.assert_close(plain(logits, labels), total / 9)


def test_checkpoint_without_weights_loads_into_a_weighted_run_and_back():
    def run(weights):
        return torch.nn.ModuleDict(
            {"model": torch.nn.Linear(3, 2), "loss": make_loss("focal", "multilabel", **weights)}
        )

    plain, weighted = run({}), run({"weights": class_weights(FINDINGS), "alpha": 0.25})
    assert set(plain.state_dict()) == set(weighted.state_dict()) == {"model.weight", "model.bias"}
    weighted.load_state_dict(plain.state_dict(), strict=True)
    plain.load_state_dict(weighted.state_dict(), strict=True)


def test_weights_follow_the_module_and_copies():
    loss = make_loss("bce", "multilabel", weights=class_weights(FINDINGS))
    assert loss.double().weights.dtype == torch.float64
    assert torch.equal(copy.deepcopy(loss).weights, loss.weights)
    assert torch.equal(pickle.loads(pickle.dumps(loss)).weights, loss.weights)


def test_alpha_is_the_weight_of_the_positive():
    positive = sigmoid_focal_loss(torch.zeros(1), torch.ones(1), gamma=0.0, alpha=0.25)
    negative = sigmoid_focal_loss(torch.zeros(1), torch.zeros(1), gamma=0.0, alpha=0.25)
    assert positive / negative == pytest.approx(1 / 3)


def test_balanced_alpha_makes_both_sides_weigh_the_same():
    sigmoid = make_loss("focal", "multilabel", alpha="balanced", prevalence=FINDINGS.prevalence)
    assert sigmoid.starting_ratio() == pytest.approx(np.ones(2), rel=1e-4)
    softmax = make_loss("focal", "ordinal", alpha="balanced", prevalence=GRADES.prevalence)
    assert softmax.starting_ratio() == pytest.approx(np.full(3, 0.5))
    assert softmax.alpha.tolist() == pytest.approx([100 / (3 * n) for n in (80, 15, 5)])


def test_losses_say_the_ratio_they_start_from():
    loss = make_loss("focal", "binary", alpha=0.25, prevalence=np.array([227 / 112_120]))
    assert loss.describe() == (
        "Focal loss (gamma 2, alpha 0.25): one positive weighs 0.25, one negative 0.75, positive:negative 1:3; "
        "all together they start at 1:1.48e+03."
    )
    weighted = make_loss("bce", "multilabel", weights=class_weights(FINDINGS, "inverse"))
    assert "one positive of Hernia weighs 492.9, one negative 1, positive:negative 493:1" in weighted.describe()
    assert "start at 1:1" in weighted.describe()
    assert "(none)" in make_loss("auto", "ordinal", weights=class_weights(GRADES)).describe()
    assert make_loss("auto", "binary").describe().endswith("positive:negative 1:1.")
    assert "gamma 2" in repr(make_loss("focal", "binary"))


def test_a_loss_enters_the_ledger():
    loss = make_loss("focal", "binary", gamma=3.0, alpha=0.75)
    ledger = Ledger([loss.correction()], classes=("a",), kind="pos_weight")
    assert ledger.gamma == 3.0
    assert ledger.log_odds_shift[0] == pytest.approx(np.log(3))


def test_a_model_trained_under_every_correction_returns_to_the_truth():
    """Two groups of rows whose rates are known: focal, alpha and pos_weight together, undone by the ledger."""
    rates = torch.tensor([0.02, 0.30], dtype=torch.float64)
    census = Census.from_counts({"a": (320, 1680)}, task="binary")
    loss = make_loss("focal", "binary", gamma=2.0, alpha=0.3, weights=class_weights(census, "sqrt")).double()
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=0, history_size=20)

    def risk():
        optimiser.zero_grad()
        value = sum(rates * loss_of(1.0) + (1 - rates) * loss_of(0.0))
        value.backward()
        return value

    loss.reduction = "none"
    loss_of = lambda label: loss(logits, torch.full_like(logits, label))
    optimiser.step(risk)
    ledger = Ledger([class_weights(census, "sqrt"), loss.correction()])
    natural = 1 / (1 + np.exp(-ledger.to_natural(logits.detach().numpy())))
    np.testing.assert_allclose(natural, rates.numpy(), atol=1e-6)
    assert np.all(np.abs(torch.sigmoid(logits).detach().numpy() - rates.numpy()) > 0.02)


@pytest.mark.parametrize("name", ["bce", "focal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_each_row_by_torch_func(name, dtype):
    loss = make_loss(name, "multilabel", weights=class_weights(FINDINGS), reduction="sum")
    logits, labels = torch.randn(6, 2, dtype=dtype), torch.tensor([[1.0, 0.0], [0.0, torch.nan]] * 3)
    one = lambda z, y: loss(z[None], y[None])
    by_row = torch.func.vmap(torch.func.grad(one))(logits, labels)
    leaf = logits.clone().requires_grad_()
    loss(leaf, labels).backward()
    torch.testing.assert_close(by_row, leaf.grad)


def test_slope_of_the_slope_of_focal_is_refused_not_wrong():
    logits = torch.randn(3, requires_grad=True)
    slope = torch.autograd.grad(sigmoid_focal_loss(logits, torch.ones(3)), logits, create_graph=True)[0]
    with pytest.raises(RuntimeError):
        slope.sum().backward()
