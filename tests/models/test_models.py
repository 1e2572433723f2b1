"""Models by name: shapes, seeds, biases, settings, and what becomes of submodels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from equipoise._checks import ArgumentError
from equipoise.models import (
    MODELS,
    combine_submodels,
    make_model,
    model_from_dict,
    prior_logits,
)

TABLES = [(0, ()), (3, ()), (0, (3, 100)), (4, (2, 3, 200))]
EMBEDDINGS = ["none", "linear", "periodic", "piecewise_linear"]


def inputs(n_numeric: int, cardinalities: tuple[int, ...], rows: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    codes = [torch.randint(0, codes, (rows,), generator=generator) for codes in cardinalities]
    numeric = torch.randn(rows, n_numeric, generator=generator)
    return numeric, torch.stack(codes, 1) if codes else torch.zeros(rows, 0, dtype=torch.int64)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("name", "settings"), [("linear", {}), *((name, {"embedding": e}) for name in ("mlp", "tabm") for e in EMBEDDINGS)]
)
def test_every_model_of_every_table(name, settings, table):
    numeric, categorical = inputs(*table)
    made = {"n_numeric": table[0], "cardinalities": table[1], "n_outputs": 2, "training_numeric": numeric.numpy()}
    model = make_model(name, **made, **settings, seed=3)
    logits = model(numeric, categorical)
    assert logits.shape == ((7, model.submodels, 2) if name == "tabm" else (7, 2))
    assert model.combine(logits).shape == (7, 2)
    logits.sum().backward()
    # The same again from JSON and safetensors, bit for bit.
    again = model_from_dict(json.loads(json.dumps(model.to_dict())))
    again.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(again.eval()(numeric, categorical), model.eval()(numeric, categorical))
    assert f"{model.parameter_count:,} parameters" in model.describe()


@pytest.mark.parametrize("name", MODELS)
def test_weights_depend_on_the_seed_alone(name):
    def state(seed: int) -> list[torch.Tensor]:
        return list(make_model(name, n_numeric=5, cardinalities=(3,), n_outputs=2, seed=seed).state_dict().values())

    before = torch.get_rng_state()
    first = state(0)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(first, state(0), strict=True))
    if name != "linear":  # which starts at zero whatever the seed
        assert not all(torch.equal(a, b) for a, b in zip(first, state(1), strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_the_final_bias_starts_at_the_prevalence(name):
    prior = prior_logits(np.array([10, 400]), np.array([1000, 800]))
    made = {"n_numeric": 2, "cardinalities": (), "n_outputs": 2, "prior": prior}
    bias = make_model(name, **made).output_bias
    np.testing.assert_allclose(torch.sigmoid(bias).detach().reshape(-1, 2)[0], [10.5 / 1001, 400.5 / 801], rtol=1e-5)
    assert make_model(name, **made, initial_bias="zero").output_bias.abs().max() == 0


def test_a_model_that_starts_linear_predicts_the_prior():
    prior = np.array([-4.0])
    model = make_model("linear", n_numeric=3, cardinalities=(4,), n_outputs=1, prior=prior)
    assert model(*inputs(3, (4,))).unique().tolist() == [-4.0]


def test_prior_logits():
    assert np.isfinite(prior_logits(np.array([0, 5]), np.array([5, 5]))).all()
    shifted = prior_logits(np.array([1.0]), np.array([100.0]), log_odds_shift=np.log([10.0]))
    assert shifted[0] == pytest.approx(np.log(1.5 / 99.5) + np.log(10))
    multiclass = prior_logits(np.array([90, 9, 1]), np.array([100] * 3), multiclass=True)
    assert np.exp(multiclass).sum() == pytest.approx(1)


def test_combined_submodels_are_the_mean_probability():
    logits = torch.randn(50, 8, 3, dtype=torch.float64) * 3
    sigmoid = torch.sigmoid(combine_submodels(logits, multiclass=False))
    torch.testing.assert_close(sigmoid, torch.sigmoid(logits).mean(1))
    softmax = torch.softmax(combine_submodels(logits, multiclass=True), -1)
    torch.testing.assert_close(softmax, torch.softmax(logits, -1).mean(1))


def test_combined_submodels_stay_finite_and_ordered_where_probabilities_round():
    extreme = torch.tensor([[[-200.0], [-200.0]], [[-199.0], [-200.0]], [[200.0], [190.0]], [[1e4], [1e4]]])
    combined = combine_submodels(extreme, multiclass=False)[:, 0]
    assert torch.isfinite(combined).all()
    assert combined[0] == pytest.approx(-200)
    assert -200 < combined[1] < -199
    assert 190 < combined[2] < 192
    assert torch.isfinite(
        combine_submodels(extreme.expand(-1, -1, 2) * torch.tensor([1.0, -1.0]), multiclass=True)
    ).all()
    assert torch.equal(combine_submodels(extreme[:, :1], multiclass=False), extreme[:, 0])


def test_words_never_seen_add_nothing():
    model = make_model("mlp", n_numeric=0, cardinalities=(4, 300), n_outputs=1).eval()
    x = model.input(torch.zeros(1, 0), torch.zeros(1, 2, dtype=torch.int64))
    assert x.abs().sum() == 0
    one_hot = model.input(torch.zeros(1, 0), torch.tensor([[2, 0]]))[0, :3]
    assert one_hot.tolist() == [0, 1, 0]


def test_what_decays():
    model = make_model("tabm", n_numeric=3, cardinalities=(200,), n_outputs=1, embedding="periodic")
    decayed, free = model.parameter_groups(0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} == {
        "backbone.blocks.0.0.weight", "backbone.blocks.1.0.weight", "output.weight", "skip.weight",
    }  # fmt: skip
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tabn", {}, 'must be one of "linear", "mlp", "tabm"; got \'tabn\'. Did you mean "tabm"?'),
        ("mlp", {"widht": 3}, 'The model mlp has no setting "widht". Did you mean "width"?'),
        ("linear", {"width": 3}, 'The model linear has no setting "width". It has no settings.'),
        ("mlp", {"width": 0}, "`width` of the model mlp must be at least 1.0; got 0."),
        ("mlp", {"dropout": 1.0}, "`dropout` of the model mlp must be at most 0.95"),
        ("tabm", {"ensemble": 2.5}, "`ensemble` of the model tabm must be a whole number"),
        ("tabm", {"embedding": "periodical"}, 'Did you mean "periodic"?'),
        ("tabm", {"embedding": "piecewise_linear"}, "Pass `training_numeric`"),
        ("mlp", {"initial_bias": "prior"}, '`initial_bias` of make_model must be one of "prevalence", "zero"'),
        ("mlp", {"prior": np.zeros(3)}, "`prior` of make_model must have shape (1,); got (3,)."),
    ],
)
def test_wrong_settings(name, settings, message):
    with pytest.raises(ArgumentError) as error:
        make_model(name, n_numeric=2, cardinalities=(), n_outputs=1, **settings)
    assert message in str(error.value)


def test_none_means_the_default():
    model = make_model("mlp", n_numeric=2, cardinalities=(), n_outputs=1, width=None, depth=1)
    assert (model.settings["width"], model.settings["depth"]) == (256, 1)


def test_thousands_of_columns_in_half_precision():
    numeric, categorical = inputs(1500, (300,) * 3)
    for name in MODELS:
        model = make_model(name, n_numeric=1500, cardinalities=(300,) * 3, n_outputs=45)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(numeric, categorical)
        assert torch.isfinite(logits.float()).all()
