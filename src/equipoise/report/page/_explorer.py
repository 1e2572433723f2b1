"""The threshold explorer: what every threshold of a class does, in counts, so that a page can show it exactly."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision.objectives import parse_objective
from equipoise.decision.thresholds import ALWAYS, NEVER, midway
from equipoise.metrics import operating_points
from equipoise.report.view import RunView

_POINTS = 24_000  # of all classes together: what a page can hold
_MOST, _LEAST = 400, 60  # of one class


@dataclasses.dataclass(frozen=True, eq=False)
class RoleCounts:
    """What thresholds do on one role.

    Attributes:
        positives: known positives. negatives: known negatives.
        hits: positives at or above each threshold, (k,). alarms: negatives at or above it, (k,).
    """

    positives: int
    negatives: int
    hits: NDArray[np.int64]
    alarms: NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class ClassCurve:
    """The thresholds of one class that a page offers, and what each does.

    Attributes:
        name: of the class. thresholds: ascending from 0 (always) to infinity (never), (k,).
        chosen: index of the threshold of the run's rule; of the nearest to 0.5 where it has none.
        roles: counts by role. prevalence: share of the class among all rows of the data; NaN where nothing is known.
    """

    name: str
    thresholds: Floats
    chosen: int
    roles: Mapping[str, RoleCounts]
    prevalence: float


def class_curves(view: RunView) -> list[ClassCurve]:
    """Return a curve for each class, over the thresholds of the validation role (of the test role where it is alone).

    The number of thresholds is bounded, so that a page stays small whatever the number of rows: evenly in hits, and
    evenly in the logarithm of how many are predicted. The counts at those that are kept are exact, and the threshold
    of the run's rule is always among them.

    Args:
        view: of a run with scores.
    """
    natural = {role: view.natural(role) for role in ("validation", "test") if role in view.scores}
    tables = {role: (one.table(), one.probability_table()) for role, one in natural.items() if one is not None}
    if not tables:
        return []
    names = view.census.classes
    most = max(_LEAST, min(_MOST, _POINTS // len(names)))
    return [_curve(view, index, {role: (t[:, index], p[:, index]) for role, (t, p) in tables.items()}, most)
            for index in range(len(names))]  # fmt: skip


def _curve(view: RunView, index: int, roles: Mapping[str, tuple[Floats, Floats]], most: int) -> ClassCurve:
    rule = view.rule
    own = None if rule is None or rule.thresholds is None else float(rule.thresholds[index])
    cuts = _offered(*next(iter(roles.values())), most)
    if own is not None:
        cuts = np.unique(np.append(cuts, own))
    chosen = int(np.flatnonzero(cuts == own)[0]) if own is not None else int(np.argmin(np.abs(cuts - 0.5)))
    counts = {role: _counts(truth, values, cuts) for role, (truth, values) in roles.items()}
    return ClassCurve(view.census.classes[index], cuts, chosen, counts, float(view.census.prevalence[index]))


def _offered(truth: Floats, probabilities: Floats, most: int) -> Floats:
    """Return thresholds between the probabilities of rows, ascending, always and never included."""
    points = operating_points(truth, probabilities)
    keep = np.arange(len(points.values))
    if len(keep) > most:
        called = points.true_positives + points.false_positives
        by_size = np.searchsorted(called, np.geomspace(1, called[-1], most // 2))
        by_hits = np.searchsorted(points.true_positives, np.linspace(0, points.positives, most // 2))
        keep = np.unique(np.clip(np.concatenate([[0], by_size, by_hits]), 0, len(keep) - 1))
    keep = keep[keep < len(points.values) - 1]  # below the lowest probability all are predicted: always
    above, below = points.values[keep], points.values[keep + 1]
    between = np.array([midway(high, low) for high, low in zip(above.tolist(), below.tolist(), strict=True)])
    return np.unique(np.concatenate([[ALWAYS], _short(between, above, below), [NEVER]]))


def _short(values: Floats, above: Floats, below: Floats) -> Floats:
    """Return the number with the fewest digits near each value that is above `below` and not above `above`."""
    found = values.copy()
    left = np.ones(len(values), dtype=bool)
    for digits in range(3, 17):
        short = np.array([float(f"{value:.{digits - 1}e}") for value in values[left].tolist()])
        fits = (short > below[left]) & (short <= above[left])
        places = np.flatnonzero(left)
        found[places[fits]] = short[fits]
        left[places[fits]] = False
        if not left.any():
            break
    return found


def _counts(truth: Floats, probabilities: Floats, cuts: Floats) -> RoleCounts:
    positives, negatives = (np.sort(probabilities[truth == label]) for label in (1, 0))
    hits, alarms = (len(one) - np.searchsorted(one, cuts, side="left") for one in (positives, negatives))
    return RoleCounts(len(positives), len(negatives), hits.astype(np.int64), alarms.astype(np.int64))


def costs_of(maximize: str | None) -> tuple[float, float]:
    """Return the costs of a miss and of a false alarm that a rule was fitted for; 1 and 1 where it was for no cost.

    Example:
        >>> costs_of("cost:1:10"), costs_of("f1")
        ((10.0, 1.0), (1.0, 1.0))
    """
    if maximize is None or not maximize.startswith("cost:"):
        return 1.0, 1.0
    alarm, miss = parse_objective(maximize).parameters
    return float(miss), float(alarm)


def explorer_data(view: RunView, curves: list[ClassCurve]) -> dict[str, Any]:
    """Return what the script of the page needs, as plain JSON data: thresholds, counts, and the rule that it changes.

    Args:
        view: of the run.
        curves: from `class_curves`.
    """
    base = None if view.rule is None or view.exclusive else view.rule.to_dict()
    return {
        "run": view.path.name,
        "rule": base,
        "classes": [
            {
                "name": curve.name,
                "thresholds": [None if math.isinf(one) else one for one in curve.thresholds.tolist()],
                "chosen": curve.chosen,
                "roles": {
                    role: {
                        "positives": counts.positives, "negatives": counts.negatives, "hits": counts.hits.tolist(),
                        "alarms": counts.alarms.tolist(),
                    }
                    for role, counts in curve.roles.items()
                },
            }
            for curve in curves
        ],
    }  # fmt: skip
