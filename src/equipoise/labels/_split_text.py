"""A split's report in words and columns, for `str` and for the command line."""

from __future__ import annotations

import numpy as np

from equipoise.labels._census_text import aligned, percent
from equipoise.labels.split import SplitReport


def part_rows(report: SplitReport) -> tuple[list[str], list[list[str]]]:
    """Return headings and one row per part: rows, share, groups."""
    total = max(1, int(report.rows.sum()))
    headings = ["part", "rows", "share", *(["groups"] if report.grouped else [])]
    rows = []
    for index, part in enumerate(report.parts):
        row = [part, f"{int(report.rows[index]):,}", percent(int(report.rows[index]) / total)]
        rows.append([*row, f"{int(report.groups[index]):,}"] if report.grouped else row)
    return headings, rows


def class_part_rows(report: SplitReport) -> tuple[list[str], list[list[str]]]:
    """Return headings and one row per class: its prevalence, then positives (and groups) in each part."""
    headings = ["class", "prevalence", *(f"{part} pos{' (groups)' if report.grouped else ''}" for part in report.parts)]
    headings.append("largest deviation")
    rows = []
    for index, name in enumerate(report.classes):
        cells = []
        for part in range(len(report.parts)):
            cell = f"{int(report.positives[part, index]):,}"
            cells.append(f"{cell} ({int(report.positive_groups[part, index]):,})" if report.grouped else cell)
        column = np.abs(report.deviations[:, index])
        worst = float(np.nanmax(column)) if not np.isnan(column).all() else float("nan")
        relative = worst / report.prevalence[index] if report.prevalence[index] > 0 else float("nan")
        rows.append([name, percent(float(report.prevalence[index])), *cells, f"{worst:.6f} ({percent(relative)})"])
    return headings, rows


def sentences(report: SplitReport) -> list[str]:
    """Return the largest deviations, and what could not be placed."""
    found = [
        f"Largest deviation of a class's prevalence: {report.largest_absolute_deviation:.6f} absolute, "
        f"{percent(report.largest_relative_deviation)} relative."
    ]
    where = "groups" if report.grouped else "rows"
    for name in report.unplaced:
        parts = [part for label, part in report.missing if label == name]
        if len(parts) == len(report.parts):
            found.append(f"{name} has no positive at all: drop the class or add data.")
            continue
        found.append(
            f"{name} has positives in fewer {where} than there are parts: none in {', '.join(parts) or 'some part'}."
        )
    others = [(label, part) for label, part in report.missing if label not in report.unplaced]
    found += [f"{label} has no positive in {part}." for label, part in others]
    return found


def report_text(report: SplitReport) -> str:
    """Return the whole report as text."""
    return "\n".join([aligned(*part_rows(report)), "", aligned(*class_part_rows(report)), *sentences(report)])
