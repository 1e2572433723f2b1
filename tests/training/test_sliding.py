"""Sliding windows: MONAI's result, whole images, memory by the row, and the same bytes after a kill."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equipoise._checks import ArgumentError
from equipoise.training.mask_distances import measure_distances
from equipoise.training.sliding import gaussian_window, plan_windows, sliding_blocks, sliding_logits, write_sliding

CASES = [
    ((40, 33), (16, 16), 0.5), ((16, 70), (16, 32), 0.25), ((50, 21), (32, 32), 0.5), ((9, 9), (16, 16), 0.5),
    ((12, 16, 14), (8, 8, 8), 0.5), ((5, 20, 18), (8, 16, 16), 0.25),
]  # fmt: skip


def network(axes: int) -> torch.nn.Module:
    torch.manual_seed(0)
    kind = torch.nn.Conv2d if axes == 2 else torch.nn.Conv3d
    return torch.nn.Sequential(kind(2, 4, 5, padding=2), torch.nn.Tanh(), kind(4, 3, 3, padding=1)).eval()


def picture(space: tuple[int, ...], channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(channels, *space)).astype(np.float32)


@pytest.mark.parametrize(("space", "patch", "overlap"), CASES)
def test_the_result_is_monais(space, patch, overlap):
    inferers = pytest.importorskip("monai.inferers", reason="MONAI is not installed")
    model, image = network(len(space)), picture(space)
    with torch.no_grad():
        wanted = inferers.sliding_window_inference(
            torch.from_numpy(image)[None], patch, 2, model, overlap=overlap, mode="gaussian", padding_mode="replicate"
        )[0].numpy()
    found = sliding_logits(model, image, patch, overlap=overlap)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_weights_are_monais():
    utils = pytest.importorskip("monai.data.utils", reason="MONAI is not installed")
    for sides in ((16, 16), (8, 24, 5)):
        np.testing.assert_allclose(
            gaussian_window(sides), utils.compute_importance_map(sides, mode="gaussian").numpy(), rtol=1e-5
        )


def seen_whole(windows, reach: int) -> np.ndarray:
    """Where no window that holds a pixel ends within the reach of the network, unless the image ends there too."""
    inside = np.ones(windows.space, bool)
    for axis, (length, side, starts) in enumerate(zip(windows.space, windows.sides, windows.starts, strict=True)):
        fits = np.ones(length, bool)
        for start in starts:
            stop = min(start + side, length)
            if start > 0 or side > length:  # a window larger than the image goes on beyond it, on repeated pixels
                fits[start : min(start + reach, stop)] = False
            if stop < length or side > length:
                fits[max(start, stop - reach) : stop] = False
        if side > 1:  # slices are looked at one by one
            inside &= fits.reshape([-1 if one == axis else 1 for one in range(len(windows.space))])
    return inside


@pytest.mark.parametrize(("space", "patch", "overlap"), CASES)
def test_it_equals_the_whole_image_where_the_network_sees_no_edge_of_a_window(space, patch, overlap):
    model, image = network(len(space)), picture(space)
    with torch.no_grad():
        whole = model(torch.from_numpy(image)[None])[0].numpy()
    found = sliding_logits(model, image, patch, overlap=overlap)
    inside = seen_whole(plan_windows(space, patch, overlap), reach=3)
    assert inside.any() or min(patch) < 12
    np.testing.assert_allclose(found[:, inside], whole[:, inside], rtol=1e-4, atol=1e-5)
    assert not np.allclose(found[:, ~inside], whole[:, ~inside], atol=1e-3)  # elsewhere it is a blend


def test_one_window_is_the_whole_image():
    model, image = network(2), picture((24, 24))
    with torch.no_grad():
        whole = model(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_allclose(sliding_logits(model, image, (24, 24)), whole, rtol=1e-5, atol=1e-6)


def test_slices_of_a_volume_are_predicted_one_by_one():
    model, image = network(2), picture((5, 20, 18))
    found = sliding_logits(model, image, (8, 8))
    for number in range(5):
        np.testing.assert_allclose(
            found[:, number], sliding_logits(model, image[:, number], (8, 8)), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(("space", "patch", "overlap"), CASES)
def test_blocks_tile_the_image_and_begin_anywhere_with_the_same_bits(space, patch, overlap):
    model, image = network(len(space)), picture(space)
    windows = plan_windows(space, patch, overlap)
    read = lambda region: image[(slice(None), *region)]
    blocks = list(sliding_blocks(model, read, windows, axes=len(space), batch=3))
    assert [rows.start for rows, _ in blocks[1:]] == [rows.stop for rows, _ in blocks[:-1]]
    assert (blocks[0][0].start, blocks[-1][0].stop) == (0, space[0])
    for begin in range(len(blocks)):
        rows = blocks[begin][0].start
        later = list(sliding_blocks(model, read, windows, axes=len(space), batch=3, begin=rows))
        later = [(place, block) for place, block in later if place.start >= rows]
        assert len(later) == len(blocks) - begin
        for (_, one), (_, other) in zip(later, blocks[begin:], strict=True):
            np.testing.assert_array_equal(one, other)


def test_only_the_rows_of_a_window_are_read_at_once():
    model, image, seen = network(3), picture((60, 12, 12)), []

    def read(region):
        seen.append(region[0].stop - region[0].start)
        return image[(slice(None), *region)]

    for rows, block in sliding_blocks(model, read, plan_windows((60, 12, 12), (8, 8, 8)), axes=3):
        assert block.shape[1] == rows.stop - rows.start <= 8
    assert max(seen) == 8


class KilledError(Exception):
    pass


def test_a_prediction_that_is_killed_goes_on_and_ends_with_the_same_bytes(tmp_path):
    model, image = network(2), picture((64, 30))
    windows = plan_windows((64, 30), (16, 16))
    given = {"finish": lambda block: block.argmax(0), "dtype": np.uint8, "axes": 2, "batch": 3}
    read = lambda region: image[(slice(None), *region)]
    whole = write_sliding(model, read, windows, tmp_path / "whole.npy", key="a", **given)
    for after in (1, 3, 5):
        calls = []

        def failing(batch, calls=calls, after=after):
            calls.append(1)
            if len(calls) > after:
                raise KilledError
            return model(batch)

        path = tmp_path / f"cut{after}.npy"
        with pytest.raises(KilledError):
            write_sliding(failing, read, windows, path, key="a", **given)
        assert not path.exists()
        counted = []
        write_sliding(
            lambda batch, counted=counted: counted.append(1) or model(batch), read, windows, path, key="a", **given
        )
        assert path.read_bytes() == whole.read_bytes()
        assert sorted(one.name for one in tmp_path.glob(f"cut{after}*")) == [path.name]
        assert after < 5 or len(counted) < len(windows) / 3
    with pytest.raises(KilledError):
        write_sliding(failing, read, windows, path := tmp_path / "other.npy", key="a", **given)
    done = write_sliding(lambda batch: -model(batch), read, windows, path, key="b", **given)  # another model
    np.testing.assert_array_equal(np.load(done), sliding_logits(lambda batch: -model(batch), image, (16, 16)).argmax(0))


def test_windows_that_cannot_be_are_refused():
    with pytest.raises(ArgumentError, match=r"at most 0.95"):
        plan_windows((10, 10), (4, 4), 1.0)
    with pytest.raises(ArgumentError, match="do not lie"):
        plan_windows((10, 10), (4, 4, 4))


def test_distances_of_boundaries_and_their_rule_for_empty_masks():
    pytest.importorskip("monai", reason="MONAI is not installed")
    truth = np.zeros((30, 40), np.uint8)
    truth[10:20, 10:20] = 1
    moved = np.roll(truth, 3, axis=1)
    found = measure_distances(moved, truth, exclusive=True, classes=3, spacing=(1.0, 0.5))
    assert np.isnan(found["hd95"][[0, 2]]).all()
    assert found["hd95"][1] == pytest.approx(1.5)  # three pixels of half a millimetre
    assert found["nsd"][1] == 1.0
    assert measure_distances(moved, truth, exclusive=True, classes=2, tolerance=1.0)["nsd"][1] < 1.0
    empty = measure_distances(np.zeros_like(truth), truth, exclusive=True, classes=2)
    assert (empty["hd95"][1], empty["nsd"][1]) == (50.0, 0.0)
    alarm = measure_distances(truth[None], np.zeros_like(truth)[None], exclusive=False, classes=1)
    assert np.isnan(alarm["nsd"][0])
    unknown = np.where(truth == moved, truth, 255)
    assert measure_distances(moved, unknown, exclusive=True, classes=2)["hd95"][1] == 0.0
