"""`prevalence_table`: what a rule does where a class is more or less common than in the rows it was judged on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_number
from equipoise.decision.prevalence._draws import number_groups
from equipoise.decision.rule import DecisionRule
from equipoise.scores import Scores

_NORMAL = np.linspace(-4.5, 4.5, 145)  # where the quantiles of a rate are computed exactly

# Figure -> what it is. None of the first two depends on the prevalence; all the others do.
FIGURES = {
    "sensitivity": "share of the positives that are predicted",
    "specificity": "share of the negatives that are not",
    "ppv": "share of the predicted that are positive",
    "npv": "share of the others that are negative",
    "f1": "harmonic mean of ppv and sensitivity",
    "alarms": "predicted cases per thousand",
}


@dataclasses.dataclass(frozen=True, eq=False)
class PrevalenceTable:
    """Figures of a rule, class by class, at several prevalences.

    Args:
        classes: names.
        prevalence: shape (classes, prevalences); the first is that of the rows judged, NaN where nothing is known.
        values: figure to its values, shape (classes, prevalences); NaN where it cannot be told.
        low: lower ends of the intervals, of the same form.
        high: upper ends.
        positives: known positives that the figures rest on, shape (classes,).
        negatives: known negatives.
        level: coverage of the intervals.
        replicates: draws behind an interval; 0 for none.
        seed: of the draws.
        clustered: whether rows of a group were taken to depend on each other.
        notes: sentences about classes that cannot be judged.
    """

    classes: tuple[str, ...]
    prevalence: Floats
    values: dict[str, Floats]
    low: dict[str, Floats]
    high: dict[str, Floats]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    level: float
    replicates: int
    seed: int
    clustered: bool
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain JSON types: one record per class and prevalence."""
        rows = []
        for index, name in enumerate(self.classes):
            for column, share in enumerate(self.prevalence[index].tolist()):
                figures = {
                    figure: {
                        "value": _plain(self.values[figure][index, column]),
                        "low": _plain(self.low[figure][index, column]),
                        "high": _plain(self.high[figure][index, column]),
                    }
                    for figure in FIGURES
                }
                rows.append({"class": name, "prevalence": _plain(share), "measured": column == 0, **figures})
        return {
            "classes": list(self.classes),
            "positives": self.positives.tolist(),
            "negatives": self.negatives.tolist(),
            "level": self.level,
            "replicates": self.replicates,
            "seed": self.seed,
            "clustered": self.clustered,
            "rows": rows,
            "notes": list(self.notes),
        }


def prevalence_table(
    scores: Scores,
    rule: DecisionRule,
    at: Sequence[float] | Floats = (),
    *,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> PrevalenceTable:
    r"""Return what the thresholds of a rule do at other prevalences: PPV, NPV, F1 and alarms per thousand.

    Sensitivity s and specificity c are those of the rows given; they hold wherever cases of a class score as they do
    here. At prevalence pi then

    .. math:: PPV = \frac{s \pi}{s \pi + (1 - c)(1 - \pi)}, \quad NPV = \frac{c (1 - \pi)}{c (1 - \pi) + (1 - s) \pi},
        \quad F_1 = \frac{2 s \pi}{s \pi + (1 - c)(1 - \pi) + \pi}, \quad
        alarms = 1000 (s \pi + (1 - c)(1 - \pi)).

    Exclusive classes: each against the rest, whose classes keep their proportions. The thresholds are not moved; for
    that see `move_rule`.

    Intervals come from a parametric bootstrap: s and c are drawn from Beta(hits + 1/2, misses + 1/2) (Jeffreys), with
    counts divided by the design effect and correlated as sums over groups say, and carried through the formulas. So a
    specificity of 1 among 500 negatives is not taken for certain, which decides the PPV of a rare class.

    Args:
        scores: rows that the rule was not fitted on.
        rule: how they become predictions.
        at: prevalences in (0, 1), each for every class, or an array (classes, prevalences); NaN where there is none.
        replicates: draws behind an interval; 0 for none.
        level: coverage of the intervals.
        seed: of the draws.

    Raises:
        ArgumentError: the rule was fitted on some of these rows or is for other classes; a prevalence that is not
            between 0 and 1; another argument out of range.

    Example:
        Three of four positives and one of four negatives are predicted:

        >>> from equipoise.decision.rule import fixed_rule
        >>> scores = Scores(labels=[1, 1, 1, 1, 0, 0, 0, 0], values=[0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1],
        ...                 kind="probabilities", ids=range(8), role="test", classes=["Mass"])
        >>> table = prevalence_table(scores, fixed_rule(scores, 0.5), [0.1])
        >>> table.prevalence.tolist(), table.values["ppv"].tolist(), table.values["alarms"].round(9).tolist()
        ([[0.5, 0.1]], [[0.75, 0.25]], [[500.0, 300.0]])
    """
    shares = _check(at, replicates, level, len(scores.classes))
    rule.check_unseen(scores)
    truth, predicted = scores.table(), rule.apply(scores).table() == 1
    positives, negatives = (truth == 1).sum(axis=0), (truth == 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        measured = positives / (positives + negatives)
        caught = ((truth == 1) & predicted).sum(axis=0) / positives
        spared = ((truth == 0) & ~predicted).sum(axis=0) / negatives
    prevalence = np.column_stack([measured, shares])
    values = figures_at(caught[:, None], spared[:, None], prevalence)
    low, high = ({name: np.full(prevalence.shape, np.nan) for name in FIGURES} for _ in range(2))
    member, count = number_groups(scores)
    if replicates and count > 1:
        random = np.random.default_rng(seed)
        for index in np.flatnonzero(positives * negatives > 0).tolist():
            drawn = _draw_rates(truth[:, index], predicted[:, index], member, random.normal(size=(2, replicates)))
            figures = figures_at(drawn[0][:, None], drawn[1][:, None], prevalence[index])
            for name, found in figures.items():
                ends = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
                low[name][index], high[name][index] = ends
    notes = _notes(scores.classes, positives, negatives, predicted, truth)
    return PrevalenceTable(
        scores.classes, prevalence, values, low, high, positives, negatives, float(level),
        replicates if count > 1 else 0, seed, scores.groups is not None, notes,
    )  # fmt: skip


def figures_at(sensitivity: Floats, specificity: Floats, prevalence: Floats) -> dict[str, Floats]:
    """Return every figure of `FIGURES` at a prevalence; all three are arrays that broadcast.

    NaN for the PPV of a rule that never predicts, and the NPV of one that always does.
    """
    hits, false = sensitivity * prevalence, (1.0 - specificity) * (1.0 - prevalence)
    rest, missed = specificity * (1.0 - prevalence), (1.0 - sensitivity) * prevalence
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "sensitivity": np.broadcast_to(sensitivity, hits.shape),
            "specificity": np.broadcast_to(specificity, hits.shape),
            "ppv": hits / (hits + false),
            "npv": rest / (rest + missed),
            "f1": 2 * hits / (hits + false + prevalence),
            "alarms": 1000 * (hits + false),
        }


def _draw_rates(truth: Floats, predicted: NDArray[np.bool_], member: NDArray[np.int64], normal: Floats) -> list[Floats]:
    """Return draws of sensitivity and specificity, shape (2, draws), from independent standard normal ones."""
    from scipy.special import betaincinv, ndtr

    rates = []
    for wanted, right in ((1.0, predicted), (0.0, ~predicted)):
        rows = truth == wanted
        rates.append(_Rate.of(right[rows].astype(np.float64), member[rows], int(member.max()) + 1))
    spread = math.sqrt(rates[0].variance * rates[1].variance)
    together = float(rates[0].deviations @ rates[1].deviations) / spread if spread else 0.0
    together = min(max(together, -0.99), 0.99)
    mixed = (normal[0], together * normal[0] + math.sqrt(1 - together**2) * normal[1])
    drawn = []
    for rate, z in zip(rates, mixed, strict=True):
        # Quantiles at a few points and straight lines between: a thousand classes would take minutes otherwise.
        quantiles = betaincinv(rate.hits / rate.effect + 0.5, rate.misses / rate.effect + 0.5, ndtr(_NORMAL))
        drawn.append(np.interp(z, _NORMAL, quantiles))
    return drawn


@dataclasses.dataclass(frozen=True, eq=False)
class _Rate:
    """A share of rows, how much more it varies than that of independent rows, and what each group adds to it."""

    hits: float
    misses: float
    effect: float
    variance: float
    deviations: Floats

    @classmethod
    def of(cls, right: Floats, member: NDArray[np.int64], count: int) -> _Rate:
        total, hits = len(right), float(right.sum())
        rate = hits / total
        deviations = np.bincount(member, weights=right - rate, minlength=count) / total
        variance = float(deviations @ deviations)
        sizes = np.bincount(member, minlength=count).astype(np.float64)
        worst = float(sizes @ sizes / total)  # all rows of a group alike
        binomial = rate * (1 - rate) / total
        effect = worst if binomial == 0 else min(max(variance / binomial, 1.0), worst)
        return cls(hits, total - hits, effect, variance, deviations)


def _notes(
    classes: tuple[str, ...], positives: NDArray, negatives: NDArray, predicted: NDArray[np.bool_], truth: Floats
) -> tuple[str, ...]:
    notes = []
    for index, name in enumerate(classes):
        if positives[index] * negatives[index] == 0:
            missing = "positive" if positives[index] == 0 else "negative"
            notes.append(f"{name} has no known {missing} in these rows, so nothing can be said about it elsewhere.")
        elif not predicted[~np.isnan(truth[:, index]), index].any():
            notes.append(f"{name} is never predicted: it has no PPV.")
    return tuple(notes)


def _check(at: Any, replicates: Any, level: float, count: int) -> Floats:
    """Return the prevalences, shape (classes, prevalences)."""
    check_number(level, argument="level", function="prevalence_table", above=0.0, at_most=0.999)
    if isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 0:
        raise ArgumentError(
            f"`replicates` of prevalence_table must be a whole number of at least 0; got {replicates!r}."
        )
    try:
        shares = np.atleast_1d(np.asarray(at, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"`at` of prevalence_table must be numbers between 0 and 1; got {at!r}.") from error
    wrong = ~np.isnan(shares) & ~((shares > 0) & (shares < 1))
    if wrong.any():
        raise ArgumentError(
            f"`at` of prevalence_table must be above 0 and below 1; got {shares[wrong][0]:g}. Shares are meant, "
            "not percentages."
        )
    if shares.ndim != 1 and shares.shape[:-1] != (count,):
        raise ArgumentError(
            f"`at` of prevalence_table must have one axis, or one row for each of {count} classes; got shape "
            f"{shares.shape}."
        )
    return np.tile(shares, (count, 1)) if shares.ndim == 1 else shares


def _plain(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
