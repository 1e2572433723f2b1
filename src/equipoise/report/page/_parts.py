"""What a page is put together from: tables whose columns can be sorted, charts, sections."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import SupportsFloat


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what is shown. order: by what its column is sorted; None: by the text, NaN: always last.
        link: where it leads, relative to the page; "" leads nowhere. tone: ``"good"``, ``"bad"``, ``"faint"`` or "".
        detail: a smaller line below, such as an interval.
    """

    text: str
    order: float | None = None
    link: str = ""
    tone: str = ""
    detail: str = ""

    @property
    def sort_key(self) -> str:
        """What a script sorts by: a number, or nothing for what is always last."""
        return "" if self.order is None or math.isnan(self.order) else f"{self.order:.10g}"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: its first column names the rows, the others hold figures.

    Attributes:
        caption: what the table holds. heads: of the columns. rows: each as long as `heads`.
        sortable: whether columns can be sorted. words: columns after the first that hold words, not figures.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    words: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True)
class Chart:
    """A figure: its ``<svg>``, and what is written under it."""

    svg: str
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels, as the text of a ``data:`` address: what they are, for those who do not see them, and a caption."""

    source: str
    described: str
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page under its heading.

    Attributes:
        key: its anchor. title: its heading. intro: sentences before all else. tables: and charts, in order.
        notes: sentences after.
        folded: charts and tables that are shown when asked for, under a name.
        findings: what was found. commands: pairs of a purpose and a command.
        pictures: rows of them, each under its name.
    """

    key: str
    title: str
    intro: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()
    folded: tuple[tuple[str, tuple[Chart, ...], tuple[Table, ...]], ...] = ()
    findings: tuple[Note, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    pictures: tuple[tuple[str, tuple[Picture, ...]], ...] = ()


@dataclasses.dataclass(frozen=True)
class Note:
    """Something found: how grave, what, and further lines."""

    severity: str
    title: str
    lines: tuple[str, ...] = ()


def cells(texts: Sequence[str]) -> tuple[Cell, ...]:
    """Return cells that are sorted by what they show."""
    return tuple(Cell(text) for text in texts)


def figure(text: str, value: SupportsFloat, *, tone: str = "") -> Cell:
    """Return the cell of a figure, which is sorted by its value; what is in brackets stands below, smaller.

    Example:
        >>> figure("0.500 [0.250, 0.750]", 0.5)
        Cell(text='0.500', order=0.5, link='', tone='', detail='0.250 to 0.750')
    """
    first, _, rest = text.partition(" [")
    return Cell(first, float(value), tone=tone, detail=rest.rstrip("]").replace(", ", " to ", 1))
