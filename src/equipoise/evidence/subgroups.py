"""`evaluate_by`: the table of metrics once for each subgroup, such as view or sex, and what is too small to judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from equipoise._checks import ArgumentError, listed
from equipoise.evidence._ends import FEW_CASES, count_cases
from equipoise.evidence.evaluate import Rule, evaluate
from equipoise.evidence.metric_table import MetricTable
from equipoise.scores import Scores

MOST = 50  # subgroups; a column with more is no division of the rows into kinds
UNKNOWN = "(unknown)"


@dataclasses.dataclass(frozen=True)
class Subgroups:
    """One table of metrics per subgroup.

    Args:
        by: name of the column.
        tables: subgroup to table, largest first; rows without one are in "(unknown)".
        notes: sentences about subgroups that are too small.
    """

    by: str
    tables: dict[str, MetricTable]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "format": "equipoise subgroups",
            "version": 1,
            "by": self.by,
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
    found, counts = np.unique(labels, return_counts=True)
    if len(found) > MOST:
        raise ArgumentError(
            f'"{by}" has {len(found):,} different values ({listed(found, limit=3)}), so it is no division into '
            f"subgroups. Name a column with at most {MOST}, or put its values into a few ranges first."
        )
    tables, notes = {}, []
    for place in np.argsort(-counts, kind="stable"):
        name = str(found[place])
        part = scores.select(labels == found[place])
        tables[name] = evaluate(part, rule, **settings)
        notes += _too_small(name, part)
    return Subgroups(by, tables, tuple(notes))


def _too_small(name: str, part: Scores) -> list[str]:
    cases = count_cases(part)
    what = "groups" if cases.clustered else "rows"
    few = [one for one, count in zip(part.classes, cases.fewer, strict=True) if count < FEW_CASES]
    if not few:
        return []
    return [
        f"{name} is too small to judge {listed(few)}: fewer than {FEW_CASES} {what} with a positive, or with a "
        "negative, so an interval may cover less than it says, and a difference from other subgroups may be chance."
    ]
