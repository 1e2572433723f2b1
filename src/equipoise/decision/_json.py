"""The strict reader of decision.json: what it does not know it refuses, naming the key."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, listed, nearest
from equipoise._tasks import is_exclusive
from equipoise.decision.calibration._json import parse_calibration
from equipoise.decision.objectives import OBJECTIVES, allowed_objectives, parse_objective
from equipoise.decision.thresholds import METHODS, NEVER
from equipoise.scores import TASKS

VERSION = 2
_FORMAT = "equipoise decision rule"
_KEYS = (
    "format", "version", "task", "classes", "maximize", "method", "thresholds", "class_offsets", "log_odds_shift",
    "positives", "negatives", "fitted_values", "fitted_on", "notes",
)  # fmt: skip
# Key -> what stands for it in a file of version 1, which did not have it.
_SINCE_2: dict[str, Any] = dict.fromkeys((
    "cut_points", "interval_low", "interval_high", "corrected_values", "fitted_overall", "corrected_overall",
    "calibration", "prevalence",
))  # fmt: skip
_FITTED_KEYS = ("hash", "rows", "numbered", "sketch")


def pack_keys(keys: NDArray[np.uint64]) -> str:
    """Return 64-bit keys as base64 of little-endian bytes."""
    return base64.b64encode(keys.astype("<u8").tobytes()).decode("ascii")


def parse_rule(data: Any) -> dict[str, Any]:
    """Return the fields of a `DecisionRule` from JSON types; `fitted_on` is a dictionary of the fields of `FittedOn`.

    Raises:
        DataError: anything that `DecisionRule.to_dict` would not have written.
    """
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise DataError(
            f'this is no decision rule (its "format" is not "{_FORMAT}"). Give the file that `decide` wrote.'
        )
    data = _of_this_version(data)
    _check_keys(data, (*_KEYS, *_SINCE_2), "the rule")
    task, classes, maximize = _kind(data)
    count, exclusive = len(classes), is_exclusive(task)
    thresholds = _numbers(data, "thresholds", count, low=0.0, high=1.0, null=NEVER)
    if (thresholds is None) != exclusive:
        raise _wrong("thresholds", "null for exclusive classes, else one probability (or null for never) per class")
    offsets = _numbers(data, "class_offsets", count)
    if offsets is not None and not exclusive:
        raise _wrong("class_offsets", "null where classes can occur together")
    cuts = _cut_points(data, count)
    width = count if cuts is None else count - 1
    low, high = _interval(data, width)
    shift = _numbers(data, "log_odds_shift", count)
    if shift is None:
        raise _wrong("log_odds_shift", f"a list of {count} numbers")
    fitted_on = _fitted_on(data["fitted_on"])
    if fitted_on is None and maximize not in ("fixed", "argmax"):
        raise _wrong("fitted_on", "present where thresholds were fitted, so that they are not judged on the same rows")
    notes = data["notes"]
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise _wrong("notes", "a list of sentences")
    return {
        "task": task,
        "classes": tuple(classes),
        "maximize": maximize,
        "method": data["method"],
        "thresholds": thresholds,
        "class_offsets": offsets,
        "cut_points": cuts,
        "interval_low": low,
        "interval_high": high,
        "log_odds_shift": shift,
        "positives": _counts(data, "positives", count),
        "negatives": _counts(data, "negatives", count),
        "fitted_values": _numbers(data, "fitted_values", count, null=math.nan),
        "corrected_values": _numbers(data, "corrected_values", count, null=math.nan),
        "fitted_overall": _number(data, "fitted_overall"),
        "corrected_overall": _number(data, "corrected_overall"),
        "fitted_on": fitted_on,
        "calibration": parse_calibration(data["calibration"], task, tuple(classes)),
        "prevalence": _prevalence(data, count),
        "notes": tuple(notes),
    }


def _of_this_version(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a rule as this version writes them: an older file holds all that it had to say."""
    version = data.get("version")
    if type(version) is not int or version not in (1, VERSION):
        raise DataError(
            f'"version" is {version!r}; this Equipoise reads versions 1 and {VERSION}. Update Equipoise, or fit the '
            f"rule again."
        )
    if version == VERSION:
        return data
    _check_keys(data, _KEYS, "the rule")
    return {**_SINCE_2, **data}


def _cut_points(data: dict[str, Any], count: int) -> NDArray[np.float64] | None:
    cuts = _numbers(data, "cut_points", count - 1, low=0.0, high=float(count))
    if cuts is None:
        return None
    if data["task"] != "ordinal" or data["class_offsets"] is not None:
        raise _wrong("cut_points", "null but for ordinal classes without class_offsets")
    if (np.diff(cuts) < 0).any():
        raise _wrong("cut_points", "ascending")
    return cuts


def _interval(data: dict[str, Any], width: int) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return both ends: NaN twice where there is no interval, infinity for an upper end of never."""
    low = _numbers(data, "interval_low", width, null=math.nan)
    high = _numbers(data, "interval_high", width, null=NEVER)
    if low is None or high is None:
        if low is not None or high is not None:
            raise _wrong("interval_low", "null where interval_high is, and only there")
        return None, None
    high[np.isnan(low) & np.isinf(high)] = math.nan
    if (low > high).any() or (np.isnan(low) & ~np.isnan(high)).any():
        raise _wrong("interval_low", "at most interval_high, and null only where that is")
    return low, high


def _prevalence(data: dict[str, Any], count: int) -> NDArray[np.float64] | None:
    found = _numbers(data, "prevalence", count, low=0.0, high=1.0, null=math.nan)
    if found is not None and ((found == 0) | (found == 1)).any():
        raise _wrong("prevalence", f"a list of {count} numbers above 0 and below 1")
    return found


def _kind(data: dict[str, Any]) -> tuple[str, list[str], str]:
    """Return task, classes and objective."""
    classes = data["classes"]
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise _wrong("classes", "a list of names")
    if len(set(classes)) != len(classes):
        raise _wrong("classes", "a list of different names")
    task, maximize = data["task"], data["maximize"]
    if task not in TASKS:
        raise _wrong("task", f"one of {listed(TASKS)}")
    exclusive = is_exclusive(task)
    if not _is_objective(maximize, task):
        allowed = [OBJECTIVES[name][0] for name in allowed_objectives(task)] + ([] if exclusive else ["fixed"])
        raise _wrong("maximize", f"one of {listed(allowed, limit=30)} for task {task}")
    if (len(classes) == 1) != (task == "binary") and task != "multilabel":
        raise _wrong("classes", "one name for task binary, at least two for exclusive classes")
    if data["method"] not in METHODS:
        raise _wrong("method", f"one of {listed(METHODS)}")
    return task, classes, maximize


def _is_objective(text: Any, task: str) -> bool:
    if text == "fixed" or not isinstance(text, str):
        return text == "fixed" and not is_exclusive(task)
    try:
        found = parse_objective(text)
    except ArgumentError:
        return False
    return found.name in allowed_objectives(task) and str(found) == text


def _wrong(key: str, needed: str) -> DataError:
    return DataError(f'"{key}" must be {needed}. Restore the file, or fit the rule again.')


def _check_keys(data: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in data:
        if key not in known:
            raise DataError(f'{where} has an unknown key "{key}".{nearest(key, known)} Remove it.')
    for key in known:
        if key not in data:
            raise DataError(f'{where} lacks the key "{key}". Restore the file, or fit the rule again.')


def _numbers(
    data: dict[str, Any],
    key: str,
    count: int,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    null: float | None = None,
) -> NDArray[np.float64] | None:
    values = data[key]
    if values is None:
        return None
    needed = f"a list of {count} numbers" + (f" from {low:g} to {high:g}" if math.isfinite(low) else "")
    if not isinstance(values, list) or len(values) != count:
        raise _wrong(key, needed)
    result = np.empty(count)
    for index, value in enumerate(values):
        if value is None and null is not None:
            result[index] = null
        elif (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or abs(value) > 1e300
            or not abs(value) <= 1e300
            or not low <= value <= high
        ):
            raise _wrong(key, needed)
        else:
            result[index] = value
    return result


def _number(data: dict[str, Any], key: str) -> float | None:
    """Return one number, or None for null."""
    if data[key] is None:
        return None
    found = _numbers({key: [data[key]]}, key, 1)
    return None if found is None else float(found[0])


def _counts(data: dict[str, Any], key: str, count: int) -> NDArray[np.int64] | None:
    values = _numbers(data, key, count, low=0.0, high=2.0**53)
    if values is not None and (values != np.floor(values)).any():
        raise _wrong(key, f"a list of {count} whole numbers")
    return None if values is None else values.astype(np.int64)


def _fitted_on(data: Any) -> dict[str, Any] | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise _wrong("fitted_on", "null or a record of the rows that the rule was fitted on")
    _check_keys(data, _FITTED_KEYS, '"fitted_on"')
    rows, sketch = data["rows"], data["sketch"]
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1 or not isinstance(data["hash"], str):
        raise _wrong("fitted_on", "a record with the number of rows and their hash")
    if not isinstance(data["numbered"], bool):
        raise _wrong("fitted_on.numbered", "true or false")
    try:
        raw = base64.b64decode(sketch, validate=True) if isinstance(sketch, str) else b"?"
        keys = np.frombuffer(raw, dtype="<u8").astype(np.uint64)
    except (binascii.Error, ValueError) as error:
        raise _wrong("fitted_on.sketch", "base64 of 64-bit keys") from error
    if not 0 < len(keys) <= rows:
        raise _wrong("fitted_on.sketch", "at least one key and no more than rows")
    return {"hash": data["hash"], "rows": rows, "numbered": data["numbered"], "sketch": keys}
