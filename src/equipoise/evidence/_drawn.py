"""Arms drawn again on the same replicates: their figures per training seed, and what the mean over seeds varies by."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, listed, nearest
from equipoise.evidence._ends import FEW_CASES, Cases, count_cases
from equipoise.evidence.comparison import Difference
from equipoise.evidence.evaluate import Rule
from equipoise.evidence.intervals import pooled_degrees, small_sample, student_quantile, variance_of
from equipoise.evidence.resampling import Resampling, resample_figures
from equipoise.metrics.figures import AVERAGES, Figures, evaluable_classes, measure
from equipoise.scores import Scores

OVER_CLASSES = ("macro", "weighted")  # averages that have a figure of each class behind them
ROW_METRICS = ("brier", "log_loss", "exact_match", "hamming", "accuracy", "mae")


def bare_metric(metric: str) -> str:
    """Return a metric without its average.

    Example:
        >>> bare_metric("macro_ap"), bare_metric("log_loss")
        ('ap', 'log_loss')
    """
    average, _, bare = metric.partition("_")
    return bare if average in AVERAGES else metric


@runtime_checkable
class Judgement(Protocol):
    """What arms can be compared on: scores of some kind with the rule that decides on them."""

    def check_unseen(self) -> None: ...
    def columns(self, metric: str, plan: Resampling, class_metric: str | None) -> tuple[Floats, Floats]: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """One table and its rule."""

    scores: Scores
    rule: Rule | None

    def check_unseen(self) -> None:
        """Raise `ArgumentError` where the rule was fitted on rows that it is to be judged on."""
        check = getattr(self.rule, "check_unseen", None)
        if check is not None:
            check(self.scores)

    def columns(self, metric: str, plan: Resampling, class_metric: str | None) -> tuple[Floats, Floats]:
        """Return the metric and after it that of each class where there is one, and both of every replicate.

        Args:
            metric: full name.
            plan: of the replicates.
            class_metric: bare name of the figure of each class; None: that which `metric` is a mean of, if it is one.
        """
        wanted = (metric,) if class_metric is None else (metric, f"macro_{class_metric}")
        point, replicates = self._figures(plan, wanted)
        return _column(point, metric, self, class_metric), _column(replicates, metric, self, class_metric)

    def _figures(self, plan: Resampling, metrics: Sequence[str]) -> tuple[Figures, Figures]:
        """Return the figures, and those of the replicates."""
        decisions = None if self.rule is None else self.rule.apply(self.scores)
        natural = self.scores if decisions is None else decisions.scores
        point = measure(natural, decisions)
        return point, resample_figures(natural, decisions, evaluable_classes(point), plan, metrics=metrics)


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """A figure, or a difference of two, per seed with its replicates; that of each class stands after it.

    Args:
        values: shape (seeds, 1 + classes).
        replicates: shape (replicates, seeds, 1 + classes).
    """

    values: Floats
    replicates: Floats

    @classmethod
    def of(
        cls, judged: Sequence[Judgement], metric: str, plan: Resampling, *, class_metric: str | None = None
    ) -> Drawn:
        """Return the figures of one arm.

        Args:
            judged: one a seed.
            metric: full name.
            plan: of the replicates: with the same one, and rows in the same order, arms are paired.
            class_metric: bare name of the figure of each class; None: that which `metric` is a mean of, if it is one.
        """
        values, replicates = [], []
        for one in judged:
            columns = one.columns(metric, plan, class_metric)
            values.append(columns[0])
            replicates.append(columns[1])
        return cls(np.array(values), np.stack(replicates, axis=1))

    def minus(self, other: Drawn) -> Drawn:
        """Return the difference to another arm that was drawn on the same replicates, seed by seed."""
        return Drawn(self.values - other.values, self.replicates - other.replicates)

    def of_seeds(self, places: Sequence[int]) -> Drawn:
        """Return some of the seeds, by their places."""
        chosen = list(places)
        return Drawn(self.values[chosen], self.replicates[:, chosen])

    def mean_over(self, columns: NDArray[np.int64]) -> Drawn:
        """Return the mean over some columns, which stand after it."""
        values, replicates = self.values[:, columns], self.replicates[:, :, columns]
        return Drawn(
            np.concatenate([values.mean(axis=1, keepdims=True), values], axis=1),
            np.concatenate([replicates.mean(axis=2, keepdims=True), replicates], axis=2),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Resting:
    """What figures of some scores in a metric rest on.

    Args:
        metric: full name.
        classes: with a figure of their own; empty where the metric is no mean over classes and none was asked for.
        cases: groups (or rows) with and without each class.
        positives: known positives of each class.
        over_classes: whether the metric is a mean over classes.
        class_metric: bare name of the figure of a class.
        all_classes: every class, also where there is one.
        shares: of each class, of what is known: rows, or the pixels of masks.
        unit: what was judged: "rows" or "images".
    """

    metric: str
    classes: tuple[str, ...]
    cases: Cases
    positives: NDArray[np.int64]
    over_classes: bool
    class_metric: str
    all_classes: tuple[str, ...]
    shares: Floats
    unit: str = "rows"

    @classmethod
    def of(cls, scores: Scores, metric: str, *, class_metric: str | None = None) -> Resting:
        """Return it for the scores of an arm: it is the same for all arms on the same rows."""
        over = metric.partition("_")[0] in OVER_CLASSES and scores.task != "binary"
        there = over or (class_metric is not None and scores.task != "binary")
        table = scores.table()
        positives = np.nansum(table == 1, axis=0)
        shares = positives / np.maximum((~np.isnan(table)).sum(axis=0), 1)
        return cls(
            metric, scores.classes if there else (), count_cases(scores), positives, over,
            class_metric or bare_metric(metric), scores.classes, shares,
        )  # fmt: skip

    @property
    def bare(self) -> str:
        """The metric without its average."""
        return bare_metric(self.metric)

    @property
    def by_rows(self) -> bool:
        """Whether the metric rests on all rows, whatever their labels."""
        return self.bare in ROW_METRICS

    def of_class(self, place: int) -> NDArray[np.int64]:
        """Return the cases behind the figure of one class, shape (1,)."""
        return np.array([self.cases.clusters if self.class_metric in ROW_METRICS else int(self.cases.fewer[place])])

    def of_all(self, averaged: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the cases behind each class that the metric is over, or one number for all.

        Args:
            averaged: classes that a mean is over, shape (classes,).
        """
        if not self.by_rows and not self.metric.startswith("micro_"):
            if self.over_classes:
                return np.asarray(self.cases.fewer[averaged])
            if len(self.cases.fewer) == 1:
                return self.cases.fewer
        return np.array([self.cases.clusters])


def evaluable_in(*arms: Drawn) -> NDArray[np.bool_]:
    """Return which classes have a figure in every seed of every arm, shape (classes,)."""
    return np.asarray(~np.any([np.isnan(one.values[:, 1:]).any(axis=0) for one in arms], axis=0))


def _column(figures: Figures, metric: str, judged: Judged, class_metric: str | None) -> Floats:
    """Return the metric, and after it that of each class where there is one, on the last axis."""
    average, scores = metric.partition("_")[0], judged.scores
    if scores.task == "binary":
        bare = bare_metric(metric)
        if bare in figures.per_class:
            return figures.per_class[bare][..., :1]
        known = [*figures.per_class, *(f"macro_{name}" for name in figures.per_class)]
    else:
        known = list(figures.overall)
        if metric in figures.overall:
            whole = figures.overall[metric][..., None]
            bare = class_metric or (bare_metric(metric) if average in OVER_CLASSES else "")
            return np.concatenate([whole, figures.per_class[bare]], axis=-1) if bare else whole
    hint = ""
    if judged.rule is None:
        hint = " Metrics of predictions need a rule for each: rule_a and rule_b (command line: --rule-a, --rule-b)."
    raise ArgumentError(
        f"`metric` of compare must be one of {listed(known, limit=40)}; got {metric!r}.{nearest(metric, known)}{hint}"
    )


@dataclasses.dataclass(frozen=True)
class Spread:
    """What the mean of a figure over seeds varies by, in parts. NaN where there is too little to resample.

    Args:
        rows: variance by the cases that happened to be there, which all seeds share.
        both: of what a seed does on the cases that happened to be there, of one seed.
        seeds: between seeds on these cases, of one seed; 0 with one seed, of which nothing can be known.
        row_degrees: of freedom of what the bootstrap says.
        count: number of seeds.
    """

    rows: float
    both: float
    seeds: float
    row_degrees: float
    count: int

    @property
    def variance(self) -> float:
        """Of the mean over the seeds."""
        return self.expected()[0]

    @property
    def degrees(self) -> float:
        """Of freedom of that variance."""
        return self.expected()[1]

    def expected(self, cases: float = 1.0, count: int | None = None) -> tuple[float, float]:
        """Return variance and degrees of freedom with so many times the cases, and so many seeds.

        The variance is V + W with V = (rows + both / S) / cases from the bootstrap and W = seeds / S, measured on S
        values only: the degrees of freedom are (V + W)^2 / (V^2 / row_degrees + W^2 / (S - 1)) (Satterthwaite). What a
        seed does on the cases at hand is in both parts: the sum is on the safe side. Taking it out of W leaves a
        variance of so few degrees of freedom that less is found, not more.
        """
        seeds = self.count if count is None else count
        from_rows, from_seeds = (self.rows + self.both / seeds) / cases, self.seeds / seeds
        variance, degrees = from_rows + from_seeds, self.row_degrees * cases
        if seeds == 1:
            return variance, degrees
        below = from_rows**2 / degrees + from_seeds**2 / (seeds - 1)
        return variance, variance**2 / below if below > 0 else degrees


def spread(drawn: Drawn, place: int, resting: NDArray[np.int64], parts: NDArray[Any] | None = None) -> Spread:
    """Return what the mean over seeds of one column varies by.

    The bootstrap of the mean over seeds has in it what a seed does on the cases that were drawn; how much is known from
    the bootstrap of single seeds, and says what more seeds would change.

    Args:
        drawn: figures, or differences.
        place: of the column.
        resting: on how many cases it rests: one number, or one a class of `parts`.
        parts: columns (a mask or numbers) that it is a mean over, where it is one.
    """
    each_seed = drawn.replicates[:, :, place]
    moved, count = each_seed.mean(axis=1), drawn.replicates.shape[1]
    if np.isnan(moved).mean() > 0.5 or resting.max(initial=0) < 2:
        return Spread(math.nan, math.nan, math.nan, math.nan, count)
    inflation, degrees = float(small_sample(resting).max()), float(max(resting.max(initial=2) - 1, 1))
    if parts is not None:
        each = np.nan_to_num(variance_of(drawn.replicates[:, :, parts].mean(axis=1)))
        total = float(each.sum())
        inflation = float((each * small_sample(resting)).sum()) / total if total > 0 else 1.0
        degrees = pooled_degrees(each, resting)
    whole = float(variance_of(moved)) * inflation
    if count == 1:
        return Spread(whole, 0.0, 0.0, degrees, 1)
    single = float(np.nanmean(variance_of(each_seed))) * inflation
    both = min(max((single - whole) * count / (count - 1), 0.0), whole * count)
    seeds = float(drawn.values[:, place].var(ddof=1))
    return Spread(whole - both / count, both, seeds, degrees, count)


def column_difference(
    sides: tuple[Drawn, Drawn], place: int, resting: NDArray[np.int64], *, rests: Resting, level: float,
    parts: NDArray[Any] | None = None, name: str | None = None,
) -> Difference:  # fmt: skip
    """Return the difference of two arms in one column, with its interval and p-value.

    Args:
        sides: the two arms, on the same seeds.
        place: of the column; that of class c is c + 1.
        resting: see `spread`.
        rests: what the metric rests on.
        level: coverage of the interval.
        parts: see `spread`.
        name: of the class, or None.
    """
    value_a, value_b = (float(side.values[:, place].mean()) for side in sides)
    value = value_a - value_b
    found = spread(sides[0].minus(sides[1]), place, resting, parts)
    low = high = p = math.nan
    note = ""
    if math.isnan(value):
        note = "not evaluable on these labels"
    elif math.isnan(found.variance):
        note = "too few groups or rows with a case for an interval"
        if name is None and rests.cases.clusters < 2:
            note = "all rows are of one group, so there is nothing to resample"
    else:
        half = student_quantile(level, found.degrees) * math.sqrt(found.variance)
        low, high, p = value - half, value + half, tail(value, found.variance, found.degrees) * 2
        few = int(resting.min(initial=FEW_CASES))
        if few < FEW_CASES:
            note = f"{'rests' if name else 'a class rests'} on {few} cases: p and interval are rough"
    positives = int(rests.positives[place - 1]) if name and place else int(rests.positives.sum())
    return Difference(name, value_a, value_b, value, low, high, p, p, positives, note)


def tail(value: float, variance: float, degrees: float) -> float:
    """Return the probability of Student's t beyond |value| / sqrt(variance), one-sided; 1/2 where nothing varies."""
    from scipy.special import stdtr

    if variance <= 0:
        return 0.5 if value == 0 else 0.0
    return float(stdtr(degrees, -abs(value) / math.sqrt(variance)))
