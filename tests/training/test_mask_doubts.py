"""Doubts about masks that the counts alone tell: what is warned of, what it is called, and remedies that mend it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._checks import ArgumentError
from equipoise.cli._mask_runs import mask_ledger_sentences
from equipoise.metrics.mask_scores import ImageCounts
from equipoise.recipe import Recipe, read_recipe
from equipoise.report.diagnosis import diagnose_events
from equipoise.report.mask_report import mask_markdown, summarise_masks
from equipoise.report.mask_view import MaskView
from equipoise.training import train
from equipoise.training.mask_guard import MaskGuard
from equipoise.training.mask_prepare import MaskPrepared, prepare_masks
from equipoise.training.mask_tally import MaskTally
from mask_runs import recipe_of, write_discs

pytest.importorskip("monai", reason="MONAI is not installed")

HARSH = {"ground": 12.0, "disc": 0.7}
COUNTS = {"source": "masks", "fingerprint": "0", "scheme": "inverse", "counts": {"ground": 1, "disc": 1}}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(tmp_path_factory.mktemp("doubts"), images=10)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the cache of places lies beside the runs


def prepared(table: Path, **sections: Any) -> MaskPrepared:
    return prepare_masks(recipe_of(table, **sections))


def mended(recipe: Recipe, warning: str, folder: Path) -> Recipe:
    """The recipe with what the last brackets of a warning say."""
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    settings = re.findall(r"([\w.]+): (\[.*?\]|[^,()\]]+)", re.findall(r"\(([^()]*)\)", warning)[-1])
    return read_recipe(folder / "recipe.yaml", [f"{key}={value}" for key, value in settings])


def test_the_remedy_against_weights_by_hand_takes_them_out(table: Path, tmp_path: Path) -> None:
    harsh = prepared(table, balance={"weights": {"values": HARSH}})
    (warning,) = harsh.warnings()
    assert "balance.weights.values: null" in warning
    repaired = prepare_masks(mended(harsh.recipe, warning, tmp_path))
    assert not repaired.warnings()
    assert repaired.weights is not None
    assert repaired.weights.values[1] > repaired.weights.values[0]


def test_full_balance_is_never_warned_of(table: Path) -> None:
    assert not prepared(table, balance={"weights": {"scheme": "inverse", "normalise": "sum"}}).warnings()


@pytest.mark.parametrize("weights", [
    {"scheme": "inverse", "values": HARSH},
    {"scheme": "inverse", "values": HARSH, "counts_from": COUNTS},
    {"values": {}, "counts_from": COUNTS},
])  # fmt: skip
def test_weights_by_hand_beside_what_they_leave_nothing_to_do_are_an_error(
    weights: dict[str, Any], table: Path
) -> None:
    with pytest.raises(ArgumentError, match=r"balance\.weights\.(values|counts_from)"):
        recipe_of(table, balance={"weights": weights})


def test_weights_by_hand_are_called_so_and_those_of_a_scheme_by_it(table: Path) -> None:
    harsh = prepared(table, balance={"weights": {"values": HARSH}})
    assert any(said.startswith("Class weights (given by hand): ground 12") for said in harsh.sentences())
    assert harsh.weights is not None
    counts = dict(zip(harsh.classes, harsh.census.positives.tolist(), strict=True))
    made = prepared(table, balance={"weights": {"values": HARSH, "counts_from": COUNTS | {"counts": counts}}})
    assert made.weights is not None
    assert made.weights.name == "inverse"
    assert type(made.weights).from_dict(json.loads(json.dumps(made.weights.to_dict()))).name == "inverse"


# --- bands


def test_a_band_that_excludes_the_truth_is_warned_of_before_training(table: Path, tmp_path: Path) -> None:
    wrong = prepared(table, masks={"bands": {"disc": [0.5, 0.7]}})
    (warning,) = wrong.warnings()
    assert "outside of its band of 50 % to 70 %" in warning
    assert not prepare_masks(mended(wrong.recipe, warning, tmp_path)).warnings()
    assert not prepared(table, masks={"bands": {"disc": [0.1, 0.7]}}).warnings()


def tally(truth: float, predicted: float, side: int = 40) -> MaskTally:
    """Two images of so much of each, in rows from the middle outwards, with no border to speak of."""
    counts = np.array([[side * side * (1 - share), side * side * share] for share in (truth, predicted)]).round()
    both = np.minimum(*counts)
    return MaskTally(
        ImageCounts(*(np.tile(one.astype(np.int64), (2, 1)) for one in (both, counts[0], counts[1])),
                    np.full((2, 2), side * side)),
        np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64),
    )  # fmt: skip


@pytest.mark.parametrize(("band", "predicted", "kind", "remedy"), [
    ((0.5, 0.7), 0.37, None, ""),  # nearly right: the band is wrong
    ((0.5, 0.7), 0.60, None, ""),
    ((0.5, 0.7), 0.45, "mask_share", "masks.bands: null"),
    ((0.5, 0.7), 0.10, "mask_share", "hold it more often"),
    (None, 0.08, "mask_share", "hold it more often"),
    (None, 0.80, "mask_share", "Learn more slowly"),
])  # fmt: skip
def test_the_guard_asks_for_more_only_where_less_than_the_truth_is_predicted(
    band: tuple[float, float] | None, predicted: float, kind: str | None, remedy: str
) -> None:
    recipe = recipe_of(Path("pairs.csv"), masks={"bands": {"disc": list(band)} if band else None, "planned": 0.5})
    share = np.array([0.67, 0.33])
    guard = MaskGuard(["ground", "disc"], [1], share, share, recipe)
    found = guard.conclude(tally(0.33, predicted), np.array([0.5, 0.5]))
    assert [one.kind for one in found] == ([] if kind is None else [kind])
    assert all(remedy in one.remedy for one in found)


# --- sizes


def test_classes_that_vanish_by_resizing_are_named_with_pixels_and_images(tmp_path: Path) -> None:
    table = write_discs(tmp_path / "data", images=8, side=64)
    for number in range(8):  # three pixels of what is looked for, as small as a microaneurysm
        mask = np.zeros((64, 64), np.uint8)
        mask[30:32, 30 + number : 32 + number] = 1
        np.save(table.parent / f"m{number}.npy", mask)
    assert not prepared(table, masks={"patch_size": [16, 16]}).warnings()
    mask[20:40, 20:40] = 1
    np.save(table.parent / "m7.npy", mask)
    (warning,) = prepared(table, masks={"patch_size": [16, 16], "resize": 16}).warnings()
    assert re.search(r"disc from .* % to .* % of the pixels and from 8 to [1-3] images", warning)


# --- records


def test_what_was_seen_in_training_and_warned_of_before_it_stays_in_the_records(table: Path, tmp_path: Path) -> None:
    run = train(recipe_of(table, balance={"weights": {"values": HARSH}}, training={"epochs": 2}), out=tmp_path / "run")
    view = MaskView.read(run)
    assert "Warned before training: under the class weights disc is" in summarise_masks(view)
    assert "given by hand" in summarise_masks(view)
    warnings = [event for event in view.events if event["event"] == "warnings"]
    assert len(warnings) == 1
    ledger = " ".join(mask_ledger_sentences(run))
    assert "Class weights are in force (given by hand), in the terms of pixels alone: ground 12, disc 0.7." in ledger
    assert "Dice has no training prior" in ledger
    kind = {"kind": "mask_share", "class_name": "disc", "member": 0, "sentence": "disc: too little.", "remedy": "",
            "severity": "warning", "evidence": {}, "settings": {}}  # fmt: skip
    events = [{"event": "epoch", "epoch": 1, "predicted_share": [0, 1], "findings": [{**kind, "epoch": 1}]},
              {"event": "conclusion", "findings": []}]  # fmt: skip
    passed = diagnose_events(events)
    assert passed.headline().startswith("No finding that stands, 1 seen in training and not in the kept model.")
    assert passed.lines() == ["seen in training, not in the kept model: disc: too little. Seen: epoch 1."]
    text = mask_markdown(dataclasses.replace(view, events=tuple(events)), [])
    assert "seen in training, not in the kept model: disc: too little. Seen: epoch 1." in text


def test_the_loss_says_once_what_pixels_weigh(table: Path) -> None:
    said = prepared(
        table, balance={"weights": {"values": HARSH}}, loss={"terms": "cross_entropy + focal + dice"}
    ).loss.describe()
    assert said.count("one positive of ground weighs") == 1
    assert len(said) < 300
