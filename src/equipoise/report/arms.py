"""Tables of several runs on the same rows: what each reaches, and what each changes beside the first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from equipoise.evidence import Comparison, compare_arms
from equipoise.report._words import figure_cell, metric_name
from equipoise.report.tables import empty_table, table_columns, table_row
from equipoise.report.view import RunView

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = ("macro_auc", "macro_ap", "macro_f1", "auc", "ap", "f1", "qwk", "exact_match", "hamming", "accuracy")


@dataclasses.dataclass(frozen=True, eq=False)
class ArmsView:
    """Several finished runs, judged on the same test rows, or on the folds of one split.

    Attributes:
        views: by the name of the arm, in order.
        comparisons: each later arm against the first in `metric`; empty where they were not judged on the same rows.
        metric: what they are compared in.
    """

    views: Mapping[str, RunView]
    comparisons: tuple[Comparison, ...]
    metric: str

    @classmethod
    def of(cls, views: Mapping[str, RunView], metric: str | None = None) -> ArmsView:
        """Compare runs with the first of them.

        Args:
            views: of finished runs with a test role.
            metric: as in `compare`; by default QWK for grades and macro-F1 under the fitted rules for the others.
        """
        first = next(iter(views.values()))
        usual = "f1" if len(first.census.classes) == 1 else "macro_f1"
        chosen = metric or ("qwk" if first.census.task == "ordinal" else usual)
        judged = {name: view for name, view in views.items() if "test" in view.scores}
        if len(judged) < len(views) or len(views) < 2 or first.recipe.split.fold is not None:
            return cls(views, (), chosen)
        scores = {name: view.scores["test"] for name, view in views.items()}
        rules = {name: view.rule for name, view in views.items()}
        return cls(views, compare_arms(scores, next(iter(views)), chosen, rules=rules), chosen)

    def sentences(self) -> list[str]:
        """Return one sentence for each arm beside the first; of folds, one for all."""
        if next(iter(self.views.values())).recipe.split.fold is None:
            return [comparison.sentence for comparison in self.comparisons]
        values = [view.metrics["rule"].value(self.metric) for view in self.views.values() if "rule" in view.metrics]
        known = [value for value in values if not math.isnan(value)]
        if not known:
            return []
        return [
            f"Over {len(known)} folds, in which each row is tested once: {metric_name(self.metric)} "
            f"{sum(known) / len(known):.3f} on average, from {min(known):.3f} to {max(known):.3f}."
        ]


def arms_table(arms: ArmsView) -> Table:
    """Return the test metrics of every arm under its fitted rule, with intervals.

    Args:
        arms: from `ArmsView.of`.
    """
    tables = {name: view.metrics["rule"] for name, view in arms.views.items() if "rule" in view.metrics}
    table = empty_table("Test metrics under each arm's fitted rule")
    if not tables:
        table_columns(table, "no test role: nothing was judged", [])
        return table
    first = next(iter(tables.values()))
    rows = {row.name: row for row in (first.overall() or first.of_class(first.classes[0]))}
    names = [name for name in _SHOWN if name in rows]
    table_columns(table, f"arm, {first.cases:,} rows", [metric_name(name) for name in names])
    for arm, found in tables.items():
        there = {row.name: row for row in (found.overall() or found.of_class(found.classes[0]))}
        table_row(table, arm, [figure_cell(there[name]) if name in there else "-" for name in names])
    return table


def arms_class_table(arms: ArmsView, comparison: Comparison) -> Table:
    """Return, class by class, what an arm changes beside the first one.

    Args:
        arms: from `ArmsView.of`.
        comparison: one of its comparisons.
    """
    after, before = comparison.names
    table = empty_table(f"{metric_name(arms.metric)} by class: {before} and {after}")
    table_columns(table, "class", ["positives", before, after, "difference", "p adjusted", "note"])
    for row in comparison.classes:
        cells = [f"{row.positives:,}", _number(row.value_b), _number(row.value_a)]
        interval = "no interval" if math.isnan(row.low) else f"[{row.low:+.3f}, {row.high:+.3f}]"
        difference = "-" if math.isnan(row.value) else f"{row.value:+.3f} {interval}"
        table_row(table, row.class_name or "", [*cells, difference, _number(row.adjusted_p), row.note])
    return table


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
