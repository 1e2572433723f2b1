"""`equipoise track`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from equipoise._checks import check_one_of
from equipoise.cli._options import console

_KINDS = ("mlflow", "tensorboard")


def track(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or not.", show_default=False)],
    to: Annotated[
        str | None, typer.Option("--to", help="mlflow or tensorboard. Default: what the recipe of the run says.")
    ] = None,
    uri: Annotated[
        str | None,
        typer.Option("--uri", help="MLflow server or database (http://..., sqlite:///...), or folder of TensorBoard."),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", help="Experiment of MLflow. Default: the name of the recipe.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", hidden=True)] = False,
) -> None:
    """Send a run to MLflow or TensorBoard: parameters, figures of every epoch, records, model and figures.

    Only what was not sent yet is sent, so it can be repeated at any time. No row of the data leaves: no scores, no ids,
    no pictures.
    """
    from equipoise.tracking import follow_run, send_run

    if to is not None:
        check_one_of(to, _KINDS, argument="--to", function="track")
    if follow:  # beside a training: its end of the pipe closes when it ends, however it ends
        ended = threading.Event()
        threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
        sent = follow_run(run, ended, kind=to, uri=uri, experiment=experiment)
        raise SystemExit(0 if sent is not None else 1)
    done = send_run(run, to, uri=uri, experiment=experiment)
    what = f"{done.events:,} epochs and {done.files:,} files"
    console().print(f"{what} sent to {done.address}." + ("" if done.complete else " The run is not finished yet."))


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.buffer.read()
    ended.set()
