"""A census from JSON that anybody may have written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError
from equipoise._tasks import TASKS
from equipoise.labels._groups import GroupSets
from equipoise.labels.census import _VERSION, Census

_LARGEST = 2**62


def census_from_dict(value: Any) -> Census:
    """Return the census; every contradiction is a `DataError` that names the key."""
    if not isinstance(value, dict):
        raise _wrong("it is no mapping of keys")
    version = value.get("version")
    if type(version) is not int or version < 1:
        raise _wrong('"version" is missing')
    if version > _VERSION:
        raise DataError(
            f"This census is of version {version}; this Equipoise reads up to {_VERSION}. Update Equipoise."
        )
    classes = _texts(value, "classes")
    if not classes or len(set(classes)) < len(classes):
        raise _wrong('"classes" must be distinct and not empty')
    task, unit, rows = value.get("task"), value.get("unit"), value.get("rows")
    if task not in TASKS or (task == "binary" and len(classes) != 1):
        raise _wrong(f'"task" is {task!r} with {len(classes)} classes')
    if unit not in ("rows", "pixels"):
        raise _wrong(f'"unit" is {unit!r}')
    if type(rows) is not int or not 0 <= rows < _LARGEST:
        raise _wrong(f'"rows" is {rows!r}')
    positives, negatives, unknowns = (
        _counts(value, key, len(classes)) for key in ("positives", "negatives", "unknowns")
    )
    if np.any(positives + negatives + unknowns != rows):
        raise _wrong(f'"positives", "negatives" and "unknowns" do not add up to "rows" ({rows})')
    combinations, partial = (_combinations(value, key, classes) for key in ("combinations", "partial_combinations"))
    if combinations is not None and sum(combinations.values()) + sum((partial or {}).values()) != rows:
        raise _wrong(f'"combinations" do not add up to "rows" ({rows})')
    sets = _group_sets(value, positives, rows)
    source = value.get("source", "census")
    return Census(
        str(task), classes, rows, positives, negatives, unknowns, combinations, partial,
        _pairs(value, positives), sets, str(unit),
        source if isinstance(source, str) else "census", _texts(value, "notes"),
    )  # fmt: skip


def _wrong(what: str) -> DataError:
    return DataError(f"This is not a census: {what}. Count the labels again.")


def _texts(value: dict[str, Any], key: str) -> tuple[str, ...]:
    texts = value.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _wrong(f'"{key}" must be a list of texts')
    return tuple(texts)


def _integers(numbers: Any, shape: tuple[int, ...], key: str) -> NDArray[np.int64]:
    rows = numbers if len(shape) == 2 and isinstance(numbers, list) else [numbers]
    flat = [number for row in rows if isinstance(row, list) for number in row]
    ragged = any(not isinstance(row, list) or len(row) != shape[-1] for row in rows)
    if ragged or len(flat) != int(np.prod(shape)) or not all(type(n) is int and 0 <= n < _LARGEST for n in flat):
        raise _wrong(f'"{key}" must be counts of shape {shape}')
    return np.array(flat, np.int64).reshape(shape)


def _counts(value: dict[str, Any], key: str, classes: int) -> NDArray[np.int64]:
    return _integers(value.get(key), (classes,), key)


def _pairs(value: dict[str, Any], positives: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if value.get("cooccurrence") is None:
        return None
    pairs = _integers(value["cooccurrence"], (len(positives), len(positives)), "cooccurrence")
    if np.any(pairs != pairs.T) or np.any(np.diag(pairs) != positives):
        raise _wrong('"cooccurrence" contradicts "positives"')
    return pairs


def _group_sets(value: dict[str, Any], positives: NDArray[np.int64], rows: int) -> GroupSets | None:
    if value.get("group_sets") is None:
        return None
    sets = GroupSets.from_dict(value["group_sets"], len(positives))
    groups = sets.per_class()
    if len(sets) > rows or np.any(groups > positives) or np.any((groups == 0) & (positives > 0)):
        raise _wrong('"group_sets" contradicts "positives"')
    return sets


def _combinations(value: dict[str, Any], key: str, classes: tuple[str, ...]) -> dict[tuple[str, ...], int] | None:
    rows = value.get(key)
    if rows is None:
        return None
    found: dict[tuple[str, ...], int] = {}
    for row in rows if isinstance(rows, list) else [None]:
        if not isinstance(row, list) or len(row) != 2 or not isinstance(row[0], list) or type(row[1]) is not int:
            raise _wrong(f'"{key}" must be pairs of class numbers and a count')
        numbers, count = row
        in_range = all(type(n) is int and 0 <= n < len(classes) for n in numbers)
        if not in_range or numbers != sorted(set(numbers)) or not 0 < count < _LARGEST:
            raise _wrong(f'"{key}" holds the impossible pair {row!r:.80}')
        names = tuple(classes[n] for n in numbers)
        if names in found:
            raise _wrong(f'"{key}" holds {numbers!r:.80} twice')
        found[names] = count
    return found
