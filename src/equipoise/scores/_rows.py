"""The rows of a table on their way to be scores: every check that can name a row and a column of the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats, RowIds
from equipoise._checks import ArgumentError, DataError, check_one_of, listed, nearest
from equipoise.labels.columns import Columns, read_columns
from equipoise.labels.table import TableSource
from equipoise.scores._labels import binary_cells, class_cells
from equipoise.scores._layout import NONE, Layout
from equipoise.scores.record import ROLES, ROUNDING, SUM_ROUNDING, TASKS

_BLOCK = 4096  # rows that are turned from columns at once: they fit the cache


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Columns of a table, and which of its rows count.

    Attributes:
        source: the table.
        columns: what was read of it.
        kept: the numbers of the rows that count; None for all.
    """

    source: TableSource
    columns: Columns
    kept: NDArray[np.int64] | None = None

    def only(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the part of `array` that belongs to the rows that count."""
        return array if self.kept is None else array[self.kept]

    def place(self, row: int, column: str | None = None) -> str:
        """Return where the row stands in the file, in words."""
        return self.source.place(row if self.kept is None else int(self.kept[row]), column)


def name_column(source: TableSource, given: str | None, default: str) -> str | None:
    """Return the column that names rows or groups; None where the user declared that there is none."""
    if given == NONE:
        return None
    column = given or default
    if column in source.columns:
        return source.require_column(column)
    flag = f"{default}s"
    raise DataError(
        f'{source.name} has no column "{column}".{nearest(column, source.columns)} '
        f"Name it with {flag}= (command line: --{flag} COLUMN), or declare that there is none: --{flag} none."
    )


def read_rows(source: TableSource, layout: Layout, *, names: Sequence[str | None], positive: str | None) -> Rows:
    """Return the columns that are needed, and no other."""
    texts = [name for name in ("role", "task") if name in source.columns]
    named = [name for name in names if name is not None]
    for name in (*layout.labels, *layout.values):
        if name in (*texts, *named):
            raise ArgumentError(
                f'{source.name}: column "{name}" cannot hold labels or scores and also name rows, roles or tasks. '
                "Give another column."
            )
    as_words = layout.exclusive or positive is not None
    if as_words:
        return Rows(source, read_columns(source, layout.values, [*texts, *layout.labels], names=named))
    return Rows(source, read_columns(source, layout.values, texts, names=named, either=layout.labels))


def check_role(source: TableSource, role: str | None) -> None:
    """Raise `ArgumentError` when nothing says what the rows are."""
    if role is None and "role" not in source.columns:
        raise ArgumentError(
            f'{source.name} has no column "role". Say what its rows are: role="validation" or "test" (command line: '
            "--role)."
        )


def choose_role(rows: Rows, role: str | None, prefer: str | None) -> tuple[Rows, str]:
    """Return the rows of the role, and the role."""
    name = rows.source.name
    if "role" not in rows.columns.texts:
        assert role is not None  # `check_role` saw to it
        return rows, role
    distinct, codes = rows.columns.texts["role"]
    present = sorted(text for text in distinct if text)
    if role is None and prefer in present:
        role = prefer
    if role is None:
        if len(present) != 1:
            raise ArgumentError(
                f"{name} holds the roles {listed(present)}. Choose one with role= (command line: --role)."
            )
        role = present[0]
    if role not in present:
        raise DataError(f'{name} has no row of role "{role}", only {listed(present)}. Choose one of those.')
    check_one_of(role, ROLES, argument="role", function=f"column role of {name}")
    kept = None if distinct == [role] else np.flatnonzero(codes == distinct.index(role))
    return dataclasses.replace(rows, kept=kept), role


def task_column(rows: Rows) -> str | None:
    """Return what a column ``task`` says, if there is one."""
    if "task" not in rows.columns.texts:
        return None
    distinct, codes = rows.columns.texts["task"]
    present = sorted({distinct[code] for code in np.unique(rows.only(codes)).tolist()} - {""})
    if len(present) != 1:
        raise DataError(
            f'{rows.source.name}, column "task" must hold one value; got {listed(present) or "none"}. Split the file.'
        )
    check_one_of(present[0], TASKS, argument="task", function=f"column task of {rows.source.name}")
    return str(present[0])


def usual_task(layout: Layout) -> str:
    """Return the task that follows from the columns."""
    if layout.exclusive:
        return "multiclass"
    return "binary" if len(layout.values) == 1 else "multilabel"


# --- labels


def label_array(rows: Rows, layout: Layout, positive: str | None) -> tuple[Floats, tuple[str, ...], list[str]]:
    """Return the labels, the names of the classes, and what was understood, in words."""
    names = layout.names[0]
    if not layout.labels:
        shape = (rows.columns.rows,) if layout.exclusive else (rows.columns.rows, len(layout.values))
        return rows.only(np.full(shape, np.nan)), layout.names[-1], ["The labels are declared unknown."]
    if layout.exclusive:
        distinct, codes = rows.columns.texts[layout.labels[0]]
        array, names = class_cells(distinct, codes, rows.source, layout.labels[0], layout.names)
        return rows.only(array), names, []
    columns, notes = [], []
    for name in layout.labels:
        if name in rows.columns.numbers:
            columns.append(_zero_one(rows, name))
            continue
        array, said = binary_cells(*rows.columns.texts[name], rows.source, name, positive)
        columns.append(rows.only(array))
        notes += [said] if said else []
    return _rows_of(columns), names, notes


def _zero_one(rows: Rows, name: str) -> Floats:
    labels: Floats = rows.only(rows.columns.numbers[name])
    wrong = ~((labels == 0) | (labels == 1) | np.isnan(labels))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{rows.place(row, name)}: label {labels[row]:g} is not 0, 1 or empty (unknown). Correct the cell, or say "
            "which label is positive: positive= (command line: --positive)."
        )
    return labels


# --- scores


def value_array(rows: Rows, layout: Layout, *, exclusive: bool) -> Floats:
    """Return the scores, shape (rows, columns).

    Raises:
        DataError: one is missing, infinite, or not a probability where it is declared to be one.
    """
    columns = [rows.only(rows.columns.numbers[name]) for name in layout.values]
    for name, column in zip(layout.values, columns, strict=True):
        low, high = float(column.min()), float(column.max())
        if not np.isfinite(low) or not np.isfinite(high):
            _refuse_infinite(rows, name, column)
        if layout.kind == "probabilities" and not -ROUNDING <= low <= high <= 1 + ROUNDING:
            _refuse_outside(rows, name, column)
    table = _rows_of(columns)
    if layout.kind == "probabilities" and exclusive:
        _check_sums(rows, layout, table)
    return table


def _refuse_infinite(rows: Rows, name: str, column: Floats) -> None:
    row = int((~np.isfinite(column)).argmax())
    if np.isnan(column[row]):
        raise DataError(
            f"{rows.place(row, name)}: the score is missing (empty or NaN). Find out why the model gave no number; "
            "fill it in or leave the row out."
        )
    raise DataError(
        f"{rows.place(row, name)}: the score is {column[row]:g}. Find out why the model gave no finite number, or "
        "leave the row out."
    )


def _refuse_outside(rows: Rows, name: str, column: Floats) -> None:
    wrong = (column < -ROUNDING) | (column > 1 + ROUNDING)
    row = int(wrong.argmax())
    percent = " If they are percentages, divide by 100." if 1 < column.max() <= 100 and column.min() >= 0 else ""
    raise DataError(
        f"{rows.place(row, name)}: {column[row]:g} is not a probability ({int(wrong.sum()):,} of {len(column):,} "
        f'values of this column are outside [0, 1]). If these are logits, say so: kind="logits" (command line: '
        f"--scores COLUMN,... --kind logits; or name the columns z_<class>).{percent}"
    )


def _check_sums(rows: Rows, layout: Layout, table: Floats) -> None:
    sums = table.sum(axis=1)
    wrong = np.abs(sums - 1) > SUM_ROUNDING
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{rows.place(row)}: the probabilities of the classes ({listed(layout.values)}) sum to {sums[row]:.4g}, "
            "not to 1. Pass probabilities of a softmax, or logits; for findings that can occur together give each "
            "its own column of labels (task multilabel)."
        )


def _rows_of(columns: Sequence[Floats]) -> Floats:
    """Return columns as one table in the order of the rows, block by block."""
    table = np.empty((len(columns[0]), len(columns)))
    for start in range(0, len(table), _BLOCK):
        block = slice(start, start + _BLOCK)
        table[block] = np.stack([column[block] for column in columns]).T
    return table


# --- names


def id_array(rows: Rows, column: str) -> RowIds:
    """Return the name of each row.

    Raises:
        DataError: one is empty, or two are the same.
    """
    names = _names(rows, column)
    _refuse_empty(rows, column, names, 'Name every row, or declare that there are no ids: ids="none" (--ids none).')
    if len(set(names)) < len(names):
        _refuse_repeat(rows, column, names)
    return _objects(names)


def _refuse_repeat(rows: Rows, column: str, names: list[str]) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if name in first:
            raise DataError(
                f'{rows.place(row, column)}: the id "{name}" is also that of row '
                f"{(first[name] if rows.kept is None else int(rows.kept[first[name]])) + 1}. Keep one row per id, or "
                'declare that there are no ids: ids="none" (command line: --ids none); rows that a rule was fitted on '
                "are then not recognised."
            )
        first[name] = row


def group_array(rows: Rows, column: str) -> RowIds | None:
    """Return the group of each row; None where the whole column is empty: rows are independent.

    Raises:
        DataError: only some are empty.
    """
    names = _names(rows, column)
    if not any(names):
        return None
    remedy = "Fill it in; a row of its own needs a group of its own."
    _refuse_empty(rows, column, names, remedy, "is empty while other rows have a group")
    return _objects(names)


def _names(rows: Rows, column: str) -> list[str]:
    names = rows.columns.names[column]
    return names if rows.kept is None else [names[row] for row in rows.kept.tolist()]


def _refuse_empty(rows: Rows, column: str, names: list[str], remedy: str, what: str = "is empty") -> None:
    if not all(names):
        raise DataError(f"{rows.place(names.index(''), column)} {what}. {remedy}")


def _objects(names: list[str]) -> RowIds:
    array = np.empty(len(names), dtype=object)
    array[:] = names
    return array
