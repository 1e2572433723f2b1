"""From the facts of every image to the problems of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._checks import listed
from equipoise.data._image_facts import Facts, Images
from equipoise.data._image_table import Folder
from equipoise.data.image_check import ImageProblem, check_rows
from equipoise.data.images import ImageFiles

if TYPE_CHECKING:
    from equipoise.labels import Labels

_SHOWN = 3


@dataclass(frozen=True)
class Table:
    """What is known of each row besides its image."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    labels: Labels | None
    roles: list[Any] | None
    groups: list[Any] | None
    also: dict[str, list[Any]]

    @classmethod
    def of(cls, files: Images, labels: Labels | None, roles: Any, groups: Any, also: Mapping[str, Any]) -> Table:
        """Return the table, every column checked to be of these rows; the arguments are those of `check_images`."""
        if labels is not None:
            check_rows(labels.ids, files, "labels")
            groups = labels.groups if groups is None else groups
        if roles is not None and hasattr(roles, "ids"):
            role_of = dict(zip(map(str, roles.ids.tolist()), roles.roles.tolist(), strict=True))
            ids = files.names if labels is None else labels.ids.tolist()
            roles = [role_of.get(str(name)) for name in ids]
        placed, patients = check_rows(roles, files, "roles"), check_rows(groups, files, "groups")
        others = {name: check_rows(values, files, "also") or [] for name, values in also.items()}
        return cls(files.names, files.rows, labels, placed, patients, others)

    def shown(self, row: int) -> str:
        """Return an image with its row, role, label and group, as far as they are known."""
        parts = [f"row {self.numbers[row] + 1}"]
        if self.roles is not None and self.roles[row] is not None:
            parts.append(str(self.roles[row]))
        if self.labels is not None:
            parts.append(f"label {self.label(row)}")
        parts += [f"{name} {cells[row]}" for name, cells in self.also.items()]
        if self.groups is not None:
            parts.append(f"group {self.groups[row]}")
        return f'"{self.names[row]}" ({", ".join(parts)})'

    def label(self, row: int) -> str:
        """Return the label of a row in words."""
        assert self.labels is not None
        values, classes = np.atleast_1d(self.labels.values[row]), self.labels.classes
        if np.isnan(values).all():
            return "unknown"
        if self.labels.task == "multilabel":
            return " + ".join(name for name, value in zip(classes, values, strict=True) if value == 1) or "none"
        if self.labels.task == "binary":
            return f"{classes[0]} {int(values[0])}"
        return str(classes[int(values[0])])

    def differ(self, rows: Sequence[int], column: str) -> bool:
        """Return whether rows are known to differ in their ``roles``, ``groups`` or ``labels``."""
        if column == "labels":
            return self._labels_differ(rows) or any(_differ(cells, rows) for cells in self.also.values())
        cells = getattr(self, column)
        return cells is not None and _differ(cells, rows)

    def _labels_differ(self, rows: Sequence[int]) -> bool:
        if self.labels is None:
            return False
        values = self.labels.values[list(rows)].reshape(len(rows), -1)
        known = ~np.isnan(values)
        low = np.where(known, values, np.inf).min(axis=0)
        return bool((np.where(known, values, -np.inf).max(axis=0) > low).any())


def _differ(cells: Sequence[Any], rows: Sequence[int]) -> bool:
    return len({cells[row] for row in rows} - {None, ""}) > 1  # an empty cell is unknown


def shapes_of(facts: Iterable[Facts]) -> tuple[tuple[str, str, int, int, int], ...]:
    """Return (kind, mode, width, height, images) of each combination, the commonest first."""
    counts = Counter((fact.kind, fact.mode, fact.width, fact.height) for fact in facts)
    return tuple((*shape, count) for shape, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def find_problems(files: Images, facts: Sequence[Facts], table: Table) -> Iterator[ImageProblem]:
    """Yield every problem, in the order of `ImageProblem.kind`."""
    for fault, words in (("unreadable", "cannot be read"), ("truncated", "stop before their end")):
        rows = [row for row, fact in enumerate(facts) if fact.fault == fault]
        if rows:
            shown = [facts[row].message for row in rows[:_SHOWN]]
            yield _single(fault, "error", f"{_images(rows)} {words}. {_more(shown, len(rows), ' ')}", rows, table)
    yield from _copies(files, facts, table)
    blank = [row for row, fact in enumerate(facts) if fact.blank]
    if blank:
        yield _single(
            "blank", "warning",
            f"{_images(blank)} of one value throughout: {_examples(blank, table)}. Remove the rows, or export the "
            "images again.", blank, table,
        )  # fmt: skip
    yield from _unlike(facts, table)
    yield from _folder(files)


def _copies(files: Images, facts: Sequence[Facts], table: Table) -> Iterator[ImageProblem]:
    by_picture: dict[bytes, list[int]] = {}
    for row, fact in enumerate(facts):
        if not fact.fault and not fact.blank:
            by_picture.setdefault(fact.digest, []).append(row)
    sets = [rows for rows in by_picture.values() if len(rows) > 1]
    kinds = [
        ("other_role", "error", "in more than one role", "Keep it in one role: the test is otherwise of what was "
         "trained on.", [rows for rows in sets if table.differ(rows, "roles")]),
        ("other_labels", "error", "with different labels", "One of them is wrong: correct it, or remove the rows.",
         [rows for rows in sets if table.differ(rows, "labels")]),
        ("other_group", "warning", "in different groups", "If they are one patient, give them one group.",
         [rows for rows in sets if table.differ(rows, "groups")]),
        ("same_picture", "warning", "in several files, pixel for pixel", "Keep one row of each.",
         [rows for rows in sets if _files_of(files, rows) > 1]),
        ("same_file", "warning", "in one file that several rows name", "Keep one row of each, or join their labels.",
         [rows for rows in sets if _files_of(files, rows) < len(rows)]),
    ]  # fmt: skip
    for kind, severity, where, remedy, found in kinds:
        if found:
            yield _sets(kind, severity, where, remedy, found, table)


def _files_of(files: Images, rows: Sequence[int]) -> int:
    """Return how many different files rows have."""
    return len({files.paths[row] for row in rows}) if isinstance(files, ImageFiles) else len(rows)


def _sets(
    kind: str, severity: str, where: str, remedy: str, sets: Sequence[Sequence[int]], table: Table
) -> ImageProblem:
    rows = sum(map(len, sets))
    what = f"1 picture stands {where}" if len(sets) == 1 else f"{len(sets):,} pictures stand {where}"
    shown = [_joined([table.shown(row) for row in one], " = ") for one in sets[:_SHOWN]]
    message = f"{what} ({rows:,} rows): {_more(shown, len(sets), '; ')}. {remedy}"
    names = tuple(tuple(table.names[row] for row in one) for one in sets)
    return ImageProblem(kind, severity, message, len(sets), tuple(map(tuple, sets)), names)


def _unlike(facts: Sequence[Facts], table: Table) -> Iterator[ImageProblem]:
    """Yield the images whose mode or size is not the commonest."""
    for kind, severity, of, remedy in (
        ("mode", "warning", _mode, "They are brought to the channels that a recipe names; see that this is meant."),
        ("size", "note", _size, "They are resized to one size."),
    ):
        found = {row: of(fact) for row, fact in enumerate(facts) if not fact.fault}
        counts = Counter(found.values()).most_common()
        if len(counts) < 2:
            continue
        usual, most = counts[0]
        rows = [row for row, value in found.items() if value != usual]
        others = _more([f"{count:,} {value}" for value, count in counts[1 : 1 + _SHOWN]], len(counts) - 1, ", ")
        message = f"{most:,} images are {usual}; {others}, such as {_examples(rows, table)}. {remedy}"
        yield _single(kind, severity, message, rows, table)


def _mode(fact: Facts) -> str:
    return fact.mode


def _size(fact: Facts) -> str:
    return f"{fact.width:,} x {fact.height:,}"


def _folder(files: Images) -> Iterator[ImageProblem]:
    """Yield where the folder and the table disagree."""
    if not isinstance(files, ImageFiles):
        return
    folded: dict[str, list[str]] = {}
    for name in Folder(files.folder).walk():
        folded.setdefault(name.casefold(), []).append(name)
    twins = tuple(tuple(names) for names in folded.values() if len(names) > 1)
    if twins:
        shown = _more([listed(names) for names in twins[:_SHOWN]], len(twins), "; ")
        message = (
            f"{len(twins):,} file names differ only in capital letters: {shown}. Rename them: other systems take them "
            "for one file."
        )
        yield ImageProblem("case", "warning", message, len(twins), (), twins)
    orphans = files.orphans()
    if orphans:
        what = "image file is" if len(orphans) == 1 else "image files are"
        message = (
            f"{len(orphans):,} {what} in {files.folder} without a row: {listed(orphans, _SHOWN)}. Add rows if "
            "they were forgotten."
        )
        yield ImageProblem("orphans", "note", message, len(orphans), (), tuple((name,) for name in orphans))


def _single(kind: str, severity: str, message: str, rows: Sequence[int], table: Table) -> ImageProblem:
    return ImageProblem(
        kind, severity, message, len(rows), tuple((row,) for row in rows), tuple((table.names[row],) for row in rows)
    )


def _images(rows: Sequence[int]) -> str:
    return "1 image" if len(rows) == 1 else f"{len(rows):,} images"


def _examples(rows: Sequence[int], table: Table) -> str:
    return _more([f'"{table.names[row]}" (row {table.numbers[row] + 1})' for row in rows[:_SHOWN]], len(rows), ", ")


def _joined(texts: Sequence[str], by: str) -> str:
    return by.join(texts[:_SHOWN]) + (f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else "")


def _more(shown: Sequence[str], total: int, by: str) -> str:
    return by.join(shown) + (f"{by}and {total - len(shown):,} more" if total > len(shown) else "")
