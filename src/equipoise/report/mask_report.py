"""The report of a run of masks: one paragraph, tables and figures, from the run folder alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise._files import write_text
from equipoise.evidence import MetricTable
from equipoise.report._style import write_figure
from equipoise.report._words import figure_cell, joined, metric_name, percent
from equipoise.report.diagnosis import diagnose_events
from equipoise.report.gallery_plots import read_gallery
from equipoise.report.mask_plots import plot_masks, plot_overlays
from equipoise.report.mask_view import ANSWERS, MaskView

if TYPE_CHECKING:
    from rich.table import Table

    from equipoise.evidence import MetricRow
    from equipoise.runs import Run

_FIGURES = ("dice", "image_dice", "iou", "precision", "recall", "hd95", "nsd", "predicted_share", "actual_share")


def write_mask_report(run: Run) -> Path:
    """Write the figures and summary.md of a run of masks; return the path of the overview figure.

    Raises:
        RunError: the run has not come so far as to count its pixels, or the disk is full.
        DataError: a file of the run is damaged.
    """
    view = MaskView.read(run)
    drawn = {"run": plot_masks(view)}
    if run.file("gallery.npz").exists():
        about, arrays = read_gallery(run.file("gallery.npz"))
        if about.get("overlays"):
            drawn["overlays"] = plot_overlays(about, arrays)
    for name, figure in drawn.items():
        write_figure(figure, run.file(f"figures/{name}.png"))
    write_text(run.file("summary.md"), mask_markdown(view, list(drawn)))
    return run.file("figures/run.png")


def summarise_masks(view: MaskView) -> str:
    """Return one paragraph on what happened: data, corrections, rule, result, doubts."""
    return " ".join(
        [*_data(view), *_corrections(view), *_decision(view), *_result(view), *_doubts(view), *_warned(view)]
    )


def mask_headline(view: MaskView) -> str:
    """Return the one figure that matters most: Dice of the class, or its mean over several, beside full masks."""
    name = view.recipe.name
    if "rule" not in view.metrics:
        return f"{name}: nothing was judged on images of a test role"
    table = view.metrics["rule"]
    what, row, beside = _key_figure(view.metrics)
    more = f" ({joined(beside)})" if beside else ""
    return f"{name}: the {what} is {figure_cell(row)} on {table.cases:,} {table.role} images{more}"


def mask_key_result(metrics: Mapping[str, MetricTable]) -> str:
    """Return the figure that matters most, for an index: Dice of the class, or its mean over several."""
    what, row, beside = _key_figure(metrics)
    return "; ".join([f"{what} {figure_cell(row)}", *beside])


def _key_figure(metrics: Mapping[str, MetricTable]) -> tuple[str, MetricRow, list[str]]:
    """Return what it is, its row, and the trivial answers beside it."""
    table = metrics["rule"]
    watched = watched_of(table)
    single = len(watched) == 1
    key, what = ("dice", f"Dice of {watched[0]}") if single else ("macro_dice", f"mean Dice of {len(watched)} classes")
    row = table.row(key, watched[0] if single else None)
    beside = [
        f"{ANSWERS[one]}: {metrics[one].value(key, row.class_name):.3f}" for one in ("empty", "full") if one in metrics
    ]
    return what, row, beside


def mask_next_steps(view: MaskView) -> list[tuple[str, str]]:
    """Return what to do next, as pairs of a purpose and a command."""
    folder = shlex.quote(str(view.path))
    return [
        ("Write the masks of other images", f"equipoise predict {folder} IMAGES/ --out masks/"),
        ("See every figure with its interval", f"equipoise evaluate {folder}"),
        ("See what the guard found", f"equipoise diagnose {folder}"),
        ("Write one page that explains it", f"equipoise report {folder}"),
    ]


def mask_metrics_table(metrics: Mapping[str, MetricTable]) -> Table:
    """Return a table of Dice by class, under the fitted rule and beside it what needs no model.

    Args:
        metrics: by answer, as a run of masks stores them.
    """
    from equipoise.report.tables import empty_table, table_columns, table_row

    rule = metrics["rule"]
    table = empty_table(f"Dice on the {rule.role} role: {mask_headline_of(rule)}")
    table_columns(table, "class", ["images", *(ANSWERS.get(name, name) for name in metrics), "by image"])
    for name in watched_of(rule):
        rows = [one.row("dice", name) for one in metrics.values()]
        cells = [figure_cell(row, interval=key == "rule") for key, row in zip(metrics, rows, strict=True)]
        table_row(table, name, [f"{rows[0].support:,}", *cells, figure_cell(rule.row("image_dice", name))])
    return table


def watched_of(table: MetricTable) -> tuple[str, ...]:
    """Return the classes that masks are about: of exclusive ones all but the first, which is in no macro figure."""
    macro = next((row for row in table.rows if row.name == "macro_dice"), None)
    if macro is None:
        return table.classes
    total = int(macro.evaluable.split(" of ")[-1])
    return table.classes[len(table.classes) - total :]


def mask_markdown(view: MaskView, figures: list[str]) -> str:
    """Return the report as Markdown."""
    parts = [f"# {_cell(view.recipe.name)}", _cell(summarise_masks(view)), "![Overview](figures/run.png)"]
    parts.append(_census_lines(view))
    if view.metrics:
        parts += [_metric_lines(view), *view.metrics["rule"].notes]
    found = diagnose_events(view.events)
    if found.epochs:
        lines = [f"- {_cell(line)}" for line in found.lines()]
        parts += ["## What the guard found", _cell(found.headline()), "\n".join(lines)]
    parts += [_verdict_lines(view)]
    parts.append("\n".join(f"![{name}](figures/{name}.png)" for name in figures if name != "run"))
    steps = "\n".join(f"- {purpose}: `{command}`" for purpose, command in mask_next_steps(view))
    return "\n\n".join(part for part in [*parts, "## Next", steps] if part) + "\n"


def write_folds(folder: Path, pooled: Mapping[str, MetricTable], runs: Mapping[str, Run]) -> Path:
    """Write folds.md: the figures of all folds together, and those of each; return its path.

    Args:
        folder: of the runs.
        pooled: from `pooled_folds`.
        runs: by fold, finished.
    """
    rule = pooled["rule"]
    lines = [
        f"# {folder.name}: {len(runs)} folds",
        f"{mask_headline_of(rule)} Each image is judged by the run that never saw it, at that run's own rule.",
        _answer_lines(pooled, watched_of(rule)),
        "## By fold",
        "\n".join(_fold_line(name, MaskView.read(run).metrics["rule"]) for name, run in runs.items()),
        *rule.notes,
    ]
    path = folder / "folds.md"
    write_text(path, "\n\n".join(lines) + "\n")
    return path


def _fold_line(name: str, table: MetricTable) -> str:
    figures = "; ".join(f"{_cell(one)} {figure_cell(table.row('dice', one))}" for one in watched_of(table))
    return f"- [{name}]({name}/summary.md): Dice {figures}"


def _answer_lines(metrics: Mapping[str, MetricTable], classes: tuple[str, ...]) -> str:
    lines = [f"| Dice | {' | '.join(ANSWERS.get(name, name) for name in metrics)} |", f"|---|{'---:|' * len(metrics)}"]
    for name in classes:
        cells = [_figure(figure_cell(one.row("dice", name))) for one in metrics.values()]
        lines.append(f"| {_cell(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _data(view: MaskView) -> list[str]:
    roles = view.split.roles.tolist()
    counts = joined([f"{roles.count(role)} {role}" for role in ("train", "validation", "test") if role in roles])
    shares = [
        f"{name} {percent(float(view.census.prevalence[view.census.classes.index(name)]))}" for name in view.watched
    ]
    form = "one class a pixel" if view.exclusive else "classes may overlap"
    return [f"{len(roles):,} images ({counts}), {form}; of the pixels {joined(shares)}."]


def _corrections(view: MaskView) -> list[str]:
    loss = view.recipe.loss.terms or "auto"
    said = f"The loss is {loss}"
    if view.weights is not None:
        pairs = zip(view.weights.classes, view.weights.values.tolist(), strict=True)
        said += f", its pixels weighted ({view.weights.name}): " + joined(
            [f"{name} {value:.4g}" for name, value in pairs]
        )
    return [said + "."]


def _decision(view: MaskView) -> list[str]:
    return [] if view.rule is None else [view.rule.describe()]


def _result(view: MaskView) -> list[str]:
    if "rule" not in view.metrics:
        return ["There is no test role, so nothing was judged: keep images aside before believing anything."]
    table = view.metrics["rule"]
    said = []
    for name in view.watched:
        beside = [
            f"{ANSWERS[key]} {view.metrics[key].value('dice', name):.3f}"
            for key in ("empty", "full")
            if key in view.metrics
        ]
        said.append(f"{name} {figure_cell(table.row('dice', name))} ({joined(beside)})")
    return [f"On {table.cases:,} test images the Dice of all pixels is: {'; '.join(said)}."]


def _doubts(view: MaskView) -> list[str]:
    if "rule" not in view.metrics:
        return []
    few = [
        f"{name} ({row.support})"
        for name in view.watched
        if (row := view.metrics["rule"].row("dice", name)).support < 10
    ]
    return [f"Too few test images hold them to rely on: {joined(few)}."] if few else []


def _warned(view: MaskView) -> list[str]:
    """What was doubted before the first step."""
    said = [text for event in view.events if event.get("event") == "warnings" for text in event.get("sentences", ())]
    return [f"Warned before training: {text}" for text in dict.fromkeys(map(str, said))]


def _census_lines(view: MaskView) -> str:
    census = view.census
    lines = ["## Pixels", "", "| class | pixels | share |", "|---|---:|---:|"]
    for place, name in enumerate(census.classes):
        lines.append(
            f"| {_cell(name)} | {int(census.positives[place]):,} | {percent(float(census.prevalence[place]))} |"
        )
    return "\n".join(lines)


def _metric_lines(view: MaskView) -> str:
    table = view.metrics["rule"]
    there = [name for name in _FIGURES if any(row.metric == name for row in table.rows)]
    lines = ["## Test metrics", "", f"{mask_headline_of(table)} All figures are in metrics.json.", ""]
    lines += [f"| class | images | {' | '.join(map(metric_name, there))} |", f"|---|---:|{'---:|' * len(there)}"]
    for name in view.watched:
        rows = [table.row(metric, name) for metric in there]
        lines.append(f"| {_cell(name)} | {rows[0].support} | {' | '.join(_figure(figure_cell(row)) for row in rows)} |")
    return "\n".join([*lines, "", _answer_lines(view.metrics, view.watched)])


def _verdict_lines(view: MaskView) -> str:
    """What the last validations said of the predicted shares."""
    last = view.epochs[-3:]
    lines = [f"- epoch {event['epoch']}: {_cell(str(event.get('verdict', '')))}." for event in last]
    return "\n".join(["## Predicted shares", "", *lines]) if lines else ""


def mask_headline_of(table: MetricTable) -> str:
    """Return how many images were judged, and what their intervals are over."""
    unit = f"{table.clusters:,} patients" if table.clustered else "images"
    over = f"{table.cases:,} images"
    return f"{over}; {table.level:.0%} intervals by {unit}." if table.replicates else f"{over}; no intervals."


def _figure(text: str) -> str:
    return text if text[:1].isdigit() else _cell(text)


def _cell(text: str) -> str:
    """Text from data inside Markdown: no cell, line or tag of its own."""
    flat = " ".join(text.split())
    for sign in ("\\", "|", "<", ">", "*", "_", "`", "["):
        flat = flat.replace(sign, "\\" + sign)
    return flat
