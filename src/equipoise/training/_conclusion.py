"""What the guard says of the kept models: once, on every row that some member was watched on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.evidence.finding import Finding
from equipoise.metrics import ClassStatistics, class_statistics
from equipoise.scores import Decisions, Scores
from equipoise.training._sentences import overfitting_finding, standing_finding
from equipoise.training._standing import (
    AT_THE_END,
    Areas,
    Case,
    collapsed,
    dominating,
    independent_cases,
    naive_rate,
    ranked_areas,
    rounded,
    standing,
)

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

Floats = NDArray[np.float64]

_SAMPLE = 2000  # rows learned from that are scored once, at the end of a member
_FAR = 0.15  # area under the curve by which training must be above validation
_SURELY = 0.05  # and by which it must be above it beyond the 99 % intervals of both


def training_sample(
    truth: NDArray[np.floating[Any]], most: int = _SAMPLE
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return rows to score among those learned from, and which of them stand for all rows.

    Half of `most` are spread evenly over all rows; the rest are positives of the rarest classes, as many of each. A
    class's negatives are then taken from the even part alone: rows that are there for another class would not be like
    the rest. No random number is drawn.

    Args:
        truth: 0, 1 or NaN, (rows, classes).
        most: rows to return at most.

    Returns:
        Ascending row numbers, and for each whether it is of the even part.
    """
    rows, classes = truth.shape
    if rows <= most:
        return np.arange(rows), np.ones(rows, dtype=bool)
    even = np.linspace(0, rows - 1, most // 2).astype(np.int64)
    chosen = np.zeros(rows, dtype=bool)
    chosen[even] = True
    base = chosen.copy()
    for number in np.argsort((truth == 1).sum(axis=0), kind="stable"):
        hits = np.flatnonzero((truth[:, number] == 1) & ~chosen)
        wanted = min(len(hits), most // (2 * classes))
        if wanted:
            chosen[hits[np.linspace(0, len(hits) - 1, wanted).astype(np.int64)]] = True
    index = np.flatnonzero(chosen)
    return index, base[index]


def learned_areas(scores: Scores, even: NDArray[np.bool_]) -> Areas:
    """Return the areas among rows learned from; `scores` and `even` of the rows of `training_sample`."""
    truth = np.array(scores.table())
    truth[~even[:, None] & (truth == 0)] = np.nan
    return ranked_areas(truth, scores.ranking_table(), scores.groups)


def conclude(
    scores: Scores, decisions: Decisions | None, events: Iterable[Mapping[str, Any]], recipe: Recipe
) -> list[Finding]:
    """Return what is wrong with the kept models, gravest first within a class.

    Args:
        scores: of the validation role at natural prevalence, each row by a member that did not learn from it.
        decisions: of the fitted rule on them.
        events: of the run: what members said of the rows that they learned from.
        recipe: as it was run.
    """
    seen, rate = class_statistics(scores), naive_rate(scores)
    areas = Areas.of(seen.auc, *independent_cases(scores.table(), scores.groups))
    fitted = np.full(len(rate), math.nan) if decisions is None else decisions.table().mean(axis=0)
    kinds = standing(seen, areas, rate, AT_THE_END)
    taken = dominating(np.nan_to_num(fitted), seen, AT_THE_END.least)
    kinds = ["dominates" if kind is None and taken[number] else kind for number, kind in enumerate(kinds)]
    severity = "collapse" if collapsed(kinds, areas, AT_THE_END) is not None else None
    cases = _cases(scores, areas, rate, seen, fitted)
    found = [
        standing_finding(kind, recipe, case, member=None, epoch=None, severity=_grave(kind, severity))
        for kind, case in zip(kinds, cases, strict=True)
        if kind is not None
    ]
    return [*found, *_overfitted(scores.classes, areas, events, recipe)]


def _cases(scores: Scores, areas: Areas, rate: Floats, seen: ClassStatistics, fitted: Floats) -> list[Case]:
    return [
        Case(name, number, areas, float(rate[number]), seen, float(fitted[number]), scores.exclusive)
        for number, name in enumerate(scores.classes)
    ]


def _grave(kind: str, severity: str | None) -> str | None:
    return severity if kind in ("constant", "no_ranking") else None


def _overfitted(
    classes: Sequence[str], held_out: Areas, events: Iterable[Mapping[str, Any]], recipe: Recipe
) -> list[Finding]:
    """Classes whose area on rows learned from is far above that on validation rows, beyond doubt.

    The lower end of the difference is MOVER's, of two independent areas with 99 % intervals.
    """
    learned = _learned(events)
    if learned is None:
        return []
    gap = learned.auc - held_out.auc
    doubt = np.hypot(learned.auc - learned.sure_low, held_out.sure_high - held_out.auc)
    enough = learned.enough(10) & held_out.enough(10)
    with np.errstate(invalid="ignore"):
        wrong = enough & (gap >= _FAR) & (gap - doubt >= _SURELY)
    chosen = np.flatnonzero(wrong).tolist()
    return [overfitting_finding(recipe, classes[number], number, learned, held_out) for number in chosen]


def _learned(events: Iterable[Mapping[str, Any]]) -> Areas | None:
    """The mean area over members on rows they learned from; as sure as the one with the fewest cases."""
    told = [event["training"] for event in events if event.get("event") == "member" and "training" in event]
    if not told:
        return None
    auc = np.array([[math.nan if value is None else value for value in one["auc"]] for one in told], dtype=np.float64)
    positives, negatives = (np.array([one[key] for one in told], dtype=np.int64) for key in ("positives", "negatives"))
    return Areas.of(auc.mean(axis=0), positives.min(axis=0), negatives.min(axis=0))


def learned_record(areas: Areas) -> dict[str, Any]:
    """Return the areas among rows learned from as an event stores them."""
    return {
        "auc": [rounded(value) for value in areas.auc],
        "positives": areas.positives.tolist(),
        "negatives": areas.negatives.tolist(),
    }
