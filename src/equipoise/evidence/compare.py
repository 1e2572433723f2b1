"""`compare`: is one model better than another, on the same rows, by how much, and could it be chance?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, check_number, listed, nearest
from equipoise.evidence._drawn import Drawn, Judgement, Resting, column_difference, evaluable_in, spread, tail
from equipoise.evidence._judgement import AnyRule, AnyScores, judgement, pair_scores, resting_on
from equipoise.evidence.comparison import Comparison, Difference, metric_words
from equipoise.evidence.intervals import check_level, normal_quantile, variance_of
from equipoise.evidence.resampling import Resampling
from equipoise.metrics.figures import LOWER_IS_BETTER

POWER = 0.8  # with which a difference is to be seen, where cases or seeds are asked for
_ONE_SEED = "One pair of models was compared: what another training seed would change is not in the interval."


def compare(
    scores_a: AnyScores | Sequence[AnyScores],
    scores_b: AnyScores | Sequence[AnyScores],
    metric: str = "macro_ap",
    *,
    rule_a: AnyRule | Sequence[AnyRule] | None = None,
    rule_b: AnyRule | Sequence[AnyRule] | None = None,
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
        scores_a: of the one, or a list with one table per training seed; of rows, or of masks.
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
        >>> from equipoise.scores import Scores
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
    pairs = _pairs(scores_a, scores_b, (rule_a, rule_b), names)
    plan = Resampling(int(replicates), seed)
    sides = tuple(Drawn.of([pair[1][side] for pair in pairs], metric, plan) for side in (0, 1))
    first = pairs[0][0]
    return compare_drawn(
        (sides[0], sides[1]), resting_on(first, metric), names=names, scores=first,
        margin=margin, level=level, plan=plan,
    )  # fmt: skip


def compare_drawn(
    sides: tuple[Drawn, Drawn], rests: Resting, *, names: tuple[str, str], scores: AnyScores, margin: float | None,
    level: float, plan: Resampling,
) -> Comparison:  # fmt: skip
    """Return the comparison of two arms that were drawn on the same replicates: what `compare` ends with.

    Args:
        sides: the two, on the same seeds.
        rests: what their metric rests on.
        names: of the two.
        scores: of one of them, for role and numbers of rows.
        margin: see `compare`.
        level: see `compare`.
        plan: of the replicates.
    """
    averaged = evaluable_in(*sides)
    overall, classes = _differences(sides, rests, averaged, level)
    return Comparison(
        metric=rests.metric,
        names=names,
        overall=overall,
        classes=tuple(classes),
        higher_is_better=rests.bare not in LOWER_IS_BETTER,
        level=float(level),
        margin=None if margin is None else float(margin),
        equivalence_p=None if margin is None else equivalence_p(sides, rests, float(margin)),
        positives_needed=_positives_needed(overall, sides, level),
        role=scores.role,
        cases=len(scores),
        clusters=rests.cases.clusters,
        clustered=rests.cases.clustered,
        seeds=len(sides[0].values),
        replicates=plan.replicates,
        seed=plan.seed,
        unit=rests.unit,
        notes=_notes(sides, rests, averaged, scores.role),
    )


def compare_arms(
    arms: Mapping[str, AnyScores | Sequence[AnyScores]],
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


def _pairs(
    first: Any, second: Any, rules: tuple[Any, Any], names: tuple[str, str]
) -> list[tuple[AnyScores, tuple[Judgement, Judgement]]]:
    """Return the scores of the first, and both judged, for each seed."""
    lists = [[one] if isinstance(one, AnyScores) else list(one) for one in (first, second)]
    if len(lists[0]) != len(lists[1]) or not lists[0]:
        raise ArgumentError(
            f"{names[0]} has {len(lists[0])} tables of scores, {names[1]} has {len(lists[1])}. "
            "Give one per training seed, in the order of the same seeds."
        )
    chosen = [_one_each(rule, len(lists[0])) for rule in rules]
    found = []
    for place, (one, other) in enumerate(zip(*lists, strict=True)):
        left, right = pair_scores(one, other, names)
        if place:
            pair_scores(lists[0][0], one, (names[0], f"{names[0]}, seed {place + 1}"))
        pair = (judgement(left, chosen[0][place]), judgement(right, chosen[1][place]))
        for side in pair:
            side.check_unseen()
        found.append((left, pair))
    return found


def _one_each(rule: Any, count: int) -> list[Any]:
    if not isinstance(rule, Sequence):
        return [rule] * count
    if len(rule) != count:
        raise ArgumentError(
            f"compare got {len(rule)} rules for {count} tables of scores. Give one rule, or one per seed."
        )
    return list(rule)


def _differences(
    sides: tuple[Drawn, Drawn], rests: Resting, averaged: NDArray[np.bool_], level: float
) -> tuple[Difference, list[Difference]]:
    common: dict[str, Any] = {"rests": rests, "level": level}
    classes = [
        column_difference(sides, 1 + place, rests.of_class(place), name=name, **common)
        for place, name in enumerate(rests.classes)
    ]
    adjusted = holm([one.p for one in classes])
    classes = [dataclasses.replace(one, adjusted_p=p) for one, p in zip(classes, adjusted, strict=True)]
    overall = column_difference(sides, 0, rests.of_all(averaged), parts=_parts(rests, averaged), **common)
    return overall, classes


def _parts(rests: Resting, averaged: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    return 1 + np.flatnonzero(averaged) if rests.over_classes else None


def equivalence_p(sides: tuple[Drawn, Drawn], rests: Resting, margin: float) -> float:
    """Return the larger p of the two one-sided tests against a difference of -margin and of +margin."""
    averaged = evaluable_in(*sides)
    difference = sides[0].minus(sides[1])
    value = float(difference.values[:, 0].mean())
    found = spread(difference, 0, rests.of_all(averaged), _parts(rests, averaged))
    if math.isnan(value) or math.isnan(found.variance):
        return math.nan
    distance = margin - abs(value)
    beyond = tail(distance, found.variance, found.degrees)
    return beyond if distance > 0 else 1 - beyond


def _positives_needed(overall: Difference, sides: tuple[Drawn, Drawn], level: float) -> int | None:
    """Return n (z_level + z_power)^2 V / d^2, with n the positives at hand and V the variance of the bootstrap."""
    moved = float(variance_of(sides[0].minus(sides[1]).replicates[:, :, 0].mean(axis=1)))
    if math.isnan(overall.low) or overall.value == 0 or not moved > 0:
        return None
    wanted = (normal_quantile(level) + normal_quantile(2 * POWER - 1)) ** 2 * moved / overall.value**2
    return math.ceil(overall.positives * wanted)


def _notes(sides: tuple[Drawn, Drawn], rests: Resting, averaged: NDArray[np.bool_], role: str) -> tuple[str, ...]:
    notes = []
    if len(sides[0].values) == 1:
        notes.append(_ONE_SEED)
    if role == "train":
        notes.append(f"These {rests.unit} were trained on: the difference says nothing about new cases.")
    left_out = [name for name, taken in zip(rests.classes, averaged, strict=False) if not taken]
    if left_out:
        words = metric_words(rests.metric) if rests.over_classes else "the figure of a class"
        notes.append(f"Without {listed(left_out)}: {words} is not evaluable there.")
    return tuple(notes)
