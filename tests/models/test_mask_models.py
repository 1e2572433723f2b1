"""Models of masks: nnU-Net's layout, sizes of images, starting biases, deep supervision, and names that are unknown."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from equipoise._checks import ArgumentError
from equipoise.models import make_mask_model, model_from_dict, plan_unet, prior_logits

pytest.importorskip("monai", reason="MONAI is not installed")
pytest.importorskip("segmentation_models_pytorch", reason="segmentation-models-pytorch is not installed")

SMALL = {"width": 4, "stages": 3}
CASES = [
    ("unet", (32, 32), 1, SMALL),
    ("unet", (8, 32, 32), 2, SMALL),
    ("unet:resnet18", (64, 64), 1, {"depth": 3}),
    ("fpn:mobilenetv3_large_100", (64, 64), 3, {}),
]
each = pytest.mark.parametrize(("name", "patch", "channels", "settings"), CASES)


def make(name, patch, channels, settings, **given):
    return make_mask_model(name, channels=channels, n_outputs=3, patch_size=patch, **settings, **given)


@pytest.mark.parametrize(
    ("patch", "spacing", "strides", "kernels", "filters"),
    [
        # nnU-Net 2.5, get_pool_and_conv_props(spacing, patch, 4, 999999), and min(320 or 512, 32 * 2**i)
        ((512, 512), (1, 1), [(1, 1)] + 7 * [(2, 2)], 8 * [(3, 3)], (32, 64, 128, 256, 512, 512, 512, 512)),
        ((128, 128, 128), (1, 1, 1), [(1, 1, 1)] + 5 * [(2, 2, 2)], 6 * [(3, 3, 3)], (32, 64, 128, 256, 320, 320)),
        # prostate: 20 x 320 x 256 at 3.6 x 0.62 x 0.62 mm
        (
            (20, 320, 256), (3.6, 0.62, 0.62),
            [(1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2)],
            [(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)],
            (32, 64, 128, 256, 320, 320, 320),
        ),
    ],
)  # fmt: skip
def test_the_layout_is_nnu_nets(patch, spacing, strides, kernels, filters):
    layout = plan_unet(patch, spacing)
    assert list(layout.strides) == strides
    assert list(layout.kernels) == kernels
    assert layout.filters == filters


@each
def test_any_size_of_image_gets_a_logit_for_every_pixel(name, patch, channels, settings):
    model = make(name, patch, channels, settings).eval()
    odd = tuple(side + 3 for side in patch)
    with torch.no_grad():
        images = torch.randn(2, channels, *odd, generator=torch.Generator().manual_seed(0))
        assert model(images).shape == (2, 3, *odd)
        assert model.heads(images).shape == (2, 1, 3, *odd)


@each
def test_weights_depend_on_the_seed_alone_and_the_description_makes_the_model_again(name, patch, channels, settings):
    state = torch.random.get_rng_state()
    model = make(name, patch, channels, settings, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    same = make(name, patch, channels, settings, seed=3).state_dict()
    assert all(torch.equal(one, same[key]) for key, one in model.state_dict().items())
    other = make(name, patch, channels, settings, seed=4).state_dict()
    assert any(not torch.equal(one, other[key]) for key, one in model.state_dict().items())
    again = model_from_dict(json.loads(json.dumps(model.to_dict())))
    again.load_state_dict(model.state_dict())
    assert again.to_dict() == model.to_dict()
    images = torch.randn(1, channels, *patch)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(images), model.eval()(images))


@each
def test_the_final_bias_starts_at_the_share_of_pixels(name, patch, channels, settings):
    prior = prior_logits(np.array([900, 90, 10]), np.full(3, 1000), multiclass=True)
    model = make(name, patch, channels, settings, prior=prior)
    for bias in model.head_biases:
        np.testing.assert_allclose(bias.detach().numpy(), prior, rtol=1e-6)
    zero = make(name, patch, channels, settings, prior=prior, initial_bias="zero")
    assert not zero.output_bias.any()


def test_deep_supervision_answers_in_training_only_and_can_be_switched_off():
    images = torch.randn(2, 1, 64, 64)
    model = make("unet", (64, 64), 1, {"width": 4})
    assert model.heads(images).shape == (2, 3, 3, 64, 64)  # five stages: the output and two below
    assert model(images).shape == (2, 3, 64, 64)
    assert model.eval().heads(images).shape == (2, 1, 3, 64, 64)
    off = make("unet", (64, 64), 1, {"width": 4, "deep_supervision": False})
    assert off.heads(images).shape == (2, 1, 3, 64, 64)
    assert off.parameter_count < model.parameter_count


def test_everything_learns():
    model = make("unet", (32, 32), 1, SMALL)
    model.heads(torch.randn(2, 1, 32, 32)).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("unett", {}, 'Did you mean "unet"'),
        ("unet:resnet81", {}, "resnet18"),
        ("fpn", {}, "needs a backbone"),
        ("unet", {"widht": 8}, 'Did you mean "width"'),
        ("unet", {"patch_size": (8, 8)}, "at least 16 pixels"),
        ("unet", {"pretrained": "imagenet"}, "no pretrained weights"),
        ("unet:resnet18", {"patch_size": (8, 32, 32)}, "in 2-D"),
        ("unet:resnet18", {"depth": 6}, "at most 5"),
        ("unet:vit_base_patch16_224", {}, "backbone"),
        ("unet", {"spacing": (1.0, 0.0)}, "above 0"),
        ("unet", {"prior": np.zeros(2)}, "shape"),
    ],
)
def test_models_that_cannot_be_are_refused_by_name(name, given, message):
    with pytest.raises(ArgumentError, match=message):
        make_mask_model(name, **{"channels": 1, "n_outputs": 3, "patch_size": (32, 32), **given})
