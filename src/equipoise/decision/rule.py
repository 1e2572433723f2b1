"""`DecisionRule`: the shift back to natural prevalence and a threshold per class; one JSON file, NumPy alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, DataError, listed
from equipoise._files import read_json, write_json
from equipoise.decision import _words
from equipoise.decision._json import VERSION, pack_keys, parse_rule
from equipoise.decision.calibration.record import Calibration
from equipoise.decision.fitted_on import FittedOn
from equipoise.decision.thresholds import ALWAYS, NEVER
from equipoise.scores import Decisions, Scores


@dataclasses.dataclass(frozen=True, eq=False)
class DecisionRule:
    """How scores become predictions: take back the shift, calibrate, compare with a threshold per class (or argmax).

    Args:
        task: of the scores it is for.
        classes: names, in the order of the scores.
        maximize: the objective, "argmax", or "fixed" for thresholds given by hand.
        thresholds: probabilities at natural prevalence, shape (classes,); a case is positive at or above. 0 predicts
            always, infinity (null in JSON) never. None for argmax.
        log_odds_shift: what corrections in training added to the log-odds (to the log-probabilities, for exclusive
            classes), shape (classes,), in nats.
        positives: number of positives behind each threshold, shape (classes,); None for a fixed rule.
        negatives: number of negatives behind each threshold.
        fitted_values: the objective of each class on the rows it was fitted on (optimistic), NaN where none was fitted.
        fitted_on: those rows; None for a fixed rule.
        notes: sentences about classes whose threshold rests on little or nothing.
        method: how thresholds were fitted: "exact" or "shrunk".
        class_offsets: for exclusive classes, what is added to the log-probabilities before the largest is taken, shape
            (classes,); None for the plain argmax.
        cut_points: for ordinal classes, ascending cuts of the expected grade (sum of grade index times probability),
            shape (classes - 1,); the grade is the number of cuts at or below it. None otherwise.
        interval_low: lower end of the 95 % bootstrap interval of each threshold (offset, cut point), of their shape.
        interval_high: upper end.
        corrected_values: `fitted_values` without their optimism (cross-fitted), shape (classes,).
        fitted_overall: the objective where it is one number for all classes together (micro-F1, offsets, cut points).
        corrected_overall: the same without its optimism.
        calibration: applied after the shift, before thresholds; None where probabilities are taken as they are.
        prevalence: share of each class that the rule was moved to (`at_prevalence`), shape (classes,), NaN where it was
            not moved; None for the natural one.
    """

    task: str
    classes: tuple[str, ...]
    maximize: str
    thresholds: Floats | None
    log_odds_shift: Floats
    positives: NDArray[np.int64] | None = None
    negatives: NDArray[np.int64] | None = None
    fitted_values: Floats | None = None
    fitted_on: FittedOn | None = None
    notes: tuple[str, ...] = ()
    method: str = "exact"
    class_offsets: Floats | None = None
    cut_points: Floats | None = None
    interval_low: Floats | None = None
    interval_high: Floats | None = None
    corrected_values: Floats | None = None
    fitted_overall: float | None = None
    corrected_overall: float | None = None
    calibration: Calibration | None = None
    prevalence: Floats | None = None

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def __repr__(self) -> str:
        size = "1 class" if len(self.classes) == 1 else f"{len(self.classes)} classes"
        on = "" if self.fitted_on is None else f", fitted on {self.fitted_on.rows:,} rows"
        return f"DecisionRule({self.task}, {size}, maximize {self.maximize}, {self.method}{on})"

    def apply(self, scores: Scores) -> Decisions:
        """Return predictions, and probabilities at natural prevalence.

        Raises:
            ArgumentError: the scores are of another task or of other classes.
        """
        self._check_classes(scores)
        natural = self.natural(scores)
        if self.cut_points is not None:
            grades = natural.probabilities() @ np.arange(len(self.classes), dtype=np.float64)
            return Decisions(natural, np.searchsorted(self.cut_points, grades, side="right"))
        if self.thresholds is None:
            offsets = 0.0 if self.class_offsets is None else self.class_offsets
            return Decisions(natural, (natural.log_values() + offsets).argmax(axis=1))
        predictions = (natural.probability_table() >= self.thresholds).astype(np.int8)
        return Decisions(natural, predictions.reshape(natural.values.shape))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """(classes,) whether the class is predicted always or never, whatever its score."""
        if self.thresholds is None:
            return np.zeros(len(self.classes), dtype=np.bool_)
        return np.asarray(np.isin(self.thresholds, (ALWAYS, NEVER)))

    def natural(self, scores: Scores) -> Scores:
        """Return the scores after shift and calibration: what thresholds are compared with."""
        shifted = scores.shifted(self.log_odds_shift)
        return shifted if self.calibration is None else self.calibration.apply(shifted)

    def at_prevalence(self, prevalence: Any, *, scores: Scores | None = None, reference: Any = None) -> DecisionRule:
        """Return the rule moved to another prevalence: see `equipoise.decision.prevalence.move_rule`."""
        from equipoise.decision.prevalence.move import move_rule

        return move_rule(self, prevalence, scores=scores, reference=reference)

    def check_unseen(self, scores: Scores) -> None:
        """Raise `ArgumentError` when some of the rows are known to be among those that the rule was fitted on."""
        if self.fitted_on is None:
            return
        shared = self.fitted_on.shared_rows(scores)
        if len(shared):
            found = "the very rows" if self.fitted_on.hash == scores.hash else f"at least {len(shared):,} of the rows"
            examples, advice = "", "."
            if not scores.numbered:
                examples = f" (for example {listed([scores.ids[row] for row in shared[:3]])})"
                advice = (
                    "; if these ids only number the rows of another table, declare that with ids=None (command line: "
                    "--ids none)."
                )
            raise ArgumentError(
                f"The rule was fitted on {found} that it would be judged on{examples}, so every figure would be too "
                f"good. Judge it on other rows: the test role{advice}"
            )

    def sentences(self) -> list[str]:
        """Return what the rule does, one sentence per class, and its notes."""
        return _words.sentences(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain JSON types."""
        fitted = self.fitted_on
        return {
            "format": "equipoise decision rule",
            "version": VERSION,
            "task": self.task,
            "classes": list(self.classes),
            "maximize": self.maximize,
            "method": self.method,
            "thresholds": _plain(self.thresholds),
            "class_offsets": _plain(self.class_offsets),
            "cut_points": _plain(self.cut_points),
            "interval_low": _plain(self.interval_low),
            "interval_high": _plain(self.interval_high),
            "log_odds_shift": _plain(self.log_odds_shift),
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "prevalence": _plain(self.prevalence),
            "positives": _plain(self.positives),
            "negatives": _plain(self.negatives),
            "fitted_values": _plain(self.fitted_values),
            "corrected_values": _plain(self.corrected_values),
            "fitted_overall": self.fitted_overall,
            "corrected_overall": self.corrected_overall,
            "fitted_on": None
            if fitted is None
            else {
                "hash": fitted.hash,
                "rows": fitted.rows,
                "numbered": fitted.numbered,
                "sketch": pack_keys(fitted.sketch),
            },
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Any) -> DecisionRule:
        """Return the rule that `to_dict` wrote.

        Raises:
            DataError: a newer version, an unknown or missing key, or a value that cannot be; the message names the key.
        """
        parsed = parse_rule(data)
        fitted = parsed.pop("fitted_on")
        return cls(fitted_on=None if fitted is None else FittedOn(**fitted), **parsed)

    def _check_classes(self, scores: Scores) -> None:
        if (scores.task, scores.classes) != (self.task, self.classes):
            raise ArgumentError(
                f"The rule is for task {self.task} with classes {listed(self.classes)}; the scores are "
                f"{scores.task} with "
                f"{listed(scores.classes)}. Use a rule fitted on scores of the same classes in the same order."
            )


def fixed_rule(scores: Scores, thresholds: Any, *, log_odds_shift: Any = None) -> DecisionRule:
    """Return a rule with thresholds given by hand; nothing is fitted, so it may be judged on any role.

    Args:
        scores: of the task and classes that the rule is for.
        thresholds: one probability, or one per class; infinity predicts never. There is no default: 0.5 is a choice.
            Exclusive classes take the most likely class and need None.
        log_odds_shift: as in `fit_decision`.

    Raises:
        ArgumentError: thresholds that are no probabilities or do not fit the classes.

    Example:
        >>> scores = Scores(labels=[0, 1], values=[0.4, 0.6], kind="probabilities", ids=list("ab"), role="test",
        ...                 classes=["Mass"])
        >>> fixed_rule(scores, 0.5).apply(scores).predictions
        array([0, 1], dtype=int8)
    """
    count = len(scores.classes)
    shift = check_shift(log_odds_shift, count)
    if scores.exclusive:
        if thresholds is not None:
            raise ArgumentError("`thresholds` of fixed_rule must be None for exclusive classes: argmax has none.")
        return DecisionRule(scores.task, scores.classes, "argmax", None, shift)
    values = np.asarray(np.nan if thresholds is None else thresholds, dtype=np.float64)
    if values.shape not in ((), (count,)) or not ((values >= 0) & ((values <= 1) | (values == NEVER))).all():
        raise ArgumentError(
            f"`thresholds` of fixed_rule must be one probability or one for each of {count} classes; got "
            f"{thresholds!r}. "
            "Give numbers from 0 to 1, or infinity for never."
        )
    return DecisionRule(scores.task, scores.classes, "fixed", np.broadcast_to(values, (count,)).copy(), shift)


def write_rule(rule: DecisionRule, path: str | Path) -> None:
    """Write a rule as JSON, all of it or nothing."""
    write_json(path, rule.to_dict())


def read_rule(path: str | Path) -> DecisionRule:
    """Read a rule from JSON.

    Raises:
        DataError: the file is missing, is no rule, or is of a newer version; the message names file and key.
    """
    data = read_json(path)
    try:
        return DecisionRule.from_dict(data)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def check_shift(log_odds_shift: Any, count: int) -> Floats:
    """Return the shift as an array of shape (classes,), zeros for None.

    Raises:
        ArgumentError: another shape, or a number that is not finite.
    """
    if log_odds_shift is None:
        return np.zeros(count)
    shift = np.array(log_odds_shift, dtype=np.float64)
    if shift.shape != (count,) or not np.isfinite(shift).all():
        raise ArgumentError(
            f"`log_odds_shift` must be one finite number for each of {count} classes; got shape {shift.shape}. "
            "Pass ledger.log_odds_shift of the same classes."
        )
    return shift


def _plain(values: NDArray | None) -> list[float | int | None] | None:
    """Return a list for JSON, in which what is not finite is null."""
    if values is None:
        return None
    return [one if np.isfinite(one) else None for one in values.tolist()]
