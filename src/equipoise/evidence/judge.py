"""`judge_arms`: each arm of an ablation against plain training and against the free fix, paired and adjusted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, check_number, check_one_of, listed, nearest
from equipoise.evidence import _verdict_words as words
from equipoise.evidence._drawn import Drawn, Resting, Spread, column_difference, evaluable_in, spread, tail
from equipoise.evidence._ends import general_ends
from equipoise.evidence._judgement import AnyRule, AnyScores, judgement, pair_scores, resting_on
from equipoise.evidence._masks import watched_classes
from equipoise.evidence.compare import POWER, compare_drawn, holm
from equipoise.evidence.comparison import Comparison, Difference
from equipoise.evidence.intervals import check_level, student_quantile
from equipoise.evidence.resampling import Resampling
from equipoise.evidence.verdict import (
    CANNOT_TELL,
    FREE_FIX,
    HELPS,
    HURTS,
    NO_WORSE,
    PLAIN,
    STRATA,
    ArmVerdict,
    ClassVerdict,
    Estimate,
    FreeFixVerdict,
    Needed,
    Stratum,
    Verdicts,
)
from equipoise.metrics.figures import AVERAGES, LOWER_IS_BETTER
from equipoise.metrics.mask_scores import MaskScores
from equipoise.scores import Scores

BOUNDS = (0.02, 0.10)  # prevalence below which a class is rare, and from which on it is common
_MOST_TIMES, _MOST_SEEDS = 1024.0, 100  # more cases or seeds than these are no advice
_BY_PREDICTIONS = "f1"  # what classes are judged by where the metric says nothing of one


@dataclasses.dataclass(frozen=True, eq=False)
class ArmScores:
    """The scores of one arm by training seed, all of the same rows, and the two rules that they are judged under.

    Args:
        scores: by seed.
        raw: by seed, what the model alone would predict: its own output cut at 0.5, or the most likely class.
        fixed: by seed, with its corrections taken back and thresholds fitted on other rows.
    """

    scores: Mapping[int, AnyScores]
    raw: Mapping[int, AnyRule | None]
    fixed: Mapping[int, AnyRule | None]


def judge_arms(
    arms: Mapping[str, ArmScores],
    reference: str = "plain",
    metric: str = "macro_f1",
    *,
    margin: float | None = None,
    against: str = FREE_FIX,
    bounds: tuple[float, float] = BOUNDS,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Verdicts:
    """Return what was shown of each arm, in one of four words, against plain training and against the free fix.

    Two questions are asked of each arm: what does it change as it comes from training (raw against raw), and what is
    left of that when plain training gets what costs nothing: its ledger's shift and a fitted decision rule, which the
    arm gets too (fixed against fixed). Differences, intervals and p-values are those of `compare`: paired over ids,
    groups and seeds. With alpha = 1 - level, and p-values adjusted by Holm's method over the arms:

    - helps, hurts: p < alpha, unless the difference is shown to be smaller than the margin;
    - no worse: a loss as large as the margin is refuted (one-sided p < alpha); never without a margin;
    - cannot tell: none of these.

    Classes have the same four words, adjusted over the classes of their arm; and so have the means over rare, medium
    and common classes.

    Args:
        arms: by name; rows, labels and groups must be the same in all.
        reference: name of plain training.
        metric: as in `compare`.
        margin: a loss that does not matter, above 0.
        against: "free fix" or "plain": which of the two comparisons gives the verdict, the classes and the strata.
        bounds: prevalences that part rare, medium and common classes.
        replicates: of the bootstrap, at least 100; drawn once for all arms.
        level: coverage of the intervals.
        seed: of the replicates.

    Raises:
        ArgumentError: no such reference, no arm that shares a seed with it, an unknown metric, a margin not above 0.
        DataError: tables of other rows, labels or groups; the message names some.

    Example:
        >>> rows = dict(labels=[0, 0, 1, 1], ids=list("abcd"), role="validation", classes=["Mass"],
        ...             kind="probabilities")
        >>> good, poor = Scores(values=[0.1, 0.2, 0.8, 0.9], **rows), Scores(values=[0.1, 0.8, 0.2, 0.9], **rows)
        >>> arms = {name: ArmScores({0: one}, {0: None}, {0: None}) for name, one in [("plain", poor), ("a", good)]}
        >>> found = judge_arms(arms, metric="auc", replicates=100)
        >>> found.of_arm("a").against_plain.difference
        0.25
    """
    check_level(level, "judge_arms")
    check_one_of(against, (FREE_FIX, PLAIN), argument="against", function="judge_arms")
    check_number(replicates, argument="replicates", function="judge_arms", at_least=100)
    if margin is not None:
        margin = check_number(margin, argument="margin", function="judge_arms", above=0.0)
    if not 0 < bounds[0] <= bounds[1] < 1:
        raise ArgumentError(f"`bounds` of judge_arms must be two ascending shares between 0 and 1; got {bounds!r}.")
    if reference not in arms or not arms[reference].scores:
        raise ArgumentError(
            f"`reference` of judge_arms must be an arm with scores ({listed(arms)}); got {reference!r}."
            f"{nearest(reference, arms)}"
        )
    judging = _Judging.of(arms, reference, metric, Resampling(int(replicates), seed), margin, level, bounds)
    return judging.verdicts(against)


@dataclasses.dataclass(frozen=True, eq=False)
class _Arm:
    """One arm, drawn."""

    name: str
    seeds: tuple[int, ...]
    raw: Drawn
    fixed: Drawn

    def side(self, against: str, seeds: Sequence[int]) -> Drawn:
        """Return what is judged against plain training (raw) or the free fix, of some seeds."""
        drawn = self.raw if against == PLAIN else self.fixed
        return drawn.of_seeds([self.seeds.index(one) for one in seeds])


@dataclasses.dataclass(frozen=True)
class _Tested:
    """A difference and what is tested of it; p-values are replaced by adjusted ones."""

    value: float
    higher_is_better: bool
    level: float
    p: float
    loses_p: float  # of a loss as large as the margin
    differs_p: float  # of a difference as large as the margin

    @property
    def word(self) -> str:
        alpha = 1 - self.level
        if not math.isnan(self.p) and self.p < alpha and not self.differs_p < alpha:
            return HELPS if (self.value > 0) == self.higher_is_better else HURTS
        return NO_WORSE if self.loses_p < alpha else CANNOT_TELL


def _adjusted(family: Sequence[_Tested]) -> list[_Tested]:
    """Return tests with their p-values adjusted for their number."""
    columns = [holm([getattr(one, name) for one in family]) for name in ("p", "loses_p", "differs_p")]
    return [
        dataclasses.replace(one, p=p, loses_p=loses, differs_p=differs)
        for one, p, loses, differs in zip(family, *columns, strict=True)
    ]


@dataclasses.dataclass(frozen=True, eq=False)
class _Judging:
    """All arms drawn on the same replicates."""

    arms: tuple[_Arm, ...]
    plain: _Arm
    scores: AnyScores
    rests: Resting
    class_metric: str
    plan: Resampling
    margin: float | None
    level: float
    bounds: tuple[float, float]
    left_out: tuple[str, ...]

    @classmethod
    def of(
        cls, arms: Mapping[str, ArmScores], reference: str, metric: str, plan: Resampling, margin: float | None,
        level: float, bounds: tuple[float, float],
    ) -> _Judging:  # fmt: skip
        plain = arms[reference]
        first = _by_id(next(iter(plain.scores.values())))
        shared = {name: [one for one in plain.scores if one in arm.scores] for name, arm in arms.items()}
        left_out = tuple(name for name, seeds in shared.items() if not seeds)
        class_metric = _class_metric(first, metric)
        drawn = {
            name: _draw_arm(name, arm, shared[name], (reference, first), metric, class_metric, plan)
            for name, arm in arms.items() if shared[name]
        }  # fmt: skip
        if len(drawn) < 2:
            raise ArgumentError(
                f"judge_arms got no arm besides {reference!r} that has scores of one of its seeds. "
                "Finish the runs of another arm."
            )
        rests = resting_on(first, metric, class_metric or None)
        others = tuple(one for name, one in drawn.items() if name != reference)
        return cls(others, drawn[reference], first, rests, class_metric, plan, margin, level, bounds, left_out)

    def verdicts(self, against: str) -> Verdicts:
        """Return the verdict of each arm, the classes and strata against one of the two."""
        comparisons = {rival: self._comparisons(rival) for rival in (PLAIN, FREE_FIX)}
        tested = {rival: _adjusted([self._tested(pair) for pair in self._pairs(rival)]) for rival in (PLAIN, FREE_FIX)}
        judged = [
            self._arm(arm, against, comparisons[PLAIN][place], comparisons[FREE_FIX][place], tested[against][place])
            for place, arm in enumerate(self.arms)
        ]
        return Verdicts(
            role=self.scores.role,
            metric=self.rests.metric,
            class_metric=self.class_metric,
            margin=self.margin,
            reference=self.plain.name,
            against=against,
            level=float(self.level),
            bounds=(float(self.bounds[0]), float(self.bounds[1])),
            cases=len(self.scores),
            unit=self.rests.unit,
            arms=tuple(judged),
            free_fix=self._free_fix(comparisons[PLAIN][-1], tested[PLAIN][-1].word),
            notes=tuple(
                words.notes(
                    self.left_out,
                    self.plain.name,
                    self.scores,
                    self.rests.unit,
                    seeds=max(len(one.seeds) for one in self.arms),
                )
            ),
        )

    def _pairs(self, rival: str) -> list[tuple[Drawn, Drawn]]:
        """Return what is compared in one family: each arm; last, against plain training, the free fix itself."""
        pairs = [(arm.side(rival, arm.seeds), self.plain.side(rival, arm.seeds)) for arm in self.arms]
        return [*pairs, (self.plain.fixed, self.plain.raw)] if rival == PLAIN else pairs

    def _comparisons(self, rival: str) -> list[Comparison]:
        name = self.plain.name if rival == PLAIN else words.FREE_FIX_OF.format(name=self.plain.name)
        names = [*(arm.name for arm in self.arms), FREE_FIX]
        found = [
            compare_drawn(
                pair, self.rests, names=(called, name), scores=self.scores, margin=self.margin, level=self.level,
                plan=self.plan,
            )
            for called, pair in zip(names, self._pairs(rival), strict=False)
        ]  # fmt: skip
        adjusted = holm([one.p for one in found])
        return [
            dataclasses.replace(one, overall=dataclasses.replace(one.overall, adjusted_p=p), arms=len(found))
            for one, p in zip(found, adjusted, strict=True)
        ]

    def _whole(self, averaged: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Return what the metric rests on, and the columns that it is a mean over, if it is one."""
        return self.rests.of_all(averaged), 1 + np.flatnonzero(averaged) if self.rests.over_classes else None

    def _tested(self, sides: tuple[Drawn, Drawn]) -> _Tested:
        difference = sides[0].minus(sides[1])
        return self._test(difference, 0, *self._whole(evaluable_in(*sides)), metric=self.rests.bare)

    def _test(
        self, difference: Drawn, place: int, resting: NDArray[np.int64], parts: NDArray[np.int64] | None, *, metric: str
    ) -> _Tested:
        value, found = float(difference.values[:, place].mean()), spread(difference, place, resting, parts)
        better = metric not in LOWER_IS_BETTER
        p = loses = differs = math.nan
        if not math.isnan(value) and not math.isnan(found.variance):
            p = 2 * tail(value, found.variance, found.degrees)
            if self.margin is not None and metric == self.rests.bare:
                gain = value if better else -value
                loses, differs = _beyond(self.margin + gain, found), _beyond(self.margin - abs(gain), found)
        return _Tested(value, better, self.level, p, loses, differs)

    # --- one arm

    def _arm(self, arm: _Arm, against: str, plain: Comparison, free: Comparison, tested: _Tested) -> ArmVerdict:
        sides = (arm.side(against, arm.seeds), self.plain.side(against, arm.seeds))
        classes = self._classes(sides)
        judged = ArmVerdict(
            name=arm.name,
            seeds=arm.seeds,
            raw=self._estimate(arm.raw),
            fixed=self._estimate(arm.fixed),
            against_plain=plain,
            against_free_fix=free,
            no_worse_p=tested.loses_p,
            equivalence_p=tested.differs_p,
            verdict=tested.word,
            sentence="",
            needed=self._needed(sides, against) if tested.word == CANNOT_TELL else None,
            strata=self._strata(sides, classes),
            classes=classes,
            notes=tuple(words.seed_notes(arm.name, arm.seeds, self.plain.name, self.plain.seeds)),
        )
        return dataclasses.replace(
            judged, sentence=words.arm_sentence(judged, against, self.scores, self.margin, self.rests.unit)
        )

    def _classes(self, sides: tuple[Drawn, Drawn]) -> tuple[ClassVerdict, ...]:
        names, offset = self.rests.all_classes, 1 if self.rests.classes else 0
        difference = sides[0].minus(sides[1])
        tested, found = [], []
        for place, name in enumerate(names):
            resting = self.rests.of_class(place)
            tested.append(self._test(difference, offset + place, resting, None, metric=self.rests.class_metric))
            found.append(
                column_difference(sides, offset + place, resting, rests=self.rests, level=self.level, name=name)
            )
        return tuple(
            ClassVerdict(
                name=name, positives=int(self.rests.positives[place]), prevalence=float(self.rests.shares[place]),
                stratum=stratum_of(float(self.rests.shares[place]), self.bounds), verdict=test.word, note=one.note,
                **_change(one, test),
            )
            for place, (name, one, test) in enumerate(zip(names, found, _adjusted(tested), strict=True))
        )  # fmt: skip

    def _strata(self, sides: tuple[Drawn, Drawn], classes: Sequence[ClassVerdict]) -> dict[str, Stratum]:
        if len(classes) < 2:
            return {}
        tested, found, members = [], [], {}
        for name in STRATA:
            there = [place for place, one in enumerate(classes) if one.stratum == name and not math.isnan(one.p)]
            if not there:
                continue
            columns = 1 + np.array(there)
            means = (sides[0].mean_over(columns), sides[1].mean_over(columns))
            resting = np.concatenate([self.rests.of_class(place) for place in there])
            parts = 1 + np.arange(len(there))
            members[name] = tuple(classes[place].name for place in there)
            tested.append(self._test(means[0].minus(means[1]), 0, resting, parts, metric=self.rests.class_metric))
            found.append(column_difference(means, 0, resting, rests=self.rests, level=self.level, parts=parts))
        return {
            name: Stratum(classes=members[name], verdict=test.word, **_change(one, test))
            for name, one, test in zip(members, found, _adjusted(tested), strict=True)
        }

    def _estimate(self, drawn: Drawn) -> Estimate:
        """Return the mean over seeds with an interval for new cases and new seeds."""
        resting, parts = self._whole(evaluable_in(drawn))
        value, found = float(drawn.values[:, 0].mean()), spread(drawn, 0, resting, parts)
        if math.isnan(value) or math.isnan(found.variance):
            return Estimate(value, math.nan, math.nan)
        low, high = general_ends(
            self.rests.bare, value, found.variance, float(resting.sum()), self.level, found.degrees,
            exclusive=isinstance(self.scores, Scores) and self.scores.exclusive,
        )  # fmt: skip
        return Estimate(value, low, high)

    def _free_fix(self, found: Comparison, word: str) -> FreeFixVerdict:
        raw, fixed = self._estimate(self.plain.raw), self._estimate(self.plain.fixed)
        same = bool(np.array_equal(self.plain.raw.values, self.plain.fixed.values, equal_nan=True))
        return FreeFixVerdict(raw, fixed, found, word, words.free_fix_sentence(found, fixed, same=same))

    def _needed(self, sides: tuple[Drawn, Drawn], against: str) -> Needed | None:
        """Return what would tell, the cheapest of what the difference promises to show."""
        difference = sides[0].minus(sides[1])
        found = spread(difference, 0, *self._whole(evaluable_in(*sides)))
        value, positives = float(difference.values[:, 0].mean()), int(self.rests.positives.sum())
        if math.isnan(found.variance) or math.isnan(value):
            return None
        gain = -value if self.rests.bare in LOWER_IS_BETTER else value
        alpha = (1 - self.level) / (len(self.arms) + (against == PLAIN))  # what Holm asks of the clearest of them
        aims = [(HELPS if gain > 0 else HURTS, abs(gain), 1 - alpha)]
        if self.margin is not None:
            aims.append((NO_WORSE, self.margin + gain, 1 - 2 * alpha))
        plans = [
            needed_for(shows, distance, level, found, positives=positives) for shows, distance, level in aims
            if distance > 0
        ]  # fmt: skip
        able = [one for one in plans if one.positives is not None or one.seeds is not None]
        return min(able, key=lambda one: (one.positives or math.inf, one.seeds or math.inf), default=None)


def power_of(distance: float, level: float, variance: float, degrees: float) -> float:
    """Return how likely a difference is told from what is to be refuted: P(t > t_level - distance / sqrt(variance)).

    Args:
        distance: between the two, at least 0.
        level: two-sided coverage that goes with the test.
        variance: of the difference that will be measured.
        degrees: of freedom of Student's t.

    Example:
        >>> round(power_of(2.8016, 0.95, 1.0, 1e9), 3)
        0.8
    """
    from scipy.special import stdtr

    if variance <= 0:
        return 1.0 if distance > 0 else 0.0
    return float(stdtr(degrees, distance / math.sqrt(variance) - student_quantile(level, degrees)))


def needed_for(shows: str, distance: float, level: float, found: Spread, *, positives: int) -> Needed:
    """Return how many positives, or how many seeds, would show a difference four times in five.

    Args:
        shows: what would be shown.
        distance: from what is to be refuted, above 0.
        level: two-sided coverage that goes with the test.
        found: what the difference varies by now.
        positives: known positives now; the variance by cases falls as their number grows.

    Example:
        >>> needed_for("helps", 0.1, 0.95, Spread(0.01, 0.0, 0.0, 1e6, 1), positives=100).positives
        785
    """

    def enough(times: float, count: int) -> bool:
        return power_of(distance, level, *found.expected(times, count)) >= POWER

    by_rows = by_seeds = None
    low, high = 1.0, 2.0
    while not enough(high, found.count) and high < _MOST_TIMES:
        low, high = high, 2 * high
    if enough(high, found.count):
        while positives * (high - low) > 0.001:
            low, high = (low, (low + high) / 2) if enough((low + high) / 2, found.count) else ((low + high) / 2, high)
        by_rows = max(math.ceil(positives * high), positives + 1)
    if found.count > 1:
        by_seeds = next((count for count in range(found.count + 1, _MOST_SEEDS + 1) if enough(1.0, count)), None)
    return Needed(by_rows, by_seeds, shows)


def stratum_of(prevalence: float, bounds: tuple[float, float] = BOUNDS) -> str:
    """Return rare, medium or common.

    Example:
        >>> stratum_of(0.0199), stratum_of(0.02), stratum_of(0.1)
        ('rare', 'medium', 'common')
    """
    return STRATA[0] if prevalence < bounds[0] else STRATA[1] if prevalence < bounds[1] else STRATA[2]


def _beyond(distance: float, found: Spread) -> float:
    """Return the one-sided p of a figure that is `distance` from what is to be refuted; negative: on its wrong side."""
    beyond = tail(distance, found.variance, found.degrees)
    return beyond if distance > 0 else 1 - beyond


def _change(one: Difference, test: _Tested) -> dict[str, Any]:
    return {"difference": one.value, "low": one.low, "high": one.high, "p": one.p, "adjusted_p": test.p}


def _class_metric(scores: AnyScores, metric: str) -> str:
    """Return what classes are judged by: the metric without its average, or F1; nothing with one class."""
    single = len(watched_classes(scores)) == 1 if isinstance(scores, MaskScores) else scores.task == "binary"
    if single:
        return ""
    average, _, bare = metric.partition("_")
    return bare if average in AVERAGES and bare not in ("hamming", "exact_match") else _BY_PREDICTIONS


def _draw_arm(
    name: str, arm: ArmScores, seeds: Sequence[int], first: tuple[str, AnyScores], metric: str, class_metric: str,
    plan: Resampling,
) -> _Arm:  # fmt: skip
    tables = {seed: pair_scores(first[1], arm.scores[seed], (first[0], f"{name}, seed {seed}"))[1] for seed in seeds}
    drawn: list[Drawn] = []
    for rules in (arm.raw, arm.fixed):
        if drawn and all(arm.raw[seed] is arm.fixed[seed] for seed in seeds):
            drawn.append(drawn[0])
            continue
        judged = [judgement(table, rules[seed]) for seed, table in tables.items()]
        for one in judged:
            one.check_unseen()
        drawn.append(Drawn.of(judged, metric, plan, class_metric=class_metric or None))
    return _Arm(name, tuple(seeds), drawn[0], drawn[1])


def _by_id(scores: AnyScores) -> AnyScores:
    return scores.select(np.argsort(scores.ids.astype(str), kind="stable"))
