"""Looking for faults in a split, wherever it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, check_number, listed
from equipoise.labels._shift import holm, prevalence_shift
from equipoise.labels._split_file import SplitRows, read_split_rows
from equipoise.labels.read import Labels
from equipoise.labels.split import ROLES, Split, fold_parts

_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: ``overlapping_ids``, ``overlapping_groups``, ``repeated_rows``, ``identical_rows``, ``label_shift``,
            ``rows_absent``, ``unknown_ids``, ``class_missing`` or ``groups_unsaid``.
        severity: ``"error"`` when a result from this split would be wrong, else ``"warning"``.
        message: what was found, where, and what to do.
        count: how many ids, groups or rows it concerns.
        label: the class it concerns, or None.
        p_value: for a label shift, adjusted for the number of classes.
        effect: for a label shift, Cramer's V.
    """

    kind: str
    severity: str
    message: str
    count: int = 1
    label: str | None = None
    p_value: float | None = None
    effect: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return dict(vars(self))


@dataclass(frozen=True)
class SplitCheck:
    """What `check_split` found.

    Attributes:
        findings: errors first.
        parts: the roles or folds that were compared.
        rows: rows of the labels that the split places.
    """

    findings: tuple[Finding, ...]
    parts: tuple[str, ...]
    rows: int

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def of(self, kind: str) -> tuple[Finding, ...]:
        """Return the findings of a kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "ok": self.ok,
            "parts": list(self.parts),
            "rows": self.rows,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def __str__(self) -> str:
        head = f"{self.rows:,} rows in {', '.join(self.parts)}: "
        if not self.findings:
            return head + "nothing wrong was found."
        return head + "\n".join(["", *(f"{found.severity}: {found.message}" for found in self.findings)])


def check_split(
    split: Split | str | Path,
    labels: Labels,
    *,
    ids: str = "id",
    roles: str | None = None,
    folds: str | None = None,
    level: float = 0.05,
    contents: NDArray[Any] | None = None,
) -> SplitCheck:
    """Return what is wrong with a split: nothing is raised for a faulty split, only for one that cannot be read.

    Errors: an id in two parts; a group in two parts. Warnings: an id placed twice in one part; rows that are the same
    in all but their id, in different parts; rows of `labels` that the split leaves out; ids it has and `labels` has
    not; a class without a positive in a part (an error in train, where nothing could then be learnt of it); a class
    whose prevalence differs between parts by more than chance (chi-square corrected for groups, or exact, Holm over
    classes); groups about which nobody said anything.

    Args:
        split: a `Split`, or a file as for `read_split` (made elsewhere is fine).
        labels: the labels it places, with the same ids.
        ids: column of ids, when `split` is a file.
        roles: column of roles, when `split` is a file; None looks for the usual names.
        folds: column of folds, when `split` is a file; None looks for ``fold``.
        level: adjusted p-value below which a label shift is reported, in (0, 1).
        contents: (rows,) anything that is equal for rows of the same content, to find copies under another id.

    Raises:
        DataError: the file cannot be read, or shares no id with `labels`.

    Example:
        >>> import numpy as np
        >>> patients = np.array(["a", "a", "b", "c"], object)
        >>> labels = Labels("binary", ("x",), np.array([1, 0, 1, 0], np.float32), np.arange(4), patients)
        >>> split = Split(np.arange(4), np.array(["train", "test", "test", "train"], object))
        >>> found = check_split(split, labels)
        >>> found.ok, [finding.kind for finding in found.findings]
        (False, ['overlapping_groups'])
    """
    check_number(level, argument="level", function="check_split", above=0.0, at_most=1.0)
    placed = _placed(split, ids, roles, folds)
    findings, first = _id_findings(placed)
    known = {str(name): row for row, name in enumerate(labels.ids.tolist())}
    if len(known) < len(labels):
        raise DataError(
            f"{labels.source} has an id on several rows. Name another column as `ids`, or remove the repeats."
        )
    rows = np.array([known.get(name, -1) for name in first], np.int64)
    if not np.any(rows >= 0):
        raise DataError(
            f"{placed.name} and {labels.source} have no id in common ({listed(list(first)[:2])} against "
            f"{listed(labels.ids[:2])}). Name the same column as `ids` for both."
        )
    findings += _coverage_findings(placed, labels, list(first), rows)
    parts = np.array(list(first.values()), np.int64)[rows >= 0]
    part_of = np.full(len(labels), -1, np.int64)
    part_of[rows[rows >= 0]] = parts
    inside = part_of >= 0
    names = placed.parts
    findings += _group_findings(labels, part_of, names)
    if contents is not None:
        findings += _content_findings(labels, np.asarray(contents), part_of, names)
    findings += _class_findings(labels.select(inside), part_of[inside], names, level)
    ordered = sorted(findings, key=lambda finding: finding.severity != "error")
    return SplitCheck(tuple(ordered), names, int(inside.sum()))


@dataclass(frozen=True, eq=False)
class _Placed:
    ids: list[str]
    codes: list[int]
    parts: tuple[str, ...]
    name: str


def _placed(split: Split | str | Path, ids: str, roles: str | None, folds: str | None) -> _Placed:
    if isinstance(split, Split):
        found = SplitRows(split.ids, split.roles, split.folds, "the split")
    elif isinstance(split, str | Path):
        found = read_split_rows(Path(split), ids, roles, folds)
    else:
        raise ArgumentError(f"`split` of check_split must be a Split or a path; got {type(split).__name__}.")
    names = [str(name) for name in found.ids.tolist()]
    if found.folds is not None:
        codes, parts = fold_parts(found.folds)
        return _Placed(names, codes.tolist(), parts, found.name)
    used = set(found.roles.tolist())
    parts = tuple(role for role in ROLES if role in used)
    return _Placed(names, [parts.index(role) for role in found.roles.tolist()], parts, found.name)


def _id_findings(placed: _Placed) -> tuple[list[Finding], dict[str, int]]:
    """Return findings about ids that are placed twice, and the part in which each id is first placed."""
    first: dict[str, int] = {}
    torn: dict[str, tuple[int, int]] = {}
    repeated: dict[str, int] = {}
    for name, part in zip(placed.ids, placed.codes, strict=True):
        if first.setdefault(name, part) != part:
            torn.setdefault(name, (first[name], part))
        else:
            repeated[name] = repeated.get(name, 0) + 1
    findings = []
    if torn:
        examples = [
            f'"{name}" in {placed.parts[a]} and {placed.parts[b]}' for name, (a, b) in list(torn.items())[:_SHOWN]
        ]
        findings.append(
            Finding(
                "overlapping_ids",
                "error",
                f"{_number(len(torn), 'id')} in more than one part: {_examples(examples, len(torn))}. "
                "Keep each in one part.",
                len(torn),
            )
        )
    twice = [name for name, times in repeated.items() if times > 1]
    if twice:
        findings.append(
            Finding(
                "repeated_rows",
                "warning",
                f"{_number(len(twice), 'id')} placed several times in one part: {listed(twice, _SHOWN)}. "
                "Remove the repeats, which would count twice.",
                len(twice),
            )
        )
    return findings, first


def _coverage_findings(placed: _Placed, labels: Labels, names: list[str], rows: NDArray[np.int64]) -> list[Finding]:
    findings = []
    absent = np.setdiff1d(np.arange(len(labels)), rows)
    if len(absent):
        findings.append(
            Finding(
                "rows_absent",
                "warning",
                f"{_number(len(absent), 'row', f' of {labels.source}')} in no part, such as id "
                f"{listed(labels.ids[absent[:_SHOWN]])}. Place them, or remove them on purpose.",
                len(absent),
            )
        )
    strange = [names[i] for i in np.flatnonzero(rows < 0)]
    if strange:
        findings.append(
            Finding(
                "unknown_ids",
                "warning",
                f"{_number(len(strange), 'id', f' of {placed.name}')} not in {labels.source}: "
                f"{listed(strange, _SHOWN)}. "
                "Check that both are of the same data.",
                len(strange),
            )
        )
    return findings


def _group_findings(labels: Labels, part_of: NDArray[np.int64], names: Sequence[str]) -> list[Finding]:
    if labels.groups is None:
        if labels.groups_known:
            return []
        message = 'Groups were not given, so patients in two parts cannot be seen. Give `groups`, or groups="none".'
        return [Finding("groups_unsaid", "warning", message)]
    torn, codes, groups = _torn(labels.groups, part_of)
    if not len(torn):
        return []
    inside = part_of >= 0
    rows = int(np.isin(codes[inside], torn).sum())
    examples = [f'"{groups[g]}" in {_in_parts(codes, g, part_of, names)}' for g in torn[:_SHOWN].tolist()]
    return [
        Finding(
            "overlapping_groups",
            "error",
            f"{_number(len(torn), 'group')} in more than one part ({rows:,} rows): {_examples(examples, len(torn))}. "
            "Split again with split_labels, which keeps groups whole.",
            len(torn),
        )
    ]


def _content_findings(
    labels: Labels, contents: NDArray[Any], part_of: NDArray[np.int64], names: Sequence[str]
) -> list[Finding]:
    if len(contents) != len(labels):
        raise ArgumentError(
            f"`contents` of check_split must have one entry per row, {len(labels)}; got {len(contents)}."
        )
    torn, codes, _ = _torn(contents, part_of)
    if not len(torn):
        return []
    first = torn[0]
    example = listed(labels.ids[np.flatnonzero((codes == first) & (part_of >= 0))], limit=2)
    return [
        Finding(
            "identical_rows",
            "warning",
            f"{_number(len(torn), 'row')} found in more than one part under different ids, the same in every other "
            f"column (ids {example} in {_in_parts(codes, int(first), part_of, names)}). If they are copies, keep one.",
            len(torn),
        )
    ]


def _torn(keys: NDArray[Any], part_of: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Return the codes of keys that stand in more than one part, (rows,) the code of each row, and the keys."""
    distinct, codes = np.unique(keys, return_inverse=True)
    codes = codes.reshape(-1)
    inside = part_of >= 0
    count = int(part_of.max()) + 1
    pairs = np.unique(codes[inside] * count + part_of[inside]) // count
    return np.unique(pairs[1:][pairs[1:] == pairs[:-1]]), codes, distinct


def _in_parts(codes: NDArray[np.int64], code: int, part_of: NDArray[np.int64], names: Sequence[str]) -> str:
    found = np.unique(part_of[(codes == code) & (part_of >= 0)])
    *others, last = (names[part] for part in found)
    return f"{', '.join(others)} and {last}" if others else last


def _class_findings(labels: Labels, parts: NDArray[np.int64], names: Sequence[str], level: float) -> list[Finding]:
    table = labels.table()
    groups = None if labels.groups is None else np.unique(labels.groups, return_inverse=True)[1].reshape(-1)
    findings, shifts = [], []
    for index, label in enumerate(labels.classes):
        known = ~np.isnan(table[:, index])
        positive, of_known = table[known, index] == 1.0, parts[known]
        shifts.append(prevalence_shift(positive, of_known, len(names), None if groups is None else groups[known]))
        hits = np.bincount(of_known[positive], minlength=len(names))
        findings += [_missing(label, names[part], int(hits.sum())) for part in np.flatnonzero(hits == 0).tolist()]
    adjusted = holm(np.array([shift.p_value for shift in shifts]))
    for index in np.flatnonzero(adjusted < level).tolist():
        rates = _rates(table[:, index], parts, names)
        findings.append(
            Finding(
                "label_shift",
                "warning",
                f'"{labels.classes[index]}" is not equally common in the parts: {rates} '
                f"(adjusted p {max(adjusted[index], 1e-300):.2g}, Cramer's V {shifts[index].effect:.3f}, "
                f"{shifts[index].method}). Split again with split_labels, or report each part's prevalence.",
                1,
                labels.classes[index],
                float(adjusted[index]),
                shifts[index].effect,
            )
        )
    return findings


def _missing(label: str, part: str, elsewhere: int) -> Finding:
    grave = part == "train"
    what = "nothing can be learnt of it" if grave else "it cannot be judged there"
    where = f"{elsewhere:,} elsewhere" if elsewhere else "none anywhere"
    return Finding(
        "class_missing", "error" if grave else "warning",
        f'"{label}" has no positive in {part} ({where}): {what}. Split again, add data, or drop the class.', 1, label,
    )  # fmt: skip


def _rates(column: NDArray[Any], parts: NDArray[np.int64], names: Sequence[str]) -> str:
    shown = []
    for part, name in enumerate(names):
        inside = column[(parts == part) & ~np.isnan(column)]
        if len(inside):
            shown.append(f"{name} {inside.mean(dtype=np.float64):.3%} of {len(inside):,}")
    return ", ".join(shown)


def _number(count: int, what: str, of: str = "") -> str:
    return f"{count:,} {what}{of} is" if count == 1 else f"{count:,} {what}s{of} are"


def _examples(examples: list[str], total: int) -> str:
    return "; ".join(examples) + (f"; and {total - len(examples):,} more" if total > len(examples) else "")
