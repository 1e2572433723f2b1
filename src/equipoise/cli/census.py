"""`equipoise census`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise.cli._figures import check_png
from equipoise.cli._masks import (
    ComponentsOption,
    ForegroundOption,
    IgnoreOption,
    MasksOption,
    SampleOption,
    ValuesOption,
    WorkersOption,
    are_masks,
    count_given,
    refuse_idle,
    refuse_labels,
)
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
    from equipoise.labels import Census, MaskCensus


def census(
    table: Annotated[
        Path, typer.Argument(help="A table of labels (CSV, TSV, Parquet, .npz), or masks: a folder or an image.")
    ],
    labels: LabelsOption = None,
    separator: SeparatorOption = None,
    ids: IdsOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    uncertain: UncertainOption = None,
    unknown: UnknownOption = "unknown",
    positive: PositiveOption = None,
    classes: ClassesOption = None,
    masks: MasksOption = None,
    foreground: ForegroundOption = None,
    values: ValuesOption = None,
    ignore: IgnoreOption = None,
    components: ComponentsOption = False,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="Masks: where to draw the shares, as PNG.")] = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Count classes, label combinations, unknowns and groups in a table of labels, of any length.

    Of masks (a folder, one image or volume of any size, or a table with --masks): pixels and images of each class.
    """
    check_png(figure)
    check_free(figure, overwrite, source=table, flag="--figure", others={"--out": out})
    if are_masks(table, masks):
        check_free(out, overwrite, source=table if table.is_file() else None)
        refuse_labels(
            table, labels=labels, separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain,
            positive=positive, classes=classes,
        )  # fmt: skip
        counted = count_given(
            table, masks, foreground=foreground, values=values, ignore=ignore, sample=sample, seed=seed,
            components=components, workers=workers,
        )  # fmt: skip
        _finish(counted, out, figure, json)
        return
    check_free(out, overwrite, source=table)
    refuse_idle(
        table, foreground=foreground, values=values, ignore=ignore, components=components, sample=sample,
        workers=workers, figure=figure,
    )  # fmt: skip
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


def _finish(counted: MaskCensus, out: Path | None, figure: Path | None, json: bool) -> None:
    """Write, draw and print a census of masks."""
    if out is not None:
        from equipoise._files import write_json

        write_json(out, counted.to_dict())
    if figure is not None:
        from equipoise.report import plot_mask_shares
        from equipoise.report._style import write_figure

        write_figure(plot_mask_shares(counted), figure)
    if json:
        print_json(counted.to_dict() | _mask_rates(counted))
        return
    show_mask_census(counted)
    for path in (out, figure):
        if path is not None:
            console().print(f"Written to {path}.")


def show_mask_census(found: MaskCensus) -> None:
    """Print a census of masks: classes, connected parts, and what stands out."""
    from equipoise.labels import _mask_census_text as text

    lines = text.sentences(found)
    console().print(f"{found.source}: {lines[0]}")
    print_table(*text.class_rows(found))
    if found.components is not None:
        print_table(*text.component_rows(found), title="Connected parts, sizes in pixels")
    for line in (*lines[1:], *found.notes):
        console().print(line)


def _mask_rates(found: MaskCensus) -> dict[str, object]:
    low, high = found.prevalence_interval
    columns = {"prevalence": found.prevalence, "prevalence_low": low, "prevalence_high": high}
    return {name: [rate if abs(rate) <= 1 else None for rate in column.tolist()] for name, column in columns.items()}


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
