"""`equipoise predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise._checks import ArgumentError
from equipoise.cli._mask_runs import is_mask_run, predict_mask_run
from equipoise.cli._options import JsonOption, OutOption, OverwriteOption, check_free, console, print_json, print_table
from equipoise.runs import Run

if TYPE_CHECKING:
    from equipoise.training.predict import Predictions

_SHOWN = 10
_MOST_COLUMNS = 8


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE|IMAGES",
            help="A table with the columns of the training; of a run of masks a folder of images.",
        ),
    ],
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of the table's images, for a model of images.")
    ] = None,
    rule: Annotated[
        Path | None,
        typer.Option("--rule", help="A decision.json to decide by, instead of the rule of the run."),
    ] = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Apply a finished run to a new table: probabilities at the natural prevalence, and decisions.

    Writes id, p_CLASS and predicted_CLASS to **--out** (.csv or .parquet); without it, shows the first rows.

    Of a run of masks: **equipoise predict RUN images/ --out masks/** writes a mask for each image, of its type and with
    its georeference or affine. Stopped and called again, it goes on where it was.
    """
    if is_mask_run(run):
        if images is not None or rule is not None:
            raise ArgumentError("--images and --rule are for runs of rows; a run of masks has both. Leave them out.")
        predict_mask_run(run, table, out=out, overwrite=overwrite, json=json)
        return
    Run.open(run)  # a folder of folds is named, before its other arguments are judged
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise ArgumentError(f"--out must end in .csv or .parquet; got {out.name}.")
    check_free(out, overwrite, source=(table, run, rule))
    from equipoise.decision import read_rule
    from equipoise.training import ProgressBar
    from equipoise.training import predict as apply_run

    decides = None if rule is None else read_rule(rule)
    with ProgressBar() as watch:
        found = apply_run(run, table, images=images, rule=decides, watch=watch)
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
        show_predictions(found)


def show_predictions(found: Predictions) -> None:
    """Print the first rows: every probability of few classes, of many what is predicted, highest first."""
    frame = found.to_polars()
    if len(frame.columns) <= _MOST_COLUMNS:
        rows = [
            [f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row]
            for row in frame.head(_SHOWN).rows()
        ]
        print_table(frame.columns, rows)
    else:
        rows = [[str(found.ids[row]), _predicted(found, row)] for row in range(min(len(frame), _SHOWN))]
        print_table(("id", "predicted, with its probability"), rows)
    if len(frame) > _SHOWN:
        console().print(f"The first {_SHOWN} of {len(frame):,} rows. Give --out predictions.csv for all of them.")


def _predicted(found: Predictions, row: int) -> str:
    order = (-found.probabilities[row]).argsort(kind="stable").tolist()
    said = [f"{found.classes[i]} {found.probabilities[row, i]:.3f}" for i in order]
    positive = [text for i, text in zip(order, said, strict=True) if found.predictions[row, i]]
    return ", ".join(positive) or f"none; highest {said[0]}"
