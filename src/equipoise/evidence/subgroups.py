"""`evaluate_by`: the table of metrics once for each subgroup, such as view or sex, and what is too small to judge."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from equipoise._checks import ArgumentError, listed
from equipoise.evidence._ends import FEW_CASES, count_cases
from equipoise.evidence.evaluate import Rule, evaluate
from equipoise.evidence.metric_table import MetricTable, interval_text
from equipoise.scores import Scores

MOST = 50  # subgroups; a column with more is no division of the rows into kinds
UNKNOWN = "(unknown)"
_SHORT = ("macro_auc", "macro_ap", "macro_f1", "qwk", "accuracy", "auc", "ap", "f1")


@dataclasses.dataclass(frozen=True)
class Subgroups:
    """One table of metrics per subgroup.

    Args:
        by: name of the column.
        tables: subgroup to table, by name, numbers by their size; rows without one are in "(unknown)", the last.
        notes: sentences about subgroups that are too small.
        whole: of all rows together.
    """

    by: str
    tables: dict[str, MetricTable]
    notes: tuple[str, ...] = ()
    whole: MetricTable | None = None

    def with_whole(self) -> dict[str, MetricTable]:
        """Return the tables, before them "all" where there is one of all rows."""
        return ({} if self.whole is None else {"all": self.whole}) | self.tables

    def __str__(self) -> str:
        lines = [f"{self.by}: {len(self.tables)} subgroups."]
        for name, table in self.with_whole().items():
            rows = table.overall() or table.of_class(table.classes[0])
            said = [f"{row.name} {interval_text(row)}" for row in rows if row.name in _SHORT]
            lines.append(f"  {name}, {table.cases:,} rows: {'; '.join(said)}")
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "format": "equipoise subgroups",
            "version": 1,
            "by": self.by,
            "all": None if self.whole is None else self.whole.to_dict(),
            "subgroups": {name: table.to_dict() for name, table in self.tables.items()},
            "notes": list(self.notes),
        }


def evaluate_by(
    scores: Scores, names: Sequence[str], rule: Rule | None = None, *, by: str = "subgroup", **settings: Any
) -> Subgroups:
    """Return the metrics of each subgroup, with intervals and supports of its own.

    Overlapping intervals of two subgroups do not mean that they are alike: they are not compared here.

    Args:
        scores: as in `evaluate`.
        names: the subgroup of each row; an empty text is unknown, and a subgroup of its own.
        rule: as in `evaluate`; one for all.
        by: what the division is called.
        settings: replicates, level, seed and interval, as in `evaluate`.

    Raises:
        ArgumentError: another number of names than rows, or more than 50 subgroups; else as `evaluate`.

    Example:
        >>> scores = Scores(labels=[0, 1, 1, 0], values=[0.1, 0.9, 0.2, 0.3], kind="probabilities", ids=list("abcd"),
        ...                 role="test", classes=["Mass"])
        >>> found = evaluate_by(scores, ["PA", "PA", "AP", "AP"], by="view", replicates=0)
        >>> {name: table.value("auc") for name, table in found.tables.items()}
        {'AP': 0.0, 'PA': 1.0}
    """
    labels = np.array([str(one).strip() or UNKNOWN for one in names], dtype=object)
    if len(labels) != len(scores):
        raise ArgumentError(f"`names` of evaluate_by must name the subgroup of each of {len(scores):,} rows.")
    found = np.unique(labels)
    if len(found) > MOST:
        raise ArgumentError(
            f'"{by}" has {len(found):,} different values ({listed(found, limit=3)}), so it is no division into '
            f"subgroups. Name a column with at most {MOST}, or put its values into a few ranges first."
        )
    tables: dict[str, MetricTable] = {}
    few: dict[str, list[str]] = {}
    for name in sorted(map(str, found), key=_place):
        part = scores.select(labels == name)
        tables[name] = evaluate(part, rule, **settings)
        for one in _too_small(part):
            few.setdefault(one, []).append(name)
    notes = _note(few, "groups" if scores.groups is not None else "rows")
    return Subgroups(by, tables, notes, evaluate(scores, rule, **settings))


def _place(name: str) -> tuple[bool, bool, float, str]:
    """Sort numbers by their size, then words, then what is unknown."""
    try:
        number = float(name)
    except ValueError:
        return name == UNKNOWN, True, 0.0, name
    return False, not math.isfinite(number), number if math.isfinite(number) else 0.0, name


def _too_small(part: Scores) -> list[str]:
    """Return the classes that can be judged there, but on few cases."""
    return [one for one, count in zip(part.classes, count_cases(part).fewer, strict=True) if 0 < count < FEW_CASES]


def _note(few: dict[str, list[str]], what: str) -> tuple[str, ...]:
    if not few:
        return ()
    where = "; ".join(f"{one} in {listed(names)}" for one, names in few.items())
    return (
        f"These are too small to judge: {where}. There are fewer than {FEW_CASES} {what} with a positive, or with a "
        "negative, so an interval may cover less than it says, and a difference from other subgroups may be chance.",
    )
