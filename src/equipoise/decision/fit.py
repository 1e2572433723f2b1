"""`fit_decision`: a rule from scores of the validation role."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._checks import ArgumentError, DataError, check_one_of
from equipoise.decision.calibration import calibrate_scores
from equipoise.decision.fitted_on import FittedOn
from equipoise.decision.offsets import fit_leaning
from equipoise.decision.rule import DecisionRule, check_shift
from equipoise.decision.shrinkage import draw_resamples, shrunk_threshold
from equipoise.decision.thresholds import ALWAYS, METHODS, NEVER, OBJECTIVES, FittedThreshold, best_threshold
from equipoise.metrics.ranking import RankedClass, rank_classes
from equipoise.scores import Scores
from equipoise.scores.ids import hash_ids

_NOT_CALIBRATED = (
    "The probabilities of {name} do not add up to its {share:.0f} positives, so its threshold was not drawn to "
    "what they promise. If training was weighted, pass log_odds_shift."
)
_FEW = 10  # positives below which a threshold is said to rest on few


def fit_decision(
    scores: Scores,
    maximize: str = "f1",
    *,
    log_odds_shift: Any = None,
    empty: str = "error",
    method: str = "exact",
    calibrate: str = "none",
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
        calibrate: "none" takes probabilities as they are; "platt" or another method of `fit_calibration` fits that one
            after the shift; "auto" fits one to the classes that `calibration_need` shows to need it, and says so in the
            notes. Thresholds are then fitted on cross-fitted probabilities (`cross_fit`).

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
    natural, calibration, said = calibrate_scores(scores.shifted(shift), calibrate)
    truth = scores.table()
    positives = (truth == 1).sum(axis=0)
    negatives = (truth == 0).sum(axis=0)
    common: dict[str, Any] = {
        "task": scores.task,
        "classes": scores.classes,
        "log_odds_shift": shift,
        "calibration": calibration,
        "positives": positives,
        "negatives": negatives,
        "fitted_on": FittedOn.from_scores(scores),
    }
    if scores.exclusive:
        if method == "shrunk" and scores.task == "multiclass" and positives.any():
            common["class_offsets"] = fit_leaning(natural.labels, natural.log_values(), maximize)[1]
        return DecisionRule(maximize="argmax", method=method, thresholds=None, notes=said, **common)
    probabilities = natural.probability_table()
    resamples = None
    if method == "shrunk":
        resamples = draw_resamples(scores.id_keys() if scores.groups is None else hash_ids(scores.groups))
    fitted: list[FittedThreshold] = []
    notes = list(said)
    for index, (name, ranked) in enumerate(zip(scores.classes, rank_classes(truth, probabilities), strict=True)):
        one = _fit_class(ranked, name, maximize, empty)
        if resamples is not None and ranked.positives * ranked.negatives > 0:
            one, calibrated = shrunk_threshold(truth[:, index], probabilities[:, index], resamples, maximize)
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
    if ranked.lowest == ranked.highest:
        notes.append(f"{name} has the same score in every row: no threshold can tell its cases apart.")
    elif fitted.threshold in (ALWAYS, NEVER):
        said = "never" if fitted.threshold == NEVER else "always"
        notes.append(f"{name} does not rank: predicting it {said} was as good as any threshold.")
    if fitted.positives < _FEW:
        notes.append(f"The threshold of {name} rests on {fitted.positives:.0f} positives only: expect it to move.")
    return notes
