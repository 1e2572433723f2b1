"""What verdicts say: one sentence an arm, short enough to be quoted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from equipoise._checks import listed
from equipoise.evidence.comparison import Comparison, metric_words, p_text, positives_word
from equipoise.evidence.verdict import (
    HELPS,
    HURTS,
    NO_WORSE,
    PLAIN,
    STRATA,
    ArmVerdict,
    ClassVerdict,
    Estimate,
    Needed,
)

if TYPE_CHECKING:
    from equipoise.evidence._judgement import AnyScores

FREE_FIX_OF = "the free fix of {name}"
_NAMED = 3  # classes that are named one by one
_COUNTS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip


def arm_sentence(arm: ArmVerdict, against: str, scores: AnyScores, margin: float | None, unit: str) -> str:
    """Return the verdict of an arm in one sentence: the word, the difference, its classes, and what would tell."""
    found = arm.against_plain if against == PLAIN else arm.against_free_fix
    parts = [_head(arm, found, margin), *_by_strata(arm), *_by_class(arm.classes), *_matched(arm, against)]
    if arm.needed is not None:
        parts.append(_needed(arm.needed, found.overall.positives, unit))
    seeds = "training seed" if len(arm.seeds) == 1 else "training seeds"
    rows = f"{len(scores):,} {scores.role} {unit}, {len(arm.seeds)} {seeds}"
    few = {1: ": it speaks of these two models, not of the method", 2: ": three are the fewest that tell"}
    return f"{'; '.join(parts)} ({rows}{few.get(len(arm.seeds), '')})."


def _head(arm: ArmVerdict, found: Comparison, margin: float | None) -> str:
    rival = "plain training" if found.names[1] == "plain" else found.names[1]
    words, name = _metric(found), arm.name
    if math.isnan(found.difference):
        return f"Nobody can tell what {name} does: {words} is not evaluable"
    change = f"{found.difference:+.3f}{interval(found.low, found.high)}"
    over = f"{found.arms} comparisons" if found.arms > 1 else ""
    told = f"p {p_text(found.adjusted_p)}" + (f" over {over}" if over else "")
    if arm.verdict in (HELPS, HURTS):
        small = margin is not None and abs(found.difference) < margin
        less = f", less than the margin of {margin:g}: that it is large enough to matter is not shown" if small else ""
        return f"{name} {arm.verdict}: it changes {words} by {change} over {rival} ({told}){less}"
    if arm.verdict == NO_WORSE:
        same = f"equivalent to {rival} within {margin:g}" if arm.equivalence_p < 1 - found.level else ""
        said = same or f"no worse than {rival} by {margin:g}"
        return f"{name} is {said}: it changes {words} by {change}"
    return f"Nobody can tell from these runs whether {name} helps: it changes {words} by {change} over {rival}"


def _by_strata(arm: ArmVerdict) -> list[str]:
    there = [(name, arm.strata[name]) for name in STRATA if name in arm.strata]
    if len(there) < 2:
        return []
    return ["on average " + ", ".join(f"{name} classes {signed(one.difference)}" for name, one in there)]


def _by_class(classes: Sequence[ClassVerdict]) -> list[str]:
    text = class_words(classes)
    if not text:
        return []
    sure = [one.name for one in classes if one.verdict in (HELPS, HURTS)]
    shown = f"shown for {_named(sure)}" if 0 < len(sure) <= _NAMED else f"shown for {_count(len(sure))} of them"
    return [f"{text} ({shown if sure else 'shown for none alone'})"]


def class_words(classes: Sequence[ClassVerdict]) -> str:
    """Return what an arm did to the classes, the few by name and the many by their range.

    Example:
        >>> def change(name, difference):
        ...     return ClassVerdict(name, 9, 0.1, "common", difference, -1.0, 1.0, 0.5, 0.5, "cannot tell")
        >>> class_words([change("Hernia", 0.16), *(change(f"class {n}", -0.04 - n / 100) for n in range(13))])
        'Hernia +0.16, thirteen others -0.04 to -0.16'
    """
    usable = [one for one in classes if not math.isnan(one.difference)]
    if len(usable) < 2:
        return ""
    signs = {
        "gains": [one for one in usable if one.difference > 0],
        "losses": [one for one in usable if one.difference < 0],
        "none": [one for one in usable if one.difference == 0],
    }
    signs["gains"].sort(key=lambda one: -one.difference)
    signs["losses"].sort(key=lambda one: one.difference)
    groups = sorted((group for group in signs.values() if group), key=len)
    parts = list(_groups(groups, signs["none"]))
    return ", ".join(parts)


def _groups(groups: Sequence[Sequence[ClassVerdict]], unchanged: Sequence[ClassVerdict]) -> Iterator[str]:
    for place, group in enumerate(groups):
        if group is unchanged:
            yield f"{_count(len(group))} unchanged" if len(group) > 1 else f"{group[0].name} unchanged"
        elif len(group) <= _NAMED:
            yield ", ".join(f"{one.name} {signed(one.difference)}" for one in group)
        else:
            ends = sorted((one.difference for one in group), key=abs)
            others = "others" if place else "classes"
            yield f"{_count(len(group))} {others} {signed(ends[0])} to {signed(ends[-1])}"


def _matched(arm: ArmVerdict, against: str) -> list[str]:
    """Say where a gain over plain training is that of the threshold alone."""
    raw = arm.against_plain
    if raw.verdict != "better" or (arm.verdict == HELPS and against != PLAIN):
        return []
    if arm.against_free_fix.verdict == "better":
        return []
    over = arm.against_free_fix.difference
    if raw.difference == over:  # no threshold enters
        return []
    part = f"all but {signed(over)} of what" if 0 < over < raw.difference else "what"
    gained = f"{part} it gains over plain training without fitted thresholds ({signed(raw.difference)})"
    return [f"{gained} the free fix gains too"]


def _needed(needed: Needed, positives: int, unit: str) -> str:
    ways = []
    if needed.positives is not None:
        ways.append(f"about {needed.positives:,} {positives_word(unit)} (here {positives:,})")
    if needed.seeds is not None:
        ways.append(f"{needed.seeds:,} seeds")
    what = {HELPS: "that it helps", HURTS: "that it hurts", NO_WORSE: "that it is no worse"}[needed.shows]
    return f"{' or '.join(ways)} would show {what}, if the difference is what it seems"


def free_fix_sentence(found: Comparison, fixed: Estimate, *, same: bool) -> str:
    """Return what costs no training, in one sentence.

    Args:
        found: the free fix against plain training.
        fixed: the metric with it.
        same: whether nothing changes in any seed.
    """
    words, name = _metric(found), found.names[1]
    value = f"{fixed.value:.3f}{interval(fixed.low, fixed.high, sign=False)}"
    if math.isnan(found.difference):
        return f"The free fix cannot be judged: {words} is not evaluable."
    if same:
        return f"No threshold enters {words}: {name} has {value} with the free fix and without."
    change = f"{found.difference:+.3f}{interval(found.low, found.high)}"
    over = f" over {found.arms} comparisons" if found.arms > 1 else ""
    shown = {"better": "it helps", "worse": "it hurts", "equivalent": f"equivalent within {found.margin}"}
    said = shown.get(found.verdict, "that may be chance")
    told = f" (p {p_text(found.adjusted_p)}{over})" if found.verdict in ("better", "worse") else ""
    return (
        f"The free fix (shift back and fitted thresholds, no training) takes {name} to {words} {value}: "
        f"{change}, {said}{told}."
    )


def seed_notes(name: str, seeds: Sequence[int], reference: str, there: Sequence[int]) -> Iterator[str]:
    """Yield which seeds of the reference an arm lacks."""
    lacking = [one for one in there if one not in seeds]
    if lacking:
        which = ", ".join(map(str, lacking))
        yield f"{name} has no scores of seed {which}: it is compared with {reference} over the others only."


def notes(left_out: Sequence[str], reference: str, scores: AnyScores, unit: str, *, seeds: int) -> Iterator[str]:
    """Yield what is to be kept in mind of the whole; `seeds` is the largest number that any arm was trained with."""
    if left_out:
        yield f"Left out, because no seed of {reference} is there: {listed(left_out)}."
    if seeds == 1:
        yield (
            "One seed was trained: what another seed would change is in no interval, so the verdicts speak of these "
            "models and not of the methods. Three seeds or more would tell."
        )
    elif seeds == 2:
        yield (
            "Two seeds were trained: how much of a difference is theirs is hardly known. Three seeds are the fewest "
            "that tell, five are better."
        )
    if scores.role == "validation":
        yield f"Judged on validation {unit}, which also chose when to stop training."
    if scores.groups is None:
        yield f"{unit.capitalize()} were declared independent: no groups (patients) were kept together."


def signed(value: float) -> str:
    """Return a difference with its sign: two digits, or three where two would hide it.

    Example:
        >>> signed(0.1614), signed(-0.0031), signed(float("nan"))
        ('+0.16', '-0.003', 'not evaluable')
    """
    if math.isnan(value):
        return "not evaluable"
    return f"{value:+.2f}" if abs(value) >= 0.0995 or round(abs(value), 2) == round(abs(value), 3) else f"{value:+.3f}"


def interval(low: float, high: float, *, sign: bool = True) -> str:
    """Return `` [low, high]``, or nothing where there is no interval."""
    if math.isnan(low):
        return ""
    return f" [{low:+.3f}, {high:+.3f}]" if sign else f" [{low:.3f}, {high:.3f}]"


def _metric(found: Comparison) -> str:
    return metric_words(found.metric if found.classes else found.metric.removeprefix("macro_"))


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _count(number: int) -> str:
    return _COUNTS[number] if number < len(_COUNTS) else f"{number:,}"
