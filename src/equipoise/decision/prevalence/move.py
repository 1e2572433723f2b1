"""A rule moved to another prevalence: probabilities by a shift of log-odds, thresholds where that is known how."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, listed, nearest
from equipoise._tasks import is_exclusive
from equipoise.decision.calibration.fit import cross_fit_classes
from equipoise.decision.rule import DecisionRule
from equipoise.decision.thresholds import fit_threshold
from equipoise.scores import Scores
from equipoise.scores.record import logit, sigmoid

# Objectives that do not depend on the prevalence: the best cut stays between the same cases.
SAME_CASES = ("balanced_accuracy", "youden", "recall")
_COST = "cost"  # the best threshold is a probability that follows from the costs alone
_SUM_ROUNDING = 1e-3


def move_rule(
    rule: DecisionRule, prevalence: Any, *, scores: Scores | None = None, reference: Any = None
) -> DecisionRule:
    """Return a rule whose probabilities and thresholds are those at another prevalence (prior shift).

    With pi the prevalence that the probabilities of the rule are at and pi' the other, log-odds move by logit pi' -
    logit pi (log-probabilities of exclusive classes by log pi' - log pi and are normalised again): Saerens, Latinne and
    Decaestecker 2002, equation 2.4. The shift goes into `Calibration.offsets` where the rule is calibrated, else into
    `log_odds_shift`.

    Thresholds, class by class:

    - with `scores` of the validation role they are fitted again, for the objective of the rule, each positive counted
      pi' / pi times and each negative (1 - pi') / (1 - pi) times (after cross-fitting, where the rule is calibrated);
    - without: for balanced accuracy, Youden's J and a wanted recall the threshold moves along with the probabilities,
      so that the same cases are predicted, because these do not depend on the prevalence; for a cost it stays the
      probability that it is, because it follows from the costs; for F1 and others it is kept as a probability, and the
      notes say that it was not fitted again.

    Offsets of exclusive classes move against the probabilities for balanced accuracy and are kept for other objectives.
    What was measured at the old prevalence (values, intervals) is dropped. The notes say what was done.

    Args:
        rule: any rule.
        prevalence: in (0, 1), one for a rule of one class, one per class, or a dictionary from class to share; NaN, or
            a class that the dictionary lacks, stays where it is. Of exclusive classes all are needed and sum to 1.
        scores: of the validation role, to fit thresholds again.
        reference: prevalence that the rule's probabilities are at, in the same forms. None: `rule.prevalence` where it
            has been moved before, else the share of positives among the rows it was fitted on.

    Raises:
        ArgumentError: a prevalence that is not between 0 and 1, of another number of classes or that does not sum to 1;
            no reference is known; scores of another role or of other classes.

    Example:
        From one positive in ten to one in two, the odds grow ninefold:

        >>> import numpy as np
        >>> rule = DecisionRule("binary", ("Mass",), "fixed", np.array([0.5]), np.zeros(1))
        >>> moved = move_rule(rule, 0.5, reference=0.1)
        >>> np.exp(-moved.log_odds_shift).round(6), moved.thresholds
        (array([9.]), array([0.5]))
    """
    here = _reference(rule, reference)
    there = np.where(np.isnan(given := check_prevalence(rule, prevalence, "prevalence")), here, given)
    if is_exclusive(rule.task):
        _check_sum(there, "prevalence")
        move = np.log(there) - np.log(here)
    else:
        move = logit(there) - logit(here)
    moved = _shifted(rule, np.where(np.isnan(move), 0.0, move))
    notes = [_said(rule.classes, here, there)]
    changes: dict[str, Any] = {}
    if moved.thresholds is not None:
        if scores is not None:
            changes["thresholds"], more = _fitted_again(rule, moved, scores, here, there)
        else:
            changes["thresholds"], more = _carried(rule, move)
        notes += more
    elif moved.class_offsets is not None and _kind(rule) in SAME_CASES:
        changes["class_offsets"] = moved.class_offsets - move
        notes.append("Its class offsets moved against the probabilities: the same cases are predicted.")
    elif moved.class_offsets is not None or moved.cut_points is not None:
        notes.append("Its offsets or cut points were kept as they are: they were not fitted again.")
    for dropped in ("interval_low", "interval_high", "fitted_values", "corrected_values"):
        changes[dropped] = None
    return dataclasses.replace(
        moved, **changes, fitted_overall=None, corrected_overall=None, prevalence=there, notes=(*rule.notes, *notes)
    )


def check_prevalence(rule: DecisionRule, given: Any, argument: str) -> Floats:
    """Return a prevalence per class, NaN for classes that are not named, shape (classes,).

    Raises:
        ArgumentError: a share that is not between 0 and 1, an unknown class, or another number of classes.
    """
    count = len(rule.classes)
    if isinstance(given, Mapping):
        for name in given:
            if name not in rule.classes:
                raise ArgumentError(f"`{argument}` names an unknown class {name!r}.{nearest(name, rule.classes)}")
        given = [given.get(name, np.nan) for name in rule.classes]
    try:
        shares = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"`{argument}` must be numbers between 0 and 1; got {given!r}.") from error
    if shares.shape not in ((count,), ()) or (shares.shape == () and count > 1):
        raise ArgumentError(
            f"`{argument}` must be one share for each of {count} classes, or a dictionary from class to share; got "
            f"shape {shares.shape}. The classes are {listed(rule.classes)}."
        )
    shares = shares.reshape(count)
    wrong = ~np.isnan(shares) & ~((shares > 0) & (shares < 1))
    if wrong.any():
        name, value = rule.classes[int(wrong.argmax())], float(shares[wrong][0])
        raise ArgumentError(
            f'`{argument}` of class "{name}" must be above 0 and below 1; got {value:g}. '
            "For a class that does not occur, set its threshold to never instead."
        )
    if is_exclusive(rule.task) and np.isnan(shares).any():
        missing = [name for name, share in zip(rule.classes, shares, strict=True) if np.isnan(share)]
        raise ArgumentError(f"`{argument}` of exclusive classes needs all of them; {listed(missing)} is missing.")
    return shares


def _reference(rule: DecisionRule, given: Any) -> Floats:
    if given is not None:
        return check_prevalence(rule, given, "reference")
    if rule.prevalence is not None:
        return rule.prevalence
    if rule.positives is None or rule.negatives is None:
        raise ArgumentError(
            "The rule does not say at which prevalence its probabilities are: nothing was fitted. Pass reference=, the "
            "share of positives where the model was made."
        )
    totals = rule.positives + rule.negatives
    shares = np.divide(rule.positives, totals, out=np.full(len(totals), np.nan), where=totals > 0)
    unusable = (shares == 0) | (shares == 1)
    if is_exclusive(rule.task) and (unusable.any() or np.isnan(shares).any()):
        names = [name for name, bad in zip(rule.classes, unusable | np.isnan(shares), strict=True) if bad]
        raise ArgumentError(f"The rule was fitted without a case of {listed(names)}. Pass reference= for all classes.")
    return np.where(unusable, np.nan, shares)


def _check_sum(shares: Floats, argument: str) -> None:
    if abs(shares.sum() - 1) > _SUM_ROUNDING:
        raise ArgumentError(f"`{argument}` of exclusive classes must sum to 1; got {shares.sum():.4g}.")


def _shifted(rule: DecisionRule, move: Floats) -> DecisionRule:
    if rule.calibration is not None:
        return dataclasses.replace(rule, calibration=rule.calibration.moved(move))
    return dataclasses.replace(rule, log_odds_shift=rule.log_odds_shift - move)


def _said(classes: tuple[str, ...], here: Floats, there: Floats) -> str:
    moved = [
        f"{name} from {old:.3g} to {new:.3g}"
        for name, old, new in zip(classes, here, there, strict=True)
        if not np.isnan(new) and new != old
    ]
    return f"Moved to another prevalence: {', '.join(moved) or 'no class'}."


def _kind(rule: DecisionRule) -> str:
    """Return the name of the objective without its numbers."""
    for mark in (":", ">", "="):
        rule_name = rule.maximize.split(mark)[0]
        if rule_name != rule.maximize:
            return rule_name.strip()
    return rule.maximize


def _carried(rule: DecisionRule, move: Floats) -> tuple[Floats, list[str]]:
    """Return the thresholds without scores to fit them again, and what was done with them."""
    assert rule.thresholds is not None
    thresholds = rule.thresholds.copy()
    kind = _kind(rule)
    if kind in SAME_CASES:
        inner = (thresholds > 0) & (thresholds < 1) & ~np.isnan(move)
        thresholds[inner] = sigmoid(logit(thresholds[inner]) + move[inner])
        return thresholds, [
            f"Thresholds moved along: {rule.maximize} does not depend on it, the same cases are predicted."
        ]
    if kind == _COST:
        return thresholds, ["Thresholds were kept: they follow from the costs."]
    if kind == "fixed":
        return thresholds, ["Thresholds were given by hand and kept."]
    return thresholds, [
        f"Thresholds were kept as probabilities: they were fitted for {rule.maximize} at the old prevalence. Pass "
        "validation scores to fit them again."
    ]


def _fitted_again(
    rule: DecisionRule, moved: DecisionRule, scores: Scores, here: Floats, there: Floats
) -> tuple[Floats, list[str]]:
    """Return thresholds fitted on validation scores that are weighted to the other prevalence."""
    if scores.role != "validation":
        raise ArgumentError(
            f"Thresholds are fitted again on the validation role only; these scores are of the role {scores.role}. "
            "Pass the validation scores, or none."
        )
    kept, notes = _carried(rule, np.where(np.isnan(there), np.nan, logit(there) - logit(here)))
    if _kind(rule) in ("fixed", "micro_f1"):
        return kept, notes
    probabilities, truth = _moved_scores(moved, scores, there).probability_table(), scores.table()
    left = []
    for index, name in enumerate(rule.classes):
        labels = truth[:, index]
        positives, negatives = (labels == 1).sum(), (labels == 0).sum()
        if not positives * negatives or np.isnan(there[index]):
            left.append(name)
            continue
        share = positives / (positives + negatives)
        weights = np.where(labels == 1, there[index] / share, (1 - there[index]) / (1 - share))
        found = fit_threshold(labels, probabilities[:, index], maximize=rule.maximize, sample_weights=weights)
        kept[index] = found.threshold
    notes = [f"Thresholds were fitted again for {rule.maximize} at the new prevalence, on {len(scores):,} rows."]
    if left:
        notes.append(f"Not so for {listed(left)}: no positives or negatives, or no prevalence.")
    return kept, notes


def _moved_scores(moved: DecisionRule, scores: Scores, there: Floats) -> Scores:
    """Return scores at the new prevalence; calibrated ones out of fold, so that thresholds are not flattered."""
    units = len(scores) if scores.groups is None else len(set(scores.groups.tolist()))
    if moved.calibration is None or moved.positives is None or moved.negatives is None or units < 2:
        return moved.natural(scores)
    chosen = np.array(moved.calibration.fitted)
    shifted = scores.shifted(moved.log_odds_shift)
    calibrated = cross_fit_classes(shifted, moved.calibration.method, chosen, folds=min(5, units))
    # What is calibrated is at the prevalence of the rows it was fitted on; other classes have moved by their offset.
    fitted_at = moved.positives / np.maximum(moved.positives + moved.negatives, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        move = np.where(chosen, logit(there) - logit(fitted_at), moved.calibration.offsets)
    return calibrated.shifted(-np.nan_to_num(move))
