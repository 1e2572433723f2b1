"""The flags that mean the same in every command, and how results are printed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment

LabelsOption = Annotated[
    str | None,
    typer.Option("--labels", "--targets", help="Label columns, comma-separated (or give one column of classes)."),
]
SeparatorOption = Annotated[
    str | None, typer.Option("--separator", help='What joins findings inside one cell, such as "|".')
]
IdsOption = Annotated[str | None, typer.Option("--ids", help="Column that names each row. Default: the row number.")]
GroupsOption = Annotated[
    str | None, typer.Option("--groups", help='Column of the patient or other group; "none" if rows are independent.')
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="binary, multiclass, ordinal or multilabel. Default: inferred and printed.")
]
UncertainOption = Annotated[
    str | None, typer.Option("--uncertain", help="Label value that means uncertain, such as -1 in CheXpert.")
]
UnknownOption = Annotated[
    str, typer.Option("--unknown", help="What unknown labels become: unknown, negative, positive or drop.")
]
PositiveOption = Annotated[
    str | None, typer.Option("--positive", help="Which label is positive, where 0/1 or no/yes does not say.")
]
ClassesOption = Annotated[
    str | None, typer.Option("--classes", help="The labels that may occur, comma-separated; others are errors.")
]
TargetOption = Annotated[
    str, typer.Option("--target", help="uniform, natural, or a JSON file: class to share, or {prevalence: {...}}.")
]
StrengthOption = Annotated[float, typer.Option("--strength", help="From 0, natural, to 1, the target.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Where to write the result.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what --out or --figure names if it exists.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read, and nothing else.")]


def data_section(
    *, labels: str | None, classes: str | None, images: Path | None, **others: str | None
) -> dict[str, Any]:
    """Return the keys of a recipe's `data` as the flags of a command give them; None is a flag that was not given."""
    return {
        "labels": columns(labels), "classes": columns(classes), "images": None if images is None else str(images),
        **others,
    }  # fmt: skip


def columns(text: str | None) -> list[str] | None:
    r"""Split a comma-separated flag into column names; a comma inside a name is written with a backslash, ``\,``."""
    if text is None:
        return None
    marked = text.replace("\\,", "\0")
    return [name.replace("\0", ",").strip() for name in marked.split(",") if name.strip()]


def check_free(
    out: Path | None,
    overwrite: bool,
    *,
    source: Path | Iterable[Path | None] | None = None,
    flag: str = "--out",
    others: Mapping[str, Path | None] | None = None,
) -> None:
    """Raise `ArgumentError` when `out` may not be written, before any work is done.

    Args:
        out: the file to be written.
        overwrite: whether it may be replaced.
        source: the files and run folders that are read: neither they nor what a run folder holds are ever replaced.
        flag: the flag that names `out`, for the message.
        others: the other files to be written, by their flags: no two may be the same.
    """
    if out is None:
        return
    for name, other in (others or {}).items():
        if other is not None and os.path.realpath(other) == os.path.realpath(out):
            raise ArgumentError(f"{flag} and {name} are both {out}. Give two names.")
    if not os.path.lexists(out):
        return
    if out.is_dir():
        raise ArgumentError(f"{flag} {out} is a folder. Give the name of a file.")
    sources = (source,) if isinstance(source, Path) else source or ()
    if out.exists() and any(out.samefile(one) for path in sources if path is not None for one in _files_read(path)):
        raise ArgumentError(f"{flag} {out} is a file that is read. Choose another name.")
    if not overwrite:
        raise ArgumentError(f"{flag} {out} exists. Choose another name, or add --overwrite to replace it.")


def _files_read(path: Path) -> list[Path]:
    """Return the files behind something that is read: itself, or of a run folder all that the run wrote."""
    if not path.is_dir():
        return [path] if path.exists() else []
    names = ["run.json", "recipe.yaml", "decision.json", "DONE"]
    if (path / "DONE").is_file():
        from equipoise._files import read_json

        names += read_json(path / "DONE").get("files", {})
    return [one for one in (*(path / name for name in names), *path.glob("scores/*")) if one.exists()]


def console(*, stderr: bool = False) -> Console:
    """The console that tables and sentences are printed on; names from data are never read as markup."""
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        """Never hands a control character of the data on to the terminal."""

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return Plain(stderr=stderr, highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table: first column to the left, others to the right; nothing is cut where output is not a screen."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    printer = console()
    if not sys.stdout.isatty():
        printer.width = 10_000
    printer.print(table)
