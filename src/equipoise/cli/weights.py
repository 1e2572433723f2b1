"""`equipoise weights`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError
from equipoise.cli._masks import (
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
)

if TYPE_CHECKING:
    from equipoise.balance import WeightsTable
    from equipoise.labels import Census, MaskCensus

SchemeOption = Annotated[
    str | None,
    typer.Option("--scheme", help="Scheme of the weights to show as chosen and to write. Default: sqrt."),
]
ByHandOption = Annotated[
    list[str] | None, typer.Option("--value", help='Weight by hand, such as "Hernia=8". May be repeated.')
]
BackgroundOption = Annotated[
    str, typer.Option("--background", help="Masks: include, exclude (it weighs 1), or its weight, a number.")
]
CountOption = Annotated[
    str | None,
    typer.Option("--count", help="Masks: pixels, images, or holding (pixels of the images that hold the class)."),
]
IntoOption = Annotated[
    Path | None, typer.Option("--into", help="Masks: a recipe; it is written to --out with the weights in it.")
]


def weights(  # every flag is an argument
    table: Annotated[Path, typer.Argument(help="A table of labels, masks, or a census.json.", show_default=False)],
    labels: LabelsOption = None,
    separator: SeparatorOption = None,
    ids: IdsOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    uncertain: UncertainOption = None,
    unknown: UnknownOption = "unknown",
    positive: PositiveOption = None,
    classes: ClassesOption = None,
    scheme: SchemeOption = None,
    kind: Annotated[str | None, typer.Option("--kind", help="pos_weight or class_weight. Default: by task.")] = None,
    multiplier: Annotated[float, typer.Option("--multiplier", help="Factor on every weight.")] = 1.0,
    floor: Annotated[float | None, typer.Option("--floor", help="Smallest weight.")] = None,
    cap: Annotated[float | None, typer.Option("--cap", help="Largest weight.")] = None,
    normalise: Annotated[str, typer.Option("--normalise", help="none, mean or sum (to one).")] = "none",
    power: Annotated[float | None, typer.Option("--power", help="Exponent of power and smoothed.")] = None,
    beta: Annotated[float | None, typer.Option("--beta", help="beta of effective_number, in [0, 1).")] = None,
    smoothing: Annotated[float | None, typer.Option("--smoothing", help="s of smoothed.")] = None,
    value: ByHandOption = None,
    masks: MasksOption = None,
    foreground: ForegroundOption = None,
    values: ValuesOption = None,
    ignore: IgnoreOption = None,
    background: BackgroundOption = "include",
    count: CountOption = None,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    into: IntoOption = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Show every weighting scheme side by side, and say what each weight does.

    The chosen weights (--scheme, --floor, --cap, ...) stand in the last column and are written to --out.
    """
    check_free(out, overwrite, source=(table if table.is_file() else None, into))
    settings = {
        "multiplier": multiplier, "floor": floor, "cap": cap, "normalise": normalise, "power": power, "beta": beta,
        "smoothing": smoothing, "values": _by_hand(value),
    }  # fmt: skip
    told = {
        "columns": columns(labels), "separator": separator, "ids": ids, "groups": groups, "task": task,
        "uncertain": uncertain, "unknown": unknown, "positive": positive, "classes": columns(classes),
    }  # fmt: skip
    pixels = {
        "foreground": foreground, "values": values, "ignore": ignore, "sample": sample, "workers": workers,
    }  # fmt: skip
    if are_masks(table, masks) or _is_mask_census(table):
        refuse_labels(table, **{name: found for name, found in told.items() if found != "unknown"}, kind=kind)
        counted = _counted_masks(table, masks, pixels, seed)
        _weigh_masks(counted, scheme, count, _policy(background), settings, into, out, json)
        return
    refuse_idle(table, **pixels, count=count, into=into, background=None if background == "include" else background)
    census = _census(table, told)
    _weigh_labels(census, scheme, settings | {"kind": kind}, out, json)


def _weigh_labels(census: Census, scheme: str | None, settings: dict[str, Any], out: Path | None, json: bool) -> None:
    """Print the weights of labels, and write the chosen ones."""
    from equipoise.balance import class_weights, weights_table

    asked = out is not None or scheme is not None or any(
        setting not in (None, 1.0, "none") for setting in settings.values()
    )  # fmt: skip
    chosen = class_weights(census, scheme or "sqrt", **settings) if asked else None
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


def _is_mask_census(path: Path) -> bool:
    if path.suffix.casefold() != ".json" or not path.is_file():
        return False
    from equipoise._files import read_json
    from equipoise.labels.mask_census import FORMAT

    stored = read_json(path)
    return isinstance(stored, dict) and stored.get("format") == FORMAT


def _counted_masks(path: Path, masks: str | None, given: dict[str, Any], seed: int) -> MaskCensus:
    if path.suffix.casefold() != ".json":
        return count_given(path, masks, seed=seed, **given)
    from equipoise._files import read_json
    from equipoise.labels import MaskCensus

    refuse_idle(path, masks=masks, **given)
    return MaskCensus.from_dict(read_json(path))


def _policy(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _weigh_masks(
    census: MaskCensus,
    scheme: str | None,
    count: str | None,
    background: str | float,
    settings: dict[str, Any],
    into: Path | None,
    out: Path | None,
    json: bool,
) -> None:
    """Print the weights of masks, and write them alone or into a recipe, with the counts they came from."""
    from equipoise.balance import mask_weights, weights_table
    from equipoise.balance.mask_weights import counts_of

    if into is not None and out is None:
        raise ArgumentError("`--into` takes a recipe and leaves it as it is. Say with --out where to write the other.")
    chosen = mask_weights(census, scheme or "inverse", count=count, background=background, **settings)
    shown = weights_table(census, chosen)
    if json:
        print_json(shown.to_dict() | {"counts_from": counts_of(census)})
    else:
        _print(shown, census)
    if out is None:
        return
    if into is not None:
        from equipoise._files import write_text
        from equipoise.recipe import recipe_with_weights

        write_text(out, recipe_with_weights(str(into), chosen, counts_of(census, chosen.name), folder=out.parent))
    else:
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


def _print(shown: WeightsTable, census: Census | MaskCensus) -> None:
    out = console()
    out.print(f"{census.source}: {census.task}, {census.rows:,} {census.unit}; {shown.kind} by scheme")
    for lines in shown.blocks(out.width if out.is_terminal else None):
        for number, line in enumerate(lines):
            out.print(line, style="bold" if number < 2 else None, no_wrap=True, overflow="ignore", crop=False)
    for text in (*shown.sentences, *census.notes):
        out.print(text)
    for warning in shown.warnings:
        out.print(f"Warning: {warning}", style="yellow")
