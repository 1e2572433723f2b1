"""Pairs, the index of places, the plan of patches, patches themselves and their augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from equipoise._checks import ArgumentError, DataError
from equipoise.balance import preflight
from equipoise.data import (
    MaskPairs,
    MaskPatches,
    PixelScale,
    check_mask_pairs,
    count_drawn,
    find_mask_pairs,
    index_locations,
    make_mask_augmenter,
    measure_scale,
    read_mask_pairs,
    require_mask_pairs,
)
from equipoise.labels.mask_classes import MaskClasses
from equipoise.samplers import PatchStream, plan_patches

VALUES = MaskClasses.from_values({"ground": 0, "vessel": 1, "spot": 2}, ignore=9)
COLUMNS = MaskClasses.from_columns(["vessel", "spot"])


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> MaskPairs:
    """54 images of 40 x 48: a band of vessel in all, a spot of 4 pixels in two of them, an ignored corner."""
    random = np.random.default_rng(0)
    for number in range(54):
        mask = np.zeros((40, 48), np.uint8)
        mask[10:14] = 1
        mask[:5, :5] = 9
        if number in (7, 30):
            mask[30:32, 40:42] = 2
        save(
            tmp_path / "images" / f"{number:02}.npy",
            random.integers(0, 32, (40, 48), np.uint8) + 32 * np.minimum(mask, 3),
        )
        save(tmp_path / "masks" / f"{number:02}.npy", mask)
    return find_mask_pairs(tmp_path / "images", tmp_path / "masks", VALUES)


def patches_of(pairs: MaskPairs, size=(16, 16), **given) -> MaskPatches:
    given = {"scale": PixelScale("dataset", np.array([0.0]), np.array([1.0])), **given}
    return MaskPatches(pairs, index_locations(pairs), patch_size=size, **given)


def test_the_index_counts_every_pixel_and_keeps_places_of_its_class(pairs, tmp_path):
    index = index_locations(pairs, cache=tmp_path / "cache")
    assert index.images_with.tolist() == [54, 54, 2]
    assert index.counts[7].tolist() == [40 * 48 - 25 - 4 * 48 - 4, 4 * 48, 4]
    assert index.known[7] == 40 * 48 - 25
    assert index.places_of(7, 2).tolist() == [30 * 48 + 40, 30 * 48 + 41, 31 * 48 + 40, 31 * 48 + 41]
    mask = pairs.read_mask(7).ravel()
    for class_ in range(3):
        assert (mask[index.places_of(7, class_)] == class_).all()
    stored = next((tmp_path / "cache").glob("locations-*.npz"))
    again = index_locations(pairs, cache=tmp_path / "cache")
    for name in ("counts", "known", "starts", "places"):
        np.testing.assert_array_equal(getattr(again, name), getattr(index, name))
    stored.write_bytes(stored.read_bytes()[:100])  # damaged: made again
    assert index_locations(pairs, cache=tmp_path / "cache").counts.sum() == index.counts.sum()
    mask = np.load(pairs.masks[0][0])
    mask[20, 20] = 2
    save(pairs.masks[0][0], mask)  # changed: another key
    assert index_locations(pairs, cache=tmp_path / "cache").images_with.tolist() == [54, 54, 3]


def test_places_are_a_uniform_sample_of_bounded_size(tmp_path):
    save(tmp_path / "i" / "a.npy", np.zeros((300, 300), np.uint8))
    save(tmp_path / "m" / "a.npy", np.zeros((300, 300), np.uint8))
    found = find_mask_pairs(tmp_path / "i", tmp_path / "m", MaskClasses.from_foreground("== 0", names=("b", "f")))
    places = index_locations(found).places_of(0, 1)
    assert len(set(places.tolist())) == len(places) == 4096
    rows = np.bincount(places // 30000, minlength=3)
    assert abs(rows - 4096 / 3).max() < 150  # five standard deviations


def test_a_class_in_two_of_fifty_four_images_is_drawn_as_planned(pairs):
    index = index_locations(pairs)
    plan = plan_patches(index.counts, index.classes, exclusive=True, directed=0.6, draws=6000)
    np.testing.assert_allclose(plan.plan.shares, [0.3, 0.3, 0.4], atol=1e-6)
    stream = PatchStream(plan, seed=1)
    drawn = stream.patches(0)
    shares = np.bincount(drawn.targets + 1, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, [0.4, 0, 0.3, 0.3], atol=5 * 0.5 / np.sqrt(6000))
    assert set(drawn.images[drawn.targets == 2]) == {7, 30}
    assert len(set(drawn.images[drawn.targets == 1])) == 54
    found = preflight(stream.stream.indices(0), plan.labels, plan=plan.plan, batch_size=8)
    assert found.passed, found.failures
    np.testing.assert_allclose(found.expected_rates, [0.3, 0.3, 0.4], atol=1e-6)
    natural = np.random.default_rng(0).integers(0, len(plan.labels), 6000)
    assert not preflight(natural, plan.labels, plan=plan.plan, batch_size=8).passed


def test_every_patch_for_a_class_holds_it_and_pixels_agree_with_the_image(pairs):
    patches = patches_of(pairs)
    plan = plan_patches(patches.index.counts, patches.index.classes, exclusive=True, draws=300)
    drawn = PatchStream(plan, seed=2).patches(0)
    batch = patches.load(drawn)
    assert batch.images.shape == (300, 1, 16, 16)
    assert batch.labels.dtype == torch.int64
    for target, labels in zip(drawn.targets, batch.labels, strict=True):
        assert target < 0 or (labels == int(target)).any()
    assert ((batch.labels == -1) | (batch.images[:, 0] // 32 == batch.labels)).all()
    assert count_drawn(batch, 3)[2] > 50 * 4 * 0.5


def test_draws_depend_on_seed_epoch_and_number_alone(pairs):
    plan = plan_patches(index_locations(pairs).counts, VALUES.names, exclusive=True, draws=40)
    augmenter = make_mask_augmenter("strong", modality="fundus", seed=3)
    whole = patches_of(pairs, seed=3, augmenter=augmenter).load(PatchStream(plan, seed=3).patches(2))
    fresh = patches_of(pairs, seed=3, augmenter=augmenter, memory=0)  # reads regions only
    part = fresh.load(PatchStream(plan, seed=3).patches(2, 10, 40, 3))
    torch.testing.assert_close(part.images, whole.images[10:40:3])
    assert torch.equal(part.labels, whole.labels[10:40:3])
    other = patches_of(pairs, seed=3, augmenter=augmenter).load(PatchStream(plan, seed=3).patches(3))
    assert not torch.equal(other.images, whole.images)


def test_patches_larger_than_images_are_padded_by_edge_and_unknown(pairs):
    image, mask = patches_of(pairs, (64, 16)).cut(0, (-12, 30))
    pixels, truth = pairs.read_image(0), pairs.read_mask(0)
    np.testing.assert_array_equal(image[:, 12:52], pixels[:, :, 30:46].astype(np.float32))
    np.testing.assert_array_equal(image[:, 0], pixels[:, 0, 30:46])
    np.testing.assert_array_equal(mask[12:52], truth[:, 30:46])
    assert (mask[:12] == 255).all()
    assert (mask[52:] == 255).all()
    _, notes = check_mask_pairs(pairs, patch_size=(64, 16))
    assert "54 images are smaller than the patch" in notes[0]


def test_overlapping_classes_have_a_mask_each_and_may_lack_one(tmp_path):
    random = np.random.default_rng(0)
    rows = []
    for number in range(4):
        save(tmp_path / f"i{number}.npy", random.integers(0, 255, (6, 20, 20, 3), np.uint8))
        vessel = np.zeros((6, 20, 20), np.uint8)
        vessel[2:4, 5:9, 5:9] = 255
        save(tmp_path / f"v{number}.npy", vessel)
        rows.append(f"i{number}.npy,v{number}.npy,{f'v{number}.npy' if number == 2 else ''},p{number // 2},train")
    (tmp_path / "pairs.csv").write_text("\n".join(["image,vessel,spot,patient,role", *rows]) + "\n")
    with pytest.raises(DataError, match="shape"):  # a .npy has no axis of colours: four axes of space are refused
        require_mask_pairs(read_mask_pairs(tmp_path / "pairs.csv", COLUMNS, masks=["vessel", "spot"], groups="patient"))
    for number in range(4):
        save(tmp_path / f"i{number}.npy", random.integers(0, 255, (6, 20, 20), np.uint8))
    pairs = read_mask_pairs(tmp_path / "pairs.csv", COLUMNS, masks=["vessel", "spot"], groups="patient", split="role")
    assert require_mask_pairs(pairs) == []
    assert pairs.groups == ("p0", "p0", "p1", "p1")
    assert len(pairs.of_role("train")) == 4
    index = index_locations(pairs)
    assert index.images_with.tolist() == [4, 1]
    plan = plan_patches(index.counts, index.classes, exclusive=False, draws=30)
    for size, shape in (((4, 8, 8), (30, 2, 4, 8, 8)), ((8, 8), (30, 2, 8, 8))):
        patches = MaskPatches(pairs, index, patch_size=size, scale=measure_scale(pairs, "image"))
        batch = patches.load(PatchStream(plan).patches(0))
        assert batch.labels.shape == shape
        assert batch.labels.dtype == torch.float32
        drawn = PatchStream(plan).patches(0)
        for target, labels in zip(drawn.targets, batch.labels, strict=True):
            assert target < 0 or (labels[int(target)] == 1).any()


@pytest.mark.parametrize("strength", ["light", "strong"])
@pytest.mark.parametrize("shape", [(24, 24), (24, 32), (8, 24, 24)])
def test_augmentation_moves_the_mask_with_the_image(strength, shape):
    """An image that is its own mask stays its own mask, but for a rim of pixels that interpolation has smoothed."""
    random = np.random.default_rng(0)
    masks = np.zeros((30, *shape), np.int16)
    masks[(slice(None), ..., slice(6, 16), slice(4, 12))] = 1
    images = torch.from_numpy(masks[:, None].astype(np.float32) * 4 - 2)
    for modality in ("xray", "fundus", "general"):
        augmenter = make_mask_augmenter(strength, modality=modality, seed=int(random.integers(99)))
        moved, turned = augmenter(images, torch.from_numpy(masks), epoch=1, draws=np.arange(30))
        known = turned >= 0
        greys = moved[:, 0]
        middle = (greys.flatten(1).amax(1) + greys.flatten(1).amin(1)).reshape(-1, *(1,) * len(shape)) / 2
        agree = (((greys > middle) == (turned == 1)) | ~known).float().mean()
        assert agree > 0.95, modality
        assert set(np.unique(turned.numpy())) <= {-1, 0, 1}
        assert not torch.equal(turned, torch.from_numpy(masks))
        assert torch.isfinite(moved).all()
    same = make_mask_augmenter("none", modality="xray", seed=0)(
        images, torch.from_numpy(masks), epoch=0, draws=range(30)
    )
    assert same[0] is images


def test_layers_of_overlapping_masks_move_together_and_xrays_are_never_mirrored():
    masks = torch.zeros(200, 2, 16, 16, dtype=torch.int16)
    masks[:, :, 2:14, 2:5] = 1  # on the left
    images = masks[:, :1].float()
    _, turned = make_mask_augmenter("strong", modality="xray", seed=0)(images, masks, epoch=0, draws=range(200))
    assert torch.equal(turned[:, 0], turned[:, 1])
    assert ((turned[:, 0, :, :8] == 1).sum((1, 2)) > (turned[:, 0, :, 8:] == 1).sum((1, 2))).all()
    _, turned = make_mask_augmenter("light", modality="general", seed=0)(images, masks, epoch=0, draws=range(200))
    right = ((turned[:, 0, :, 8:] == 1).sum((1, 2)) > 0).float().mean()
    assert 0.35 < right < 0.65


def test_scales_are_means_and_spreads_of_all_pixels_or_of_each_image(pairs):
    pixels = np.stack([pairs.read_image(place) for place in range(len(pairs))]).astype(float)
    scale = measure_scale(pairs)
    np.testing.assert_allclose([scale.mean[0], scale.std[0]], [pixels.mean(), pixels.std()], rtol=1e-9)
    assert PixelScale.from_dict(scale.to_dict()).mean.tolist() == scale.mean.tolist()
    each = measure_scale(pairs, "image")
    np.testing.assert_allclose(each.std[:, 0], pixels.std(axis=(1, 2, 3)), rtol=1e-9)
    assert each.apply(pairs.read_image(3), 3).std() == pytest.approx(1.0, rel=1e-4)


def test_faults_of_pairs_are_named(tmp_path):
    mask = np.zeros((10, 10), np.uint8)
    save(tmp_path / "i" / "a.npy", mask)
    save(tmp_path / "m" / "b.npy", mask)
    with pytest.raises(DataError, match=r'1 images have no mask \("a"\) and 1 masks have no image \("b"\)'):
        find_mask_pairs(tmp_path / "i", tmp_path / "m", VALUES)
    save(tmp_path / "m" / "a.npy", np.zeros((10, 11), np.uint8))
    (tmp_path / "m" / "b.npy").unlink()
    pairs = find_mask_pairs(tmp_path / "i", tmp_path / "m", VALUES)
    with pytest.raises(DataError, match=r"a.npy has the shape \(10, 11\), but its image"):
        require_mask_pairs(pairs)
    with pytest.raises(DataError, match="shape"):
        index_locations(pairs)
    save(tmp_path / "m" / "a.npy", mask + 7)
    with pytest.raises(DataError, match="value 7, which is no class"):
        index_locations(find_mask_pairs(tmp_path / "i", tmp_path / "m", VALUES))
    save(tmp_path / "m" / "a.npy", mask)
    save(tmp_path / "i" / "a.npy", np.full((10, 10), np.nan, np.float32))
    pairs = find_mask_pairs(tmp_path / "i", tmp_path / "m", VALUES)
    with pytest.raises(DataError, match="100 pixels that are NaN"):
        measure_scale(pairs)
    with pytest.raises(DataError, match="no finite number"):
        patches_of(pairs, (4, 4)).cut(0, (0, 0))
    with pytest.raises(ArgumentError, match="2 sides"):
        patches_of(pairs, (4, 4, 4))
    (tmp_path / "p.csv").write_text("image,mask\ni/a.npy,m/none.npy\n")
    with pytest.raises(DataError, match=r'row 1, column "mask".*does not exist'):
        read_mask_pairs(tmp_path / "p.csv", VALUES, groups="none")
    (tmp_path / "p.csv").write_text("image,mask\ni/a.npy,\n")
    with pytest.raises(DataError, match="the cell is empty"):
        read_mask_pairs(tmp_path / "p.csv", VALUES, groups="none")
    with pytest.raises(ArgumentError, match="need 2 columns"):
        read_mask_pairs(tmp_path / "p.csv", COLUMNS, groups="none")


def test_an_affine_that_differs_and_a_mask_of_colours_are_named(tmp_path):
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    for folder, affine in (("i", np.eye(4)), ("m", np.diag([1, 1, 2, 1]))):
        (tmp_path / folder).mkdir()
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), affine), tmp_path / folder / "a.nii.gz")
    problems, _ = check_mask_pairs(find_mask_pairs(tmp_path / "i", tmp_path / "m", VALUES))
    assert "its affine differs" in problems[0].message
    for folder, colour in (("c", 0), ("d", (0, 0, 255))):
        (tmp_path / folder).mkdir()
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[2:4] = colour
        cv2.imwrite(str(tmp_path / folder / "a.png"), picture)
    problems, _ = check_mask_pairs(find_mask_pairs(tmp_path / "c", tmp_path / "d", VALUES))
    assert "mask of colours" in problems[0].message


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"target": "unifrom"}, ArgumentError, 'Did you mean "uniform"'),
        ({"target": {"vessel": 1.0}}, ArgumentError, "a share above 0"),
        ({"target": {"vessle": 1.0}}, ArgumentError, 'Did you mean "vessel"'),
        ({"target": {"gone": 0.5, "vessel": 0.5}}, DataError, "which no image holds"),
        ({"directed": 1.0}, ArgumentError, "below 1"),
        ({"draws": 0}, ArgumentError, "at least 1"),
    ],
)
def test_plans_that_cannot_be_are_refused(given, error, message):
    counts = np.array([[90, 5, 5, 0]])
    given = {"draws": 10, **given}
    with pytest.raises(error, match=message):
        plan_patches(counts, ["ground", "vessel", "spot", "gone"], exclusive=True, **given)


def test_plans_by_share_root_and_nothing():
    counts, names = np.array([[100, 64, 4, 0], [100, 0, 0, 0]]), ["ground", "vessel", "spot", "gone"]
    plan = plan_patches(counts, names, exclusive=True, target={"vessel": 0.25, "spot": 0.75}, directed=0.4, draws=10)
    np.testing.assert_allclose(plan.plan.shares, [0.1, 0.3, 0.6], atol=1e-6)
    assert plan.absent == ("gone",)
    root = plan_patches(counts, names, exclusive=True, target="sqrt", directed=0.5, draws=10)
    np.testing.assert_allclose(root.plan.shares, [0.4, 0.1, 0.5], atol=1e-6)
    none = plan_patches(counts, names, exclusive=True, directed=0.0, draws=100)
    drawn = PatchStream(none).patches(0)
    assert set(drawn.targets) == {-1}
    assert set(drawn.images) == {0, 1}


def test_counts_of_the_index_are_those_of_the_data_set(shared_data):
    folder = shared_data("idrid-lesions")
    names = ["MA", "HE", "EX", "SE", "OD"]
    import polars as pl

    frame = pl.read_csv(folder / "pairs.csv")
    columns = [next(one for one in frame.columns if name in one and "frac" not in one) for name in names]
    pairs = read_mask_pairs(
        folder / "pairs.csv", MaskClasses.from_columns(names), masks=columns, groups="none", split="split"
    ).take(range(12))
    assert require_mask_pairs(pairs) == []
    index = index_locations(pairs)
    sizes = np.array([np.prod(pairs.space(place)) for place in range(12)])
    for class_, name in enumerate(names):
        column = next(one for one in frame.columns if name in one and "frac" in one and "full" not in one)
        shares = frame[column].head(12).fill_null(0.0).to_numpy()
        np.testing.assert_allclose(index.counts[:, class_] / sizes, shares, atol=2e-6)
