"""`equipoise weights`."""

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
    SeparatorOption,
    TaskOption,
    UncertainOption,
    UnknownOption,
    check_free,
    columns,
    console,
    print_json,
)

if TYPE_CHECKING:
    from equipoise.balance import WeightsTable
    from equipoise.labels import Census


def weights(  # every flag is an argument
    table: Annotated[Path, typer.Argument(help="A table of labels, or a census.json.", show_default=False)],
    labels: LabelsOption = None,
    separator: SeparatorOption = None,
    ids: IdsOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    uncertain: UncertainOption = None,
    unknown: UnknownOption = "unknown",
    positive: PositiveOption = None,
    classes: ClassesOption = None,
    scheme: Annotated[
        str | None,
        typer.Option("--scheme", help="Scheme of the weights to show as chosen and to write. Default: sqrt."),
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="pos_weight or class_weight. Default: by task.")] = None,
    multiplier: Annotated[float, typer.Option("--multiplier", help="Factor on every weight.")] = 1.0,
    floor: Annotated[float | None, typer.Option("--floor", help="Smallest weight.")] = None,
    cap: Annotated[float | None, typer.Option("--cap", help="Largest weight.")] = None,
    normalise: Annotated[str, typer.Option("--normalise", help="none, mean or sum (to one).")] = "none",
    power: Annotated[float | None, typer.Option("--power", help="Exponent of power and smoothed.")] = None,
    beta: Annotated[float | None, typer.Option("--beta", help="beta of effective_number, in [0, 1).")] = None,
    smoothing: Annotated[float | None, typer.Option("--smoothing", help="s of smoothed.")] = None,
    value: Annotated[
        list[str] | None, typer.Option("--value", help='Weight by hand, such as "Hernia=8". May be repeated.')
    ] = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Show every weighting scheme side by side, and say what each weight does.

    The chosen weights (--scheme, --floor, --cap, ...) stand in the last column and are written to --out.
    """
    check_free(out, overwrite, source=table)
    census = _census(
        table,
        {
            "columns": columns(labels), "separator": separator, "ids": ids, "groups": groups, "task": task,
            "uncertain": uncertain, "unknown": unknown, "positive": positive, "classes": columns(classes),
        },
    )  # fmt: skip
    from equipoise.balance import class_weights, weights_table

    settings = {
        "multiplier": multiplier, "floor": floor, "cap": cap, "normalise": normalise, "power": power, "beta": beta,
        "smoothing": smoothing, "kind": kind, "values": _by_hand(value),
    }  # fmt: skip
    asked = out is not None or scheme is not None or any(
        setting not in (None, 1.0, "none") for setting in settings.values()
    )  # fmt: skip
    chosen = class_weights(census, scheme or "sqrt", **settings) if asked else None  # type: ignore[arg-type]
    shown = weights_table(census, chosen)
    if json:
        print_json(shown.to_dict())
    else:
        _print(shown, census)
    if out is not None and chosen is not None:
        from equipoise._files import write_json

        write_json(out, chosen.to_dict())
        if not json:
            console().print(f"Written to {out}.")


def _census(path: Path, settings: dict[str, Any]) -> Census:
    if path.suffix.casefold() == ".json":
        from equipoise._files import read_json
        from equipoise.labels import Census

        given = [name for name, setting in settings.items() if setting not in (None, "unknown")]
        if given:
            raise ArgumentError(
                f"{path} is a census, whose labels are counted already; --{given[0]} has no use. Leave it out, "
                "or give the table."
            )
        return Census.from_dict(read_json(path))
    from equipoise.labels import count_file

    return count_file(path, **settings)


def _by_hand(values: list[str] | None) -> dict[str, float] | None:
    by_hand: dict[str, float] = {}
    for text in values or []:
        name, equals, number = text.rpartition("=")
        try:
            by_hand[name] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise ArgumentError(f'`--value` must be a class and its weight, such as "Hernia=8"; got "{text}".')
    return by_hand or None


def _print(shown: WeightsTable, census: Census) -> None:
    out = console()
    out.print(f"{census.source}: {census.task}, {census.rows:,} {census.unit}; {shown.kind} by scheme")
    for lines in shown.blocks(out.width if out.is_terminal else None):
        for number, line in enumerate(lines):
            out.print(line, style="bold" if number < 2 else None, no_wrap=True, overflow="ignore", crop=False)
    for text in (*shown.sentences, *census.notes):
        out.print(text)
    for warning in shown.warnings:
        out.print(f"Warning: {warning}", style="yellow")
