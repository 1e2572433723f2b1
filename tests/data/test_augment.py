"""Augmentation: a function of (seed, epoch, row, draw) alone, stronger with each strength, exact where it is none."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from data.image_fakes import make_folder
from equipoise._checks import ArgumentError
from equipoise.data import build_cache, make_augmenter, parse_steps, pixel_statistics
from equipoise.data.augment import MODALITIES, STRENGTHS, Augmenter

SIDE = 48
CHANGING = STRENGTHS[1:]


def batch(images: int, channels: int, seed: int = 0) -> torch.Tensor:
    """Smooth pictures inside a black margin, so that what moves out of the frame is black already."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((images, SIDE, SIDE, channels), np.uint8)
    for image in pixels:
        smooth = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE, channels)), (0, 0), 4).reshape(SIDE, SIDE, channels)
        image[8:-8, 8:-8] = (128 + 500 * smooth).clip(0, 255).astype(np.uint8)[8:-8, 8:-8]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_batch_a_row_is_in_changes_nothing(modality: str, channels: int) -> None:
    pixels, rows = batch(12, channels), np.arange(100, 112)
    augment = make_augmenter("strong", modality=modality, seed=4, channels=channels)
    whole = augment(pixels, rows=rows, epoch=3)
    assert whole.dtype == torch.float32
    assert whole.shape == (12, channels, SIDE, SIDE)
    order = np.random.default_rng(0).permutation(12)
    shuffled = torch.cat(
        [pickle.loads(pickle.dumps(augment))(pixels[part], rows=torch.from_numpy(rows[part]), epoch=3)
         for part in np.split(order, [1, 6])]
    )  # fmt: skip
    assert torch.equal(shuffled, whole[order])
    assert torch.equal(augment(pixels.contiguous(), rows=rows, epoch=3), whole)  # whatever the order in memory


@pytest.mark.parametrize("change", [{"seed": 5}, {"epoch": 4}, {"draws": 1}, {"rows": 1}])
def test_seed_epoch_row_and_draw_each_give_another_view(change: dict[str, int]) -> None:
    pixels = batch(1, 1).repeat(6, 1, 1, 1)
    given = {"seed": 4, "epoch": 3, "draws": 0, "rows": 0}

    def seen(seed: int, epoch: int, draws: int, rows: int) -> torch.Tensor:
        augment = make_augmenter("light", modality="xray", seed=seed)
        return augment(pixels, rows=np.arange(6) * 7 + rows, epoch=epoch, draws=draws)

    first, other = seen(**given), seen(**{**given, **change})
    assert all(not torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert len({image.numpy().tobytes() for image in first}) == 6


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("modality", MODALITIES)
def test_each_strength_changes_more_than_the_one_before(modality: str, channels: int) -> None:
    pixels, rows = batch(150, channels), np.arange(150)
    still = make_augmenter("none", modality=modality, seed=0, channels=channels)(pixels, rows=rows, epoch=0)
    changes = []
    for strength in CHANGING:
        augment = make_augmenter(strength, modality=modality, seed=0, channels=channels)
        seen = augment(pixels, rows=rows, epoch=0)
        changes.append(float((seen - still).abs().mean()))
        assert abs(float(seen.mean() - still.mean())) < 0.15  # of a standard deviation of 0.25: no drift
        assert 0.8 < float(seen.std() / still.std()) < 1.2
    assert changes == sorted(changes)
    assert changes[0] > 0.02
    assert changes[2] > 1.1 * changes[0]


def test_none_is_exactly_the_normalisation() -> None:
    pixels = batch(3, 3)
    augment = make_augmenter("none", modality="xray", seed=0, mean=(0.4, 0.5, 0.6), std=0.2, channels=3)
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1), torch.full((1, 3, 1, 1), 0.2)
    assert torch.equal(augment(pixels, rows=np.arange(3), epoch=1), (pixels.float() / 255 - mean) / std)
    grey = make_augmenter("none", modality="xray", seed=0, mean=0.3)
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(grey(every, rows=np.arange(1), epoch=0), (every.float() / 255 - 0.3) / 0.25)


def side_of_the_light(augment: Augmenter) -> np.ndarray:
    """For each of 200 draws, whether the bright left half of an image is still on the left."""
    pixels = torch.zeros((200, 1, SIDE, SIDE), dtype=torch.uint8)
    pixels[:, :, 10:-10, 10 : SIDE // 2] = 200
    seen = augment(pixels, rows=np.arange(200), epoch=0)
    return (seen[..., : SIDE // 2].mean(dim=(1, 2, 3)) > seen[..., SIDE // 2 :].mean(dim=(1, 2, 3))).numpy()


def test_a_chest_is_mirrored_only_on_request() -> None:
    for strength in CHANGING:
        assert side_of_the_light(make_augmenter(strength, modality="xray", seed=1)).all()
    assert 0.35 < side_of_the_light(make_augmenter("light", modality="xray", seed=1, flip=True)).mean() < 0.65
    assert side_of_the_light(make_augmenter("light", modality="general", seed=1, flip=False)).all()
    assert 0.35 < side_of_the_light(make_augmenter("light", modality="fundus", seed=1)).mean() < 0.65


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_way_of_other_devices_agrees_with_that_of_the_processor(modality: str, channels: int) -> None:
    pixels = batch(8, channels)
    augment = make_augmenter("strong", modality=modality, seed=2, channels=channels)
    drawn = _drawn(augment, 8)
    here, there = augment._by_image(pixels, drawn), augment._by_batch(pixels, drawn)
    difference = (here - there).abs() * 0.25 * 255  # in grey levels
    assert float(difference.mean()) < 1
    assert float(difference.quantile(0.99)) < 6  # at edges, OpenCV counts places in steps of 1/32 of a pixel


def _drawn(augment: Augmenter, images: int):
    from equipoise.data._augment_draws import draw

    assert augment.ranges is not None
    return draw(
        augment.ranges, np.arange(images), np.zeros(images, np.int64), seed=augment.seed, epoch=0,
        mean=np.array(augment.mean),
    )  # fmt: skip


def test_black_and_white_are_the_ends() -> None:
    augment = make_augmenter("strong", modality="fundus", seed=0, channels=3)
    seen = augment(batch(20, 3), rows=np.arange(20), epoch=0)
    assert float(seen.min()) >= -2 - 1e-5
    assert float(seen.max()) <= 2 + 1e-5


def test_statistics_are_those_of_all_pixels(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 30, colour=True)
    cache = build_cache(files, parse_steps(["resize"], size=16, channels=3), tmp_path / "cache")
    rows = np.arange(3, 25)
    mean, std = pixel_statistics(cache, rows)
    pixels = cache.read(rows) / 255
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=(0, 1, 2)), rtol=1e-12)
    sampled = pixel_statistics(cache, rows, most=10)
    assert np.array_equal(sampled[0], pixel_statistics(cache, rows, most=10)[0])
    assert not np.array_equal(sampled[0], mean)
    with pytest.raises(ArgumentError, match="at least one row"):
        pixel_statistics(cache, np.array([], dtype=np.int64))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strength": "mild"}, 'must be one of "none"'),
        ({"modality": "xrays"}, 'Did you mean "xray"'),
        ({"std": 0.0}, "`std` of make_augmenter must be"),
        ({"mean": 120}, "pixels in \\[0, 1\\]"),
        ({"mean": (0.1, 0.2)}, "one number or 1"),
        ({"channels": 4}, "must be 1 or 3"),
    ],
)
def test_what_cannot_be_is_refused(given: dict, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        make_augmenter(**{"strength": "light", "modality": "xray", "seed": 0, **given})


def test_a_batch_of_another_form_is_refused() -> None:
    augment = make_augmenter("light", modality="xray", seed=0)
    with pytest.raises(ArgumentError, match="must be uint8"):
        augment(batch(2, 1).float(), rows=np.arange(2), epoch=0)
    with pytest.raises(ArgumentError, match="must be uint8"):
        augment(batch(2, 3), rows=np.arange(2), epoch=0)
    with pytest.raises(ArgumentError, match="one row and one draw"):
        augment(batch(2, 1), rows=np.arange(3), epoch=0)
