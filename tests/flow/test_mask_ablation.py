"""An ablation of masks from a matrix to verdict, page and log; cells are trained in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._checks import ArgumentError
from equipoise.ablation import read_matrix
from equipoise.ablation._cell import train_cell
from equipoise.ablation.aspects import aspect_of
from equipoise.ablation.folder import begin_ablation, write_ablation
from equipoise.ablation.verdict import read_openings, write_verdict
from equipoise.metrics.mask_scores import read_mask_scores
from equipoise.report import write_page
from equipoise.report.log import write_log
from equipoise.runs import Run
from mask_runs import parts_recipe, recipe_of, write_discs, write_parts

pytest.importorskip("monai", reason="MONAI is not installed")

MATRIX = """
name: discs
base: base.yaml
seeds: 1
arms:
  plain: {}
  longer: {change: {training.epochs: 5}, declare: [budget]}
  smoothed: {change: {loss.smoothing: 1e-6}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms: one that learned for longer, and one that differs in nothing that could matter."""
    folder = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        table = write_discs(folder / "data", images=28, contrast=40)
        recipe = recipe_of(table, split={"fractions": [0.3, 0.4, 0.3]}, training={"epochs": 1},
                           loss={"terms": "cross_entropy"})  # fmt: skip
        (folder / "base.yaml").write_text(recipe.to_yaml())
        (folder / "matrix.yaml").write_text(MATRIX)
        matrix = read_matrix(folder / "matrix.yaml")
        assert matrix.metric == "image_dice"
        begin_ablation(folder / "out")
        write_ablation(matrix, folder / "out", overwrite=False, keep_dropped=False)
        for cell in matrix.cells:
            outcome = train_cell(cell.recipe, folder / "out" / cell.folder, metric=matrix.metric, threads=1)
            assert outcome.status == "finished", outcome.message
            assert 0 < outcome.value < 1
    return folder / "out"


def test_an_arm_that_learned_more_helps_and_one_that_is_the_same_does_not(trained: Path) -> None:
    found = write_verdict(trained, replicates=300)
    assert (found.unit, found.role, found.metric) == ("images", "validation", "image_dice")
    assert found.of_arm("longer").verdict == "helps"
    assert found.of_arm("smoothed").verdict == "cannot tell"
    assert abs(found.of_arm("smoothed").against_free_fix.difference) < 0.02
    scores = read_mask_scores(trained / "cells" / "longer" / "seed-0" / "scores" / "validation.parquet")
    assert found.cases == len(scores)
    raw = np.nanmean(scores.counts("argmax").dice()[:, 1])  # no correction: its own output at 0.5
    assert found.of_arm("longer").raw.value == pytest.approx(raw, abs=1e-9)
    assert found.of_arm("longer").classes[0].prevalence == pytest.approx(0.26, abs=0.05)
    pooled = write_verdict(trained, metric="dice", replicates=200)
    assert pooled.of_arm("longer").verdict == "helps"


def test_the_test_role_is_judged_by_the_rule_and_the_counts_of_each_run(trained: Path) -> None:
    sealed = write_page(trained / "cells" / "longer" / "seed-0").read_text(encoding="utf-8")
    assert "not opened yet" in sealed
    assert read_openings(trained) == []
    found = write_verdict(trained, test=True, replicates=300)
    assert len(read_openings(trained)) == 1
    for name, value in [("longer", found.of_arm("longer").fixed.value), ("plain", found.free_fix.fixed.value)]:
        metrics = json.loads((trained / "cells" / name / "seed-0" / "metrics.json").read_text())
        own = next(row for row in metrics["rule"]["rows"]
                   if row["metric"] == "image_dice" and row["class_name"] == "disc")  # fmt: skip
        assert value == pytest.approx(own["value"], abs=1e-9)


def test_page_and_log_of_the_ablation(trained: Path, tmp_path: Path) -> None:
    write_verdict(trained, replicates=200)
    text = write_page(trained).read_text(encoding="utf-8")
    assert "image-Dice" in text
    assert "3 of 3 are finished." in text or "3 are finished." in text
    assert "changed after it was finished" not in text
    log = write_log(trained.parent, tmp_path / "EXPERIMENTS.md").read_text(encoding="utf-8")
    assert "longer helps" in log
    assert "images of the role validation" in log


def test_two_runs_of_masks_are_compared_by_their_images(trained: Path, command: Callable[..., Any]) -> None:
    longer, plain = (trained / "cells" / name / "seed-0" for name in ("longer", "plain"))
    said = command("compare", longer, plain, "--names", "longer,plain", "--replicates", "300", "--json")
    assert said.code == 0, said.error
    found = json.loads(said.out)
    assert (found["verdict"], found["unit"], found["metric"]) == ("better", "images", "image_dice")
    assert command("compare", longer, plain, "--metric", "auc").code == 2
    refused = command("compare", longer, plain, "--rule-a", "x.json")
    assert "Leave it out" in refused.error
    assert "is not a run folder" in command("compare", longer, trained).error


def test_the_log_tells_the_figures_of_a_run_with_classes_that_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from equipoise.training import train

    monkeypatch.chdir(tmp_path)
    run = train(parts_recipe(write_parts(tmp_path / "data"), training={"epochs": 1}), out=tmp_path / "runs" / "a")
    text = write_log(tmp_path / "runs", tmp_path / "EXPERIMENTS.md").read_text(encoding="utf-8")
    assert "amaged" not in text
    value = json.loads(run.file("metrics.json").read_text())["rule"]["rows"][0]["value"]
    assert f"test mean Dice of 3 classes {value:.3f}" in text
    assert Run.open(run.path).is_done


@pytest.mark.parametrize(("name", "masks", "metric"), [
    ("mask-losses", ["mask"], "image_dice"), ("lesion-losses", ["mask_a", "mask_b"], "macro_image_dice"),
])  # fmt: skip
def test_ready_matrices_of_masks_change_nothing_but_the_correction(name: str, masks: list[str], metric: str) -> None:
    matrix = read_matrix(name, data={"table": "pairs.csv", "masks": masks, "groups": "patient"})
    assert matrix.metric == metric
    assert {one.aspect for found in matrix.differences.values() for one in found} == {"correction"}
    plain = matrix.arm("plain").recipe
    assert plain.masks.planned == 0
    assert plain.balance.weights.scheme == "none"
    for arm in matrix.arms:
        arm.recipe.require_runnable()


def test_keys_of_masks_belong_to_an_aspect(tmp_path: Path) -> None:
    assert [aspect_of(f"masks.{key}") for key in ("planned", "patches", "overlap", "patch_size")] == [
        "correction", "budget", "decision", "augmentation"
    ]  # fmt: skip
    (tmp_path / "base.yaml").write_text(recipe_of(write_discs(tmp_path / "data", images=4)).to_yaml())
    (tmp_path / "matrix.yaml").write_text(
        "base: base.yaml\narms:\n  plain: {}\n  finer: {masks.patch_size: [32, 32]}\n"
    )
    with pytest.raises(ArgumentError, match="augmentation, which it does not declare"):
        read_matrix(tmp_path / "matrix.yaml")
