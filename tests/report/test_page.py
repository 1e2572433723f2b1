"""The page of a run, without a browser: what stands in it, what cannot, how large it is, and what its rule becomes."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise.decision import fixed_rule
from equipoise.labels import Labels, count_labels
from equipoise.metrics import operating_points
from equipoise.recipe import make_recipe
from equipoise.report import RunView, write_page
from equipoise.report.page import _explorer as explorer
from equipoise.report.page._cards import figures_at
from equipoise.report.page._parts import Section
from equipoise.report.page._render import render, safe_json
from equipoise.runs import Run
from equipoise.scores import Scores

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "a\u2028b & $c$ </script><b>",
)  # as in conftest
MakeRun = Callable[..., Run]


class _Reader(HTMLParser):
    """Collects what a browser would see: elements with their attributes, and the text of some."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def seen(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def data_of(path: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


# --- what stands in it


def test_the_page_says_what_the_run_is(hostile_page: Path) -> None:
    run = Run.open(hostile_page.parent)
    assert hostile_page == run.path / "report.html"
    found = seen(hostile_page)
    text = html.unescape(" ".join(" ".join(found.texts).split()))
    metrics = run.read_record("metrics")["rule"]
    macro = next(row for row in metrics["rows"] if row["average"] == "macro" and row["metric"] == "f1")
    assert f"macro-F1 {macro['value']:.3f} [{macro['low']:.3f}, {macro['high']:.3f}]" in text
    for heading in ("Class by class", "Explore thresholds", "Census", "what the ledger did", "Learning",
                    "What the guard found", "Provenance", "Subgroups"):  # fmt: skip
        assert heading in text
    assert "Left out: no column of subgroups" in text
    assert json.loads((run.path / "DONE").read_text())["files"]["recipe.yaml"] in text
    assert "recipe.yaml --out" in text  # the command that does it again
    assert Run.open(run.path).changed_files() == []


def test_every_chart_is_described_and_every_name_of_an_element_is_unique(hostile_page: Path) -> None:
    found = seen(hostile_page)
    charts = [attributes for tag, attributes in found.elements if tag == "svg"]
    assert len(charts) > 6
    for attributes in charts:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 30
    names = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(names) == len(set(names))
    known = set(names)
    for _, attributes in found.elements:
        for value in attributes.values():
            assert set(re.findall(r"url\(#([^)]+)\)", value or "")) <= known
        for key in ("aria-labelledby", "aria-describedby", "for"):
            assert {attributes[key]} <= known if key in attributes else True


def test_the_page_is_the_same_every_time_and_needs_nothing_from_elsewhere(hostile_page: Path, tmp_path: Path) -> None:
    second = write_page(hostile_page.parent, tmp_path / "again.html")
    assert hostile_page.read_bytes() == second.read_bytes()
    found = seen(second)
    for tag, attributes in found.elements:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base", "form"), tag
        assert not {"src", "srcset", "action", "poster"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#"), attributes
    assert "@import" not in second.read_text("utf-8")
    assert not re.findall(r"url\((?!#)", second.read_text("utf-8"))


def test_only_the_script_of_the_page_may_run(hostile_page: Path) -> None:
    text = hostile_page.read_text("utf-8")
    policies = [
        a["content"] for _, a in seen(hostile_page).elements if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    policy = policies[0] or ""
    assert policy.startswith("default-src 'none';")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"\beval\(|new Function|innerHTML|document\.write", scripts[0])


# --- hostile names


def test_names_from_tables_are_text_wherever_they_stand(hostile_page: Path) -> None:
    found = seen(hostile_page)
    scripts = [attributes for tag, attributes in found.elements if tag == "script"]
    assert [a.get("type") for a in scripts] == ["application/json", None]
    assert not [a for tag, a in found.elements if tag in ("img", "b") and "data-shown" not in a]
    assert not [name for _, a in found.elements for name in a if name.startswith("on")]
    text = html.unescape(hostile_page.read_text("utf-8"))
    assert text.count("<script>alert(1)</script>") > 3
    assert [one["name"] for one in data_of(hostile_page)["classes"]] == list(HOSTILE)


@pytest.mark.parametrize("name", [*HOSTILE, "<!--", "]]>", "\u2029", "\\u003c", "'"])
def test_data_in_a_script_comes_back_as_it_was_and_cannot_end_it(name: str) -> None:
    text = safe_json({name: [name, 1.5, None]})
    assert json.loads(text) == {name: [name, 1.5, None]}
    assert not set("<>&\u2028\u2029") & set(text)


def test_sentences_notices_and_commands_are_escaped() -> None:
    bad = "<script>alert(1)</script>"
    section = Section("result", bad, (bad,), notes=(bad,), commands=((bad, bad),))
    text = render(bad, bad, bad, [section], summary=bad, notices=[bad])
    assert bad not in text
    assert text.count(html.escape(bad)) >= 8


# --- the explorer


def test_counts_at_every_threshold_are_those_of_the_library(hostile_page: Path) -> None:
    view = RunView.read(Run.open(hostile_page.parent))
    data = data_of(hostile_page)
    assert data["rule"] == json.loads(json.dumps(view.rule.to_dict()))  # type: ignore[union-attr]
    for index, one in enumerate(data["classes"]):
        cuts = [math.inf if cut is None else cut for cut in one["thresholds"]]
        assert cuts == sorted(set(cuts))
        assert cuts[0] == 0
        assert cuts[-1] == math.inf
        assert cuts[one["chosen"]] == view.rule.thresholds[index]  # type: ignore[union-attr, index]
        for role in ("validation", "test"):
            scores = view.scores[role]
            for at in range(0, len(cuts), max(1, len(cuts) // 9)):
                every = np.array(view.rule.thresholds)  # type: ignore[union-attr]
                every[index] = cuts[at]
                said = fixed_rule(scores, every).apply(scores).table()[:, index]
                truth = scores.table()[:, index]
                counts = one["roles"][role]
                assert counts["hits"][at] == int(((said == 1) & (truth == 1)).sum())
                assert counts["alarms"][at] == int(((said == 1) & (truth == 0)).sum())
                assert counts["positives"] == int((truth == 1).sum())
                assert counts["negatives"] == int((truth == 0).sum())


def test_every_operating_point_of_a_small_run_can_be_chosen() -> None:
    random = np.random.default_rng(3)
    truth, values = (random.random(150) < 0.2).astype(float), random.random(150).round(2)
    cuts = explorer._offered(truth, values, 400)
    points = operating_points(truth, values)
    offered = {(int((values >= cut)[truth == 1].sum()), int((values >= cut)[truth == 0].sum())) for cut in cuts}
    pairs = zip(points.true_positives.tolist(), points.false_positives.tolist(), strict=True)
    assert offered == {(0, 0)} | {(int(hits), int(alarms)) for hits, alarms in pairs}


def test_fourteen_classes_of_a_hundred_thousand_rows_stay_small(tmp_path: Path) -> None:
    random, classes, rows = np.random.default_rng(0), 14, 100_000
    truth = (random.random((2 * rows, classes)) < np.geomspace(0.2, 0.002, classes)).astype(np.float32)
    logits = 2.0 * truth - 3 + random.normal(size=truth.shape)
    names = tuple(f"finding {number}" for number in range(classes))
    both = {
        role: Scores(labels=truth[rows * k : rows * (k + 1)], values=logits[rows * k : rows * (k + 1)], kind="logits",
                     ids=np.arange(rows * k, rows * (k + 1)), role=role, classes=names)
        for k, role in enumerate(("validation", "test"))
    }  # fmt: skip
    view = RunView(
        path=tmp_path, recipe=make_recipe("x.csv", list(names)),
        census=count_labels(Labels("multilabel", names, truth, np.arange(2 * rows))), weights=None, ledger=None,
        rule=fixed_rule(both["validation"], 0.3), scores=both, metrics={}, events=(),
    )  # fmt: skip
    curves = explorer.class_curves(view)
    data = explorer.explorer_data(view, curves)
    curve = curves[-1]  # the rarest
    assert len(np.unique(curve.roles["validation"].hits)) > 150
    assert all(len(one.thresholds) <= 403 for one in curves)
    assert len(safe_json(data)) < 700_000


def test_figures_at_a_prevalence_are_those_of_the_definition() -> None:
    counts = explorer.RoleCounts(40, 960, np.array([30]), np.array([96]))
    found = figures_at(counts, 0, 0.01, 50.0, 2.0)
    assert found["alarms_per_thousand"] == pytest.approx(1000 * (0.01 * 0.75 + 0.99 * 0.1))
    assert found["precision_there"] == pytest.approx(0.01 * 0.75 / (0.01 * 0.75 + 0.99 * 0.1))
    assert found["cost"] == pytest.approx(50 * 2.5 + 2 * 99)
    here = figures_at(counts, 0, 0.04, 1.0, 1.0)  # at the prevalence of these rows, precision is that of these rows
    assert here["precision_there"] == pytest.approx(here["precision"])


# --- other tasks, and runs that are not whole


def test_exclusive_classes_are_shown_one_against_the_rest_and_nothing_is_saved(make_run: MakeRun) -> None:
    page = write_page(make_run("ordinal", ("0", "1", "2")).path)
    data, text = data_of(page), page.read_text("utf-8")
    assert len(data["classes"]) == 3
    assert data["rule"] is None
    assert "there is no rule to save" in text
    assert 'id="save"' not in text


def test_a_run_without_a_test_role_is_judged_by_what_no_threshold_changes(make_run: MakeRun) -> None:
    page = write_page(make_run("binary", ("case",), test=False).path)
    text = page.read_text("utf-8")
    assert "no test role" in text
    assert "thresholds were fitted on these very rows" in text
    assert 'scope="col" class="number" data-role="test"' not in text


def test_an_unfinished_run_says_so(make_run: MakeRun) -> None:
    run = make_run("binary", ("case",))
    for name in ("DONE", "metrics.json", "decision.json", "scores/test.parquet", "scores/validation.parquet"):
        (run.path / name).unlink()
    with (run.path / "events.jsonl").open("a") as events:
        events.write("not JSON\n")
    text = write_page(run.path).read_text("utf-8")
    assert "This run is not finished" in text
    assert "damaged in 1 lines" in text
    assert 'id="explorer"' not in text


def test_a_cell_of_an_ablation_keeps_its_test_role_closed_until_it_is_opened(make_run: MakeRun) -> None:
    run = make_run("binary", ("case",))
    (run.path.parent / "ablation.json").write_text("{}")
    (run.path / "weights.json").write_text("null\n\n")
    closed = write_page(run.path).read_text("utf-8")
    assert "is not opened yet" in closed
    assert "Changed since the run was finished" in closed
    assert "weights.json" in closed
    assert set(data_of(run.path / "report.html")["classes"][0]["roles"]) == {"validation"}
    assert 'scope="col" class="number" data-role="test"' not in closed
    (run.path.parent / "test-opened.json").write_text("[]")
    assert 'class="number" data-role="test"' in write_page(run.path).read_text("utf-8")
