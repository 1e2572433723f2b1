"""`DecisionRule`: the shift back to natural prevalence and a threshold per class; one JSON file, NumPy alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, DataError, check_one_of, listed
from equipoise._files import read_json, write_json
from equipoise.decision._json import pack_keys, parse_rule
from equipoise.decision.offsets import fit_leaning
from equipoise.decision.shrinkage import draw_resamples, shrunk_threshold
from equipoise.decision.thresholds import ALWAYS, METHODS, NEVER, OBJECTIVES, FittedThreshold, best_threshold
from equipoise.metrics.ranking import RankedClass, rank_class
from equipoise.scores import Decisions, Scores
from equipoise.scores.ids import digest, hash_ids

SKETCH_SIZE = 1024
_NOT_CALIBRATED = (
    "The probabilities of {name} do not add up to its {share:.0f} positives, so its threshold was not drawn to "
    "what they "
    "promise. If training was weighted, pass log_odds_shift."
)
_FEW = 10  # positives below which a threshold is said to rest on few


@dataclasses.dataclass(frozen=True, eq=False)
class FittedOn:
    """The rows that a rule was fitted on, small enough to travel with it.

    Args:
        hash: of the set of ids.
        rows: number of rows.
        sketch: the `SKETCH_SIZE` smallest 64-bit keys of the ids, ascending (a bottom-k sketch: a uniform sample, the
            same for everyone, so that overlaps are found by looking the keys of other rows up in it).
        numbered: the rows had no ids; only an identical table is then recognised.
    """

    hash: str
    rows: int
    sketch: NDArray[np.uint64]
    numbered: bool = False

    @classmethod
    def from_scores(cls, scores: Scores) -> FittedOn:
        """Return the record of the rows of some scores."""
        keys = np.sort(scores.id_keys())
        return cls(digest(keys), len(scores), keys[:SKETCH_SIZE], scores.numbered)

    def shared_rows(self, scores: Scores) -> NDArray[np.int64]:
        """Return the rows of other scores that are known to have been fitted on.

        Complete up to `SKETCH_SIZE` fitted rows. Beyond, m rows shared out of n are missed with probability
        (1 - SKETCH_SIZE / n)^m: with 16,000 rows fitted on, 100 shared ones escape once in 700.
        """
        if scores.numbered != self.numbered:
            return np.zeros(0, dtype=np.int64)
        keys = scores.id_keys()
        if self.numbered:
            return np.arange(len(keys) if digest(keys) == self.hash else 0)
        return np.flatnonzero(np.isin(keys, self.sketch))


@dataclasses.dataclass(frozen=True, eq=False)
class DecisionRule:
    """How scores become predictions: subtract the shift, then compare with a threshold per class (or take the argmax).

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
        natural = scores.shifted(self.log_odds_shift)
        if self.thresholds is None:
            offsets = 0.0 if self.class_offsets is None else self.class_offsets
            return Decisions(natural, (natural.log_values() + offsets).argmax(axis=1))
        predictions = (natural.probability_table() >= self.thresholds).astype(np.int8)
        return Decisions(natural, predictions.reshape(natural.values.shape))

    def check_unseen(self, scores: Scores) -> None:
        """Raise `ArgumentError` when some of the rows are known to be among those that the rule was fitted on."""
        if self.fitted_on is None:
            return
        shared = self.fitted_on.shared_rows(scores)
        if len(shared):
            examples = listed([scores.ids[row] for row in shared[:3]])
            found = "the very rows" if self.fitted_on.hash == scores.hash else f"at least {len(shared):,} of the rows"
            raise ArgumentError(
                f"The rule was fitted on {found} that it would be judged on (for example {examples}), so every "
                f"figure would "
                "be too good. Judge it on other rows: the test role; if these ids only number the rows of "
                "another table, "
                "declare that with ids=None (command line: --ids none)."
            )

    def sentences(self) -> list[str]:
        """Return what the rule does, one sentence per class, and its notes."""
        if self.class_offsets is not None:
            pairs = zip(self.classes, np.exp(self.class_offsets - self.class_offsets.min()), strict=True)
            leaning = listed([f"{name} x {factor:.3g}" for name, factor in pairs], limit=30).replace('"', "")
            return [f"The class with the largest probability times its factor is predicted: {leaning}.", *self.notes]
        if self.thresholds is None:
            return [f"The most likely of {len(self.classes)} classes is predicted.", *self.notes]
        lines = []
        for index, (name, threshold) in enumerate(zip(self.classes, self.thresholds.tolist(), strict=True)):
            text = {ALWAYS: "always", NEVER: "never"}.get(threshold, f"from a probability of {threshold:.4g}")
            behind = "" if self.positives is None else f", which rests on {self.positives[index]:,} positives"
            lines.append(f"{name} is predicted {text}{behind}.")
        return [*lines, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain JSON types."""
        fitted = self.fitted_on
        return {
            "format": "equipoise decision rule",
            "version": 1,
            "task": self.task,
            "classes": list(self.classes),
            "maximize": self.maximize,
            "method": self.method,
            "thresholds": _plain(self.thresholds),
            "class_offsets": _plain(self.class_offsets),
            "log_odds_shift": _plain(self.log_odds_shift),
            "positives": _plain(self.positives),
            "negatives": _plain(self.negatives),
            "fitted_values": _plain(self.fitted_values),
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


def fit_decision(
    scores: Scores,
    maximize: str = "f1",
    *,
    log_odds_shift: Any = None,
    empty: str = "error",
    method: str = "exact",
) -> DecisionRule:
    """Return a rule fitted on scores of the validation role.

    Binary and multilabel: for each class the threshold that maximises the objective, by exact search over all distinct
    scores (see `fit_threshold`). Multiclass and ordinal: the most likely class, after the shift; multiclass with
    ``method="shrunk"`` leans towards rare classes as far as validation shows it to pay (see `fit_leaning`).

    Args:
        scores: of the validation role.
        maximize: "f1", "balanced_accuracy" or "youden".
        log_odds_shift: shape (classes,), as `Ledger.log_odds_shift`: what the corrections in training added to the
            log-odds. It is subtracted, so that probabilities are those at natural prevalence. None: nothing was added.
        empty: what to do about a class without a known positive (or negative): "error", or "never" to predict it never
            (a class without negatives: always) and note it.
        method: "exact" takes the best cut on these rows; "shrunk" its mean over 100 bootstrap samples (of groups, where
            there are any), drawn to the threshold that the probabilities promise where positives are few (see
            `decision/shrinkage.py`): steadier with less than a few hundred positives.

    Raises:
        ArgumentError: another role than validation, an unknown objective, or a shift of the wrong shape.
        DataError: a class without positives or negatives, unless told what to do about it.

    Example:
        >>> scores = Scores(labels=[0, 0, 1, 1], values=[0.1, 0.2, 0.8, 0.9], kind="probabilities", ids=list("abcd"),
        ...                 role="validation", classes=["Mass"])
        >>> rule = fit_decision(scores)
        >>> rule.thresholds.round(6), rule.apply(scores).predictions
        (array([0.5]), array([0, 0, 1, 1], dtype=int8))
    """
    check_one_of(maximize, OBJECTIVES, argument="maximize", function="fit_decision")
    check_one_of(method, METHODS, argument="method", function="fit_decision")
    check_one_of(empty, ("error", "never"), argument="empty", function="fit_decision")
    if scores.role != "validation":
        raise ArgumentError(
            f"A rule is fitted on the validation role only; these scores are of the role {scores.role}. "
            'Pass validation scores (if these rows were held out for that, declare role="validation").'
        )
    shift = check_shift(log_odds_shift, len(scores.classes))
    natural, truth = scores.shifted(shift), scores.table()
    positives = (truth == 1).sum(axis=0)
    negatives = (truth == 0).sum(axis=0)
    common: dict[str, Any] = {
        "task": scores.task,
        "classes": scores.classes,
        "log_odds_shift": shift,
        "positives": positives,
        "negatives": negatives,
        "fitted_on": FittedOn.from_scores(scores),
    }
    if scores.exclusive:
        if method == "shrunk" and scores.task == "multiclass" and positives.any():
            common["class_offsets"] = fit_leaning(natural.labels, natural.log_values(), maximize)[1]
        return DecisionRule(maximize="argmax", method=method, thresholds=None, **common)
    probabilities = natural.probability_table()
    resamples = None
    if method == "shrunk":
        resamples = draw_resamples(scores.id_keys() if scores.groups is None else hash_ids(scores.groups))
    fitted, notes = [], []
    for index, name in enumerate(scores.classes):
        labels, values = truth[:, index], probabilities[:, index]
        ranked = rank_class(labels, values)
        one = _fit_class(ranked, name, maximize, empty)
        if resamples is not None and ranked.positives * ranked.negatives > 0:
            one, calibrated = shrunk_threshold(labels, values, resamples, maximize)
            notes += [] if calibrated else [_NOT_CALIBRATED.format(name=name, share=ranked.positives)]
        fitted.append(one)
        notes += _class_notes(one, ranked, name)
    return DecisionRule(
        maximize=maximize,
        method=method,
        thresholds=np.array([one.threshold for one in fitted]),
        fitted_values=np.array([one.value for one in fitted]),
        notes=tuple(notes),
        **common,
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


def _fit_class(ranked: RankedClass, name: str, maximize: str, empty: str) -> FittedThreshold:
    if ranked.positives * ranked.negatives > 0:
        return best_threshold(ranked, maximize)
    missing = "positive" if ranked.positives == 0 else "negative"
    if empty == "error":
        raise DataError(
            f'class "{name}": no {missing} among the {ranked.positives + ranked.negatives:.0f} known labels of the '
            "validation role, so no threshold can be fitted. Leave the class out, put some of its cases into the "
            'validation role, or accept that it is never predicted with empty="never" (command line: --empty never).'
        )
    threshold = NEVER if missing == "positive" else ALWAYS
    return FittedThreshold(threshold, float("nan"), ranked.positives, ranked.negatives)


def _class_notes(fitted: FittedThreshold, ranked: RankedClass, name: str) -> list[str]:
    if fitted.positives == 0 or fitted.negatives == 0:
        missing, said = ("positive", "never") if fitted.positives == 0 else ("negative", "always")
        return [f"{name} has no known {missing} in the validation role: it is {said} predicted."]
    notes = []
    if len(ranked.values) == 1:
        notes.append(f"{name} has the same score in every row: no threshold can tell its cases apart.")
    elif fitted.threshold in (ALWAYS, NEVER):
        said = "never" if fitted.threshold == NEVER else "always"
        notes.append(f"{name} does not rank: predicting it {said} was as good as any threshold.")
    if fitted.positives < _FEW:
        notes.append(f"The threshold of {name} rests on {fitted.positives:.0f} positives only: expect it to move.")
    return notes


def _plain(values: NDArray | None) -> list[float | int | None] | None:
    """Return a list for JSON, in which what is not finite is null."""
    if values is None:
        return None
    return [one if np.isfinite(one) else None for one in values.tolist()]
