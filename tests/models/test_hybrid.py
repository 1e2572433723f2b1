"""Image models: the counts of X-Lite, sizes, seeds, weights from files, descriptions, and names that are wrong."""

from __future__ import annotations

import contextlib
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load, save, save_file

from equipoise._checks import ArgumentError, DataError, RunError
from equipoise._image_models import IMAGE_MODELS, is_image_model, split_image_model
from equipoise.models import make_image_model, model_from_dict
from equipoise.models._backbone import _read_weights
from equipoise.models.cost import count_cost

# X-Lite's own table of results (dinethsadee01/X-Lite, experiments/baseline_results.csv): 14 outputs, 3 channels.
PUBLISHED = {"efficientnet_b0": 11_393_802, "convnext_tiny": 30_480_878, "mobilenet_v3_large": 7_129_246}
SMALL = "mobilenetv3_small_050"  # the least backbone that is like the six


def make(name=f"{SMALL}_mhsa", channels=1, n_outputs=3, **settings):
    return make_image_model(name, channels=channels, n_outputs=n_outputs, **settings)


def images(size=64, channels=1, batch=2):
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", IMAGE_MODELS[1::2])  # the others: tests/cli/test_models.py
def test_counts_are_those_of_x_lite(name):
    cost = count_cost(name, size=64)
    assert cost.parameters == PUBLISHED[name.rsplit("_", 1)[0]]
    assert cost.feature_map[1:] == (2, 2)


@pytest.mark.parametrize("name", [f"{SMALL}_mhsa", f"{SMALL}_performer", SMALL, "mobilenet_v3_large_performer"])
def test_every_size_every_parameter_and_the_same_again(name):
    model = make(name, channels=3, seed=3, dropout=0.0)
    answers = model(images(channels=3))
    assert answers.shape == (2, 3)
    answers.square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    model.eval()
    for size in (96, 224):
        assert model(images(size, 3)).shape == (2, 3)
        side = -(-size // 32)
        assert model.features(images(size, 3)).shape[2:] == model.feature_map(images(size, 3)).shape[2:] == (side, side)
    again = model_from_dict(json.loads(json.dumps(model.to_dict())))
    again.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(again.eval()(images(channels=3)), model(images(channels=3)))
    assert f"{model.parameter_count:,} parameters" in model.describe()


def test_other_kinds_of_backbones():
    for name, size in (("vit_tiny_patch16_224_performer", 64), ("resnet10t_mhsa", 50), ("vit_tiny_patch16_224", 96)):
        with torch.device("meta"):
            model = make(name, drop_path=0.1)
            assert model(images(size).to("meta")).shape == (2, 3)
            assert model.features(images(size).to("meta")).dim() == 4


def test_weights_depend_on_the_seed_alone():
    def state(seed):
        return make(f"{SMALL}_performer", seed=seed).state_dict()

    before = torch.get_rng_state()
    first = state(0)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(first.values(), state(0).values(), strict=True))
    assert not torch.equal(first["attention.projection"], state(1)["attention.projection"])


def test_bias_starts_at_the_prior():
    prior = np.array([-4.0, 0.0, 1.0])
    assert make(prior=prior).output_bias.tolist() == [-4.0, 0.0, 1.0]
    assert make(prior=prior, initial_bias="zero").output_bias.tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(make().output.weight, make(prior=prior).output.weight)


def test_biases_and_scalings_do_not_decay():
    model = make("convnext_atto_mhsa")
    decayed, free = model.parameter_groups(0.1)
    assert all(p.dim() >= 2 for p in decayed["params"])
    assert all(p.dim() < 2 for p in free["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))
    assert free["weight_decay"] == 0.0


def test_half_precision_and_channels_last():
    for name in (f"{SMALL}_mhsa", f"{SMALL}_performer"):
        model = make(name).eval()
        exact = model(images())
        torch.testing.assert_close(model.to(memory_format=torch.channels_last)(images()), exact, atol=1e-4, rtol=0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(model(images()).float(), exact, atol=0.05, rtol=0.05)
        assert model.bfloat16()(images().bfloat16()).isfinite().all()


def test_a_file_of_weights_is_the_backbones(tmp_path):
    import timm

    torch.manual_seed(5)
    saved = timm.create_model(SMALL)  # with classifier, three channels, and the layer behind the pooling
    save_file(saved.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": saved.state_dict()}, tmp_path / "w.pth")
    grey = make(pretrained=tmp_path / "w.safetensors")
    assert torch.equal(grey.backbone.conv_stem.weight, saved.conv_stem.weight.sum(1, keepdim=True))
    last = next(key for key in reversed(grey.backbone.state_dict()) if key.endswith("weight"))
    assert torch.equal(grey.backbone.state_dict()[last], saved.state_dict()[last])
    colour = make(SMALL, channels=3, pretrained=tmp_path / "w.pth")
    assert torch.equal(colour.backbone.conv_head.weight, saved.conv_head.weight)
    assert grey.to_dict() == make().to_dict()  # made again without the file
    save_file(grey.state_dict(), tmp_path / "own.safetensors")
    own = make(seed=9, pretrained=tmp_path / "own.safetensors")
    assert torch.equal(own.backbone.conv_stem.weight, grey.backbone.conv_stem.weight)


def bad_files(folder):
    state = make().backbone.state_dict()
    first = next(iter(state))
    save_file({key: value for key, value in state.items() if key != first}, folder / "missing.safetensors")
    save_file(state | {first: torch.zeros(3, 3)}, folder / "shape.safetensors")
    torch.save({"model": make}, folder / "code.pth")
    torch.save([1, 2], folder / "list.pth")
    torch.save({1: torch.zeros(3)}, folder / "numbered.pth")
    torch.save(state | {first: state[first] * torch.nan}, folder / "nan.pth")
    torch.save({key: value.to(torch.int8) for key, value in state.items()}, folder / "int8.pth")
    torch.save(state | {first: state[first].to(torch.complex64)}, folder / "complex.pth")
    torch.save({key: value.to("meta") for key, value in state.items()}, folder / "meta.pth")
    torch.save(state | {first: state[first].to_sparse()}, folder / "sparse.pth")
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.safetensors").write_text("not weights at all")
    (folder / "w.onnx").write_text("x")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.safetensors", f'has no weights for "conv_stem.weight" of {SMALL}'),
        ("shape.safetensors", '"conv_stem.weight" has shape (3, 3), mobilenetv3_small_050 needs (16, 1, 3, 3)'),
        ("code.pth", "it is damaged, or holds more than tensors"),
        ("list.pth", "holds no tensors by name"),
        ("numbered.pth", "holds no tensors by name"),
        ("nan.pth", '"conv_stem.weight" holds numbers that are not finite'),
        ("int8.pth", '"conv_stem.weight" holds int8, where floating-point numbers are needed'),
        ("complex.pth", '"conv_stem.weight" holds complex64'),
        ("meta.pth", "holds no tensors by name (sparse"),
        ("sparse.pth", 'has no weights for "conv_stem.weight"'),
        ("empty.pth", "could not be read as weights"),
        ("text.safetensors", "could not be read as weights"),
        ("w.onnx", "must end in .safetensors, .pth or .pt"),
        ("nowhere.pth", "there is no such file"),
    ],
)
def test_wrong_files_of_weights(tmp_path, name, message):
    bad_files(tmp_path)
    with pytest.raises((DataError, ArgumentError)) as error:
        make(pretrained=tmp_path / name)
    assert message in str(error.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [True, False])
def test_a_file_of_weights_damaged_anywhere_is_an_error_of_the_data(tmp_path, legacy):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=not legacy)
    whole, rng = path.read_bytes(), np.random.default_rng(4)
    for place in rng.integers(0, len(whole), 200).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged[: None if place % 2 else place])
        with contextlib.suppress(DataError):
            _read_weights(path)


class Trap:
    """Would make a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("legacy", [True, False])
def test_nothing_in_a_file_of_weights_is_run(tmp_path, legacy):
    trap = Trap(str(tmp_path / "trapped"))
    torch.save({"state_dict": trap}, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DataError, match="more than tensors") as caught:
        make(pretrained=tmp_path / "w.pth")
    assert "weights_only" not in str(caught.value)  # torch's own advice is to run it
    assert not (tmp_path / "trapped").exists()


def test_imagenet_without_a_network(monkeypatch):
    import timm

    real = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise ConnectionError("Name or service not known\nand more")
        return real(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        RunError, match="could not be fetched: Name or service not known. Without a network, give a file"
    ):
        make(f"{SMALL}_mhsa", pretrained="imagenet")
    with pytest.raises(ArgumentError, match="no pretrained weights of botnet50ts_256"):
        make("botnet50ts_256", pretrained="imagenet")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("efficientnet_bo_mhsa", {}, 'no backbone "efficientnet_bo" in timm'),
        ("efficientnet_bo_mhsa", {}, 'The nearest are "efficientnet_b0", "efficientnet_b1", "efficientnet_b2".'),
        ("nothing_like_it_at_all_1", {}, "`timm.list_models()` has them all"),
        ("convnext_tiny.in99k", {}, 'has no weights tagged "in99k"'),
        (f"{SMALL}_mhsa", {"features": 8}, f'The model {SMALL}_mhsa has no setting "features". It has "heads"'),
        (SMALL, {"heads": 8}, 'has no setting "heads". It has "dropout", "drop_path".'),
        (f"{SMALL}_mhsa", {"head": 8}, 'Did you mean "heads"?'),
        (f"{SMALL}_mhsa", {"heads": 7}, "must divide the width 288 of its last map; got 7"),
        (f"{SMALL}_mhsa", {"dropout": 1.0}, "`dropout` of the model"),
        (f"{SMALL}_performer", {"features": 2.5}, "must be a whole number"),
        (f"{SMALL}_mhsa", {"channels": 2}, "`channels` of make_image_model"),
        (f"{SMALL}_mhsa", {"initial_bias": "prior"}, "`initial_bias` of make_image_model"),
        (f"{SMALL}_mhsa", {"prior": np.zeros(2)}, "must have shape (3,); got (2,)"),
        ("vgg11_mhsa", {"drop_path": 0.1}, "cannot drop paths"),
        ("tabm_mhsa", {}, 'no backbone "tabm" in timm'),
    ],
)
def test_wrong_arguments(name, settings, message):
    with pytest.raises(ArgumentError) as error:
        make(name, **settings)
    assert message in str(error.value)


def test_timm_is_asked_for_when_it_is_not_there(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ArgumentError, match=r'pip install "equipoise\[images\]"'):
        make()


def test_names():
    assert all(map(is_image_model, (*IMAGE_MODELS, "resnet18", "convnext_tiny.fb_in22k_mhsa")))
    assert not any(map(is_image_model, ("tabm", "mlp", "linear", "", "Resnet18", "../resnet18", "resnet18/x")))
    assert split_image_model("convnext_tiny.fb_in22k_mhsa") == ("convnext_tiny.fb_in22k", "mhsa")


def test_redraw_changes_a_performer_only():
    for name, changes in ((f"{SMALL}_performer", True), (f"{SMALL}_mhsa", False), (SMALL, False)):
        model = make(name).eval()
        before = model(images())
        model.redraw(7)
        assert torch.equal(model(images()), before) is not changes


def test_names_of_timm_read_like_image_models():
    import timm

    odd = [name for name in timm.list_models() if not is_image_model(name)]
    assert len(odd) <= 5, odd
