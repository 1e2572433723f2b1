"""Masks of unlucky and of hostile users: a right answer or one error with place and remedy, and nothing half-made."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError, EquipoiseError, RunError
from equipoise.recipe import Recipe
from equipoise.recipe import recipe_from as make
from equipoise.runs import Run
from equipoise.training import Silent, train
from equipoise.training.mask_predict import predict_masks
from equipoise.training.mask_prepare import prepare_masks

pytest.importorskip("monai", reason="MONAI is not installed")

Change = Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the cache of places lies beside the runs


def unchanged(number: int, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image, mask


def only(place: int, change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Change:
    return lambda number, image, mask: change(image, mask) if number == place else (image, mask)


def write_pairs(folder: Path, change: Change = unchanged, *, images: int = 10, names: Any = None) -> Path:
    """Write discs and their masks into two folders, with a table of pairs; return the table."""
    rng, grid = np.random.default_rng(0), np.indices((32, 32))
    for part in ("i", "m"):
        (folder / part).mkdir(parents=True)
    rows = []
    for number in range(images):
        mask = ((grid - rng.uniform(10, 22, 2)[:, None, None]) ** 2).sum(0) < 64
        image = (rng.normal(90, 12, mask.shape) + 60 * mask).astype(np.float32)
        name = f"{number if names is None else names[number]}.npy"
        for part, array in zip(("i", "m"), change(number, image, mask.astype(np.uint8)), strict=True):
            np.save(folder / part / name, array)
        rows.append((number, f"i/{name}", f"m/{name}"))
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "image", "mask"), *rows])
    return folder / "pairs.csv"


def recipe_of(table: Path | None, **sections: dict[str, Any]) -> Recipe:
    values: dict[str, Any] = {
        "name": "discs",
        "data": {"table": None if table is None else str(table), "masks": "mask", "groups": "none"},
        "masks": {"patch_size": [16, 16], "patches": 8, "overlap": 0.0},
        "model": {"name": "unet", "width": 4, "stages": 3},
        "loss": {"terms": "cross_entropy + dice"},
        "images": {"augment": "none", "gallery": False},
        "training": {"monitor": "dice", "epochs": 1, "batch_size": 4, "learning_rate": 0.01, "patience": None},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return make(values)


FOUR_AXES: Change = lambda number, image, mask: (
    np.stack([np.stack([image] * 2)] * 2),
    np.stack([np.stack([mask] * 2)] * 2),
)
RARE: Change = lambda number, image, mask: (image, mask * (1 + (number == 9)))
THREE = {"mask_values": {"ground": 0, "disc": 1, "rare": 2}}
FAULTS: dict[str, tuple[Change, dict[str, dict[str, Any]], str]] = {
    "a pixel that is NaN": (only(3, lambda i, m: (np.where(m, np.nan, i).astype("f4"), m)), {}, r"3\.npy has .* NaN"),
    "a pixel that is infinite": (only(3, lambda i, m: (np.where(m, np.inf, i).astype("f4"), m)), {}, "NaN, inf"),
    "pixels beyond 32 bits": (only(3, lambda i, m: (i * 1e300, m)), {}, r"3\.npy has .* 32 bits"),
    "a value of no class": (
        only(3, lambda i, m: (i, m * 7)), {"data": {"mask_values": {"a": 0, "b": 1}}}, r"3\.npy: .* value 7"),
    "0 and 255 among 0 and 1": (
        only(3, lambda i, m: (i, m * 255)), {"data": {"mask_values": {"a": 0, "b": 1}}}, r"3\.npy: .* value 255"),
    "another shape": (only(3, lambda i, m: (i, m[:30])), {}, r"3\.npy has the shape \(30, 32\)"),
    "no pixel": (only(3, lambda i, m: (i[:0], m[:0])), {}, r"3\.npy has no pixel"),
    "more channels": (only(3, lambda i, m: (np.dstack([i] * 3), m)), {}, r"axes \(channels: 3\), most"),
    "more axes": (only(3, lambda i, m: (np.stack([i] * 8), np.stack([m] * 8))), {}, "3 axes"),
    "a mask of colours": (only(3, lambda i, m: (i, np.dstack([m, m * 0, m * 0]) * 255)), {}, "mask of colours"),
    "empty masks": (lambda n, i, m: (i, m * 0), {}, "Every mask is empty"),
    "full masks": (
        lambda n, i, m: (i, m * 0 + 1), {"balance": {"weights": {"scheme": "inverse"}}}, '"background".*scheme: none'),
    "a class in no mask": (unchanged, {"data": THREE}, 'No mask holds "rare"'),
    "a class in no fold": (
        RARE, {"data": THREE, "balance": {"weights": {"scheme": "inverse"}}, "split": {"folds": 2, "fold": 1}},
        '"rare" when fold 1 is judged'),
    "four axes": (FOUR_AXES, {}, "4 axes of space, 2 x 2 x 32 x 32"),
    "four axes, patches by themselves": (FOUR_AXES, {"masks": {"patch_size": "auto"}}, "4 axes of space"),
    "a patch of three sides": (unchanged, {"masks": {"patch_size": [16, 16, 16]}}, "3 sides, and the images have 2"),
    "a patch of one pixel": (unchanged, {"masks": {"patch_size": [1, 1]}}, "halves a patch"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named_before_a_run_folder_is_made(name: str, tmp_path: Path) -> None:
    change, sections, said = FAULTS[name]
    with pytest.raises(EquipoiseError, match=said):
        train(recipe_of(write_pairs(tmp_path / "data", change), **sections), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_masks_saved_with_other_values_than_the_rest_are_named(tmp_path: Path) -> None:
    table = write_pairs(
        tmp_path / "data", lambda number, image, mask: (image, mask * np.uint8(1 if number == 3 else 255))
    )
    prepared = prepare_masks(recipe_of(table, data={"foreground": "> 127"}))
    said = [note for note in prepared.notes if "different values" in note]
    assert len(said) == 1
    assert "1 mask holds different values of which none is foreground (> 127)" in said[0]
    assert " from 0 to 1. " in said[0]
    fine = prepare_masks(recipe_of(table, data={"foreground": "> 0.5"}))
    assert not any("different values" in note for note in fine.notes)


def test_a_pixel_of_the_test_role_that_is_nan_is_named_too(tmp_path: Path) -> None:
    table = write_pairs(tmp_path / "data", only(9, lambda i, m: (np.where(m, np.nan, i).astype("f4"), m)))
    roles = ["train"] * 7 + ["validation", "test", "test"]
    lines = ["id,role", *(f"{number},{role}" for number, role in enumerate(roles))]
    (tmp_path / "split.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"9\.npy has .* NaN"):
        train(recipe_of(table, data={"ids": "id"}, split={"file": str(tmp_path / "split.csv")}), out=tmp_path / "run")


@pytest.mark.parametrize("images", [1, 2])
def test_one_image_or_two_cannot_be_split(images: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot fill 3 parts"):
        train(recipe_of(write_pairs(tmp_path / "data", images=images)), out=tmp_path / "run")


def test_one_file_in_two_roles_is_refused(tmp_path: Path) -> None:
    table = write_pairs(tmp_path / "data")
    table.write_text("id,image,mask\n" + "".join(f"{n},i/{n % 5}.npy,m/{n % 5}.npy\n" for n in range(10)))
    with pytest.raises(DataError, match="learned from and judged"):
        train(recipe_of(table, data={"ids": "id"}), out=tmp_path / "run")


def test_files_alike_but_for_their_ending_are_refused(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "data").parent
    folders = {"table": None, "images": str(data / "i"), "masks": [str(data / "m")], "groups": None}
    for part in ("i", "m"):
        shutil.copy(data / part / "0.npy", data / part / "0.tif")
        with pytest.raises(DataError, match=r"holds 0\.npy and 0\.tif"):
            train(recipe_of(None, data=folders), out=tmp_path / "run")
        (data / part / "0.tif").unlink()


@pytest.mark.parametrize(("key", "value", "said"), [
    ("patch_size", [0, 16], r'must be "auto" or two or three whole numbers'),
    ("patch_size", [16], "two or three whole numbers"), ("least_component", -1, '"auto", "none" or a whole number'),
    ("overlap", 0.97, "at most 0.95"),
])  # fmt: skip
def test_keys_that_cannot_be_are_one_sentence(key: str, value: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said) as found:
        recipe_of(Path("pairs.csv"), masks={key: value})
    assert "\n" not in str(found.value)
    assert "function" not in str(found.value)


NAMES = ("a\nb", "c,d", 'e"f', "<b>&x", "\x1b[31m", "ü😀", " lead", "trail ", "a;b", "q'")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of three classes of which each pixel has one, one of them in one image, whose names are those of a foe."""
    folder = tmp_path_factory.mktemp("three")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        table = write_pairs(folder / "data", RARE, names=NAMES)
        return train(recipe_of(table, data=THREE), out=folder / "run [1]*")


def test_three_classes_are_trained_and_judged_beside_trivial_answers(three: Run) -> None:
    from equipoise.report.mask_view import MaskView, pooled_folds

    view = MaskView.read(three)
    metrics = view.metrics
    assert view.scores["test"].classes == ("ground", "disc", "rare")
    assert pooled_folds([three])["full"].value("dice", "disc") == metrics["full"].value("dice", "disc")
    assert set(metrics) == {"rule", "half", "empty", "full"}
    empty, full = metrics["empty"], metrics["full"]
    share = full.value("actual_share", "disc")
    assert full.value("dice", "disc") == pytest.approx(2 * share / (1 + share))
    assert full.value("predicted_share", "disc") == 1.0
    assert (empty.value("dice", "disc"), empty.value("predicted_share", "ground")) == (0.0, 1.0)


def test_masks_of_three_classes_are_painted_by_the_thresholds_that_they_were_judged_by(
    three: Run, tmp_path: Path
) -> None:
    from equipoise.decision.masks import MaskRule
    from equipoise.metrics import count_masks
    from equipoise.report.mask_view import MaskView

    view = MaskView.read(three)
    rule, table = MaskRule.from_dict(three.read_record("decision")), view.metrics["rule"]
    assert rule.thresholds is not None
    assert rule.low[1] <= rule.thresholds[1] <= rule.high[1]
    data = three.path.parent / "data"
    predict_masks(three, data / "i", out=tmp_path / "masks")
    overlap, said, true = np.zeros(3), np.zeros(3), np.zeros(3)
    for name in view.scores["test"].ids:
        mask, truth = np.load(tmp_path / "masks" / f"{name}.npy"), np.load(data / "m" / f"{name}.npy")
        found = count_masks(truth, mask, classes=3)
        overlap, said, true = overlap + found.overlap, said + found.predicted, true + found.actual
    assert 2 * overlap[1] / (said + true)[1] == pytest.approx(table.value("dice", "disc"), abs=1e-12)
    assert said[1] / said.sum() == pytest.approx(table.value("predicted_share", "disc"), abs=1e-12)


class Listening(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def images(three: Run, tmp_path: Path) -> Path:
    shutil.copytree(three.path.parent / "data" / "i", tmp_path / "images")
    return tmp_path / "images"


def test_images_of_any_name_are_predicted_and_none_is_replaced(three: Run, images: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in images.iterdir()}
    (tmp_path / "link").symlink_to(images)
    for out in (images, tmp_path / "link"):
        for overwrite in (False, True):
            with pytest.raises(ArgumentError, match="which its mask would replace"):
                predict_masks(three, images, out=out, overwrite=overwrite)
    assert {path.name: path.read_bytes() for path in images.iterdir()} == before
    predict_masks(three, images, out=tmp_path / "masks")
    assert {path.name for path in (tmp_path / "masks").glob("*.npy")} == set(before)
    assert all(set(np.unique(np.load(tmp_path / "masks" / name))) <= {0, 1, 2} for name in before)


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda path: path.write_bytes(b"junk"), "no array"), (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
    (lambda path: np.save(path, np.zeros((9, 9, 3), np.uint8)), "3 channels, and the model was trained on 1"),
    (lambda path: np.save(path, np.zeros((2, 2, 9, 9), np.uint8)), "takes images of 2 or 3 axes"),
    (lambda path: np.save(path, np.zeros(9, np.uint8)), "takes images of 2 or 3 axes"),
    (lambda path: np.save(path, np.zeros((0, 9), np.uint8)), "no pixel"),
])  # fmt: skip
def test_an_image_that_cannot_be_is_named_before_any_is_predicted(
    spoil: Callable[[Path], object], said: str, three: Run, images: Path, tmp_path: Path
) -> None:
    spoil(images / "q'.npy")
    with pytest.raises(DataError, match=said) as found:
        predict_masks(three, images, out=tmp_path / "masks")
    assert "q'.npy" in str(found.value)
    assert not (tmp_path / "masks").exists()


def test_pixels_that_are_nan_or_of_another_range_are_said(three: Run, tmp_path: Path) -> None:
    image = np.load(three.path.parent / "data" / "i" / "q'.npy")
    watch = Listening()
    np.save(tmp_path / "a.npy", image)
    predict_masks(three, tmp_path / "a.npy", out=tmp_path / "masks", watch=watch)
    assert watch.said == []
    np.save(tmp_path / "b.npy", image / 255)
    predict_masks(three, tmp_path / "b.npy", out=tmp_path / "masks", watch=watch)
    assert "b.npy (float32) are far from those of the training" in watch.said[0]
    np.save(tmp_path / "c.npy", np.where(image > 120, np.nan, image))
    with pytest.raises(DataError, match=r"c\.npy has pixels that are NaN"):
        predict_masks(three, tmp_path / "c.npy", out=tmp_path / "masks", watch=watch)
    assert not (tmp_path / "masks" / "c.npy").exists()


def test_replaced_images_are_predicted_again_and_damaged_state_is_made_anew(
    three: Run, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "masks"
    predict_masks(three, images, out=out)
    wanted = {path.name: path.read_bytes() for path in out.glob("*.npy")}
    for record in (out / ".equipoise").glob("*.json"):
        record.write_text("[")
    (out / ".q'.npy.0123abcd.part").write_text("half")
    predict_masks(three, images, out=out)
    assert {path.name: path.read_bytes() for path in out.glob("*.npy")} == wanted
    assert not list(out.glob(".*.part"))
    np.save(images / "q'.npy", np.load(images / "q'.npy")[:20])
    predict_masks(three, images, out=out)
    assert np.load(out / "q'.npy").shape == (20, 32)
    (out / "masks.json").write_text("{")
    with pytest.raises(RunError, match="of another run"):
        predict_masks(three, images, out=out)


def test_names_of_classes_that_are_paths_stay_inside_the_folder(tmp_path: Path) -> None:
    table = write_pairs(tmp_path / "data")
    lines = table.read_text().splitlines()
    table.write_text(
        "\n".join(["id,image,mask_../../out,mask_b", *(f"{line},{line.split(',')[2]}" for line in lines[1:])])
    )
    data = {"masks": ["mask_../../out", "mask_b"], "groups": "none"}
    run = train(recipe_of(table, data=data, loss={"terms": "bce + dice"}), out=tmp_path / "run")
    before = set(tmp_path.rglob("*"))
    found = predict_masks(run, tmp_path / "data" / "i" / "0.npy", out=tmp_path / "masks")
    assert all(file.parent == tmp_path / "masks" for file in found[0].files)
    assert {
        path for path in set(tmp_path.rglob("*")) - before if (tmp_path / "masks") not in (path, *path.parents)
    } == set()


def test_a_checkpoint_whose_guard_is_damaged_is_named(tmp_path: Path) -> None:
    from equipoise.training.checkpoint import read_checkpoint, write_checkpoint

    class Cut(Silent):
        def move(self, epoch: float, note: str) -> None:
            if epoch > 1.4:
                raise KeyboardInterrupt

    recipe = recipe_of(write_pairs(tmp_path / "data"), training={"checkpoint_seconds": 0, "epochs": 2})
    with pytest.raises(KeyboardInterrupt):
        train(recipe, out=tmp_path / "run", watch=Cut())
    last = tmp_path / "run" / "checkpoint" / "last.safetensors"
    tensors, record = read_checkpoint(last)
    for state in (None, "x", [], {}, {"told": 3}):
        write_checkpoint(last, tensors, record | {"guard": state})
        with pytest.raises(RunError, match=r"last\.safetensors does not fit this recipe"):
            train(recipe, out=tmp_path / "run", resume=True)
    write_checkpoint(last, tensors, record)
    assert train(recipe, out=tmp_path / "run", resume=True).is_done
