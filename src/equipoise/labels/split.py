"""Splitting rows into roles or folds, every class at its prevalence in each and every group in one."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import RowIds
from equipoise._checks import ArgumentError, DataError, check_number, check_one_of, listed
from equipoise.labels.read import Labels

ROLES = ("train", "validation", "test")
# What other programs write for a role.
ROLE_WORDS = {
    "train": "train", "training": "train", "trn": "train",
    "validation": "validation", "val": "validation", "valid": "validation", "dev": "validation",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class SplitReport:
    """What a split did to the classes.

    Attributes:
        parts: the roles (or folds) in use.
        classes: class names.
        rows: (parts,) rows in each.
        groups: (parts,) groups in each; rows where rows are independent.
        positives: (parts, classes) positive rows.
        known: (parts, classes) rows whose label is known.
        positive_groups: (parts, classes) groups with a positive.
        prevalence: (classes,) over all rows, in [0, 1].
        unplaced: classes whose positives sit in fewer groups than there are parts: some part must go without.
        missing: (class, part) for every part without a positive of the class.
        grouped: whether groups were kept whole.
    """

    parts: tuple[str, ...]
    classes: tuple[str, ...]
    rows: NDArray[np.int64]
    groups: NDArray[np.int64]
    positives: NDArray[np.int64]
    known: NDArray[np.int64]
    positive_groups: NDArray[np.int64]
    prevalence: NDArray[np.float64]
    unplaced: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]
    grouped: bool

    @property
    def deviations(self) -> NDArray[np.float64]:
        """(parts, classes) prevalence in the part minus prevalence over all rows; NaN where nothing is known."""
        with np.errstate(invalid="ignore", divide="ignore"):
            difference: NDArray[np.float64] = self.positives / self.known - self.prevalence
        return difference

    @property
    def largest_absolute_deviation(self) -> float:
        """The largest deviation of a class's prevalence in a part from its prevalence over all rows; 0 is best."""
        return _largest(self.deviations)

    @property
    def largest_relative_deviation(self) -> float:
        """The same, divided by the prevalence over all rows; 0 is best."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return _largest(self.deviations / self.prevalence)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "parts": list(self.parts),
            "classes": list(self.classes),
            "rows": self.rows.tolist(),
            "groups": self.groups.tolist() if self.grouped else None,
            "positives": self.positives.tolist(),
            "known": self.known.tolist(),
            "positive_groups": self.positive_groups.tolist() if self.grouped else None,
            "prevalence": [None if np.isnan(rate) else rate for rate in self.prevalence.tolist()],
            "largest_absolute_deviation": self.largest_absolute_deviation,
            "largest_relative_deviation": self.largest_relative_deviation,
            "unplaced": list(self.unplaced),
            "missing": [list(pair) for pair in self.missing],
        }

    def __str__(self) -> str:
        from equipoise.labels._split_text import report_text

        return report_text(self)


@dataclass(frozen=True, eq=False)
class Split:
    """Which row has which role.

    Attributes:
        ids: (rows,) names of the rows.
        roles: (rows,) ``"train"``, ``"validation"`` or ``"test"``. With folds, as seen from fold 0 (see `from_fold`).
        folds: (rows,) fold number, or None. Of a cross-fitted run, the member that did not learn from the row; -1 is
            that of the test role, which is in no fold.
        report: what the split did to the classes; None when it was read from a file.

    Example:
        >>> import numpy as np
        >>> split = Split(np.array([5, 6, 7]), np.array(["train", "test", "train"], object))
        >>> split.rows("train").tolist(), split.hash[:8]
        ([0, 2], 'b3fd3137')
    """

    ids: RowIds
    roles: RowIds
    folds: RowIds | None = None
    report: SplitReport | None = None

    def __post_init__(self) -> None:
        for name, array in (("roles", self.roles), ("folds", self.folds)):
            if array is not None and array.shape != self.ids.shape:
                raise ArgumentError(f"`{name}` of Split must have one entry per id, {len(self.ids)}; got {len(array)}.")
        for role in set(self.roles.tolist()):
            check_one_of(role, ROLES, argument="roles", function="Split")

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, role: str) -> NDArray[np.int64]:
        """Return the row numbers of a role, in order."""
        check_one_of(role, ROLES, argument="role", function="Split.rows")
        return np.flatnonzero(self.roles == role)

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the sorted ids with their roles (or folds): equal splits have equal hashes in any row order."""
        parts = self.roles.tolist() if self.folds is None else [f"fold {fold}" for fold in self.folds.tolist()]
        lines = sorted(f"{name}\t{part}\n" for name, part in zip(self.ids.tolist(), parts, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def from_fold(self, fold: int) -> Split:
        """Return the split in which `fold` is the test role, the next one validation, and the others train.

        With two folds there is no validation role.

        Raises:
            ArgumentError: the split has no folds, no such fold, or a test role apart from its folds.
        """
        if self.folds is None:
            raise ArgumentError("This split has no folds. Make one with split_labels(labels, folds=5).")
        if np.any(self.folds < 0):
            raise ArgumentError(
                "The folds of this split are those of a cross-fitted run, whose test role is in no fold (-1). "
                "Use its roles."
            )
        count = int(self.folds.max()) + 1
        if isinstance(fold, bool) or not 0 <= fold < count:
            raise ArgumentError(f"`fold` of from_fold must be one of 0 to {count - 1}; got {fold!r}.")
        return replace(self, roles=_fold_roles(self.folds, fold, count))

    def __str__(self) -> str:
        sizes = ", ".join(f"{role} {np.count_nonzero(self.roles == role):,}" for role in ROLES)
        return f"{self.report}\nhash {self.hash}" if self.report is not None else f"{sizes} rows; hash {self.hash}"


def split_labels(
    labels: Labels,
    fractions: Sequence[float | int] = (0.7, 0.15, 0.15),
    *,
    seed: int = 0,
    folds: int | None = None,
) -> Split:
    """Return a split in which every class keeps its prevalence in every role, and no group is in two roles.

    All classes are balanced at once, rarest first; the method is described in ``_assign.py``. The result depends on the
    ids, labels, groups and seed, not on the order of rows or classes.

    Args:
        labels: what to split; ids must be distinct.
        fractions: shares of train, validation and test, which sum to 1; 0 leaves a role out.
        seed: 0 or more; another seed gives another split as good.
        folds: number of folds, at least 2; `fractions` is then not used.

    Raises:
        ArgumentError: the arguments cannot work, or nobody said whether rows share groups.
        DataError: an id stands twice, or there are fewer groups than parts.

    Example:
        >>> import numpy as np
        >>> values = np.array([1, 0, 0, 0] * 25, np.float32)
        >>> labels = Labels("binary", ("stroke",), values, np.arange(100))
        >>> split = split_labels(labels, (0.6, 0.2, 0.2))
        >>> split.report.rows.tolist(), split.report.positives[:, 0].tolist()
        ([60, 20, 20], [15, 5, 5])
    """
    from equipoise.labels._assign import assign_groups

    wanted = _wanted(fractions, folds)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"`seed` of split_labels must be an integer of 0 or more; got {seed!r}.")
    if labels.groups is None and not labels.groups_known:
        raise ArgumentError(
            f"Nobody said whether rows of {labels.source} share a patient, and a patient in two roles leaks. "
            'Give the column with `groups`, or groups="none" if every row is independent.'
        )
    _check_distinct(labels)
    counted = _counted(labels)
    if len(counted.kinds) < len(wanted):
        raise DataError(
            f"{labels.source} has {len(counted.kinds)} {'groups' if labels.groups is not None else 'rows'}, which "
            f"cannot fill {len(wanted)} parts. Ask for fewer, or add data."
        )
    shares = np.array(list(wanted.values()), np.float64)
    placed = assign_groups(counted.types, counted.kinds, shares / shares.sum(), np.random.default_rng(seed))
    parts = placed[counted.groups]
    names = np.array(list(wanted), dtype=object)
    report = _reported(labels, parts, tuple(wanted), counted.groups)
    if folds is None:
        return Split(labels.ids, names[parts], None, report)
    return Split(labels.ids, _fold_roles(parts, 0, folds), parts, report)


def report_split(split: Split, labels: Labels) -> SplitReport:
    """Return what `split` does to the classes of `labels`; rows that only one of them has are left out.

    Raises:
        DataError: they share no id.
    """
    position = {str(name): row for row, name in enumerate(split.ids.tolist())}
    rows = np.array([position.get(str(name), -1) for name in labels.ids.tolist()], np.int64)
    if not np.any(rows >= 0):
        raise DataError(
            f"The split and {labels.source} have no id in common ({listed(split.ids[:2])} against "
            f"{listed(labels.ids[:2])}). Name the same column as `ids` for both."
        )
    labels, rows = labels.select(rows >= 0), rows[rows >= 0]
    if split.folds is None:
        names = tuple(role for role in ROLES if role in set(split.roles.tolist()))
        parts = np.array([names.index(role) for role in split.roles[rows].tolist()], np.int64)
    else:
        parts, names = fold_parts(split.folds)
        parts = parts[rows]
    keys = labels.groups if labels.groups is not None else labels.ids
    return _reported(labels, parts, names, np.unique(keys, return_inverse=True)[1].reshape(-1))


def write_split(split: Split, path: str | Path) -> None:
    """Write a split as CSV with the columns ``id``, ``role`` and, with folds, ``fold``; all of it or nothing."""
    import csv

    from equipoise._files import replacing

    columns = [split.ids.tolist(), split.roles.tolist()] + ([] if split.folds is None else [split.folds.tolist()])
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "role", "fold"][: len(columns)])
        writer.writerows(zip(*columns, strict=True))


def read_split(path: str | Path, *, ids: str = "id", roles: str | None = None, folds: str | None = None) -> Split:
    """Return the split that a table holds, made here or elsewhere, or the given split of a MedMNIST-style ``.npz``.

    Args:
        path: CSV, TSV or Parquet with a row per id; or ``.npz``, whose ids are ``train-0`` and so on.
        ids: column of the ids.
        roles: column of roles; None looks for ``role``, ``split``, ``subset``, ``set`` and ``partition``. Common
            words such as val and dev are understood.
        folds: column of fold numbers from 0; None looks for ``fold``. A table may hold folds alone; beside roles, -1
            is the fold of a row of the test role.

    Raises:
        DataError: a column is missing, a role is not known or an id stands twice; the message has the row.
    """
    from equipoise.labels._split_file import read_split_rows

    found = read_split_rows(Path(path), ids, roles, folds)
    names, counts = np.unique(found.ids.astype(str), return_counts=True)
    if len(names) < len(found.ids):
        twice = str(names[counts > 1][0])
        rows = np.flatnonzero(found.ids.astype(str) == twice) + 1
        raise DataError(
            f'{Path(path).name}: the id "{twice}" stands in rows {rows[0]} and {rows[1]}. A row has one role; remove '
            "one of them, or look at all such ids with check_split."
        )
    return Split(found.ids, found.roles, found.folds)


@dataclass(frozen=True, eq=False)
class _Counted:
    types: NDArray[np.int64]
    kinds: NDArray[np.int64]
    groups: NDArray[np.int64]


def _wanted(fractions: Sequence[float | int], folds: int | None) -> dict[str, float]:
    if folds is not None:
        if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
            raise ArgumentError(f"`folds` of split_labels must be an integer of at least 2; got {folds!r}.")
        return {f"fold {fold}": 1.0 / folds for fold in range(folds)}
    if len(fractions) != len(ROLES):
        raise ArgumentError(
            f"`fractions` of split_labels must be three shares, of train, validation and test (0 leaves one out); got "
            f"{tuple(fractions)}."
        )
    shares = [
        check_number(share, argument="fractions", function="split_labels", at_least=0.0, at_most=1.0)
        for share in fractions
    ]
    if abs(sum(shares) - 1.0) > 1e-6:
        raise ArgumentError(f"`fractions` of split_labels must sum to 1; {tuple(fractions)} sum to {sum(shares):.6g}.")
    return {role: share for role, share in zip(ROLES, shares, strict=True) if share > 0}


def _check_distinct(labels: Labels) -> None:
    names = labels.ids.tolist()
    if len(set(names)) == len(names):
        return
    seen: dict[Any, int] = {}
    for row, name in enumerate(names):
        if name in seen:
            raise DataError(
                f'{labels.source}: the id "{name}" stands in rows {seen[name] + 1} and {row + 1}, so a split cannot '
                "tell them apart. Remove one, or name another column as `ids`."
            )
        seen[name] = row


def _counted(labels: Labels) -> _Counted:
    """Return the types of group, in an order that does not depend on the order of rows or classes."""
    from equipoise.labels._tally import distinct_codes, row_codes

    table = labels.table()[:, np.argsort(np.array(labels.classes), kind="stable")]
    keys = labels.groups if labels.groups is not None else labels.ids
    names, groups = np.unique(keys, return_inverse=True)
    groups = groups.reshape(-1)
    positives, known = table == 1.0, ~np.isnan(table)
    if labels.groups is None:
        first, codes = distinct_codes(positives, known)
        types = np.column_stack([np.ones(len(first)), positives[first], known[first]]).astype(np.int64)
        kinds = np.empty(len(names), np.int64)
        kinds[groups] = codes
        return _Counted(types, kinds, groups)
    rows = np.bincount(groups)
    counts = np.column_stack([rows, summed(positives, groups, len(names)), summed(known, groups, len(names))])
    varying = counts[:, (counts != rows[:, None]).any(axis=0) | (np.arange(counts.shape[1]) == 0)]
    _, first, kinds = np.unique(row_codes(varying), return_index=True, return_inverse=True)
    return _Counted(counts[first], kinds.reshape(-1), groups)


def summed(flags: NDArray[np.bool_], groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return (groups, classes) how many rows of each group have the flag."""
    columns = [np.bincount(groups[flags[:, index]], minlength=count) for index in range(flags.shape[1])]
    return np.stack(columns, axis=1).astype(np.int64)


def fold_parts(folds: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the part of each row, and the names of the parts: the folds and, where rows are in none, the test role."""
    numbers = folds.astype(np.int64)
    count = int(numbers.max()) + 1
    outside = numbers < 0
    names = (*(f"fold {fold}" for fold in range(count)), *(["test"] if outside.any() else []))
    return np.where(outside, count, numbers), names


def _fold_roles(folds: NDArray[Any], fold: int, count: int) -> NDArray[Any]:
    roles = np.full(len(folds), "train", dtype=object)
    if count > 2:
        roles[folds == (fold + 1) % count] = "validation"
    roles[folds == fold] = "test"
    return roles


def _reported(
    labels: Labels, parts: NDArray[np.int64], names: tuple[str, ...], groups: NDArray[np.int64]
) -> SplitReport:
    table = labels.table()
    positive, known = table == 1.0, ~np.isnan(table)
    count = len(names)
    positives, known_rows = summed(positive, parts, count), summed(known, parts, count)
    # A pair of group and part is one number; in a sound split a group is in one part, in a leaking one in several.
    pairs = groups * count + parts
    held = np.unique(pairs) % count
    positive_groups = np.stack(
        [np.bincount(np.unique(pairs[positive[:, c]]) % count, minlength=count) for c in range(table.shape[1])], axis=1
    )
    with_positive = [len(np.unique(groups[positive[:, c]])) for c in range(table.shape[1])]
    with np.errstate(invalid="ignore", divide="ignore"):
        prevalence = positives.sum(axis=0) / known_rows.sum(axis=0)
    return SplitReport(
        names, labels.classes, np.bincount(parts, minlength=count), np.bincount(held, minlength=count), positives,
        known_rows, positive_groups.astype(np.int64), prevalence,
        tuple(name for name, n in zip(labels.classes, with_positive, strict=True) if n < count),
        tuple((labels.classes[c], names[p]) for p, c in np.argwhere(positives == 0)), labels.groups is not None,
    )  # fmt: skip


def _largest(table: NDArray[np.float64]) -> float:
    known = np.abs(table[np.isfinite(table)])
    return float(known.max()) if known.size else 0.0
