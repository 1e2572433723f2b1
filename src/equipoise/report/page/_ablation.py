"""The page of an ablation: the verdicts first, then what they rest on, cell by cell."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from equipoise._checks import DataError
from equipoise.evidence.comparison import positives_word
from equipoise.report._words import joined, metric_name
from equipoise.report.ablation_view import AblationView
from equipoise.report.diagnosis import diagnose_events
from equipoise.report.page import _forest as forest
from equipoise.report.page._parts import Cell, Note, Section, Table, figure
from equipoise.report.page._render import render

VERDICTS = ("helps", "hurts", "no worse", "cannot tell")
_TONES = {"helps": "good", "hurts": "bad", "cannot tell": "faint"}
_STRATA = ("rare", "medium", "common")
_COMPARED = "paired over ids, groups and seeds, and adjusted over all arms (Holm)"


def ablation_page(view: AblationView, folder: Path) -> str:
    """Return the page of an ablation, from its folder alone.

    Args:
        view: of the ablation, finished or not.
        folder: where the page will lie: links to runs are relative to it.

    Raises:
        DataError: the verdict is damaged.
    """
    verdict = view.test_verdict or view.verdict
    try:
        sections = [
            *_verdict_sections(view, verdict), _chosen_by(view), _differences(view), _cells(view, folder),
            _findings(view), _log(view), _provenance(view),
        ]  # fmt: skip
        sentence, summary = _headline(view, verdict), _summary(verdict)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"the records of {view.path} do not say what they should ({error!r}). Run `equipoise verdict` again."
        ) from error
    return render(f"{view.name}: report of an ablation", f"Ablation {view.name}", sentence, sections,
                  summary=summary, notices=_notices(view, verdict))  # fmt: skip


def _headline(view: AblationView, verdict: Mapping[str, Any] | None) -> str:
    if verdict is None:
        done = sum(one is not None for one in view.views.values())
        return f"{view.name}: {done} of {len(view.views)} cells are finished, and no verdict is drawn yet"
    by: dict[str, list[str]] = {word: [] for word in VERDICTS}
    for arm in verdict["arms"]:
        by.setdefault(str(arm["verdict"]), []).append(str(arm["name"]))
    words = {"helps": "helps", "hurts": "hurts", "no worse": "is no worse", "cannot tell": "cannot be told"}
    many = {"helps": "help", "hurts": "hurt", "no worse": "are no worse"}
    said = [
        f"{len(names)} {(many if len(names) > 1 else words).get(word, words.get(word, word))} ({joined(names)})"
        for word, names in by.items() if names
    ]  # fmt: skip
    against = str(verdict.get("against") or "free fix")
    count = len(verdict["arms"])
    arms = "one arm" if count == 1 else f"{count} arms"
    metric = metric_name(str(verdict["metric"]))
    return f"{view.name}: of {arms}, against {_against(against)} in {metric}, {joined(said) or 'none is judged'}"


def _against(word: str) -> str:
    return "the free fix" if word == "free fix" else "plain training"


def _summary(verdict: Mapping[str, Any] | None) -> str:
    if verdict is None:
        return ""
    fix = verdict.get("free_fix") or {}
    return str(fix.get("sentence") or "")


def _notices(view: AblationView, verdict: Mapping[str, Any] | None) -> list[str]:
    said = view.problems()
    if len(view.about["seeds"]) == 2:
        said.append("There are two seeds. Three are the fewest that tell.")
    if len(view.about["seeds"]) == 1:
        said.append("There is one seed: how much of a difference is luck of the training cannot be known.")
    if verdict is not None and view.test_verdict is None:
        said.append("Verdicts are of the validation role. The test role is not opened yet.")
    if view.verdict is not None and view.test_verdict is not None:
        said.append("The verdict is that of the test role, with its classes; that of the validation role follows.")
    return said


# --- the verdicts


def _verdict_sections(view: AblationView, verdict: Mapping[str, Any] | None) -> list[Section | None]:
    if verdict is None:
        command = f"equipoise verdict {shlex.quote(str(view.path))}"
        return [Section("verdict", "Verdict", ("No verdict is drawn yet.",), commands=(("Draw it", command),))]
    fix = verdict.get("free_fix") or {}
    margin = verdict.get("margin")
    words = "" if margin is None else f" Differences below {margin:g} do not matter (the band)."
    intro = (f"On the {verdict['role']} role, {_COMPARED}.{words}",)
    charts = forest.arms_chart(verdict)
    title = "Verdict on the test role" if view.test_verdict is not None else "Verdict"
    first = Section("verdict", title, intro, (_arms_table(verdict, fix),), charts,
                    tuple(map(str, verdict.get("notes") or ())), findings=_arm_notes(verdict))  # fmt: skip
    return [first, _strata(verdict), _classes(verdict)]


def _chosen_by(view: AblationView) -> Section | None:
    """Return the verdict on the validation role where that on the test role stands first."""
    verdict = view.verdict
    if verdict is None or view.test_verdict is None:
        return None
    intro = (f"On the {verdict['role']} role, by which arms are chosen.",)
    classes = [part for part in (_strata(verdict), _classes(verdict)) if part is not None]
    folded = tuple((part.title, (), part.tables) for part in classes)
    table = _arms_table(verdict, verdict.get("free_fix") or {})
    notes = tuple(map(str, verdict.get("notes") or ()))
    return Section("validation", "Verdict on the validation role", intro, (table,), notes=notes,
                   findings=_arm_notes(verdict), folded=folded)  # fmt: skip


def _arm_notes(verdict: Mapping[str, Any]) -> tuple[Note, ...]:
    return tuple(
        Note(str(arm["verdict"]), f"{arm['name']}: {arm['verdict']}", _said(arm, str(verdict.get("unit"))))
        for arm in verdict["arms"]
    )


def _said(arm: Mapping[str, Any], unit: str) -> tuple[str, ...]:
    needed = arm.get("needed") or {}
    found = [f"{needed['positives']:,} {positives_word(unit)}"] if needed.get("positives") else []
    found += [f"{needed['seeds']:,} seeds"] if needed.get("seeds") else []
    tell = (f"What would tell: {' or '.join(found)}.",) if found else ()
    return (str(arm["sentence"]), *tell, *map(str, arm.get("notes") or ()))


def _arms_table(verdict: Mapping[str, Any], fix: Mapping[str, Any]) -> Table:
    heads = ("arm", "verdict", "no fix", "free fix", "over plain", "over free fix", "p adjusted",
             "equal within the margin, p")  # fmt: skip
    rows = [(
        Cell(f"{verdict.get('reference', 'plain')} (reference)"), Cell("-"), _estimate(fix.get("raw")),
        _estimate(fix.get("fixed")), Cell("-", math.nan), Cell("-", math.nan), Cell("-", math.nan), Cell("-", math.nan),
    )]  # fmt: skip
    for arm in verdict["arms"]:
        against = arm["against_free_fix"]["overall"]
        rows.append((
            Cell(str(arm["name"])), Cell(str(arm["verdict"]), tone=_TONES.get(str(arm["verdict"]), "")),
            _estimate(arm.get("raw")), _estimate(arm.get("fixed")), difference(arm["against_plain"]["overall"]),
            difference(against, tone=_TONES.get(str(arm["verdict"]), "")), _p(against.get("adjusted_p")),
            _p(arm.get("equivalence_p")),
        ))  # fmt: skip
    caption = f"{metric_name(str(verdict['metric']))} of every arm; no fix: cut at 0.5, or the most likely class"
    return Table(caption, heads, tuple(rows), sortable=True, words=frozenset({1}))


def _strata(verdict: Mapping[str, Any]) -> Section | None:
    names = [name for name in _STRATA if any(name in (arm.get("strata") or {}) for arm in verdict["arms"])]
    if not names:
        return None
    rows = []
    for arm in verdict["arms"]:
        found = arm.get("strata") or {}
        rows.append((Cell(str(arm["name"])), *(
            difference(found[name], "difference", tone=_TONES.get(str(found[name].get("verdict")), ""))
            if name in found else Cell("-", math.nan) for name in names
        )))  # fmt: skip
    members: dict[str, list[str]] = {}
    for arm in verdict["arms"]:
        for name in names:
            members.setdefault(name, list(map(str, ((arm.get("strata") or {}).get(name) or {}).get("classes") or ())))
    intro = tuple(f"{name.capitalize()}: {joined(list(map(str, members[name])), most=20)}." for name in names
                  if members[name])  # fmt: skip
    table = Table("Mean difference over the classes of each kind", ("arm", *names), tuple(rows), sortable=True)
    return Section("strata", "Rare, medium and common classes apart", intro, (table,))


def _classes(verdict: Mapping[str, Any]) -> Section | None:
    arms = [arm for arm in verdict["arms"] if arm.get("classes")]
    if not arms:
        return None
    rows = []
    for place, one in enumerate(arms[0]["classes"]):
        found = [arm["classes"][place] for arm in arms]
        rows.append((
            Cell(str(one["name"])), figure(f"{one['positives']:,}", one["positives"]), Cell(str(one["stratum"])),
            *(difference(each, "difference", tone=_TONES.get(str(each["verdict"]), "")) for each in found),
        ))  # fmt: skip
    heads = (
        "class",
        "images" if verdict.get("unit") == "images" else "positives",
        "kind",
        *(str(arm["name"]) for arm in arms),
    )
    metric = metric_name(str(verdict.get("class_metric") or verdict["metric"]).removeprefix("macro_"))
    table = Table(f"Difference in {metric} of every class", heads, tuple(rows), sortable=True, words=frozenset({2}))
    folded = (("A chart of each arm", tuple(forest.class_chart(place, arm, metric) for place, arm in enumerate(arms)),
               ()),)  # fmt: skip
    return Section("classes", "Class by class", ("Green: helps; red: hurts, after adjustment over the classes.",),
                   (table,), folded=folded)  # fmt: skip


def difference(found: Mapping[str, Any], key: str = "value", *, tone: str = "") -> Cell:
    """Return the cell of a difference with its interval; "-" where it cannot be evaluated."""
    value = found.get(key)
    if value is None or math.isnan(value):
        return Cell("-", math.nan)
    low, high = found.get("low"), found.get("high")
    detail = "" if low is None or high is None or math.isnan(low) else f"{low:+.3f} to {high:+.3f}"
    return Cell(f"{value:+.3f}", float(value), tone=tone, detail=detail)


def _estimate(found: Mapping[str, Any] | None) -> Cell:
    value = (found or {}).get("value")
    if found is None or value is None or math.isnan(value):
        return Cell("-", math.nan)
    low, high = found.get("low"), found.get("high")
    detail = "" if low is None or high is None or math.isnan(low) else f"{low:.3f} to {high:.3f}"
    return Cell(f"{value:.3f}", float(value), detail=detail)


def _p(value: float | None) -> Cell:
    if value is None or math.isnan(value):
        return Cell("-", math.nan)
    return Cell("< 0.001" if value < 0.0005 else f"{value:.2g}", float(value))


# --- what they rest on


def _differences(view: AblationView) -> Section:
    same: list[str] = []
    rows: list[tuple[Cell, ...]] = []
    for arm in view.about["arms"]:
        name = str(arm["name"])
        found = (view.about.get("differences") or {}).get(name) or []
        if not found and name != view.reference:
            same.append(name)
        rows += [
            (Cell(name), *map(Cell, (str(one["key"]), _value(one["base"]), _value(one["arm"]), str(one["aspect"]))))
            for one in found
        ]
    intro = f"Computed from the resolved recipes, against {view.reference}. All else is equal."
    table = Table("What each arm changes", ("arm", "key", view.reference, "arm's", "aspect"), tuple(rows),
                  words=frozenset({1, 2, 3, 4}))  # fmt: skip
    why = tuple(f"{arm['name']}: {arm['why']}" for arm in view.about["arms"] if arm.get("why"))
    notes = (f"Nothing differs in: {joined(same, most=20)}.",) if same else ()
    return Section("differences", "What differs between the arms", (intro, *why), (table,) if rows else (), notes=notes)


def _value(value: Any) -> str:
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _cells(view: AblationView, folder: Path) -> Section:
    rows = []
    for cell in view.about["cells"]:
        name = str(cell["id"])
        status = view.status.get(name, "waiting")
        fold = "-" if cell.get("fold") is None else str(cell["fold"])
        link = _link(view.path / str(cell["folder"]), folder)
        tone = "" if status == "finished" else "bad" if status in ("failed", "lost", "changed") else "faint"
        rows.append((
            Cell(name, link=link), Cell(str(cell["arm"])), figure(str(cell["seed"]), cell["seed"]), Cell(fold),
            Cell(status, tone=tone), Cell(_seconds(view, name)), Cell(view.messages.get(name, "")),
        ))  # fmt: skip
    done = sum(one is not None for one in view.views.values())
    heads = ("cell", "arm", "seed", "fold", "status", "took", "message")
    table = Table("Every cell of the matrix", heads, tuple(rows), sortable=True, words=frozenset({1, 4, 6}))
    commands = (("Write the page of every cell too", f"equipoise report {shlex.quote(str(view.path))} --cells"),)
    return Section("cells", "Cells", (f"{done} of {len(rows)} are finished.",), (table,), commands=commands)


def _seconds(view: AblationView, cell: str) -> str:
    took = [event["seconds"] for event in view.events if event.get("cell") == cell and event.get("seconds")]
    return f"{took[-1]:,.0f} s" if took else "-"


def _link(run: Path, folder: Path) -> str:
    for name in ("report.html", "summary.md", "recipe.yaml"):
        if (run / name).is_file():
            return quote(Path(os.path.relpath(run / name, folder)).as_posix())
    return ""


def _findings(view: AblationView) -> Section | None:
    seen: dict[tuple[str, str, str, str], list[str]] = {}
    for cell in view.about["cells"]:
        run = view.views.get(cell["id"])
        for one in () if run is None else diagnose_events(run.events).found:
            key = (one.severity, str(cell["arm"]), one.heading, one.last.class_name or "")
            seen.setdefault(key, []).append(str(cell["id"]))
    if not any(one is not None for one in view.views.values()):
        return None
    if not seen:
        return Section("findings", "What the guard found", ("Nothing in any cell.",))
    rows = tuple(
        (Cell(arm), Cell(severity), Cell(heading), Cell(name or "the run as a whole"),
         figure(f"{len(cells)} of {len(view.runs_of(arm))}", len(cells)))
        for (severity, arm, heading, name), cells in sorted(seen.items(), key=_gravest)
    )  # fmt: skip
    table = Table("Findings by arm", ("arm", "how grave", "what", "class", "cells"), rows, sortable=True,
                  words=frozenset({1, 2, 3}))  # fmt: skip
    return Section("findings", "What the guard found", tables=(table,))


def _gravest(item: tuple[tuple[str, str, str, str], Sequence[str]]) -> tuple[int, int]:
    order = ("collapse", "warning", "note")
    severity = item[0][0]
    return order.index(severity) if severity in order else len(order), -len(item[1])


def _log(view: AblationView) -> Section | None:
    said = [(name, view.log.get(name, "")) for name in ("why", "decision")]
    if not any(text for _, text in said):
        return None
    return Section("log", "Why, and what was decided", tuple(f"{name.capitalize()}: {text}" for name, text in said
                                                             if text))  # fmt: skip


def _provenance(view: AblationView) -> Section:
    about = view.about
    folds = about.get("folds")
    facts = [
        ("made", str(about.get("created", "unknown"))), ("base recipe", str(about.get("base", "unknown"))),
        ("Equipoise of the cells", ", ".join(view.versions()) or "no cell is finished"),
        ("seeds", ", ".join(map(str, about["seeds"]))), ("folds", "a fixed split" if folds is None else str(folds)),
        ("metric", metric_name(str(about["metric"]))),
        ("margin", "none" if about.get("margin") is None else f"{about['margin']:g}"),
    ]  # fmt: skip
    rows = tuple((Cell(name), Cell(text)) for name, text in facts)
    hashes = tuple((Cell(str(cell["id"])), Cell(str(cell.get("hash", "")))) for cell in about["cells"])
    again = f"equipoise ablate {shlex.quote(str(view.path / 'matrix.yaml'))} --out {shlex.quote(f'{view.path}-again')}"
    return Section(
        "provenance", "Provenance",
        tables=(Table("How this ablation was made", ("what", "value"), rows, words=frozenset({1})),),
        folded=(("Hash of the recipe of each cell", (), (Table("By these, cells are told apart", ("cell", "hash"),
                 hashes, words=frozenset({1})),)),),
        commands=(("Do it again", again),),
    )  # fmt: skip
