"""`equipoise preflight`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError, DataError, check_number
from equipoise.cli._figures import check_figure
from equipoise.cli._options import (
    ClassesOption,
    GroupsOption,
    IdsOption,
    JsonOption,
    LabelsOption,
    OverwriteOption,
    PositiveOption,
    SeedOption,
    SeparatorOption,
    StrengthOption,
    TargetOption,
    TaskOption,
    UncertainOption,
    UnknownOption,
    columns,
    console,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from equipoise.balance import ClassWeights, Preflight, SamplingPlan
    from equipoise.labels import Labels


def preflight(  # every flag is an argument
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
    plan: Annotated[Path | None, typer.Option("--plan", help="A plan.json; else one is made.")] = None,
    target: TargetOption = "uniform",
    strength: StrengthOption = 1.0,
    max_repeats: Annotated[
        float, typer.Option("--max-repeats", help="Most draws of one row in an epoch, at least 1; inf for no limit.")
    ] = 20.0,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Rows of a batch of one rank.")] = 32,
    batches: Annotated[int, typer.Option("--batches", help="Batches to look at, all ranks together.")] = 2000,
    ranks: Annotated[int, typer.Option("--ranks", help="Processes that draw.")] = 1,
    replacement: Annotated[
        bool, typer.Option("--replacement/--in-turn", help="Independent draws, or each row as evenly as planned.")
    ] = True,
    indices: Annotated[
        list[Path] | None,
        typer.Option("--indices", help="Row numbers that a sampler drew (.npy, or one a line); one file a rank."),
    ] = None,
    scheme: Annotated[str | None, typer.Option("--weights", help="Scheme of class weights in the loss.")] = None,
    initial: Annotated[
        str, typer.Option("--initial", help="What the model says at first: half (equal shares) or prevalence.")
    ] = "half",
    seed: SeedOption = 0,
    strict: Annotated[bool, typer.Option("--strict", help="A failed check is an error (exit status 2).")] = False,
    figure: Annotated[Path | None, typer.Option("--figure", help="Where to draw the four panels, as PNG.")] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Prove what a sampler will draw before the first step: from labels alone, nothing is trained.

    Without --indices the sampler of this library is judged; with it, row numbers that any other sampler drew.
    """
    check_figure(figure, None, overwrite, source=(table, plan, *(indices or ())), out=None)
    from equipoise.balance import preflight as judge
    from equipoise.labels import read_labels

    check_number(ranks, argument="--ranks", function="preflight", at_least=1)
    found = read_labels(
        table, columns(labels), separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain,
        unknown=unknown, positive=positive, classes=columns(classes),
    )  # fmt: skip
    made = _plan(found, plan, target, strength, max_repeats)
    judged = judge(
        _sampler(made, indices, ranks, seed, replacement), found, plan=made, batch_size=batch_size, batches=batches,
        weights=_weights(found, scheme), probabilities=_initial(found, initial),
    )  # fmt: skip
    if json:
        print_json(judged.to_dict())
    else:
        _print(judged, found)
    if figure is not None:
        _draw(judged, figure, told=not json)
    if strict:
        judged.require()


def _plan(found: Labels, path: Path | None, target: str, strength: float, max_repeats: float) -> SamplingPlan:
    from equipoise._files import read_json
    from equipoise.balance import SamplingPlan, plan_sampling

    if path is not None:
        given = {"--target": (target, "uniform"), "--strength": (strength, 1.0), "--max-repeats": (max_repeats, 20.0)}
        idle = [flag for flag, (value, usual) in given.items() if value != usual]
        if idle:
            raise ArgumentError(f"{idle[0]} is for a plan that is made; {path} is made already. Leave one of them out.")
        return SamplingPlan.from_dict(read_json(path)).with_rows(found)
    wanted = read_json(target) if Path(target).suffix.casefold() == ".json" else target
    limit = None if max_repeats == float("inf") else max_repeats
    return plan_sampling(found, wanted, strength=strength, max_repeats=limit)


def _sampler(
    plan: SamplingPlan, indices: list[Path] | None, ranks: int, seed: int, replacement: bool
) -> list[NDArray[np.int64]] | list[Any]:
    if indices:
        return [_read_indices(path) for path in indices]
    from equipoise.samplers.stream import IndexStream, RankStream

    stream = IndexStream(plan, seed=seed, replacement=replacement)
    return [RankStream(stream, rank, ranks) for rank in range(ranks)]


def _read_indices(path: Path) -> NDArray[np.int64]:
    import numpy as np

    try:
        if path.suffix.casefold() == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        return np.array([int(line) for line in path.read_text(encoding="utf-8").split()], dtype=np.int64)
    except OSError as error:
        raise DataError(f"{path} could not be read: {error.strerror or error}. Check the path.") from error
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path} holds no row numbers: {error}. Write one whole number a line, from 0.") from error


def _weights(found: Labels, scheme: str | None) -> ClassWeights | None:
    if scheme is None:
        return None
    from equipoise.balance import class_weights
    from equipoise.labels import count_labels

    return class_weights(count_labels(found), scheme)


def _initial(found: Labels, initial: str) -> NDArray[np.float64] | None:
    if initial not in ("half", "prevalence"):
        raise ArgumentError(f'`--initial` must be "half" or "prevalence"; got "{initial}".')
    if initial == "half":
        return None
    import numpy as np

    from equipoise.labels import count_labels

    return np.nan_to_num(count_labels(found).prevalence)


def _print(judged: Preflight, found: Labels) -> None:
    from equipoise.balance._preflight_text import HEADER

    console().print(f"{found.source}: {judged.task}, {judged.rows:,} rows")
    print_table(HEADER, judged.class_rows())
    for line in judged.sentences():
        failed = line in judged.failures
        console().print(f"Failed: {line}" if failed else line, style="bold red" if failed else None)


def _draw(judged: Preflight, path: Path, *, told: bool) -> None:
    from equipoise.report import plot_preflight
    from equipoise.report._style import write_figure

    write_figure(plot_preflight(judged), path)
    if told:
        console().print(f"Wrote {path}.")
