"""The verdict of an ablation: which rows, which rules, what is left out and named, and the test opened once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ablation.ablations import CLASSES, finished
from equipoise._checks import ArgumentError, RunError
from equipoise._files import read_json
from equipoise.ablation.folder import append_status
from equipoise.ablation.verdict import opened_sentence, read_openings, read_verdict, write_verdict
from equipoise.cli import app
from equipoise.decision import fit_by_parts, read_rule
from equipoise.evidence import Verdicts, compare
from equipoise.recipe import read_recipe
from equipoise.runs import Run
from equipoise.scores import read_scores

ARMS = "  plain: {}\n  full: {balance.weights.scheme: inverse}\n"
QUICK = {"replicates": 100}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("ablation"), arms=ARMS)


@pytest.fixture
def ablation(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "small"))


def scores_of(ablation: Path, arm: str, role: str):
    return [read_scores(Run.open(ablation / f"cells/{arm}/seed-{s}").scores_file(role), role=role) for s in (0, 1)]


def test_validation_rows_are_judged_by_thresholds_of_other_parts(ablation: Path) -> None:
    found = write_verdict(ablation, **QUICK)
    assert (found.role, found.metric, found.margin, found.reference) == ("validation", "macro_f1", 0.02, "plain")
    decision = read_recipe(ablation / "cells/plain/seed-0/recipe.yaml").decision
    tables = {arm: scores_of(ablation, arm, "validation") for arm in ("plain", "full")}
    rules = {
        arm: [fit_by_parts(one, decision.maximize, method=decision.method) for one in of_arm]
        for arm, of_arm in tables.items()
    }
    expected = compare(
        tables["full"], tables["plain"], "macro_f1", rule_a=rules["full"], rule_b=rules["plain"], replicates=100,
        names=("full", "the free fix of plain"), margin=0.02,
    )  # fmt: skip
    mine = found.of_arm("full").against_free_fix
    for one, other in zip((mine.overall, *mine.classes), (expected.overall, *expected.classes), strict=True):
        assert (one.value, one.low, one.p) == pytest.approx((other.value, other.low, other.p), rel=1e-9)
    assert not (ablation / "test-opened.json").exists()
    assert found.notes[0] == "The test role is closed: `equipoise verdict --test` opens it, once."
    assert any(note.startswith("Two seeds were trained") for note in found.notes)
    assert "2 training seeds: three are the fewest that tell" in found.of_arm("full").sentence


def test_weights_move_what_one_half_means_and_the_free_fix_takes_it_back(ablation: Path) -> None:
    full = write_verdict(ablation, **QUICK).of_arm("full")
    assert full.against_plain.difference > 0.05  # at 0.5 plain training hardly ever says yes
    assert full.against_free_fix.difference < full.against_plain.difference / 2
    assert full.verdict != "helps"
    free = write_verdict(ablation, **QUICK).free_fix
    assert free.fixed.value - free.raw.value == pytest.approx(free.against_plain.difference)
    assert free.against_plain.difference > 0.05  # what weights gain costs no training
    tables = scores_of(ablation, "full", "validation")
    for seed, table in enumerate(tables):
        ledger = read_json(ablation / f"cells/full/seed-{seed}/ledger.json")
        assert ledger["corrections"]
        assert table.probabilities().mean(axis=0) == pytest.approx(table.labels.mean(axis=0), abs=0.08)


def test_the_file_reads_back_and_the_page_can_use_it(ablation: Path) -> None:
    found = write_verdict(ablation, **QUICK)
    assert read_verdict(ablation) == found
    stored = json.loads((ablation / "verdict.json").read_text())
    assert Verdicts.from_dict(stored) == found
    arm = stored["arms"][0]
    assert set(arm) >= {"name", "raw", "fixed", "against_plain", "against_free_fix", "verdict", "sentence", "needed"}
    assert set(arm["needed"]) >= {"positives", "seeds"}
    assert {one["name"] for one in arm["classes"]} == set(CLASSES)
    assert {one["stratum"] for one in arm["classes"]} <= {"rare", "medium", "common"}
    assert read_verdict(ablation, test=True) is None


def test_the_test_is_opened_by_a_command_that_says_so(ablation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import equipoise.ablation._label_cells as module

    opened_before_reading = []
    real = module.read_scores

    def watched(path: Path, **how):
        opened_before_reading.append((ablation / "test-opened.json").exists())
        return real(path, **how)

    monkeypatch.setattr(module, "read_scores", watched)
    first = write_verdict(ablation, test=True, **QUICK)
    assert opened_before_reading
    assert all(opened_before_reading)
    assert first.role == "test"
    assert "opened once" in first.notes[0]
    again = write_verdict(ablation, test=True, metric="macro_auc", **QUICK)
    assert "opened 2 times, first on" in again.notes[0]
    openings = read_openings(ablation)
    assert [one["metric"] for one in openings] == ["macro_f1", "macro_auc"]
    assert openings[0]["hash"] == openings[1]["hash"]
    assert opened_sentence(openings) == again.notes[0]
    rule = read_rule(ablation / "cells/plain/seed-0/decision.json")
    assert rule.fitted_on is not None
    assert read_verdict(ablation, test=True) == again
    after = write_verdict(ablation, **QUICK)
    assert after.notes[0] == again.notes[0], "the verdict on validation rows says how often the test was opened"
    assert not any("--test" in note for note in after.notes)


def test_a_metric_of_ranks_needs_no_threshold(ablation: Path) -> None:
    found = write_verdict(ablation, metric="macro_auc", **QUICK)
    assert found.free_fix.raw == found.free_fix.fixed
    assert found.free_fix.sentence.startswith("No threshold enters macro-AUC")


def test_missing_failed_and_changed_cells_are_named_and_left_out(ablation: Path) -> None:
    shutil.rmtree(ablation / "cells/full/seed-1")
    append_status(ablation, "full/seed-1", "failed", "the machine ran out of memory")
    found = write_verdict(ablation, **QUICK)
    assert "Left out: full/seed-1 (failed: the machine ran out of memory)." in found.notes
    assert found.of_arm("full").seeds == (0,)
    assert "full has no scores of seed 1" in found.of_arm("full").notes[0]
    decision = ablation / "cells/full/seed-0/decision.json"
    decision.write_text(decision.read_text().replace('"f1"', '"f1" '))
    with pytest.raises(RunError, match="no finished cell of any other arm"):
        write_verdict(ablation, **QUICK)
    shutil.rmtree(ablation / "cells/plain")
    with pytest.raises(RunError, match="no finished cell of plain"):
        write_verdict(ablation, **QUICK)


def test_cells_of_different_versions_are_named(ablation: Path) -> None:
    folder = ablation / "cells/full/seed-1"
    about = read_json(folder / "run.json") | {"equipoise": "0.0.1"}
    (folder / "run.json").write_text(json.dumps(about))
    done = read_json(folder / "DONE")
    done["files"].pop("run.json")
    (folder / "DONE").write_text(json.dumps(done))
    notes = " ".join(write_verdict(ablation, **QUICK).notes)
    assert "different versions of Equipoise" in notes
    assert '0.0.1: "full/seed-1"' in notes


def test_one_seed_says_what_it_cannot_know(ablation: Path) -> None:
    for arm in ("plain", "full"):
        shutil.rmtree(ablation / f"cells/{arm}/seed-1")
    found = write_verdict(ablation, **QUICK)
    assert any("One seed was trained" in note for note in found.notes)
    assert "of these two models, not of the method" in found.of_arm("full").sentence


def test_no_ablation_and_no_test_role_are_said(ablation: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no folder of an ablation"):
        write_verdict(tmp_path)
    with pytest.raises(ArgumentError, match='Did you mean "macro_f1"'):
        write_verdict(ablation, metric="macro_f", **QUICK)
    for file in ablation.glob("cells/*/*/scores/test.parquet"):
        file.unlink()
        done = read_json(file.parents[1] / "DONE")
        done["files"].pop("scores/test.parquet")
        (file.parents[1] / "DONE").write_text(json.dumps(done))
    with pytest.raises(RunError, match="no test role"):
        write_verdict(ablation, test=True)
    assert not (ablation / "test-opened.json").exists()


def test_folds_are_pooled_by_id(tmp_path: Path) -> None:
    folder = finished(tmp_path, arms=ARMS, more="folds: 2", seeds=1, members=2)
    found = write_verdict(folder, test=True, **QUICK)
    assert found.cases == 500  # every row is tested once
    validation = write_verdict(folder, **QUICK)
    ids = [
        read_scores(
            Run.open(folder / f"cells/plain/seed-0-fold-{fold}").scores_file("validation"), role="validation"
        ).ids
        for fold in (0, 1)
    ]
    assert validation.cases == len(np.unique(np.concatenate(ids).astype(str)))
    shutil.rmtree(folder / "cells/full/seed-0-fold-1")
    with pytest.raises(RunError, match="no finished cell of any other arm"):
        write_verdict(folder, **QUICK)


def test_the_command_prints_a_table_sentences_and_json(ablation: Path) -> None:
    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, ["verdict", str(ablation), "--replicates", "100", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    shown = run()
    for part in (
        "over free fix",
        "over plain",
        "full",
        "macro-F1",
        "The free fix",
        "verdict.json",
        "rare",
        "positives",
    ):
        assert part in shown, part
    stored = json.loads(run("--json", "--against", "plain", "--margin", "0.5"))
    assert stored == read_json(ablation / "verdict.json")
    assert (stored["against"], stored["margin"], stored["arms"][0]["verdict"]) == ("plain", 0.5, "no worse")
    with pytest.raises(ArgumentError, match="free-fix or plain"):
        run("--against", "free")
    assert "opened once" in run("--test")
