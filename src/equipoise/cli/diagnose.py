"""`equipoise diagnose`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise.cli._options import JsonOption, console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from equipoise.report.diagnosis import Diagnosis, Found

_STYLES = {"collapse": "bold red", "warning": "bold yellow", "note": "bold"}


def diagnose(
    run: Annotated[Path, typer.Argument(help="A run folder, finished or not.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """List what the guard found while a run was trained: what is wrong, where, on what evidence, and what to change.

    The run need not be finished. Nothing is computed anew: all of it is in events.jsonl. The exit status is 0 whatever
    was found; **--json** says "collapsed" where the model tells nothing from the rest.
    """
    from equipoise.report import diagnose as diagnose_run
    from equipoise.runs import Run

    opened = Run.open(run)
    found = diagnose_run(opened)
    if json:
        print_json({"run": str(run), "finished": opened.is_done, **found.to_dict()})
        return
    _show(found, run, finished=opened.is_done)


def _show(found: Diagnosis, run: Path, *, finished: bool) -> None:
    screen = console()
    screen.print(f"{run}: {found.headline()}" + ("" if finished else " The run is not finished."))
    if not found.found and found.epochs:
        screen.print(f"Looked for: {found.looked_for}.")
    heading = ""
    for one in found.found:
        if heading != (heading := f"{one.heading} ({one.severity})"):
            screen.print(f"\n{heading}", style=_STYLES.get(one.severity))
        _show_one(screen, one)
    if found.passed:
        screen.print("\nSeen in training, but not in the kept models")
        for one in found.passed:
            screen.print(f"  {_flat(one.last.sentence)} Seen: {one.where()}.")
    if found.damaged:
        lines = ", ".join(map(str, found.damaged[:20])) + (" and more" if len(found.damaged) > 20 else "")
        screen.print(
            f"\nevents.jsonl is damaged and was read without line {lines}. Restore the file, or train again.",
            style="bold red",
        )


def _show_one(screen: Console, one: Found) -> None:
    last = one.last
    screen.print(f"  {_flat(last.sentence)}")
    screen.print(f"    Seen: {one.where()}.")
    if last.remedy:
        screen.print(f"    Remedy: {_flat(last.remedy)}")
    if last.settings:
        screen.print("    " + " ".join(f"--set {_setting(key, value)}" for key, value in last.settings.items()))


def _setting(key: str, value: object) -> str:
    from json import dumps

    return shlex.quote(f"{key}={value if isinstance(value, str) else dumps(value)}")


def _flat(text: str) -> str:
    return " ".join(text.split())
