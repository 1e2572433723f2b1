"""One output, the expected grade, as an entry of the `Ledger`: how it becomes probabilities of grades."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from equipoise._arrays import ClassFloats, Floats, RowFloats, TableFloats
from equipoise._checks import ArgumentError
from equipoise.balance._schemes import CLASS_WEIGHT
from equipoise.balance.corrections import LossCorrection, log_softmax

# Narrower, the expected grade would be a staircase whose steps are ties; wider, the output says nothing of the grade.
_NARROWEST, _WIDEST = 0.25, 100.0
_RAREST = 1e-6  # share that a grade without rows is given, so that its log-probability is finite


@dataclass(frozen=True, eq=False)
class RegressionCorrection(LossCorrection):
    r"""Squared error: one output g, the expected grade. Approximate: a mean says nothing of the shape about it.

    .. math:: \ln p_k = -\frac{(g - k)^2}{2 \sigma^2} + o_k + \text{const}

    A bell of spread sigma about g, on the grades 0 ... K-1, with an offset for each grade. The expected grade of these
    probabilities rises with g whatever the offsets are (its slope is their variance over sigma squared), so a cut point
    of it is a cut point of g, and the order of rows is that of g.

    Class weights and sampling make g the expected grade of the weighted rows. If the bell is right for those, the
    constant shift of the log-odds that the ledger takes off is right too; squared error has no exact way back, because
    different grades can have the same mean. Therefore `measured` fits spread and offsets on rows that were not learned
    from, such that the mean probability of each grade is its natural prevalence after the shift; fitted cut points take
    up the rest.

    Attributes:
        grades: K, at least 2.
        spread: sigma, in grades.
        offsets: (grades,) added to the log-probabilities, or None for 0.

    References:
        The model of adjacent categories, ln p_{k+1} / p_k linear in g: Agresti, "Analysis of ordinal categorical data",
        2nd ed. 2010, section 4.1. As in ordered regression of retinopathy grades with cut points on one output.

    Example:
        Halfway between two of three grades, both are equally likely.

        >>> np.exp(RegressionCorrection(3, 0.5).unbend(np.array([[0.5]]), "class_weight")).round(3)
        array([[0.495, 0.495, 0.009]])
    """

    kind = CLASS_WEIGHT
    grades: int = 2
    spread: float = 1.0
    offsets: Any = None

    def __post_init__(self) -> None:
        self._check("grades", at_least=2)
        if self.grades != int(self.grades):
            raise ArgumentError(f"`grades` of RegressionCorrection must be a whole number; got {self.grades!r}.")
        self._check("spread", at_least=_NARROWEST, at_most=_WIDEST)
        if self.offsets is not None:
            self._freeze("offsets")
            if len(self.offsets) != self.grades:
                raise ArgumentError(
                    f"`offsets` of RegressionCorrection must hold {self.grades} numbers, one a grade; got "
                    f"{len(self.offsets)}. Leave them out for 0."
                )

    def outputs_for(self, classes: int) -> int:
        """Return 1."""
        del classes
        return 1

    def starting_scores(self, log_p: ClassFloats) -> Floats:
        """Return the mean grade of a prior, (1,): no constant has a smaller squared error."""
        p = np.exp(log_softmax(np.asarray(log_p, dtype=np.float64)[None])[0])
        return np.array([p @ np.arange(len(p))])

    def unbend(self, scores: TableFloats, kind: str) -> Floats:
        """Return log-probabilities of all grades, (rows, grades), of expected grades (rows, 1)."""
        del kind
        grade = np.arange(self.grades, dtype=np.float64)
        found = (grade * scores - 0.5 * grade**2) / self.spread**2  # without g squared, which all grades have
        return np.asarray(log_softmax(found if self.offsets is None else found + self.offsets), dtype=np.float64)

    def log_odds_shift_for(self, kind: str) -> ClassFloats:
        """Return zeros, one a grade."""
        del kind
        return np.zeros(self.grades)

    def measured(
        self, scores: RowFloats, grade: RowFloats, prevalence: ClassFloats, shift: ClassFloats
    ) -> RegressionCorrection:
        """Return the correction with spread and offsets fitted on rows that were not learned from.

        They are those of largest likelihood, except that shares of grades are the stated ones: the mean probability of
        each grade is its prevalence, and the mean of g times the expected grade is that of g times the grade.

        Args:
            scores: (rows,) outputs g.
            grade: (rows,) 0 ... K-1, NaN for unknown: such rows are left out, as are infinite outputs.
            prevalence: (grades,) natural shares.
            shift: (grades,) what weights and sampling add to the log-odds, which the ledger takes off.
        """
        known = ~np.isnan(grade) & np.isfinite(scores)
        if not known.any() or np.isnan(prevalence).any():
            return self
        share = np.maximum(prevalence, _RAREST)
        slope, intercepts = _fitted(scores[known], grade[known], share / share.sum())
        bell = -0.5 * slope * np.arange(self.grades) ** 2
        return replace(self, spread=float(slope**-0.5), offsets=intercepts - bell + shift)

    def sentences(self) -> tuple[str, ...]:
        """Say what the output is, how it becomes probabilities, and what that cannot undo."""
        if self.offsets is None:
            how = f"a bell of spread {self.spread:g} about it until validation rows have measured it"
        else:
            how = f"a bell about it, whose spread ({self.spread:.2g}) and shares were measured on validation rows"
        return (
            f"Regression gives one number, the expected grade; probabilities of grades are approximate: {how}. "
            "Squared error has no exact way back from weights or sampling; the order of rows stays that of the one "
            "number, and fitted cut points take up the rest.",
        )


def _fitted(scores: RowFloats, grade: RowFloats, share: ClassFloats) -> tuple[float, ClassFloats]:
    """Return slope and intercepts of ln p_k = slope k g + intercept_k, whose means agree with the rows and shares.

    The slope is kept within what a spread may be; then the intercepts alone are matched.
    """
    grades = np.arange(len(share), dtype=np.float64)
    centre, spread = float(scores.mean()), max(float(scores.std()), 1e-12)
    standard = (scores - centre) / spread  # nearly independent of the intercepts, which Newton's method likes
    aim = np.concatenate([[np.mean(standard * grade)], share[1:]])
    start = np.concatenate([[0.0], np.log(share[1:] / share[0])])
    low, high = spread / _WIDEST**2, spread / _NARROWEST**2
    found = _matched(standard, aim, start, first=0, steepest=high)
    if not low <= found[0] <= high:
        start[0] = np.clip(found[0], low, high)
        found = _matched(standard, aim, start, first=1, steepest=high)
    slope = float(np.clip(found[0] / spread, _WIDEST**-2, _NARROWEST**-2))
    return slope, np.concatenate([[0.0], found[1:]]) - slope * centre * grades


def _matched(scores: RowFloats, aim: ClassFloats, start: ClassFloats, *, first: int, steepest: float) -> ClassFloats:
    """Return slope and intercepts near `start` whose mean k g and shares are `aim`, as far as 60 steps come.

    Newton's method on what `aim` would make the negative log-likelihood, which is convex; steps are halved where they
    go too far. Parameters before `first` stay. Ends where the slope is beyond `steepest`: of rows that the output
    divides without an error it would grow for ever.
    """
    grades = np.arange(len(start), dtype=np.float64)

    def judged(values: ClassFloats) -> tuple[float, TableFloats]:
        logits = scores[:, None] * (values[0] * grades) + np.concatenate([[0.0], values[1:]])
        total = np.logaddexp.reduce(logits, axis=1)
        return float(total.mean() - aim @ values), np.exp(logits - total[:, None])

    values, (worth, p) = start, judged(start)
    for _ in range(60):
        expected = p @ grades
        slope = np.concatenate([[np.mean(scores * expected)], p.mean(axis=0)[1:]]) - aim
        if np.abs(slope[first:]).max() < 1e-10 or values[0] > steepest:
            break
        bend = _curvature(scores, p, expected)[first:, first:]
        step = np.zeros(len(values))
        ridge = 1e-9 * np.trace(bend) + 1e-12
        step[first:] = -np.linalg.solve(bend + ridge * np.eye(len(bend)), slope[first:])
        tried = judged(values + step)
        while tried[0] > worth and np.abs(step).max() > 1e-12:
            step = step / 2
            tried = judged(values + step)
        if tried[0] > worth:
            break
        values, (worth, p) = values + step, tried
    return values


def _curvature(scores: RowFloats, p: TableFloats, expected: RowFloats) -> Floats:
    """Return the mean covariance of (k g, grade is 1, ..., grade is K-1) under p."""
    grades, rows = np.arange(p.shape[1], dtype=np.float64), len(p)
    found = np.diag(p.mean(axis=0)) - p.T @ p / rows
    distance = (grades - expected[:, None]) * p
    found[0, 0] = np.mean(scores**2 * (distance @ grades))
    found[0, 1:] = found[1:, 0] = (scores @ distance)[1:] / rows
    return np.asarray(found)
