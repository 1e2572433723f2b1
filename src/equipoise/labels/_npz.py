"""MedMNIST-style archives: ``train_labels``, ``val_labels`` and ``test_labels`` in one ``.npz``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, check_one_of, listed
from equipoise._npz import Npz, missing, open_npz
from equipoise._tasks import TASKS
from equipoise.labels.read import Labels

_KEYS = {"train": "train_labels", "validation": "val_labels", "test": "test_labels"}


def read_npz(
    path: Path, *, task: str | None, role: str | None, groups: str | None, classes: Sequence[str] | None
) -> Labels:
    """Return the labels of a MedMNIST-style archive; the id of row 5 of the train role is ``train-5``.

    Nothing is unpickled, and the images are not read.

    Raises:
        DataError: the file is no archive, has no such array, or an array is not of integers (rows,) or (rows, classes).
        ArgumentError: a column of groups is asked for, or the task does not fit the shape.
    """
    if groups not in (None, "none"):
        raise ArgumentError('`groups` of read_labels cannot name a column of an .npz file. Pass groups="none".')
    if task is not None:
        check_one_of(task, TASKS, argument="task", function="read_labels")
    arrays = _arrays(path, role)
    ids = np.array([f"{name}-{row}" for name, array in arrays.items() for row in range(len(array))], dtype=object)
    widths = {array.shape[1] for array in arrays.values()}
    if len(widths) > 1:
        raise DataError(
            f"{path.name}: the label arrays have different numbers of columns, {sorted(widths)}. Repair it."
        )
    table = np.concatenate(list(arrays.values()))
    if not len(table):
        raise DataError(f"{path.name} holds no labels: its arrays have no rows. Check the file.")
    task, values, names, note = _valued(path, table, task, classes)
    return Labels(
        task, names, values, ids, groups_known=groups is not None, source=path.name, notes=(f"task: {task}, {note}.",)
    )


def _arrays(path: Path, role: str | None) -> dict[str, NDArray[np.float64]]:
    if role is not None:
        check_one_of(role, _KEYS, argument="role", function="read_labels")
    if path.is_dir() or not path.exists():
        raise DataError(f"{path} {'is a directory' if path.is_dir() else 'does not exist'}. Give the .npz file.")
    with open_npz(path) as archive:
        found = {name: key for name, key in _KEYS.items() if key in archive.names and role in (None, name)}
        if not found:
            raise missing(path, listed([_KEYS[role]] if role else _KEYS.values()), archive.names)
        return {name: _label_array(archive, key) for name, key in found.items()}


def _label_array(archive: Npz, key: str) -> NDArray[np.float64]:
    """Return (rows, classes) of an array of labels, whose header is judged before anything is unpacked."""
    shape, dtype = archive.header(key)
    if dtype.kind not in "iubf" or len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] == 0):
        raise DataError(
            f"{archive.path.name}, array {key}: labels must be numbers of shape (rows,) or (rows, classes); got "
            f"{dtype} of shape {shape}."
        )
    array = archive.read(key)
    return (array[:, None] if array.ndim == 1 else array).astype(np.float64)


def _valued(
    path: Path, table: NDArray[np.float64], task: str | None, classes: Sequence[str] | None
) -> tuple[str, NDArray[np.float32], tuple[str, ...], str]:
    known = table[~np.isnan(table)]
    if known.size == 0 or np.any(known != np.floor(known)) or known.min() < 0 or known.max() > 29_999:
        raise DataError(f"{path.name}: labels must be class numbers 0, 1, 2, ... Correct the arrays.")
    top = int(known.max())
    if table.shape[1] > 1:
        if top > 1 or task not in (None, "multilabel"):
            raise DataError(
                f"{path.name}: {table.shape[1]} label columns are multilabel and hold 0 or 1; the largest label is "
                f"{top}, the task {task!r}. Correct one of them."
            )
        names = _class_names(path, classes, table.shape[1])
        return "multilabel", table.astype(np.float32), names, "because each row has several labels"
    note = "as stated" if task else "because the labels are class numbers"
    if task == "multilabel" or (task == "binary" and top > 1):
        raise DataError(
            f"{path.name}: one label column with the class numbers 0 to {top} is not {task}. Change `task`."
        )
    if task == "binary" or (task is None and top <= 1 and (classes is None or len(classes) == 1)):
        names = _class_names(path, classes, 1) if classes else ("1",)
        return "binary", table[:, 0].astype(np.float32), names, note
    names = _class_names(path, classes, max(top + 1, len(classes or ())))
    if task is None:
        note += ' (pass task="ordinal" if they are grades)'
    return task or "multiclass", table[:, 0].astype(np.float32), names, note


def _class_names(path: Path, classes: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if classes is None:
        return tuple(str(number) for number in range(count))
    if len(classes) != count:
        raise ArgumentError(f"`classes` names {len(classes)} classes; {path.name} has {count}. Name each.")
    return tuple(classes)
