"""Masks from images to a judged run: trained, killed, watched, decided, predicted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError, RunError
from equipoise.evidence import MetricTable
from equipoise.evidence.finding import findings_of
from equipoise.recipe import read_recipe
from equipoise.report import diagnose, write_report
from equipoise.report.mask_view import MaskView, pooled_folds
from equipoise.runs import Run
from equipoise.training import Silent, train
from equipoise.training.mask_predict import predict_masks
from mask_runs import recipe_of, write_discs

pytest.importorskip("monai", reason="MONAI is not installed")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the cache of places lies beside the runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("discs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        table = write_discs(folder / "data", images=20)
        run = train(recipe_of(table, split={"fractions": [0.6, 0.2, 0.2]}), out=folder / "run")
        write_report(run)
    return run


def test_a_run_of_masks_is_judged_beside_trivial_answers_with_intervals_by_patient(finished: Run) -> None:
    view = MaskView.read(finished)
    rule = view.metrics["rule"]
    row = rule.row("dice", "disc")
    assert row.value > max(view.metrics["full"].value("dice", "disc"), 0.6)
    assert row.low < row.value < row.high
    assert rule.clustered
    assert view.metrics["empty"].value("dice", "disc") == 0.0
    assert {"hd95", "nsd", "iou", "image_dice"} <= {one.metric for one in rule.rows}
    assert finished.scores_roles() == ["test", "validation"]
    summary = finished.file("summary.md").read_text()
    assert "overlays" in summary
    assert "empty masks" in summary
    assert finished.file("figures/overlays.png").stat().st_size > 1000


def test_every_validation_tells_shares_bands_and_an_unchanged_hash_of_the_weights(finished: Run) -> None:
    epochs = MaskView.read(finished).epochs
    assert [event["epoch"] for event in epochs] == [1, 2, 3]
    assert len({event["weights_hash"] for event in epochs}) == 1
    last = epochs[-1]
    assert "disc" in last["verdict"]
    assert last["band"][1][0] < last["true_share"][1] < last["band"][1][1]
    assert np.array(last["image_shares"]).shape == np.array(last["image_true_shares"]).shape
    assert diagnose(finished).masks


def test_cut_after_any_step_it_ends_with_the_same_bytes(finished: Run, tmp_path: Path) -> None:
    class Cut(Silent):
        def move(self, epoch: float, note: str) -> None:
            if epoch > 1.4:
                raise KeyboardInterrupt

    recipe = read_recipe(finished.file("recipe.yaml"), ["training.checkpoint_seconds=0"])
    for place in range(3):
        watch = Cut() if place == 0 else Silent()
        try:
            run = train(recipe, out=tmp_path / "cut", resume=place > 0, watch=watch)
        except KeyboardInterrupt:
            continue
    for name in ("model.safetensors", "metrics.json", "decision.json", "events.jsonl", "scores/test.parquet"):
        assert (run.path / name).read_bytes() == (finished.path / name).read_bytes(), name


def test_deep_supervision_judges_every_output_and_leaves_one_to_predict_with(tmp_path: Path) -> None:
    table = write_discs(tmp_path / "data", images=10)
    runs = {}
    for deep in (True, False):
        recipe = recipe_of(
            table, model={"deep_supervision": deep, "stages": 4}, masks={"patches": 32}, training={"epochs": 2}
        )
        runs[deep] = train(recipe, out=tmp_path / str(deep))
        assert runs[deep].read_record("model")["members"][0]["settings"]["deep_supervision"] is deep
    losses = [
        [json.loads(line)["training_loss"] for line in run.file("events.jsonl").read_text().splitlines()
         if '"epoch"' in line and "training_loss" in line]
        for run in runs.values()
    ]  # fmt: skip
    assert losses[0] != losses[1]  # another loss
    assert predict_masks(runs[True], tmp_path / "data" / "i0.npy", out=tmp_path / "masks")
    assert np.load(tmp_path / "masks" / "i0.npy").shape == (32, 32)


@pytest.mark.parametrize(("weights", "kinds"), [
    ({"ground": 12.0, "disc": 0.7}, ("mask_empty", "mask_share")),
    ({"ground": 0.2, "disc": 10.0}, ("mask_full", "mask_share")),
])  # fmt: skip
def test_a_planted_collapse_is_named_within_two_validations_and_its_remedy_repairs_it(
    weights: dict[str, float], kinds: tuple[str, ...], tmp_path: Path
) -> None:
    table = write_discs(tmp_path / "data", contrast=5)
    loss = {"terms": "cross_entropy + focal + 0.01 dice"}
    said: list[str] = []

    class Listening(Silent):
        def say(self, sentence: str) -> None:
            said.append(sentence)

    masks = {"patches": 160}
    broken = recipe_of(table, loss=loss, balance={"weights": {"values": weights}}, training={"epochs": 2}, masks=masks)
    run = train(broken, out=tmp_path / "broken", watch=Listening())
    assert any("what the loss sees" in sentence for sentence in said)  # said before the first step as well
    found = [one for one in findings_of(MaskView.read(run).epochs) if one.kind in kinds]
    assert [one.class_name for one in found] == ["disc"]
    assert found[0].epoch is not None
    assert found[0].epoch <= 2
    assert "balance.weights" in found[0].remedy
    overrides = [f"{key}={json.dumps(value)}" for key, value in found[0].settings.items()]
    repaired = read_recipe(run.file("recipe.yaml"), overrides)
    again = train(repaired, out=tmp_path / "repaired")
    last = MaskView.read(again).epochs[-1]
    assert last["band"][1][0] <= last["predicted_share"][1] <= last["band"][1][1]
    assert not [one for one in diagnose(again).found if one.last.kind.startswith("mask_")]


def test_overlapping_classes_of_which_one_is_in_few_images(tmp_path: Path) -> None:
    table = write_discs(tmp_path / "data", images=16)
    lines = table.read_text().splitlines()
    rows = ["image,patient,mask_disc,mask_spot"]
    for number, line in enumerate(lines[1:]):
        image, mask = line.split(",")[:2]
        spot = ""
        if number % 4 == 0:
            layer = np.zeros((32, 32), np.uint8)
            layer[4:9, 4:9] = 255
            pixels = np.load(table.parent / image)
            pixels[4:9, 4:9] = 250
            np.save(table.parent / image, pixels)
            np.save(table.parent / f"s{number}.npy", layer)
            spot = f"s{number}.npy"
        rows.append(f"{image},q{number},{mask},{spot}")
    table.write_text("\n".join(rows) + "\n")
    data = {"masks": ["mask_disc", "mask_spot"], "classes": None}
    run = train(recipe_of(table, data=data, loss={"terms": "bce + dice"}), out=tmp_path / "run")
    rule = MaskView.read(run).metrics["rule"]
    assert rule.classes == ("disc", "spot")
    plan = run.read_record("plan")
    assert plan["classes"] == ["disc", "spot", "(anywhere)"]
    assert rule.value("predicted_share", "spot") > 0
    folder = tmp_path / "masks"
    found = predict_masks(run, table.parent / "i0.npy", out=folder)
    assert sorted(file.name for file in found[0].files) == ["i0_disc.npy", "i0_spot.npy"]
    assert set(np.unique(np.load(folder / "i0_disc.npy"))) <= {0, 255}


def test_folds_are_judged_together(tmp_path: Path) -> None:
    table = write_discs(tmp_path / "data", images=8)
    runs = [
        train(recipe_of(table, split={"folds": 2, "fold": fold, "fractions": [0.5, 0.5, 0.0]}, training={"epochs": 1}),
              out=tmp_path / f"fold-{fold}")
        for fold in range(2)
    ]  # fmt: skip
    pooled = pooled_folds(runs)
    assert pooled["rule"].cases == 8
    parts = [MetricTable.from_dict(run.read_record("metrics")["rule"]).row("dice", "disc").support for run in runs]
    assert pooled["rule"].row("dice", "disc").support == sum(parts)


def test_masks_come_back_as_their_images_are_and_a_cut_prediction_goes_on(finished: Run, tmp_path: Path) -> None:
    nibabel, tifffile = pytest.importorskip("nibabel"), pytest.importorskip("tifffile")
    from equipoise.training.mask_predict import predict_masks

    images = tmp_path / "images"
    images.mkdir()
    pixels = np.load(Path(str(finished.path.parent)) / "data" / "i0.npy")
    geo = [(33550, "d", 3, (2.0, 2.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 500.0, 900.0, 0.0), True)]
    tifffile.imwrite(images / "a.tif", pixels, extratags=geo, resolution=(300, 300), resolutionunit=2)
    affine = np.diag([0.5, 0.7, 1.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(pixels[..., None].repeat(3, 2).transpose(2, 0, 1), affine), images / "b.nii.gz")
    np.save(images / "c.npy", np.stack([pixels] * 6))

    class Cut(Silent):
        def move(self, epoch: float, note: str) -> None:
            if epoch >= 2:
                raise KeyboardInterrupt

    whole = predict_masks(finished, images, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        predict_masks(finished, images, out=tmp_path / "cut", watch=Cut())
    predict_masks(finished, images, out=tmp_path / "cut")
    for one in whole:
        for file in one.files:
            assert file.read_bytes() == (tmp_path / "cut" / file.name).read_bytes(), file.name
    with tifffile.TiffFile(tmp_path / "whole" / "a.tif") as file:
        tags = file.pages[0].tags
        assert tags[33550].value == (2.0, 2.0, 0.0)
        assert tags[33922].value[3:5] == (500.0, 900.0)
        assert tags[282].value[0] / tags[282].value[1] == 300
        assert set(np.unique(file.asarray())) == {0, 255}
    back = nibabel.load(tmp_path / "whole" / "b.nii.gz")
    np.testing.assert_allclose(back.affine, affine)
    assert back.shape == (3, 32, 32)
    slices = np.load(tmp_path / "whole" / "c.npy")
    assert slices.shape == (6, 32, 32)
    assert (slices == slices[0]).all()
    with pytest.raises(ArgumentError, match="which its mask would replace"):
        predict_masks(finished, images, out=images, overwrite=True)
    with pytest.raises(RunError, match="other files already"):
        predict_masks(finished, images / "a.tif", out=finished.path)


def test_pictures_have_the_value_255_and_what_is_there_needs_no_model(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "images").mkdir()
    for number in range(2):
        cv2.imwrite(
            str(tmp_path / "images" / f"{number}.png"), np.load(finished.path.parent / "data" / f"i{number}.npy")
        )
    out = tmp_path / "masks"
    made = predict_masks(finished, tmp_path / "images", out=out)
    assert not any(one.there for one in made)
    assert set(np.unique(cv2.imread(str(out / "0.png"), cv2.IMREAD_UNCHANGED))) == {0, 255}
    assert json.loads((out / "masks.json").read_text())["values"] == {"ground": 0, "disc": 255}

    def refuse(run: Run) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("equipoise.training.mask_predict.load_members", refuse)
    again = predict_masks(finished, tmp_path / "images", out=out)
    assert all(one.there for one in again)
    assert [one.shares for one in again] == [one.shares for one in made]


def test_a_volume_in_three_dimensions(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    data = tmp_path / "data"
    for name in ("images", "masks"):
        (data / name).mkdir(parents=True)
    grid = np.indices((20, 24, 24))
    for number in range(5):
        mask = ((grid - random.uniform(8, 14, 3)[:, None, None, None]) ** 2).sum(0) < 49
        np.save(data / "images" / f"{number}.npy", (random.normal(0, 0.4, mask.shape) + 2 * mask).astype(np.float32))
        np.save(data / "masks" / f"{number}.npy", mask.astype(np.uint8))
    folders = {"table": None, "images": str(data / "images"), "masks": [str(data / "masks")], "groups": None}
    masks = {"patch_size": [16, 16, 16], "patches": 24}
    run = train(
        recipe_of(tmp_path / "none", data=folders, masks=masks, split={"fractions": [0.6, 0.2, 0.2]},
                  training={"batch_size": 2, "epochs": 2}),
        out=tmp_path / "run",
    )  # fmt: skip
    view = MaskView.read(run)
    assert view.metrics["rule"].value("dice", "disc") > view.metrics["full"].value("dice", "disc")


@pytest.mark.parametrize(("change", "said"), [
    ({"bands": {"disk": (0.1, 0.5)}}, 'names "disk"'), ({"patch_size": (4, 4)}, "halves a patch"),
])  # fmt: skip
def test_keys_that_do_not_fit_the_masks_are_named(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    table = write_discs(tmp_path / "data", images=8)
    with pytest.raises(ArgumentError, match=said):
        train(recipe_of(table, masks=change), out=tmp_path / "run")


def test_weights_of_other_masks_are_refused(tmp_path: Path) -> None:
    table = write_discs(tmp_path / "data", images=8)
    counts = {"source": "masks", "fingerprint": "0", "counts": {"ground": 10, "disc": 5}}
    weights = {"values": {"ground": 0.3, "disc": 0.7}, "counts_from": counts}
    with pytest.raises(DataError, match="were made from other masks"):
        train(recipe_of(table, balance={"weights": weights}), out=tmp_path / "run")


def test_masks_without_any_foreground_are_refused(tmp_path: Path) -> None:
    table = write_discs(tmp_path / "data", images=8)
    with pytest.raises(DataError, match="Every mask is empty"):
        train(recipe_of(table, data={"foreground": "> 7"}), out=tmp_path / "run")
    np.save(table.parent / "m3.npy", np.zeros((30, 32), np.uint8))
    with pytest.raises(DataError, match=r"m3\.npy has the shape"):
        train(recipe_of(table), out=tmp_path / "run")


_LARGE = """
import resource, sys
from pathlib import Path
import numpy as np, torch, monai.networks.nets.dynunet, monai.metrics, numba, polars, scipy.ndimage
torch.set_num_threads(1)
from equipoise.recipe import read_recipe
from equipoise.training import train
from equipoise.training.mask_predict import predict_masks
from equipoise.models import make_mask_model
model = make_mask_model("unet", channels=1, n_outputs=2, patch_size=(320, 320), width=2, stages=3)
for _ in range(2):
    model(torch.zeros(4, 1, 320, 320)).sum().backward()
from equipoise.metrics.mask_scores import MaskScorer
scorer = MaskScorer(("a", "b"), exclusive=True, role="test")
scorer.add("a", np.zeros((8, 8), np.uint8), np.full((2, 8, 8), 0.5, np.float32))
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    np.ones(int(sys.argv[2]) + 2**24, np.uint8)
except MemoryError:
    print("limited")
run = train(read_recipe(sys.argv[1]), out="run")
predict_masks(run, "data/i0.npy", out="masks")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_training_and_prediction_of_a_volume_larger_than_the_memory_allowed(tmp_path: Path) -> None:
    room = 400 * 2**20  # the volume has 469 MiB
    data = tmp_path / "data"
    data.mkdir()
    lines = ["id,role"]
    rows = ["id,image,mask"]
    random = np.random.default_rng(0)
    for number, depth in enumerate((150, 2, 2)):
        shape = (depth, 640, 640)
        image = np.lib.format.open_memmap(data / f"i{number}.npy", "w+", np.float64, shape)
        mask = np.lib.format.open_memmap(data / f"m{number}.npy", "w+", np.uint8, shape)
        image[:, 100:300, 100:300] = 2.0
        image[0] += random.normal(0, 0.1, (640, 640))
        mask[:, 100:300, 100:300] = 1
        lines.append(f"{number},{('train', 'validation', 'test')[number]}")
        rows.append(f"{number},i{number}.npy,m{number}.npy")
    (data / "split.csv").write_text("\n".join(lines) + "\n")
    (data / "pairs.csv").write_text("\n".join(rows) + "\n")
    recipe = recipe_of(
        data / "pairs.csv", data={"ids": "id", "groups": "none"}, split={"file": str(data / "split.csv")},
        masks={"patch_size": [320, 320], "patches": 4, "overlap": 0.0, "least_component": "none"},
        training={"epochs": 1, "batch_size": 2, "device": "cpu"}, model={"width": 2, "stages": 3},
        images={"gallery": False},
    )  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    done = subprocess.run(
        [sys.executable, "-c", _LARGE, "recipe.yaml", str(room)], cwd=tmp_path, capture_output=True, text=True,
        check=False, env={**os.environ, "_RJEM_MALLOC_CONF": "background_thread:false", "MALLOC_ARENA_MAX": "1",
             "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "limited" in done.stdout
    written = np.load(tmp_path / "masks" / "i0.npy", mmap_mode="r")
    assert written.shape == (150, 640, 640)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the commands are forked")
def test_trainings_and_predictions_killed_at_any_instant_end_with_the_same_bytes(tmp_path: Path) -> None:
    for module in ("nibabel", "tifffile", "zarr"):
        pytest.importorskip(module)
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, tests / "flow" / "killed_masks.py", tmp_path], capture_output=True, text=True, timeout=300,
        check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout == "fine", done.stderr[-3000:]
