"""Fitting a calibration, and calibrated scores of rows that it was not fitted on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_number, check_one_of
from equipoise.decision.calibration._odds import finite_odds, from_odds
from equipoise.decision.calibration._sigmoid import (
    SMOOTHINGS,
    ClassMap,
    fit_beta,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)
from equipoise.decision.calibration._softmax import fit_softmax
from equipoise.decision.calibration.record import EXCLUSIVE_METHODS, METHODS, Calibration
from equipoise.scores import Scores
from equipoise.scores.ids import hash_ids

# Positives, and negatives, that a class must have to be fitted: one more than the numbers that are fitted to them. With
# as few the ridge of one case still helps models that are far off, and those that are not are left alone by "auto"
# (benchmarks/calibration.py: on nine small tables ten for each number gave away half of the gain).
FEWEST = {"temperature": 2, "class_temperature": 2, "platt": 3, "beta": 4, "isotonic": 10}
FEWEST_EXCLUSIVE = {"temperature": 2, "temperature_bias": 3, "vector": 4}
MOST_CLASSES = 100  # with numbers of their own: beyond, the table of second derivatives takes too long
_FITS: dict[str, Callable[[Floats, Floats, Floats, str], ClassMap]] = {
    "temperature": fit_temperature,
    "class_temperature": fit_temperature,
    "platt": fit_platt,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}


def fit_calibration(
    scores: Scores, method: str = "platt", *, smoothing: str = "one_case", sample_weights: Any = None
) -> Calibration:
    """Return the map of a family that has the least log loss on scores of the validation role.

    Yes-or-no classes, with p the probability of a class and z its log-odds: "temperature" z / T with one T for all;
    "class_temperature" with one per class; "platt" a z + c; "beta" a log p - b log(1 - p) + c; "isotonic" any rising
    function. Exclusive classes, with l their log-probabilities: "temperature" l / T; "temperature_bias" l / T + c_k;
    "vector" a_k l + c_k. No map reverses a ranking (slopes are at least 0).

    A class is fitted that has more known positives, and more known negatives, than numbers are fitted to it (that is
    temperature 2, Platt 3, beta 4; isotonic 10; of exclusive classes offsets 3 cases, slopes and offsets 4, and a
    temperature 2 cases outside the commonest class); others are left as they are and named in the notes. The minimum is
    found by Newton's method. So that it is finite where a score separates the classes, slopes are drawn to 0 as by one
    case more (`one_case_ridge`). Unknown labels are left out. The result is that of the scores given: subtract the
    shift of the corrections first (`Scores.shifted`; `fit_decision` does so).

    Args:
        scores: of the validation role, at natural prevalence.
        method: see above.
        smoothing: "one_case"; "platt" to fit Platt's targets (`soft_targets`) instead of the labels, which draws the
            probabilities of a class with few positives to the middle (yes-or-no classes only, and always so for the
            levels of "isotonic"); "none" for neither (a ridge of 1e-6 is left).
        sample_weights: non-negative weight per row.

    Raises:
        ArgumentError: another role, a method of other tasks, or weights that cannot be.

    Source: Guo et al., ICML 2017; Platt 1999; Kull, Silva Filho and Flach, AISTATS 2017; Zadrozny and Elkan, KDD 2002.

    Example:
        Of rows that are called one in ten, one in four is positive, of those called nine in ten, three in four: all
        log-odds are twice what they should be.

        >>> scores = Scores(labels=[0, 0, 0, 1] * 10 + [0, 1, 1, 1] * 10, values=[0.1] * 40 + [0.9] * 40,
        ...                 kind="probabilities", ids=range(80), role="validation", classes=["Mass"])
        >>> calibration = fit_calibration(scores, "temperature", smoothing="none")
        >>> calibration.slopes.round(3), calibration.apply(scores).values[[0, 79]].round(4)
        (array([[0.5, 0.5]]), array([0.25, 0.75]))
    """
    check_method(scores, method, smoothing, "fit_calibration")
    weights = _row_weights(sample_weights, len(scores), "fit_calibration")
    chosen = enough_cases(scores, method, weights)
    fitted = fit_classes(scores, method, chosen, smoothing=smoothing, weights=weights)
    return dataclasses.replace(fitted, notes=(*left_notes(scores, method, chosen), *fitted.notes))


def cross_fit(
    scores: Scores, method: str = "platt", *, folds: int = 5, seed: int = 0, smoothing: str = "one_case"
) -> Scores:
    """Return the scores, each calibrated by a map that was fitted on other rows.

    The rows are dealt into folds, groups whole and the positives of each class evenly; the rows of a fold are mapped by
    a calibration fitted on all the others. What is fitted or judged on the result is not flattered by the calibration.
    Classes that `fit_calibration` would leave as they are on all rows are left here.

    Args:
        scores: of the validation role, at natural prevalence.
        method: see `fit_calibration`.
        folds: how many, at least 2; no more than there are groups.
        seed: of the deal; it depends on the ids (or groups) but not on the order of the rows.
        smoothing: see `fit_calibration`.

    Raises:
        ArgumentError: another role, method, or number of folds; fewer groups than folds.

    Example:
        >>> scores = Scores(labels=[0, 0, 0, 1] * 10 + [0, 1, 1, 1] * 10, values=[0.1] * 40 + [0.9] * 40,
        ...                 kind="probabilities", ids=range(80), role="validation", classes=["Mass"])
        >>> bool((np.abs(cross_fit(scores, "temperature").values - scores.values) > 0.05).all())
        True
    """
    check_method(scores, method, smoothing, "cross_fit")
    chosen = enough_cases(scores, method, np.ones(len(scores)))
    return cross_fit_classes(scores, method, chosen, folds=folds, seed=seed, smoothing=smoothing)


def cross_fit_classes(
    scores: Scores,
    method: str,
    chosen: NDArray[np.bool_],
    *,
    folds: int = 5,
    seed: int = 0,
    smoothing: str = "one_case",
) -> Scores:
    """Return `cross_fit` of the chosen classes, whatever their number of cases; the others are left as they are."""
    fold, odds = deal_folds(scores, folds=folds, seed=seed), finite_odds(scores).copy()
    for one in range(int(fold.max()) + 1):
        fitted = fit_classes(scores, method, chosen, smoothing=smoothing, weights=(fold != one).astype(np.float64))
        odds[fold == one] = fitted.map_odds(odds[fold == one])
    return from_odds(scores, odds)


def deal_folds(scores: Scores, *, folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row, from 0. Groups stay whole; those with positives of the rarest class are dealt first.

    Raises:
        ArgumentError: `folds` is no whole number of at least 2, or there are fewer groups than folds.
    """
    count = int(check_number(folds, argument="folds", function="cross_fit", at_least=2))
    names = scores.id_keys() if scores.groups is None else hash_ids(scores.groups)
    keys, group = np.unique(names, return_inverse=True)
    if len(keys) < count:
        raise ArgumentError(
            f"`folds` of cross_fit is {count}, but there are {len(keys)} "
            f"{'rows' if scores.groups is None else 'groups'} to deal. Pass fewer folds, or more rows."
        )
    positive = scores.table() == 1
    rarity = np.argsort(np.argsort(positive.sum(axis=0), kind="stable"), kind="stable")
    stratum = np.where(positive, rarity, len(rarity)).min(axis=1)
    of_group = np.full(len(keys), len(rarity))
    np.minimum.at(of_group, group, stratum)
    order = np.lexsort((np.random.default_rng(seed).permutation(len(keys)), of_group))
    dealt = np.empty(len(keys), dtype=np.int64)
    dealt[order] = np.arange(len(keys)) % count
    return dealt[group]


def enough_cases(scores: Scores, method: str, weights: Floats) -> NDArray[np.bool_]:
    """Return which classes have positives and negatives enough for a method, shape (classes,).

    Rows of weight 0 do not count; one temperature for all needs its positives and negatives among all entries.
    """
    truth = scores.table()[weights > 0]
    positives, negatives = (truth == 1).sum(axis=0), (truth == 0).sum(axis=0)
    if scores.exclusive:
        if method == "temperature":
            enough = len(positives) > 1 and positives.sum() - positives.max() >= FEWEST_EXCLUSIVE[method]
            return np.full(len(positives), enough)
        chosen = np.asarray(positives >= FEWEST_EXCLUSIVE[method])
        return chosen if chosen.sum() > 1 else np.zeros_like(chosen)
    if method == "temperature":
        return np.full(len(positives), min(positives.sum(), negatives.sum()) >= FEWEST[method])
    return np.asarray(np.minimum(positives, negatives) >= FEWEST[method])


def fit_classes(
    scores: Scores,
    method: str,
    chosen: NDArray[np.bool_],
    *,
    smoothing: str = "one_case",
    weights: Floats | None = None,
) -> Calibration:
    """Return a calibration of the chosen classes, whatever their number of cases; the others are left as they are."""
    count, odds = len(scores.classes), finite_odds(scores)
    weights = np.ones(len(scores)) if weights is None else weights
    slopes, offsets = np.ones((count, 2)), np.zeros(count)
    steps: list[Any] = [None] * count
    notes: list[str] = []
    if scores.exclusive:
        rows = ~np.isnan(scores.labels) & (weights > 0)
        if chosen.any() and rows.any():
            truth = scores.labels[rows].astype(np.int64)
            plain = smoothing == "none"
            slope, offsets = fit_softmax(truth, odds[rows], weights[rows], method, chosen, plain=plain)
            slopes = np.column_stack([slope, slope])
    else:
        for index, found in _fit_each(scores, odds, method, chosen, smoothing, weights).items():
            slopes[index], offsets[index], steps[index] = (found.low, found.high), found.offset, found.steps
            notes += _map_notes(scores.classes[index], found, odds[:, index])
    return Calibration(
        task=scores.task,
        classes=scores.classes,
        method=method,
        slopes=slopes,
        offsets=offsets,
        fitted=tuple(chosen.tolist()),
        steps=tuple(steps) if method == "isotonic" else None,
        notes=tuple(notes),
    )


def _fit_each(
    scores: Scores, odds: Floats, method: str, chosen: NDArray[np.bool_], smoothing: str, weights: Floats
) -> dict[int, ClassMap]:
    """Return the map of each chosen class that has a known label of weight above 0."""
    truth = scores.table()
    used = ~np.isnan(truth) & (weights > 0)[:, None] & chosen
    spread = np.broadcast_to(weights[:, None], truth.shape)
    fit = _FITS[method]
    if method == "temperature":
        pooled = fit(truth[used], odds[used], spread[used], smoothing) if used.any() else ClassMap()
        return dict.fromkeys(np.flatnonzero(chosen).tolist(), pooled)
    maps = {}
    for index in np.flatnonzero(used.any(axis=0)).tolist():
        rows = used[:, index]
        maps[index] = fit(truth[rows, index], odds[rows, index], weights[rows], smoothing)
    return maps


def left_notes(scores: Scores, method: str, chosen: NDArray[np.bool_]) -> list[str]:
    """Return a sentence for each class that is not chosen for lack of cases."""
    truth = scores.table()
    fewest = (FEWEST_EXCLUSIVE if scores.exclusive else FEWEST)[method]
    return [
        f"{name} was not calibrated: it has {(truth[:, index] == 1).sum():,} positives and "
        f"{(truth[:, index] == 0).sum():,} negatives, and {method} needs {fewest} of each."
        for index, name in enumerate(scores.classes)
        if not chosen[index]
    ]


def _map_notes(name: str, found: ClassMap, odds: Floats) -> list[str]:
    if odds.max() == odds.min():
        return [f"{name} has the same score in every row: at most its level could be calibrated."]
    if found.low == found.high == 0 and found.steps is None:
        return [f"{name} ranks no better than chance here: its calibrated probability is the same in every row."]
    return []


def _row_weights(sample_weights: Any, rows: int, function: str) -> Floats:
    if sample_weights is None:
        return np.ones(rows)
    weights = np.asarray(sample_weights, dtype=np.float64)
    if weights.shape != (rows,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ArgumentError(
            f"`sample_weights` of {function} must be one finite number of at least 0 for each of {rows} rows, not all "
            "of them 0. Leave rows out with a weight of 0."
        )
    return weights


def check_method(scores: Scores, method: str, smoothing: str, function: str) -> None:
    """Raise `ArgumentError` unless scores can be calibrated by a method."""
    allowed = EXCLUSIVE_METHODS if scores.exclusive else METHODS
    check_one_of(method, allowed, argument="method", function=f"{function} (task {scores.task})")
    check_one_of(smoothing, SMOOTHINGS, argument="smoothing", function=function)
    if scores.exclusive and smoothing == "platt":
        raise ArgumentError(
            f'`smoothing` "platt" of {function} is for yes-or-no classes; the task is {scores.task}. Use "one_case".'
        )
    if scores.role != "validation":
        raise ArgumentError(
            f"A calibration is fitted on the validation role only; these scores are of the role {scores.role}. "
            'Pass validation scores (if these rows were held out for that, declare role="validation").'
        )
    if method in ("temperature_bias", "vector") and len(scores.classes) > MOST_CLASSES:
        raise ArgumentError(
            f'`method` of {function} is "{method}", which is for at most {MOST_CLASSES} classes; there are '
            f'{len(scores.classes)}. Use "temperature".'
        )
