"""What the guard has found in a run, from its event log alone: finished or not, with or without damaged lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equipoise._checks import DataError
from equipoise.evidence.finding import KINDS, SEVERITIES, STANDING, Finding, findings_of

if TYPE_CHECKING:
    from equipoise.runs import Run

_FEW_PLACES = 6  # members that are named one by one


@dataclasses.dataclass(frozen=True)
class Found:
    """One kind of finding about one class, wherever it was seen.

    Attributes:
        seen: the findings, in order; the last has the latest evidence.
        members: how many members the run has.
    """

    seen: tuple[Finding, ...]
    members: int = 1

    @property
    def last(self) -> Finding:
        """The latest of them."""
        return self.seen[-1]

    @property
    def severity(self) -> str:
        """The gravest of them."""
        return min((one.severity for one in self.seen), key=_rank)

    @property
    def heading(self) -> str:
        """What its kind means, in a heading's words."""
        return KINDS.get(self.last.kind, self.last.kind.replace("_", " "))

    def where(self) -> str:
        """Say where it was seen: member and epoch (both from 1), and whether in the kept models."""
        told = [one for one in self.seen if one.epoch is not None]
        places = [
            f"{f'member {(one.member or 0) + 1}, ' if self.members > 1 else ''}epoch {one.epoch}"
            for one in told[:_FEW_PLACES]
        ]
        if len(told) > _FEW_PLACES:
            places.append(f"{len(told) - _FEW_PLACES} more members")
        kept = "the kept models" if len(told) < len(self.seen) else ""
        return "; ".join([*places, kept] if kept else places)

    def to_dict(self) -> dict[str, Any]:
        """Return the latest finding as plain JSON data, with every place where it was seen."""
        places = [{"member": one.member, "epoch": one.epoch} for one in self.seen]
        return {**self.last.to_dict(), "severity": self.severity, "seen": places}


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What the guard found in a run.

    Attributes:
        found: what stands, gravest first.
        passed: how classes stood for a while in training, and do not in the kept models.
        members, epochs, classes: what was looked at: members, epochs of all of them, classes of each.
        judged: whether the kept models were judged too, at the end of the run.
        damaged: numbers of the lines of events.jsonl that cannot be read, from 1.
        masks: whether it is a run of masks.
    """

    found: tuple[Found, ...]
    passed: tuple[Found, ...]
    members: int
    epochs: int
    classes: int
    judged: bool
    damaged: tuple[int, ...] = ()
    masks: bool = False

    @property
    def looked_for(self) -> str:
        """What the guard looks for in runs of this kind."""
        return LOOKED_FOR_MASKS if self.masks else LOOKED_FOR

    @property
    def collapsed(self) -> bool:
        """Whether the model was found to say nothing of any class."""
        return any(one.severity == "collapse" for one in self.found)

    def headline(self) -> str:
        """Say how much was found, and what was looked at."""
        counts = {name: sum(one.severity == name for one in self.found) for name in SEVERITIES}
        named = [f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items() if count]
        if not self.epochs and not self.judged:
            return "No epoch was finished, so nothing was looked at."
        said = ", ".join(named) or ("No finding that stands" if self.passed else "No finding")
        if self.passed:
            said += f", {len(self.passed)} seen in training and not in the kept model{'s' * (self.members > 1)}"
        looked = [_counted(self.epochs, "epoch")] if self.epochs else []
        if self.members > 1:
            looked[-1] += f" of {self.members} members"
        if self.judged:
            looked.append("the kept models")
        over = f", {_counted(self.classes, 'class', 'classes')}" if self.classes else ""
        return f"{said}. Looked at: {' and '.join(looked)}{over}."

    def lines(self) -> list[str]:
        """Say each finding in a line, gravest first; then those of the training that the kept models do not have."""
        stand = [f"{one.severity}: {one.last.text} Seen: {one.where()}." for one in self.found]
        return stand + [
            f"seen in training, not in the kept model: {one.last.sentence} Seen: {one.where()}." for one in self.passed
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "headline": self.headline(),
            "collapsed": self.collapsed,
            "findings": [one.to_dict() for one in self.found],
            "passed": [one.to_dict() for one in self.passed],
            "looked_at": {
                "members": self.members, "epochs": self.epochs, "classes": self.classes, "kept_models": self.judged
            },
            "damaged_lines": list(self.damaged),
        }  # fmt: skip


LOOKED_FOR_MASKS = (
    "masks that stay empty or are full; classes of which far more or less is predicted than there is; classes lost "
    "again; masks along the border of the images; a loss that falls while the watched metric gets worse; epochs that "
    "ran out"
)
LOOKED_FOR = (
    "scores that are the same for every row; classes that are not told from the rest, ranked well but never predicted, "
    "or predicted for nearly every row; classes lost again; a loss that falls while the watched metric gets worse; "
    "epochs that ran out; classes far better among the rows learned from"
)


def diagnose(run: Run) -> Diagnosis:
    """Return what the guard found in a run, finished or not. Lines that are damaged are left out and named.

    Args:
        run: opened for reading.

    Raises:
        RunError: events.jsonl cannot be read.
    """
    damaged: list[int] = []
    events = run.events(damaged)
    numbers = (number for number in range(1, len(events) + len(damaged) + 1) if number not in set(damaged))
    sound = []
    for number, event in zip(numbers, events, strict=True):
        try:
            findings_of([event])
        except DataError:
            damaged.append(number)
        else:
            sound.append(event)
    return dataclasses.replace(diagnose_events(sound), damaged=tuple(sorted(damaged)))


def diagnose_events(events: Iterable[Mapping[str, Any]]) -> Diagnosis:
    """Return what the findings in a run's events say together.

    Raises:
        DataError: a finding is damaged.
    """
    events = list(events)
    epochs = [event for event in events if event.get("event") == "epoch"]
    ends = [event for event in events if event.get("event") == "conclusion"]
    together: dict[tuple[str, str | None], list[Finding]] = {}
    for finding in findings_of(events):
        together.setdefault(finding.subject, []).append(finding)
    kept = {finding.subject for finding in findings_of(ends)}
    collapse = any(finding.severity == "collapse" for finding in findings_of(ends))
    members = len({event.get("member", 0) for event in epochs})
    everything = [Found(tuple(seen), members) for seen in together.values()]
    passed = [one for one in everything if ends and not _stands(one, kept, collapse)]
    return Diagnosis(
        found=tuple(sorted((one for one in everything if one not in passed), key=_order)),
        passed=tuple(passed),
        members=members,
        epochs=len(epochs),
        classes=max((_listed(event) for event in epochs), default=0),
        masks=any("predicted_share" in event for event in epochs),
        judged=bool(ends),
    )


def _listed(event: Mapping[str, Any]) -> int:
    """How many classes an epoch lists; of masks by their Dice."""
    return max((len(one) for key in ("auc", "dice") if isinstance(one := event.get(key), list)), default=0)


def _stands(one: Found, kept: set[tuple[str, str | None]], collapse: bool) -> bool:
    """Whether something seen in training is still so: the course of it is, how a class stood may have passed."""
    if one.last.kind not in STANDING or any(seen.evidence.get("stopped") for seen in one.seen):
        return True
    return collapse if one.last.class_name is None and one.last.subject not in kept else one.last.subject in kept


def _order(one: Found) -> tuple[int, int]:
    kinds: Sequence[str] = list(KINDS)
    return _rank(one.severity), kinds.index(one.last.kind) if one.last.kind in kinds else len(kinds)


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _counted(count: int, word: str, many: str | None = None) -> str:
    return f"{count:,} {word if count == 1 else many or word + 's'}"
