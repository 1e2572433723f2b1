"""What the threshold explorer shows before anything is moved: one card a class, its figures computed here."""

from __future__ import annotations

import dataclasses
import math
import shlex
from typing import Any

from equipoise.labels import wilson_interval
from equipoise.report._words import one_in
from equipoise.report.page import _charts as charts
from equipoise.report.page._explorer import ClassCurve, RoleCounts, class_curves, costs_of, explorer_data
from equipoise.report.page._parts import Cell, Chart, Section, figure
from equipoise.report.view import RunView

# Name of a figure, which the script knows it by, and what it is called.
FIGURES = (
    ("hits", "found (TP)"),
    ("misses", "missed (FN)"),
    ("alarms", "false alarms (FP)"),
    ("quiet", "rightly silent (TN)"),
    ("recall", "recall"),
    ("precision", "precision"),
    ("specificity", "specificity"),
)
PER_THOUSAND = (
    ("alarms_per_thousand", "alarms, true and false"),
    ("false_per_thousand", "of them false"),
    ("missed_per_thousand", "missed"),
    ("precision_there", "precision there"),
    ("cost", "expected cost"),
)
_COUNTS = ("hits", "misses", "alarms", "quiet")


@dataclasses.dataclass(frozen=True)
class Card:
    """One class in the explorer.

    Attributes:
        index: of the class. name: of the class. about: what it rests on, in words. chart: its curve, or None.
        last: highest position of the slider. at: where it stands. threshold: there, in words.
        prevalence: in percent, as the field has it. miss: cost of a miss. alarm: of a false alarm.
        figures: by role, every figure. judged: whether there is anything to move.
    """

    index: int
    name: str
    about: str
    chart: Chart | None
    last: int
    at: int
    threshold: str
    prevalence: str
    miss: str
    alarm: str
    figures: dict[str, dict[str, Cell]]
    judged: bool


@dataclasses.dataclass(frozen=True)
class Explorer:
    """The explorer of a page: its section, its cards, the roles that are shown, and the data of its script."""

    section: Section
    cards: tuple[Card, ...]
    roles: tuple[str, ...]
    data: dict[str, Any]
    saves: bool
    figures: tuple[tuple[str, str], ...] = FIGURES
    per_thousand: tuple[tuple[str, str], ...] = PER_THOUSAND


def explorer_context(view: RunView) -> Explorer | None:
    """Return the explorer of a run; None of a run without scores."""
    curves = class_curves(view)
    if not curves:
        return None
    roles = tuple(curves[0].roles)
    natural = view.natural(roles[0])
    assert natural is not None  # there is a curve of it
    truth, probabilities = natural.table(), natural.probability_table()
    cards = tuple(
        _card(view, index, curve, charts.curve_chart(index, curve, truth[:, index], probabilities[:, index]))
        for index, curve in enumerate(curves)
    )
    saves = view.rule is not None and view.rule.thresholds is not None
    return Explorer(_section(view, roles, saves=saves), cards, roles, explorer_data(view, curves), saves)


def _card(view: RunView, index: int, curve: ClassCurve, chart: Chart | None) -> Card:
    miss, alarm = costs_of(None if view.rule is None else view.rule.maximize)
    first = next(iter(curve.roles.values()))
    prevalence = 0.0 if math.isnan(curve.prevalence) else curve.prevalence
    return Card(
        index=index,
        name=curve.name,
        about=_about(curve, first),
        chart=chart,
        last=len(curve.thresholds) - 1,
        at=curve.chosen,
        threshold=threshold_text(float(curve.thresholds[curve.chosen])),
        prevalence=f"{float(f'{100 * prevalence:.3g}'):g}",
        miss=f"{miss:g}",
        alarm=f"{alarm:g}",
        figures={
            role: shown_figures(counts, curve.chosen, float(f"{100 * prevalence:.3g}") / 100, miss, alarm)
            for role, counts in curve.roles.items()
        },
        judged=first.positives > 0 and first.negatives > 0,
    )


def _about(curve: ClassCurve, first: RoleCounts) -> str:
    rows = first.positives + first.negatives
    if not first.positives or not first.negatives:
        which = "positive" if not first.positives else "negative"
        return f"No {which} among {rows:,} known rows of the {next(iter(curve.roles))} role: nothing can be chosen."
    share = "" if math.isnan(curve.prevalence) else f"; {one_in(curve.prevalence)} in the data"
    return f"{first.positives:,} positives among {rows:,} rows of the {next(iter(curve.roles))} role{share}."


def _section(view: RunView, roles: tuple[str, ...], *, saves: bool) -> Section:
    intro = [
        f"What every threshold would do on the {roles[0]} role. A slider moves along the curve; counts are exact. "
        "Thresholds are probabilities at the natural prevalence: a case is positive at or above."
    ]
    if view.exclusive:
        intro.append(
            "Exactly one class is true of each row, so the rule of this run has no thresholds: it takes the most "
            "likely class, after offsets where it has them. Each class is shown here against all others, to look at; "
            "there is no rule to save."
        )
    elif not saves:
        intro.append("There is no decision rule yet, so nothing can be saved.")
    commands: tuple[tuple[str, str], ...] = ()
    if saves:
        folder = shlex.quote(str(view.path))
        commands = (("Use the saved rule", f"equipoise predict {folder} NEW.csv --rule decision.json"),)
        if "test" in roles:
            test = shlex.quote(str(view.path / "scores" / "test.parquet"))
            commands += (("Judge it", f"equipoise evaluate {test} --rule decision.json"),)
    return Section("explorer", "Explore thresholds", tuple(intro), commands=commands)


# --- the figures; page.js computes the same


def threshold_text(threshold: float) -> str:
    """Return a threshold in words.

    Example:
        >>> threshold_text(0.12345), threshold_text(0.0), threshold_text(float("inf"))
        ('0.123', 'always positive', 'never positive')
    """
    if threshold <= 0:
        return "always positive"
    return "never positive" if math.isinf(threshold) else f"{float(f'{threshold:.3g}'):g}"


def figures_at(counts: RoleCounts, at: int, prevalence: float, miss: float, alarm: float) -> dict[str, float]:
    """Return every figure of one threshold on one role; NaN where one has no meaning.

    With recall r and false positive rate f on these rows, of a thousand cases at prevalence p there are 1000 (p r +
    (1 - p) f) alarms, of which 1000 (1 - p) f are false, and 1000 p (1 - r) are missed: recall and false positive rate
    stay what they are where only the prevalence changes. The cost is what the missed and the false ones cost together.

    Args:
        counts: of the role.
        at: index of the threshold.
        prevalence: share of the class where the rule will be used.
        miss: what a missed case costs.
        alarm: what a false alarm costs.

    Example:
        >>> import numpy as np
        >>> found = figures_at(RoleCounts(10, 90, np.array([8]), np.array([9])), 0, 0.1, 10.0, 1.0)
        >>> found["recall"], round(found["alarms_per_thousand"], 6), round(found["cost"], 6)
        (0.8, 170.0, 290.0)
    """
    hits, alarms = int(counts.hits[at]), int(counts.alarms[at])
    recall = hits / counts.positives if counts.positives else math.nan
    false_rate = alarms / counts.negatives if counts.negatives else math.nan
    true, false = 1000 * prevalence * recall, 1000 * (1 - prevalence) * false_rate
    missed = 1000 * prevalence * (1 - recall)
    return {
        "hits": hits, "misses": counts.positives - hits, "alarms": alarms, "quiet": counts.negatives - alarms,
        "recall": recall, "precision": hits / (hits + alarms) if hits + alarms else math.nan,
        "specificity": 1 - false_rate, "alarms_per_thousand": true + false, "false_per_thousand": false,
        "missed_per_thousand": missed, "precision_there": true / (true + false) if true + false > 0 else math.nan,
        "cost": miss * missed + alarm * false,
    }  # fmt: skip


def shown_figures(counts: RoleCounts, at: int, prevalence: float, miss: float, alarm: float) -> dict[str, Cell]:
    """Return the figures of `figures_at` as cells, recall and precision with 95 % intervals (Wilson)."""
    found = figures_at(counts, at, prevalence, miss, alarm)
    texts = {}
    for name, value in found.items():
        if math.isnan(value):
            texts[name] = "-"
        elif name in _COUNTS:
            texts[name] = f"{int(value):,}"
        elif name.endswith("_thousand") or name == "cost":
            texts[name] = f"{value:,.1f}"
        else:
            texts[name] = f"{value:.3f}"
    for name, trials in (("recall", counts.positives), ("precision", int(found["hits"] + found["alarms"]))):
        if trials:
            low, high = wilson_interval([int(found["hits"])], [trials])
            texts[name] += f" [{float(low[0]):.3f}, {float(high[0]):.3f}]"
    return {name: figure(text, found[name]) for name, text in texts.items()}
