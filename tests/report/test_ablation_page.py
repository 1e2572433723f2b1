"""The page of an ablation: verdicts first, every cell named, whatever its state; links that lead somewhere."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.evidence import Difference
from equipoise.evidence.subgroups import Subgroups
from equipoise.evidence.verdict import ArmVerdict, ClassVerdict, FreeFixVerdict, Stratum, Verdicts
from equipoise.report import write_page
from equipoise.runs import Run

ARMS = ("plain", "<script>alert(1)</script>", "twice 100%")
CLASSES = ("common", "rare & <b>")


def _difference(value: float | None) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - 0.05, value + 0.05)
    return {"value": value, "low": low, "high": high, "p": 0.01, "adjusted_p": None if value is None else 0.0001}


def _arm(name: str, value: float | None, verdict: str) -> dict[str, Any]:
    side = {"overall": _difference(value), "classes": []}
    of_class = {"p": 0.1, "adjusted_p": 0.2, "verdict": verdict, "note": "", "prevalence": 0.1}
    return {
        "name": name, "seeds": [0], "raw": {"value": 0.4, "low": 0.3, "high": 0.5},
        "fixed": {"value": 0.5, "low": 0.4, "high": 0.6}, "against_plain": side, "against_free_fix": side,
        "no_worse_p": None, "equivalence_p": 0.03, "verdict": verdict, "sentence": f"{name} {verdict}: so it is.",
        "needed": {"positives": 1200, "seeds": None, "shows": "helps"},
        "strata": {"rare": {"classes": [CLASSES[1]], "difference": value, "low": None, "high": None, "p": None,
                            "adjusted_p": None, "verdict": verdict}},
        "classes": [{"name": one, "positives": 30 + place, "stratum": "rare", "difference": value, "low": None,
                     "high": None, **of_class} for place, one in enumerate(CLASSES)],
        "notes": ["To keep in mind."],
    }  # fmt: skip


def _verdict(role: str) -> dict[str, Any]:
    return {
        "format": "equipoise verdict", "version": 1, "role": role, "metric": "macro_f1", "class_metric": "f1",
        "margin": 0.01, "reference": "plain", "against": "free fix", "level": 0.95, "bounds": [0.02, 0.2], "cases": 100,
        "arms": [_arm(ARMS[1], 0.12, "helps"), _arm(ARMS[2], None, "cannot tell")],
        "free_fix": {"raw": {"value": 0.3, "low": 0.2, "high": 0.4}, "fixed": {"value": 0.4, "low": 0.3, "high": 0.5},
                     "against_plain": {"overall": _difference(0.1)}, "verdict": "helps",
                     "sentence": "The free fix helps: +0.100."},
        "notes": ["A note on the whole."], "unit": "rows",
    }  # fmt: skip


@pytest.fixture
def ablation(make_run: Callable[..., Run]) -> Path:
    """A folder of three arms and one seed: a finished cell of each of two, and one that failed."""
    run = make_run("multilabel", CLASSES, rows=300)
    folder = run.path.parent / "our <b>ablation"
    cells = [{"id": f"arm-{at}/seed-0", "arm": arm, "seed": 0, "fold": None, "folder": f"cells/arm {at}/seed-0",
              "hash": f"{at}" * 8} for at, arm in enumerate(ARMS)]  # fmt: skip
    for cell in cells[:2]:
        shutil.copytree(run.path, folder / str(cell["folder"]))
    change = {"key": "balance.weights.scheme", "base": "none", "arm": "sqrt", "aspect": "correction"}
    about = {
        "format": "equipoise ablation", "version": 1, "name": "trial", "equipoise": "0.1.0", "created": "today",
        "base": "comorbidity", "reference": "plain", "metric": "macro_f1", "margin": 0.01,
        "arms": [{"name": name, "changes": {}, "declare": [], "why": ""} for name in ARMS],
        "differences": {ARMS[1]: [change]}, "seeds": [0], "folds": None, "cells": cells,
    }  # fmt: skip
    (folder / "ablation.json").write_text(json.dumps(about))
    (folder / "matrix.yaml").write_text("name: trial\nlog: {why: 'Does it help?', decision: ''}\n")
    states = [("finished", ""), ("finished", ""), ("failed", "out of <memory>")]
    events = [{"time": "now", "cell": cell["id"], "status": state, "message": said, "seconds": 3.0}
              for cell, (state, said) in zip(cells, states, strict=True)]  # fmt: skip
    (folder / "status.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def words(page: Path) -> str:
    text = re.sub(r"<script.*?</script>|<style.*?</style>", "", page.read_text("utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_the_verdict_of_these_tests_has_the_fields_of_real_ones() -> None:
    def names(record: type) -> set[str]:
        return {field.name for field in dataclasses.fields(record)}

    verdict = _verdict("test")
    arm = verdict["arms"][0]
    assert set(verdict) == names(Verdicts) | {"format", "version"}
    assert set(arm) == names(ArmVerdict)
    assert set(arm["classes"][0]) == names(ClassVerdict)
    assert set(arm["strata"]["rare"]) == names(Stratum)
    assert set(arm["against_plain"]["overall"]) <= names(Difference)
    assert set(verdict["free_fix"]) == names(FreeFixVerdict)


def test_before_a_verdict_the_page_says_how_far_it_is(ablation: Path) -> None:
    page = write_page(ablation)
    assert page == ablation / "report.html"
    said = words(page)
    assert "trial: 2 of 3 cells are finished, and no verdict is drawn yet" in said
    assert "equipoise verdict" in said
    assert "failed" in said
    assert "out of <memory>" in said
    assert "balance.weights.scheme" in said
    assert "Nothing differs in: twice 100%." in said
    assert "Does it help?" in said
    assert "There is one seed" in said
    assert write_page(ablation, ablation / "b.html").read_bytes() == page.read_bytes()


def test_the_verdicts_stand_first_and_those_of_the_test_role_before_all(ablation: Path) -> None:
    (ablation / "verdict.json").write_text(json.dumps(_verdict("validation")))
    said = words(write_page(ablation))
    first = (
        "trial: of 2 arms, against the free fix in macro-F1, 1 helps (<script>alert(1)</script>) and 1 cannot be told"
    )
    assert first in said
    assert "The test role is not opened yet" in said
    for part in ("The free fix helps: +0.100.", "so it is.", "1,200 positives", "+0.120", "+0.070 to +0.170",
                 "< 0.001", "To keep in mind.", "A note on the whole.", "Rare: rare & <b>."):  # fmt: skip
        assert part in said, part
    text = (ablation / "report.html").read_text("utf-8")
    assert text.count("<script") == 1
    (ablation / "verdict-test.json").write_text(json.dumps(_verdict("test")))
    verdict = _verdict("validation") | {"notes": ["A note on validation rows."]}
    (ablation / "verdict.json").write_text(json.dumps(verdict))
    said = words(write_page(ablation))
    assert said.index("Verdict on the test role") < said.index("Verdict on the validation role")
    assert "On the test role" in said
    assert "A note on validation rows." in said
    for column in ("no fix", "free fix", "over plain", "over free fix", "p adjusted"):
        assert said.count(f" {column} ") >= 2, column


def test_links_lead_to_the_cells_wherever_the_page_lies(ablation: Path, tmp_path: Path) -> None:
    for out in (None, tmp_path / "elsewhere" / "page.html"):
        page = write_page(ablation, out)
        links = [html.unescape(one) for one in re.findall(r'href="([^"#][^"]*)"', page.read_text("utf-8"))]
        assert len(links) == 2
        assert all((page.parent / unquote(one)).is_file() for one in links)


def test_what_cannot_be_is_refused(ablation: Path) -> None:
    with pytest.raises(ArgumentError, match="Leave them out"):
        write_page(ablation, subgroups=Subgroups("sex", {}))
    (ablation / "verdict.json").write_text(json.dumps(_verdict("validation") | {"arms": [{"name": "x"}]}))
    with pytest.raises(DataError, match="Run `equipoise verdict` again"):
        write_page(ablation)
