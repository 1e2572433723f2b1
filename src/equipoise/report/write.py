"""Writing the report of a run, from the run folder alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise._files import write_text
from equipoise.recipe import read_recipe
from equipoise.report import plots
from equipoise.report._markdown import cell, metric_lines
from equipoise.report._panels import epochs_of
from equipoise.report._style import write_figure
from equipoise.report._words import one_in, percent
from equipoise.report.class_plots import plot_class_learning, plot_classes
from equipoise.report.curve_plots import plot_precision_recall, plot_roc
from equipoise.report.diagnosis import diagnose_events
from equipoise.report.gallery_plots import plot_mistakes, plot_samples, read_gallery
from equipoise.report.mask_report import write_mask_report
from equipoise.report.overview import plot_run
from equipoise.report.preflight_plots import plot_preflight
from equipoise.report.summary import headline, next_steps, summarise
from equipoise.report.view import RunView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from equipoise.runs import Run


def write_report(run: Run) -> Path:
    """Write the figures and summary.md of a run; return the path of the overview figure.

    Nothing is trained and torch is not imported: the run folder has all that is needed. Figures of what the run does
    not have (scores, epochs) are left out.

    Raises:
        RunError: the run has not come so far as to count its labels, or the disk is full.
        DataError: a file of the run is damaged.
    """
    if read_recipe(run.file("recipe.yaml")).model.of_masks:
        return write_mask_report(run)
    view = RunView.read(run)
    drawn = {"run": plot_run(view)} | _figures(view) | _pictures(run)
    for name, figure in drawn.items():
        write_figure(figure, run.file(f"figures/{name}.png"))
    write_text(run.file("summary.md"), markdown(view, list(drawn)))
    return run.file("figures/run.png")


def _figures(view: RunView) -> dict[str, Figure]:
    found = {"census": plots.plot_census(view.census)}
    if view.preflight is not None and view.plan is not None:
        found["preflight"] = plot_preflight(view.preflight)
    if epochs_of(view.events):
        found["learning"] = plots.plot_learning_curves(view.events, view.census.classes)
        if any(one is not None for event in view.events for one in event.get("auc") or []):
            found["learning_by_class"] = plot_class_learning(view.events, view.census.classes)
    if "rule" in view.metrics and len(view.census.classes) > 1:
        found["classes"] = plot_classes(view.metrics["rule"])
    validation, test = view.scores.get("validation"), view.scores.get("test")
    if validation is not None and view.rule is not None and view.rule.thresholds is not None:
        found["thresholds"] = plots.plot_thresholds(validation, view.rule)
    if test is not None:
        found["precision_recall"] = plot_precision_recall(test, view.rule)
        found["roc"] = plot_roc(test, view.rule)
    return found


def _pictures(run: Run) -> dict[str, Figure]:
    """Figures of a model of images: from thumbnails in the run folder."""
    if not run.file("gallery.npz").exists():
        return {}
    about, arrays = read_gallery(run.file("gallery.npz"))
    found = {"samples": plot_samples(about, arrays)} if about["samples"] else {}
    return found | ({"mistakes": plot_mistakes(about, arrays)} if about["mistakes"] else {})


def markdown(view: RunView, figures: list[str]) -> str:
    """Return the report as Markdown: the paragraph, the tables, the figures and what to do next."""
    parts = [f"# {cell(headline(view))}", cell(summarise(view)), "![Overview](figures/run.png)", _census_lines(view)]
    if "rule" in view.metrics:
        parts += [metric_lines(view.metrics, exclusive=view.exclusive), *view.metrics["rule"].notes]
    if view.ledger is not None:
        said = [*view.ledger.sentences(), *view.ledger.warnings()]
        parts += ["## Corrections", "\n".join(f"- {cell(sentence)}" for sentence in said)] if said else []
    parts += _finding_lines(view)
    parts.append("\n".join(f"![{name}](figures/{name}.png)" for name in figures if name != "run"))
    steps = "\n".join(f"- {purpose}: `{command}`" for purpose, command in next_steps(view))
    parts += ["## Next", steps]
    return "\n\n".join(part for part in parts if part) + "\n"


def _finding_lines(view: RunView) -> list[str]:
    """What the guard found, gravest first; nothing of runs that no guard looked at."""
    found = diagnose_events(view.events)
    if not found.epochs and not found.judged:
        return []
    lines = [f"- {cell(line)}" for line in found.lines()]
    return ["## What the guard found", cell(found.headline()), *(["\n".join(lines)] if lines else [])]


def _census_lines(view: RunView) -> str:
    census = view.census
    lines = ["## Classes", "", "| class | positives | prevalence | one in | unknown |", "|---|---:|---:|---:|---:|"]
    for index, name in enumerate(census.classes):
        share = float(census.prevalence[index])
        said = ("-", "nothing known") if math.isnan(share) else (percent(share), one_in(share))
        counts = (int(census.positives[index]), int(census.unknowns[index]))
        lines.append(f"| {cell(name)} | {counts[0]:,} | {said[0]} | {said[1]} | {counts[1]:,} |")
    return "\n".join(lines)
