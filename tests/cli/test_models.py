"""`equipoise models`: the six of X-Lite, others by name, their time, and names that are wrong."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from equipoise._checks import ArgumentError
from equipoise._image_models import IMAGE_MODELS
from equipoise.cli import app


def run(*arguments):
    result = CliRunner().invoke(app, ["models", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_the_six_and_what_else_there_is():
    text = run("--size", "64", "--channels", "3")
    assert all(name in text for name in IMAGE_MODELS)
    for count in ("11,393,802", "30,480,878", "7,129,246"):  # X-Lite's: see tests/models/test_hybrid.py
        assert text.count(count) == 2
    assert "linear, mlp, tabm" in text


def test_operations_are_those_of_the_layers():
    one, four = (json.loads(run("resnet10t_mhsa", "--size", size, "--json"))[0] for size in ("64", "128"))
    assert 3.9 < four["flops"] / one["flops"] < 4.1
    assert (one["feature_map"], four["feature_map"]) == ([512, 2, 2], [512, 4, 4])
    assert one["weight_bytes"] > 4 * one["parameters"]
    assert "seconds_per_image" not in one


def test_latency(monkeypatch):
    monkeypatch.setattr("equipoise.models.cost._SECONDS", 0.05)
    taken = json.loads(run("mobilenetv3_small_050", "--size", "32", "--latency", "--json"))[0]["seconds_per_image"]
    assert 0 < taken["32"] < taken["1"] < 10
    assert "images/s" in run("mobilenetv3_small_050", "--size", "32", "--latency")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mlp",), "mlp is a model of tables"),
        (("Convnext",), "'Convnext' is no name of a model of images."),
        (("convnext_tinny_mhsa",), 'The nearest are "convnext_tiny"'),
        (("resnet18", "--size", "7"), "`size` of count_cost must be at least 32"),
        (("vit_tiny_patch16_224", "--size", "200"), "takes no images of 200 by 200 pixels: Input height"),
        (("resnet18", "--channels", "2"), "`channels` of make_image_model"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ArgumentError) as error:
        run(*arguments)
    assert message in str(error.value)
