"""Scaling and models beside scikit-learn and the packages of their authors."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import rtdl_num_embeddings
import tabm
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import RobustScaler, StandardScaler

from equipoise.data import fit_preprocessor, read_features
from equipoise.data.tabular import _scaling
from equipoise.models import TabM, make_model


def test_standard_scores_are_those_of_scikit_learn():
    values = np.random.default_rng(0).normal(5, 3, (200, 4))
    expected = StandardScaler().fit_transform(values)
    np.testing.assert_allclose(_scaling.apply_standard(values, *_scaling.fit_standard(values)), expected, rtol=1e-12)


def test_robust_scale_is_that_of_scikit_learn():
    values = np.random.default_rng(0).standard_t(2, (200, 4))
    z = RobustScaler().fit_transform(values)
    found = _scaling.apply_robust_clip(values, *_scaling.fit_robust(values))
    np.testing.assert_allclose(found, z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-12)


def test_piecewise_encoding_is_that_of_its_authors():
    column = np.random.default_rng(0).normal(size=300)
    edges = _scaling.fit_bins(column, bins=8)
    inside = np.clip(column, edges[0], edges[-1])  # beyond the edges theirs goes on and ours stops
    theirs = rtdl_num_embeddings.PiecewiseLinearEncoding([torch.from_numpy(edges)])(torch.from_numpy(inside)[:, None])
    np.testing.assert_allclose(_scaling.apply_piecewise(column, edges), theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize("cardinalities", [(), (4, 3)])
def test_tabm_is_that_of_its_authors(cardinalities):
    """The same weights give the same logits; category codes are shifted, since theirs has no reserved code."""
    ours = make_model("tabm", n_numeric=5, cardinalities=cardinalities, n_outputs=2, skip=False).eval()
    assert isinstance(ours, TabM)
    theirs = tabm.TabM(
        n_num_features=5, cat_cardinalities=[codes - 1 for codes in cardinalities], d_out=2, n_blocks=2, d_block=64,
        dropout=0.1, k=8, start_scaling_init="random-signs",
    ).eval()  # fmt: skip
    theirs.backbone.load_state_dict(ours.backbone.state_dict())
    theirs.output.load_state_dict(ours.output.state_dict())
    numeric = torch.randn(9, 5)
    codes = [torch.randint(1, codes, (9,)) for codes in cardinalities]
    categorical = torch.stack(codes, 1) if codes else torch.zeros(9, 0, dtype=torch.int64)
    expected = theirs(numeric, categorical - 1 if codes else None)
    torch.testing.assert_close(ours(numeric, categorical), expected)


def test_the_linear_model_reaches_logistic_regression():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"x": rng.normal(size=400), "c": rng.choice(["a", "b", "c"], 400)})
    y = (rng.random(400) < 1 / (1 + np.exp(-(table["x"].to_numpy() + (table["c"] == "b").to_numpy())))).astype(
        np.float32
    )
    fitted = fit_preprocessor(read_features(table))
    arrays = fitted.apply(read_features(table))
    model = make_model("linear", n_numeric=1, cardinalities=fitted.cardinalities, n_outputs=1)
    inputs = torch.from_numpy(arrays.numeric), torch.from_numpy(arrays.categorical)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(*inputs)[:, 0], torch.from_numpy(y))
        loss.backward()
        return loss

    optimizer.step(closure)
    one_hot = np.eye(3)[arrays.categorical[:, 0] - 1]
    reference = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(np.c_[arrays.numeric, one_hot], y)
    expected = reference.predict_proba(np.c_[arrays.numeric, one_hot])[:, 1]
    np.testing.assert_allclose(torch.sigmoid(model(*inputs))[:, 0].detach().numpy(), expected, atol=1e-3)
