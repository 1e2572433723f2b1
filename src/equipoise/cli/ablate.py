"""`equipoise ablate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError, EquipoiseError, listed
from equipoise.cli._options import (
    ClassesOption,
    GroupsOption,
    IdsOption,
    JsonOption,
    LabelsOption,
    OutOption,
    PositiveOption,
    SeparatorOption,
    TaskOption,
    UncertainOption,
    console,
    data_section,
    print_json,
)

if TYPE_CHECKING:
    from equipoise.ablation.launch import Launched
    from equipoise.ablation.matrix import Matrix

_TABLES = (".csv", ".tsv", ".parquet", ".npz", ".gz", ".xz", ".bz2", ".zst", ".txt")


SourceArgument = Annotated[
    str | None,
    typer.Argument(metavar="MATRIX|TABLE", help="A matrix file, a ready one's name, an ablation, or a table."),
]
TableArgument = Annotated[str | None, typer.Argument(metavar="[TABLE]", help="The table of a ready matrix.")]
OnOption = Annotated[str, typer.Option("--on", help="local, ray, or the address of a Ray cluster.")]
SeedsOption = Annotated[str | None, typer.Option("--seeds", help="How many training seeds; or the seeds: 0,1,7.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=1, help="Cells at a time. Default: all cores.")]
CpusOption = Annotated[int, typer.Option("--cpus", min=1, help="Processors a cell, on Ray.")]
BudgetOption = Annotated[
    str | None, typer.Option("--budget", help="Time, such as 2h: drop the worse arms early where it is short.")
]
BaseOption = Annotated[str | None, typer.Option("--base", help="Another base recipe than the matrix names.")]
UnknownWordOption = Annotated[
    str | None, typer.Option("--unknown", help="What unknown labels become: unknown, negative, positive or drop.")
]
ImagesOption = Annotated[
    Path | None, typer.Option("--images", help="Folder of the images that the column image names; or an .npz.")
]
ImageOption = Annotated[str | None, typer.Option("--image", help="The column of images, if not called image.")]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key for all arms; repeatable.")
]
MetricOption = Annotated[str | None, typer.Option("--metric", help="What the arms are compared in.")]
AgainOption = Annotated[
    bool, typer.Option("--overwrite", help="Train cells again that are there under another recipe, or were edited.")
]
PlanOption = Annotated[bool, typer.Option("--plan", help="Show what would be trained, and train nothing.")]
ListOption = Annotated[bool, typer.Option("--list", help="List the ready matrices.")]
PrintOption = Annotated[str | None, typer.Option("--print", metavar="NAME", help="Print a ready matrix.")]


def ablate(
    source: SourceArgument = None,
    table: TableArgument = None,
    on: OnOption = "local",
    seeds: SeedsOption = None,
    workers: WorkersOption = None,
    cpus: CpusOption = 1,
    budget: BudgetOption = None,
    base: BaseOption = None,
    labels: LabelsOption = None,
    separator: SeparatorOption = None,
    ids: IdsOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    uncertain: UncertainOption = None,
    unknown: UnknownWordOption = None,
    positive: PositiveOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    image: ImageOption = None,
    settings: SettingsOption = None,
    metric: MetricOption = None,
    out: OutOption = None,
    overwrite: AgainOption = False,
    plan: PlanOption = False,
    list_: ListOption = False,
    print_: PrintOption = None,
    json: JsonOption = False,
) -> None:
    """Train arms that differ in one thing on equal terms, over seeds, and say which helps.

    A ready matrix on a table: **equipoise ablate balance table.csv --labels a,b,c --groups patient**. One of your own:
    **equipoise ablate mine.yaml**. An ablation that was cut goes on: **equipoise ablate runs/balance**, or the same
    command again. A confounded matrix (10 against 20 epochs) is refused.
    """
    if list_ or print_ is not None or source is None:
        _show_matrices(print_, json)
        return
    given = data_section(
        labels=labels, separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain, unknown=unknown,
        positive=positive, classes=classes, images=images, image=image,
    )  # fmt: skip
    matrix = _matrix(source, table, given, settings or [], base, seeds, metric)
    if plan and (matrix.recipe.data.table is not None or matrix.recipe.data.images is not None):
        _require_trainable(matrix, on)
    out = out or (Path(source) if Path(source).is_dir() else Path("runs") / matrix.name)
    if not json or plan:
        _show_plan(matrix, on, workers)
    if not plan:
        launched = _launch(matrix, out, budget, on=on, workers=workers, cpus=cpus, overwrite=overwrite, shown=not json)
        _show(launched, json=json)


def _show_plan(matrix: Matrix, on: str, workers: int | None) -> None:
    from equipoise.ablation.launch import plan_text

    for line in plan_text(matrix, on, workers):
        console().print(line)


def _require_trainable(matrix: Matrix, on: str) -> None:
    """See to the data that a plan names, as the training would; a plan without data is only shown."""
    from equipoise.ablation._trainable import require_trainable

    require_trainable(matrix, on=on)


def _launch(matrix: Matrix, out: Path, budget: str | None, **how: Any) -> Launched:
    from equipoise.ablation.launch import run_matrix, seconds_of

    try:
        return run_matrix(matrix, out, budget=None if budget is None else seconds_of(budget), **how)
    except KeyboardInterrupt:
        console(stderr=True).print(f"Stopped. It goes on where it was with: equipoise ablate {out}")
        raise SystemExit(130) from None


def _matrix(
    source: str,
    table: str | None,
    given: dict[str, Any],
    overrides: list[str],
    base: str | None,
    seeds: str | None,
    metric: str | None,
) -> Matrix:
    from equipoise.ablation import packaged_matrices, read_matrix

    if source not in packaged_matrices() and Path(source).suffix.casefold() in _TABLES:
        if table is not None:
            raise ArgumentError(f"{source} and {table} are both tables. Give a matrix and a table, or one table.")
        source, table = "balance", source
    if table is not None:
        if not Path(table).exists():
            raise ArgumentError(f"{table} does not exist. Check the path of the table.")
        given["table"] = str(table)
        if Path(table).suffix.casefold() == ".npz":
            given["images"] = given["images"] or table
            overrides = [f"split.file={table}", *overrides]
    if given["images"] is not None and base is None and source == "balance":
        base = "images"
    return read_matrix(source, overrides, base=base, data=given, seeds=_seeds(seeds), metric=metric)


def _seeds(text: str | None) -> int | list[int] | None:
    if text is None:
        return None
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentError(f"--seeds {text}: must be a number of seeds, such as 5, or seeds, such as 0,1,7.") from None
    return found[0] if len(found) == 1 and "," not in text else found


def _show_matrices(name: str | None, json: bool) -> None:
    from equipoise.ablation import packaged_matrices
    from equipoise.ablation._read import locate
    from equipoise.recipe import recipe_summary

    if name is not None:
        sys.stdout.write(locate(name).read_text(encoding="utf-8"))
        return
    summaries = {known: recipe_summary(path) for known, path in packaged_matrices().items()}
    if json:
        print_json(summaries)
        return
    width = max(map(len, summaries))
    for known, summary in summaries.items():
        console().print(f"{known:<{width}}  {summary}")
    console().print("\nPrint one with: equipoise ablate --print NAME      Run with: equipoise ablate NAME TABLE")


def _show(launched: Launched, *, json: bool) -> None:
    """Print what became of the cells; the exit status is 1 where some failed."""
    if json:
        print_json(
            {
                "folder": str(launched.path),
                "finished": list(launched.finished),
                "trained": list(launched.trained),
                "failed": dict(launched.failed),
                "dropped": [dict(one) for one in launched.dropped],
            }
        )
    else:
        screen = console()
        kept = len(launched.finished) - len(launched.trained)
        earlier = f", {kept} of them earlier" if kept else ""
        screen.print(f"\n{len(launched.finished)} cells are finished{earlier}. Folder  {launched.path}")
        for sentence in _failures(launched):
            screen.print(sentence)
        for one in launched.dropped:
            screen.print(f"{one['arm']} was dropped after {one['seeds']} of the seeds: {one['why']}.")
    _judge(launched.path, json=json)
    if launched.failed:
        raise SystemExit(1)


def _failures(launched: Launched) -> list[str]:
    """Return what failed, a message of several cells once."""
    by_message: dict[str, list[str]] = {}
    for name, message in launched.failed.items():
        by_message.setdefault(message, []).append(name)
    return [
        f"{names[0] if len(names) == 1 else f'{len(names)} cells ({listed(names)})'} failed: {message}"
        for message, names in by_message.items()
    ]


def _judge(path: Path, *, json: bool) -> None:
    """Write the verdict on rows of the validation role and the page, and show them; the test role stays closed."""
    from equipoise.ablation.verdict import write_verdict
    from equipoise.cli.verdict import show_verdicts
    from equipoise.report.page import write_page

    screen = console(stderr=json)
    try:
        found = write_verdict(path)
        page = write_page(path)
    except EquipoiseError as error:  # what is finished is kept: every cell of the reference may have failed
        screen.print(f"Not judged: {error}")
        return
    if not json:
        show_verdicts(found)
        screen.print(
            f"\nPage        {page}\n\nNext:\n  judge on rows nobody has looked at\n    equipoise verdict {path} --test"
        )
