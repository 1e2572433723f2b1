"""A census in words and columns, for `str` and for the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from equipoise.labels.census import Census


def class_rows(census: Census) -> tuple[list[str], list[list[str]]]:
    """Return the headings and one row per class: counts, prevalence with interval, imbalance ratio, groups."""
    headings = ["class", "positives", "negatives", "unknown", "prevalence", "95 % interval", "neg per pos"]
    low, high = census.prevalence_interval
    groups = census.groups_per_class
    rows = []
    for index, name in enumerate(census.classes):
        counts = [f"{int(column[index]):,}" for column in (census.positives, census.negatives, census.unknowns)]
        interval = f"{percent(low[index])} to {percent(high[index])}"
        ratio = census.imbalance_ratio[index]
        row = [name, *counts, percent(census.prevalence[index]), interval, number(float(ratio))]
        rows.append(row if groups is None else [*row, f"{int(groups[index]):,}"])
    return headings if groups is None else [*headings, "groups"], rows


def combination_rows(census: Census, limit: int = 10) -> list[list[str]]:
    """Return the most common label combinations with count and share of all rows, most common first."""
    found = [(count, names, "") for names, count in (census.combinations or {}).items()]
    found += [(count, names, " (others unknown)") for names, count in (census.partial_combinations or {}).items()]
    found.sort(key=lambda item: (-item[0], item[1], item[2]))
    return [
        [(" + ".join(names) or "none of the classes") + extra, f"{count:,}", percent(count / census.rows)]
        for count, names, extra in found[:limit]
    ]


def pair_rows(census: Census, limit: int = 5) -> list[list[str]]:
    """Return the pairs of classes most often positive together, with what share of the rarer class that is."""
    if census.cooccurrence is None:
        return []
    upper = np.triu(census.cooccurrence, 1)
    order = np.argsort(-upper, axis=None, kind="stable")[:limit]
    rows = []
    for place in order.tolist():
        first, second = divmod(place, len(census.classes))
        count = int(upper[first, second])
        if count:
            rarer = min(first, second, key=lambda index: int(census.positives[index]))
            share = f"{percent(count / int(census.positives[rarer]))} of {census.classes[rarer]}"
            rows.append([f"{census.classes[first]} + {census.classes[second]}", f"{count:,}", share])
    return rows


def sentences(census: Census) -> list[str]:
    """Return what a reader should take away: the size, the rarest class, empty classes, classes in a single group."""
    groups = "" if census.groups is None else f" of {census.groups:,} groups"
    found = [f"{census.rows:,} {census.unit}{groups}; {census.task}, {len(census.classes):,} classes."]
    if len(census.classes) == 1:
        found = [found[0].replace("classes", "class")]
    if census.combinations is not None:
        combined = set(census.combinations) | set(census.partial_combinations or ())
        found[0] += f" {len(combined - {()}):,} label combinations with a positive."
    worst = _worst(census)
    if worst is not None:
        found.append(_about(census, worst))
    if census.empty_classes:
        names = ", ".join(census.empty_classes[:8]) + (", ..." if len(census.empty_classes) > 8 else "")
        found.append(
            f"No positive at all: {names}. Drop the class, add data, or give its weight by hand before training."
        )
    per_class = census.groups_per_class
    if per_class is not None:
        for index in np.flatnonzero(per_class == 1)[:8]:
            found.append(
                f"All positives of {census.classes[index]} are in one group: it can be learnt or judged, not both."
            )
    return found


def census_text(census: Census) -> str:
    """Return the whole census as text."""
    headings, rows = class_rows(census)
    return "\n".join([*sentences(census)[:1], aligned(headings, rows), *sentences(census)[1:], *census.notes])


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in plain text: the first column to the left, the others to the right."""
    table = [list(headings), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    lines = [
        "  ".join(
            cell.ljust(w) if not column else cell.rjust(w)
            for column, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return "\n".join(line.rstrip() for line in lines)


def percent(rate: float) -> str:
    """Return a rate as a percentage with three significant digits below 10 %; a dash for NaN."""
    if math.isnan(rate):
        return "-"
    value = 100.0 * rate
    if value == 0 or value >= 10 or abs(value) < 1e-6:
        return f"{value:.1f} %" if value else "0 %"
    return f"{value:.{2 - math.floor(math.log10(value))}f} %"


def number(value: float) -> str:
    """Return a ratio with three significant digits, whole from 100 on; a dash where it is infinite or NaN."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _worst(census: Census) -> int | None:
    with_positive = np.flatnonzero(census.positives > 0)
    return int(with_positive[census.prevalence[with_positive].argmin()]) if len(with_positive) else None


def _about(census: Census, index: int) -> str:
    name, positives = census.classes[index], int(census.positives[index])
    known = positives + int(census.negatives[index])
    rate = float(census.prevalence[index])
    groups = census.groups_per_class
    people = "" if groups is None else f" in {int(groups[index]):,} groups"
    start = f"Rarest: {name}, {positives:,} of {known:,}{people} ({percent(rate)})"
    if rate >= 0.5:
        return f"{start}."
    ratio = number(float(census.imbalance_ratio[index]))
    always_no = math.floor(10_000 * (1.0 - rate)) / 100.0
    return f"{start}: {ratio} negatives to one positive. Always answering no would be {always_no:g} % accurate."
