"""`equipoise verdict`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise._checks import ArgumentError
from equipoise.cli._options import JsonOption, SeedOption, console, print_json, print_table

if TYPE_CHECKING:
    from equipoise.evidence import ArmVerdict, Verdicts
    from equipoise.evidence.verdict import Estimate

_AGAINST = {"free-fix": "free fix", "plain": "plain"}


def verdict(
    ablation: Annotated[
        Path, typer.Argument(help="The folder that `equipoise ablate` made.", metavar="ABLATION", show_default=False)
    ],
    metric: Annotated[
        str | None, typer.Option("--metric", help="As `evaluate` names it. Default: that of the matrix.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", help="A loss that does not matter. Default: that of the matrix.")
    ] = None,
    against: Annotated[
        str, typer.Option("--against", help="free-fix or plain: which comparison gives the verdict.")
    ] = "free-fix",
    test: Annotated[
        bool, typer.Option("--test", help="Open the test role: it is written down when, and how often.")
    ] = False,
    replicates: Annotated[int, typer.Option("--replicates", help="Bootstrap replicates.")] = 1000,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Say what each arm of an ablation did: helps, hurts, no worse, or cannot tell.

    Every arm is compared with plain training as it comes, and with the free fix: plain training whose probabilities are
    shifted back and whose thresholds are fitted, which costs no training. Rows of the validation role are judged until
    --test opens the test role.
    """
    from equipoise.ablation.verdict import write_verdict

    if against not in _AGAINST:
        raise ArgumentError(f"--against is free-fix or plain; got {against!r}.")
    found = write_verdict(
        ablation, metric=metric, margin=margin, against=_AGAINST[against], test=test, replicates=replicates, seed=seed
    )
    if json:
        print_json(found.to_dict())
        return
    show_verdicts(found)
    console().print(f"Written to {ablation / ('verdict-test.json' if test else 'verdict.json')}.")


def show_verdicts(found: Verdicts) -> None:
    """Print a line for each arm, a table of classes, the sentences and the notes."""
    printer = console()
    fix = found.free_fix
    rows = [
        (found.reference, _estimate(fix.raw), _estimate(fix.fixed), "", "", "", ""),
        *(_arm_cells(one, found) for one in found.arms),
    ]
    words = found.metric_words
    headings = (
        "arm", f"{words}, no fix", f"{words}, free fix", "over plain", "over free fix", "p adjusted", "verdict"
    )  # fmt: skip
    print_table(headings, rows, title=f"{found.cases:,} {found.unit} of the role {found.role}")
    if any(len(one.classes) > 1 for one in found.arms):
        print_table(*_class_table(found), title=_class_title(found))
    for sentence in found.sentences:
        printer.print(f"- {sentence}")
    for note in found.notes:
        printer.print(note)
    for arm in found.arms:
        for note in arm.notes:
            printer.print(note)


def _arm_cells(arm: ArmVerdict, found: Verdicts) -> tuple[str, ...]:
    judged = arm.against_plain if found.against == "plain" else arm.against_free_fix
    return (
        arm.name, _estimate(arm.raw), _estimate(arm.fixed),
        *(_change(one.difference, one.low, one.high) for one in (arm.against_plain, arm.against_free_fix)),
        "" if math.isnan(judged.adjusted_p) else f"{judged.adjusted_p:.2g}", arm.verdict,
    )  # fmt: skip


def _class_title(found: Verdicts) -> str:
    rival = "plain training" if found.against == "plain" else "the free fix"
    low, high = (f"{100 * bound:g} %" for bound in found.bounds)
    return f"{found.class_metric} by class over {rival}; rare: below {low}, common: from {high} (* shown)"


def _class_table(found: Verdicts) -> tuple[list[str], list[list[str]]]:
    """Return a row a class, from the rarest, and a column an arm; a star where the difference is shown."""
    first = max(found.arms, key=lambda one: len(one.classes))
    order = sorted(first.classes, key=lambda one: one.prevalence)
    by_arm = [{one.name: one for one in arm.classes} for arm in found.arms]
    rows = []
    for row in order:
        cells = [classes.get(row.name) for classes in by_arm]
        said = [
            "" if one is None or math.isnan(one.difference)
            else f"{one.difference:+.3f}{'*' if one.verdict in ('helps', 'hurts') else ''}"
            for one in cells
        ]  # fmt: skip
        rows.append([row.name, row.stratum, f"{row.positives:,}", *said])
    return ["class", "", "images" if found.unit == "images" else "positives", *(arm.name for arm in found.arms)], rows


def _estimate(one: Estimate) -> str:
    if math.isnan(one.value):
        return ""
    return f"{one.value:.3f}" + ("" if math.isnan(one.low) else f" [{one.low:.3f}, {one.high:.3f}]")


def _change(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:+.3f}" + ("" if math.isnan(low) else f" [{low:+.3f}, {high:+.3f}]")
