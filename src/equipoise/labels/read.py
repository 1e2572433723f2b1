"""The record of labels, and reading it from a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import RowIds, RowOrTableFloats, TableFloats
from equipoise._checks import ArgumentError, DataError, check_one_of, listed
from equipoise._tasks import TASKS, is_exclusive
from equipoise.labels._cells import NEGATIVE_WORDS, canonical
from equipoise.labels._meaning import meaning_of, one_hot_values
from equipoise.labels._scan import DROPPED, CellScan, LabelSpec, WideScan
from equipoise.labels.table import TableSource, codes_of, open_table

if TYPE_CHECKING:
    import pyarrow

POLICIES = ("unknown", "negative", "positive", "drop")


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of each row.

    Attributes:
        task: ``"binary"``, ``"multiclass"``, ``"ordinal"`` or ``"multilabel"``.
        classes: class names; for binary the one name of the positive class.
        values: binary (rows,) of 0, 1 or NaN; multilabel (rows, classes) of 0, 1 or NaN; multiclass and ordinal
            (rows,) the index of the class or NaN. NaN is unknown, never negative.
        ids: (rows,) names of the rows: int64, or object when one is not written as a plain integer.
        groups: (rows,) the patient (or other group) of each row, or None.
        groups_known: False when nobody said whether rows share groups; splitting then asks.
        source: where the labels come from.
        notes: sentences about what was inferred or looks odd.
        row_numbers: (rows,) where each row stood in its source, from 0: not 0, 1, 2, ... once rows were left out.

    Raises:
        DataError: the lengths differ, a value is impossible for the task, or a class name stands twice.

    Example:
        >>> import numpy as np
        >>> labels = Labels("binary", ("stroke",), np.array([0.0, 1.0, np.nan], np.float32), np.arange(3))
        >>> labels.table().tolist()
        [[0.0], [1.0], [nan]]
    """

    task: str
    classes: tuple[str, ...]
    values: RowOrTableFloats
    ids: RowIds
    groups: RowIds | None = None
    groups_known: bool = True
    source: str = "labels"
    notes: tuple[str, ...] = ()
    row_numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __repr__(self) -> str:
        unsaid = "rows are independent" if self.groups_known else "groups not said"
        groups = unsaid if self.groups is None else f"{len(np.unique(self.groups)):,} groups"
        size = "1 class" if len(self.classes) == 1 else f"{len(self.classes)} classes"
        return f"Labels({self.source}: {self.task}, {len(self.ids):,} rows, {size}, {groups})"

    def __post_init__(self) -> None:
        check_one_of(self.task, TASKS, argument="task", function="Labels")
        if len(self.row_numbers) != len(self.ids):
            object.__setattr__(self, "row_numbers", np.arange(len(self.ids), dtype=np.int64))
        if len(set(self.classes)) < len(self.classes) or not self.classes:
            raise DataError(f"The classes of {self.source} must be distinct and not empty; got {listed(self.classes)}.")
        expected = (len(self.ids), len(self.classes)) if self.task == "multilabel" else (len(self.ids),)
        if self.values.shape != expected:
            raise DataError(f"The values of {self.source} must have shape {expected}; got {self.values.shape}.")
        if self.groups is not None and len(self.groups) != len(self.ids):
            raise DataError(f"{self.source} has {len(self.ids)} ids but {len(self.groups)} groups. Give one each.")
        top = len(self.classes) - 1 if is_exclusive(self.task) else 1
        with np.errstate(invalid="ignore"):
            wrong = ~(np.isnan(self.values) | ((self.values >= 0) & (self.values <= top)))
            wrong |= np.isfinite(self.values) & (self.values != np.floor(self.values))
        if wrong.any():
            row = int(np.flatnonzero(wrong.reshape(len(self.ids), -1).any(axis=1))[0])
            raise DataError(
                f"{self.source} row {row + 1}: a {self.task} label must be one of 0 to {top} or NaN for unknown; got "
                f"{float(self.values[wrong][0])}. Correct the value."
            )

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: Sequence[int] | NDArray[Any] | slice) -> Labels:
        """Return the labels of some rows, given as numbers or as a mask."""
        index = np.asarray(rows) if not isinstance(rows, slice) else rows
        groups = None if self.groups is None else self.groups[index]
        return replace(
            self, values=self.values[index], ids=self.ids[index], groups=groups, row_numbers=self.row_numbers[index]
        )

    def table(self) -> TableFloats:
        """Return (rows, classes) of 0, 1 or NaN: each class against the rest. For binary there is one column."""
        if self.task == "multilabel":
            return self.values
        if self.task == "binary":
            return self.values[:, None]
        table = np.equal(self.values[:, None], np.arange(len(self.classes), dtype=np.float32)).astype(np.float32)
        table[np.isnan(self.values)] = np.nan
        return table


def read_labels(
    path: str | Path,
    columns: str | Sequence[str] | None = None,
    *,
    separator: str | None = None,
    ids: str | None = None,
    groups: str | None = None,
    task: str | None = None,
    uncertain: str | int | float | None = None,
    unknown: str = "unknown",
    negative: Sequence[str] = NEGATIVE_WORDS,
    positive: str | int | float | None = None,
    role: str | None = None,
    classes: Sequence[str] | None = None,
) -> Labels:
    r"""Return the labels of a table; what was inferred is said in ``labels.notes``.

    Layouts: one 0/1 column per class; one column of classes; one column of findings joined by `separator`; ordinal
    grades 0, 1, 2, ...; the ``train_labels``, ``val_labels`` and ``test_labels`` of a MedMNIST-style ``.npz``, whose
    ids are then ``train-0``, ``train-1``, ... Row numbers in messages count data rows from 1.

    Args:
        path: CSV, TSV (both plain or compressed), Parquet or ``.npz``.
        columns: the label column, or one column per class.
        separator: what joins findings in one cell, such as ``"|"``.
        ids: column that names each row, each once; None numbers the rows from 0.
        groups: column of the patient; ``"none"`` declares that rows are independent; None leaves it unsaid.
        task: binary, multiclass, ordinal or multilabel; None infers it.
        uncertain: a cell that means "not sure", such as CheXpert's -1.
        unknown: what empty and uncertain labels become: ``"unknown"`` (NaN), ``"negative"``, ``"positive"``, or
            ``"drop"`` to leave the row out (also a row whose label is not one of `classes`).
        negative: with `separator`, the words for "none of the classes".
        positive: which label is positive, where that is not plain from 0/1, no/yes and the like.
        role: for ``.npz``, the one role to read.
        classes: the labels that may occur, in order; any other is an error that names the nearest.

    Raises:
        DataError: the table cannot be read or holds something that cannot be right; the message has the place.
        ArgumentError: the arguments do not fit together.

    Example:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "labels.csv"
        >>> _ = path.write_text("image,finding\na,Mass|Edema\nb,No Finding\nc,\n")
        >>> labels = read_labels(path, columns="finding", separator="|", ids="image")
        >>> labels.classes, labels.values.tolist()
        (('Edema', 'Mass'), [[1.0, 1.0], [0.0, 0.0], [nan, nan]])
        >>> folder.cleanup()
    """
    if Path(path).suffix.casefold() == ".npz":
        from equipoise.labels._npz import read_npz

        return read_npz(Path(path), task=task, role=role, groups=groups, classes=classes)
    if role is not None:
        raise ArgumentError("`role` of read_labels is for .npz files. For a table, give its split file to read_split.")
    source = open_table(path)
    spec = label_spec(
        source, columns, separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain, unknown=unknown,
        negative=negative, positive=positive, classes=classes,
    )  # fmt: skip
    labels = _read_wide(source, spec) if spec.wide else _read_cells(source, spec)
    return replace(labels, groups_known=groups is not None, source=source.name, notes=source.notes + labels.notes)


def label_spec(
    source: TableSource,
    columns: str | Sequence[str] | None,
    *,
    groups: str | None,
    uncertain: str | int | float | None,
    positive: str | int | float | None,
    ids: str | None,
    **settings: Any,
) -> LabelSpec:
    """Return checked settings for reading the labels of `source`; the arguments are those of `read_labels`."""
    names = (columns,) if isinstance(columns, str) else tuple(columns or ())
    if not names:
        raise ArgumentError(
            f"`columns` of read_labels must name the label columns of {source.name}. "
            f"Its columns are {listed(source.columns, limit=30)}."
        )
    grouped = groups if groups is not None and not (groups == "none" and "none" not in source.columns) else None
    spec = LabelSpec(
        tuple(source.require_column(name) for name in names),
        ids=source.require_column(ids) if ids is not None else None,
        groups=source.require_column(grouped) if grouped is not None else None,
        uncertain=None if uncertain is None else canonical(str(uncertain)),
        positive=None if positive is None else canonical(str(positive)),
        separator=settings["separator"],
        task=settings["task"],
        unknown=settings["unknown"],
        negative=tuple(settings["negative"]),
        classes=None if settings["classes"] is None else tuple(canonical(str(name)) for name in settings["classes"]),
    )
    _check_spec(spec, source)
    return spec


def _check_spec(spec: LabelSpec, source: TableSource) -> None:
    check_one_of(spec.unknown, POLICIES, argument="unknown", function="read_labels")
    if spec.task is not None:
        check_one_of(spec.task, TASKS, argument="task", function="read_labels")
    used = [*spec.columns, *(name for name in (spec.ids, spec.groups) if name is not None)]
    for name in used:
        if used.count(name) > 1 and not (name == spec.ids == spec.groups and name not in spec.columns):
            raise ArgumentError(f'The column "{name}" of {source.name} is named twice. A column has one purpose.')
    if spec.classes is not None and len(set(spec.classes)) < len(spec.classes):
        raise ArgumentError(f"`classes` of read_labels must be distinct; got {listed(spec.classes)}.")
    if spec.separator is not None:
        if len(spec.columns) > 1:
            raise ArgumentError("`separator` of read_labels is for one column of joined findings. Name one column.")
        if spec.separator == "" or spec.task not in (None, "multilabel"):
            raise ArgumentError(
                '`separator` of read_labels must be at least one character, and its task is "multilabel"; got '
                f"separator={spec.separator!r}, task={spec.task!r}."
            )
        if spec.unknown == "positive":
            raise ArgumentError(
                '`unknown` of read_labels cannot be "positive" for joined findings: an empty cell would have them all.'
            )
    if len(spec.columns) > 1 and spec.task in ("binary", "ordinal"):
        raise ArgumentError(f"A {spec.task} task has one label column; `columns` names {len(spec.columns)}.")
    if spec.wide and spec.classes is not None and spec.classes != spec.columns:
        raise ArgumentError("`classes` of read_labels is for one column of classes; here the columns are the classes.")


def _read_cells(source: TableSource, spec: LabelSpec) -> Labels:
    scan = CellScan(source, spec)
    batches = list(scan.batches())
    require_rows(source, len(batches))
    codes = np.concatenate([batch.labels for batch in batches])
    counts = np.bincount(codes, minlength=len(scan.cells))
    kept = ~scan.dropped()[codes]
    require_kept(source, spec, len(kept), int(kept.sum()))
    meaning = meaning_of(scan, counts)
    ids, groups = _names(source, spec, batches, codes, scan.texts)
    labels = Labels(meaning.task, meaning.classes, meaning.values[codes], ids, groups, notes=meaning.notes)
    return labels if kept.all() else labels.select(kept)


def _read_wide(source: TableSource, spec: LabelSpec) -> Labels:
    scan = WideScan(source, spec)
    batches = list(scan.batches())
    require_rows(source, len(batches))
    states = np.concatenate([batch.labels for batch in batches])
    kept = ~(states == DROPPED).any(axis=1)
    require_kept(source, spec, len(kept), int(kept.sum()))
    table = np.array([0.0, 1.0, np.nan, np.nan], np.float32)[states]
    empty = np.flatnonzero(np.isnan(table).all(axis=0))
    if len(empty):
        raise DataError(all_unknown(source, spec.columns[empty[0]]))
    task = spec.task or "multilabel"
    values = one_hot_values(table, source.name, spec.columns, kept=kept) if task == "multiclass" else table
    ids, groups = _names(source, spec, batches, states, None)
    labels = Labels(task, spec.columns, values, ids, groups, notes=wide_notes(scan, task))
    return labels if kept.all() else labels.select(kept)


def wide_notes(scan: WideScan, task: str) -> tuple[str, ...]:
    """Return how the task of 0/1 columns was found, and which words were read as 0 or 1."""
    why = "as stated" if scan.spec.task else "because several label columns are named"
    notes = [f"task: {task}, {why}."]
    if words := sorted(scan.words - {"0", "1"}):
        notes.append(f"Words in the label columns: {listed(words)}, read by their plain meaning.")
    return tuple(notes)


def all_unknown(source: TableSource, column: str) -> str:
    """Return the message for a label column without a single known label."""
    return f'{source.name}, column "{column}": every label is empty or unknown. Leave the column out of `columns`.'


def require_rows(source: TableSource, rows: int) -> None:
    """Raise when a table has no row."""
    if not rows:
        raise DataError(f"{source.name} has a header but no rows. Check the path or the query that wrote it.")


def require_kept(source: TableSource, spec: LabelSpec, rows: int, kept: int) -> None:
    """Raise when dropping unknown labels has left no row."""
    if not kept:
        raise DataError(
            f'{source.name}: unknown="{spec.unknown}" drops every one of {rows:,} rows. '
            'Pass unknown="unknown", or leave out the column that is never known.'
        )


def _names(
    source: TableSource, spec: LabelSpec, batches: Sequence[Any], states: NDArray[Any], texts: Sequence[str] | None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    groups = None
    if spec.groups is not None:
        groups = names_of([name for batch in batches for name in _decoded(batch.groups)])
    if spec.ids is None:
        return np.arange(len(states), dtype=np.int64), groups
    written = [name for batch in batches for name in batch.ids.to_pylist()]
    if len(set(written)) < len(written):
        raise DataError(duplicate_ids(source, spec, written, states, texts))
    return names_of(written), groups


def _decoded(column: pyarrow.DictionaryArray) -> list[str]:
    texts = column.dictionary.to_pylist()
    return [texts[code] for code in codes_of(column).tolist()]


def names_of(texts: Sequence[str]) -> NDArray[Any]:
    """Return names as int64 when every one is written as a plain integer, else as objects; 007 stays text.

    Example:
        >>> names_of(["1", "-20"]).tolist(), names_of(["1", "007"]).tolist()
        ([1, -20], ['1', '007'])
    """
    plain = re.compile(r"(?:0|-?[1-9][0-9]{0,17})").fullmatch
    if all(map(plain, texts)):
        return np.fromiter(map(int, texts), np.int64, len(texts))
    return np.array(texts, dtype=object)


def duplicate_ids(
    source: TableSource, spec: LabelSpec, names: Sequence[str], states: NDArray[Any], texts: Sequence[str] | None
) -> str:
    """Return the message for ids that stand on several rows, naming first one whose rows contradict each other."""
    places: dict[str, int] = {}
    numbers = np.array([places.setdefault(name, len(places)) for name in names], np.int64)
    order = np.argsort(numbers, kind="stable")
    same = numbers[order][1:] == numbers[order][:-1]
    earlier, later = order[:-1][same], order[1:][same]
    differ = states[earlier] != states[later]
    differ = differ if differ.ndim == 1 else differ.any(axis=1)
    pick = int(np.argmax(differ)) if differ.any() else 0
    first, second = int(earlier[pick]), int(later[pick])
    name = names[first]
    start = f'{source.name}, column "{spec.ids}": the id "{name}" stands in rows {first + 1} and {second + 1}'
    more = len(np.unique(numbers[later])) - 1
    others = f" ({more:,} more ids repeat)" if more else ""
    if not differ.any():
        return f"{start} with the same labels{others}. Remove the repeated rows, or name another column as `ids`."
    if texts is not None:
        said = f'"{texts[int(states[first])]}" and "{texts[int(states[second])]}"'
    else:
        said = listed(np.array(spec.columns)[states[first] != states[second]], limit=4)
    return f"{start} with different labels ({said}){others}. Keep the right row, or name another column as `ids`."
