"""What one cell of a label column means. Nothing here knows of files or rows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

# Words for "no label was given", compared without regard to case. "None" is not among them: it may be a class.
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "<na>", "?"})
# The only pairs in which one word is positive beyond doubt: (negative, positive).
PAIRS = (
    ("0", "1"),
    ("no", "yes"),
    ("n", "y"),
    ("false", "true"),
    ("negative", "positive"),
    ("neg", "pos"),
    ("absent", "present"),
)
NEGATIVE_WORDS = ("No Finding", "No Findings", "None")
_INTEGRAL = re.compile(r"(-?(?:0|[1-9]\d*))\.0+")
_GRADE = re.compile(r"0|[1-9]\d{0,2}")


def canonical(cell: str) -> str:
    """Return the cell without space around it, and ``1.0`` (as a table with gaps is exported) as ``1``.

    Example:
        >>> canonical(" -1.0 "), canonical("Mass"), canonical("1.50"), canonical("007")
        ('-1', 'Mass', '1.50', '007')
    """
    text = cell.strip()
    match = _INTEGRAL.fullmatch(text)
    if match is None:
        return text
    return "0" if match[1] == "-0" else match[1]


def is_missing(text: str, uncertain: str | None) -> bool:
    """Return whether a canonical cell gives no label: empty, a word for "missing", or the declared `uncertain`."""
    return text == uncertain or text.casefold() in MISSING


def pair_of(text: str) -> tuple[int, int] | None:
    """Return (which of `PAIRS`, 0 or 1) for a canonical cell, or None when it belongs to no pair."""
    folded = text.casefold()
    for index, pair in enumerate(PAIRS):
        if folded in pair:
            return index, pair.index(folded)
    return None


def is_grade(text: str) -> bool:
    """Return whether a canonical cell is a grade: an integer from 0 to 999."""
    return _GRADE.fullmatch(text) is not None


def in_order(classes: Iterable[str]) -> list[str]:
    """Return class names in an order that depends on nothing else: by number when all are integers, else by text."""
    names = list(classes)
    if all(re.fullmatch(r"-?\d{1,15}", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def spelling_notes(counts: Mapping[str, int], limit: int = 400) -> list[str]:
    """Return a sentence for each rare label that looks like a slip of the pen for a common one.

    Two labels are suspected when they differ in case, space or punctuation alone, or when one is at most a
    hundredth as common as the other, is seen at most ten times, and has nearly the same letters.

    Example:
        >>> spelling_notes({"Effusion": 13317, "Effussion": 1, "Mass": 20})
        ['"Effussion" (1 time) may be a misspelling of "Effusion" (13,317 times).']
    """
    names = sorted(counts, key=lambda name: (-counts[name], name))
    if len(names) > limit:
        return []
    folded: dict[str, str] = {}
    notes = []
    for index, name in enumerate(names):
        key = re.sub(r"[\W_]+", "", name.casefold())
        common = folded.setdefault(key, name) if key else name
        if common == name and counts[name] <= 10:
            common = _misspelt(name, names[:index], counts)
        if common != name:
            times = "1 time" if counts[name] == 1 else f"{counts[name]:,} times"
            notes.append(f'"{name}" ({times}) may be a misspelling of "{common}" ({counts[common]:,} times).')
    return notes


def _misspelt(name: str, commoner: Sequence[str], counts: Mapping[str, int]) -> str:
    if len(name) < 4 or any(character.isdigit() for character in name):
        return name
    candidates = [other for other in commoner if counts[other] >= 100 * counts[name]]
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.85)
    return close[0] if close else name
