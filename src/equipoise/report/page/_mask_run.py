"""The page of a run of masks: what it is made of, section by section."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.balance import _ledger_text as ledger_text
from equipoise.evidence.mask_table import evaluate_masks
from equipoise.labels import wilson_interval
from equipoise.report._words import figure_cell, joined, metric_name, percent
from equipoise.report.diagnosis import diagnose
from equipoise.report.gallery_plots import read_gallery
from equipoise.report.mask_report import mask_headline, mask_next_steps, summarise_masks
from equipoise.report.mask_view import ANSWERS, MaskView
from equipoise.report.page import _mask_charts as charts
from equipoise.report.page._parts import Cell, Chart, Note, Section, Table, cells, figure
from equipoise.report.page._pictures import overlays_section
from equipoise.report.page._provenance import provenance_section
from equipoise.report.page._render import render
from equipoise.report.page._run import findings_section, page_notices, preflight_section
from equipoise.runs import is_sealed

if TYPE_CHECKING:
    from equipoise.evidence import MetricTable
    from equipoise.runs import Run

_FIRST = ("dice", "image_dice", "iou", "precision", "recall", "hd95", "nsd")
_REST = ("image_iou", "empty_rate", "false_alarm_rate", "predicted_share", "actual_share", "pixel_calibration_error")
_REPLICATES = 200  # behind intervals that are computed for the page alone
_FEW = 10  # images
_PATCHES = (
    "Patches are drawn as rows are elsewhere: a row is an image that holds a class, and (anywhere) an image of which a "
    "patch may lie where it likes."
)
_CURVES = (
    "Blue: the validation images, which the threshold was fitted on; the band is its interval. Dashed: the test "
    "images, which had no say."
)
_MOST_OPEN = 6  # classes whose charts are not folded away


def mask_run_page(run: Run) -> str:
    """Return the page of a run of masks, from its folder alone.

    Args:
        run: opened for reading, finished or not.

    Raises:
        RunError: the run has not come so far as to count its pixels.
        DataError: a file of the run is damaged.
    """
    found = diagnose(run)
    view = MaskView.read(run, damaged=[])
    if is_sealed(run.path):
        view = view.without_test()
    sections = [
        _result(view), _classes(view), _images(run, view), _decision(view), _reliability(view), _census(view),
        _corrections(view), preflight_section(view.preflight, proved=view.preflight is not None, intro=_PATCHES),
        _learning(view),
        _shares(view), findings_section(found), provenance_section(run, view),
        Section("next", "What to do next", commands=tuple(mask_next_steps(view))),
    ]  # fmt: skip
    title, kicker = f"{view.recipe.name}: report of a run of masks", f"Run {run.path.resolve().name}"
    return render(
        title, kicker, mask_headline(view), sections,
        summary=summarise_masks(view), notices=page_notices(run, found, sealed=view.sealed),
    )  # fmt: skip


# --- figures of merit


def _result(view: MaskView) -> Section | None:
    if "rule" not in view.metrics:
        return None
    table = view.metrics["rule"]
    names = [_answer(view, key) for key in view.metrics]
    rows = []
    for name in view.watched:
        found = [one.row("dice", name) for one in view.metrics.values()]
        few = _tone(found[0].support)
        shown = [figure_cell(row, interval=key == "rule") for key, row in zip(view.metrics, found, strict=True)]
        rows.append((
            Cell(name, tone=few), figure(f"{found[0].support:,}", found[0].support, tone=few),
            *(figure(text, row.value, tone=few) for text, row in zip(shown, found, strict=True)),
        ))  # fmt: skip
    caption = f"Dice of all pixels of the {table.role} images, beside what costs nothing"
    return Section(
        "result", "Result", (_judged_on(table),), (Table(caption, ("class", "images", *names), tuple(rows)),),
        (charts.dice_chart(view.metrics, view.watched),), tuple(table.notes),
    )  # fmt: skip


def _answer(view: MaskView, key: str) -> str:
    if key == "half":
        return "highest probability" if view.exclusive else "at 0.5"
    return ANSWERS.get(key, key)


def _tone(images: int) -> str:
    return "faint" if images < _FEW else ""


def _judged_on(table: MetricTable) -> str:
    over = f"{table.cases:,} images of the role {table.role}"
    if not table.replicates:
        return f"{over}; no intervals."
    unit = f"{table.clusters:,} groups" if table.clustered else "images"
    return (
        f"{over}; {table.level:.0%} intervals from {table.replicates:,} bootstrap replicates of {unit}, never pixels."
    )


def judged_masks(view: MaskView) -> MetricTable | None:
    """Return the figures that are shown class by class: of the test role, else of validation where nothing was fitted.

    Args:
        view: of the run.
    """
    if "rule" in view.metrics:
        return view.metrics["rule"]
    scores = view.scores.get("validation")
    if scores is None:
        return None
    plain: str | list[float] = "argmax" if scores.exclusive else [0.5] * len(scores.classes)
    return evaluate_masks(scores, plain, replicates=_REPLICATES)


def _classes(view: MaskView) -> Section | None:
    table = judged_masks(view)
    if table is None:
        return None
    intro = [_judged_on(table)]
    if "rule" not in view.metrics:
        plain = "the highest probability" if view.exclusive else "0.5"
        intro.append(f"Decided by {plain}, which nobody fitted: thresholds were fitted on these very images.")
    if any(table.row("dice", name).support < _FEW for name in view.watched):
        intro.append(f"Classes in fewer than {_FEW} images are in grey: their figures say next to nothing.")
    intro.append("HD95 is in pixels, lower is better; NSD counts what lies within two pixels of the other boundary.")
    if not any(row.metric == "hd95" for row in table.rows):
        intro.pop()
    caption = f"Every class on the {table.role} role, with intervals"
    shown = _class_table(table, view.watched, _FIRST, caption)
    rest = _class_table(table, view.watched, _REST, "The other figures")
    notes = (
        "Pooled: Dice, IoU, precision and recall are of all pixels together. image-Dice is the mean over the images "
        "that hold the class.",
    )
    return Section("classes", "Class by class", tuple(intro), (shown,), notes=notes,
                   folded=(("Masks that are empty, false alarms, shares, calibration", (), (rest,)),))  # fmt: skip


def _class_table(table: MetricTable, classes: Sequence[str], metrics: Sequence[str], caption: str) -> Table:
    there = [name for name in metrics if any(row.metric == name for row in table.rows)]
    rows = []
    for name in classes:
        found = [table.row(metric, name) for metric in there]
        few = _tone(found[0].support)
        rows.append((
            Cell(name, tone=few), figure(f"{found[0].support:,}", found[0].support, tone=few),
            *(figure(figure_cell(row), row.value, tone=few) for row in found),
        ))  # fmt: skip
    if len(classes) > 1:
        means = [table.row(f"macro_{metric}") for metric in there]
        rows.append((Cell("mean of the classes"), figure(f"{table.cases:,}", table.cases),
                     *(figure(figure_cell(row), row.value) for row in means)))  # fmt: skip
    heads = ("class", "images", *map(metric_name, there))
    return Table(caption, heads, tuple(rows), sortable=True)


def _images(run: Run, view: MaskView) -> Section | None:
    if view.sealed or not run.file("gallery.npz").exists():  # the gallery is of the test role, where there is one
        return None
    role = "test" if "test" in view.scores else "validation"
    return overlays_section(*read_gallery(run.file("gallery.npz")), role)


def _decision(view: MaskView) -> Section | None:
    rule = view.rule
    if rule is None:
        return None
    rows = []
    for name in view.watched:
        at = rule.classes.index(name)
        cut = math.nan if rule.thresholds is None else rule.thresholds[at]
        text = "highest probability" if math.isnan(cut) else f"{cut:.3g}"
        if not math.isnan(cut) and not math.isnan(rule.low[at]):
            text += f" [{rule.low[at]:.3g}, {rule.high[at]:.3g}]"
        worth = rule.values[at] if rule.values else math.nan
        least = rule.least_sizes[at] if rule.least_sizes else 0
        rows.append((
            Cell(name), figure(text, cut), figure("-" if math.isnan(worth) else f"{worth:.3f}", worth),
            figure(f"{least:,} pixels" if least > 1 else "all are kept", least),
        ))  # fmt: skip
    heads = (
        "class",
        "threshold",
        f"{metric_name(rule.maximize)} there, on the images it was fitted on",
        "smallest part",
    )
    made = charts.threshold_charts(view)
    shown, folded = _open_or_folded(made, "The curve of each class")
    note = (_CURVES,) if made else ()
    return Section("decision", "Decision: thresholds and smallest parts", (rule.describe(), *rule.notes),
                   (Table("The rule", heads, tuple(rows)),), shown, note, folded)  # fmt: skip


def _open_or_folded(made: Sequence[Chart], title: str) -> tuple[tuple[Chart, ...], tuple[Any, ...]]:
    few = len(made) <= _MOST_OPEN
    return (tuple(made), ()) if few else ((), ((title, tuple(made), ()),))


def _reliability(view: MaskView) -> Section | None:
    scores = view.scores.get("test") or view.scores.get("validation")
    if scores is None:
        return None
    made = charts.reliability_charts(scores, view.watched)
    shown, folded = _open_or_folded(made, "Each class")
    intro = (
        "On the diagonal a probability means what it says: of the pixels that are given 30 %, three in ten are of the "
        f"class. Bars are 95 % intervals over images or patients; {scores.role} role.",
    )
    return Section("reliability", "Do the probabilities of pixels mean what they say?", intro, charts=shown,
                   folded=folded)  # fmt: skip


# --- data and corrections


def _census(view: MaskView) -> Section:
    census, images = view.census, view.images
    nothing = np.full(len(census.classes), math.nan)
    low, high = (nothing, nothing) if images is None else images.prevalence_interval
    rows = []
    for at, name in enumerate(census.classes):
        share = float(census.prevalence[at])
        ends = "-" if math.isnan(low[at]) else f"{percent(float(low[at]))} to {percent(float(high[at]))}"
        rows.append((
            Cell(name), figure(f"{int(census.positives[at]):,}", census.positives[at]),
            figure("-" if math.isnan(share) else percent(share), share), Cell(ends, share),
            *_image_cells(view, at),
        ))  # fmt: skip
    many = len(view.split.roles)
    form = "one class a pixel" if view.exclusive else "classes may overlap"
    intro = [f"{many:,} images, {form}; counted at the size that is learned from."]
    if images is None:
        intro.append("How many images hold each class was not stored by the version that made this run.")
    more = () if images is None else ("images", "of them", "95 % interval of images", "pixels where present")
    heads = ("class", "pixels", "share of pixels", "95 % interval over images", *more)
    shown = () if images is None else (charts.share_chart(images, view.watched),)
    return Section("census", "Census: what the masks hold", tuple(intro),
                   (Table("Pixels and images of every class", heads, tuple(rows), sortable=True),), shown)  # fmt: skip


def _image_cells(view: MaskView, at: int) -> tuple[Cell, ...]:
    if view.images is None:
        return ()
    held, many = int(view.images.present[at]), len(view.images.images)
    low, high = wilson_interval([held], [many])
    mean = float(view.census.positives[at]) / held if held else math.nan
    return (
        figure(f"{held:,}", held), figure(percent(held / many), held / many),
        Cell(f"{percent(float(low[0]))} to {percent(float(high[0]))}", held / many),
        figure("-" if not held else f"{mean:,.0f}", mean),
    )  # fmt: skip


def _corrections(view: MaskView) -> Section | None:
    ledger = view.ledger
    if ledger is None:
        return None
    loss = f"The loss is {view.recipe.loss.terms or 'auto: cross-entropy and Dice'}."
    said = (loss, *ledger.sentences(), ledger_text.exactness_sentence(ledger))
    tables = [] if view.weights is None else [_weights_table(view)]
    if ledger.corrections:
        entries = tuple(cells(row) for row in ledger_text.entry_rows(ledger))
        rows = tuple(
            (Cell(texts[0]), *(figure(text, float(shift)) for text in texts[1:]))
            for texts, shift in zip(ledger_text.class_rows(ledger), ledger.log_odds_shift, strict=True)
        )
        tables += [
            Table("Corrections in force", ledger_text.entry_header(), entries, words=frozenset({2})),
            Table("What the model was told, and the way back", ledger_text.header(ledger), rows),
        ]
    elif view.weights is not None:
        said = (
            *said,
            "A loss of whole masks has no prior of its own, so these weights leave nothing to take off again.",
        )
    warnings = tuple(Note("warning", sentence) for sentence in ledger.warnings())
    return Section("corrections", "Corrections: what the loss sees, and what the ledger did", said, tuple(tables),
                   findings=warnings)  # fmt: skip


def _weights_table(view: MaskView) -> Table:
    """Weights beside the share of the pixels, and of what the pixel loss sees of them."""
    weights = view.weights
    assert weights is not None
    shares = np.asarray(weights.prevalence, np.float64)
    weighed = shares * weights.values
    seen = weighed / weighed.sum() if view.exclusive else weighed / (weighed + 1.0 - shares)
    rows = tuple(
        (Cell(name), figure(f"{float(value):.4g}", value), figure(percent(float(share)), share),
         figure(percent(float(what)), what))
        for name, value, share, what in zip(weights.classes, weights.values, shares, seen, strict=True)
    )  # fmt: skip
    heads = ("class", "weight", "share of the pixels to learn from", "share of what the pixel loss sees")
    return Table(f"Class weights: {weights.name}", heads, rows)


# --- training


def _learning(view: MaskView) -> Section | None:
    made = charts.learning_charts(view)
    return Section("learning", "Learning", charts=made) if made else None


def _shares(view: MaskView) -> Section | None:
    if not view.epochs:
        return None
    intro = (
        "How much of each class was painted on the validation images after every epoch (blue), beside what there is "
        "(dotted) and the band that is believable. Red: where the guard spoke. Masks are cut where nobody fitted: at "
        f"{'the highest probability' if view.exclusive else '0.5'}.",
    )
    shown, folded = _open_or_folded(charts.predicted_charts(view), "Each class")
    heads = ("epoch", "loss", "watched", "what the validation said")
    rows = tuple(_epoch_row(event) for event in view.epochs)
    verdicts = Table("Every validation", heads, rows, words=frozenset({3}))
    last = str(view.epochs[-1].get("verdict", ""))
    notes = (f"Last: {last}.",) if last else ()
    missed = _missed(view)
    return Section("shares", "Predicted and true shares", (*intro, *missed), charts=shown, notes=notes,
                   folded=(*folded, ("Every validation in words", (), (verdicts,))))  # fmt: skip


def _epoch_row(event: Mapping[str, object]) -> tuple[Cell, ...]:
    loss, watched = event.get("training_loss"), event.get("monitored")
    return (
        Cell(str(event.get("epoch"))), *(
            figure("-", math.nan) if not isinstance(one, int | float) else figure(f"{one:.4g}", one)
            for one in (loss, watched)
        ), Cell(str(event.get("verdict", ""))),
    )  # fmt: skip


def _missed(view: MaskView) -> tuple[str, ...]:
    """Say in how many validation images nothing of what they hold was painted at the end."""
    missed = view.epochs[-1].get("missed_images") or []
    said = [
        f"{name} {missed[at]:,}" for name in view.watched
        if (at := view.census.classes.index(name)) < len(missed) and missed[at]
    ]  # fmt: skip
    return (
        (f"Images that hold something of which nothing is painted in the last epoch: {joined(said)}.",) if said else ()
    )
