"""Laws that every loss keeps, over all of `LOSSES`: a new loss is held to them by being in the list."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from equipoise.losses import LOSSES, LossEntry

brief = settings(deadline=None, max_examples=20)
each_loss = pytest.mark.parametrize("entry", LOSSES, ids=lambda entry: f"{entry.name}-{entry.weight_argument}")
seeds = st.integers(0, 2**32 - 1)
CLASSES = 4
SLOPE_FAR_OFF = 128.0  # of squared error, from 64 grades on


def sigmoid(entry: LossEntry) -> bool:
    return entry.weight_argument == "pos_weight"


# A setting of a loss function -> how the laws draw it; `u` gives uniform numbers in [0, 1) of a shape.
DRAWN = {
    "gamma": lambda u: float(3 * u(1)),
    "alpha": lambda u: 0.05 + 0.9 * u(CLASSES),
    "gamma_positive": lambda u: float(2 * u(1)),
    "gamma_negative": lambda u: float(4 * u(1)),
    "margin": lambda u: float(0.3 * u(1)),
    "smoothing": lambda u: float(0.3 * u(1)),
    "tau": lambda u: float(2 * u(1)),
    "prior": lambda u: 0.02 + 0.9 * u(CLASSES),
    "margins": lambda u: u(CLASSES),
    "scale": lambda u: float(0.5 + u(1)),
    "rebalance": lambda u: (float(u(1)), float(10 * u(1)), float(u(1))),
    "negative_scale": lambda u: float(0.5 + 3 * u(1)),
    "kappa": lambda u: float(u(1)),
    "cross_entropy": lambda u: float(u(1)),
}


def arguments(entry: LossEntry) -> list[str]:
    """The settings of the function, which all have a way to be drawn."""
    common = {"logits", "labels", "sample_weights", "reduction", "normaliser", "has_unknowns", entry.weight_argument}
    return [name for name in inspect.signature(entry.function).parameters if name not in common]


def outputs(entry: LossEntry) -> int:
    return entry.outputs(CLASSES)


def drawn(entry: LossEntry, seed: int, *, rows: int = 12, unknown: float = 0.25) -> tuple[Tensor, Tensor, dict]:
    """Logits, labels with unknowns, and the weights and settings that the loss takes, all in float64."""
    made = torch.Generator().manual_seed(seed)
    uniform = lambda *shape: torch.rand(*shape, generator=made, dtype=torch.float64)
    logits = torch.randn(rows, outputs(entry), generator=made, dtype=torch.float64) * 4
    shape = (rows, CLASSES) if sigmoid(entry) else (rows,)
    labels = (uniform(*shape) * (2 if sigmoid(entry) else CLASSES)).floor()
    labels[uniform(*shape) < unknown] = torch.nan
    given_: dict = {entry.weight_argument: 0.1 + 5 * uniform(CLASSES)}
    return logits, labels, given_ | {name: DRAWN[name](uniform) for name in arguments(entry)}


def neutral(entry: LossEntry) -> dict:
    """Settings under which the loss is cross-entropy, or its own defaults where there are none."""
    return dict(entry.neutral or {})


def with_gradient(entry: LossEntry, logits: Tensor, labels: Tensor, **given_: object) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    loss = entry.function(leaf, labels, **given_)
    loss.sum().backward()
    assert leaf.grad is not None
    return loss.detach(), leaf.grad


def same(got: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@each_loss
@brief
@given(seed=seeds)
def test_integer_sample_weight_is_repetition(entry, seed):
    logits, labels, given_ = drawn(entry, seed)
    times = torch.randint(0, 4, (len(logits),), generator=torch.Generator().manual_seed(seed))
    rows = torch.repeat_interleave(torch.arange(len(logits)), times)
    for reduction in ("mean", "sum"):
        weighted, gradient = with_gradient(
            entry, logits, labels, sample_weights=times.double(), reduction=reduction, **given_
        )
        leaf = logits.clone().requires_grad_()
        repeated = entry.function(leaf[rows], labels[rows], reduction=reduction, **given_)
        repeated.backward()
        same((weighted, gradient), (repeated.detach(), leaf.grad))


@each_loss
@brief
@given(seed=seeds)
def test_sample_weight_zero_is_removal(entry, seed):
    logits, labels, given_ = drawn(entry, seed)
    keep = torch.arange(len(logits)) % 3 != 0
    loss, gradient = with_gradient(entry, logits, labels, sample_weights=keep.double(), **given_)
    less, gradient_less = with_gradient(entry, logits[keep], labels[keep], **given_)
    same((loss, gradient[keep]), (less, gradient_less))
    assert (gradient[~keep] == 0).all()


@each_loss
@brief
@given(seed=seeds)
def test_class_weight_is_outside_of_everything(entry, seed):
    """Doubling a weight doubles the loss of exactly the entries it weighs: it can stand in no exponent."""
    logits, labels, given_ = drawn(entry, seed)
    doubled = given_ | {entry.weight_argument: 2 * given_[entry.weight_argument]}
    plain = entry.function(logits, labels, reduction="none", **given_)
    heavy = entry.function(logits, labels, reduction="none", **doubled)
    factor = torch.where(labels == 1, 2.0, 1.0).double() if sigmoid(entry) else torch.tensor(2.0).double()
    torch.testing.assert_close(heavy, factor * plain, rtol=1e-12, atol=0)


@each_loss
@brief
@given(seed=seeds)
def test_unknown_labels_have_no_loss_and_no_gradient(entry, seed):
    logits, labels, given_ = drawn(entry, seed)
    unknown = labels.isnan()
    poison = logits.clone()
    poison[unknown if sigmoid(entry) else unknown.unsqueeze(1).expand_as(logits)] = torch.inf
    clean = with_gradient(entry, logits, labels, **given_)
    same(with_gradient(entry, poison, labels, **given_), clean)
    poison[poison.isinf()] = torch.nan
    same(with_gradient(entry, poison, labels, **given_), clean)
    assert (clean[1][unknown] == 0).all()
    assert (entry.function(poison, labels, reduction="none", **given_)[unknown] == 0).all()


@each_loss
def test_nothing_known_is_loss_zero(entry):
    logits, labels, given_ = drawn(entry, 0)
    for reduction in ("mean", "sum"):
        loss, gradient = with_gradient(entry, logits, torch.full_like(labels, torch.nan), reduction=reduction, **given_)
        assert loss == 0
        assert (gradient == 0).all()


@each_loss
@brief
@given(seed=seeds)
def test_without_unknowns_the_short_way_is_the_same(entry, seed):
    logits, labels, given_ = drawn(entry, seed, unknown=0.0)
    for reduction in ("mean", "sum", "none"):
        short = with_gradient(entry, logits, labels, has_unknowns=False, reduction=reduction, **given_)
        same(short, with_gradient(entry, logits, labels, reduction=reduction, **given_))


@each_loss
@brief
@given(seed=seeds, data=st.data())
def test_micro_batches_add_up(entry, seed, data):
    logits, labels, given_ = drawn(entry, seed)
    known = int((~labels.isnan()).sum())
    whole = with_gradient(entry, logits, labels, normaliser=float(max(1, known)), **given_)
    same(whole, with_gradient(entry, logits, labels, **given_))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(logits) - 1), max_size=4)))
    parts = [
        with_gradient(entry, z, y, normaliser=torch.tensor(max(1, known)), **given_)
        for z, y in zip(logits.tensor_split(cuts), labels.tensor_split(cuts), strict=True)
    ]
    total = torch.stack([loss for loss, _ in parts]).sum(), torch.cat([gradient for _, gradient in parts])
    same(total, whole)


def ordered(entry: LossEntry) -> bool:
    """Whether the classes are grades in an order, so that permuting them is another question."""
    return entry.tasks == ("ordinal",)


@each_loss
@brief
@given(seed=seeds, data=st.data())
def test_permuting_classes_changes_nothing(entry, seed, data):
    if ordered(entry):
        pytest.skip("grades have an order")
    logits, labels, given_ = drawn(entry, seed)
    order = torch.tensor(data.draw(st.permutations(range(CLASSES))))
    moved = {name: value[order] if isinstance(value, Tensor) else value for name, value in given_.items()}
    if sigmoid(entry):
        other = labels[:, order]
    else:
        other = torch.where(labels.isnan(), labels, order.argsort()[labels.nan_to_num().long()].double())
    loss, gradient = with_gradient(entry, logits, labels, **given_)
    same(with_gradient(entry, logits[:, order], other, **moved), (loss, gradient[:, order]))


@each_loss
@brief
@given(seed=seeds)
def test_neutral_settings_are_cross_entropy(entry, seed):
    if entry.neutral is None:
        pytest.skip("never cross-entropy")
    plain = next(other for other in LOSSES if other.weight_argument == entry.weight_argument)
    logits, labels, given_ = drawn(entry, seed)
    weight = {entry.weight_argument: given_[entry.weight_argument]}
    wanted = with_gradient(plain, logits, labels, **weight)
    same(with_gradient(entry, logits, labels, **given_ | neutral(entry)), wanted)
    if "alpha" in entry.settings:
        half = with_gradient(entry, logits, labels, **weight, gamma=0.0, alpha=0.5)
        same(half, (wanted[0] / 2, wanted[1] / 2))


@each_loss
@brief
@given(seed=seeds)
def test_weight_one_is_no_weight(entry, seed):
    logits, labels, given_ = drawn(entry, seed)
    bare = {name: value for name, value in given_.items() if name != entry.weight_argument}
    ones = {entry.weight_argument: torch.ones(CLASSES, dtype=torch.float64)}
    same(with_gradient(entry, logits, labels, **bare, **ones), with_gradient(entry, logits, labels, **bare))


@brief
@given(seed=seeds)
def test_grades_turned_round_are_as_far_apart(seed):
    entry = next(entry for entry in LOSSES if entry.name == "squared_distance")
    logits, labels, given_ = drawn(entry, seed)
    weight = given_.pop("class_weight")
    loss, gradient = with_gradient(entry, logits, labels, class_weight=weight, **given_)
    turned = with_gradient(entry, logits.flip(1), CLASSES - 1 - labels, class_weight=weight.flip(0), **given_)
    same(turned, (loss, gradient.flip(1)))


@each_loss
@brief
@given(seed=seeds)
def test_gradient_is_the_slope(entry, seed):
    logits, labels, given_ = drawn(entry, seed, rows=5)
    call = lambda z: entry.function(z, labels, **given_)
    assert torch.autograd.gradcheck(call, (logits.requires_grad_(),), eps=1e-6, atol=1e-7)


@each_loss
@pytest.mark.parametrize("size", [200.0, 1e4])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 5.0])
def test_extreme_logits_in_single_precision(entry, size, gamma):
    """Finite everywhere; where the model is as wrong as can be, the gradient is the weight, not zero."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 2)
    logits = (size * signs).contiguous()[:, : outputs(entry)]
    given_: dict = neutral(entry) | {entry.weight_argument: torch.tensor([3.0])}
    given_ |= {name: gamma for name in entry.settings if name.startswith("gamma")}
    for target in (0.0, 1.0):
        labels = torch.full_like(logits if sigmoid(entry) else logits[:, 0], target)
        loss, gradient = with_gradient(entry, logits, labels, reduction="none", **given_)
        assert torch.isfinite(loss).all()
        assert torch.isfinite(gradient).all()
        if sigmoid(entry):
            wrong = gradient[logits == (-size if target else size)].abs()
            weight = 3.0 if target else 1.0
        elif outputs(entry) == 1:
            wrong, weight = gradient[logits[:, 0] == (-size if target else size), 0].abs(), 3.0 * SLOPE_FAR_OFF
        elif outputs(entry) < CLASSES:
            wrong, weight = gradient[logits[:, 0] == (-size if target else size), 0].abs(), 3.0
        else:
            margin = (logits[:, 1] - logits[:, 0]) * (1 if target else -1)
            wrong, weight = gradient[margin < -size / 2][:, int(target)].abs(), 3.0
        torch.testing.assert_close(wrong, torch.full_like(wrong, weight), rtol=1e-5, atol=0)


@each_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_and_useful(entry, dtype):
    largest = torch.finfo(dtype).max
    row = torch.tensor([-largest, -200.0, -1.0, 0.0, 200.0, largest, torch.inf, -torch.inf], dtype=dtype)
    logits = torch.stack([row, row.flip(0)], dim=1)[:, : outputs(entry)]
    for target in (0.0, 1.0):
        labels = torch.full_like(logits if sigmoid(entry) else logits[:, 0], target)
        loss, gradient = with_gradient(
            entry, logits, labels, **neutral(entry) | {entry.weight_argument: torch.tensor([500.0])},
            normaliser=float(len(row)),
        )  # fmt: skip
        assert loss.dtype == torch.float32
        assert gradient.dtype == dtype
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        if sigmoid(entry):
            wrong = gradient[logits <= -200] if target else gradient[logits >= 200]
        elif outputs(entry) < CLASSES:
            wrong = gradient[:, 0][logits[:, 0] <= -200 if target else logits[:, 0] >= 200]
        else:
            bounded = logits.float().clamp(-1e30, 1e30)
            wrong = gradient[bounded[:, int(target)] < bounded[:, 1 - int(target)] - 100][:, int(target)]
        assert wrong.numel() >= 2
        weight = 500.0 if target or not sigmoid(entry) else 1.0
        weight *= SLOPE_FAR_OFF if outputs(entry) == 1 else 1.0
        torch.testing.assert_close(wrong.float().abs(), torch.full(wrong.shape, weight / len(row)))


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_setting_stays_finite_at_extremes(entry, dtype):
    """Also where the gradient is meant to vanish, as with the margin of asymmetric loss."""
    largest = min(torch.finfo(dtype).max, 1e30)
    row = torch.tensor([-largest, -1e4, -1.0, 0.0, 1e4, largest], dtype=dtype)
    logits = torch.cartesian_prod(*[row] * outputs(entry)).reshape(-1, outputs(entry))
    for seed in range(5):
        _, _, given_ = drawn(entry, seed)
        given_ = {name: value.float() if isinstance(value, Tensor) else value for name, value in given_.items()}
        for target in range(2 if sigmoid(entry) else CLASSES):
            labels = torch.full_like(logits if sigmoid(entry) else logits[:, 0], target)
            loss, gradient = with_gradient(entry, logits, labels, reduction="none", **given_)
            assert loss.dtype == torch.float32
            assert torch.isfinite(loss).all()
            assert torch.isfinite(gradient).all()


@each_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(entry, dtype):
    logits, labels, given_ = drawn(entry, 3)
    logits = logits.to(dtype)
    plain = with_gradient(entry, logits, labels, **given_)
    with torch.autocast("cpu", dtype=dtype):
        inside = with_gradient(entry, logits, labels, **given_)
    same(inside, plain)


@each_loss
def test_weights_are_no_state_and_forward_changes_nothing(entry):
    logits, labels, given_ = drawn(entry, 7)
    settings_ = {"max_margin": 0.4} | {name: value for name, value in given_.items() if name != "prior"}
    taken = {name: settings_[name] for name in (*entry.settings, entry.weight_argument)}
    taken = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in taken.items()}
    shares = given_["prior"].numpy() if "prior" in given_ else np.array([0.7, 0.1, 0.15, 0.05])
    needed = {"prevalence": shares} if entry.needs_prevalence else {}
    weighted, bare = entry.module(**taken, **needed), entry.module(**needed)
    assert weighted.state_dict() == {}
    bare.load_state_dict(weighted.state_dict())
    weighted.load_state_dict(bare.state_dict())
    first, second = weighted(logits, labels), weighted(logits, labels)
    assert first == second
    given_ |= {name: getattr(weighted, name) for name in ("margins",) if name in given_}
    torch.testing.assert_close(first, entry.function(logits, labels, **given_), rtol=1e-6, atol=0)
    table = np.eye(CLASSES)[np.arange(8) % CLASSES]
    assert (entry.module(**needed).correction(table) is None) == (
        entry.name in {"bce", "cross_entropy", "squared_distance"}
    )


@each_loss
@brief
@given(seed=seeds)
def test_better_scores_have_lower_loss(entry, seed):
    logits, labels, given_ = drawn(entry, seed, unknown=0.0)
    given_ |= {name: 0.0 for name in ("smoothing", "margin") if name in given_}  # these are content at some score
    if outputs(entry) == 1:
        step = (labels[:, None] - logits) / 2
    else:
        one = labels if sigmoid(entry) else torch.nn.functional.one_hot(labels.long(), CLASSES)
        if outputs(entry) < CLASSES:
            one = (labels[:, None] > torch.arange(outputs(entry))).double()
        step = (2 * one - 1).double() * 0.5
    before = entry.function(logits, labels, reduction="none", **given_)
    after = entry.function(logits + step, labels, reduction="none", **given_)
    if entry.name != "squared_distance":  # nearer grades may be given up for the right one
        assert (after < before).all()
    assert (before >= 0).all()


@brief
@given(seed=seeds)
def test_content_losses_never_rise_with_better_scores_beyond_their_margin(seed):
    entry = next(entry for entry in LOSSES if entry.name == "asymmetric")
    logits, labels, given_ = drawn(entry, seed, unknown=0.0)
    after = entry.function(logits + (2 * labels - 1), labels, reduction="none", **given_)
    assert (after <= entry.function(logits, labels, reduction="none", **given_)).all()
