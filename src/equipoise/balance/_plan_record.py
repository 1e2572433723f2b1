"""A stored sampling plan, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, DataError, listed, nearest

if TYPE_CHECKING:
    from equipoise.balance.plan import SamplingPlan


def read_plan(cls: type[SamplingPlan], stored: Any) -> SamplingPlan:
    """Return the plan that `SamplingPlan.to_dict` described, without its rows.

    Raises:
        DataError: it is not such a record.
    """
    keys = (
        "task", "classes", "method", "draws", "target", "wanted", "max_repeats", "reached", "gap", "dual", "notes",
        "combinations",
    )  # fmt: skip
    remedy = "Write the plan again with `equipoise plan TABLE --out plan.json`."
    if not isinstance(stored, Mapping):
        raise DataError(f"A stored plan must be a JSON object; got {type(stored).__name__}. {remedy}")
    for key in stored:
        if key not in (*keys, "measured_shift", "stabilised", "least_gap", "whole"):
            raise DataError(f'A stored plan has no key "{key}".{nearest(key, keys)} {remedy}')
    missing = [key for key in keys if key not in stored]
    if missing:
        raise DataError(f"The stored plan lacks {listed(missing)}. {remedy}")
    try:
        return _read(cls, stored)
    except (ArgumentError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"The stored plan cannot be used: {error} {remedy}") from error


def _read(cls: type[SamplingPlan], stored: Mapping[str, Any]) -> SamplingPlan:
    table = stored["combinations"]
    classes = tuple(str(name) for name in stored["classes"])
    limit = stored["max_repeats"]
    return cls(
        task=stored["task"],
        classes=classes,
        method=str(stored["method"]),
        draws=int(stored["draws"]),
        combination_labels=np.array(table["labels"], np.int8).reshape(-1, len(classes)),
        combination_counts=np.array(table["counts"], np.int64),
        combination_weights=np.array(table["weights"], np.float64),
        target=stored["target"],
        wanted=_numbers(stored["wanted"]),
        max_repeats=None if limit is None else float(limit),
        reached=bool(stored["reached"]),
        gap=float(stored["gap"]),
        dual=_numbers(stored["dual"]),
        notes=tuple(str(note) for note in stored["notes"]),
        measured_shift=None if stored.get("measured_shift") is None else _numbers(stored["measured_shift"]),
        stabilised=None if stored.get("stabilised") is None else float(stored["stabilised"]),
        least_gap=None if stored.get("least_gap") is None else float(stored["least_gap"]),
        whole=None if stored.get("whole") is None else cls.from_dict(stored["whole"]),
    )


def plain_numbers(values: ClassFloats | None) -> list[float | None]:
    """Return the values, None where one is NaN."""
    assert values is not None
    return [None if np.isnan(value) else value for value in values.tolist()]


def _numbers(values: list[float | None]) -> ClassFloats:
    return np.array([np.nan if value is None else value for value in values], np.float64)
