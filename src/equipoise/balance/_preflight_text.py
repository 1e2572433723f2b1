"""A pre-flight in plain words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from equipoise.balance._words import counted

if TYPE_CHECKING:
    from equipoise.balance.preflight import Preflight

HEADER = ("class", "natural", "planned", "drawn", "in a batch", "no positive", "expected")


def class_rows(found: Preflight) -> list[tuple[str, ...]]:
    """One line a class: rates, positives in a batch (mean and standard deviation), batches without one."""
    return [
        (
            name,
            percent(found.natural_rates[at]),
            percent(found.expected_rates[at]),
            percent(found.drawn_rates[at]),
            f"{_few(found.batch_mean[at])} ± {_few(found.batch_deviation[at])}" if found.batches else "-",
            percent(found.empty_drawn[at]),
            percent(found.empty_expected[at]),
        )
        for at, name in enumerate(found.classes)
    ]


def preflight_text(found: Preflight) -> tuple[str, ...]:
    """Say what is drawn, what is seldom seen, and the verdict."""
    processes = "1 process" if found.ranks == 1 else f"{found.ranks} processes"
    said = [
        f"{found.draws:,} draws of {found.rows:,} rows by {processes} were looked at, "
        + (f"{found.batches:,} batches of {counted(found.batch_size)}." if found.batches else "no full batch."),
        f"An epoch of {found.epoch_draws:,} draws sees {found.distinct_drawn:,} different rows"
        + _beside(found.distinct_expected, "{:,.0f} expected")
        + f", the one drawn most {found.repeats_drawn} times"
        + _beside(found.repeats_expected, "{:.1f} expected")
        + ".",
    ]
    if not math.isnan(found.effective_expected):
        said.append(
            f"Effective sample size: {percent(found.effective_expected)} of the rows by plan"
            + ("" if math.isnan(found.effective_drawn) else f", {percent(found.effective_drawn)} as drawn")
            + "."
        )
    seldom = [name for name, empty in zip(found.classes, found.empty_drawn, strict=True) if empty > 0.5]
    if seldom:
        names = ", ".join(seldom[:5]) + (f" and {len(seldom) - 5} more" if len(seldom) > 5 else "")
        said.append(
            f"More than half of the batches hold no positive of {names}. Use larger batches, or guarantee positives "
            "(GuaranteedBatchSampler)."
        )
    said += [check.message for check in found.checks if check.passed is False]
    good = [check.name for check in found.checks if check.passed]
    said.append(
        f"Passed: {', '.join(good) or 'nothing'}."
        + ("" if found.passed else f" Failed: {', '.join(c.name for c in found.checks if c.passed is False)}.")
    )
    blind = [f"{check.name} ({_clause(check.message)})" for check in found.checks if check.passed is None]
    if blind:
        said.append(f"Not looked at: {', '.join(blind)}.")
    return tuple(said)


def _clause(message: str) -> str:
    return message[0].lower() + message[1:].removesuffix(".")


def percent(share: float) -> str:
    """Return a share in per cent with three digits, "-" where there is none."""
    if math.isnan(share):
        return "-"
    return "100 %" if share == 1.0 else f"{100 * share:.1f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _few(number: float) -> str:
    return f"{number:.2g}" if number < 10 else f"{number:.0f}"


def _beside(number: float, form: str) -> str:
    return "" if math.isnan(number) else f" ({form.format(number)})"
