"""The record of one run in the log."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise._files import read_json
from equipoise._tasks import is_exclusive
from equipoise._yaml import parse_yaml, yaml_text
from equipoise.evidence import MetricTable
from equipoise.recipe import Recipe, read_recipe
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
from equipoise.report._markdown import cell, class_lines, fenced, overall_lines, table_lines
from equipoise.report._words import figure_cell, metric_name, rule_names
from equipoise.report.diagnosis import diagnose_events
from equipoise.report.mask_report import mask_headline_of, mask_key_result, watched_of
from equipoise.report.mask_view import ANSWERS
from equipoise.runs import Run

_FILES = (
    "report.html", "summary.md", "figures/run.png", "recipe.yaml", "metrics.json", "decision.json", "ledger.json",
    "model.safetensors",
)  # fmt: skip
_OWNED = ("name", "log", "tracking")
_MOST_CHANGES = 30
_SAME = ("data.table", "data.labels", "data.images", "data.masks")  # of runs whose recipes are set side by side
_PLAIN = "none"


def run_experiment(folder: Path, name: str, earlier: Sequence[tuple[str, Mapping[str, Any]]]) -> Experiment:
    """Return the experiment of a run folder, finished or not.

    Args:
        folder: of the run.
        name: its path as the log shows it.
        earlier: runs that began before it, oldest first: name and flat recipe; the last of the same data is what this
            one is set beside.
    """
    try:
        run = Run.open(folder)
        recipe = read_recipe(folder / "recipe.yaml")
        status, hashes = _status(run)
        metrics = _metrics(run)
        why, decision = read_log_fields(folder / "recipe.yaml")
        file = f"{name}/recipe.yaml"
        sections = (
            ("Status", cell(f"{status}. Made by Equipoise {run.about.get('equipoise', '?')}, {run.about['created']}.")),
            ("Question", question_text(why, file)),
            ("What differs", _differences(flat_recipe(folder), earlier)),
            ("Configuration", fenced(yaml_text(_brief(recipe)), "yaml")),
            ("Results", _results(metrics)),
            ("What the guard found", _findings(run)),
            ("Verdict", "One run shows no effect of a method: `equipoise ablate` trains what it is compared with."),
            ("Decision", decision_text(decision, file)),
            ("Artefacts", artefact_text(folder, name, _FILES, hashes)),
        )
        return Experiment(
            name, str(run.about["created"]), short(why) or cell(_focus(recipe)), status.split(":")[0],
            _key_result(metrics, recipe), short(decision), sections,
        )  # fmt: skip
    except DAMAGED as error:
        return damaged_experiment(name, folder, error)


def flat_recipe(folder: Path) -> dict[str, Any]:
    """Return the recipe of a run as dotted keys; empty where it cannot be read."""
    try:
        values = parse_yaml((folder / "recipe.yaml").read_text(encoding="utf-8"), place="recipe.yaml").values
        return {key: value for key, value in _flat(values) if key.split(".")[0] not in _OWNED}
    except DAMAGED:
        return {}


def _flat(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, values


def _status(run: Run) -> tuple[str, Mapping[str, Any]]:
    """Return how far a run has come, and the hashes that its DONE vouches for."""
    if not run.is_done:
        epochs = sum(event.get("event") == "epoch" for event in run.events([]))
        return f"unfinished: {epochs} epochs trained", {}
    changed = run.changed_files()
    hashes = read_json(run.path / "DONE")["files"]
    return (f"changed after it was finished: {', '.join(changed)}" if changed else "finished"), hashes


def _metrics(run: Run) -> dict[str, MetricTable]:
    stored = run.read_record("metrics") if run.has_record("metrics") else {}
    return {name: MetricTable.from_dict(table) for name, table in (stored or {}).items()}


def _brief(recipe: Recipe) -> Any:
    values = parse_yaml(recipe.to_yaml(brief=True), place="recipe").values
    return {key: value for key, value in values.items() if key != "log"}


def _focus(recipe: Recipe) -> str:
    """Return what a run trains, where nobody wrote its question down."""
    balance, parts = recipe.balance, [recipe.model.name]
    if balance.weights.scheme != _PLAIN or balance.weights.values:
        title = balance.weights.title
        parts.append(f"weights {title}" if title.startswith("given") else f"{title.split(';')[0]} weights")
    if balance.sampling.method != _PLAIN:
        parts.append(f"{balance.sampling.method} sampling")
    if recipe.loss.terms is not None:
        parts.append(recipe.loss.terms)
    elif recipe.loss.name != "auto":
        parts.append(recipe.loss.name)
    return ", ".join(parts)


def _differences(own: Mapping[str, Any], earlier: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Return what differs from the run before of the same table and labels."""
    same = [
        (name, recipe) for name, recipe in earlier
        if recipe and all(recipe.get(key) == own.get(key) for key in _SAME)
    ]  # fmt: skip
    if not same:
        return "The first run of this table and these labels."
    name, before = same[-1]
    keys = [key for key in {**before, **own} if before.get(key) != own.get(key)]
    if not keys:
        return f"Nothing but chance beside {cell(name)}: the same recipe."
    shown = [f"- {cell(key)}: {_value(before.get(key))} → {_value(own.get(key))}" for key in keys[:_MOST_CHANGES]]
    more = [f"- and {len(keys) - _MOST_CHANGES} keys more"] if len(keys) > _MOST_CHANGES else []
    return "\n".join([f"Beside {cell(name)}, the run before of the same table and labels:", "", *shown, *more])


def _value(value: Any) -> str:
    return cell(json.dumps(value, ensure_ascii=False))


def _results(metrics: Mapping[str, MetricTable]) -> str:
    if "rule" not in metrics:
        return "Nothing was judged."
    table = metrics["rule"]
    if table.task == "segmentation":
        return _mask_results(metrics)
    heads = rule_names(metrics, exclusive=is_exclusive(table.task))
    lines = [cell(table.headline()), "", *overall_lines(metrics, heads, list(metrics)), "", *class_lines(table)]
    return "\n".join(lines)


def _mask_results(metrics: Mapping[str, MetricTable]) -> str:
    """Return Dice of each class beside what costs nothing, and the other figures of each."""
    table = metrics["rule"]
    watched = watched_of(table)
    heads = ["Dice", "images", *(ANSWERS.get(name, name) for name in metrics), "by image"]
    rows = [
        [cell(name), f"{table.row('dice', name).support:,}",
         *(cell(figure_cell(one.row("dice", name), interval=key == "rule")) for key, one in metrics.items()),
         cell(figure_cell(table.row("image_dice", name)))]
        for name in watched
    ]  # fmt: skip
    return "\n".join([cell(mask_headline_of(table)), "", *table_lines(heads, rows)])


def _key_result(metrics: Mapping[str, MetricTable], recipe: Recipe) -> str:
    if "rule" not in metrics:
        return ""
    table = metrics["rule"]
    if table.task == "segmentation":
        return f"test {cell(mask_key_result(metrics))}"
    aim = "balanced_accuracy" if recipe.decision.maximize in ("balanced_accuracy", "youden") else "f1"
    name = aim if len(table.classes) == 1 else f"macro_{aim}"
    if is_exclusive(table.task):
        name = "qwk" if table.task == "ordinal" else "macro_f1"
    row = table.row(name)
    beside = ""
    if "half" in metrics and not math.isnan(metrics["half"].row(name).value):
        words = "most likely class" if is_exclusive(table.task) else "at 0.5"
        beside = f"; {words}: {metrics['half'].row(name).value:.3f}"
    return f"test {metric_name(name)} {cell(figure_cell(row))}{beside}"


def _findings(run: Run) -> str:
    damaged: list[int] = []
    found = diagnose_events(run.events(damaged))
    lines = [f"- {cell(line)}" for line in found.lines()]
    more = [f"events.jsonl is damaged at line {', '.join(map(str, damaged[:9]))}."] if damaged else []
    return "\n".join([cell(found.headline()), *(["", *lines] if lines else []), *(["", *more] if more else [])])
