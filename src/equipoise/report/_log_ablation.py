"""The record of an ablation in the log."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise._checks import EquipoiseError
from equipoise._files import read_json
from equipoise.evidence import Verdicts
from equipoise.evidence.verdict import Estimate
from equipoise.report._experiment import (
    DAMAGED,
    Experiment,
    artefact_text,
    damaged_experiment,
    decision_text,
    question_text,
    read_log_fields,
    short,
)
from equipoise.report._markdown import cell, fenced, table_lines
from equipoise.report.ablation_view import MATRIX, read_about, read_status
from equipoise.report.diagnosis import diagnose_events
from equipoise.runs import Run

_FILES = ("report.html", MATRIX, "verdict.json", "verdict-test.json", "test-opened.json", "status.jsonl")
_MOST_FINDINGS = 20


def ablation_experiment(folder: Path, name: str) -> Experiment:
    """Return the experiment of an ablation, finished or not.

    Args:
        folder: of the ablation.
        name: its path as the log shows it.
    """
    try:
        about = read_about(folder)
        status, said = _status(folder, about)
        why, decision = read_log_fields(folder / MATRIX)
        verdicts = _verdicts(folder)
        made = f"{status}. Made by Equipoise {about.get('equipoise', '?')}, {about['created']}."
        sections = (
            ("Status", "\n".join([cell(made), *(["", *said] if said else [])])),
            ("Question", question_text(why, f"{name}/{MATRIX}")),
            ("What differs", _differences(about)),
            ("Configuration", fenced((folder / MATRIX).read_text(encoding="utf-8", errors="replace"), "yaml")),
            ("Results", "\n\n".join(map(_results, verdicts)) or _NO_VERDICT),
            ("What the guard found", _findings(folder, about)),
            ("Verdict", "\n\n".join(map(_verdict_text, verdicts)) or _NO_VERDICT),
            ("Decision", decision_text(decision, f"{name}/{MATRIX}")),
            ("Artefacts", artefact_text(folder, name, _FILES, {})),
        )
        focus = short(why) or cell(f"ablation {about['name']}: {len(about['arms'])} arms")
        result = _key_result(verdicts[-1]) if verdicts else "no verdict yet"
        return Experiment(name, str(about["created"]), focus, status, result, short(decision), sections)
    except DAMAGED as error:
        return damaged_experiment(name, folder, error)


def _status(folder: Path, about: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return how many cells are finished, and a line for each that is not."""
    told = {str(event.get("cell")): event for event in read_status(folder)}
    finished, lines = 0, []
    for one in about["cells"]:
        state = _state(folder / str(one["folder"]), told.get(str(one["id"]), {}))
        finished += not state
        lines += [f"- {cell(str(one['id']))}: {cell(state)}"] if state else []
    total = len(about["cells"])
    return ("finished" if finished == total else f"{finished} of {total} cells finished"), lines


def _state(folder: Path, event: Mapping[str, Any]) -> str:
    """Return what is wrong with a cell; nothing of a finished one."""
    if (folder / "DONE").is_file():
        try:
            changed = Run.open(folder).changed_files()
        except EquipoiseError as error:
            return f"damaged: {error}".replace(str(folder), folder.name)
        return f"changed after it was finished: {', '.join(changed)}" if changed else ""
    state, message = str(event.get("status") or "waiting"), str(event.get("message") or "")
    return f"{'started' if state == 'finished' else state}{f': {message}' if message else ''}"


def _verdicts(folder: Path) -> list[Verdicts]:
    """Return the verdict on validation rows, and that on test rows where the test was opened."""
    files = ["verdict.json", *(["verdict-test.json"] if (folder / "test-opened.json").is_file() else [])]
    return [Verdicts.from_dict(read_json(folder / file)) for file in files if (folder / file).is_file()]


_NO_VERDICT = "None yet: `equipoise verdict` on this folder gives one."


def _differences(about: Mapping[str, Any]) -> str:
    lines = []
    why = {str(arm["name"]): str(arm.get("why") or "") for arm in about["arms"]}
    for arm, found in about.get("differences", {}).items():
        said = "; ".join(f"{cell(str(one['key']))} {_value(one['base'])} → {_value(one['arm'])}" for one in found)
        asked = f" ({cell(why[arm])})" if why.get(arm) else ""
        lines.append(f"- {cell(str(arm))}{asked}: {said or 'nothing'}")
    plural = "seed" if len(about["seeds"]) == 1 else "seeds"
    head = f"Beside {cell(str(about['reference']))}, over {len(about['seeds'])} {plural}"
    folds = f" and {about['folds']} folds" if about.get("folds") else ""
    return "\n".join([f"{head}{folds}:", "", *lines])


def _value(value: Any) -> str:
    return cell(json.dumps(value, ensure_ascii=False))


def _results(found: Verdicts) -> str:
    """Return a table of arms, and one of classes."""
    words, fix = found.metric_words, found.free_fix
    rows = [[cell(found.reference), "", _estimate(fix.raw), _estimate(fix.fixed), "", "", ""]]
    for arm in found.arms:
        changes = (arm.against_plain, arm.against_free_fix)
        rows.append([
            cell(arm.name), str(len(arm.seeds)), _estimate(arm.raw), _estimate(arm.fixed),
            *(_change(one.difference, one.low, one.high) for one in changes), arm.verdict,
        ])  # fmt: skip
    heads = ["arm", "seeds", f"{words}, no fix", f"{words}, free fix", "over plain", "over free fix", "verdict"]
    lines = [f"{found.cases:,} {found.unit} of the role {found.role}.", "", *table_lines(heads, rows)]
    return "\n".join([*lines, *_class_rows(found)])


def _class_rows(found: Verdicts) -> list[str]:
    first = max(found.arms, key=lambda one: len(one.classes), default=None)
    if first is None or len(first.classes) < 2:
        return []
    by_arm = [{one.name: one for one in arm.classes} for arm in found.arms]
    rows = []
    for one in sorted(first.classes, key=lambda each: (each.prevalence, each.name)):
        there = [classes.get(one.name) for classes in by_arm]
        cells = ["" if each is None else _change(each.difference, each.low, each.high) for each in there]
        rows.append([cell(one.name), one.stratum, f"{one.positives:,}", *cells])
    word = "images" if found.unit == "images" else "positives"
    rival = "plain training" if found.against == "plain" else "the free fix"
    head = f"{found.class_metric} by class over {rival}; rare is below {100 * found.bounds[0]:g} %, common from "
    head += f"{100 * found.bounds[1]:g} % on."
    return ["", cell(head), "", *table_lines(["class", "", word, *(cell(arm.name) for arm in found.arms)], rows)]


def _verdict_text(found: Verdicts) -> str:
    lines = [f"On the role {found.role}:", "", *(f"- {cell(one)}" for one in found.sentences)]
    notes = [*found.notes, *(note for arm in found.arms for note in arm.notes)]
    return "\n".join([*lines, "", " ".join(cell(note) for note in notes)])


def _key_result(found: Verdicts) -> str:
    words = [(arm.name, arm.verdict, arm.against_plain if found.against == "plain" else arm.against_free_fix)
             for arm in found.arms]  # fmt: skip
    told = [f"{cell(name)} {word} ({_signed(one.difference)})" for name, word, one in words if word != "cannot tell"]
    unclear = len(words) - len(told)
    if unclear:
        told.append(f"{unclear} cannot be told" if told else "nothing can be told")
    return f"{found.role} {cell(found.metric_words)}: {', '.join(told)}"


def _findings(folder: Path, about: Mapping[str, Any]) -> str:
    """Return what the guard found in how many cells of each arm."""
    count: Counter[tuple[str, str, str, str]] = Counter()
    cells = Counter(str(one["arm"]) for one in about["cells"])
    for one in about["cells"]:
        run = folder / str(one["folder"])
        if not (run / "run.json").is_file():
            continue
        try:
            found = diagnose_events(Run.open(run).events([]))
        except DAMAGED:
            continue
        for each in found.found:
            count[str(one["arm"]), each.severity, each.heading, str(each.last.class_name or "")] += 1
    lines = [
        f"- {cell(arm)}, {severity} in {number} of {cells[arm]} runs: {cell(f'{name}: {heading}' if name else heading)}"
        for (arm, severity, heading, name), number in sorted(count.items())
    ]
    more = [f"- and {len(lines) - _MOST_FINDINGS} more"] if len(lines) > _MOST_FINDINGS else []
    return "\n".join([*lines[:_MOST_FINDINGS], *more]) or "Nothing."


def _estimate(one: Estimate) -> str:
    if math.isnan(one.value):
        return ""
    return f"{one.value:.3f}" + ("" if math.isnan(one.low) else f" [{one.low:.3f}, {one.high:.3f}]")


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.3f}"


def _change(value: float, low: float, high: float) -> str:
    return _signed(value) + ("" if math.isnan(low) else f" [{low:+.3f}, {high:+.3f}]")
