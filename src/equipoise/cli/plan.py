"""`equipoise plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError
from equipoise.cli._figures import check_figure
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
    StrengthOption,
    TargetOption,
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
    from equipoise.balance import Frontier, SamplingPlan
    from equipoise.labels import Labels


def plan(  # every flag is an argument
    table: Annotated[Path, typer.Argument(help="A table of labels.", show_default=False)],
    labels: LabelsOption = None,
    separator: SeparatorOption = None,
    ids: IdsOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    uncertain: UncertainOption = None,
    unknown: UnknownOption = "unknown",
    positive: PositiveOption = None,
    classes: ClassesOption = None,
    target: TargetOption = "uniform",
    strength: StrengthOption = 1.0,
    max_repeats: Annotated[
        str, typer.Option("--max-repeats", help="Most draws of one row in an epoch, at least 1; none for no limit.")
    ] = "20",
    negatives_share: Annotated[
        str | None,
        typer.Option("--negatives-share", help="Share of draws without a finding; free, or kept when not given."),
    ] = None,
    draws: Annotated[int | None, typer.Option("--draws", help="Draws an epoch. Default: the number of rows.")] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="An older sampler by name, such as max or repeat_factor.")
    ] = None,
    frontier: Annotated[
        bool, typer.Option("--frontier", help="Show what balance costs, for strengths, caps and older samplers.")
    ] = False,
    figure: Annotated[Path | None, typer.Option("--figure", help="Where to draw the frontier, as PNG.")] = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Plan how often each row is drawn, so that classes have the shares you ask for at the least cost.

    --out plan.json keeps the plan; --out weights.csv writes the weight of every row, summing to one.
    """
    _check_files(out, figure, overwrite, sources=(table, Path(target)))
    from equipoise.labels import read_labels

    found = read_labels(
        table, columns(labels), separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain,
        unknown=unknown, positive=positive, classes=columns(classes),
    )  # fmt: skip
    wanted = _target(target)
    share = _number(negatives_share, "--negatives-share", "free")
    made = _plan(
        found, method, wanted,
        {"strength": strength, "max_repeats": _number(max_repeats, "--max-repeats", "none"),
         "negatives_share": share, "draws": draws},
    )  # fmt: skip
    shown = None
    if frontier or figure is not None:
        from equipoise.balance import frontier as make_frontier

        shown = make_frontier(found, wanted, negatives_share=share, draws=draws)
    if json:
        print_json(_summary(made, shown))
    else:
        _print(made, shown if frontier else None, found)
    if figure is not None:
        _draw(figure, shown)
    if out is not None:
        _write(out, made, found)
    if not json:
        for path in filter(None, (out, figure)):
            console().print(f"Wrote {path}.")


def _check_files(out: Path | None, figure: Path | None, overwrite: bool, *, sources: tuple[Path, ...]) -> None:
    if out is not None and out.suffix.casefold() not in (".json", ".csv"):
        raise ArgumentError(f"`--out` must end in .json (the plan) or .csv (a weight a row); got {out}.")
    check_free(out, overwrite, source=sources)
    check_figure(figure, None, overwrite, source=sources, out=out)


def _number(text: str | None, flag: str, word: str) -> Any:
    """Return a number, or what `word` stands for: None for "none", itself otherwise."""
    if text is None:
        return None
    if text.casefold() == word:
        return None if word == "none" else word
    try:
        return float(text)
    except ValueError:
        raise ArgumentError(f'`{flag}` must be a number or "{word}"; got "{text}".') from None


def _target(text: str) -> Any:
    if Path(text).suffix.casefold() != ".json" and not Path(text).is_file():
        return text
    from equipoise._files import read_json

    return read_json(text)


def _plan(found: Labels, method: str | None, wanted: Any, settings: dict[str, Any]) -> SamplingPlan:
    from equipoise.balance import plan_heuristic, plan_sampling

    if method is None:
        return plan_sampling(found, wanted, **settings)
    idle = [
        name
        for name, usual in (("strength", 1.0), ("max_repeats", 20.0), ("negatives_share", None))
        if settings[name] != usual
    ]
    if idle or wanted != "uniform":
        flag = idle[0].replace("_", "-") if idle else "target"
        raise ArgumentError(f"`--method {method}` does not read --{flag}: older samplers have no target. Leave it out.")
    return plan_heuristic(found, method, draws=settings["draws"])


def _summary(made: SamplingPlan, shown: Frontier | None) -> dict[str, Any]:
    """Return the plan with its figures, without the table of label combinations, which `--out` keeps."""
    value = made.to_dict()
    value.pop("combinations")
    for name in ("shares", "natural_shares", "expected_prevalence", "prevalence", "log_odds_shift"):
        value[name] = [number if abs(number) < float("inf") else None for number in getattr(made, name).tolist()]
    for name in (
        "rows", "variation", "effective_sample_size", "repeats", "distinct_rows", "divergence", "negatives_share",
        "natural_negatives_share", "shift_quality",
    ):  # fmt: skip
        value[name] = getattr(made, name)
    value["combinations"] = len(made.combination_counts)
    if shown is not None:
        value["frontier"] = shown.to_dict()
    return value


def _print(made: SamplingPlan, shown: Frontier | None, found: Labels) -> None:
    from equipoise.balance._plan_text import HEADER

    combinations = len(made.combination_counts)
    console().print(f"{found.source}: {made.task}, {made.rows:,} rows, {combinations:,} label combinations")
    print_table(HEADER, made.class_rows())
    for line in (*made.sentences(), *found.notes):
        console().print(line)
    if shown is not None:
        print_table(shown.header, shown.rows(), title="What balance costs")


def _write(path: Path, made: SamplingPlan, found: Labels) -> None:
    if path.suffix.casefold() == ".json":
        from equipoise._files import write_json

        write_json(path, made.to_dict())
        return
    import polars

    from equipoise._files import replacing

    rows = polars.DataFrame({"id": polars.Series(found.ids.tolist()), "weight": made.sample_weights})
    with replacing(path) as temporary:
        rows.write_csv(temporary)


def _draw(path: Path, shown: Frontier | None) -> None:
    from equipoise.report import plot_frontier
    from equipoise.report._style import write_figure

    assert shown is not None
    write_figure(plot_frontier(shown), path)
