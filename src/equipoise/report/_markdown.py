"""Text from data inside Markdown, and the tables of a run as Markdown."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from equipoise._checks import printable
from equipoise.report._words import figure_cell, metric_name, rule_cells, rule_names

if TYPE_CHECKING:
    from equipoise.evidence import MetricTable

_PER_CLASS = ("auc", "ap", "precision", "recall", "f1", "balanced_accuracy")
_MARKED = "\\|*_`[]~$"  # what begins a cell, a link, code or emphasis


def cell(text: str) -> str:
    r"""Return text from data as Markdown that shows it as it is: no cell, line, link or tag of its own.

    Example:
        >>> cell("<b>a|b</b>\n# c")
        '&lt;b&gt;a\\|b&lt;/b&gt; # c'
    """
    flat = printable(" ".join(text.split()))
    flat = "".join(sign for sign in flat if unicodedata.category(sign) not in ("Cf", "Cs", "Co", "Cn"))
    for sign in _MARKED:
        flat = flat.replace(sign, "\\" + sign)
    for sign, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("://", ":&#47;/"), ("@", "&#64;")):
        flat = flat.replace(sign, written)
    return flat


def line(text: str) -> str:
    r"""Return text from data that may stand at the beginning of a line.

    Example:
        >>> line("# heading"), line("1. item")
        ('\\# heading', '1\\. item')
    """
    shown = cell(text)
    if shown[:1] in tuple("#-+="):
        return "\\" + shown
    number = len(shown) - len(shown.lstrip("0123456789"))
    return f"{shown[:number]}\\{shown[number:]}" if number and shown[number : number + 1] in (".", ")") else shown


def fenced(text: str, language: str = "") -> str:
    """Return text from data as a block of code that nothing inside can end."""
    inside = "\n".join(printable(one) for one in text.rstrip("\n").split("\n"))
    longest = max((len(run) for run in _runs_of_ticks(inside)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{inside}\n{fence}"


def _runs_of_ticks(text: str) -> list[str]:
    return [run for run in "".join(sign if sign == "`" else " " for sign in text).split(" ") if run]


def table_lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table whose cells are Markdown already: the first column to the left, others to the right."""
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def metric_lines(metrics: Mapping[str, MetricTable], *, exclusive: bool) -> str:
    """Return the test metrics of a run as Markdown, under each rule, and by class.

    Args:
        metrics: by rule, as a run stores them, ``rule`` among them.
        exclusive: whether exactly one class is true of each row.
    """
    table, columns = metrics["rule"], list(metrics)
    heads = rule_names(metrics, exclusive=exclusive)
    lines = ["## Test metrics", "", f"{table.headline()} All figures are in metrics.json.", ""]
    return "\n".join([*lines, *overall_lines(metrics, heads, columns), "", *class_lines(table)])


def overall_lines(metrics: Mapping[str, MetricTable], heads: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """Return a table of every figure over all classes, or of the only class, under each rule."""
    table, lines = metrics["rule"], []
    for row in table.overall() or table.of_class(table.classes[0]):
        cells = rule_cells(metrics, row.name, row.class_name)
        lines.append([metric_name(row.name), *map(_figure, cells)])
    return table_lines(["", *(heads.get(name, name) for name in columns)], lines)


def class_lines(table: MetricTable) -> list[str]:
    """Return a table with one line per class under the fitted rule."""
    there = [metric for metric in _PER_CLASS if any(row.metric == metric for row in table.of_class(table.classes[0]))]
    lines = []
    for name in table.classes:
        rows = [table.row(metric, name) for metric in there]
        lines.append([cell(name), f"{rows[0].support:,}", *(_figure(figure_cell(row)) for row in rows)])
    return table_lines(["class", "positives", *map(metric_name, there)], lines)


def _figure(text: str) -> str:
    return text if text[:1].isdigit() or text[:2] in ("-", "-0") else cell(text)
