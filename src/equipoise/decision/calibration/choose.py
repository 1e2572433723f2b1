"""What `fit_decision(calibrate=...)` does: choose, fit, and hand on scores that the calibration does not flatter."""

from __future__ import annotations

import numpy as np

from equipoise._checks import check_one_of
from equipoise.decision.calibration.fit import (
    check_method,
    cross_fit_classes,
    enough_cases,
    fit_classes,
    left_notes,
)
from equipoise.decision.calibration.need import calibration_need, usual_method
from equipoise.decision.calibration.record import EXCLUSIVE_METHODS, METHODS, Calibration
from equipoise.scores import Scores

CHOICES = ("none", "auto", *dict.fromkeys((*METHODS, *EXCLUSIVE_METHODS)))
_FOLDS = 5


def calibrate_scores(scores: Scores, calibrate: str) -> tuple[Scores, Calibration | None, tuple[str, ...]]:
    """Return scores calibrated out of fold, the calibration fitted on all of them, and what was decided.

    Args:
        scores: of the validation role, at natural prevalence.
        calibrate: "none"; a method of `fit_calibration`; or "auto", which fits "platt" (for exclusive classes
            "temperature_bias", for more than 100 "temperature") to the classes that `calibration_need` names, and to no
            other.

    Returns:
        The scores as they were and None where nothing was fitted. Sentences for the notes of a rule.

    Raises:
        ArgumentError: no such choice, or a method of other tasks.

    Example:
        >>> scores = Scores(labels=[0, 0, 0, 1] * 10 + [0, 1, 1, 1] * 10, values=[0.1] * 40 + [0.9] * 40,
        ...                 kind="probabilities", ids=range(80), role="validation", classes=["Mass"])
        >>> calibrate_scores(scores, "auto")[1].slopes.round(2)
        array([[0.49, 0.49]])
    """
    check_one_of(calibrate, CHOICES, argument="calibrate", function="fit_decision")
    if calibrate == "none":
        return scores, None, ()
    units = len(scores) if scores.groups is None else len(set(scores.groups.tolist()))
    folds = min(_FOLDS, units)
    if folds < 2:
        return scores, None, ("Nothing was calibrated: all rows are of one group.",)
    method = usual_method(scores) if calibrate == "auto" else calibrate
    check_method(scores, method, "one_case", "fit_decision")
    chosen = enough_cases(scores, method, np.ones(len(scores)))
    notes = left_notes(scores, method, chosen)
    if calibrate == "auto":
        need = calibration_need(scores, method, folds=folds)
        notes = [need.sentence, *notes]
        chosen = chosen & np.array([one.needed for one in need.classes])
    if not chosen.any():
        return scores, None, tuple(notes)
    fitted = fit_classes(scores, method, chosen)
    calibrated = cross_fit_classes(scores, method, chosen, folds=folds)
    return calibrated, fitted, (*notes, *fitted.notes)
