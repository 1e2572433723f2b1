"""Tables for the terminal. Names from data are shown as they are, never read as markup."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from equipoise._tasks import is_exclusive
from equipoise.report._words import metric_name, one_in, percent, rule_cells, rule_names
from equipoise.report.summary import FEW
from equipoise.report.view import RunView

if TYPE_CHECKING:
    from rich.table import Table

    from equipoise.evidence import MetricTable
    from equipoise.labels import Census
    from equipoise.runs import Run

ASKED_FIRST = (
    "macro_auc", "macro_ap", "macro_f1", "macro_precision", "macro_recall", "macro_balanced_accuracy", "micro_f1",
    "auc", "ap", "f1", "precision", "recall", "specificity", "accuracy", "balanced_accuracy", "qwk", "mcc",
    "exact_match", "hamming", "brier", "log_loss", "macro_brier", "macro_log_loss",
)  # fmt: skip
_LONG_HEAD = 17


def census_table(census: Census) -> Table:
    """Return a table of the classes: positives, prevalence with its interval, negatives per positive, unknowns, groups.

    Args:
        census: from `count_labels`.
    """
    table = empty_table(f"{census.rows:,} {census.unit}, {len(census.classes)} classes, {census.task}")
    groups = census.groups_per_class
    heads = [
        "positives",
        "prevalence",
        "95 % interval",
        "one in",
        "unknown",
        *(["groups"] if groups is not None else []),
    ]
    table_columns(table, "class", heads)
    low, high = census.prevalence_interval
    for index, name in enumerate(census.classes):
        share = float(census.prevalence[index])
        known = not math.isnan(share)
        cells = [
            f"{int(census.positives[index]):,}",
            percent(share) if known else "-",
            f"{percent(float(low[index]))} to {percent(float(high[index]))}" if known else "-",
            one_in(share) if known else "nothing known",
            f"{int(census.unknowns[index]):,}",
            *([f"{int(groups[index]):,}"] if groups is not None else []),
        ]
        table_row(table, name, cells, dim=not census.positives[index])
    return table


def metrics_table(tables: Mapping[str, MetricTable], metric: str = "f1") -> Table:
    """Return a table of one metric by class and on average, under each rule that was judged.

    Args:
        tables: by rule, as a run stores them; ``{"rule": table}`` for one.
        metric: such as ``"f1"`` or ``"recall"``.

    Raises:
        ArgumentError: the tables do not have that metric.
    """
    first = next(iter(tables.values()))
    exclusive = is_exclusive(first.task)
    heads = rule_names(tables, exclusive=exclusive)
    table = empty_table(f"{metric_name(metric)} on the {first.role} role: {first.headline()}")
    table_columns(table, "class", ["positives", *(heads.get(name, name) for name in tables)])
    for name in first.classes:
        support = first.row(metric, name).support
        table_row(table, name, [f"{support:,}", *rule_cells(tables, metric, name, narrow=True)], dim=support < FEW)
    if len(first.classes) > 1:
        table.add_section()
        macro = f"macro_{metric}"
        table_row(table, f"macro ({first.row(macro).evaluable})", ["", *rule_cells(tables, macro, narrow=True)])
    return table


def run_table(run: Run | RunView) -> Table:
    """Return the test metrics of a run that people ask for first, one line each, under each rule that was judged."""
    view = run if isinstance(run, RunView) else RunView.read(run)
    table = empty_table(view.recipe.name)
    if not view.metrics:
        table_columns(table, "no test role: nothing was judged", [])
        return table
    first = next(iter(view.metrics.values()))
    heads = rule_names(view.metrics, exclusive=view.exclusive)
    table_columns(table, f"test, {first.cases:,} rows", [heads[name] for name in view.metrics])
    names = [row.name for row in (first.overall() or first.of_class(first.classes[0]))]
    for name in [name for name in ASKED_FIRST if name in names] or names:
        table_row(table, metric_name(name), rule_cells(view.metrics, name, narrow=True))
    return table


def empty_table(title: str) -> Table:
    """Return a table with its title and no columns, in the style of all tables here."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        show_edge=False,
    )


def table_columns(table: Table, first: str, others: list[str]) -> None:
    """Add a column of names and columns of figures."""
    from rich.text import Text

    table.add_column(Text(first), overflow="fold")
    for head in others:  # figures stay on one line: on a narrow screen the names wrap
        words = head.rsplit(" ", 1) if len(head) > _LONG_HEAD else [head]
        table.add_column(Text("\n".join(words)), justify="right", no_wrap=True)


def table_row(table: Table, name: str, cells: list[str], *, dim: bool = False) -> None:
    """Add a row of figures; what comes from data is shown as it is."""
    from rich.text import Text

    table.add_row(Text(" ".join(name.split())), *(Text(cell) for cell in cells), style="dim" if dim else None)
