"""`equipoise diagnose`: from the event log of a run alone, finished or not, damaged or not, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from equipoise.cli import app
from equipoise.evidence.finding import Finding
from equipoise.report import diagnose
from equipoise.runs import Run

_UNRANKED = Finding(
    "no_ranking", "Hernia", 3, "Hernia: not told from the rest.", "Train longer (training.epochs: 20).",
    member=0, evidence={"auc": 0.5, "positives": 30}, settings={"training.epochs": 20},
)  # fmt: skip
_CUT = Finding("threshold_only", "Mass", 4, "Mass: ranked well.", "Fit it (decision.maximize: f1).", "note", 1)
_EARLY = Finding(
    "stopped_early", None, 5, "Still improving.", "Go on (training.epochs: 20).", member=0,
    settings={"training.epochs": 20},
)  # fmt: skip


class _Recipe:
    name = "small"

    def to_yaml(self) -> str:
        return "name: small\n"


Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a function that writes a run folder with the findings of some epochs, and of its end."""

    def make(epochs: Sequence[Sequence[Finding]], end: Sequence[Finding] | None = None) -> Path:
        with Run.create(tmp_path / "run", _Recipe()) as made:
            for number, findings in enumerate(epochs):
                told = [one.to_dict() for one in findings]
                about = {"member": number % 2, "epoch": number // 2 + 1, "auc": [0.5, 0.9]}
                made.append_event({"event": "epoch", **about, "findings": told})
            if end is not None:
                made.append_event({"event": "conclusion", "findings": [one.to_dict() for one in end]})
                made.finish()
        return tmp_path / "run"

    return make


def said(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["diagnose", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def told(path: Path) -> dict[str, Any]:
    found = json.loads(said(path, "--json"))
    assert isinstance(found, dict)
    return found


def test_findings_are_listed_once_gravest_first_with_place_evidence_and_remedy(folder: Folder) -> None:
    kept = [Finding("no_ranking", "Hernia", None, "Hernia: not told at the end.", severity="collapse")]
    path = folder([[_UNRANKED], [_CUT], [], [replace(_UNRANKED, member=1), _EARLY]], [*kept, _CUT])
    text = said(path)
    assert "1 collapse, 1 warning, 1 note. Looked at: 4 epochs of 2 members and the kept models, 2 classes." in text
    assert text.count("Hernia") == 1
    assert text.index("Not told from the rest (collapse)") < text.index("Stopped while") < text.index("Ranked well")
    assert "Seen: member 1, epoch 3; member 2, epoch 3; the kept models." in text
    assert "--set training.epochs=20" in text
    found = told(path)
    assert found["collapsed"]
    assert found["finished"]
    assert [one["kind"] for one in found["findings"]] == ["no_ranking", "stopped_early", "threshold_only"]
    assert found["findings"][0]["sentence"] == "Hernia: not told at the end."
    assert found["findings"][0]["seen"][-1] == {"member": None, "epoch": None}


def test_how_a_class_stood_for_a_while_is_not_held_against_the_kept_models(folder: Folder) -> None:
    path = folder([[_UNRANKED, _EARLY], [_CUT]], [_CUT])
    found = told(path)
    assert [one["kind"] for one in found["findings"]] == ["stopped_early", "threshold_only"]
    assert [one["class_name"] for one in found["passed"]] == ["Hernia"]
    assert "Seen in training, but not in the kept models\n  Hernia: not told" in said(path)


def test_a_collapse_that_passed_is_not_held_against_the_kept_models(folder: Folder) -> None:
    collapse = replace(_UNRANKED, class_name=None, severity="collapse")
    assert told(folder([[collapse]], [_CUT]))["collapsed"] is False


def test_a_collapse_that_a_training_was_stopped_for_stays_listed(folder: Folder) -> None:
    collapse = replace(_UNRANKED, class_name=None, severity="collapse", evidence={"stopped": True})
    assert told(folder([[collapse]], [_CUT]))["collapsed"] is True


def test_an_unfinished_run_shows_what_was_found_so_far(folder: Folder) -> None:
    path = folder([[_UNRANKED]])
    assert "1 warning. Looked at: 1 epoch, 2 classes. The run is not finished." in said(path)
    assert told(path)["passed"] == []


def test_a_run_without_findings_says_what_was_looked_for(folder: Folder) -> None:
    text = said(folder([[], []], []))
    assert "No finding. Looked at: 2 epochs of 2 members and the kept models, 2 classes." in text
    assert "Looked for: scores that are the same for every row; " in text


def test_a_run_without_an_epoch_says_so(folder: Folder) -> None:
    assert "No epoch was finished, so nothing was looked at." in said(folder([]))


@pytest.mark.parametrize(
    "line",
    ["{half", "[1]", "[" * 100_000, '{"event": "epoch", "findings": 3}', '{"findings": [{"kind": 1}]}'],
    ids=["cut", "no mapping", "deep", "no list", "no finding"],
)
def test_damaged_lines_are_named_and_the_rest_is_read(folder: Folder, line: str) -> None:
    path = folder([[_UNRANKED], [_CUT]])
    events = path / "events.jsonl"
    lines = events.read_text().splitlines()
    events.write_text("\n".join([lines[0], line, lines[1]]) + "\n" + '{"cut off')
    text = said(path)
    assert "was read without line 2." in text
    assert "Hernia" in text
    assert "Mass" in text
    assert told(path)["damaged_lines"] == [2]


def test_names_of_the_data_do_not_command_the_terminal(folder: Folder) -> None:
    wild = Finding("constant", "\x1b[31m", 1, "\x1b[31m[bold]x[/bold]\nline: same for all.", "Lower `it`\x07.")
    text = said(folder([[wild]]))
    assert "\x1b" not in text
    assert "[31m[bold]x[/bold] line: same for all." in text


def test_a_folder_that_is_no_run_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "equipoise", "diagnose", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is not a run folder" in done.stderr


def test_events_of_an_earlier_guard_are_read(folder: Folder) -> None:
    path = folder([[]])
    old = {"kind": "threshold", "class_name": "Mass", "epoch": 2, "sentence": "Mass: ranked well."}
    with (path / "events.jsonl").open("a") as opened:
        opened.write(json.dumps({"event": "epoch", "member": 0, "epoch": 2, "findings": [old]}) + "\n")
    found = diagnose(Run.open(path)).found
    assert [(one.heading, one.where()) for one in found] == [("threshold", "epoch 2")]
