"""Reading split files, made here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError, listed, nearest
from equipoise.labels.split import ROLE_WORDS, _fold_roles
from equipoise.labels.table import TableSource, open_table

_ROLE_COLUMNS = ("role", "split", "subset", "set", "partition")


@dataclass(frozen=True, eq=False)
class SplitRows:
    """The rows of a split file, where an id may stand twice; fold -1 is that of a row of the test role, in no fold."""

    ids: NDArray[Any]
    roles: NDArray[Any]
    folds: NDArray[np.int64] | None
    name: str


def read_split_rows(path: Path, ids: str, roles: str | None, folds: str | None) -> SplitRows:
    """Return the rows of a split file as they stand; see `read_split`."""
    if path.suffix.casefold() == ".npz":
        return _npz_rows(path)
    source = open_table(path)
    role_column, fold_column = _columns(source, ids, roles, folds)
    wanted = [source.require_column(ids), *(name for name in (role_column, fold_column) if name is not None)]
    columns = _texts(source, wanted)
    names = columns.pop(0)
    role_texts = columns.pop(0) if role_column is not None else None
    given = None if role_texts is None or role_column is None else _roles(source, role_column, role_texts)
    numbers = _fold_numbers(source, fold_column, columns[0], given) if fold_column is not None else None
    if given is not None:
        return SplitRows(names, given, numbers, source.name)
    assert numbers is not None
    return SplitRows(names, _fold_roles(numbers, 0, int(numbers.max()) + 1), numbers, source.name)


def _npz_rows(path: Path) -> SplitRows:
    from equipoise.labels.read import read_labels

    names = read_labels(path, groups="none").ids
    return SplitRows(names, np.array([name.rpartition("-")[0] for name in names], dtype=object), None, path.name)


def _columns(source: TableSource, ids: str, roles: str | None, folds: str | None) -> tuple[str | None, str | None]:
    source.require_column(ids)
    folded = {name.casefold(): name for name in source.columns}
    if roles is not None:
        source.require_column(roles)
    else:
        roles = next((folded[name] for name in _ROLE_COLUMNS if name in folded and folded[name] != ids), None)
    if folds is not None:
        source.require_column(folds)
    else:
        folds = folded.get("fold")
    if roles is None and folds is None:
        raise DataError(
            f"{source.name} has no column of roles or folds; its columns are {listed(source.columns, limit=30)}. "
            "Name it with `roles` or `folds`."
        )
    return roles, folds


def _texts(source: TableSource, names: list[str]) -> list[NDArray[Any]]:
    from equipoise.labels.read import names_of, require_rows

    columns: list[list[str]] = [[] for _ in names]
    for batch in source.batches((), names):
        for column, array in zip(columns, batch, strict=True):
            column.extend(array.to_pylist())
    require_rows(source, len(columns[0]))
    return [names_of(columns[0]), *(np.array(column, dtype=object) for column in columns[1:])]


def _roles(source: TableSource, column: str, texts: NDArray[Any]) -> NDArray[Any]:
    meaning = {text: ROLE_WORDS.get(text.strip().casefold()) for text in set(texts.tolist())}
    for text, role in meaning.items():
        if role is None:
            row = int(np.flatnonzero(texts == text)[0])
            raise DataError(
                f'{source.place(row, column)}: "{text}" is no role; the roles are "train", "validation" and "test". '
                f"Correct the cell, or name another column with `roles`.{nearest(text, ROLE_WORDS)}"
            )
    return np.array([meaning[text] for text in texts.tolist()], dtype=object)


def _fold_numbers(
    source: TableSource, column: str, texts: NDArray[Any], roles: NDArray[Any] | None
) -> NDArray[np.int64]:
    """Return the fold of each row; -1, of no fold, is for rows whose role is test, as cross-fitted runs write them."""
    tested = np.zeros(len(texts), bool) if roles is None else roles == "test"
    for row, text in enumerate(texts.tolist()):
        number = text.isascii() and text.isdigit() and len(text) < 5
        if not number and not (text == "-1" and tested[row]):
            raise DataError(
                f'{source.place(row, column)}: "{text}" is no fold number from 0, nor -1 of a row whose role is test. '
                "Correct the cell."
            )
    return texts.astype(np.int64)
