"""The strict reader of the calibration inside decision.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import DataError, listed, nearest
from equipoise._tasks import is_exclusive
from equipoise.decision.calibration.record import EXCLUSIVE_METHODS, METHODS, Calibration, Steps

_KEYS = ("method", "slopes", "offsets", "fitted", "steps", "notes")
_STEP_KEYS = ("odds", "calibrated")


def parse_calibration(data: Any, task: str, classes: tuple[str, ...]) -> Calibration | None:
    """Return the calibration that `Calibration.to_dict` wrote, or None for null.

    Raises:
        DataError: anything that `to_dict` would not have written; the message names the key.
    """
    if data is None:
        return None
    _check_keys(data, _KEYS, "calibration")
    count, exclusive = len(classes), is_exclusive(task)
    allowed = EXCLUSIVE_METHODS if exclusive else METHODS
    if not isinstance(data["method"], str) or data["method"] not in allowed:
        raise _wrong("method", f"one of {listed(allowed)} for task {task}")
    slopes = data["slopes"]
    if not isinstance(slopes, list) or len(slopes) != count:
        raise _wrong("slopes", f"{count} pairs of numbers of at least 0")
    pairs = np.array([_numbers(pair, "slopes", 2, lowest=0.0) for pair in slopes])
    fitted = data["fitted"]
    if not isinstance(fitted, list) or len(fitted) != count or not all(isinstance(one, bool) for one in fitted):
        raise _wrong("fitted", f"{count} times true or false")
    notes = data["notes"]
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise _wrong("notes", "a list of sentences")
    return Calibration(
        task=task,
        classes=classes,
        method=data["method"],
        slopes=pairs,
        offsets=_numbers(data["offsets"], "offsets", count),
        fitted=tuple(fitted),
        steps=_all_steps(data, count, fitted),
        notes=tuple(notes),
    )


def _all_steps(data: dict[str, Any], count: int, fitted: list[bool]) -> tuple[Steps | None, ...] | None:
    steps = data["steps"]
    if (steps is None) != (data["method"] != "isotonic"):
        raise _wrong("steps", "null but for isotonic")
    if steps is None:
        return None
    if not isinstance(steps, list) or len(steps) != count:
        raise _wrong("steps", f"one entry for each of {count} classes")
    if any(one is None and was for one, was in zip(steps, fitted, strict=True)):
        raise _wrong("steps", "a record for each class that was fitted")
    return tuple(_steps(one) for one in steps)


def _steps(data: Any) -> Steps | None:
    if data is None:
        return None
    _check_keys(data, _STEP_KEYS, "calibration.steps")
    odds, calibrated = (_numbers(data[key], f"steps.{key}", None) for key in _STEP_KEYS)
    if len(odds) != len(calibrated) or not len(odds) or (np.diff(odds) <= 0).any() or (np.diff(calibrated) < 0).any():
        raise _wrong("steps", "as many rising log-odds as calibrated ones, which do not fall")
    return Steps(tuple(odds.tolist()), tuple(calibrated.tolist()))


def _check_keys(data: Any, known: tuple[str, ...], where: str) -> None:
    if not isinstance(data, dict):
        raise DataError(f'"{where}" must be null or a record. Restore the file, or fit the rule again.')
    for key in data:
        if key not in known:
            raise DataError(f'"{where}" has an unknown key "{key}".{nearest(key, known)} Remove it.')
    for key in known:
        if key not in data:
            raise DataError(f'"{where}" lacks the key "{key}". Restore the file, or fit the rule again.')


def _numbers(values: Any, key: str, count: int | None, *, lowest: float = -1e300) -> Floats:
    said = "numbers" if count is None else f"{count} numbers"
    if not isinstance(values, list) or (count is not None and len(values) != count):
        raise _wrong(key, f"a list of {said}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= 1e300:
            raise _wrong(key, f"a list of {said}" + (f" of at least {lowest:g}" if lowest == 0 else ""))
    return np.array(values, dtype=np.float64)


def _wrong(key: str, needed: str) -> DataError:
    return DataError(f'"calibration.{key}" must be {needed}. Restore the file, or fit the rule again.')
