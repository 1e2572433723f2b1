"""`Scores`: what a model said about labelled cases, and `Decisions`: what a rule made of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats, RowIds
from equipoise._checks import ArgumentError, DataError, check_one_of, listed
from equipoise._tasks import is_exclusive
from equipoise.scores._doubts import doubts_of
from equipoise.scores.ids import digest, hash_ids, hash_rows

KINDS = ("logits", "probabilities")
ROLES = ("train", "validation", "test")
TASKS = ("binary", "multilabel", "multiclass", "ordinal")
ROUNDING = 1e-6  # a float32 probability may miss [0, 1] by this much
SUM_ROUNDING = 1e-3  # and a row of them may miss a sum of one by this much


@dataclasses.dataclass(frozen=True, eq=False, init=False, repr=False)
class Scores:
    """Labels, and the values a model gave them.

    Args:
        labels: binary (n,) or multilabel (n, classes) of 0, 1 or NaN (unknown); multiclass and ordinal (n,) of class
            indices or NaN.
        values: logits or probabilities, (n,) for binary, else (n, classes). Multi-class logits are softmax logits.
        kind: "logits" or "probabilities". It is never guessed.
        ids: one name per row, unique. None declares that there are none: rows are numbered, and two tables are then
            only recognised as the same when their contents are identical.
        groups: the patient (or other group) of each row, or None when rows are independent.
        role: "train", "validation" or "test".
        classes: names of the classes, for binary the name of the positive class.
        task: inferred from the shapes when None (2-D labels: multilabel; 1-D labels and values: binary; 1-D labels and
            2-D values: multiclass). "ordinal" has to be said.
        numbered: True when `ids` are row numbers that mean nothing outside this table.
        notes: sentences about what was inferred where the scores were read.

    Raises:
        ArgumentError: shapes, `kind`, `role`, `task` or `classes` that cannot be.
        DataError: a value or label that cannot be; the message names row and class.

    Example:
        >>> scores = Scores(labels=[0, 1, np.nan], values=[-2.0, 0.0, 1.0], kind="logits", ids=["a", "b", "c"],
        ...                 role="test", classes=["Mass"])
        >>> scores.task, scores.probabilities()[1].item()
        ('binary', 0.5)
    """

    labels: Floats
    values: Floats
    kind: str
    ids: RowIds
    role: str
    classes: tuple[str, ...]
    groups: RowIds | None = None
    task: str = ""
    numbered: bool = False
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        labels: Any,
        values: Any,
        kind: str,
        ids: Any,
        role: str,
        classes: Sequence[str],
        groups: Any = None,
        task: str | None = None,
        numbered: bool = False,
        notes: Sequence[str] = (),
    ) -> None:
        check_one_of(kind, KINDS, argument="kind", function="Scores")
        check_one_of(role, ROLES, argument="role", function="Scores")
        label_array, value_array = _float_array(labels, "labels"), _float_array(values, "values")
        names = tuple(str(name) for name in ([classes] if isinstance(classes, str) else classes))
        resolved = _resolve_task(task, label_array, value_array)
        _check_shapes(resolved, label_array, value_array, names)
        rows = len(label_array)
        id_array = np.arange(rows) if ids is None else _name_array(ids, "ids", rows)
        fields: dict[str, Any] = {
            "labels": label_array,
            "values": value_array,
            "kind": kind,
            "ids": id_array,
            "role": role,
            "classes": names,
            "groups": None if groups is None else _name_array(groups, "groups", rows),
            "task": resolved,
            "numbered": numbered or ids is None,
            "notes": tuple(notes),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        _check_ids(id_array)
        _check_labels(self)
        object.__setattr__(self, "values", _checked_values(self))
        for array in (self.labels, self.values):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        groups = "no groups" if self.groups is None else f"{len(set(self.groups.tolist())):,} groups"
        size = f"{len(self):,} rows, {len(self.classes)} class{'es' if len(self.classes) > 1 else ''}"
        return f"Scores({self.task}, {size}, {self.kind}, role {self.role}, {groups})"

    @property
    def exclusive(self) -> bool:
        """Whether exactly one class is true of each row (multiclass, ordinal: softmax) or not (binary, multilabel)."""
        return is_exclusive(self.task)

    def table(self) -> Floats:
        """Return the labels as one 0/1/NaN column per class, shape (n, classes); binary has one column."""
        if not self.exclusive:
            return np.asarray(self.labels.reshape(len(self), -1))
        one_hot: Floats = (self.labels[:, None] == np.arange(len(self.classes))).astype(np.float64)
        one_hot[np.isnan(self.labels)] = np.nan
        return one_hot

    def value_table(self) -> Floats:
        """Return the values as one column per class, shape (n, classes)."""
        return self.values.reshape(len(self), -1)

    def probabilities(self) -> Floats:
        """Return probabilities, of the same shape as `values`."""
        if self.kind == "probabilities":
            return self.values
        return softmax(self.values) if self.exclusive else sigmoid(self.values)

    def probability_table(self) -> Floats:
        """Return probabilities as one column per class, shape (n, classes)."""
        return self.probabilities().reshape(len(self), -1)

    def ranking_table(self) -> Floats:
        """Return what ranks rows within a class, shape (n, classes): logits where a probability would saturate."""
        return self.probability_table() if self.exclusive else self.value_table()

    def log_values(self) -> Floats:
        """Return softmax logits or log-probabilities, shape (n, classes): what class offsets are added to."""
        if self.kind == "logits":
            return self.value_table()
        with np.errstate(divide="ignore"):
            return np.log(self.value_table())

    def shifted(self, log_odds_shift: Any) -> Scores:
        """Return the scores with a shift per class subtracted, as at another prevalence.

        Sigmoid tasks: logit(p) - shift. Softmax tasks: log p - shift, normalised again (Saerens, Latinne and
        Decaestecker 2002, equation 2.4, with shift = log of training prior over natural prior).

        Args:
            log_odds_shift: (classes,), in nats.
        """
        shift = np.asarray(log_odds_shift, dtype=np.float64)
        if not shift.any():
            return self
        with np.errstate(divide="ignore"):
            if self.exclusive:
                logs = np.log(self.values) if self.kind == "probabilities" else self.values
                moved = softmax(logs - shift) if self.kind == "probabilities" else logs - shift
            elif self.kind == "probabilities":
                moved = sigmoid(logit(self.values) - shift.reshape(self.values.shape[1:]))
            else:
                moved = self.values - shift.reshape(self.values.shape[1:])
        return self._replace(values=moved)

    def with_values(self, values: Floats) -> Scores:
        """Return the scores with other values of the same shape and kind; they are not checked again."""
        return self._replace(values=values)

    def select(self, rows: Any) -> Scores:
        """Return the scores of some rows, chosen by a mask or by row numbers."""
        groups = None if self.groups is None else self.groups[rows]
        return self._replace(labels=self.labels[rows], values=self.values[rows], ids=self.ids[rows], groups=groups)

    def id_keys(self) -> NDArray[np.uint64]:
        """Return a 64-bit key per row: of the id, or of the contents of the row where rows are only numbered."""
        return self._keys

    @functools.cached_property
    def _keys(self) -> NDArray[np.uint64]:
        if self.numbered:
            keys = hash_rows(np.column_stack([self.labels.reshape(len(self), -1), self.value_table()]))
        else:
            keys = hash_ids(self.ids)
        keys.flags.writeable = False
        return keys

    @property
    def hash(self) -> str:
        """A short name of the set of ids (of the contents, where rows are only numbered); order does not matter."""
        return digest(self.id_keys())

    def doubts(self) -> tuple[str, ...]:
        """Return sentences on what is allowed and looks odd.

        Constant scores, logits that look like probabilities, classes without a positive, a negative or a label.

        Example:
            >>> Scores(labels=[0, 1], values=[0.5, 0.5], kind="logits", ids=["a", "b"], role="test",
            ...        classes=["Mass"]).doubts()[0]
            'All logits lie in [0, 1]. If they are probabilities, say so: kind="probabilities".'
        """
        return doubts_of(self)

    def _replace(self, **changes: Any) -> Scores:
        """Return a copy with some fields changed, without checking again what did not change."""
        copy = object.__new__(Scores)
        for field in dataclasses.fields(self):
            object.__setattr__(copy, field.name, changes.get(field.name, getattr(self, field.name)))
        if "_keys" in self.__dict__ and not self.numbered and "ids" not in changes:
            copy.__dict__["_keys"] = self._keys
        return copy


@dataclasses.dataclass(frozen=True, eq=False)
class Decisions:
    """Predictions, and the scores at natural prevalence that they were made from.

    Args:
        scores: the scores after the rule's shift; ids, labels and classes are theirs.
        predictions: int8 (n,) or (n, classes) of 0 and 1; multiclass and ordinal (n,) of class indices.
    """

    scores: Scores
    predictions: NDArray[np.int8] | NDArray[np.int64]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return np.array(self.predictions, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.predictions)

    @property
    def ids(self) -> RowIds:
        """One name per row."""
        return self.scores.ids

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.scores.classes

    @property
    def probabilities(self) -> Floats:
        """Probabilities at natural prevalence, (n,) or (n, classes)."""
        return self.scores.probabilities()

    def table(self) -> NDArray[np.int8]:
        """Return the predictions as one 0/1 column per class, shape (n, classes)."""
        if not self.scores.exclusive:
            return np.asarray(self.predictions.reshape(len(self), -1), dtype=np.int8)
        return np.asarray(self.predictions[:, None] == np.arange(len(self.classes)), dtype=np.int8)


def sigmoid(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-logits)) without overflow.

    Example:
        >>> sigmoid(np.array([-800.0, 0.0, 800.0]))
        array([0. , 0.5, 1. ])
    """
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def softmax(logits: Floats) -> Floats:
    """Return the softmax over the last axis without overflow.

    The powers are summed in ascending order, so that the order of classes changes no digit and rows that differ by a
    constant or by an exchange of classes stay tied.

    Example:
        >>> softmax(np.array([[0.0, np.log(3.0)]]))
        array([[0.25, 0.75]])
    """
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / np.sort(powers, axis=-1).sum(axis=-1, keepdims=True))


def logit(probabilities: Floats) -> Floats:
    """Return log(p / (1 - p)); 0 and 1 give minus and plus infinity.

    Example:
        >>> logit(np.array([0.5, 0.0]))
        array([  0., -inf])
    """
    with np.errstate(divide="ignore"):
        return np.log(probabilities) - np.log1p(-probabilities)


def _float_array(values: Any, argument: str) -> Floats:
    try:
        array = np.array(values, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"`{argument}` of Scores must be an array of numbers: {error}. Pass numbers, with NaN for unknown labels."
        ) from error
    if array.ndim not in (1, 2):
        raise ArgumentError(f"`{argument}` of Scores must have one or two axes; got shape {array.shape}.")
    return array


def _name_array(names: Any, argument: str, rows: int) -> RowIds:
    array = np.asarray(names)
    if array.dtype.kind not in "iu":
        texts = np.asarray(names, dtype=object).tolist()
        if set(map(type, texts)) - {str}:
            texts = [str(one) for one in texts]
        array = np.empty(len(texts), dtype=object)
        array[:] = texts
    if array.shape != (rows,):
        raise ArgumentError(f"`{argument}` of Scores must name each of the {rows} rows; got shape {array.shape}.")
    return array


def _resolve_task(task: str | None, labels: Floats, values: Floats) -> str:
    if task is not None:
        check_one_of(task, TASKS, argument="task", function="Scores")
        return task
    if labels.ndim == 2:
        return "multilabel"
    return "binary" if values.ndim == 1 else "multiclass"


def _check_shapes(task: str, labels: Floats, values: Floats, classes: tuple[str, ...]) -> None:
    rows, count = len(labels), len(classes)
    expected = {
        "binary": ((rows,), (rows,)),
        "multilabel": ((rows, count), (rows, count)),
        "multiclass": ((rows,), (rows, count)),
        "ordinal": ((rows,), (rows, count)),
    }[task]
    if (labels.shape, values.shape) != expected or (task == "binary" and count != 1):
        raise ArgumentError(
            f"Scores of task {task} with {count} classes need labels {expected[0]} and values {expected[1]}"
            f"{' and one class name' if task == 'binary' else ''}; got {labels.shape} and {values.shape}. "
            "Pass matching arrays, or say which task this is."
        )
    if not rows:
        raise DataError("Scores need at least one row; got none. Check the table that they were read from.")
    if len(set(classes)) != count or not count:
        twice = sorted({name for name in classes if classes.count(name) > 1})
        raise ArgumentError(f"`classes` of Scores must be different names; {listed(twice)} repeat. Rename one of them.")
    if is_exclusive(task) and count < 2:
        raise ArgumentError(f"Scores of task {task} need at least two classes; got {count}. Use task binary.")


def _check_ids(ids: RowIds) -> None:
    names = ids.tolist()
    if len(set(names)) == len(names):
        return
    first: dict[Any, int] = {}
    for row, name in enumerate(names):
        if name in first:
            raise DataError(
                f'scores rows {first[name]} and {row} have the same id "{name}". '
                "Keep one row per id, or declare that there are no ids with ids=None (command line: --ids none)."
            )
        first[name] = row


def _check_labels(scores: Scores) -> None:
    highest = len(scores.classes) - 1 if scores.exclusive else 1
    labels = scores.labels
    if highest == 1:
        wrong = ~((labels == 0) | (labels == 1) | np.isnan(labels))
    else:
        wrong = ~(((labels >= 0) & (labels <= highest) & (labels == np.floor(labels))) | np.isnan(labels))
    if wrong.any():
        allowed = "0, 1" if highest == 1 else f"an index from 0 to {highest}"
        place, value = _first(scores, wrong, labels)
        raise DataError(f"{place}: label {value:g} is not {allowed} or NaN (unknown). Correct it.")


def _checked_values(scores: Scores) -> Floats:
    values = scores.values
    if not np.isfinite(values).all():
        place, value = _first(scores, ~np.isfinite(values), values)
        raise DataError(
            f"{place}: the score is {'NaN' if np.isnan(value) else value}. "
            "Find out why the model gave no finite number, or leave the row out."
        )
    if scores.kind == "logits":
        return values
    low, high = float(values.min()), float(values.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        outside = (values < -ROUNDING) | (values > 1 + ROUNDING)
        place, value = _first(scores, outside, values)
        raise DataError(
            f"{place}: {value:g} is not a probability. "
            'If these are logits, say so: kind="logits" (in a file: columns z_*).'
        )
    if scores.exclusive:
        sums = values.sum(axis=1)
        if (np.abs(sums - 1) > SUM_ROUNDING).any():
            row = int(np.argmax(np.abs(sums - 1) > SUM_ROUNDING))
            raise DataError(
                f'scores row {row} (id "{scores.ids[row]}"): the probabilities of the classes sum to '
                f"{sums[row]:.4g}, not "
                "to 1. Pass probabilities of a softmax, or logits; for findings that can occur together the task is "
                "multilabel."
            )
    return values if low >= 0 and high <= 1 else np.clip(values, 0.0, 1.0)


def _first(scores: Scores, wrong: NDArray[np.bool_], values: Floats) -> tuple[str, float]:
    """Return the place, in words, and the value of the first wrong entry."""
    at = tuple(int(index) for index in np.argwhere(wrong)[0])
    name = scores.classes[at[1]] if len(at) == 2 else ("" if scores.exclusive else scores.classes[0])
    place = f'scores row {at[0]} (id "{scores.ids[at[0]]}")' + (f', class "{name}"' if name else "")
    return place, float(values[at])
