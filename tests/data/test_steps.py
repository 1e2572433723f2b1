"""Steps: each does what its name says, in the order that was given, and the key changes when the pixels may."""

from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise._checks import ArgumentError
from equipoise.data import apply_clahe, parse_steps, to_uint8
from equipoise.data.clahe import check_tiles
from equipoise.data.steps import STEP_NAMES

RNG = np.random.default_rng(5)
GREY = cv2.GaussianBlur(RNG.normal(size=(120, 90)), (0, 0), 6) * 600 + RNG.normal(size=(120, 90)) * 5 + 110
GREY = GREY.clip(0, 255).astype(np.uint8)
COLOUR = np.stack([GREY, np.roll(GREY, 7, 0), 255 - GREY], axis=2)


# --- CLAHE


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(("clip", "tiles"), [(2.0, 8), (3.5, 4), (40.0, 1)])
def test_grey_clahe_is_opencvs(kind: type, clip: float, tiles: int) -> None:
    image = GREY.astype(kind) * (1 if kind is np.uint8 else 257)
    before = image.copy()
    even = apply_clahe(image, clip=clip, tiles=tiles)
    assert np.array_equal(even, cv2.createCLAHE(clip, (tiles, tiles)).apply(image))
    assert even.dtype == kind
    assert np.array_equal(image, before)


def test_colour_clahe_changes_lightness_and_keeps_hue() -> None:
    even = apply_clahe(COLOUR)
    before, after = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(int) for image in (COLOUR, even))
    assert np.abs(after[..., 0] - before[..., 0]).mean() > 5
    inside = ((even > 0) & (even < 255)).all(axis=2)  # a colour that would leave the cube is cut at its side
    assert np.abs(after - before)[inside][:, 1:].mean() < 1
    expected = cv2.createCLAHE(2.0, (8, 8)).apply(np.ascontiguousarray(before[..., 0].astype(np.uint8)))
    assert np.abs(after[..., 0] - expected)[inside].mean() < 1
    fine = apply_clahe(COLOUR.astype(np.uint16) * 257, clip=65536)  # so high that neither is cut
    assert fine.dtype == np.uint16
    assert np.abs(fine / 257 - apply_clahe(COLOUR, clip=65536)).mean() < 3


def test_threads_do_not_share_a_worker() -> None:
    images = [np.roll(GREY, shift, 1) for shift in range(40)]
    expected = [apply_clahe(image) for image in images]
    wrong: list[int] = []

    def work(numbers: range) -> None:
        wrong.extend(n for n in numbers if not np.array_equal(apply_clahe(images[n]), expected[n]))

    threads = [threading.Thread(target=work, args=(range(40),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- single steps


def test_the_order_is_the_users_and_matters() -> None:
    before = parse_steps(["clahe", "resize"], size=32, channels=1)
    after = parse_steps(["resize", "clahe"], size=32, channels=1)
    clahe = cv2.createCLAHE(2.0, (8, 8))
    small = lambda image: cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    assert np.array_equal(before.apply(GREY)[..., 0], small(clahe.apply(GREY)))
    assert np.array_equal(after.apply(GREY)[..., 0], clahe.apply(small(GREY)))
    assert not np.array_equal(before.apply(GREY), after.apply(GREY))
    assert before.describe().index("CLAHE") < before.describe().index("resized")
    assert after.describe().index("resized") < after.describe().index("CLAHE")


def test_images_are_averaged_when_they_shrink_and_cubic_when_they_grow() -> None:
    def resized(size: int, **settings: str) -> np.ndarray:
        return parse_steps([{"resize": settings}], size=size, channels=1).apply(GREY)[..., 0]

    assert np.array_equal(resized(30), cv2.resize(GREY, (30, 30), interpolation=cv2.INTER_AREA))
    assert np.array_equal(resized(200), cv2.resize(GREY, (200, 200), interpolation=cv2.INTER_CUBIC))
    assert np.array_equal(resized(200, enlarge="linear"), cv2.resize(GREY, (200, 200), interpolation=cv2.INTER_LINEAR))
    assert np.array_equal(resized(60, fit="crop"), cv2.resize(GREY[15:105], (60, 60), interpolation=cv2.INTER_AREA))
    padded = resized(40, fit="pad")
    assert np.array_equal(padded[:, 5:35], cv2.resize(GREY, (30, 40), interpolation=cv2.INTER_AREA))
    assert not padded[:, :5].any()
    assert not padded[:, 35:].any()
    square = GREY[:90]
    assert np.array_equal(parse_steps(["resize"], size=90, channels=1).apply(square)[..., 0], square)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("colour", [False, True])
def test_black_borders_are_cut(kind: type, colour: bool) -> None:
    disc = np.zeros((100, 160), np.uint8)
    disc[10:91, 50:131] = 120
    disc += RNG.integers(0, 8, disc.shape).astype(np.uint8)  # black is never quite black
    disc[3, 5] = 255  # a hot pixel
    image = np.stack([disc, disc // 2, disc // 4], axis=2) if colour else disc
    image = image.astype(kind) * (1 if kind is np.uint8 else 257)
    steps = parse_steps(["crop_borders", "to_8_bits", "resize"], size=81, channels=3 if colour else 1)
    cut = steps.apply(image)
    expected = to_uint8(image[10:91, 50:131])
    assert np.array_equal(cut if colour else cut[..., 0], expected)
    black = np.zeros((9, 9), np.uint8)
    assert not steps.apply(black).any()


def test_sixteen_bits_become_eight_where_it_is_said() -> None:
    deep = GREY.astype(np.uint16) * 16  # 12 bits, as detectors have them
    first = parse_steps(["clahe", "resize"], size=24, channels=1)
    assert first.to_dict()["steps"][0] == {"to_8_bits": {"bits": None}}
    assert np.array_equal(first.apply(deep), first.apply(to_uint8(deep)))
    last = parse_steps(["clahe", "resize", {"to_8_bits": {"bits": 16}}], size=24, channels=1)
    even = cv2.createCLAHE(2.0, (8, 8)).apply(deep)
    expected = to_uint8(cv2.resize(even, (24, 24), interpolation=cv2.INTER_AREA), bits=16)
    assert np.array_equal(last.apply(deep)[..., 0], expected)
    assert np.array_equal(last.apply(GREY), first.apply(GREY))  # 8 bits are never touched


def test_the_channel_rule() -> None:
    grey, colour = (parse_steps(["resize"], size=30, channels=channels) for channels in (1, 3))
    assert np.array_equal(colour.apply(GREY), np.repeat(grey.apply(GREY), 3, axis=2))
    assert colour.apply(COLOUR).shape == (30, 30, 3)
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey.apply(COLOUR)[..., 0] - cv2.resize(luma, (30, 30), interpolation=cv2.INTER_AREA)).max() <= 1


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)), st.sampled_from([1, 3]), st.booleans(),
    st.sampled_from([np.uint8, np.uint16]), st.permutations(STEP_NAMES), st.sampled_from(["stretch", "pad", "crop"]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_image_comes_out_in_the_one_form(shape, channels, colour, kind, order, fit) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3) if colour else shape).astype(kind)
    order = ["crop_borders", *(name for name in order if name != "crop_borders")]
    named = [{"resize": {"fit": fit}} if name == "resize" else name for name in order]
    done = parse_steps(named, size=16, channels=channels).apply(image)
    assert done.shape == (16, 16, channels)
    assert done.dtype == np.uint8


# --- the list


VARIANTS: list[tuple[list[Any], int, int]] = [
    (["clahe", "resize"], 32, 1),
    (["resize", "clahe"], 32, 1),
    (["resize"], 32, 1),
    (["clahe", "resize"], 64, 1),
    (["clahe", "resize"], 32, 3),
    ([{"clahe": {"clip": 3}}, "resize"], 32, 1),
    ([{"clahe": {"tiles": 4}}, "resize"], 32, 1),
    (["clahe", {"resize": {"fit": "pad"}}], 32, 1),
    (["clahe", {"resize": {"enlarge": "linear"}}], 32, 1),
    (["clahe", "to_8_bits", "resize"], 32, 1),
    ([{"to_8_bits": {"bits": 12}}, "clahe", "resize"], 32, 1),
    (["crop_borders", "clahe", "resize"], 32, 1),
    ([{"crop_borders": {"threshold": 20}}, "clahe", "resize"], 32, 1),
]


def test_the_key_changes_when_and_only_when_the_list_does() -> None:
    keys = {parse_steps(steps, size=size, channels=channels).key for steps, size, channels in VARIANTS}
    assert len(keys) == len(VARIANTS)
    same = [
        ["clahe", "resize"],
        ({"clahe": None}, {"resize": {}}),
        [{"clahe": {"tiles": 8, "clip": 2}}, {"resize": {"enlarge": "cubic", "fit": "stretch"}}],
        [{"to_8_bits": {"bits": None}}, {"clahe": {"clip": 2.0}}, "resize"],
    ]
    assert len({parse_steps(steps, size=32, channels=1).key for steps in same}) == 1


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (["clahee", "resize"], 'item 1` of steps must be one of .* Did you mean "clahe"'),
        ([{"clahe": {"clips": 2}}, "resize"], 'no setting \'clips\'; it has "clip", "tiles". Did you mean "clip"'),
        ([{"clahe": {"clip": 0}}, "resize"], "`clip` of clahe must be above 0"),
        ([{"clahe": {"tiles": 65}}, "resize"], "at most 64"),
        ([{"clahe": 2.0}, "resize"], "takes a mapping"),
        ([{"clahe": {}, "resize": {}}], "item 1 must be a name, or one name"),
        ([{"resize": {"fit": "squash"}}], '`fit` of resize must be one of "stretch", "pad", "crop"'),
        ([{"to_8_bits": {"bits": 17}}, "resize"], "from 1 to 16"),
        ([{"crop_borders": {"threshold": 255}}, "resize"], "at most 254"),
        (["clahe"], 'no "resize"'),
        ([], 'no "resize"'),
        (["resize", "clahe", "resize"], '"resize" 2 times'),
        (["resize", "crop_borders"], '"crop_borders" after "resize"'),
    ],
)
def test_a_list_that_cannot_be_is_refused(steps: list[Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        parse_steps(steps, size=32, channels=1)


def test_tiles_are_whole() -> None:
    with pytest.raises(ArgumentError, match="whole number of parts"):
        check_tiles(2.5)
    assert check_tiles(4.0) == 4


@pytest.mark.parametrize(("size", "channels"), [(7, 1), (4097, 1), (32, 2), (True, 1)])
def test_a_form_that_cannot_be_is_refused(size: int, channels: int) -> None:
    with pytest.raises(ArgumentError, match="of steps must be"):
        parse_steps(["resize"], size=size, channels=channels)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8), np.zeros(4, "u1")],
)
def test_an_array_that_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="An image is"):
        parse_steps(["resize"], size=32, channels=1).apply(image)
    with pytest.raises(ArgumentError, match="An image is"):
        apply_clahe(image)
