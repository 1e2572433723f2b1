"""The page of one run: what it is made of, section by section."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from equipoise.balance import _ledger_text as ledger_text
from equipoise.evidence import evaluate
from equipoise.evidence.metric_table import MetricTable
from equipoise.report._words import figure_cell, metric_name, one_in, percent, rule_cells, rule_names
from equipoise.report.diagnosis import Diagnosis, diagnose
from equipoise.report.page import _charts as charts
from equipoise.report.page._cards import explorer_context
from equipoise.report.page._parts import Cell, Note, Section, Table, cells, figure
from equipoise.report.page._provenance import provenance_section
from equipoise.report.page._render import render
from equipoise.report.summary import FEW, headline, next_steps, summarise
from equipoise.report.tables import ASKED_FIRST
from equipoise.report.view import RunView
from equipoise.runs import is_sealed

if TYPE_CHECKING:
    from equipoise.balance import Preflight
    from equipoise.evidence.subgroups import Subgroups
    from equipoise.runs import Run

_PER_CLASS = ("auc", "ap", "f1", "precision", "recall", "specificity", "balanced_accuracy", "brier")
_SUBGROUP = ("macro_auc", "macro_ap", "macro_f1", "micro_f1", "qwk", "accuracy", "auc", "ap", "f1", "recall")
_REPLICATES = 200  # behind intervals that are computed for the page alone


def run_page(run: Run, subgroups: Subgroups | None = None) -> str:
    """Return the page of a run, from its folder alone.

    Args:
        run: opened for reading, finished or not.
        subgroups: of the role that is judged, or None.

    Raises:
        RunError: the run has not come so far as to count its labels.
        DataError: a file of the run is damaged.
    """
    found = diagnose(run)
    view = RunView.read(run, damaged=[])
    if is_sealed(run.path):
        view = view.without_test()
    explorer = explorer_context(view)
    sections = [
        _result(view), _classes(view), None if explorer is None else explorer.section, _reliability(view),
        _subgroups(view, subgroups), _census(view), _corrections(view),
        preflight_section(view.preflight, proved=_proved(view)), _learning(view), findings_section(found),
        provenance_section(run, view), _next(view),
    ]  # fmt: skip
    return render(
        f"{view.recipe.name}: report of a run", f"Run {run.path.resolve().name}", headline(view), sections,
        summary=summarise(view), notices=page_notices(run, found, sealed=view.sealed), explorer=explorer,
        data=None if explorer is None else explorer.data,
    )  # fmt: skip


def page_notices(run: Run, found: Diagnosis, *, sealed: bool) -> list[str]:
    """Return what is to be said before all else: that a run is unfinished, changed, sealed or damaged.

    Args:
        run: opened for reading.
        found: in its events.
        sealed: whether its test role is left out.
    """
    said = []
    if not run.is_done:
        said.append("This run is not finished: what it does not have yet is left out.")
    elif changed := run.changed_files():
        said.append(f"Changed since the run was finished, so what is shown may not be what was trained: "
                    f"{', '.join(changed)}.")  # fmt: skip
    if sealed:
        said.append(
            "The test role of this ablation is not opened yet, so this page leaves it out: what is seen before the "
            "arms are chosen bends the choice. All figures are of the validation role."
        )
    if found.damaged:
        said.append(f"events.jsonl is damaged in {len(found.damaged)} lines, which were left out.")
    return said


# --- figures of merit


def _result(view: RunView) -> Section | None:
    if "rule" not in view.metrics:
        return None
    table = view.metrics["rule"]
    names = rule_names(view.metrics, exclusive=view.exclusive)
    lines = {
        row.name: (Cell(metric_name(row.name)), *cells(rule_cells(view.metrics, row.name, row.class_name)))
        for row in table.overall() or table.of_class(table.classes[0])
    }
    first = [name for name in ASKED_FIRST if name in lines] or list(lines)
    heads = ("metric", *(names[key] for key in view.metrics))
    caption = f"Figures on the {table.role} role, beside what costs nothing"
    shown = Table(caption, heads, tuple(lines[name] for name in first))
    rest = Table("The other figures", heads, tuple(line for name, line in lines.items() if name not in first))
    folded = (("All other figures", (), (rest,)),) if rest.rows else ()
    return Section("result", "Result", (table.headline(),), (shown,), (charts.f1_chart(view),), tuple(table.notes),
                   folded)  # fmt: skip


def judged_table(view: RunView) -> MetricTable | None:
    """Return the figures that are shown class by class: of the test role under the rule, else what ranks validation."""
    if "rule" in view.metrics:
        return view.metrics["rule"]
    natural = view.natural("validation")
    return None if natural is None else evaluate(natural, None, replicates=_REPLICATES)


def _classes(view: RunView) -> Section | None:
    table = judged_table(view)
    if table is None:
        return None
    there = [name for name in _PER_CLASS if any(row.metric == name for row in table.of_class(table.classes[0]))]
    rows = []
    for name in table.classes:
        found = [table.row(metric, name) for metric in there]
        few = "faint" if found[0].support < FEW else ""
        rows.append((
            Cell(name, tone=few), figure(f"{found[0].support:,}", found[0].support, tone=few),
            *(figure(figure_cell(row), row.value, tone=few) for row in found),
        ))  # fmt: skip
    intro = [table.headline()]
    if "rule" not in view.metrics:
        intro.append("Only what no threshold changes is shown: thresholds were fitted on these very rows.")
    if any(table.row(there[0], name).support < FEW for name in table.classes):
        intro.append(f"Classes with fewer than {FEW} positives are in grey: their figures say next to nothing.")
    heads = ("class", "cases" if view.exclusive else "positives", *map(metric_name, there))
    caption = f"Every class on the {table.role} role, with intervals"
    return Section("classes", "Class by class", tuple(intro), (Table(caption, heads, tuple(rows), sortable=True),))


def _reliability(view: RunView) -> Section | None:
    role = "test" if "test" in view.scores else "validation"
    natural = view.natural(role)
    if natural is None:
        return None
    pooled, each = charts.reliability_charts(natural)
    intro = (
        "On the diagonal a probability means what it says: of the cases that are given 3 %, three in a hundred have "
        f"the finding. Below it, probabilities are too high. Bars are 95 % intervals; {role} role.",
    )
    folded = (("Each class", each, ()),) if each else ()
    return Section("reliability", "Do probabilities mean what they say?", intro, charts=pooled, folded=folded)


def _subgroups(view: RunView, found: Subgroups | None) -> Section:
    if found is None:
        command = f"equipoise report {shlex.quote(str(view.path))} --by COLUMN --by-table TABLE.csv"
        return Section(
            "subgroups", "Subgroups", ("Left out: no column of subgroups, such as sex or view, was named.",),
            commands=(("Judge each subgroup apart", command),),
        )  # fmt: skip
    tables = []
    for class_name in (None, *next(iter(found.tables.values())).classes):
        made = _subgroup_table(found, class_name)
        tables += [] if made is None else [made]
    return Section("subgroups", f"Subgroups by {found.by}", ("One rule for all; intervals of each subgroup's own.",),
                   tuple(tables), notes=found.notes)  # fmt: skip


def _subgroup_table(found: Subgroups, class_name: str | None) -> Table | None:
    rows, heads = [], None
    for name, table in found.with_whole().items():
        all_rows = table.overall() if class_name is None else table.of_class(class_name)
        picked = {row.name: row for row in all_rows if row.name in _SUBGROUP}
        heads = heads or tuple(picked)
        if not heads:
            return None
        support = next(iter(picked.values())).support if picked else 0
        values = [figure(figure_cell(picked[one]), picked[one].value) if one in picked else Cell("", math.nan)
                  for one in heads]  # fmt: skip
        rows.append((Cell(name), figure(f"{table.cases:,}", table.cases), figure(f"{support:,}", support), *values))
    unit = "known rows" if class_name is None else "positives"
    caption = "All classes together" if class_name is None else class_name
    return Table(caption, (found.by, "rows", unit, *map(metric_name, heads or ())), tuple(rows), sortable=True)


# --- data and corrections


def _census(view: RunView) -> Section:
    census = view.census
    low, high = census.prevalence_interval
    groups = census.groups_per_class
    rows = []
    for index, name in enumerate(census.classes):
        share = float(census.prevalence[index])
        known = not math.isnan(share)
        interval = f"{percent(float(low[index]))} to {percent(float(high[index]))}" if known else "-"
        rows.append((
            Cell(name), figure(f"{int(census.positives[index]):,}", census.positives[index]),
            figure(percent(share) if known else "-", share), Cell(interval, share),
            figure(one_in(share) if known else "nothing known", share),
            figure(f"{int(census.unknowns[index]):,}", census.unknowns[index]),
            *([figure(f"{int(groups[index]):,}", groups[index])] if groups is not None else []),
        ))  # fmt: skip
    more = ("groups",) if groups is not None else ()
    heads = ("class", "positives", "prevalence", "95 % interval", "one in", "unknown", *more)
    intro = f"{census.rows:,} {census.unit}, {len(census.classes)} classes, {census.task}."
    return Section("census", "Census: what the labels say", (intro,),
                   (Table("Counts of every class", heads, tuple(rows), sortable=True),),
                   (charts.prevalence_chart(census),))  # fmt: skip


def _corrections(view: RunView) -> Section | None:
    ledger = view.ledger
    if ledger is None:
        return None
    said = (*ledger.sentences(), ledger_text.exactness_sentence(ledger))
    tables: tuple[Table, ...] = ()
    if ledger.corrections:
        entries = tuple(cells(row) for row in ledger_text.entry_rows(ledger))
        rows = tuple(
            (Cell(texts[0]), *(figure(text, float(shift)) for text in texts[1:]))
            for texts, shift in zip(ledger_text.class_rows(ledger), ledger.log_odds_shift, strict=True)
        )
        tables = (
            Table("Corrections in force", ledger_text.entry_header(), entries, words=frozenset({2})),
            Table("What the model was told, and the way back", ledger_text.header(ledger), rows),
        )
    warnings = tuple(Note("warning", sentence) for sentence in ledger.warnings())
    return Section("corrections", "Corrections: what the ledger did", said, tables, findings=warnings)


def _proved(view: RunView) -> bool:
    """Whether there was anything to prove: rows that are drawn by a plan, or weights."""
    found = view.preflight
    return found is not None and (view.plan is not None or bool((found.weights != 1.0).any()))


def preflight_section(found: Preflight | None, *, proved: bool, intro: str = "") -> Section | None:
    """Return what was looked at before the first step; None of a run that did not come so far.

    Args:
        found: the pre-flight.
        proved: whether there was anything to prove.
        intro: what rows are, where they are no rows of a table.
    """
    if found is None:
        return None
    if not proved:
        return Section("preflight", "Pre-flight", ("Every row is drawn once an epoch and nothing is weighted, "
                       "so there was nothing to prove.",))  # fmt: skip
    verdict = "passed" if found.passed else "failed"
    failed = tuple(Note("collapse", sentence) for sentence in found.failures)
    said = (*([intro] if intro else []), *found.sentences())
    return Section("preflight", f"Pre-flight: {verdict}", said, charts=charts.preflight_charts(found),
                   findings=failed)  # fmt: skip


# --- training


def _learning(view: RunView) -> Section | None:
    made = charts.learning_charts(view)
    return Section("learning", "Learning", charts=made) if made else None


def findings_section(found: Diagnosis) -> Section:
    """Return what the guard found, and what it looked for."""
    looked = () if found.found or not found.epochs else (f"Looked for: {found.looked_for}.",)
    notes = tuple(
        Note(one.severity, one.heading, (one.last.sentence, *([one.last.remedy] if one.last.remedy else []),
             f"Seen: {one.where()}."))
        for one in found.found
    )  # fmt: skip
    passed = tuple(
        f"Seen in training, but not in the kept models: {one.last.sentence} {one.where()}." for one in found.passed
    )
    return Section("findings", "What the guard found", (found.headline(), *looked), notes=passed, findings=notes)


def _next(view: RunView) -> Section:
    return Section("next", "What to do next", commands=tuple(next_steps(view)))
