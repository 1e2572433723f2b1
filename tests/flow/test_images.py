"""Images from a table to a judged run: training, resuming, prediction, and what goes wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from equipoise._checks import ArgumentError, DataError, RunError
from equipoise._npz import open_npz
from equipoise.data import archives, earlier_draws
from equipoise.labels import read_labels, split_labels
from equipoise.recipe import ImageSettings, Recipe, make_recipe, read_recipe
from equipoise.report import ArmsView, RunView, arms_class_table, arms_table, next_steps
from equipoise.runs import Run
from equipoise.scores import read_scores
from equipoise.training import predict, prepare, train, train_arms
from equipoise.training.distil import check_teachers, unlike_steps

_QUICK = (
    "images.size=32", "training.epochs=2", "model.name=mobilenetv3_small_050", "training.batch_size=16",
    "training.checkpoint_seconds=0", "training.patience=null",
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 pictures of 24 patients: a bright square where label a is 1, a dark one where b is."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    lines = ["image,patient,a,b"]
    (folder / "images").mkdir()
    for number in range(96):
        a, b = rng.random(2) < (0.4, 0.25)
        pixels = rng.normal(110, 12, (40, 40))
        pixels[8:16, 8:16] += 90 * a
        pixels[24:32, 20:28] -= 90 * b
        cv2.imwrite(str(folder / "images" / f"{number}.png"), pixels.clip(0, 255).astype(np.uint8))
        lines.append(f"images/{number}.png,{number // 4},{a:d},{b:d}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def _recipe(pictures: Path, cache: Path, *more: str) -> Recipe:
    overrides = [*_QUICK, f"images.cache={cache}", *more]
    return make_recipe(
        pictures / "labels.csv", ["a", "b"], base="images", groups="patient", ids="image", images=str(pictures),
        overrides=overrides,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return train(_recipe(pictures, folder / "cache"), out=folder / "run")


def test_a_model_of_images_learns_and_predicts_what_it_was_judged_on(run: Run, pictures: Path) -> None:
    assert (run.path / "DONE").exists()
    found = predict(run, pictures / "labels.csv")
    test = read_scores(run.scores_file("test"))
    place = {name: row for row, name in enumerate(found.ids.tolist())}
    rows = [place[name] for name in test.ids.tolist()]
    np.testing.assert_allclose(found.probabilities[rows], test.probabilities(), atol=2e-5)
    assert run.read_record("columns")["members"][0]["kind"] == "images"


@pytest.mark.parametrize(
    "wrong",
    [
        ["model.name=mobilenetv9_mhsa"],
        ["model.features=16"],
        ["model.name=vit_tiny_patch16_224", "images.size=33"],
    ],
)
def test_a_model_that_cannot_be_leaves_no_run_behind(pictures: Path, tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(ArgumentError):
        train(_recipe(pictures, tmp_path / "cache", *wrong), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_table_of_pictures_alone_says_how_to_name_their_folder(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--images FOLDER"):
        train(make_recipe(pictures / "labels.csv", ["a", "b"], groups="patient"), out=tmp_path / "run")


def test_the_words_before_training_say_whether_pictures_are_mirrored(pictures: Path, tmp_path: Path) -> None:
    settings = {"xray": ("xray", "null"), "general": ("general", "null"), "as it comes": ("general", "false")}
    said = {}
    for name, (kind, flip) in settings.items():
        recipe = _recipe(pictures, tmp_path, f"images.modality={kind}", f"images.flip={flip}")
        said[name] = " ".join(prepare(recipe).inputs.sentences())
    assert read_recipe("images").images.flip is False
    assert "left and right never swapped" in said["xray"]
    assert "left and right swapped in 50%" in said["general"]
    assert "left and right never swapped" in said["as it comes"]


def test_the_next_steps_of_a_run_of_images_name_their_folder(run: Run) -> None:
    assert "--images FOLDER" in dict(next_steps(RunView.read(run)))["Use the model on a new table"]


def test_the_gallery_shows_steps_and_mistakes_and_is_never_unpickled(run: Run, tmp_path: Path) -> None:
    from equipoise.report.gallery_plots import plot_mistakes, plot_samples, read_gallery

    about, arrays = read_gallery(run.file("gallery.npz"))
    assert [one["stages"] for one in about["samples"]] == [["as it is", "resize", "varied", "varied"]] * 4
    test = read_scores(run.scores_file("test"))
    rule = run.read_record("decision")["log_odds_shift"]
    assert rule == [0.0, 0.0]
    wrong = np.abs(test.probabilities() - test.labels)
    worst = wrong.max(axis=1).argmax()
    assert about["mistakes"][0]["id"] == test.ids[worst]
    assert about["mistakes"][0]["class"] == "ab"[wrong[worst].argmax()]
    looks = [heat for name, heat in arrays.items() if name.startswith("look-")]
    assert len(looks) <= 4
    assert all(0 < heat.max() <= 1 for heat in looks)
    assert len(plot_samples(about, arrays).axes) == 16
    assert plot_mistakes(about, arrays).axes
    hostile = tmp_path / "gallery.npz"
    np.savez(hostile, about=np.array([{"samples": []}], dtype=object))
    with pytest.raises(RunError, match="is damaged"):
        read_gallery(hostile)


def test_a_run_that_was_cut_ends_with_the_same_bytes(run: Run, pictures: Path, tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    class Watch:
        def say(self, sentence: str) -> None: ...
        def begin(self, title: str, epochs: int) -> None: ...
        def end(self, note: str) -> None: ...

        def move(self, epoch: float, note: str) -> None:
            if epoch >= 1:
                raise CutError

    recipe = read_recipe(run.file("recipe.yaml"))
    with pytest.raises(CutError):
        train(recipe, out=tmp_path / "run", watch=Watch())
    again = train(recipe, out=tmp_path / "run", resume=True)
    for name in ("model.safetensors", "metrics.json", "events.jsonl", "scores/test.parquet"):
        assert (again.path / name).read_bytes() == (run.path / name).read_bytes(), name


def test_what_is_shown_depends_on_seed_epoch_and_row_alone(run: Run) -> None:
    prepared = prepare(read_recipe(run.file("recipe.yaml")))
    rows = prepared.inputs.fit(prepared.members[0].train).rows().in_epoch(3)
    order = torch.tensor([5, 2, 5, 9])
    whole = rows.take(order).load().inputs[0]
    torch.testing.assert_close(rows.take(order).part(2, 4).load().inputs[0], whole[2:], rtol=0, atol=0)
    torch.testing.assert_close(rows.take(torch.tensor([9])).load().inputs[0], whole[3:], rtol=0, atol=0)
    assert not torch.equal(whole[0], whole[2]), "a row that is drawn twice is varied twice"
    assert not torch.equal(rows.in_epoch(4).take(order).load().inputs[0], whole)
    plain = prepared.inputs.fit(prepared.members[0].train).rows()
    torch.testing.assert_close(plain.take(order).load().inputs[0][0], plain.load().inputs[0][5], rtol=0, atol=0)


def test_earlier_draws_count_the_same_number_before() -> None:
    drawn = torch.randint(0, 7, (200,), generator=torch.Generator().manual_seed(0))
    expected = [int((drawn[:i] == drawn[i]).sum()) for i in range(len(drawn))]
    assert earlier_draws(drawn).tolist() == expected
    assert earlier_draws(torch.zeros(0, dtype=torch.int64)).tolist() == []


def test_arms_are_trained_once_each_and_go_on(pictures: Path, tmp_path: Path) -> None:
    recipe = _recipe(pictures, tmp_path / "cache", "training.epochs=1", "arms.plain={}")
    recipe = recipe.model_copy(update={"arms": {"plain": None, "weighted": {"balance.weights.scheme": "sqrt"}}})
    first = train_arms(recipe, out=tmp_path / "arms")
    stamps = {name: (run.path / "DONE").stat().st_mtime_ns for name, run in first.runs.items()}
    (tmp_path / "arms" / "weighted" / "DONE").unlink()
    said: list[str] = []
    watch = SimpleNamespace(say=said.append, begin=lambda *_: None, move=lambda *_: None, end=lambda *_: None)
    again = train_arms(recipe, out=tmp_path / "arms", watch=watch)
    assert list(again.runs) == ["plain", "weighted"]
    assert said[:2] == ["plain (1 of 2): finished already, kept as it is.", "weighted (2 of 2)"]
    view = ArmsView.of({name: RunView.read(run) for name, run in again.runs.items()})
    assert arms_table(view).row_count == 2
    assert arms_class_table(view, view.comparisons[0]).row_count == 2
    assert (again.runs["plain"].path / "DONE").stat().st_mtime_ns == stamps["plain"]
    with pytest.raises(RunError, match="arms of another recipe .*seed"):
        train_arms(recipe.model_copy(update={"seed": 4}), out=tmp_path / "arms")
    (tmp_path / "arms" / "arms.yaml").unlink()
    with pytest.raises(RunError, match="plain holds a finished run of another recipe than the arm plain .*seed"):
        train_arms(recipe.model_copy(update={"seed": 4}), out=tmp_path / "arms")
    (tmp_path / "arms" / "plain").rename(tmp_path / "kept")
    shutil.copytree(tmp_path / "arms" / "weighted", tmp_path / "arms" / "plain")
    (tmp_path / "arms" / "arms.yaml").unlink()
    with pytest.raises(RunError, match="than the arm plain .*name.*balance"):
        train_arms(recipe, out=tmp_path / "arms")


def test_a_student_is_taught_by_an_earlier_arm_on_rows_that_neither_is_judged_on(
    pictures: Path, tmp_path: Path
) -> None:
    recipe = _recipe(pictures, tmp_path / "cache", "training.epochs=1", "distil.similarity=0.1")
    recipe = recipe.model_copy(
        update={"arms": {"teacher": {"images.size": 48}, "taught": {"distil.teachers": ["teacher"]}}}
    )
    arms = train_arms(recipe, out=tmp_path / "arms")
    losses = [next(e for e in run.events() if e["event"] == "epoch")["training_loss"] for run in arms.runs.values()]
    assert losses[0] != losses[1]
    other = read_recipe(arms.runs["taught"].file("recipe.yaml"), ["split.seed=5"])
    with pytest.raises(RunError, match="learned from .* rows that the student is watched or judged on"):
        train(other, out=tmp_path / "other")
    named = tmp_path / "named.csv"
    named.write_text((pictures / "labels.csv").read_text().replace("patient,a,b", "patient,a,c"))
    other = read_recipe(arms.runs["taught"].file("recipe.yaml"), [f"data.table={named}", "data.labels=[a, c]"])
    with pytest.raises(RunError, match="knows .a., .b.; the student learns .a., .c."):
        train(other, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()
    exclusive = tmp_path / "exclusive.csv"
    exclusive.write_text("image,kind\n" + "".join(f"x{row},{'ab'[row % 2]}\n" for row in range(60)))
    labels = read_labels(exclusive, columns=["kind"], ids="image", groups="none", task="multiclass")
    with pytest.raises(RunError, match="learned a multilabel task; the student's is multiclass"):
        check_teachers([str(arms.runs["teacher"].path)], labels, split_labels(labels))
    told = unlike_steps([str(run.path) for run in arms.runs.values()], ImageSettings(steps=({"clahe": None}, "resize")))
    assert len(told) == 2
    assert "other steps than the student is shown" in told[0]
    assert unlike_steps([str(arms.runs["teacher"].path)], ImageSettings()) == []


def test_identical_pictures_are_named_with_labels_and_roles(pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    lines = (pictures / "labels.csv").read_text().splitlines()
    split = ["id,role"]
    for number, line in enumerate(lines[1:]):
        split.append(f"{line.split(',')[0]},{('train', 'train', 'validation', 'test')[number // 4 % 4]}")
    for folder in ("images", "copies"):
        (tmp_path / folder).mkdir()
    for path in (pictures / "images").iterdir():
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "copies" / "0.png").write_bytes((pictures / "images" / "0.png").read_bytes())
    flipped = ",".join(str(1 - int(cell)) for cell in lines[1].split(",")[2:])
    table.write_text("\n".join([*lines, f"copies/0.png,p,{flipped}"]) + "\n")
    (tmp_path / "split.csv").write_text("\n".join([*split, "copies/0.png,test"]) + "\n")
    recipe = read_recipe(
        "images",
        [*_QUICK, f"images.cache={tmp_path / 'cache'}", f"data.table={table}", "data.labels=[a, b]", "data.ids=image",
         "data.groups=patient", f"data.images={tmp_path}", f"split.file={tmp_path / 'split.csv'}"],
    )  # fmt: skip
    prepared = prepare(recipe)
    from equipoise.training import Silent

    prepared.inputs.make_ready(Silent())
    said = " ".join(prepared.inputs.warnings())
    assert '1 picture stands in more than one row, pixel for pixel: "images/0.png and copies/0.png"' in said
    assert "1 of them with different labels" in said
    assert "1 of them both learned from and judged on" in said


def test_an_archive_brings_images_labels_and_roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for role, rows in (("train", 48), ("val", 24), ("test", 24)):
        arrays[f"{role}_labels"] = rng.integers(0, 3, (rows, 1)).astype(np.uint8)
        arrays[f"{role}_images"] = rng.integers(0, 255, (rows, 20, 20), np.uint8)
    np.savez(tmp_path / "set.npz", **arrays)
    archive = tmp_path / "set.npz"
    recipe = make_recipe(
        archive, (), base="images", groups="none", images=str(archive),
        overrides=[*_QUICK, f"images.cache={tmp_path / 'cache'}", f"split.file={archive}", "training.epochs=1"],
    )  # fmt: skip
    made = train(recipe, out=tmp_path / "run")
    test = read_scores(made.scores_file("test"))
    assert test.ids.tolist() == [f"test-{row}" for row in range(24)]
    np.testing.assert_array_equal(test.labels, arrays["test_labels"][:, 0])
    opened: list[Path] = []
    monkeypatch.setattr(archives, "open_npz", lambda path: opened.append(path) or open_npz(path))
    found = predict(made, archive)
    assert opened == [archive]  # once, for the pictures and their names
    assert found.ids[:2].tolist() == ["train-0", "train-1"]
    np.testing.assert_allclose(found.probabilities[-24:], test.probabilities(), atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (["data.images=null"], ArgumentError, "data.images names no folder of images"),
        (["model.name=tabm"], ArgumentError, "tabm is a model of tables"),
        (["model.name=mobilnet"], ArgumentError, "must be one of"),
        (["model.name=mobilenetv3_smal_050"], ArgumentError, "mobilenetv3_small_050"),
        (["model.width=8"], ArgumentError, "belongs to models of tables"),
        (["data.features=[patient]"], ArgumentError, "models of images see pixels alone"),
        (["images.steps=[clahe]"], ArgumentError, 'has no "resize"'),
        (["images.steps=[resise]"], ArgumentError, '"resize"'),
        (["data.image=picture"], DataError, 'no column "picture"'),
        (["images.size=4"], ArgumentError, "at least 8"),
        (["model.pretrained=/nowhere.pth"], ArgumentError, "there is no such file"),
    ],
)
def test_a_recipe_that_cannot_be(
    pictures: Path, tmp_path: Path, changes: list[str], error: type[Exception], message: str
) -> None:
    def attempt() -> None:
        train(_recipe(pictures, tmp_path / "cache", *changes), out=tmp_path / "run")

    with pytest.raises(error) as caught:
        attempt()
    assert message in str(caught.value)


def test_the_packaged_recipes_of_images_are_whole() -> None:
    for name in ("images", "x-lite", "x-lite-models", "x-lite-distil", "gentle-chest-xray", "retinopathy-grading"):
        recipe = read_recipe(name)
        assert recipe.model.of_images, name
        assert json.dumps(recipe.model_dump(mode="json"))
