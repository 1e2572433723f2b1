"""Thresholds of yes-or-no classes: exact or shrunk, each with an interval and a figure without its optimism."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision import shrinkage
from equipoise.decision.joint import joint_worths
from equipoise.decision.objectives import Objective
from equipoise.decision.refit import AlarmColumn, Column
from equipoise.decision.resampling import FOLDS, Bins, Counts, Groups
from equipoise.decision.thresholds import (
    ALWAYS,
    NEVER,
    alarm_threshold,
    choose_cut,
    count_at_cuts,
)
from equipoise.metrics.ranking import RankedClass

REPLICATES = 100
_MOST_SEARCHES = 20_000  # classes times replicates
_LARGE = 20_000  # rows from which five folds are as good as ten
_STEP = 0.5  # log-odds beyond the last score at which "never" and "always" are put when thresholds are averaged

# Thresholds for weights of rows, NaN without positives or negatives, and the cuts that are equally good for each class.
Search = Callable[[Floats], tuple[Floats, list[NDArray[np.int64] | None]]]


@dataclasses.dataclass(frozen=True, eq=False)
class YesNo:
    """What thresholds are searched on: classes with positives and negatives only.

    Args:
        truth: 0, 1 or NaN, shape (rows, classes).
        probabilities: at the natural prevalence, shape (rows, classes).
        ranked: the classes, sorted.
        objective: what is maximised.
        groups: rows that are drawn or left out together.
    """

    truth: Floats
    probabilities: Floats
    ranked: Sequence[RankedClass]
    objective: Objective
    groups: Groups

    @property
    def count(self) -> int:
        """Number of classes."""
        return len(self.ranked)

    @property
    def positives(self) -> Floats:
        """Number of positives of each class, shape (classes,)."""
        return np.array([one.positives for one in self.ranked])

    @functools.cached_property
    def reweighted(self) -> Search:
        """The same search on reweighted rows."""
        return _alarm_search(self) if self.objective.name == "alarms" else _search(self)

    def resamplable(self) -> NDArray[np.bool_]:
        """Return which classes have positives in two groups, and negatives; alarms need two groups."""
        if self.objective.name == "alarms":
            return np.full(self.count, self.groups.count > 1)
        spread = [
            [len(np.unique(self.groups.member[column == label])) > 1 for column in self.truth.T] for label in (1, 0)
        ]
        return np.asarray(np.array(spread).all(axis=0))

    def search(self) -> Floats:
        """Return the best thresholds on all rows, shape (classes,)."""
        if self.objective.name == "alarms":
            share = self.objective.parameters[0]
            return np.array([alarm_threshold(self.probabilities[:, index], share) for index in range(self.count)])
        counts = [count_at_cuts(one) for one in self.ranked]
        worths = cut_worths(
            self.objective,
            [(*one, ranked.positives, ranked.negatives) for one, ranked in zip(counts, self.ranked, strict=True)],
        )
        return np.array([choose_cut(one, worth)[1] for one, worth in zip(self.ranked, worths, strict=True)])

    def counts_at(self, thresholds: Floats, rows: NDArray[np.bool_] | None = None) -> Floats:
        """Return true positives, false positives, positives, negatives at thresholds (classes,): shape (4, classes)."""
        truth = self.truth if rows is None else self.truth[rows]
        predicted = (self.probabilities if rows is None else self.probabilities[rows]) >= thresholds
        return count_predictions(truth, predicted)


def cut_worths(objective: Objective, counts: Sequence[Counts]) -> list[Floats]:
    """Return for each class what its cut has to maximise.

    Args:
        objective: of classes one by one, or micro-F1 of all together.
        counts: for each class true and false positives at each cut, all positives and all negatives.
    """
    if objective.joint:
        hits, alarms = [one[0] for one in counts], [one[1] for one in counts]
        return joint_worths(hits, alarms, sum(one[2] for one in counts))
    return [objective.worth(*one) for one in counts]


def count_predictions(truth: Floats, predicted: NDArray[np.bool_]) -> Floats:
    """Return true positives, false positives, positives and negatives of each class, shape (4, classes)."""
    positive, negative = truth == 1, truth == 0
    cells = (positive & predicted, negative & predicted, positive, negative)
    return np.array([np.count_nonzero(one, axis=0) for one in cells], dtype=np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """Thresholds and what is known about them, all of shape (classes,) but the overall figures and notes.

    Args:
        thresholds: see `DecisionRule`.
        low: lower end of the 95 % bootstrap interval; NaN where it could not be had.
        high: upper end.
        values: figure of the objective on the rows fitted on.
        corrected: the same without its optimism; NaN where it could not be had.
        overall: figure of a joint objective; None for others.
        corrected_overall: the same without its optimism.
        uncalibrated: whether the probabilities do not add up to the positives, so that nothing was drawn to them.
        reached: true positives, false positives, positives and negatives on the rows fitted on, shape (4, classes).
        left_out: the same of rows left out of the fit.
        searched: whether the thresholds are the best on the rows fitted on, and not shrunk.
    """

    thresholds: Floats
    low: Floats
    high: Floats
    values: Floats
    corrected: Floats
    overall: float | None
    corrected_overall: float | None
    uncalibrated: NDArray[np.bool_]
    reached: Floats
    left_out: Floats
    searched: bool


def fit_yes_no(problem: YesNo, method: str, *, intervals: bool = True) -> Fitted:
    """Return thresholds by the exact search, or shrunk (see `decision/shrinkage.py`).

    Without `intervals` neither they nor corrected figures are computed, and the thresholds are the same.

    Interval: 2.5 % and 97.5 % (in log-odds) of the thresholds that the same search finds in 100 bootstrap samples of
    the groups (fewer for more than 200 classes), for shrunk ones drawn to the plug-in; widened to hold the threshold.
    It says how far the search moves from sample to sample; as a confidence
    interval it is rough, for a best cut converges more slowly than a mean (Kim and Pollard, Annals of Statistics 1990).

    Optimism: the exact search is repeated without each of ten folds of groups in turn, and its thresholds judged on the
    fold left out; counts are pooled over the folds. A shrunk threshold is judged on each row by its mean over the
    bootstrap samples that lack the row's group (the jackknife after the bootstrap, Efron, JRSS B 1992), which costs no
    search more.
    """
    shrunk = method == "shrunk" and problem.objective.name != "alarms"
    replicates = max(20, min(REPLICATES, _MOST_SEARCHES // problem.count))
    if not intervals:
        return _thresholds_alone(problem, replicates, shrunk=shrunk)
    drawn = resample(problem, replicates, bag=shrunk)
    uncalibrated, odds = np.zeros(problem.count, dtype=bool), drawn.own
    if shrunk:
        plug_ins, uncalibrated = _plug_ins(problem)
        odds, bagged = (_drawn(one, plug_ins, uncalibrated, problem.positives) for one in (drawn.own, drawn.bagged))
        with np.errstate(invalid="ignore"):
            center = _mean(bagged)
        thresholds = shrinkage.from_log_odds(center)
        left_out = _judged_without_own_group(problem, bagged, center, drawn.held)
    else:
        thresholds = problem.search()
        left_out = _cross_fitted(problem)
    enough = problem.resamplable()
    low, high = (np.where(enough, one, np.nan) for one in _interval(problem, odds, thresholds))
    counts = problem.counts_at(thresholds)
    overall = corrected = None
    if problem.objective.joint:
        overall, new = (float(problem.objective.figure(*one.sum(axis=1))) for one in (counts, left_out))
        corrected = new if enough.any() else None
    return Fitted(
        thresholds=thresholds,
        low=low,
        high=high,
        values=problem.objective.figure(*counts),
        corrected=np.where(enough, problem.objective.figure(*left_out), np.nan),
        overall=overall,
        corrected_overall=corrected,
        uncalibrated=uncalibrated,
        reached=counts,
        left_out=left_out,
        searched=not shrunk,
    )


def _thresholds_alone(problem: YesNo, replicates: int, *, shrunk: bool) -> Fitted:
    """Return what `fit_yes_no` does, NaN for all that takes more than the thresholds."""
    uncalibrated, nothing = np.zeros(problem.count, dtype=bool), np.full(problem.count, np.nan)
    if shrunk:
        joint = problem.objective.joint
        odds = resample(problem, replicates, bag=True).bagged if joint else _bagged_at_once(problem, replicates)
        plug_ins, uncalibrated = _plug_ins(problem)
        thresholds = shrinkage.from_log_odds(_mean(_drawn(odds, plug_ins, uncalibrated, problem.positives)))
    else:
        thresholds = problem.search()
    counts = problem.counts_at(thresholds)
    overall = float(problem.objective.figure(*counts.sum(axis=1))) if problem.objective.joint else None
    return Fitted(
        thresholds, nothing, nothing, problem.objective.figure(*counts), nothing, overall, None, uncalibrated, counts,
        np.full((4, problem.count), np.nan), searched=not shrunk,
    )  # fmt: skip


def _bagged_at_once(problem: YesNo, replicates: int) -> Floats:
    """Return `Resampled.bagged`, all samples of a class at once; not for joint objectives."""
    drawn = np.array(list(problem.groups.draws(replicates)), dtype=np.int32)
    weights, found = drawn[:, problem.groups.member], np.full((replicates, problem.count), np.nan)
    for index, (one, ranked) in enumerate(zip(bin_classes(problem), problem.ranked, strict=True)):
        counts = one.count_many(weights)
        usable = (counts[2] * counts[3] > 0)[:, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            worth = problem.objective.worth(*counts)[usable]
        best = worth >= worth.max(axis=1, keepdims=True, initial=-np.inf) - 1e-12
        middles = _middles(ranked)[: best.shape[1]]
        found[usable, index] = (best @ middles) / best.sum(axis=1)
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Resampled:
    """Log-odds of thresholds found in bootstrap samples, NaN where a sample lacks positives or negatives.

    Args:
        own: of the thresholds that `fit_threshold` finds in each sample, shape (replicates, classes).
        bagged: for `shrunk`: the cut of each sample that is best (the mean of those that are equally good), midway to
            the next lower score of *all* rows. What is averaged need not carry the wider gaps of single samples,
            which lean downwards: a third of the rows are missing from each. Empty unless asked for.
        held: which groups each sample holds, shape (replicates, groups); empty unless asked for.
    """

    own: Floats
    bagged: Floats
    held: NDArray[np.bool_]


def resample(problem: YesNo, replicates: int, *, bag: bool) -> Resampled:
    """Return what is found in bootstrap samples of groups; `bag` for thresholds that are averaged."""
    found = np.full((replicates, problem.count), np.nan)
    bagged = np.full((replicates if bag else 0, problem.count), np.nan)
    held = np.zeros((replicates if bag else 0, problem.groups.count), dtype=bool)
    middles = [_middles(one) for one in problem.ranked] if bag else []
    for number, drawn in enumerate(problem.groups.draws(replicates)):
        found[number], best = problem.reweighted(drawn.astype(np.float64)[problem.groups.member])
        if bag:
            held[number] = drawn > 0
            bagged[number] = [
                np.nan if one is None else middle[one].mean() for one, middle in zip(best, middles, strict=True)
            ]
    return Resampled(_own_odds(problem, found), bagged, held)


def _own_odds(problem: YesNo, found: Floats) -> Floats:
    """Return thresholds as log-odds, never and always half a unit beyond the scores."""
    odds = shrinkage.bounded_log_odds(np.clip(found, 0.0, 1.0))
    highest = shrinkage.bounded_log_odds(np.array([one.highest for one in problem.ranked]))
    lowest = shrinkage.bounded_log_odds(np.array([one.lowest for one in problem.ranked]))
    odds = np.where(found == NEVER, highest + _STEP, odds)
    return np.where(found == ALWAYS, lowest - _STEP, odds)


def _search(problem: YesNo) -> Search:
    """Return the exact search on reweighted rows, without sorting them again."""
    bins = bin_classes(problem)
    rows = zip(problem.ranked, bins, problem.truth.T, problem.probabilities.T, strict=True)
    columns = [Column.of(one, kept, truth, np.ascontiguousarray(values)) for one, kept, truth, values in rows]

    def search(weights: Floats) -> tuple[Floats, list[NDArray[np.int64] | None]]:
        total = float(weights.sum())
        counts = [one.count(weights, total) for one in bins]
        found = np.full(len(counts), np.nan)
        best: list[NDArray[np.int64] | None] = [None] * len(counts)
        with np.errstate(invalid="ignore", divide="ignore"):
            worths = cut_worths(problem.objective, counts)
            for index, (one, worth) in enumerate(zip(counts, worths, strict=True)):
                if one[2] * one[3] > 0:
                    best[index] = np.flatnonzero(worth >= worth.max() - 1e-12)
                    found[index] = columns[index].threshold(weights, one[0], worth)
        return found, best

    return search


def bin_classes(problem: YesNo) -> list[Bins]:
    """Return the rows of each class between the cuts that can be the best in a bootstrap sample or without a fold.

    Left out are cuts below the last whose worth on all rows is within 8 / sqrt(positives) of the best, in parts of the
    range of worths: far more than a sample moves a worth.
    """
    counts = [(*count_at_cuts(one), one.positives, one.negatives) for one in problem.ranked]
    columns = zip(problem.ranked, problem.truth.T, problem.probabilities.T, strict=True)
    return [
        Bins.of(one, np.ascontiguousarray(truth), np.ascontiguousarray(values), _last_cut(worth, one.positives))
        for (one, truth, values), worth in zip(columns, cut_worths(problem.objective, counts), strict=True)
    ]


def _last_cut(worth: Floats, positives: float) -> int:
    near = worth.max() - 8.0 / np.sqrt(positives) * (worth.max() - worth.min())
    return int(np.flatnonzero(worth >= near)[-1])


def _alarm_search(problem: YesNo) -> Search:
    """Return the search of the threshold for a share of rows on reweighted rows."""
    share = problem.objective.parameters[0]
    columns = [AlarmColumn.of(np.ascontiguousarray(values), share) for values in problem.probabilities.T]
    return lambda weights: (np.array([one.threshold(weights) for one in columns]), [])


def _middles(ranked: RankedClass) -> Floats:
    """Return log-odds midway below each cut; those of never and always half a unit beyond the scores."""
    highest, lowest = shrinkage.bounded_log_odds(np.array([ranked.highest, ranked.lowest]))
    below = shrinkage.bounded_log_odds(np.maximum(ranked.below, 0.0))
    below[~np.isfinite(ranked.below)] = lowest - 2 * _STEP
    return np.concatenate(([highest + _STEP], (shrinkage.bounded_log_odds(ranked.values) + below) / 2))


def _plug_ins(problem: YesNo) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the plug-in threshold of each class, and whether its probabilities are plainly not calibrated."""
    known = [column[~np.isnan(truth)] for column, truth in zip(problem.probabilities.T, problem.truth.T, strict=True)]
    pairs = zip(known, problem.positives.tolist(), strict=True)
    uncalibrated = np.array([not shrinkage.adds_up(values, positives) for values, positives in pairs])
    if problem.objective.joint:
        fine = [values for values, wrong in zip(known, uncalibrated.tolist(), strict=True) if not wrong]
        pooled = shrinkage.plug_in(np.concatenate(fine), problem.objective) if fine else 0.5
        return np.full(problem.count, pooled), uncalibrated
    return np.array([shrinkage.plug_in(values, problem.objective) for values in known]), uncalibrated


def _drawn(odds: Floats, plug_ins: Floats, uncalibrated: NDArray[np.bool_], positives: Floats) -> Floats:
    columns = [
        odds[:, index] if uncalibrated[index] else shrinkage.draw_to_plug_in(odds[:, index], plug_ins[index], count)
        for index, count in enumerate(positives.tolist())
    ]
    return np.column_stack(columns)


def _mean(odds: Floats) -> Floats:
    usable = ~np.isnan(odds)
    return np.asarray(np.where(usable, odds, 0.0).sum(axis=0) / np.maximum(usable.sum(axis=0), 1))


def _judged_without_own_group(problem: YesNo, odds: Floats, center: Floats, drawn: NDArray[np.bool_]) -> Floats:
    """Return counts at thresholds that are means over the samples without the row's own group, shape (4, classes)."""
    lacking, usable = (~drawn).astype(np.float32), ~np.isnan(odds)
    samples = lacking.T @ usable.astype(np.float32)
    sums = lacking.T @ np.where(usable, odds - center, 0.0).astype(np.float32)
    own = center + np.where(samples > 0, sums / np.maximum(samples, 1), 0.0)
    predicted = problem.probabilities >= shrinkage.from_log_odds(own)[problem.groups.member]
    return count_predictions(problem.truth, predicted)


def _cross_fitted(problem: YesNo) -> Floats:
    """Return counts of rows left out, at thresholds searched without their fold, shape (4, classes)."""
    folds = problem.groups.folds(FOLDS if len(problem.truth) < _LARGE else FOLDS // 2)
    counts = np.zeros((4, problem.count))
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        found, _ = problem.reweighted((~held).astype(np.float64))
        positive = (problem.truth[~held] == 1).any(axis=0)
        # Without a positive it is never predicted, without a negative always.
        counts += problem.counts_at(np.where(np.isnan(found), np.where(positive, ALWAYS, NEVER), found), held)
    return counts


def _interval(problem: YesNo, odds: Floats, thresholds: Floats) -> tuple[Floats, Floats]:
    """Return the ends of the bootstrap intervals; NaN where more than half of the samples found no threshold."""
    ends = np.full((2, problem.count), np.nan)
    for index, ranked in enumerate(problem.ranked):
        usable = odds[~np.isnan(odds[:, index]), index]
        if 2 * len(usable) <= len(odds):
            continue
        found = np.quantile(usable, (0.025, 0.975))
        highest, lowest = shrinkage.bounded_log_odds(np.array([ranked.highest, ranked.lowest]))
        ends[:, index] = shrinkage.from_log_odds(found)
        ends[found > highest, index] = NEVER
        ends[found < lowest, index] = ALWAYS
    return np.minimum(ends[0], thresholds), np.maximum(ends[1], thresholds)
