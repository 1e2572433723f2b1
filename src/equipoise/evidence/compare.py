"""`compare`: is one model better than another, on the same rows, by how much, and could it be chance?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_number, listed, nearest
from equipoise.evidence._ends import FEW_CASES, Cases, count_cases
from equipoise.evidence.comparison import Comparison, Difference, metric_words
from equipoise.evidence.evaluate import Rule
from equipoise.evidence.intervals import (
    check_level,
    normal_quantile,
    pooled_degrees,
    small_sample,
    student_quantile,
    variance_of,
)
from equipoise.evidence.pairing import paired
from equipoise.evidence.resampling import Resampling, resample_figures
from equipoise.metrics.figures import AVERAGES, LOWER_IS_BETTER, Figures, evaluable_classes, measure
from equipoise.scores import Scores

_POWER = 0.8
_OVER_CLASSES = ("macro", "weighted")  # averages that have a figure of each class behind them
_ROW_METRICS = ("brier", "log_loss", "exact_match", "hamming", "accuracy", "mae")
_ONE_SEED = "One pair of models was compared: what another training seed would change is not in the interval."


def compare(
    scores_a: Scores | Sequence[Scores],
    scores_b: Scores | Sequence[Scores],
    metric: str = "macro_ap",
    *,
    rule_a: Rule | Sequence[Rule] | None = None,
    rule_b: Rule | Sequence[Rule] | None = None,
    names: tuple[str, str] = ("A", "B"),
    margin: float | None = None,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Return the difference a - b in one metric, on the same rows, with an interval, a p-value and a sentence.

    Both are judged on the same bootstrap replicates of groups (patients; rows where there are none), so the noise they
    share cancels. With d the difference and V its variance over the replicates, times m / (m - 1) for m cases, the
    interval is d -+ t sqrt(V) and p comes from d / sqrt(V), both of Student's t; the degrees of freedom are those of a
    mean over classes that rest on few cases each (Satterthwaite), so that ten positives do not pass for many. With
    lists of scores, one for each training seed, d is the mean over the seeds, and their variance divided by their
    number is added, with its own degrees of freedom: both groups and seeds would be drawn anew. p-values of classes
    are adjusted by Holm's method.

    Args:
        scores_a: of the one, or a list with one table per training seed.
        scores_b: of the other, such as the free fix; as many, in the order of the same seeds. Rows are paired by id.
        metric: full name as in `evaluate`, such as "macro_ap", "micro_f1", "qwk" or "exact_match"; with one class "ap"
            will do.
        rule_a: what turns the first into predictions, for metrics of predictions; one, or one per seed.
        rule_b: the same for the second.
        names: what the two are called in sentences.
        margin: a difference that does not matter, above 0; asks whether the two are equivalent (two one-sided tests).
        replicates: of the bootstrap, at least 100.
        level: coverage of the intervals; 1 - level is the error that is accepted.
        seed: the same seed and data give the same result, whatever the order of the rows.

    Raises:
        ArgumentError: other classes, an unknown metric (the nearest is named), a rule missing or fitted on these rows.
        DataError: ids, labels or groups that do not match; the message names some.

    Example:
        >>> a = Scores(labels=[0, 0, 1, 1], values=[0.1, 0.2, 0.8, 0.9], kind="probabilities", ids=list("abcd"),
        ...            role="test", classes=["Mass"])
        >>> b = Scores(labels=[0, 0, 1, 1], values=[0.1, 0.8, 0.2, 0.9], kind="probabilities", ids=list("abcd"),
        ...            role="test", classes=["Mass"])
        >>> compare(a, b, "auc").difference  # areas 1 and 0.75
        0.25
    """
    check_level(level, "compare")
    check_number(replicates, argument="replicates", function="compare", at_least=100)
    if margin is not None:
        check_number(margin, argument="margin", function="compare", above=0.0)
    names = (str(names[0]), str(names[1]))
    sides = _sides(scores_a, scores_b, (rule_a, rule_b), names)
    drawn = _draw(sides, metric, Resampling(int(replicates), seed))
    overall, classes = _differences(drawn, level)
    needed = _positives_needed(overall, drawn, level)
    first = sides[0][0].scores
    return Comparison(
        metric=metric,
        names=names,
        overall=overall,
        classes=tuple(classes),
        higher_is_better=drawn.bare not in LOWER_IS_BETTER,
        level=float(level),
        margin=None if margin is None else float(margin),
        equivalence_p=None if margin is None else _equivalence(overall, drawn, float(margin)),
        positives_needed=needed,
        role=first.role,
        cases=len(first),
        clusters=drawn.cases.clusters,
        clustered=drawn.cases.clustered,
        seeds=len(sides),
        replicates=int(replicates),
        seed=seed,
        notes=_notes(drawn, first),
    )


def compare_arms(
    arms: Mapping[str, Scores | Sequence[Scores]],
    reference: str,
    metric: str = "macro_ap",
    *,
    rules: Mapping[str, Any] | None = None,
    **settings: Any,
) -> tuple[Comparison, ...]:
    """Return each arm compared with the reference, p-values adjusted by Holm's method over the arms.

    Args:
        arms: name to scores, or to a list with one table per seed; the reference is one of them.
        reference: what the others are compared with, such as the free fix.
        metric: as in `compare`.
        rules: name to rule, for metrics of predictions.
        settings: as in `compare`: margin, replicates, level, seed.

    Raises:
        ArgumentError: the reference is none of the arms, or there is no other; else as `compare`.
    """
    if reference not in arms or len(arms) < 2:
        raise ArgumentError(
            f"`reference` of compare_arms must be one of at least two arms ({listed(arms)}); got {reference!r}."
            f"{nearest(reference, arms)}"
        )
    given = rules or {}
    found = [
        compare(
            scores, arms[reference], metric, rule_a=given.get(name), rule_b=given.get(reference),
            names=(name, reference), **settings,
        )
        for name, scores in arms.items() if name != reference
    ]  # fmt: skip
    adjusted = holm([one.p for one in found])
    return tuple(
        dataclasses.replace(one, overall=dataclasses.replace(one.overall, adjusted_p=p), arms=len(found))
        for one, p in zip(found, adjusted, strict=True)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm, Scandinavian Journal of Statistics 6, 1979, 65-70).

    Multiplied by how many are at least as large, and never below a smaller one's. NaN stays NaN and is not counted.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]
    adjusted = values.copy()
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)), 1.0)
    return [float(one) for one in adjusted]


@dataclasses.dataclass(frozen=True, eq=False)
class _Judged:
    """One table and its rule."""

    scores: Scores
    rule: Rule | None

    def figures(self, plan: Resampling, metric: str) -> tuple[Figures, Figures]:
        """Return the figures, and those of the replicates."""
        decisions = None if self.rule is None else self.rule.apply(self.scores)
        natural = self.scores if decisions is None else decisions.scores
        point = measure(natural, decisions)
        return point, resample_figures(natural, decisions, evaluable_classes(point), plan, metrics=(metric,))


@dataclasses.dataclass(frozen=True, eq=False)
class _Drawn:
    """Values of both and replicates of their difference, per seed; the classes of a macro average after it.

    Args:
        values: shape (2, seeds, 1 + classes).
        differences: of the replicates, shape (replicates, seeds, 1 + classes).
        averaged: classes that the macro average is over, shape (classes,); empty for other metrics.
    """

    metric: str
    bare: str
    classes: tuple[str, ...]
    values: Floats
    differences: Floats
    averaged: NDArray[np.bool_]
    cases: Cases
    positives: NDArray[np.int64]


def _sides(first: Any, second: Any, rules: tuple[Any, Any], names: tuple[str, str]) -> list[tuple[_Judged, _Judged]]:
    lists = [[one] if isinstance(one, Scores) else list(one) for one in (first, second)]
    if len(lists[0]) != len(lists[1]) or not lists[0]:
        raise ArgumentError(
            f"{names[0]} has {len(lists[0])} tables of scores, {names[1]} has {len(lists[1])}. "
            "Give one per training seed, in the order of the same seeds."
        )
    chosen = [_one_each(rule, len(lists[0])) for rule in rules]
    found = []
    for place, (one, other) in enumerate(zip(*lists, strict=True)):
        left, right = paired(one, other, names)
        if place:
            paired(lists[0][0], one, (names[0], f"{names[0]}, seed {place + 1}"))
        pair = (_Judged(left, chosen[0][place]), _Judged(right, chosen[1][place]))
        for side in pair:
            check = getattr(side.rule, "check_unseen", None)
            if check is not None:
                check(side.scores)
        found.append(pair)
    return found


def _one_each(rule: Any, count: int) -> list[Any]:
    if not isinstance(rule, Sequence):
        return [rule] * count
    if len(rule) != count:
        raise ArgumentError(
            f"compare got {len(rule)} rules for {count} tables of scores. Give one rule, or one per seed."
        )
    return list(rule)


def _draw(sides: list[tuple[_Judged, _Judged]], metric: str, plan: Resampling) -> _Drawn:
    scores = sides[0][0].scores
    values, differences = [], []
    for pair in sides:
        both = [side.figures(plan, metric) for side in pair]
        columns = [[_column(figures, metric, scores, pair) for figures in one] for one in both]
        values.append([one[0] for one in columns])
        differences.append(columns[0][1] - columns[1][1])
    average, _, bare = metric.partition("_")
    macro = average in _OVER_CLASSES and scores.task != "binary"
    table = scores.table()
    found = np.swapaxes(np.array(values), 0, 1)
    return _Drawn(
        metric=metric,
        bare=bare if average in AVERAGES else metric,
        classes=scores.classes if macro else (),
        values=found,
        differences=np.stack(differences, axis=1),
        averaged=~np.isnan(found[:, :, 1:]).any(axis=(0, 1)),
        cases=count_cases(scores),
        positives=np.nansum(table == 1, axis=0),
    )


def _column(figures: Figures, metric: str, scores: Scores, pair: tuple[_Judged, _Judged]) -> Floats:
    """Return the metric, and after it that of each class where it is a mean over them, on the last axis."""
    average, _, bare = metric.partition("_")
    if scores.task == "binary":
        bare = bare if average in AVERAGES else metric
        if bare in figures.per_class:
            return figures.per_class[bare][..., :1]
        known = [*figures.per_class, *(f"macro_{name}" for name in figures.per_class)]
    else:
        known = list(figures.overall)
        if metric in figures.overall:
            whole = figures.overall[metric][..., None]
            return np.concatenate([whole, figures.per_class[bare]], axis=-1) if average in _OVER_CLASSES else whole
    hint = ""
    if any(side.rule is None for side in pair):
        hint = " Metrics of predictions need a rule for each: rule_a and rule_b (command line: --rule-a, --rule-b)."
    raise ArgumentError(
        f"`metric` of compare must be one of {listed(known, limit=40)}; got {metric!r}.{nearest(metric, known)}{hint}"
    )


def _differences(drawn: _Drawn, level: float) -> tuple[Difference, list[Difference]]:
    classes = []
    for place, name in enumerate(drawn.classes):
        few = int(drawn.cases.clusters if drawn.bare in _ROW_METRICS else drawn.cases.fewer[place])
        classes.append(_difference(drawn, 1 + place, name, np.array([few]), level))
    adjusted = holm([one.p for one in classes])
    classes = [dataclasses.replace(one, adjusted_p=p) for one, p in zip(classes, adjusted, strict=True)]
    resting = np.array([drawn.cases.clusters])
    if drawn.bare not in _ROW_METRICS and not drawn.metric.startswith("micro_"):
        if drawn.classes:
            resting = drawn.cases.fewer[drawn.averaged]
        elif len(drawn.cases.fewer) == 1:
            resting = drawn.cases.fewer
    return _difference(drawn, 0, None, resting, level), classes


def _spread(drawn: _Drawn, place: int, resting: NDArray[np.int64]) -> tuple[float, float]:
    """Return the variance of a difference, and its degrees of freedom."""
    moved = drawn.differences[:, :, place].mean(axis=1)
    if np.isnan(moved).mean() > 0.5 or resting.max(initial=0) < 2:
        return math.nan, math.nan
    variance, degrees = float(variance_of(moved)), float(max(resting.max(initial=2) - 1, 1))
    if place == 0 and drawn.classes:
        parts = np.nan_to_num(variance_of(drawn.differences[:, :, 1:].mean(axis=1))[drawn.averaged])
        total = float(parts.sum())
        variance *= float((parts * small_sample(resting)).sum()) / total if total > 0 else 1.0
        degrees = pooled_degrees(parts, resting)
    else:
        variance *= float(small_sample(resting).max())
    by_seed = drawn.values[0, :, place] - drawn.values[1, :, place]
    if len(by_seed) == 1:
        return variance, degrees
    apart = float(by_seed.var(ddof=1)) / len(by_seed)
    below = variance**2 / degrees + apart**2 / (len(by_seed) - 1)
    return variance + apart, (variance + apart) ** 2 / below if below > 0 else degrees


def _difference(drawn: _Drawn, place: int, name: str | None, resting: NDArray[np.int64], level: float) -> Difference:
    value_a, value_b = drawn.values[:, :, place].mean(axis=1).tolist()
    value = value_a - value_b
    variance, degrees = _spread(drawn, place, resting)
    low = high = p = math.nan
    note = ""
    if math.isnan(value):
        note = "not evaluable on these labels"
    elif math.isnan(variance):
        note = "too few groups or rows with a case for an interval" if name else _nothing_drawn(drawn)
    else:
        half = student_quantile(level, degrees) * math.sqrt(variance)
        low, high, p = value - half, value + half, tail(value, variance, degrees) * 2
        few = int(resting.min(initial=FEW_CASES))
        if few < FEW_CASES:
            note = f"{'rests' if name else 'a class rests'} on {few} cases: p and interval are rough"
    positives = int(drawn.positives[place - 1]) if name else int(drawn.positives.sum())
    return Difference(name, value_a, value_b, value, low, high, p, p, positives, note)


def _nothing_drawn(drawn: _Drawn) -> str:
    if drawn.cases.clusters < 2:
        return "all rows are of one group, so there is nothing to resample"
    return "too few groups or rows with a case for an interval"


def tail(value: float, variance: float, degrees: float) -> float:
    """Return the probability of Student's t beyond |value| / sqrt(variance), one-sided; 1/2 where nothing varies."""
    from scipy.special import stdtr

    if variance <= 0:
        return 0.5 if value == 0 else 0.0
    return float(stdtr(degrees, -abs(value) / math.sqrt(variance)))


def _equivalence(overall: Difference, drawn: _Drawn, margin: float) -> float:
    """Return the larger p of the two one-sided tests against a difference of -margin and of +margin."""
    resting = drawn.cases.fewer[drawn.averaged] if drawn.classes else drawn.cases.fewer
    if drawn.bare in _ROW_METRICS or drawn.metric.startswith("micro_") or len(resting) == 0:
        resting = np.array([drawn.cases.clusters])
    variance, degrees = _spread(drawn, 0, resting)
    if math.isnan(overall.value) or math.isnan(variance):
        return math.nan
    distance = margin - abs(overall.value)
    beyond = tail(distance, variance, degrees)
    return beyond if distance > 0 else 1 - beyond


def _positives_needed(overall: Difference, drawn: _Drawn, level: float) -> int | None:
    """Return n (z_level + z_power)^2 V / d^2, with n the positives at hand and V the variance of the bootstrap."""
    moved = float(variance_of(drawn.differences[:, :, 0].mean(axis=1)))
    if math.isnan(overall.low) or overall.value == 0 or not moved > 0:
        return None
    wanted = (normal_quantile(level) + normal_quantile(2 * _POWER - 1)) ** 2 * moved / overall.value**2
    return math.ceil(overall.positives * wanted)


def _notes(drawn: _Drawn, scores: Scores) -> tuple[str, ...]:
    notes = []
    if drawn.values.shape[1] == 1:
        notes.append(_ONE_SEED)
    if scores.role == "train":
        notes.append("These rows were trained on: the difference says nothing about new cases.")
    left_out = [name for name, taken in zip(drawn.classes, drawn.averaged, strict=False) if not taken]
    if left_out:
        notes.append(f"Without {listed(left_out)}: {metric_words(drawn.metric)} is not evaluable there.")
    return tuple(notes)
