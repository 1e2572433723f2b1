"""`equipoise runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise._checks import ArgumentError
from equipoise.cli._options import JsonOption, console, print_json, print_table

_STATES = ("finished", "unfinished", "failed", "changed", "damaged")


def runs(
    folder: Annotated[Path, typer.Argument(help="Where to look, and in all folders inside.")] = Path("runs"),
    recipe: Annotated[str | None, typer.Option("--recipe", help="Only of this recipe or ablation.")] = None,
    status: Annotated[str | None, typer.Option("--status", help=f"Only of this status: {', '.join(_STATES)}.")] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="KEY=VALUE", help="Only where a recipe says so; repeatable.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option("--compare", metavar="A B", help="Show where two recipes differ.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List runs and ablations: when, which recipe, model and seed, how far, and the watched metric at its best.

    What differs between two: **equipoise runs --compare runs/a-1 runs/b-1**.
    """
    if compare is not None:
        _compare(*compare, json=json)
        return
    from equipoise.report.listing import ListedRun, find_runs

    if status is not None and status not in _STATES:
        raise ArgumentError(f"--status {status}: must be one of {', '.join(_STATES)}.")
    found = [
        run for run in find_runs(folder, where or ())
        if (recipe is None or recipe in (run.recipe, run.ablation)) and (status is None or run.status == status)
    ]  # fmt: skip
    if json:
        print_json([run.to_dict() for run in found])
    elif found:
        print_table(ListedRun.HEADINGS, [run.cells() for run in found])
    else:
        console().print(f"No run in {folder} is such. Train one with: equipoise train TABLE --labels a,b,c")


def _compare(one: Path, other: Path, *, json: bool) -> None:
    from equipoise.report.listing import read_run_recipe, recipe_differences

    found = recipe_differences(read_run_recipe(one), read_run_recipe(other))
    if json:
        print_json([{"key": key, "a": a, "b": b} for key, a, b in found])
    elif found:
        print_table(["key", str(one), str(other)], [[key, str(a), str(b)] for key, a, b in found])
    else:
        console().print(f"{one} and {other} were told the same.")
