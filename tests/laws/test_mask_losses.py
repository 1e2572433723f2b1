"""Laws that every loss of masks keeps, over all of `MASK_LOSSES`, in both forms, in 2-D and in 3-D."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from equipoise._checks import ArgumentError
from equipoise.losses import MASK_LOSSES, MaskLoss, make_mask_loss

CLASSES = 3
CASES = [
    (entry.name, overlapping, space)
    for entry in MASK_LOSSES
    for overlapping, space in itertools.product((False, True), ((9, 8), (5, 6, 7)))
    if (entry.overlapping if overlapping else entry.exclusive)
]
each = pytest.mark.parametrize(("name", "overlapping", "space"), CASES)
both_ways = pytest.mark.parametrize("batch", [False, True])


def drawn(overlapping: bool, space: tuple[int, ...], *, images: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and labels of which a quarter is ignored, in float64."""
    made = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, CLASSES, *space, generator=made, dtype=torch.float64)
    shape = logits.shape if overlapping else (images, *space)
    labels = torch.randint(0, 2 if overlapping else CLASSES, tuple(shape), generator=made)
    labels[torch.rand(tuple(shape), generator=made) < 0.25] = -1
    return logits, labels


def loss_and_gradient(loss: MaskLoss, logits: Tensor, labels: Tensor, **given: object) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    found = loss(leaf, labels, **given)
    found.backward()
    assert leaf.grad is not None
    return found.detach(), leaf.grad


def wide(ignored: Tensor, logits: Tensor, overlapping: bool) -> Tensor:
    return ignored if overlapping else ignored.unsqueeze(1).expand_as(logits)


@each
@both_ways
def test_ignored_pixels_have_no_loss_and_no_gradient(name, overlapping, space, batch):
    loss = make_mask_loss(name, overlapping=overlapping, batch=batch)
    logits, labels = drawn(overlapping, space)
    ignored = wide(labels < 0, logits, overlapping)
    found, gradient = loss_and_gradient(loss, logits, labels)
    assert found > 0
    assert (gradient[ignored] == 0).all()
    assert (gradient[~ignored] != 0).any()
    for poison in (torch.inf, torch.nan, -1e4):
        again, other = loss_and_gradient(loss, logits.masked_fill(ignored, poison), labels)
        torch.testing.assert_close((again, other), (found, gradient))
    nan_labels = labels.double().masked_fill(labels < 0, torch.nan)
    torch.testing.assert_close(loss_and_gradient(loss, logits, nan_labels)[0], found)


@each
@both_ways
def test_nothing_known_is_loss_zero_and_an_unknown_image_is_left_out(name, overlapping, space, batch):
    loss = make_mask_loss(name, overlapping=overlapping, batch=batch)
    logits, labels = drawn(overlapping, space)
    found, gradient = loss_and_gradient(loss, logits, torch.full_like(labels, -1))
    assert found == 0
    assert (gradient == 0).all()
    labels[2] = -1
    keep = [0, 1, 3]
    torch.testing.assert_close(loss(logits, labels), loss(logits[keep], labels[keep]))


@each
@both_ways
def test_weights_of_images_are_repetition_and_removal(name, overlapping, space, batch):
    loss = make_mask_loss(name, overlapping=overlapping, batch=batch)
    logits, labels = drawn(overlapping, space)
    times = torch.tensor([2.0, 0.0, 1.0, 3.0]).double()
    rows = torch.repeat_interleave(torch.arange(4), times.long())
    torch.testing.assert_close(loss(logits, labels, sample_weights=times), loss(logits[rows], labels[rows]))


@each
@both_ways
def test_mirroring_changes_nothing_and_so_does_the_order_of_images(name, overlapping, space, batch):
    loss = make_mask_loss(name, overlapping=overlapping, batch=batch)
    logits, labels = drawn(overlapping, space)
    found = loss(logits, labels)
    torch.testing.assert_close(loss(logits.flip(-1), labels.flip(-1)), found)
    torch.testing.assert_close(loss(logits.flip(0), labels.flip(0)), found)


@each
@both_ways
def test_half_precision_is_finite_at_every_logit(name, overlapping, space, batch):
    loss = make_mask_loss(name, overlapping=overlapping, batch=batch)
    logits, labels = drawn(overlapping, space)
    for kind in (torch.float16, torch.bfloat16):
        for scale in (1.0, 1e3, 1e30):
            found, gradient = loss_and_gradient(loss, (logits * scale).to(kind), labels)
            assert found.dtype == torch.float32
            assert found.isfinite()
            assert gradient.isfinite().all()
    near, _ = loss_and_gradient(loss, logits.half(), labels)
    torch.testing.assert_close(near.double(), loss(logits, labels), rtol=5e-3, atol=5e-3)


@each
def test_a_perfect_mask_has_loss_zero_and_a_wrong_one_much(name, overlapping, space):
    loss = make_mask_loss(name, overlapping=overlapping)
    _, labels = drawn(overlapping, space)
    labels = labels.clamp_min(0)
    target = labels if overlapping else torch.nn.functional.one_hot(labels, CLASSES).movedim(-1, 1)
    right = 200.0 * (target.double() - 0.5)
    assert loss(right, labels) < 1e-4
    assert loss(-right, labels) > 0.4


@each
def test_an_empty_mask_predicted_empty_is_perfect(name, overlapping, space):
    logits = torch.full((1, CLASSES, *space), -100.0)
    if not overlapping:
        logits[:, 0] = 100.0
    labels = torch.zeros((1, CLASSES, *space) if overlapping else (1, *space), dtype=torch.int64)
    assert make_mask_loss(name, overlapping=overlapping)(logits, labels) < 1e-5


@each
def test_parts_of_a_step_add_up(name, overlapping, space):
    loss = make_mask_loss(name, overlapping=overlapping)
    logits, labels = drawn(overlapping, space)
    labels = labels.clamp_min(0)  # as many known pixels in every image
    whole = loss(logits, labels)
    parts = loss(logits[:1], labels[:1], normaliser=4) + loss(logits[1:], labels[1:], normaliser=torch.tensor(4.0))
    torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize("overlapping", [False, True])
def test_a_sum_is_the_sum_of_its_terms(overlapping):
    logits, labels = drawn(overlapping, (8, 8))
    both = make_mask_loss("focal + 0.25 dice", overlapping=overlapping, gamma=1.5)
    focal = make_mask_loss("focal", overlapping=overlapping, gamma=1.5)
    dice = make_mask_loss("dice", overlapping=overlapping)
    torch.testing.assert_close(both(logits, labels), focal(logits, labels) + 0.25 * dice(logits, labels))
    assert set(both.parts(logits, labels)) == {"focal", "dice"}


def test_heads_are_weighed_by_halves():
    logits, labels = drawn(False, (8, 8))
    other = logits.flip(-1)
    loss = make_mask_loss("auto", overlapping=False)
    wanted = (loss(logits, labels) + 0.5 * loss(other, labels)) / 1.5
    torch.testing.assert_close(loss.of_heads(torch.stack([logits, other], 1), labels), wanted)


@pytest.mark.parametrize("overlapping", [False, True])
def test_shapes_that_would_broadcast_are_refused(overlapping):
    loss = make_mask_loss("auto", overlapping=overlapping)
    logits, labels = drawn(overlapping, (8, 8))
    with pytest.raises(ArgumentError, match="shape"):
        loss(logits, labels[:, :, :4])
    with pytest.raises(ArgumentError, match="height, width"):
        loss(logits[:, :, 0, 0], labels[..., 0, 0])
