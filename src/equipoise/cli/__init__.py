"""The command line. Each command is a file of its own, loaded only when it is asked for."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from equipoise._checks import EquipoiseError, printable

# Command -> the line shown by `equipoise --help`. The file equipoise/cli/<command>.py holds the function <command>.
COMMANDS = {
    "census": "Count classes in a table of labels, or pixels and images of each class in masks.",
    "weights": "Show every weighting scheme side by side, and say what each weight does.",
    "plan": "Plan how often each row is drawn, and show what balance costs.",
    "preflight": "Prove what a sampler will draw before the first step.",
    "split": "Split rows into train, validation and test with groups kept whole.",
    "check": "Read every image of a table: unreadable, truncated, blank, or the same picture twice.",
    "train": "Train from a table or a recipe, fit thresholds, judge on the test role.",
    "ablate": "Train arms that differ in one thing on equal terms, over seeds, and say which helps.",
    "runs": "List runs and ablations, filter them, or show where two recipes differ.",
    "decide": "Fit thresholds on validation scores from any model.",
    "evaluate": "Judge scores with a decision rule: every metric with interval and support.",
    "prevalence": "Show what thresholds do where a class is more or less common, and move the rule there.",
    "compare": "Compare two models on the same rows: difference, interval, p-value, one sentence.",
    "verdict": "Say what each arm of an ablation did: helps, hurts, no worse, or cannot tell.",
    "diagnose": "List what the guard found while a run was trained, on what evidence, and what to change.",
    "ledger": "Show every correction that a run was trained under, and the way back.",
    "report": "Write one HTML file that explains a run or an ablation, to open, print and send.",
    "track": "Send a run to MLflow or TensorBoard: what was not sent yet, once.",
    "log": "Write EXPERIMENTS.md: every run and ablation, from their folders.",
    "predict": "Apply a finished run to a new table.",
    "models": "Show what models of images cost: parameters, operations, memory, time on one thread.",
    "recipes": "List the recipes that come with Equipoise, or print one.",
    "demo": "Count, split, train, decide and judge on a real data set, in one command.",
    "version": "Print the version of Equipoise and of what it stands on.",
}


class _LazyGroup(TyperGroup):
    """A command group that imports a command's file when the command is looked up, not before."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"equipoise.cli.{cmd_name}")
        single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        single.command(name=cmd_name, help=getattr(module, cmd_name).__doc__ or COMMANDS[cmd_name])(
            getattr(module, cmd_name)
        )
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train, judge and use classifiers whose classes are lopsided.",
)


@app.callback()
def _root() -> None:
    pass


def main() -> None:
    """Run the command line; errors that the user can put right are printed without a traceback, exit status 2."""
    for name in ("stdout", "stderr"):  # closed by who started us (`>&-`): what is said there is heard by nobody
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    try:
        app()
    except EquipoiseError as error:
        raise SystemExit(_refused(str(error))) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:  # the rooms name what they read and write; this is for what none of them foresaw
        place = f"{error.filename}: " if error.filename is not None else ""
        raise SystemExit(
            _refused(f"{place}{error.strerror or error}. Check the path, its rights and the disk.")
        ) from None
    except MemoryError:
        raise SystemExit(_refused("There is not enough memory for this. Use fewer rows or columns.")) from None


def _refused(message: str) -> int:
    sys.stderr.write(f"equipoise: {printable(message)}\n")
    return 2
