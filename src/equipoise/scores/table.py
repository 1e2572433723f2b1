"""Scores as Parquet and CSV.

Columns: ``id``, ``group``, ``role``, ``task``; labels in ``y_<class>`` (0, 1, empty = unknown), or for exclusive
classes the name of the class in ``y``; values in ``p_<class>`` (probabilities) or ``z_<class>`` (logits). A ``group``
column without a single entry declares that rows are independent; ``--groups none`` does so where there is no such
column. Files of other programs call their columns otherwise: they are named one by one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._checks import ArgumentError, DataError, check_one_of
from equipoise._files import write_bytes
from equipoise._tasks import is_exclusive
from equipoise.labels.table import open_table
from equipoise.scores._layout import find_layout
from equipoise.scores._rows import (
    check_role,
    choose_role,
    group_array,
    id_array,
    label_array,
    name_column,
    read_rows,
    task_column,
    usual_task,
    value_array,
)
from equipoise.scores.record import ROLES, TASKS, Scores

if TYPE_CHECKING:
    import polars as pl

_PARQUET = (".parquet", ".pq")


def write_scores(scores: Scores, path: str | Path) -> None:
    """Write scores as Parquet (.parquet) or CSV (.csv), all of it or nothing. Numbers survive the round trip exactly.

    Raises:
        ArgumentError: the name ends in neither.
        RunError: the folder cannot be written to, or the disk is full.
    """
    import polars as pl

    suffix = Path(path).suffix.lower()
    if suffix not in (*_PARQUET, ".csv"):
        raise ArgumentError(
            f"Scores are written as .parquet or .csv; got {path}. Choose a name that ends in one of them."
        )
    rows = len(scores)
    ids = pl.Series(scores.ids.tolist(), dtype=pl.Int64 if scores.ids.dtype.kind in "iu" else pl.String)
    columns: dict[str, Any] = {} if scores.numbered else {"id": ids}
    if scores.groups is None:
        columns["group"] = pl.Series([None] * rows, dtype=pl.String)
    else:
        columns["group"] = pl.Series(scores.groups.tolist())
    columns["role"] = pl.Series([scores.role] * rows)
    columns["task"] = pl.Series([scores.task] * rows)
    columns |= _label_columns(scores)
    prefix = "z_" if scores.kind == "logits" else "p_"
    values = scores.value_table()
    columns |= {f"{prefix}{name}": values[:, index] for index, name in enumerate(scores.classes)}
    table = pl.DataFrame(columns)
    write_frame(table, path)


def write_frame(table: pl.DataFrame, path: str | Path) -> None:
    """Write a table as CSV (.csv) or else Parquet, all of it or nothing.

    It is made in memory first: of a full disk, polars says so in an error of its own kind.

    Raises:
        RunError: the folder cannot be written to, or the disk is full.
    """
    content = io.BytesIO()
    if Path(path).suffix.lower() == ".csv":
        table.write_csv(content)
    else:
        table.write_parquet(content)
    write_bytes(path, content.getvalue())


def _label_columns(scores: Scores) -> dict[str, Any]:
    import polars as pl

    if scores.exclusive:
        names = [None if np.isnan(one) else scores.classes[int(one)] for one in scores.labels.tolist()]
        return {"y": pl.Series(names, dtype=pl.String)}
    labels = scores.table()
    return {
        f"y_{name}": pl.Series(labels[:, index], nan_to_null=True).cast(pl.Int8)
        for index, name in enumerate(scores.classes)
    }


def read_scores(
    path: str | Path,
    *,
    role: str | None = None,
    task: str | None = None,
    ids: str | None = None,
    groups: str | None = None,
    prefer: str | None = None,
    labels: str | Sequence[str] | None = None,
    values: str | Sequence[str] | None = None,
    kind: str | None = None,
    positive: str | None = None,
    classes: Sequence[str] | None = None,
) -> Scores:
    r"""Read scores of any model from CSV (gz too), TSV or Parquet; what was inferred is said in ``scores.notes``.

    Nothing is guessed from the numbers. The names say it (``p_<class>`` holds probabilities, ``z_<class>`` logits,
    ``y_<class>`` labels, ``y`` the name of the class), or the arguments do. Row numbers in messages count data rows
    from 1.

    Args:
        path: the file.
        role: which rows to take where a column ``role`` has several; what the rows are where there is no such column.
        task: needed where it does not follow from the columns (one column of classes is read as multiclass; say
            "ordinal" for grades).
        ids: column that names each row, default ``id``; "none" declares that there are no ids.
        groups: column of the patient, default ``group``; "none" declares that rows are independent.
        prefer: the role to take where the file has several and `role` does not choose.
        labels: label columns: one per score column in the same order, or one that holds the name of the class;
            "none" declares that the labels are unknown. Default: ``y`` or ``y_<class>``.
        values: score columns. Default: all ``p_<class>`` or ``z_<class>``.
        kind: "probabilities" or "logits", where the names of the score columns do not say it.
        positive: the label that is positive, where that is not plain from 0/1, no/yes and the like; every other label
            is negative, and an empty cell unknown.
        classes: names of the classes, in the order of the score columns. Default: from the names of the columns.

    Raises:
        DataError: the file cannot be used; the message has row, column and remedy.
        ArgumentError: the arguments do not fit the file or each other, or one has to be given.

    Example:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "xgboost.csv"
        >>> _ = path.write_text("outcome,risk\nno,0.125\nyes,0.5\n,0.25\n")
        >>> found = read_scores(path, labels="outcome", values="risk", kind="probabilities", role="test",
        ...                     ids="none", groups="none")
        >>> found.task, found.classes, found.labels.tolist(), found.values.tolist()
        ('binary', ('outcome',), [0.0, 1.0, nan], [0.125, 0.5, 0.25])
        >>> folder.cleanup()
    """
    if role is not None:
        check_one_of(role, ROLES, argument="role", function="read_scores")
    if task is not None:
        check_one_of(task, TASKS, argument="task", function="read_scores")
    source = open_table(path)
    layout = find_layout(source, labels=labels, values=values, kind=kind, classes=classes, task=task, positive=positive)
    check_role(source, role)
    id_column, group_column = name_column(source, ids, "id"), name_column(source, groups, "group")
    rows = read_rows(source, layout, names=[id_column, group_column], positive=positive)
    rows, found_role = choose_role(rows, role, prefer)
    found_task = task or task_column(rows) or usual_task(layout)
    array, names, notes = label_array(rows, layout, positive)
    numbers = value_array(rows, layout, exclusive=is_exclusive(found_task))
    flat = found_task == "binary" and len(layout.values) == 1
    try:
        return Scores(
            labels=array[:, 0] if flat and array.ndim == 2 else array,
            values=numbers[:, 0] if flat else numbers,
            kind=layout.kind,
            ids=None if id_column is None else id_array(rows, id_column),
            groups=None if group_column is None else group_array(rows, group_column),
            role=found_role,
            classes=names,
            task=found_task,
            notes=(*source.notes, *notes),
        )
    except ArgumentError as error:
        raise DataError(f"{source.name}: {error}") from error
