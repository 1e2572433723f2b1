"""A ledger in tables and words: what is in force, how far each class is moved, how exact the way back is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.balance._preflight_text import percent
from equipoise.balance._regression import RegressionCorrection
from equipoise.balance._words import counted, each, one_in
from equipoise.balance.corrections import Deferred, LossCorrection
from equipoise.balance.plan import SamplingPlan
from equipoise.balance.weights import ClassWeights

if TYPE_CHECKING:
    from equipoise.balance.ledger import Ledger

_ENTRY_HEADER = ("correction", "from epoch", "way back", "odds moved by")
_BULKY = ("combinations",)  # of a stored plan: plan.json keeps it


def header(ledger: Ledger) -> tuple[str, ...]:
    """Return the headings of `class_rows`."""
    moved = "odds times" if ledger.kind == "pos_weight" else "weight times"
    return ("class", "in the data", "trained as if", "log-odds shift", moved, "beyond balance")


def class_rows(ledger: Ledger) -> list[tuple[str, ...]]:
    """One line a class: natural prior, training prior, shift, factor on the odds, and factor beyond full balance."""
    return [
        (
            row["class"],
            _prior(row["prevalence"]),
            _prior(row["trained_prevalence"]),
            f"{row['log_odds_shift']:+.3f}",
            each(float(np.exp(row["log_odds_shift"]))),
            "-" if row["beyond_balance"] is None else f"{counted(row['beyond_balance'])}x",
        )
        for row in class_records(ledger)
    ]


def class_records(ledger: Ledger) -> list[dict[str, Any]]:
    """The same as plain numbers; ``beyond_balance`` is None for a class that is not corrected beyond full balance."""
    trained, natural = ledger.trained_prevalence, ledger.prevalence
    beyond = ledger.overshot()
    return [
        {
            "class": name,
            "prevalence": None if natural is None else _number(natural[at]),
            "trained_prevalence": None if trained is None else _number(trained[at]),
            "log_odds_shift": float(shift),
            "odds_factor": float(np.exp(shift)),
            "beyond_balance": beyond.get(name),
        }
        for at, (name, shift) in enumerate(zip(ledger.classes, ledger.log_odds_shift, strict=True))
    ]


def entry_header() -> tuple[str, ...]:
    """Return the headings of `entry_rows`."""
    return _ENTRY_HEADER


def entry_rows(ledger: Ledger) -> list[tuple[str, ...]]:
    """One line a correction: what it is, from when, how exact the way back is, and what it does to the odds."""
    rows: list[tuple[str, ...]] = []
    for entry in ledger.corrections:
        inner = entry.correction if isinstance(entry, Deferred) else entry
        start = str(entry.from_epoch) if isinstance(entry, Deferred) else "1"
        rows.append((_described(inner), start, _exactness(inner), _span(ledger.shift_of(inner))))
    return rows


def entry_records(ledger: Ledger) -> list[dict[str, Any]]:
    """The corrections as stored, without bulk, each with its own shift and how exact the way back is."""
    records = []
    for entry, stored in zip(ledger.corrections, ledger.to_dict()["corrections"], strict=True):
        inner = entry.correction if isinstance(entry, Deferred) else entry
        shift = np.broadcast_to(ledger.shift_of(inner), len(ledger.classes))
        kept = {key: value for key, value in stored.items() if key not in _BULKY}
        records.append({**kept, "log_odds_shift": shift.tolist(), "way_back": _exactness(inner)})
    return records


def exactness_sentence(ledger: Ledger) -> str:
    """Say how exact the way back to natural prevalence is, all corrections together."""
    if not ledger.corrections:
        return "There is nothing to undo."
    loose = [_described(entry) for entry in ledger.in_force if _exactness(entry) != "exact"]
    if not loose:
        return "The way back is exact where the model reaches the least expected loss; what it misses stays missed."
    plan = next((entry for entry in ledger.in_force if isinstance(entry, SamplingPlan)), None)
    measured = (
        ""
        if plan is None or plan.measured_shift is None
        else " The shift of sampling was measured, so that the mean probability of validation rows is the prevalence."
    )
    return (
        f"The way back of {' and '.join(loose)} is approximate.{measured} Check the reliability of the probabilities "
        "(figures/run.png), or calibrate them on the validation role."
    )


def _described(entry: Any) -> str:
    if isinstance(entry, ClassWeights):
        return f"{entry.name} {entry.kind}"
    if isinstance(entry, SamplingPlan) and entry.stabilised is not None:
        return f"{_described(dataclasses.replace(entry, stabilised=None))}, labels stabilised"
    if isinstance(entry, SamplingPlan):
        strength = entry.target.get("strength")
        what = entry.method.replace("_", " ")
        if strength is None:
            return f"sampling by {what}"
        cap = "" if entry.max_repeats is None else f", rows drawn at most {entry.max_repeats:g} times"
        return f"sampling towards {entry.target['name']}, strength {strength:g}{cap}"
    name = type(entry).__name__.removesuffix("Correction").lower()
    numbers = [
        f"{key.replace('_', ' ')} {value:g}"
        for key, value in entry.to_dict().items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return " ".join([name, *([f"({', '.join(numbers)})"] if numbers else [])])


def _exactness(entry: Any) -> str:
    if isinstance(entry, SamplingPlan):
        quality = entry.shift_quality
        if entry.measured_shift is not None:
            return "approximate, measured"
        if entry.stabilised is not None and quality < 1.0 - 1e-9:
            return f"exact but for {percent(1.0 - quality)} of the labels"
        return "exact" if quality >= 1.0 - 1e-9 else f"approximate: explains {percent(quality)}"
    if isinstance(entry, RegressionCorrection) and entry.offsets is not None:
        return "approximate, measured"
    said = " ".join(entry.sentences()) if isinstance(entry, LossCorrection) else ""
    return "approximate" if "approximate" in said else "exact"


def _span(shift: Any) -> str:
    factors = np.exp(np.atleast_1d(shift))
    low, high = each(float(factors.min())), each(float(factors.max()))
    return low if low == high else f"{low} to {high}"


def _prior(share: float | None) -> str:
    return "unknown" if share is None else one_in(share)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
