"""`equipoise predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise._checks import ArgumentError
from equipoise.cli._options import JsonOption, OutOption, OverwriteOption, check_free, console, print_json

_SHOWN = 10


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A table with the columns of the training.")],
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Apply a finished run to a new table: probabilities at the natural prevalence, and decisions.

    Writes id, p_CLASS and predicted_CLASS to **--out** (.csv or .parquet); without it, shows the first rows.
    """
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise ArgumentError(f"--out must end in .csv or .parquet; got {out.name}.")
    check_free(out, overwrite, source=table)
    from equipoise.training import predict as apply_run

    found = apply_run(run, table)
    frame = found.to_polars()
    for note in found.notes:
        console(stderr=True).print(note)
    if out is not None:
        from equipoise.scores import write_frame

        write_frame(frame, out)
    if json:
        print_json(frame.to_dicts())
    elif out is not None:
        console().print(f"{len(frame):,} rows written to {out}")
    else:
        _show(frame)


def _show(frame: object) -> None:
    import polars as pl
    from rich.table import Table

    assert isinstance(frame, pl.DataFrame)
    shown = Table()
    for name in frame.columns:
        shown.add_column(name, justify="right")
    for row in frame.head(_SHOWN).iter_rows():
        shown.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    console().print(shown)
    if len(frame) > _SHOWN:
        console().print(f"The first {_SHOWN} of {len(frame):,} rows. Give --out predictions.csv for all of them.")
