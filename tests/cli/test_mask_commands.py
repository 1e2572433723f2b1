"""`census` and `weights` of masks, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from equipoise._checks import ArgumentError, DataError, RunError
from equipoise.cli import app
from equipoise.cli._mask_runs import require_one_size
from equipoise.metrics import MaskScorer, write_mask_scores
from equipoise.recipe import read_recipe

RUNNER = CliRunner()


def invoke(*arguments: object) -> str:
    done = RUNNER.invoke(app, list(map(str, arguments)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    folder = tmp_path / "masks"
    folder.mkdir()
    for number in range(4):
        mask = np.zeros((10, 10), np.uint8)
        mask[: number + 1, :4] = 255
        np.save(folder / f"{number}.npy", mask)
    return folder


def test_census_of_a_folder_and_weights_from_it(masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "census.json"
    text = invoke(
        "census", masks, "--foreground", "> 0.5", "--components", "--out", out, "--figure", tmp_path / "a.png"
    )
    assert "4 images, 400 pixels" in text
    assert "Connected parts" in text
    assert (tmp_path / "a.png").stat().st_size > 1000
    found = json.loads(invoke("census", masks, "--values", "rest=0,lesion=255", "--json"))
    assert found["pixels"] == [360, 40]
    assert found["prevalence"] == [0.9, 0.1]
    for source in ((out,), (masks, "--foreground", "> 0.5")):
        chosen = json.loads(invoke("weights", *source, "--scheme", "inverse", "--normalise", "sum", "--json"))
        assert chosen["chosen"]["values"] == pytest.approx([0.1, 0.9])
        assert chosen["counts_from"]["counts"] == {"background": 360, "foreground": 40}


def test_weights_go_into_a_recipe_with_their_counts(masks: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: surface\n")
    invoke(
        "weights", masks, "--foreground", "> 0.5", "--scheme", "inverse", "--normalise", "sum", "--into", recipe,
        "--out", tmp_path / "weighted.yaml",
    )  # fmt: skip
    weights = read_recipe(tmp_path / "weighted.yaml").balance.weights
    assert weights.values == pytest.approx({"background": 0.1, "foreground": 0.9})
    assert weights.counts_from is not None
    assert weights.counts_from.counts == {"background": 360, "foreground": 40}
    with pytest.raises(ArgumentError, match="--into"):
        invoke("weights", masks, "--foreground", "> 0.5", "--into", recipe)


@pytest.mark.parametrize("balance", [
    "", "balance:  # of classes\n  # mine\n  weights: {scheme: inverse,\n    normalise: sum}\n  # after\n",
    "balance: {weights: {scheme: inverse}}\n", "balance:\n  sampling:\n    method: none\n",
    "balance:\n    weights:\n        scheme: sqrt  # old\n        # kept\n    sampling: {method: none}\n",
])  # fmt: skip
def test_the_recipe_keeps_its_text_but_for_the_weights(balance: str, masks: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    head = "# why\nname: mine  # a name\nseed: 0\ndata:\n  table: pairs.csv\n  masks: mask\n"
    tail = "model:\n  name: unet  # small\ntraining:\n  monitor: dice\nloss: {terms: cross_entropy + dice}\n"
    recipe.write_text(head + balance + tail)
    count = ("weights", masks, "--foreground", "> 0.5", "--into", recipe)
    invoke(*count, "--out", tmp_path / "weighted.yaml")
    text = (tmp_path / "weighted.yaml").read_text()
    assert text.startswith(head)
    assert "# small" in text
    assert "unit: pixels" in text
    for comment in ("# mine", "# after", "# kept"):
        assert (comment in text) == (comment in balance)
    changed = read_recipe(tmp_path / "weighted.yaml")
    assert changed.balance.weights.values == pytest.approx({"background": 10 / 9, "foreground": 10.0})
    assert changed.balance.sampling == read_recipe(recipe).balance.sampling
    (tmp_path / "other").mkdir()
    invoke(*count, "--out", tmp_path / "other" / "weighted.yaml")
    assert read_recipe(tmp_path / "other" / "weighted.yaml").data.table == str(tmp_path / "pairs.csv")


def test_weights_of_other_classes_are_refused_by_the_recipe(masks: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: two\ndata: {table: pairs.csv, masks: [mask_MA, mask_HE]}\nmodel: {name: unet}\n"
                      "training: {monitor: dice}\nloss: {terms: bce + dice}\n")  # fmt: skip
    with pytest.raises(ArgumentError, match="background.*foreground.*MA.*HE"):
        invoke("weights", masks, "--foreground", "> 0.5", "--into", recipe, "--out", tmp_path / "weighted.yaml")
    assert not (tmp_path / "weighted.yaml").exists()


def test_images_are_counted_where_a_class_is_in_all(masks: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("image,mask_MA,SE\na.png,masks/0.npy,\nb.png,masks/1.npy,masks/3.npy\n")
    count = ("weights", tmp_path / "pairs.csv", "--masks", "MA,SE", "--foreground", "> 0.5", "--count", "images")
    found = json.loads(invoke(*count, "--scheme", "effective_number", "--beta", "0.99", "--json"))["chosen"]
    assert found["values"] == pytest.approx([1.0, (1 - 0.99**2) / (1 - 0.99)])
    assert found["kind"] == "pos_weight"
    with pytest.raises(DataError, match="MA. is in every image"):
        invoke(*count, "--scheme", "inverse")


def test_what_is_of_masks_is_said_where_rows_are_meant(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("image,mask\na.png,b.png\n")
    with pytest.raises(ArgumentError, match="surface-segmentation"):
        invoke("train", tmp_path / "pairs.csv", "--set", "data.masks=mask")
    for fold in range(2):
        (tmp_path / "folds" / f"fold-{fold}").mkdir(parents=True)
        (tmp_path / "folds" / f"fold-{fold}" / "run.json").write_text("{}")
    (tmp_path / "folds" / "folds.md").write_text("")
    for command in (("report",), ("diagnose",), ("predict", "images", "--out", "masks")):
        with pytest.raises(RunError, match=r"fold-0.*fold-1.*folds\.md"):
            invoke(command[0], tmp_path / "folds", *command[1:])
    with pytest.raises(ArgumentError, match=r"recipe\.yaml --out .*--resume"):
        invoke("train", tmp_path / "folds" / "fold-0")
    scorer = MaskScorer(("x",), exclusive=False, role="validation")
    scorer.add("a", np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2, 2), np.float32))
    write_mask_scores(scorer.scores(), tmp_path / "validation.parquet")
    for command in ("decide", "evaluate"):
        with pytest.raises(DataError, match="counts of masks, not scores of rows"):
            invoke(command, tmp_path / "validation.parquet", "--groups", "none", "--role", "validation")


def test_a_sample_is_said_and_repeats(masks: Path) -> None:
    first, again = (
        json.loads(invoke("census", masks, "--foreground", "> 0.5", "--sample", "3", "--json")) for _ in range(2)
    )
    assert first == again
    assert first["population"] == 4
    assert len(first["images"]) == 3
    assert first["prevalence_low"][1] < first["prevalence"][1] < first["prevalence_high"][1]
    assert "a sample of 4" in invoke("census", masks, "--foreground", "> 0.5", "--sample", "0.5")


def test_masks_of_several_classes_from_a_table(masks: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("image,mask_MA,SE\na.png,masks/0.npy,\nb.png,masks/1.npy,masks/3.npy\n")
    found = json.loads(invoke("census", tmp_path / "pairs.csv", "--masks", "MA,SE", "--foreground", "> 0.5", "--json"))
    assert found["pixels"] == [12, 16]
    assert found["present"] == [2, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "holds the values 0, 255. Say what they mean"),
        (("--foreground", "> 0.5", "--values", "a=0"), "Give one of them"),
        (("--foreground", "> 0.5", "--labels", "x"), "`--labels` has no use for masks"),
        (("--values", "a"), "classes and their values"),
        (("--values", "a=zero"), "numbers or colours"),
    ],
)
def test_what_cannot_be_meant_is_refused(masks: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        invoke("census", masks, *arguments)


def test_runs_that_learned_at_other_sizes_are_named_with_both(tmp_path: Path) -> None:
    for name, size in (("a", "64"), ("b", "null")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(
            f"name: {name}\nmodel: {{name: unet}}\nmasks: {{resize: {size}}}\ntraining: {{monitor: dice}}\n"
            "loss: {terms: cross_entropy + dice}\n"
        )
    require_one_size([tmp_path / "a", tmp_path / "a"])
    with pytest.raises(ArgumentError, match=r"masks\.resize is 64 in .*a and null in .*b"):
        require_one_size([tmp_path / "a", tmp_path / "b"])
