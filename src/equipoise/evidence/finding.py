"""What the guard of a training has found: one record a finding, written to the event log and read back from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from equipoise._checks import DataError

# Kind -> what it means, in a heading's words.
KINDS = {
    "constant": "The same score for every row",
    "no_ranking": "Not told from the rest",
    "unlearning": "Learned, then lost again",
    "dominates": "One class is predicted for nearly every row",
    "diverging": "The training loss falls while the watched metric gets worse",
    "overfitting": "Far better on the rows learned from than on others",
    "stopped_early": "Stopped while still improving",
    "threshold_only": "Ranked well, but never predicted at 0.5: only that threshold is wrong",
    "unclear": "Never predicted at 0.5, and the evidence does not say why",
    "mask_empty": "Masks stay empty",
    "mask_full": "Masks are full",
    "mask_share": "Far more or less is predicted than there is",
    "mask_lost": "A class that was found is lost again",
    "mask_border": "What is predicted lies along the border of the images",
}
# Kinds that say how a class stands at one moment; the others are about the course of a training.
STANDING = (
    "constant", "no_ranking", "dominates", "threshold_only", "unclear",
    "mask_empty", "mask_full", "mask_share", "mask_border",
)  # fmt: skip
SEVERITIES = ("collapse", "warning", "note")  # gravest first


@dataclass(frozen=True)
class Finding:
    """One thing that the guard found, with its evidence and the way out.

    Attributes:
        kind: one of `KINDS`. class_name: the class, or None for the run as a whole.
        epoch: from 1, when it was seen; None for the kept models of all members together. member: from 0, or None.
        severity: ``"collapse"`` (the model says nothing of any class), ``"warning"`` or ``"note"`` (good to know; the
            run's own decision rule takes care of it, or nothing can be said).
        sentence: the evidence in words. remedy: what to do, which names a key of the recipe.
        evidence: the figures behind the sentence, by name. settings: recipe key to the value that the remedy means.
    """

    kind: str
    class_name: str | None
    epoch: int | None
    sentence: str
    remedy: str = ""
    severity: str = "warning"
    member: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> tuple[str, str | None]:
        """What is shown only once: the kind, and the class."""
        return self.kind, self.class_name

    @property
    def text(self) -> str:
        """Evidence and remedy."""
        return f"{self.sentence} {self.remedy}".strip()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, as in events.jsonl."""
        return {
            "kind": self.kind,
            "class_name": self.class_name,
            "epoch": self.epoch,
            "member": self.member,
            "severity": self.severity,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "evidence": dict(self.evidence),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, stored: Any) -> Finding:
        """Return the finding that `to_dict` stored.

        Raises:
            DataError: it is no such record.
        """
        if not isinstance(stored, Mapping) or not _fits(stored):
            raise DataError("A finding in the event log is damaged. Restore events.jsonl, or train again.")
        return cls(
            kind=stored["kind"],
            class_name=stored.get("class_name"),
            epoch=stored.get("epoch"),
            sentence=stored["sentence"],
            remedy=stored.get("remedy", ""),
            severity=stored.get("severity", "warning"),
            member=stored.get("member"),
            evidence=stored.get("evidence", {}),
            settings=stored.get("settings", {}),
        )


def findings_of(events: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Return every finding of an event log, in order.

    Raises:
        DataError: one is damaged.

    Example:
        >>> found = Finding("stopped_early", None, 5, "The best epoch is the last.", member=0)
        >>> findings_of([{"event": "epoch", "findings": [found.to_dict()]}]) == [found]
        True
    """
    found = []
    for event in events:
        stored = event.get("findings", [])
        if not isinstance(stored, list):
            raise DataError("The findings of an event are no list. Restore events.jsonl, or train again.")
        found += [Finding.from_dict(one) for one in stored]
    return found


def _fits(stored: Mapping[str, Any]) -> bool:
    words = all(isinstance(stored.get(key), str) for key in ("kind", "sentence"))
    more_words = all(isinstance(stored.get(key, ""), str) for key in ("remedy", "severity"))
    numbers = all(_whole_or_none(stored.get(key)) for key in ("epoch", "member"))
    maps = all(isinstance(stored.get(key, {}), Mapping) for key in ("evidence", "settings"))
    return words and more_words and numbers and maps and isinstance(stored.get("class_name"), str | None)


def _whole_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))
