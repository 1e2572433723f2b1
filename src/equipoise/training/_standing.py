"""How each class stands in one table of scores: told from the rest, ever predicted, or the same for every row."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics import ClassStatistics, auc_interval, rank_classes
from equipoise.scores import Scores

Floats = NDArray[np.float64]

NO_SPREAD = 1e-6  # log-odds; below it a model says the same of every row
_LEVEL, _SURE_LEVEL = 0.95, 0.99
_HARDLY = 0.05  # a class predicted less than so often as it occurs is hardly ever predicted
_FEW = 20  # positives below which an interval spans nearly everything
_LEFT_OVER = 0.1  # share of the rows of other classes below which one class has taken nearly all
_WELL = 0.65  # area from which a class counts as ranked well
_FAR_BEYOND = 0.2  # of all rows: so much above its prevalence a class must be predicted to dominate


@dataclass(frozen=True)
class Proof:
    """What is asked of the evidence before a class is said not to be ranked.

    Attributes:
        level: coverage of the interval that must reach down to 0.5.
        ceiling: an area that the interval must exclude: one that would be of use.
        least: positives (and negatives) below which nothing is said.
    """

    level: float
    ceiling: float
    least: int


# Every epoch of every member is looked at, so a class is accused there only on strong evidence; the kept models are
# judged once, on all validation rows together.
IN_TRAINING = Proof(_SURE_LEVEL, 0.7, 10)
AT_THE_END = Proof(_LEVEL, 0.8, 5)


@dataclass(frozen=True, eq=False)
class Areas:
    """Area under the ROC curve of each class with its intervals, (classes,); NaN where it cannot be said.

    Attributes:
        auc: the areas. positives, negatives: independent cases of each: rows, or groups that have such a row.
        low, high: of the 95 % interval. sure_low, sure_high: of the 99 % interval.
    """

    auc: Floats
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    low: Floats
    high: Floats
    sure_low: Floats
    sure_high: Floats

    @classmethod
    def of(cls, auc: Floats, positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> Areas:
        """Return areas with their intervals; see `auc_interval`."""
        levels = np.array([[_LEVEL], [_SURE_LEVEL]])
        (low, sure_low), (high, sure_high) = auc_interval(auc, positives, negatives, level=levels)
        return cls(auc, positives, negatives, low, high, sure_low, sure_high)

    def enough(self, least: int) -> NDArray[np.bool_]:
        """Return which classes have at least so many positives and negatives."""
        return ~np.isnan(self.auc) & (self.positives >= least) & (self.negatives >= least)

    def words(self, number: int) -> str:
        """Say the area of a class."""
        count = self.positives[number]
        of = f"{count} positive" + ("" if count == 1 else "s")
        return f"AUC {self.auc[number]:.2f} [{self.low[number]:.2f}, {self.high[number]:.2f}], {of}"

    def figures(self, number: int) -> dict[str, Any]:
        """Return the figures of a class, for a finding."""
        return {
            "auc": rounded(self.auc[number]),
            "auc_low": rounded(self.low[number]),
            "auc_high": rounded(self.high[number]),
            "positives": int(self.positives[number]),
            "negatives": int(self.negatives[number]),
        }


@dataclass(frozen=True, eq=False)
class Case:
    """One class and its figures, as a finding tells them.

    Attributes:
        name, number: of the class. areas, seen: of all classes.
        naive: share of rows predicted as it by plain reading. fitted: by the fitted rule; NaN where there is none yet.
        exclusive: whether exactly one class is true of each row.
    """

    name: str
    number: int
    areas: Areas
    naive: float
    seen: ClassStatistics
    fitted: float = math.nan
    exclusive: bool = False

    @property
    def prevalence(self) -> float:
        """Share of the known labels that are positive."""
        return float(self.seen.prevalence[self.number])

    @property
    def few(self) -> bool:
        """Whether it has too few positives for anything but a strong ranking to show."""
        return int(self.areas.positives[self.number]) < _FEW

    @property
    def dominates(self) -> bool:
        """Whether plain reading alone makes it dominate; see `dominating`."""
        rate = np.full(len(self.seen.classes), self.naive)
        return bool(dominating(rate, self.seen, 0)[self.number])

    def figures(self) -> dict[str, Any]:
        """Return the figures for a finding."""
        fitted = {} if math.isnan(self.fitted) else {"rate_by_rule": rounded(self.fitted)}
        return {
            "prevalence": rounded(self.prevalence),
            "spread": rounded(self.seen.spread[self.number]),
            "naive_rate": rounded(self.naive),
            **fitted,
            **self.areas.figures(self.number),
        }


def independent_cases(truth: Floats, groups: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many independent positives and negatives each class has, (classes,).

    Rows of one group are not independent: there the groups that have a positive (a negative) are counted. That is
    cautious, as several rows of a group do tell a little more than one.

    Args:
        truth: 0, 1 or NaN, (rows, classes).
        groups: one name a row, or None.

    Example:
        >>> independent_cases(np.array([[1.0], [1.0], [0.0]]), ["ann", "ann", "bob"])
        (array([1]), array([1]))
    """
    if groups is None:
        return np.asarray((truth == 1).sum(axis=0)), np.asarray((truth == 0).sum(axis=0))
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    found = []
    for value in (1, 0):
        cells = [np.unique(codes[column == value]).size for column in truth.T]
        found.append(np.array(cells, dtype=np.int64))
    return found[0], found[1]


def ranked_areas(truth: Floats, values: Floats, groups: Any) -> Areas:
    """Return the areas of a table of labels (0, 1, NaN) and of what ranks its rows, both (rows, classes)."""
    auc = np.array([one.auc() for one in rank_classes(truth, values)])
    return Areas.of(auc, *independent_cases(truth, groups))


def naive_rate(scores: Scores) -> Floats:
    """Return the share of rows predicted as each class by plain reading: at 0.5, or as the most likely class."""
    if not scores.exclusive:
        return np.asarray((scores.probability_table() >= 0.5).mean(axis=0))
    chosen = scores.value_table().argmax(axis=1)
    return np.bincount(chosen, minlength=len(scores.classes)) / len(chosen)


def standing(seen: ClassStatistics, areas: Areas, naive: Floats, proof: Proof) -> list[str | None]:
    """Return the kind of finding that each class deserves, or None.

    ``constant``: no spread. ``no_ranking``: the interval of its area reaches down to 0.5 and not up to an area of use.
    ``dominates``: predicted for nearly all rows. ``threshold_only``: ranked well (an area of 0.65, the 99 % interval
    above 0.5), and yet (nearly) never predicted. ``unclear``: never predicted, and neither of these can be said.

    Args:
        seen: of the scores.
        areas: of the same.
        naive: see `naive_rate`.
        proof: what is asked of the evidence.
    """
    low, high = (areas.sure_low, areas.sure_high) if proof.level == _SURE_LEVEL else (areas.low, areas.high)
    unranked = areas.enough(proof.least) & (low <= 0.5) & (high < proof.ceiling)
    never = (seen.positives > 0) & (naive < _HARDLY * np.nan_to_num(seen.prevalence))
    ranked = areas.enough(proof.least) & (areas.sure_low > 0.5) & (areas.auc >= _WELL)
    rules = {
        "constant": seen.spread < NO_SPREAD,
        "no_ranking": unranked,
        "dominates": dominating(naive, seen, proof.least),
        "threshold_only": never & ranked,
        "unclear": never & (proof is AT_THE_END),
    }
    return [next((kind for kind, holds in rules.items() if holds[number]), None) for number in range(len(naive))]


def dominating(rate: Floats, seen: ClassStatistics, least: int) -> NDArray[np.bool_]:
    """Return which classes are predicted for nearly all rows, far beyond their prevalence.

    Nearly all: at most a tenth of the rows that are something else are left to it.
    """
    share = np.nan_to_num(seen.prevalence, nan=1.0)
    others = seen.known - seen.positives
    return np.asarray((1 - rate < _LEFT_OVER * (1 - share)) & (rate - share >= _FAR_BEYOND) & (others >= least))


def collapsed(kinds: list[str | None], areas: Areas, proof: Proof) -> str | None:
    """Return how a model has collapsed: nothing it says tells any class from the rest; None where it has not.

    ``constant``: the same score for every row, for every class. ``no_ranking``: of the classes with enough positives to
    be judged, and there is one, none is ranked.
    """
    if all(kind == "constant" for kind in kinds):
        return "constant"
    judged = [kind for kind, enough in zip(kinds, areas.enough(proof.least), strict=True) if enough]
    return "no_ranking" if judged and all(kind in ("constant", "no_ranking") for kind in judged) else None


def rounded(value: Any) -> float:
    """Return a figure as it is stored in events: six decimals."""
    return round(float(value), 6)


def rounded_each(values: Iterable[Any]) -> list[float]:
    """Return figures as they are stored in events."""
    return [rounded(value) for value in values]
