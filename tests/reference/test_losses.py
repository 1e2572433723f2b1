"""Losses beside torch, torchvision and the formula of the paper, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from equipoise.losses import binary_cross_entropy_loss, cross_entropy_loss, sigmoid_focal_loss, softmax_focal_loss


@pytest.fixture
def table() -> tuple[Tensor, Tensor, Tensor]:
    made = torch.Generator().manual_seed(0)
    logits = (torch.randn(50, 6, generator=made, dtype=torch.float64) * 5).requires_grad_()
    labels = (torch.rand(50, 6, generator=made) < 0.2).double()
    return logits, labels, 1 + 9 * torch.rand(6, generator=made, dtype=torch.float64)


def agree(ours: Tensor, theirs: Tensor, logits: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    pair = [torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(pair[0], pair[1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_binary_cross_entropy_is_that_of_torch(table, reduction):
    logits, labels, weight = table
    theirs = torch.nn.BCEWithLogitsLoss(pos_weight=weight, reduction=reduction)(logits, labels)
    agree(binary_cross_entropy_loss(logits, labels, pos_weight=weight, reduction=reduction), theirs, logits)


def test_soft_labels_are_those_of_torch(table):
    logits, labels, weight = table
    soft = 0.9 * labels + 0.03
    theirs = torch.nn.BCEWithLogitsLoss(pos_weight=weight)(logits, soft)
    agree(binary_cross_entropy_loss(logits, soft, pos_weight=weight), theirs, logits)
    agree(sigmoid_focal_loss(logits, soft, gamma=0.0, pos_weight=weight), theirs, logits)


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_cross_entropy_is_that_of_torch(table, reduction):
    logits, labels, weight = table
    index = labels.cumsum(1).sum(1).remainder(6)
    theirs = torch.nn.functional.cross_entropy(logits, index.long(), weight=weight, reduction=reduction)
    agree(cross_entropy_loss(logits, index, class_weight=weight, reduction=reduction), theirs, logits)


def test_mean_of_cross_entropy_is_that_of_torch_when_told_its_normaliser(table):
    logits, labels, weight = table
    index = labels.cumsum(1).sum(1).remainder(6)
    theirs = torch.nn.functional.cross_entropy(logits, index.long(), weight=weight)
    agree(cross_entropy_loss(logits, index, class_weight=weight, normaliser=weight[index.long()].sum()), theirs, logits)


def test_masks_are_those_of_torch():
    made = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, generator=made, dtype=torch.float64, requires_grad=True)
    index = torch.randint(0, 3, (2, 4, 5), generator=made)
    weight = torch.tensor([0.42, 0.58, 3.0], dtype=torch.float64)
    theirs = torch.nn.functional.cross_entropy(logits, index, weight=weight, reduction="none")
    agree(cross_entropy_loss(logits, index, class_weight=weight, reduction="none"), theirs, logits)
    agree(softmax_focal_loss(logits, index, gamma=0.0, class_weight=weight, reduction="none"), theirs, logits)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 3.7])
def test_sigmoid_focal_is_the_formula_of_the_paper(table, gamma):
    """Lin et al., ICCV 2017, eq. 4 and 5, written with p_t and alpha_t."""
    logits, labels, _ = table
    signed = logits * (2 * labels - 1)
    alpha_t, p_t, others = torch.where(labels == 1, 0.25, 0.75), signed.sigmoid(), (-signed).sigmoid()
    theirs = -alpha_t * others**gamma * torch.log(p_t)
    agree(sigmoid_focal_loss(logits, labels, gamma=gamma, alpha=0.25, reduction="none"), theirs, logits)


def test_sigmoid_focal_is_that_of_torchvision(table):
    ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed")
    logits, labels, _ = table
    theirs = ops.sigmoid_focal_loss(logits, labels, alpha=0.25, gamma=2.0, reduction="none")
    ours = sigmoid_focal_loss(logits, labels, gamma=2.0, alpha=0.25, reduction="none")
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_is_that_of_monai(table, gamma):
    losses = pytest.importorskip("monai.losses", reason="monai is not installed")
    logits, labels, weight = table
    theirs = losses.FocalLoss(gamma=gamma, alpha=0.25, use_softmax=False, reduction="none")(logits, labels)
    index = labels.cumsum(1).sum(1).remainder(6).long()
    hot = torch.nn.functional.one_hot(index, 6).double()
    soft = losses.FocalLoss(gamma=gamma, use_softmax=True, weight=weight, reduction="none")(logits, hot)
    for ours, monai in (
        (sigmoid_focal_loss(logits, labels, gamma=gamma, alpha=0.25, reduction="none"), theirs),
        (softmax_focal_loss(logits, index, gamma=gamma, alpha=weight, reduction="none"), soft.sum(dim=1)),
    ):
        torch.testing.assert_close(ours, monai.double(), rtol=2e-4, atol=1e-6)  # monai's are in float32
        pair = [torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0] for loss in (ours, monai)]
        torch.testing.assert_close(pair[0], pair[1], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_softmax_focal_is_the_formula_of_the_paper(table, gamma):
    logits, labels, weight = table
    index = labels.cumsum(1).sum(1).remainder(6).long()
    p_t = logits.softmax(1).gather(1, index[:, None])[:, 0]
    others = 1 - p_t
    theirs = -weight[index] * others**gamma * torch.log(p_t)
    ours = softmax_focal_loss(logits, index, gamma=gamma, alpha=weight, reduction="none")
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-12)  # 1 - p_t of the plain formula loses digits


def test_single_precision_stays_close_to_double(table):
    logits, labels, weight = table
    for function, given in ((binary_cross_entropy_loss, {}), (sigmoid_focal_loss, {"gamma": 2.0, "alpha": 0.25})):
        exact = function(logits, labels, pos_weight=weight, reduction="none", **given)
        single = function(logits.float(), labels.float(), pos_weight=weight.float(), reduction="none", **given)
        torch.testing.assert_close(single.double(), exact, rtol=2e-5, atol=1e-6)
