"""Scores as Parquet and CSV.

Columns: ``id``, ``group``, ``role``, ``task``; labels in ``y_<class>`` (0, 1, empty = unknown), or for exclusive
    classes the
name of the class in ``y``; values in ``p_<class>`` (probabilities) or ``z_<class>`` (logits). A ``group`` column
without a single entry declares that rows are independent; ``--groups none`` does so where there is no such column.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._checks import ArgumentError, DataError, check_one_of, listed, nearest
from equipoise._files import write_bytes
from equipoise.scores.record import ROLES, TASKS, Scores

if TYPE_CHECKING:
    import polars as pl

_PREFIXES = {"p_": "probabilities", "z_": "logits"}
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
) -> Scores:
    """Read scores of any model from CSV (gz too), TSV or Parquet.

    The values are probabilities in columns ``p_<class>``, or logits in ``z_<class>``; it is never guessed from the
    numbers. Labels are in ``y_<class>``, or for exclusive classes by name in ``y``.

    Args:
        path: the file.
        role: which rows to take where a column ``role`` has several; what the rows are where there is no such column.
        task: needed where it does not follow from the columns (``y`` alone is read as multiclass; say "ordinal").
        ids: column that names each row, default ``id``; "none" declares that there are no ids.
        groups: column of the patient, default ``group``; "none" declares that rows are independent.
        prefer: the role to take where the file has several and `role` does not choose.

    Raises:
        DataError: the file cannot be used; the message has row, column and remedy.
        ArgumentError: `role` or `task` is none of those allowed, or has to be given.
    """
    if role is not None:
        check_one_of(role, ROLES, argument="role", function="read_scores")
    if task is not None:
        check_one_of(task, TASKS, argument="task", function="read_scores")
    table = _read(Path(path))
    table, found_role = _choose_role(table, role, prefer, path)
    prefix, names = _value_columns(table, path)
    found_task = task or _single(table, "task", path)
    exclusive = "y" in table.columns
    labels = _class_labels(table, names, path) if exclusive else _binary_labels(table, names, path)
    values = np.column_stack([_numbers(table, f"{prefix}{name}", path, empty="score") for name in names])
    if not exclusive and len(names) == 1 and found_task != "multilabel":
        labels, values = labels[:, 0], values[:, 0]
    id_column = _named_column(table, ids, "id", path)
    group_column = _named_column(table, groups, "group", path)
    try:
        return Scores(
            labels=labels,
            values=values,
            kind=_PREFIXES[prefix],
            ids=None if id_column is None else _names(table, id_column, path),
            groups=None if group_column is None else _groups(table, group_column, path),
            role=found_role,
            classes=names,
            task=found_task,
        )
    except (ArgumentError, DataError) as error:
        raise DataError(f"{path}: {error}") from error


def _read(path: Path) -> pl.DataFrame:
    import polars as pl

    from equipoise.labels.table import open_table, read_table

    if open_table(path).kind == "text":
        return read_table(path)
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} could not be read: {str(error).splitlines()[0]}. Write it again.") from error
    if not table.height:
        raise DataError(f"{path} has no rows. Check how it was written.")
    return table


def _choose_role(
    table: pl.DataFrame, role: str | None, prefer: str | None, path: str | Path
) -> tuple[pl.DataFrame, str]:
    import polars as pl

    if "role" not in table.columns:
        if role is None:
            raise ArgumentError(
                f'{path} has no column "role". Say what its rows are: role="validation" or "test" (command '
                f"line: --role)."
            )
        return table, role
    present = table["role"].unique().drop_nulls().sort().to_list()
    if role is None and prefer in present:
        role = prefer
    if role is None:
        if len(present) != 1:
            raise ArgumentError(
                f"{path} holds the roles {listed(present)}. Choose one with role= (command line: --role)."
            )
        role = str(present[0])
        check_one_of(role, ROLES, argument="role", function=f"column role of {path}")
    chosen = table.filter(pl.col("role") == role)
    if not chosen.height:
        raise DataError(f'{path} has no row of role "{role}", only {listed(present)}. Choose one of those.')
    return chosen, role


def _single(table: pl.DataFrame, column: str, path: str | Path) -> str | None:
    if column not in table.columns:
        return None
    present = table[column].unique().drop_nulls().to_list()
    if len(present) != 1:
        raise DataError(
            f'{path}, column "{column}" must hold one value; got {listed(sorted(map(str, present)))}. Split the file.'
        )
    check_one_of(present[0], TASKS, argument=column, function=str(path))
    return str(present[0])


def _value_columns(table: pl.DataFrame, path: str | Path) -> tuple[str, list[str]]:
    """Return the prefix of the score columns, and the classes in the order of those columns."""
    found = {prefix: [name[2:] for name in table.columns if name.startswith(prefix)] for prefix in _PREFIXES}
    if bool(found["p_"]) == bool(found["z_"]):
        both = "both p_* and z_* columns" if found["p_"] else "no score columns"
        raise DataError(
            f"{path} has {both} (columns: {listed(table.columns)}). "
            "Name probabilities p_<class>, or logits z_<class>; one kind only."
        )
    prefix = "p_" if found["p_"] else "z_"
    names = found[prefix]
    labelled = [name[2:] for name in table.columns if name.startswith("y_")]
    if "y" in table.columns and labelled:
        raise DataError(
            f"{path} has a column y and columns y_*. Keep y for exclusive classes, or y_<class> for findings."
        )
    if "y" not in table.columns:
        for name in (*names, *labelled):
            if name not in labelled or name not in names:
                missing = f"y_{name}" if name not in labelled else f"{prefix}{name}"
                raise DataError(
                    f'{path} has no column "{missing}".{nearest(missing, table.columns)} '
                    "Each class needs a column of labels and a column of scores."
                )
    return prefix, names


def _numbers(table: pl.DataFrame, column: str, path: str | Path, *, empty: str) -> np.ndarray:
    """Return a column as float64; an empty cell is NaN where `empty` is "unknown", else an error that names the row."""
    import polars as pl

    cells = table[column]
    numbers = cells.str.strip_chars().cast(pl.Float64, strict=False) if cells.dtype == pl.String else cells
    if not numbers.dtype.is_numeric() and numbers.dtype not in (pl.Boolean, pl.Null):
        raise DataError(f'{path}, column "{column}" holds {numbers.dtype}, not numbers. Write numbers.')
    numbers = numbers.cast(pl.Float64)
    lost = numbers.is_null() & cells.is_not_null()
    if cells.dtype == pl.String:
        lost = lost & (cells.str.strip_chars() != "")
    if lost.any():
        row = int(lost.arg_max() or 0)
        raise DataError(f'{path} row {row + 1}, column "{column}": "{cells[row]}" is not a number. Correct the cell.')
    if empty == "score" and numbers.has_nulls():
        row = int(numbers.is_null().arg_max() or 0)
        raise DataError(
            f'{path} row {row + 1}, column "{column}": the score is missing. Fill it in or leave the row out.'
        )
    return numbers.fill_null(float("nan")).to_numpy()


def _binary_labels(table: pl.DataFrame, names: list[str], path: str | Path) -> np.ndarray:
    return np.column_stack([_numbers(table, f"y_{name}", path, empty="unknown") for name in names])


def _class_labels(table: pl.DataFrame, names: list[str], path: str | Path) -> np.ndarray:
    import polars as pl

    cells = table["y"].cast(pl.String).str.strip_chars()
    known = cells.is_not_null() & (cells != "")
    wrong = known & ~cells.is_in(names)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise DataError(
            f'{path} row {row + 1}, column "y": "{cells[row]}" is not one of '
            f"{listed(names)}.{nearest(cells[row], names)} "
            "Write the name of a class, as in the score columns, or leave the cell empty where it is unknown."
        )
    index = {name: float(position) for position, name in enumerate(names)}
    return np.array([index.get(cell, float("nan")) if cell else float("nan") for cell in cells.to_list()])


def _named_column(table: pl.DataFrame, given: str | None, default: str, path: str | Path) -> str | None:
    if given == "none":
        return None
    column = given or default
    if column in table.columns:
        return column
    flag = f"{default}s"
    raise DataError(
        f'{path} has no column "{column}".{nearest(column, table.columns)} '
        f"Name it with {flag}= (command line: --{flag} COLUMN), or declare that there is none: --{flag} none."
    )


def _names(table: pl.DataFrame, column: str, path: str | Path) -> np.ndarray:
    import polars as pl

    cells = table[column]
    if cells.dtype.is_integer() and not cells.has_nulls():
        return cells.cast(pl.Int64).to_numpy()
    texts = cells.cast(pl.String)
    empty = texts.is_null() | (texts == "")
    if empty.any():
        row = int(empty.arg_max() or 0)
        raise DataError(f'{path} row {row + 1}, column "{column}" is empty. Name every row, or declare --ids none.')
    return texts.to_numpy()


def _groups(table: pl.DataFrame, column: str, path: str | Path) -> np.ndarray | None:
    import polars as pl

    texts = table[column].cast(pl.String)
    empty = texts.is_null() | (texts == "")
    if empty.all():
        return None
    if empty.any():
        row = int(empty.arg_max() or 0)
        raise DataError(
            f'{path} row {row + 1}, column "{column}" is empty while other rows have a group. '
            "Fill it in; a row of its own needs a group of its own."
        )
    return _names(table, column, path)
