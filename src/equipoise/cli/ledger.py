"""`equipoise ledger`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli._mask_runs import is_mask_run, mask_ledger_sentences
from equipoise.cli._options import JsonOption, console, print_json, print_table


def ledger(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Show every correction that a run was trained under, the prior they imply, and the way back.

    The run need not be finished: the ledger is written before the first step.
    """
    from equipoise.balance import Ledger
    from equipoise.balance import _ledger_text as text
    from equipoise.runs import Run

    opened = Run.open(run)
    found = Ledger.from_dict(opened.read_record("ledger"))
    without_prior = mask_ledger_sentences(opened) if is_mask_run(run) else []
    sentences = without_prior or [*found.sentences(), text.exactness_sentence(found)]
    if json:
        print_json(
            {
                "run": str(run),
                "kind": found.kind,
                "corrections": text.entry_records(found),
                "classes": text.class_records(found),
                "sentences": sentences,
                "warnings": list(found.warnings()),
            }
        )
        return
    screen = console()
    if found.corrections:
        print_table(text.entry_header(), text.entry_rows(found), title="Corrections in force")
    if not without_prior:
        print_table(text.header(found), text.class_rows(found), title="What the model was told")
    for sentence in sentences:
        screen.print(sentence)
    for sentence in found.warnings():
        screen.print(f"Warning: {sentence}", style="bold red")
