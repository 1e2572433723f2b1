"""Losses beside the formulas of their papers, written out again in float64, in value and gradient; and beside timm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error
from torch import Tensor

from equipoise.balance import class_weights
from equipoise.labels import Census
from equipoise.losses import (
    LDAM,
    AUCMargin,
    CrossEntropy,
    DistributionBalanced,
    SigmoidFocal,
    asymmetric_loss,
    auc_margin_loss,
    balanced_softmax_loss,
    binary_cross_entropy_loss,
    corn_loss,
    cross_entropy_loss,
    distribution_balanced_loss,
    ldam_loss,
    logit_adjusted_loss,
    regression_loss,
    sigmoid_logit_adjusted_loss,
    squared_distance_loss,
)

ROWS, CLASSES = 60, 5
COUNTS = torch.tensor([5000.0, 900.0, 200.0, 40.0, 7.0], dtype=torch.float64)


@pytest.fixture
def logits() -> Tensor:
    made = torch.Generator().manual_seed(1)
    return (3 * torch.randn(ROWS, CLASSES, generator=made, dtype=torch.float64)).requires_grad_()


@pytest.fixture
def labels() -> Tensor:
    return (torch.rand(ROWS, CLASSES, generator=torch.Generator().manual_seed(2)) < 0.3).double()


@pytest.fixture
def index() -> Tensor:
    return torch.randint(0, CLASSES, (ROWS,), generator=torch.Generator().manual_seed(3))


def agree(ours: Tensor, theirs: Tensor, logits: Tensor, rtol: float = 1e-9) -> None:
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-12)
    pair = [torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(pair[0], pair[1], rtol=rtol, atol=1e-12)


@pytest.mark.parametrize(
    ("up", "down", "margin"), [(0.0, 4.0, 0.05), (1.0, 4.0, 0.2), (0.5, 0.0, 0.1), (2.0, 1.0, 0.0)]
)
def test_asymmetric_is_the_formula_of_the_paper(logits, labels, up, down, margin):
    """Ridnik et al., ICCV 2021, eq. 5 and 7."""
    p = logits.sigmoid()
    shifted = (p - margin).clamp(min=0)
    missed, alarmed = (1 - p) ** up * torch.log(p), shifted**down * torch.log(1 - shifted)
    theirs = -labels * missed - (1 - labels) * alarmed
    given = {"gamma_positive": up, "gamma_negative": down, "margin": margin}
    agree(asymmetric_loss(logits, labels, reduction="none", **given), theirs, logits)


def test_asymmetric_is_that_of_timm_where_timm_does_not_clamp(logits, labels):
    loss = pytest.importorskip("timm.loss", reason="timm is not installed")
    theirs = loss.AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=1, clip=0.05, eps=1e-30)
    ours = asymmetric_loss(logits, labels, gamma_positive=1.0, gamma_negative=4.0, margin=0.05, reduction="sum")
    wanted = ROWS * theirs(logits, labels).double()  # timm's is a mean over rows, in float32
    torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=0)
    pair = [torch.autograd.grad(loss, logits)[0] for loss in (ours, wanted)]
    torch.testing.assert_close(pair[0], pair[1], rtol=1e-4, atol=1e-5)


def test_a_missed_positive_still_teaches_where_that_of_timm_is_silent():
    loss = pytest.importorskip("timm.loss", reason="timm is not installed")
    for function, slope in (
        (loss.AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=0, clip=0.0), 0.0),
        (lambda z, y: asymmetric_loss(z, y, gamma_negative=4.0, margin=0.0, reduction="sum"), -1.0),
    ):
        missed = torch.full((1, 1), -30.0, requires_grad=True)
        function(missed, torch.ones(1, 1)).backward()
        assert float(missed.grad) == pytest.approx(slope, abs=1e-4)


def test_a_margin_lets_go_of_the_most_wrong_negatives_as_the_paper_means_it():
    alarm = torch.tensor([1e4, 0.0, -9.0], requires_grad=True)
    asymmetric_loss(alarm, torch.zeros(3), margin=0.05, reduction="sum").backward()
    assert alarm.grad[0] == 0
    assert alarm.grad[1] > 0.05
    assert alarm.grad[2] == 0


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_logit_adjusted_is_the_formula_of_the_paper(logits, index, tau):
    """Menon et al., ICLR 2021, eq. 10: log of one plus a sum over the other classes."""
    prior = COUNTS / COUNTS.sum()
    own = logits.gather(1, index[:, None])
    ratio = (prior / prior[index][:, None]) ** tau * torch.exp(logits - own)
    others = torch.ones_like(ratio).scatter(1, index[:, None], 0.0)
    theirs = torch.log(1 + (ratio * others).sum(1))
    agree(logit_adjusted_loss(logits, index, prior=prior, tau=tau, reduction="none"), theirs, logits)


def test_balanced_softmax_is_the_formula_of_the_paper(logits, index):
    """Ren et al., NeurIPS 2020, eq. 4."""
    odds = COUNTS * torch.exp(logits)
    theirs = -torch.log(odds.gather(1, index[:, None])[:, 0] / odds.sum(1))
    agree(balanced_softmax_loss(logits, index, prior=COUNTS, reduction="none"), theirs, logits)


def test_sigmoid_logit_adjustment_is_that_of_two_classes(logits, labels):
    prior = torch.tensor([0.5, 0.1, 0.01, 0.3, 0.001], dtype=torch.float64)
    pairs = torch.stack([torch.zeros_like(logits), logits], dim=1)  # rows, no or yes, classes
    adjusted = pairs + 0.7 * torch.log(torch.stack([1 - prior, prior]))
    theirs = -torch.log_softmax(adjusted, dim=1).gather(1, labels.long().unsqueeze(1)).squeeze(1)
    agree(sigmoid_logit_adjusted_loss(logits, labels, prior=prior, tau=0.7, reduction="none"), theirs, logits)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_ldam_is_the_formula_of_the_paper(logits, index, scale):
    """Cao et al., NeurIPS 2019, eq. 12, with the margins of the authors' code."""
    margins = 1 / COUNTS.sqrt().sqrt()
    margins = margins * (0.5 / margins.max())
    cosines = logits / 10
    own = torch.exp(scale * (cosines.gather(1, index[:, None])[:, 0] - margins[index]))
    others = torch.exp(scale * cosines).sum(1) - torch.exp(scale * cosines.gather(1, index[:, None])[:, 0])
    theirs = -torch.log(own / (own + others))
    ours = ldam_loss(cosines, index, margins=margins, scale=scale, reduction="none")
    agree(ours, theirs, logits, rtol=1e-6)
    module = LDAM(0.5, scale, prevalence=(COUNTS / COUNTS.sum()).numpy())
    torch.testing.assert_close(module.margins.double(), margins, rtol=1e-6, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_distribution_balanced_is_the_formula_of_the_paper(logits, labels, gamma):
    """Wu et al., ECCV 2020, eq. 4 to 10, class by class and row by row."""
    prior, lam, kappa, (alpha, beta, mu) = COUNTS / 6000, 2.0, 0.05, (0.1, 10.0, 0.2)
    theirs = torch.zeros_like(logits)
    for row in range(ROWS):
        drawn = sum(1 / (CLASSES * COUNTS[j]) for j in range(CLASSES) if labels[row, j] == 1)
        for i in range(CLASSES):
            share = 1 / (CLASSES * COUNTS[i]) / drawn if drawn else torch.tensor(torch.inf).double()
            weight = alpha + 1 / (1 + torch.exp(-beta * (share - mu)))
            nu = -kappa * -torch.log(1 / prior[i] - 1)
            u = logits[row, i] - nu
            if labels[row, i] == 1:
                p = 1 / (1 + torch.exp(-u))
                theirs[row, i] = weight * (1 - p) ** gamma * torch.log(1 + torch.exp(-u))
            else:
                q = 1 / (1 + torch.exp(-lam * u))
                theirs[row, i] = weight / lam * q**gamma * torch.log(1 + torch.exp(lam * u))
    given = {"prior": prior, "gamma": gamma, "negative_scale": lam, "kappa": kappa, "rebalance": (alpha, beta, mu)}
    agree(distribution_balanced_loss(logits, labels, reduction="none", **given), theirs, logits)
    module = DistributionBalanced(gamma, (alpha, beta, mu), lam, kappa, prevalence=prior.numpy())
    torch.testing.assert_close(module(logits, labels), theirs.mean(), rtol=1e-6, atol=0)


def test_corn_is_the_loss_of_its_conditional_subsets(logits, index):
    """Shi et al., 2021, eq. 7, as sums over the subsets, without their normaliser."""
    grades = logits[:, : CLASSES - 1]
    theirs = torch.zeros((), dtype=torch.float64)
    for k in range(CLASSES - 1):
        subset = index >= k
        p, beyond = grades[subset, k].sigmoid(), (index[subset] > k).double()
        theirs = theirs - (beyond * torch.log(p) + (1 - beyond) * torch.log(1 - p)).sum()
    agree(corn_loss(grades, index, reduction="sum"), theirs, logits)


def test_regression_is_the_weighted_mean_squared_error(logits, index):
    """By scikit-learn; its least-squares line through one feature, weighted, is where the gradient vanishes."""
    weight = torch.linspace(0.5, 3.0, CLASSES, dtype=torch.float64)
    expected, rows = logits[:, :1], weight[index].numpy()
    mean = mean_squared_error(index.numpy(), expected.detach().numpy()[:, 0], sample_weight=rows)
    ours = regression_loss(expected, index, class_weight=weight, normaliser=weight[index].sum())
    torch.testing.assert_close(ours.detach(), torch.tensor(mean, dtype=torch.float64), rtol=1e-12, atol=0)
    feature = logits.detach()[:, :1]
    line = LinearRegression().fit(feature.numpy(), index.numpy(), sample_weight=rows)
    values = torch.tensor([line.coef_[0], line.intercept_], dtype=torch.float64, requires_grad=True)
    regression_loss(feature * values[0] + values[1], index, class_weight=weight).backward()
    assert values.grad.abs().max() < 1e-12
    theirs = weight[index] * (expected[:, 0] - index) ** 2
    agree(regression_loss(expected, index, class_weight=weight, reduction="none"), theirs, logits)


def test_squared_distance_is_the_squared_earth_movers_distance(logits, index):
    """Hou et al., 2016, eq. 3."""
    given = torch.nn.functional.one_hot(index, CLASSES).double()
    theirs = ((logits.softmax(1).cumsum(1) - given.cumsum(1)) ** 2).sum(1)
    agree(squared_distance_loss(logits, index, cross_entropy=0.0, reduction="none"), theirs, logits)
    mixed = 0.75 * theirs + 0.25 * torch.nn.functional.cross_entropy(logits, index, reduction="none")
    agree(squared_distance_loss(logits, index, cross_entropy=0.25, reduction="none"), mixed, logits)


def test_smoothing_is_that_of_torch_and_of_smoothed_labels(logits, labels, index):
    theirs = torch.nn.functional.cross_entropy(logits, index, label_smoothing=0.1, reduction="none")
    agree(cross_entropy_loss(logits, index, smoothing=0.1, reduction="none"), theirs, logits)
    soft = 0.9 * labels + 0.05
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    agree(binary_cross_entropy_loss(logits, labels, smoothing=0.1, reduction="none"), theirs, logits)


def test_class_balanced_losses_are_losses_with_effective_number_weights(logits, index, labels):
    """Cui et al., CVPR 2019, eq. 10 (softmax) and eq. 12 (focal), up to the common factor that it normalises away."""
    beta = 0.999
    census = Census.from_counts({f"c{i}": int(count) for i, count in enumerate(COUNTS)}, task="multiclass")
    effective = (1 - beta) / (1 - beta**COUNTS)
    module = CrossEntropy(class_weights(census, "effective_number", beta=beta), reduction="none", expected_weight=1.0)
    theirs = effective[index] * torch.nn.functional.cross_entropy(logits, index, reduction="none")
    ours = module(logits, index)
    agree(ours * (effective[0] / module.weights[0].double()), theirs, logits, rtol=1e-6)
    counts = {f"c{i}": (int(count), 6147 - int(count)) for i, count in enumerate(COUNTS)}
    weights = class_weights(Census.from_counts(counts, task="multilabel"), "effective_number", beta=beta)
    up, down = (1 - beta) / (1 - beta**COUNTS), (1 - beta) / (1 - beta ** (6147 - COUNTS))
    np.testing.assert_allclose(weights.values, (up / down).numpy(), rtol=1e-9)
    p = logits.sigmoid()
    focal = -(up * labels * (1 - p) ** 2 * p.log() + down * (1 - labels) * p**2 * (1 - p).log())
    ours = SigmoidFocal(2.0, None, weights, reduction="none", expected_weight=1.0)(logits, labels)
    agree(ours * down, focal, logits, rtol=1e-6)


def test_auc_margin_is_the_min_max_objective_of_the_paper(logits, labels):
    """Yuan et al., ICCV 2021, as means over the data: LibAUC's AUCMLoss, class by class."""
    prior = labels.mean(0)
    a, b, alpha = (torch.rand(CLASSES, generator=torch.Generator().manual_seed(s)).double() for s in (4, 5, 6))
    h, p, up = logits.sigmoid(), prior, labels
    theirs = (
        (1 - p) * ((h - a) ** 2 * up).mean(0)
        + p * ((h - b) ** 2 * (1 - up)).mean(0)
        + 2 * alpha * (p * (1 - p) * 0.8 + (p * h * (1 - up) - (1 - p) * h * up).mean(0))
        - p * (1 - p) * alpha**2
    ).mean()
    given = {"positive_mean": a, "negative_mean": b, "dual": alpha, "prior": prior, "margin": 0.8}
    agree(auc_margin_loss(logits, labels, **given), theirs, logits)


def test_the_saddle_of_auc_margin_is_the_square_loss_on_pairs(logits, labels):
    """At the best a, b and dual it is p (1 - p) times the mean over pairs of (m - h+ + h-)^2, where m is missing."""
    h, truth = logits[:, 0].detach().sigmoid(), labels[:, 0]
    share, margin = truth.mean(), 1.0
    a, b = h[truth == 1].mean(), h[truth == 0].mean()
    given = {"positive_mean": a[None], "negative_mean": b[None], "dual": (margin + b - a)[None], "prior": share[None]}
    pairs = (margin - h[truth == 1][:, None] + h[truth == 0][None]) ** 2
    best = auc_margin_loss(logits[:, 0], truth, **given)
    torch.testing.assert_close(best.detach(), share * (1 - share) * pairs.mean(), rtol=1e-9, atol=0)


def test_auc_margin_masks_unknowns_and_learns_to_rank_with_one_optimiser():
    made = torch.Generator().manual_seed(0)
    x, truth = torch.randn(400, 3, generator=made), None
    truth = (x @ torch.tensor([2.0, -1.0, 0.5]) + torch.randn(400, generator=made) > 2.5).float()
    truth[:20] = torch.nan
    layer = torch.nn.Linear(3, 1)
    torch.nn.init.zeros_(layer.weight)
    loss = AUCMargin([float(truth[20:].mean())])
    assert set(loss.state_dict()) == {"positive_mean", "negative_mean", "dual"}
    optimizer = torch.optim.SGD([*layer.parameters(), *loss.parameters()], lr=0.3)
    for _ in range(400):
        optimizer.zero_grad()
        logits = layer(x).squeeze(1)
        logits.retain_grad()
        loss(logits, truth).backward()
        assert (logits.grad[:20] == 0).all()
        optimizer.step()
    scores = layer(x[20:]).squeeze(1)
    found, missed = scores[truth[20:] == 1], scores[truth[20:] == 0]
    assert (found[:, None] > missed[None]).float().mean() > 0.9
    wanted = loss.margin + loss.negative_mean - loss.positive_mean
    torch.testing.assert_close(loss.dual, wanted, rtol=0.1, atol=0.05)
