"""`evaluate`: every metric of a table of scores, with intervals, support and what could not be evaluated."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_one_of
from equipoise.evidence._ends import (
    FEW_CASES,
    METHODS,
    Cases,
    class_ends,
    count_cases,
    delong_ends,
    general_ends,
    macro_ends,
    percentile_ends,
)
from equipoise.evidence._still import Still, is_still, still_figures
from equipoise.evidence.intervals import check_level, small_sample, variance_of
from equipoise.evidence.metric_table import MetricRow, MetricTable
from equipoise.evidence.resampling import Resampling, number_clusters, resample_figures
from equipoise.metrics.figures import AVERAGES, Figures, derive_figures, evaluable_classes
from equipoise.metrics.outcomes import Outcomes
from equipoise.metrics.tallies import tally
from equipoise.scores import Decisions, Scores

_SHORT = "fewer than 10, so its interval may cover less than it says"
_AT_THRESHOLD = ("precision", "recall", "f1")


@runtime_checkable
class Rule(Protocol):
    """What can be judged: anything that turns scores into decisions."""

    def apply(self, scores: Scores, /) -> Decisions:
        """Return predictions and probabilities for the rows of some scores."""


def default_replicates(entries: int) -> int:
    """Return how many bootstrap replicates are drawn when nothing is said: 1,000, and 100 for large tables.

    Above 300,000 entries (rows x classes) there are 300, above a million 100. The intervals need only the variance of
    the replicates: from 100 of them their width is uncertain by 7 %, from 1,000 by 2 %.

    Example:
        >>> default_replicates(16_818 * 14), default_replicates(112_120 * 14)
        (1000, 100)
    """
    return 1000 if entries <= 300_000 else 300 if entries <= 1_000_000 else 100


def evaluate(
    scores: Scores,
    rule: Rule | None = None,
    *,
    replicates: int | None = None,
    level: float = 0.95,
    seed: int = 0,
    interval: str = "auto",
) -> MetricTable:
    """Return every metric of a table of scores: per class, macro, micro and over rows (see `measure`), with intervals.

    The intervals come from a bootstrap that draws groups (patients) where the scores have them, else rows; see
    `evidence/intervals.py` for how, and benchmarks/coverage.py for what they cover. The rule is taken as given: what
    fitting it cost is not in the interval. A replicate in which a class has no positive is left out of the intervals of
    that class, and counted in the note; where more than half would be left out there is no interval. In a macro average
    the class counts there with its mean over the other replicates. A figure that could not be another on any rows, such
    as the recall of "always no", has no interval. Of more than a million entries, AUC and AP are
    resampled to first order (see `LinearisedClass`).

    Args:
        scores: usually of the test role.
        rule: turns scores into predictions; without one there are no figures at thresholds (there is no default 0.5:
            say `fixed_rule(scores, 0.5)`).
        replicates: bootstrap replicates; 0 for no intervals; None: see `default_replicates`.
        level: coverage, between 0 and 1.
        seed: the same seed and data give the same table, whatever the order of the rows.
        interval: "auto": Wilson's score interval for rates of counts and, with the number of trials that varies as much
            as the replicates do, for all that lies between two bounds; "percentile": the plain quantiles of the
            replicates, too narrow with few positives; "delong": as "auto", with DeLong's variance for AUC.

    Raises:
        ArgumentError: the rule was fitted on some of these rows, is for other classes, or an argument is out of range.

    Example:
        >>> scores = Scores(labels=[0, 0, 1, 1], values=[0.1, 0.4, 0.4, 0.8], kind="probabilities", ids=list("abcd"),
        ...                 role="test", classes=["Mass"])
        >>> table = evaluate(scores, replicates=0)
        >>> table.value("auc", "Mass"), table.row("auc", "Mass").support
        (0.875, 2)
    """
    check_level(level, "evaluate")
    check_one_of(interval, METHODS, argument="interval", function="evaluate")
    if replicates is not None and (isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 0):
        raise ArgumentError(f"`replicates` of evaluate must be a whole number of at least 0; got {replicates!r}.")
    check = getattr(rule, "check_unseen", None)
    if check is not None:
        check(scores)
    decisions = None if rule is None else rule.apply(scores)
    natural = scores if decisions is None else decisions.scores
    tallies = tally(natural, decisions)
    figures = derive_figures(tallies)
    wanted = default_replicates(natural.value_table().size) if replicates is None else replicates
    clusters = number_clusters(natural)[1]
    drawn = None
    if wanted and clusters > 1:
        drawn = resample_figures(natural, decisions, evaluable_classes(figures), Resampling(wanted, seed))
    silent = (
        None if tallies.outcomes is None else tallies.outcomes.true_positives + tallies.outcomes.false_positives == 0
    )
    still = still_figures(rule, natural, tallies.outcomes)
    builder = _RowBuilder(
        natural, figures, drawn, tallies.outcomes, count_cases(natural), level, silent, still, interval
    )
    return MetricTable(
        rows=builder.rows(),
        task=natural.task,
        classes=natural.classes,
        role=natural.role,
        cases=len(natural),
        clusters=clusters,
        clustered=natural.groups is not None,
        level=float(level),
        replicates=wanted if drawn is not None else 0,
        seed=seed,
        notes=_table_notes(natural, rule, drawn is None and wanted > 0),
    )


def _table_notes(scores: Scores, rule: Rule | None, alone: bool) -> tuple[str, ...]:
    notes = []
    if rule is None:
        notes.append(
            "No rule was given, so nothing is said about predictions; pass one that was fitted, or a fixed one."
        )
    if scores.role == "train":
        notes.append("These rows were trained on: the figures say nothing about new cases.")
    if alone:
        notes.append("All rows are of one group: there is nothing to resample, so there are no intervals.")
    unknown = int(np.isnan(scores.labels).sum())
    if unknown:
        notes.append(f"{unknown:,} unknown labels were left out; none was taken as negative.")
    return tuple(notes)


@dataclasses.dataclass(frozen=True, eq=False)
class _RowBuilder:
    """Turns figures and their replicates into rows."""

    scores: Scores
    figures: Figures
    drawn: Figures | None
    outcomes: Outcomes | None
    cases: Cases
    level: float
    silent: NDArray[np.bool_] | None
    still: Still
    interval: str

    def rows(self) -> tuple[MetricRow, ...]:
        """Return averages and figures over rows first, then each class."""
        truth = self.scores.table()
        positives, negatives = (truth == 1).sum(axis=0), (truth == 0).sum(axis=0)
        evaluable = evaluable_classes(self.figures)
        rows = [self._overall(name, value, evaluable) for name, value in self.figures.overall.items()]
        for index, class_name in enumerate(self.scores.classes):
            for metric, values in self.figures.per_class.items():
                drawn = None if self.drawn is None else self.drawn.per_class[metric][:, index]
                value = float(values[index])
                low, high, note = self._interval(value, drawn, metric, index)
                if np.isnan(value):
                    note = _missing(int(positives[index]), int(negatives[index]))
                elif metric in _AT_THRESHOLD and self.silent is not None and self.silent[index]:
                    note = "never predicted" + (f"; {note}" if note else "")
                said = "no" if np.isnan(value) else "yes"
                rows.append(MetricRow(metric, None, class_name, value, low, high, int(positives[index]), said, note))
        return tuple(rows)

    def _overall(self, name: str, value: Any, evaluable: dict[str, NDArray[np.bool_]]) -> MetricRow:
        drawn = None if self.drawn is None else self.drawn.overall[name]
        low, high, note = self._interval(float(value), drawn, name)
        average, _, metric = name.partition("_")
        if average not in AVERAGES:
            average, metric = "", name
        support = self._support[average if average in ("micro", "samples") else ""]
        said = "no" if np.isnan(value) else "yes"
        if average in ("macro", "weighted"):
            chosen = evaluable[metric]
            said = f"{int(chosen.sum())} of {len(chosen)}"
            left_out = [one for one, taken in zip(self.scores.classes, chosen, strict=True) if not taken]
            if left_out:
                more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
                note = f"without {', '.join(left_out[:3])}{more}" + (f"; {note}" if note else "")
            if self.drawn is not None and average == "macro":
                note += self._filled(self.drawn.per_class[metric][:, chosen], "; " if note else "")
        elif np.isnan(value):
            note = "not evaluable on these labels"
        return MetricRow(metric, average or None, None, float(value), low, high, support, said, note)

    @cached_property
    def _support(self) -> dict[str, int]:
        """Known entries (micro), rows with a positive (samples), and rows with a known label."""
        known = ~np.isnan(self.scores.labels)
        rows = known if known.ndim == 1 else known.any(axis=1)
        positive = (self.scores.table() == 1).any(axis=1)
        return {"micro": int(known.sum()), "samples": int(positive.sum()), "": int(rows.sum())}

    def _filled(self, drawn: Floats, separator: str) -> str:
        """Return a note on replicates in which a class had no case."""
        lacking = int(np.isnan(drawn).any(axis=1).sum())
        if not lacking:
            return ""
        return f"{separator}in {lacking:,} of {len(drawn):,} replicates a class had no case and counts with its mean"

    def _interval(
        self, value: float, drawn: Floats | None, name: str, place: int | None = None
    ) -> tuple[float, float, str]:
        """Return the ends of the interval, and a note on what it rests on."""
        if drawn is None or np.isnan(value) or self._is_still(name, place):
            return float("nan"), float("nan"), ""
        usable = drawn[~np.isnan(drawn)]
        skipped = len(drawn) - len(usable)
        if skipped > len(drawn) / 2:
            reason = f"no interval: {skipped:,} of {len(drawn):,} replicates could not be evaluated"
            return float("nan"), float("nan"), reason
        low, high = self._ends(value, usable, name, place)
        notes = [f"{skipped:,} of {len(drawn):,} replicates left out"] if skipped else []
        few = FEW_CASES if place is None else self.cases.behind(name, place)
        if few < FEW_CASES and self.interval != "percentile":
            notes.append(f"rests on {few} case{'' if few == 1 else 's'}: {_SHORT}")
        return low, high, "; ".join(notes)

    def _is_still(self, name: str, place: int | None) -> bool:
        if place is not None:
            return is_still(self.still, name, slice(place, place + 1))
        average, _, metric = name.partition("_")
        if average in ("macro", "weighted"):
            return is_still(self.still, metric, evaluable_classes(self.figures)[metric])
        return is_still(self.still, metric if average in AVERAGES else name, slice(None))

    def _ends(self, value: float, drawn: Floats, name: str, place: int | None) -> tuple[float, float]:
        if self.interval == "percentile" or self.drawn is None:
            return percentile_ends(drawn, self.level)
        if place is not None:
            if name == "auc" and self.interval == "delong":
                return delong_ends(self.scores, place, value, self.cases, self.level)
            return class_ends(name, value, drawn, place, self.cases, self.outcomes, self.level)
        average, _, metric = name.partition("_")
        if average in ("macro", "weighted"):
            chosen = evaluable_classes(self.figures)[metric]
            few = self.cases.fewer[chosen]
            return macro_ends(metric, value, drawn, self.drawn.per_class[metric][:, chosen], few, self.level)
        bare, clusters = metric if average in AVERAGES else name, self.cases.clusters
        spread = float(variance_of(drawn) * small_sample(clusters))
        degrees = max(clusters - 1, 1)
        return general_ends(bare, value, spread, clusters, self.level, degrees, exclusive=self.scores.exclusive)


def _missing(positives: int, negatives: int) -> str:
    if not positives + negatives:
        return "no known label"
    if not positives:
        return f"no positive among {negatives:,} known labels"
    return f"no negative among {positives:,} known labels"
