"""Gradient shares beside autograd, on real models at initialisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equipoise.balance import class_weights, gradient_shares, plan_sampling
from equipoise.labels import Labels, count_labels
from equipoise.losses import make_loss
from equipoise.models import make_model, prior_logits
from equipoise.recipe import make_recipe
from equipoise.samplers import PlanSampler
from equipoise.training.loop import Workers
from equipoise.training.member import MemberTraining
from equipoise.training.prepare import prepare

ROWS = 3_000


def make_labels(task: str) -> Labels:
    rng = np.random.default_rng(0)
    table = (rng.random((ROWS, 4)) < [0.4, 0.1, 0.03, 0.01]).astype(np.float32)
    table[rng.random((ROWS, 4)) < 0.05] = np.nan
    if task == "multilabel":
        return Labels(task, ("a", "b", "c", "d"), table, np.arange(ROWS))
    values = rng.choice(4, ROWS, p=[0.7, 0.2, 0.07, 0.03]).astype(np.float32)
    values[::20] = np.nan
    return Labels(task, ("a", "b", "c", "d"), values, np.arange(ROWS))


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
@pytest.mark.parametrize("loss", ["auto", "focal"])
@pytest.mark.parametrize("bias", ["zero", "prevalence"])
@pytest.mark.parametrize("sampled", [True, False])
def test_shares_are_those_that_autograd_measures(task, loss, bias, sampled):
    labels = make_labels(task)
    census = count_labels(labels)
    weights = class_weights(census, "sqrt")
    prior = prior_logits(census.positives, census.positives + census.negatives, multiclass=task == "multiclass")
    model = make_model(
        "mlp", n_numeric=6, cardinalities=(), n_outputs=4, multiclass=task == "multiclass", seed=0, prior=prior,
        initial_bias=bias, dropout=0.0,
    )  # fmt: skip
    features = torch.as_tensor(np.random.default_rng(1).normal(size=(ROWS, 6)), dtype=torch.float32)
    rows = PlanSampler(plan_sampling(labels), rank=0, world=1).indices(0) if sampled else np.arange(ROWS)
    logits = model(features, torch.zeros(ROWS, 0, dtype=torch.int64)).detach().double()
    drawn = logits[torch.as_tensor(rows)].requires_grad_()
    made = make_loss(loss, task, weights=weights, gamma=2.0, reduction="sum") if loss == "focal" else make_loss(
        loss, task, weights=weights, reduction="sum"
    )  # fmt: skip
    targets = torch.as_tensor(labels.values)[torch.as_tensor(rows)]
    made(drawn, targets).backward()
    slope = drawn.grad.numpy()
    said = (torch.sigmoid(logits) if task == "multilabel" else torch.softmax(logits, 1)).numpy()
    up, down = -np.minimum(slope, 0).sum(axis=0), np.maximum(slope, 0).sum(axis=0)
    found = gradient_shares(rows, labels, weights=weights, probabilities=said, gamma=2.0 if loss == "focal" else 0.0)
    np.testing.assert_allclose(found.positive * len(rows), up, rtol=2e-4)
    np.testing.assert_allclose(found.negative * len(rows), down, rtol=2e-4)
    np.testing.assert_allclose(found.positive_shares, up / (up.sum() + down.sum()), rtol=2e-4)
    # From the mean of what the model says, as the figure has it: near, since it says nearly the same of every row.
    mean = gradient_shares(rows, labels, weights=weights, probabilities=said.mean(axis=0),
                           gamma=2.0 if loss == "focal" else 0.0)  # fmt: skip
    np.testing.assert_allclose(mean.positive_shares, found.positive_shares, atol=0.02)


@pytest.mark.parametrize("bias", ["prevalence", "zero"])
@pytest.mark.parametrize(
    "changes",
    [
        ["balance.sampling.method=uniform"],
        ["balance.weights.scheme=sqrt"],
        ["balance.sampling.method=uniform", "loss.name=focal", "loss.gamma=2"],
    ],
)
def test_the_shares_of_a_run_are_those_that_its_model_has_at_its_start(tmp_path, changes, bias):
    rng = np.random.default_rng(0)
    table = (rng.random((2_000, 3)) < [0.3, 0.06, 0.03]).astype(int)
    lines = [f"{row},{rng.normal():.4f},{','.join(map(str, found))}" for row, found in enumerate(table)]
    (tmp_path / "table.csv").write_text("\n".join(["id,size,a,b,c", *lines]) + "\n")
    settings = ["data.ids=id", "training.members=1", f"model.initial_bias={bias}", *changes]
    prepared = prepare(make_recipe(tmp_path / "table.csv", ["a", "b", "c"], groups="none", overrides=settings))
    found = prepared.preflight().gradient
    member = MemberTraining(
        prepared, 0, folder=tmp_path, run=None, watch=None, workers=Workers(), device=torch.device("cpu")
    )
    rows = member.rows.train
    inputs = prepared.inputs.fit(rows)
    model = member._make_model(inputs).eval()
    logits = model(*inputs.rows().take(torch.from_numpy(rows)).load().inputs)
    logits = logits.detach().reshape(len(rows), -1, 3)[:, 0].double().requires_grad_()
    plan, loss = prepared.member_plan(member.rows), prepared.make_loss()
    drawn = np.ones((len(rows), 3)) if plan is None else plan.sample_weights[:, None] * plan.entry_weights
    loss.reduction = "sum"
    loss(logits, torch.as_tensor(prepared.labels.values[rows]), sample_weights=torch.as_tensor(drawn)).backward()
    slope = logits.grad.numpy()
    up, down = -np.minimum(slope, 0).sum(axis=0), np.maximum(slope, 0).sum(axis=0)
    np.testing.assert_allclose(found.positive_shares, up / (up.sum() + down.sum()), rtol=0.25)
    np.testing.assert_allclose(found.negative / found.positive, down / up, rtol=0.25)


def test_a_plan_gives_what_its_draws_give():
    labels = make_labels("multilabel")
    plan = plan_sampling(labels)
    planned = gradient_shares(plan, labels)
    drawn = gradient_shares(PlanSampler(plan, rank=0, world=1).stream.indices(0, stop=200_000), labels)
    np.testing.assert_allclose(planned.positive_shares, drawn.positive_shares, rtol=0.03)
    by_row = gradient_shares(plan, labels, probabilities=np.full((ROWS, 4), 0.5))
    np.testing.assert_allclose(planned.positive_shares, by_row.positive_shares)


def test_alpha_and_full_balance():
    labels = Labels("binary", ("x",), np.array([1] + [0] * 9, np.float32), np.arange(10))
    balanced = gradient_shares(None, labels, weights=class_weights(count_labels(labels), "inverse"))
    np.testing.assert_allclose(balanced.positive_shares, [0.5])
    quarter = gradient_shares(plan_sampling(labels), labels, alpha=0.25)
    np.testing.assert_allclose(quarter.positive_shares, [0.25])
