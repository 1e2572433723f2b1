"""`fit_decision`: a rule from scores of the validation role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, DataError, check_one_of, listed
from equipoise.decision.calibration import calibrate_scores
from equipoise.decision.exclusive import Exclusive, fit_exclusive
from equipoise.decision.fitted_on import FittedOn
from equipoise.decision.objectives import Objective, check_objective, parse_objective
from equipoise.decision.offsets import searchable
from equipoise.decision.per_class import Fitted, YesNo, fit_yes_no
from equipoise.decision.resampling import Groups
from equipoise.decision.rule import DecisionRule, check_shift
from equipoise.decision.thresholds import ALWAYS, METHODS, NEVER
from equipoise.metrics.ranking import RankedClass, rank_classes
from equipoise.scores import Scores
from equipoise.scores.ids import hash_ids

_NOT_CALIBRATED = (
    "The probabilities of {name} do not add up to its {share:.0f} positives, so its threshold was not drawn to "
    "what they promise. If training was weighted, pass log_odds_shift."
)
_NOTHING_DRAWN = (
    "{name}: no interval and no corrected figure, because its positives or its negatives are all of one row or group, "
    "so there is nothing to resample."
)
_FEW = 10  # positives below which a threshold is said to rest on few
_STEADIER = 50  # positives below which the exact search is pointed to the shrunk one
_MOST_NOTES = 20  # classes up to which each is told what it reaches on rows left out


def fit_decision(
    scores: Scores,
    maximize: str | Objective = "f1",
    *,
    log_odds_shift: Any = None,
    empty: str = "error",
    method: str = "exact",
    calibrate: str = "none",
    intervals: bool = True,
) -> DecisionRule:
    """Return a rule fitted on scores of the validation role.

    Binary and multilabel: a threshold for each class that is the best there is for the objective, over all distinct
    scores (see `fit_threshold`); best for each class, they are best for its mean over classes (macro-F1) too, and for
    "micro_f1" they are the best together. Multiclass: an offset for each class (see `fit_offsets`). Ordinal: offsets,
    and for "qwk" and "mae" cut points of the expected grade (see `fit_cut_points`).

    Each number comes with a bootstrap interval, the positives behind it, and the objective both on these rows and
    without its optimism (see `fit_yes_no`); groups are drawn and left out whole.

    Args:
        scores: of the validation role.
        maximize: "f1", "micro_f1", "fbeta:2", "balanced_accuracy", "youden", "mcc", "cost:1:10" (of a false positive :
            of a false negative), "recall>=0.9", "precision>=0.5", "alarms=0.05" (share predicted positive); exclusive
            classes: "f1", "balanced_accuracy", "accuracy", "costs:0,1/5,0" (true classes in rows), ordinal ones also
            "qwk" and "mae", and "argmax" for the most likely class.
        log_odds_shift: shape (classes,), as `Ledger.log_odds_shift`: what the corrections in training added to the
            log-odds. It is subtracted, so that probabilities are those at natural prevalence. None: nothing was added.
        empty: what to do about a class without a known positive (or negative): "error", or "never" to predict it never
            (a class without negatives: always) and note it.
        method: "exact" takes the best on these rows. "shrunk" takes its mean over bootstrap samples, drawn to the
            threshold that the probabilities promise where positives are few, with weight 20 / (20 + positives) (see
            `decision/shrinkage.py`): steadier, and better on other rows with less than a hundred positives. Offsets
            become one leaning towards rare classes (`fit_leaning`), cut points their mean over bootstrap samples.
        calibrate: "none" takes probabilities as they are; "platt" or another method of `fit_calibration` fits that one
            after the shift; "auto" fits one to the classes that `calibration_need` shows to need it, and says so in the
            notes. Thresholds are then fitted on cross-fitted probabilities (`cross_fit`).
        intervals: False leaves out intervals, figures without their optimism and notes on classes, which take most of
            the time; the thresholds are the same.

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
    objective = parse_objective(maximize, function="fit_decision")
    check_one_of(method, METHODS, argument="method", function="fit_decision")
    check_one_of(empty, ("error", "never"), argument="empty", function="fit_decision")
    check_objective(objective, scores.task, function="fit_decision")
    if scores.role != "validation":
        raise ArgumentError(
            f"A rule is fitted on the validation role only; these scores are of the role {scores.role}. "
            'Pass validation scores (if these rows were held out for that, declare role="validation").'
        )
    shift = check_shift(log_odds_shift, len(scores.classes))
    natural, calibration, said = calibrate_scores(scores.shifted(shift), calibrate)
    truth = scores.table()
    common: dict[str, Any] = {
        "task": scores.task,
        "classes": scores.classes,
        "maximize": str(objective),
        "log_odds_shift": shift,
        "calibration": calibration,
        "positives": (truth == 1).sum(axis=0),
        "negatives": (truth == 0).sum(axis=0),
        "fitted_on": FittedOn.from_scores(scores),
        "method": method,
        "notes": tuple(said),
    }
    groups = Groups.of(scores.id_keys() if scores.groups is None else hash_ids(scores.groups))
    if scores.exclusive:
        return _exclusive_rule(natural, groups, objective, common, intervals=intervals)
    return _yes_no_rule(natural, truth, groups, objective, empty, common, intervals=intervals)


def _exclusive_rule(
    natural: Scores, groups: Groups, objective: Objective, common: dict[str, Any], *, intervals: bool
) -> DecisionRule:
    known = ~np.isnan(natural.labels)
    if not known.any():
        raise DataError("No label of the validation role is known, so nothing can be fitted. Pass labelled rows.")
    method, notes = common["method"], list(common["notes"])
    graded = objective.name in ("qwk", "mae")
    plain = objective.name == "argmax" or (method == "shrunk" and natural.task == "ordinal" and not graded)
    if plain:
        return DecisionRule(thresholds=None, **common | {"maximize": "argmax"})
    if not graded and method == "exact" and not searchable(int(known.sum()), len(natural.classes)):
        notes.append(
            f"{int(known.sum()):,} rows of {len(natural.classes):,} classes are too many to search an offset for each: "
            "one leaning towards rare classes was fitted."
        )
        method = "shrunk"
    absent = [name for name, count in zip(natural.classes, common["positives"].tolist(), strict=True) if not count]
    if absent:
        notes.append(f"No known row of {listed(absent)}: nothing says how far to lean towards it.")
    groups = Groups(groups.member[known], groups.count, groups.seed)
    problem = Exclusive(natural.labels[known].astype(np.int64), natural.log_values()[known], groups, objective)
    fitted = fit_exclusive(problem, method, intervals=intervals)
    drawn = intervals and len(np.unique(groups.member)) > 1
    if intervals and not drawn:
        notes.append("All rows are of one group: there is nothing to resample, so no interval and no corrected figure.")
    return DecisionRule(
        thresholds=None,
        class_offsets=None if graded else fitted.parameters,
        cut_points=fitted.parameters if graded else None,
        interval_low=fitted.low if drawn else None,
        interval_high=fitted.high if drawn else None,
        fitted_overall=_finite(fitted.overall),
        corrected_overall=_finite(fitted.corrected) if drawn else None,
        **common | {"notes": tuple(notes)},
    )


def _yes_no_rule(
    natural: Scores, truth: Floats, groups: Groups, objective: Objective, empty: str, common: dict[str, Any], *,
    intervals: bool,
) -> DecisionRule:  # fmt: skip
    probabilities = natural.probability_table()
    ranked = rank_classes(truth, probabilities)
    usable = np.array([one.positives * one.negatives > 0 for one in ranked])
    if objective.name == "alarms":  # a share of all rows, whatever their labels
        usable[:] = True
        ranked = rank_classes(np.zeros_like(truth), probabilities)
    else:
        _check_evaluable(natural, ranked, empty)
    chosen = np.flatnonzero(usable)
    columns: dict[str, Floats] = {
        "thresholds": np.where(common["positives"] == 0, NEVER, ALWAYS),
        **{name: np.full(len(usable), np.nan) for name in ("low", "high", "values", "corrected")},
    }
    fitted = None
    if len(chosen):
        problem = YesNo(
            truth=np.zeros_like(truth) if objective.name == "alarms" else truth[:, chosen],
            probabilities=probabilities[:, chosen],
            ranked=[ranked[index] for index in chosen.tolist()],
            objective=objective,
            groups=groups,
        )
        fitted = fit_yes_no(problem, common["method"], intervals=intervals)
        for name, column in columns.items():
            column[chosen] = getattr(fitted, name)
    said = _notes(natural.classes, ranked, chosen, fitted, objective, common) if intervals else ()
    return DecisionRule(
        thresholds=columns["thresholds"],
        interval_low=columns["low"],
        interval_high=columns["high"],
        fitted_values=columns["values"],
        corrected_values=columns["corrected"],
        fitted_overall=None if fitted is None else fitted.overall,
        corrected_overall=None if fitted is None else fitted.corrected_overall,
        **common | {"notes": (*common["notes"], *said)},
    )


def _check_evaluable(scores: Scores, ranked: Sequence[RankedClass], empty: str) -> None:
    """Raise `DataError` for the first class without positives or negatives, unless told what to do about it."""
    if empty != "error":
        return
    for name, one in zip(scores.classes, ranked, strict=True):
        if not one.positives * one.negatives > 0:
            missing, said = ("positive", "never") if one.positives == 0 else ("negative", "always")
            raise DataError(
                f'class "{name}": no {missing} among the {one.positives + one.negatives:.0f} known labels of the '
                "validation role, so no threshold can be fitted. Leave the class out, put some of its cases into the "
                f'validation role, or accept that it is {said} predicted with empty="never" (command line: '
                "--empty never)."
            )


def _notes(
    classes: tuple[str, ...],
    ranked: Sequence[RankedClass],
    chosen: NDArray[np.int64],
    fitted: Fitted | None,
    objective: Objective,
    common: dict[str, Any],
) -> list[str]:
    """Return sentences about classes whose threshold rests on little, or does not do what was asked."""
    places = {index: place for place, index in enumerate(chosen.tolist())}
    notes: list[str] = []
    for index, (name, one) in enumerate(zip(classes, ranked, strict=True)):
        if fitted is None or index not in places:
            missing, said = ("positive", "never") if one.positives == 0 else ("negative", "always")
            notes.append(f"{name} has no known {missing} in the validation role: it is {said} predicted.")
            continue
        place = places[index]
        if fitted.uncalibrated[place]:
            notes.append(_NOT_CALIBRATED.format(name=name, share=one.positives))
        if np.isnan(fitted.corrected[place]):
            notes.append(_NOTHING_DRAWN.format(name=name))
        notes += _class_notes(name, one, float(fitted.thresholds[place]), objective)
        if objective.is_target and objective.name != "alarms":
            notes += _target_notes(name, one, fitted, place, objective, len(chosen))
    few = [name for index, name in enumerate(classes) if index in places and ranked[index].positives < _STEADIER]
    if few and common["method"] == "exact" and objective.name != "alarms":
        which = f"{listed(few, limit=3)} {'has' if len(few) == 1 else 'have'}".replace('"', "")
        notes.append(
            f'{which} fewer than {_STEADIER} positives: method="shrunk" (command line: --method shrunk) usually does '
            "better on other rows."
        )
    return notes


def _class_notes(name: str, ranked: RankedClass, threshold: float, objective: Objective) -> list[str]:
    notes = []
    if ranked.lowest == ranked.highest:
        notes.append(f"{name} has the same score in every row: no threshold can tell its cases apart.")
    elif objective.name == "alarms" and threshold == NEVER:
        notes.append(
            f"{name} is never predicted: its highest score is shared by more than {objective.parameters[0]:.4g} of the "
            "rows, and the nearest share within reach is 0."
        )
    elif threshold in (ALWAYS, NEVER) and objective.name not in ("alarms", "recall>="):
        said = "never" if threshold == NEVER else "always"
        notes.append(f"{name} does not rank: predicting it {said} was as good as any threshold.")
    if objective.name != "alarms" and ranked.positives < _FEW:
        notes.append(f"The threshold of {name} rests on {ranked.positives:.0f} positives only: expect it to move.")
    return notes


def _target_notes(
    name: str, ranked: RankedClass, fitted: Fitted, place: int, objective: Objective, classes: int
) -> list[str]:
    """Return what a target came to: on these rows where it was missed, and on rows left out."""
    what, aim = objective.name.removesuffix(">="), objective.parameters[0]
    hits, alarms, positives, _ = fitted.reached[:, place].tolist()
    got = hits / positives if what == "recall" else hits / max(hits + alarms, 1.0)
    notes = []
    if got < aim - 1e-12:
        notes.append(
            f"No threshold of {name} has a {what} of {aim:.4g} on these rows: it is the one that comes nearest, with a "
            f"{what} of {got:.4g}."
            if fitted.searched
            else f"The shrunk threshold of {name} has a {what} of {got:.4g} on these rows, not the {aim:.4g} asked for."
        )
    if classes <= _MOST_NOTES and np.isfinite(fitted.corrected[place]):
        hits, alarms, positives, _ = fitted.left_out[:, place].tolist()
        new = hits / positives if what == "recall" else hits / max(hits + alarms, 1.0)
        notes.append(f"On rows left out of the fit the {what} of {name} is {new:.3f} (asked for: {aim:.4g}).")
    return notes


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
