"""Counting labels: the record `Census`, which merges exactly, and the counting of labels and of files of any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassCounts, ClassFloats, ClassPairs
from equipoise._checks import ArgumentError, DataError, check_one_of, listed
from equipoise._tasks import TASKS
from equipoise.labels._cells import NEGATIVE_WORDS
from equipoise.labels._groups import GroupSets
from equipoise.labels._rates import wilson_interval
from equipoise.labels.read import Labels

MAX_COMBINATIONS = 100_000  # beyond this many distinct combinations none are kept, so that memory stays bounded
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Census:
    """How often each class occurs.

    ``a + b`` equals counting both tables at once, down to the last group.

    Attributes:
        task: binary, multiclass, ordinal or multilabel.
        classes: class names.
        rows: rows counted (or pixels, see `unit`).
        positives, negatives, unknowns: (classes,) rows of each kind, each class against the rest; they sum to `rows`.
        combinations: multilabel only: the positive classes of a row, in the order of `classes`, and how many rows have
            exactly these and no unknown; None when there are more than 100,000.
        partial_combinations: the same for rows in which at least one other label is unknown.
        cooccurrence: multilabel only: (classes, classes) rows in which both classes are positive.
        group_sets: which groups occur, and in which classes each has a positive; None when groups were not given.
        unit: what was counted: ``"rows"`` or ``"pixels"``.
        source: where the labels came from.
        notes: sentences about what was inferred or looks odd.

    Example:
        >>> import numpy as np
        >>> labels = Labels("binary", ("stroke",), np.array([0, 1, 0, 0], np.float32), np.arange(4))
        >>> census = count_labels(labels) + count_labels(labels)
        >>> census.positives.tolist(), census.negatives.tolist(), census.imbalance_ratio.tolist()
        ([2], [6], [3.0])
    """

    task: str
    classes: tuple[str, ...]
    rows: int
    positives: ClassCounts
    negatives: ClassCounts
    unknowns: ClassCounts
    combinations: Mapping[tuple[str, ...], int] | None = None
    partial_combinations: Mapping[tuple[str, ...], int] | None = None
    cooccurrence: ClassPairs | None = None
    group_sets: GroupSets | None = None
    unit: str = "rows"
    source: str = "labels"
    notes: tuple[str, ...] = field(default=())

    @property
    def prevalence(self) -> ClassFloats:
        """(classes,) positives / (positives + negatives), in [0, 1]; NaN where nothing is known."""
        with np.errstate(invalid="ignore", divide="ignore"):
            rates: NDArray[np.float64] = self.positives / (self.positives + self.negatives)
        return rates

    @property
    def prevalence_interval(self) -> tuple[ClassFloats, ClassFloats]:
        """The ends of the 95 % Wilson interval of `prevalence`, each (classes,)."""
        return wilson_interval(self.positives, self.positives + self.negatives)

    @property
    def imbalance_ratio(self) -> ClassFloats:
        """(classes,) negatives / positives: how many negatives come with one positive; infinite without a positive."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios: NDArray[np.float64] = self.negatives / self.positives
        return ratios

    @property
    def groups(self) -> int | None:
        """How many groups there are, or None when groups were not given."""
        return None if self.group_sets is None else len(self.group_sets)

    @property
    def groups_per_class(self) -> ClassCounts | None:
        """(classes,) groups with at least one positive of the class, or None when groups were not given."""
        return None if self.group_sets is None else self.group_sets.per_class()

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """The classes without a positive."""
        return tuple(name for name, count in zip(self.classes, self.positives, strict=True) if count == 0)

    def require_positives(self, function: str = "class_weights") -> None:
        """Raise when a class has no positive, for whoever divides by the count.

        Raises:
            DataError: a class is empty; the message names it and the three ways out.
        """
        if self.empty_classes:
            plural = len(self.empty_classes) > 1
            raise DataError(
                f"{self.source}: the class{'es' if plural else ''} {listed(self.empty_classes)} "
                f"{'have' if plural else 'has'} no positive among {self.rows:,} {self.unit}, so {function} would "
                "divide by zero. Drop the class, add data that has it, or give its weight by hand."
            )

    def __eq__(self, other: object) -> bool:
        """Return whether the counts are equal; where they came from (`source`, `notes`) does not matter."""
        if not isinstance(other, Census):
            return NotImplemented
        return self._key() == other._key() and self.group_sets == other.group_sets

    __hash__ = None  # type: ignore[assignment]

    def _key(self) -> tuple[Any, ...]:
        pairs = None if self.cooccurrence is None else self.cooccurrence.tolist()
        counts = (self.positives.tolist(), self.negatives.tolist(), self.unknowns.tolist())
        return (
            self.task,
            self.classes,
            self.rows,
            counts,
            self.combinations,
            self.partial_combinations,
            pairs,
            self.unit,
        )

    def __add__(self, other: Census) -> Census:
        """Return the census of both tables together.

        Raises:
            ArgumentError: the two count different classes, tasks or units, or only one of them counts groups.
        """
        if not isinstance(other, Census):
            return NotImplemented
        for name in ("task", "classes", "unit"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ArgumentError(
                    f"Two censuses can be added when their {name} is the same; got {mine!r} and {theirs!r}. "
                    "Count both with the same arguments, and name the classes."
                )
        if (self.group_sets is None) != (other.group_sets is None):
            raise ArgumentError("Only one of the two censuses counts groups. Count both with the same `groups`.")
        sets = None if self.group_sets is None or other.group_sets is None else self.group_sets | other.group_sets
        full, partial = _joined_combinations(
            (self.combinations, other.combinations), (self.partial_combinations, other.partial_combinations)
        )
        return Census(
            self.task, self.classes, self.rows + other.rows, self.positives + other.positives,
            self.negatives + other.negatives, self.unknowns + other.unknowns, full, partial,
            None if self.cooccurrence is None or other.cooccurrence is None else self.cooccurrence + other.cooccurrence,
            sets, self.unit, self.source if self.source == other.source else f"{self.source} + {other.source}",
            tuple(dict.fromkeys(self.notes + other.notes)),
        )  # fmt: skip

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[str, Any],
        *,
        task: str = "multiclass",
        unit: str = "rows",
        source: str = "counts",
    ) -> Census:
        """Return a census of known counts, such as the pixels of each class of a set of masks.

        Args:
            counts: class name -> positives; for binary and multilabel -> (positives, negatives).
            task: binary, multiclass, ordinal or multilabel.
            unit: what was counted, ``"rows"`` or ``"pixels"``.
            source: how messages call it.

        Raises:
            ArgumentError: a count is negative or no integer, or the task needs negatives that are not given.

        Example:
            >>> Census.from_counts({"foreground": 1, "background": 3}, unit="pixels").prevalence.tolist()
            [0.25, 0.75]
        """
        check_one_of(task, TASKS, argument="task", function="from_counts")
        check_one_of(unit, ("rows", "pixels"), argument="unit", function="from_counts")
        pairs = task in ("binary", "multilabel")
        table = [_checked_count(name, value, pairs) for name, value in counts.items()]
        if not table:
            raise ArgumentError("`counts` of from_counts must name at least one class.")
        positives = np.array([row[0] for row in table], np.int64)
        rows = max(sum(row) for row in table) if pairs else int(positives.sum())
        negatives = np.array([row[1] for row in table], np.int64) if pairs else rows - positives
        return cls(
            task, tuple(counts), rows, positives, negatives, rows - positives - negatives, unit=unit, source=source
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_dict` makes an equal census."""
        return {
            "version": _VERSION,
            "task": self.task,
            "unit": self.unit,
            "source": self.source,
            "rows": self.rows,
            "groups": self.groups,
            "classes": list(self.classes),
            "positives": self.positives.tolist(),
            "negatives": self.negatives.tolist(),
            "unknowns": self.unknowns.tolist(),
            "combinations": _listed_combinations(self.combinations, self.classes),
            "partial_combinations": _listed_combinations(self.partial_combinations, self.classes),
            "cooccurrence": None if self.cooccurrence is None else self.cooccurrence.tolist(),
            "group_sets": None if self.group_sets is None else self.group_sets.to_dict(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, value: Any) -> Census:
        """Return the census that `to_dict` wrote.

        Raises:
            DataError: the value is not a census, contradicts itself, or is from a newer version.
        """
        from equipoise.labels._census_json import census_from_dict

        return census_from_dict(value)

    def __str__(self) -> str:
        from equipoise.labels._census_text import census_text

        return census_text(self)


def count_labels(labels: Labels) -> Census:
    """Return how often each class occurs in `labels`.

    Example:
        >>> import numpy as np
        >>> values = np.array([[1, 1], [0, 0], [1, 0], [0, np.nan]], np.float32)
        >>> census = count_labels(Labels("multilabel", ("Edema", "Mass"), values, np.arange(4)))
        >>> census.positives.tolist(), census.unknowns.tolist(), census.combinations[("Edema", "Mass")]
        ([2, 1], [0, 1], 1)
    """
    from equipoise.labels._tally import LabelTally

    tally = LabelTally(labels.task, labels.classes, grouped=labels.groups is not None)
    tally.add_rows(labels.values, labels.groups)
    return tally.census(labels.source, labels.notes)


def count_file(
    path: str | Path,
    columns: str | Sequence[str] | None = None,
    *,
    separator: str | None = None,
    ids: str | None = None,
    groups: str | None = None,
    task: str | None = None,
    uncertain: str | int | float | None = None,
    unknown: str = "unknown",
    negative: Sequence[str] = NEGATIVE_WORDS,
    positive: str | int | float | None = None,
    classes: Sequence[str] | None = None,
) -> Census:
    """Return the census of a table without holding it in memory.

    It equals ``count_labels(read_labels(...))`` with the same arguments, which `read_labels` explains. Memory does not
    grow with the length of the table: it holds one batch, a count per distinct combination of labels (at most 100,000),
    about 20 bytes per group, and, only when `ids` is given, 16 bytes per row to find an id that stands twice.

    Raises:
        DataError: as `read_labels`.
        ArgumentError: as `read_labels`.
    """
    if Path(path).suffix.casefold() == ".npz":
        from equipoise.labels.read import read_labels

        return count_labels(read_labels(path, task=task, groups=groups, classes=classes))
    from equipoise.labels._stream import count_table
    from equipoise.labels.read import label_spec
    from equipoise.labels.table import open_table

    source = open_table(path)
    spec = label_spec(
        source, columns, separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain, unknown=unknown,
        negative=negative, positive=positive, classes=classes,
    )  # fmt: skip
    census = count_table(source, spec)
    return replace(census, notes=source.notes + census.notes)


def _checked_count(name: str, value: Any, pairs: bool) -> tuple[int, ...]:
    wanted = 2 if pairs else 1
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,)
    whole = all(isinstance(number, int | np.integer) and not isinstance(number, bool) for number in numbers)
    if len(numbers) != wanted or not whole or any(number < 0 for number in numbers):
        form = "(positives, negatives), both" if pairs else "one number,"
        raise ArgumentError(f'`counts` of from_counts: "{name}" must be {form} 0 or more; got {value!r}.')
    return tuple(int(number) for number in numbers)


def _joined_combinations(
    *pairs: tuple[Mapping[tuple[str, ...], int] | None, ...],
) -> list[dict[tuple[str, ...], int] | None]:
    if any(part is None for pair in pairs for part in pair):
        return [None for _ in pairs]
    sums: list[dict[tuple[str, ...], int] | None] = []
    for pair in pairs:
        total: dict[tuple[str, ...], int] = {}
        for part in pair:
            for key, count in (part or {}).items():
                total[key] = total.get(key, 0) + count
        sums.append(total)
    return [None for _ in pairs] if sum(len(total or ()) for total in sums) > MAX_COMBINATIONS else sums


def _listed_combinations(
    combinations: Mapping[tuple[str, ...], int] | None, classes: tuple[str, ...]
) -> list[list[Any]] | None:
    if combinations is None:
        return None
    number = {name: index for index, name in enumerate(classes)}
    rows = [[[number[name] for name in key], count] for key, count in combinations.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))
