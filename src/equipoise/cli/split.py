"""`equipoise split`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError
from equipoise.cli._options import (
    ClassesOption,
    GroupsOption,
    IdsOption,
    JsonOption,
    LabelsOption,
    OutOption,
    OverwriteOption,
    PositiveOption,
    SeedOption,
    SeparatorOption,
    TaskOption,
    UncertainOption,
    UnknownOption,
    check_free,
    columns,
    console,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from equipoise.labels import Labels, SplitCheck


def split(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, Parquet or MedMNIST-style .npz; compressed is fine.")],
    labels: LabelsOption = None,
    separator: SeparatorOption = None,
    ids: IdsOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    uncertain: UncertainOption = None,
    unknown: UnknownOption = "unknown",
    positive: PositiveOption = None,
    classes: ClassesOption = None,
    fractions: Annotated[
        str, typer.Option("--fractions", help="Shares of train, validation and test; 0 leaves one out.")
    ] = "0.7,0.15,0.15",
    folds: Annotated[int | None, typer.Option("--folds", help="Make this many folds instead of three roles.")] = None,
    seed: SeedOption = 0,
    check: Annotated[
        Path | None, typer.Option("--check", help="Look for faults in this split file instead of making one.")
    ] = None,
    check_ids: Annotated[str | None, typer.Option("--check-ids", help="Column of ids in the checked file.")] = None,
    check_roles: Annotated[str | None, typer.Option("--check-roles", help="Column of roles in it.")] = None,
    check_folds: Annotated[str | None, typer.Option("--check-folds", help="Column of fold numbers in it.")] = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Split rows into train, validation and test (or folds) with groups kept whole, or check a split made elsewhere.

    With --check the exit status is 1 when something found is an error.
    """
    check_free(out if check is None else None, overwrite, source=table)
    from equipoise.labels import read_labels, split_labels, write_split

    if check is not None and out is not None:
        raise ArgumentError("`--check` only looks; it writes nothing to `--out`. Give one of the two.")
    found = read_labels(
        table, columns(labels), separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain,
        unknown=unknown, positive=positive, classes=columns(classes),
    )  # fmt: skip
    if check is not None:
        _check(table, found, check, ids, (check_ids, check_roles, check_folds), json)
        return
    made = split_labels(found, _numbers(fractions), seed=seed, folds=folds)
    if out is not None:
        write_split(made, out)
    assert made.report is not None
    if json:
        print_json({"seed": seed, "hash": made.hash, "notes": list(found.notes), **made.report.to_dict()})
        return
    from equipoise.labels import _split_text as text

    for note in found.notes:
        console().print(note)
    print_table(*text.part_rows(made.report))
    print_table(*text.class_part_rows(made.report))
    for line in (*text.sentences(made.report), f"Hash {made.hash}"):
        console().print(line)
    console().print(f"Written to {out}." if out is not None else "Give --out split.csv to keep it.")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentError(f"`--fractions` must be three numbers such as 0.7,0.15,0.15; got {text!r}.") from error


def _check(
    table: Path,
    found: Labels,
    path: Path,
    ids: str | None,
    named: tuple[str | None, str | None, str | None],
    json: bool,
) -> None:
    from equipoise.labels import check_split

    id_column, roles, folds = named
    checked = check_split(
        path, found, ids=id_column or _id_column(path, ids), roles=roles, folds=folds,
        contents=_contents(table, found, ids),
    )  # fmt: skip
    if json:
        print_json(checked.to_dict())
    else:
        _show(checked)
    if not checked.ok:
        raise SystemExit(1)


def _id_column(path: Path, ids: str | None) -> str:
    """Return the checked file's column of ids: ``id``, as Equipoise writes it, or the name it has in the table."""
    from equipoise.labels import open_table

    if ids is None or path.suffix.casefold() == ".npz":
        return "id"
    names = open_table(path).columns
    return ids if ids in names and "id" not in names else "id"


def _contents(table: Path, found: Labels, ids: str | None) -> Any:
    """Return a hash of each row without its id, to find copies; None where the table has nothing else to compare."""
    if table.suffix.casefold() == ".npz":
        return None
    from equipoise.labels.table import hash_rows

    contents = hash_rows(table, [ids] if ids is not None else [])
    return contents[found.row_numbers] if contents is not None else None


def _show(checked: SplitCheck) -> None:
    printer = console()
    printer.print(f"{checked.rows:,} rows in {', '.join(checked.parts)}.")
    for finding in checked.findings:
        printer.print(
            f"{finding.severity}: {finding.message}", style="red" if finding.severity == "error" else "yellow"
        )
    if not checked.findings:
        printer.print("Nothing wrong was found.")
