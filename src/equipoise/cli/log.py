"""`equipoise log`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli._options import console


def log(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the run folders.")] = Path("runs"),
    out: Annotated[Path, typer.Option("--out", help="The log that is written.")] = Path("EXPERIMENTS.md"),
) -> None:
    """Write EXPERIMENTS.md: an index of every run and ablation, and a record of each, from their folders alone.

    The question and the decision of an experiment are yours: keys why and decision of the section log in its
    recipe.yaml (of an ablation: matrix.yaml). Everything else is computed, so a log that was edited by hand is not
    replaced.
    """
    from equipoise.report.log import write_log

    console().print(f"Written to {write_log(folder, out)}.")
