"""Losses of masks against MONAI, segmentation-models-pytorch and torch, where their conventions are ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from equipoise._checks import ArgumentError
from equipoise.balance import Ledger, class_weights
from equipoise.labels import Labels, count_labels
from equipoise.losses import (
    dice_loss,
    generalised_dice_loss,
    make_mask_loss,
    read_mask_terms,
    soft_cldice_loss,
    soft_skeleton,
    tversky_loss,
)

SPACES = [(12, 10), (5, 6, 7)]


def drawn(space: tuple[int, ...], overlapping: bool) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(3, 4, *space, generator=made)
    labels = torch.randint(0, 2 if overlapping else 4, (3, 4, *space) if overlapping else (3, *space), generator=made)
    return logits, labels


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("overlapping", [False, True])
def test_dice_tversky_and_generalised_dice_are_monais(space, batch, overlapping):
    losses = pytest.importorskip("monai.losses", reason="MONAI is not installed")
    logits, labels = drawn(space, overlapping)
    theirs = {"sigmoid": True} if overlapping else {"softmax": True, "to_onehot_y": True}
    target = labels.float() if overlapping else labels.unsqueeze(1)
    tiny = {"smooth_nr": 1e-5, "smooth_dr": 1e-5, "batch": batch}
    ours = {"overlapping": overlapping, "batch": batch}
    close = {"rtol": 1e-4, "atol": 1e-5}
    for background in (True, False):
        if background is False and overlapping:
            continue  # our overlapping classes have no background among them
        given = {**theirs, **tiny, "include_background": background}
        wanted = losses.DiceLoss(**given)(logits, target)
        torch.testing.assert_close(dice_loss(logits, labels, background=background, **ours), wanted, **close)
        wanted = losses.TverskyLoss(alpha=0.3, beta=0.7, **given)(logits, target)
        torch.testing.assert_close(tversky_loss(logits, labels, background=background, **ours), wanted, **close)
    exact = {**theirs, "smooth_nr": 0.0, "smooth_dr": 1e-12, "batch": batch}
    if batch or not overlapping:
        wanted = losses.GeneralizedDiceLoss(**exact)(logits, target)
        torch.testing.assert_close(generalised_dice_loss(logits, labels, **ours), wanted, **close)


def test_batch_dice_and_tversky_are_those_of_segmentation_models_pytorch():
    losses = pytest.importorskip("segmentation_models_pytorch.losses", reason="it is not installed")
    logits, labels = drawn((12, 10), False)
    wanted = losses.DiceLoss("multiclass", smooth=1e-5)(logits, labels)
    torch.testing.assert_close(dice_loss(logits, labels, background=True, batch=True), wanted, rtol=1e-5, atol=1e-6)
    wanted = losses.TverskyLoss("multiclass", smooth=1e-5, alpha=0.2, beta=0.8)(logits, labels)
    found = tversky_loss(
        logits, labels, background=True, batch=True, false_positives=0.2, false_negatives=0.8, smooth=1e-5
    )
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_the_soft_skeleton_is_monais(space):
    cldice = pytest.importorskip("monai.losses.cldice", reason="MONAI is not installed")
    made = torch.Generator().manual_seed(2)
    masks = torch.rand(2, 3, *space, generator=made)
    torch.testing.assert_close(soft_skeleton(masks, 3), cldice.soft_skel(masks, 3))


def test_a_cut_line_costs_more_than_its_pixels_and_a_thicker_one_nothing_in_topology():
    line = torch.zeros(1, 1, 21, 41)
    line[..., 8:13, :] = 1
    cut, thin = line.clone(), torch.zeros_like(line)
    cut[..., 8:13, 15:25] = 0
    thin[..., 9:12, :] = 1
    loss = lambda mask: float(soft_cldice_loss(20 * (mask - 0.5), line, overlapping=True, iterations=5))
    assert loss(line) < 1e-3
    assert loss(thin) < 0.1
    assert loss(cut) > 0.1


@pytest.mark.parametrize("space", SPACES)
def test_pixel_losses_are_torchs(space):
    logits, labels = drawn(space, False)
    labels[0, ..., :3] = -100
    found = make_mask_loss("cross_entropy", overlapping=False)(logits, labels)
    torch.testing.assert_close(found, functional.cross_entropy(logits, labels, ignore_index=-100))
    logits, labels = drawn(space, True)
    wanted = functional.binary_cross_entropy_with_logits(logits, labels.float())
    torch.testing.assert_close(make_mask_loss("bce", overlapping=True)(logits, labels), wanted)


def weights_of(task: str):
    pixels = np.array([0] * 90 + [1] * 7 + [2] * 3, np.float32)
    values = pixels if task == "multiclass" else np.stack([pixels == 1, pixels == 2], 1).astype(np.float32)
    names = ("background", "vessel", "spot") if task == "multiclass" else ("vessel", "spot")
    return class_weights(count_labels(Labels(task, names, values, np.arange(100))), scheme="sqrt")


def test_class_weights_stand_outside_of_focals_exponent_and_multiply_alpha():
    weights = weights_of("multiclass")
    made = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 6, 6, generator=made, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 6, 6), generator=made)
    alpha = [0.2, 1.0, 3.0]
    loss = make_mask_loss("focal", overlapping=False, weights=weights, gamma=2.0, alpha=alpha)
    log_p = torch.log_softmax(logits, 1).gather(1, labels.unsqueeze(1)).squeeze(1)
    outside = torch.tensor(weights.values * np.array(alpha))[labels]
    by_hand = (outside * (1 - log_p.exp()) ** 2 * -log_p).mean() / weights.expected_weight
    torch.testing.assert_close(loss(logits, labels), by_hand, rtol=1e-6, atol=0)
    ledger = Ledger([weights, loss.correction()])
    assert np.isfinite(ledger.log_odds_shift).all()


def test_weights_of_overlapping_classes_go_by_class_and_not_by_column():
    weights = weights_of("multilabel")
    logits = torch.zeros(1, 2, 3, 5, dtype=torch.float64)
    labels = torch.zeros(1, 2, 3, 5, dtype=torch.int64)
    labels[:, 1] = 1  # every pixel is a spot, none a vessel
    found = make_mask_loss("bce", overlapping=True, weights=weights)(logits, labels)
    wanted = np.log(2) * (weights.values[1] + 1) / 2 / weights.expected_weight
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-6, atol=0)


def test_what_a_loss_of_masks_says_of_itself():
    loss = make_mask_loss("focal + dice", overlapping=False, weights=weights_of("multiclass"), batch=True)
    assert "Focal loss (gamma 2, no alpha)" in loss.describe()
    assert "Dice (without background) over all images of a batch together" in loss.describe()
    assert not loss.has_prior
    assert loss.correction() is None
    assert "no training prior" in loss.sentences()[0]
    assert loss.classes == ("background", "vessel", "spot")
    assert not loss.state_dict()
    plain = make_mask_loss("focal", overlapping=False)
    assert plain.has_prior
    assert plain.sentences() == ()
    assert type(plain.correction()).__name__ == "FocalCorrection"


@pytest.mark.parametrize(
    ("terms", "given", "message"),
    [
        ("dise", {}, 'Did you mean "dice"'),
        ("bce + dice", {}, 'no loss "bce" for masks of classes that exclude'),
        ("dice + dice", {}, "twice"),
        ("dice +", {}, "no term"),
        ("0 dice", {}, "above 0"),
        ({}, {}, "needs a term"),
        ("dice", {"iterations": 3}, 'no setting "iterations"'),
        ("dice", {"alpha": 0.5}, "belongs to focal"),
        ("dice", {"weights": "yes"}, "judges whole masks"),
        ("tversky", {"false_positives": -1.0}, "at least 0"),
        ("cldice", {"iterations": 0}, "at least 1"),
    ],
)
def test_losses_that_cannot_be_are_refused_by_name(terms, given, message):
    if given.get("weights"):
        given = {"weights": weights_of("multiclass")}
    logits, labels = drawn((8, 8), False)
    with pytest.raises(ArgumentError, match=message):
        make_mask_loss(terms, overlapping=False, **given)(logits, labels)


def test_terms_may_have_weights():
    assert read_mask_terms("2 cross_entropy + 1e-1*dice", overlapping=False) == {"cross_entropy": 2.0, "dice": 0.1}
    assert read_mask_terms({"bce": 1}, overlapping=True) == {"bce": 1.0}
