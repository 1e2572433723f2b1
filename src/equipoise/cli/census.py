"""`equipoise census`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise.cli._options import (
    ClassesOption,
    GroupsOption,
    IdsOption,
    JsonOption,
    LabelsOption,
    OutOption,
    OverwriteOption,
    PositiveOption,
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
    from equipoise.labels import Census


def census(
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
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Count classes, label combinations, unknowns and groups in a table of labels, of any length."""
    check_free(out, overwrite, source=table)
    from equipoise._files import write_json
    from equipoise.labels import count_file

    found = count_file(
        table, columns(labels), separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain,
        unknown=unknown, positive=positive, classes=columns(classes),
    )  # fmt: skip
    if out is not None:
        write_json(out, found.to_dict())
    if json:
        print_json(_summary(found))
        return
    show_census(found)
    if out is not None:
        console().print(f"Written to {out}.")


def show_census(found: Census) -> None:
    """Print a census: classes, the commonest combinations and pairs, and what stands out."""
    from equipoise.labels import _census_text as text

    lines = text.sentences(found)
    for note in (*found.notes, lines[0]):
        console().print(note)
    print_table(*text.class_rows(found))
    if rows := text.combination_rows(found):
        print_table(["label combination", "rows", "share"], rows, title="Most common label combinations")
    if rows := text.pair_rows(found):
        print_table(["pair", "rows", "share of the rarer"], rows, title="Most often positive together")
    for line in lines[1:]:
        console().print(line)


def _summary(found: Census) -> dict[str, object]:
    """Return the census with its rates, without the hashes of groups, which `--out` keeps."""
    value = found.to_dict()
    value.pop("group_sets")
    low, high = found.prevalence_interval
    per_class = found.groups_per_class
    value["groups_per_class"] = None if per_class is None else per_class.tolist()
    for name, column in (
        ("prevalence", found.prevalence),
        ("prevalence_low", low),
        ("prevalence_high", high),
        ("imbalance_ratio", found.imbalance_ratio),
    ):
        value[name] = [rate if abs(rate) < float("inf") else None for rate in column.tolist()]
    return value
