"""A sampling plan in plain words and as a table of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from equipoise.balance._words import counted, one_in

if TYPE_CHECKING:
    from equipoise.balance.plan import SamplingPlan

HEADER = ("class", "natural share", "drawn share", "in the data", "as drawn", "log-odds shift")
_WORST = 4
_HARDLY = 0.1


def class_rows(plan: SamplingPlan) -> list[tuple[str, ...]]:
    """One line a class, in the order of `HEADER`."""
    columns = (plan.natural_shares, plan.shares, plan.prevalence, plan.expected_prevalence)
    return [
        (name, f"{before:.4f}", f"{after:.4f}", one_in(float(here)), one_in(float(there)), f"{shift:+.3f}")
        for name, before, after, here, there, shift in zip(
            plan.classes, *columns, plan.log_odds_shift.tolist(), strict=True
        )
    ]


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the table as lines of equal columns: the first to the left, the others to the right."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(_padded(line, widths)).rstrip() for line in lines]


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def sentences(plan: SamplingPlan) -> tuple[str, ...]:
    """Say what is drawn, what it costs, and whether the target is met."""
    said = [
        f"{plan.draws:,} draws an epoch from {plan.rows:,} rows: the row drawn most is drawn "
        f"{counted(plan.repeats)} times, about {plan.distinct_rows:,.0f} rows are seen, and the effective sample size "
        f"is {100 * plan.effective_sample_size:.0f} % of the rows.",
        f"Coefficient of variation of the class shares: {plan.variation:.3f}.",
    ]
    if plan.task == "multilabel" and plan.natural_negatives_share > 0:
        said.append(
            f"Rows without a finding: {100 * plan.natural_negatives_share:.1f} % of the data, "
            f"{100 * plan.negatives_share:.1f} % of the draws."
        )
    said.append(_verdict(plan))
    if plan.stabilised is not None:
        said.append(stabilising_sentence(plan))
    elif plan.shift_quality < 1.0 - 1e-9:
        said.append(
            f"The log-odds shifts are the best fit of one number a class; they explain "
            f"{100 * plan.shift_quality:.1f} % of the variance of the log weights."
        )
    if plan.never_drawn:
        rows, them = ("1 row", "it is") if plan.never_drawn == 1 else (f"{plan.never_drawn:,} rows", "they are")
        said.append(f"The label of {rows} is unknown: {them} never drawn, as nothing can be learned there.")
    elif plan.unknowns.any():
        said.append(f"Planned over known labels; {int(plan.unknowns.sum()):,} labels are unknown and count as neither.")
    return (*said, *plan.notes)


def stabilising_sentence(plan: SamplingPlan) -> str:
    """Say how the labels of drawn rows are weighted."""
    weights = plan.combination_entry_weights[plan.combination_weights > 0]
    return (
        f"The labels of drawn rows are weighted from {weights.min():.2g} to {weights.max():.2g}, so that the cases of "
        "a class are those of the data and not those that rare labels bring along."
    )


def hardly_drawn(plan: SamplingPlan) -> str | None:
    """Say that rows are hardly drawn at all, where these hold more than one label in ten: nothing undoes that."""
    cut = 0.0 if plan.stabilised is None else 1.0 - plan.shift_quality
    if cut <= _HARDLY:
        return None
    return (
        f"Rows with {100 * cut:.0f} % of the labels are hardly drawn, so little is learned from them and the way back "
        "cannot make up for it. Ask for less: a lower strength, such as 0.5, or another target."
    )


def _verdict(plan: SamplingPlan) -> str:
    if plan.method != "minimum_divergence":
        return f"These are the weights of the heuristic {plan.method}, which has no target."
    what = str(plan.target.get("name", "the"))
    if plan.reached:
        return f"The target ({what}) is met."
    assert plan.wanted is not None
    given = plan.expected_prevalence if plan.target.get("of") == "prevalence" else plan.shares
    asked = np.flatnonzero(~np.isnan(plan.wanted))
    gaps = np.abs(given[asked] / plan.wanted[asked] - 1.0)
    worst = asked[np.argsort(-gaps, kind="stable")[:_WORST]]
    named = ", ".join(f"{plan.classes[at]} {given[at]:.3f} for {plan.wanted[at]:.3f}" for at in worst)
    limits = [] if plan.max_repeats is None else [f"at most {counted(plan.max_repeats)} draws of a row"]
    if isinstance(held := plan.target.get("negatives_share"), float):
        limits.append(f"{100 * held:.1f} % of the draws without a finding")
    why = f" with {' and '.join(limits)}" if limits else ""
    near = "; this is the nearest target that can"
    if plan.least_gap == 0.0:
        near = " unless some rows are never drawn; this is near it with every row drawn"
    return (
        f"The target ({what}) cannot be met{why}{near}: relative gaps of "
        f"{100 * plan.gap:.1f} % (root mean square), largest at {named}."
    )
