"""The guard: looks at the validation scores of every epoch and says when a class is never predicted, and why.

It only looks. It never changes weights, losses or data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.decision import fit_threshold
from equipoise.metrics import ClassStatistics, class_statistics
from equipoise.scores import Scores

_NO_SPREAD = 1e-6  # log-odds; below it a model says the same of every row


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a class, with its evidence and the way out.

    Attributes:
        kind: ``"threshold"`` (ranks well, but 0.5 is the wrong threshold), ``"no_ranking"`` (its AUC cannot be told
            from 0.5) or ``"constant"`` (the same score for every row).
        class_name: the class. epoch: when it was seen, from 1.
        sentence: evidence and remedy, in words.
    """

    kind: str
    class_name: str
    epoch: int
    sentence: str


@dataclass(frozen=True, eq=False)
class Look:
    """What one epoch showed, per class (classes,), NaN where it cannot be said.

    Attributes:
        statistics: prevalence, spread, AUC with its interval, share of rows with a probability of at least 0.5.
        thresholds: best for F1 on these scores; NaN for a class without positives (and for one-of-many tasks).
        positive_rate: share of rows predicted positive at those thresholds (one-of-many tasks: by the highest score).
        findings: classes that are never predicted at 0.5, and why.
    """

    statistics: ClassStatistics
    thresholds: NDArray[np.float64]
    positive_rate: NDArray[np.float64]
    findings: tuple[Finding, ...]

    @property
    def overall_rate(self) -> float:
        """Share of all entries that are predicted positive."""
        return float(np.nanmean(self.positive_rate)) if not np.isnan(self.positive_rate).all() else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists by class name order, for the event log."""
        seen = self.statistics
        return {
            "positive_rate": _rounded(self.positive_rate),
            "positive_rate_at_half": _rounded(seen.rate_at_half),
            "prevalence": _rounded(seen.prevalence),
            "spread": _rounded(seen.spread),
            "auc": _rounded(seen.auc),
            "auc_low": _rounded(seen.auc_low),
            "auc_high": _rounded(seen.auc_high),
            "findings": [asdict(finding) for finding in self.findings],
        }


class Guard:
    """Looks at every epoch's validation scores; remembers which findings it has named, so that each is new only once.

    Args:
        classes: names, in the order of the scores.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._named: dict[str, str] = {}
        self.latest: Look | None = None

    def look(self, scores: Scores, *, epoch: int) -> Look:
        """Return what the validation scores of an epoch show.

        Args:
            scores: probabilities or logits at natural prevalence, of the validation role.
            epoch: number of the epoch, from 1.
        """
        thresholds = _thresholds(scores)
        seen = class_statistics(scores, None if scores.exclusive else np.nan_to_num(thresholds, nan=np.inf))
        never, rate = _never_predicted(scores, seen)
        findings = []
        for number, name in enumerate(self._classes):
            kind = _kind(seen, number) if never[number] else None
            if kind is not None and self._named.get(name) != kind:
                findings.append(Finding(kind, name, epoch, _sentence(kind, name, seen, thresholds, number)))
                self._named[name] = kind
            elif kind is None:
                self._named.pop(name, None)
        positive_rate = rate if scores.exclusive else seen.rate_at_threshold
        self.latest = Look(seen, thresholds, positive_rate, tuple(findings))
        return self.latest

    def state(self) -> dict[str, str]:
        """What a checkpoint stores."""
        return dict(self._named)

    def load(self, state: Mapping[str, str]) -> None:
        """Go on from a stored state."""
        self._named = dict(state)


def _thresholds(scores: Scores) -> NDArray[np.float64]:
    truth, probabilities = scores.table(), scores.probability_table()
    found = np.full(truth.shape[1], np.nan)
    for number in range(truth.shape[1]):
        known = truth[:, number]
        if not scores.exclusive and (known == 1).any() and (known == 0).any():
            found[number] = fit_threshold(known, probabilities[:, number], maximize="f1").threshold
    return found


def _never_predicted(scores: Scores, seen: ClassStatistics) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Classes with positives that no row is predicted to have, by plain reading, and how often each is predicted."""
    if not scores.exclusive:
        rate = seen.rate_at_half
    else:
        chosen = scores.value_table().argmax(axis=1)
        rate = np.bincount(chosen, minlength=len(scores.classes)) / len(chosen)
    return (rate == 0) & (seen.positives > 0), rate


def _kind(seen: ClassStatistics, number: int) -> str | None:
    if seen.spread[number] < _NO_SPREAD:
        return "constant"
    if seen.auc_low[number] > 0.5:
        return "threshold"
    if not math.isnan(seen.auc_low[number]):
        return "no_ranking"
    return None


def _sentence(kind: str, name: str, seen: ClassStatistics, thresholds: NDArray[np.float64], number: int) -> str:
    auc = f"AUC {seen.auc[number]:.2f} [{seen.auc_low[number]:.2f}, {seen.auc_high[number]:.2f}]"
    positives = f"{seen.positives[number]} positives"
    if kind == "constant":
        return f"{name}: every row gets the same score. Raise training.learning_rate, or look at the features."
    if kind == "no_ranking":
        return (
            f"{name}: never predicted at 0.5, and not told from the rest ({auc}, {positives}). "
            "No threshold helps: it needs more epochs, better features or more positives."
        )
    if math.isnan(thresholds[number]):
        return (
            f"{name}: ranked well ({auc}, {positives}) but never the most likely class. "
            "Try balance.weights.scheme: sqrt."
        )
    rate = 100 * seen.rate_at_threshold[number]
    return (
        f"{name}: ranked well ({auc}, {positives}) but never predicted at 0.5: only that threshold is wrong. "
        f"At {thresholds[number]:.3f}, fitted here, {rate:.1f} % of rows are predicted."
    )


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 6) for value in values]
