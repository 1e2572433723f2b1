"""What a sampling plan is asked to reach: class shares or prevalences, checked, and softened by a strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, DataError, check_number, check_one_of, listed, nearest
from equipoise._tasks import is_exclusive
from equipoise.balance._combinations import Combinations

NAMES = ("natural", "uniform")
OF = ("shares", "prevalence")
Target: TypeAlias = Any  # a name or a mapping; checked by `read_target`, as it may come from a file
_FUNCTION = "plan_sampling"


@dataclass(frozen=True, eq=False)
class Wanted:
    """A checked target.

    Attributes:
        name: ``"natural"``, ``"uniform"``, ``"shares"`` or ``"prevalence"``.
        of: what `values` are: ``"shares"`` (of all positives) or ``"prevalence"`` (of the known labels of the class).
        values: (classes,); NaN where nothing is asked.
    """

    name: str
    of: str
    values: ClassFloats


def read_target(
    target: Target, strength: float, task: str, classes: tuple[str, ...], found: Combinations, source: str
) -> Wanted:
    """Return the target that is `strength` of the way from the natural shares to `target`.

    Raises:
        ArgumentError: it is unknown, names an unknown class, does not sum to one, or lies outside (0, 1).
        DataError: it asks for a share of a class that has no positive (or no negative).
    """
    positives = found.counts.astype(np.float64) @ (found.labels == 1)
    known = found.counts.astype(np.float64) @ (found.labels >= 0)
    if isinstance(target, str):
        check_one_of(target, NAMES, argument="target", function=_FUNCTION)
        wanted = _named(target, task, positives, known)
    elif isinstance(target, Mapping):
        wanted = _by_hand(target, task, classes)
    else:
        raise ArgumentError(
            f'`target` of {_FUNCTION} must be "natural", "uniform" or a mapping of class to share; got '
            f'{type(target).__name__}. Give {{class: share, ...}} or {{"prevalence": {{class: rate, ...}}}}.'
        )
    _require_classes(wanted, classes, positives, known, source)
    natural = positives / positives.sum() if wanted.of == "shares" else positives / np.maximum(known, 1.0)
    return Wanted(wanted.name, wanted.of, _softened(wanted, natural, strength))


def _named(name: str, task: str, positives: ClassFloats, known: ClassFloats) -> Wanted:
    of = "prevalence" if task == "binary" else "shares"
    if name == "uniform":
        return Wanted(name, of, np.full(len(positives), 0.5 if task == "binary" else 1.0 / len(positives)))
    if of == "prevalence":
        values = positives / np.maximum(known, 1.0)
        return Wanted(name, of, np.where((values > 0) & (values < 1), values, np.nan))
    return Wanted(name, of, np.where(positives > 0, positives / max(positives.sum(), 1.0), np.nan))


def _by_hand(target: Mapping[str, Any], task: str, classes: tuple[str, ...]) -> Wanted:
    of, values = ("prevalence" if task == "binary" else "shares"), target
    if len(target) == 1:
        key, inside = next(iter(target.items()))
        if isinstance(inside, Mapping):
            check_one_of(key, OF, argument="target", function=_FUNCTION)
            of, values = key, inside
    for name in values:
        if name not in classes:
            raise ArgumentError(
                f'`target` of {_FUNCTION} names the class "{name}", which the labels do not have.'
                f"{nearest(name, classes)} The classes are {listed(classes, limit=30)}."
            )
    if not values:
        raise ArgumentError(f'`target` of {_FUNCTION} is empty. Name a share for each class, or say "uniform".')
    asked = np.full(len(classes), np.nan)
    for name, value in values.items():
        number = check_number(value, argument=f'target["{name}"]', function=_FUNCTION, above=0.0)
        if number >= 1.0:
            raise ArgumentError(f'`target["{name}"]` of {_FUNCTION} must be below 1; got {value}. Give a share.')
        asked[classes.index(name)] = number
    one_of_many = is_exclusive(task)
    if of == "shares" and task != "binary":
        _require_whole(asked, classes)
    elif one_of_many and (np.nansum(asked) > 1.0 + 1e-6 or (np.isfinite(asked).all() and np.nansum(asked) < 1 - 1e-6)):
        raise ArgumentError(
            f"The prevalences in `target` of {_FUNCTION} sum to {np.nansum(asked):g}, but a row has exactly one class. "
            "Give rates that sum to one."
        )
    return Wanted(of, "prevalence" if task == "binary" else of, asked)


def _require_whole(asked: ClassFloats, classes: tuple[str, ...]) -> None:
    left_out = [name for name, value in zip(classes, asked, strict=True) if np.isnan(value)]
    if left_out:
        raise ArgumentError(
            f"`target` of {_FUNCTION} has no share for {listed(left_out)}. Give every class its share of all "
            'positives, or use {"prevalence": {...}} to ask for some classes only.'
        )
    total = float(asked.sum())
    if abs(total - 1.0) > 1e-6:
        raise ArgumentError(
            f"The shares in `target` of {_FUNCTION} must sum to one; they sum to {total:g}. Divide them by their sum, "
            'or use {"prevalence": {...}} for rates of positives.'
        )


def _require_classes(
    wanted: Wanted, classes: tuple[str, ...], positives: ClassFloats, known: ClassFloats, source: str
) -> None:
    asked = ~np.isnan(wanted.values)
    empty = [name for name, ask, count in zip(classes, asked, positives, strict=True) if ask and count == 0]
    if empty:
        raise DataError(
            f"{source}: the target asks for a share of {listed(empty)}, which no row has, so no sampling can reach it. "
            'Drop the class, add data, or ask for the other classes with {"prevalence": {...}}.'
        )
    full = [n for n, ask, p, k in zip(classes, asked, positives, known, strict=True) if ask and p == k]
    if full and wanted.of == "prevalence":
        raise DataError(
            f"{source}: every known label of {listed(full)} is positive, so its prevalence cannot be changed. "
            "Drop the class, or add data."
        )


def _softened(wanted: Wanted, natural: ClassFloats, strength: float) -> ClassFloats:
    """Go `strength` of the way: geometrically in shares, linearly in the log-odds of prevalences."""
    if strength == 1.0:
        return wanted.values
    if wanted.of == "shares":
        with np.errstate(divide="ignore", invalid="ignore"):
            mixed = np.exp((1.0 - strength) * np.log(natural) + strength * np.log(wanted.values))
        return np.asarray(mixed / np.nansum(mixed))
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = (1.0 - strength) * _logit(natural) + strength * _logit(wanted.values)
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def _logit(rates: ClassFloats) -> ClassFloats:
    return np.asarray(np.log(rates) - np.log1p(-rates))
