"""`evaluate --by`: where the subgroup of each row comes from, and how the tables are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from equipoise._checks import ArgumentError, DataError, listed
from equipoise.cli._options import console, print_table
from equipoise.evidence.metric_table import interval_text
from equipoise.evidence.subgroups import Subgroups
from equipoise.scores import Scores

ByOption = Annotated[
    str | None, typer.Option("--by", help="Column of a subgroup, such as view or sex: one table for each.")
]
ByTableOption = Annotated[
    Path | None, typer.Option("--by-table", help="Table with that column and the ids, where the scores lack it.")
]
_SHOWN = ("auc", "ap", "f1", "recall", "precision")


def subgroup_names(path: Path, scores: Scores, by: str, table: Path | None, ids: str | None) -> list[str]:
    """Return the subgroup of each row of the scores, matched by id.

    Raises:
        ArgumentError: the rows have no ids to match.
        DataError: a column is missing, an id repeats or is not there; the message names it.
    """
    from equipoise.labels.columns import read_columns
    from equipoise.labels.table import open_table

    if table is None and path.is_dir():
        raise ArgumentError("--by: the scores of a run folder have no further columns. Give a table with --by-table.")
    if scores.numbered:
        raise ArgumentError("--by matches rows by id, and these have none. Name their column with --ids.")
    source = open_table(path if table is None else table)
    column, key = source.require_column(by), source.require_column(ids or "id")
    read = read_columns(source, [], [column], names=[key])
    distinct, codes = read.texts[column]
    if table is None and "role" in source.columns:  # the same id may be there for every role: the last word is the role
        roles, of_row = read_columns(source, [], ["role"], names=[]).texts["role"]
        kept = of_row == roles.index(scores.role) if scores.role in roles else np.ones(len(codes), dtype=bool)
    else:
        kept = np.ones(len(codes), dtype=bool)
    found: dict[str, str] = {}
    for row in np.flatnonzero(kept):
        name = read.names[key][row]
        if name in found:
            raise DataError(f'{source.place(int(row), key)}: "{name}" is there twice. Keep one row per id.')
        found[name] = distinct[codes[row]]
    missing = [one for one in map(str, scores.ids.tolist()) if one not in found]
    if missing:
        raise DataError(
            f"{source.name} lacks {len(missing):,} of {len(scores):,} ids ({listed(missing, limit=3)}). "
            "Add them, with an empty cell where the subgroup is unknown."
        )
    return [found[one] for one in map(str, scores.ids.tolist())]


def show_subgroups(found: Subgroups) -> None:
    """Print averages per subgroup, then each class; every figure is in --json and --out."""
    printer = console()
    for class_name in (None, *next(iter(found.tables.values())).classes):
        lines = []
        shown: list[str] = []
        for name, table in found.with_whole().items():
            rows = table.overall() if class_name is None else table.of_class(class_name)
            picked = {row.name: row for row in rows if row.name in (_SHOWN if class_name else _averages(rows))}
            shown = shown or list(picked)
            support = next(iter(picked.values())).support if picked else 0
            cells = [interval_text(picked[one]) if one in picked else "" for one in shown]
            lines.append((name, f"{table.cases:,}", f"{support:,}", *cells))
        if shown:
            unit = "known rows" if class_name is None else "positives"
            print_table((found.by, "rows", unit, *shown), lines, title=class_name)
    for note in found.notes:
        printer.print(note)


def _averages(rows: list) -> tuple[str, ...]:
    names = [row.name for row in rows]
    return tuple(one for one in ("macro_auc", "macro_ap", "macro_f1", "micro_f1", "qwk", "accuracy") if one in names)
