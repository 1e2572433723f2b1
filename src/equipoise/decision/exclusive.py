"""Rules of exclusive classes: offsets or cut points, with intervals and a figure without its optimism."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision.confusion import confusion_figure, count_confusion
from equipoise.decision.cutpoints import expected_grades, fit_cut_points
from equipoise.decision.objectives import Objective
from equipoise.decision.offsets import class_order, fit_leaning, fit_offsets, refine_offsets
from equipoise.decision.resampling import FOLDS, Groups
from equipoise.scores.record import softmax

_REPLICATES = 50
_FEWEST_REPLICATES = 20
_WORK = 5e6  # rows times classes times replicates
_FOLD_REPLICATES = 10  # of a shrunk search without one fold

Search = Callable[[NDArray[np.int64], Floats], Floats]


@dataclasses.dataclass(frozen=True, eq=False)
class Exclusive:
    """A search of what decides between exclusive classes.

    Args:
        truth: class index of the known rows, shape (rows,).
        logits: softmax logits or log-probabilities at the natural prevalence, shape (rows, classes).
        groups: rows that are drawn or left out together.
        objective: what is maximised.
    """

    truth: NDArray[np.int64]
    logits: Floats
    groups: Groups
    objective: Objective

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.logits.shape[1])

    @property
    def graded(self) -> bool:
        """Whether cut points of the expected grade decide, and not offsets."""
        return self.objective.name in ("qwk", "mae")


@dataclasses.dataclass(frozen=True, eq=False)
class FittedExclusive:
    """What was found; `low` and `high` are the ends of 95 % bootstrap intervals, of the shape of `parameters`.

    Args:
        parameters: offsets (classes,) or cut points (classes - 1,).
        low: lower ends.
        high: upper ends.
        overall: the objective on the rows fitted on.
        corrected: the objective on rows left out, ten-fold.
    """

    parameters: Floats
    low: Floats
    high: Floats
    overall: float
    corrected: float


def fit_exclusive(problem: Exclusive, method: str, *, intervals: bool = True) -> FittedExclusive:
    """Return offsets or cut points, exact or shrunk.

    Exact: `fit_offsets` or `fit_cut_points` on all rows. Shrunk: offsets by one leaning towards rare classes
    (`fit_leaning`); cut points by their mean over bootstrap samples. That is not drawn to plain rounding (k + 0.5) as
    thresholds are to their plug-in: rounding is not what calibrated probabilities promise to be best for kappa, and in
    simulation it lost what the mean had gained. Without `intervals` neither they nor the corrected figure are computed
    (NaN), and the parameters are the same.
    """
    values = expected_grades(softmax(problem.logits)) if problem.graded else problem.logits
    parameters = _search(problem, method)(problem.truth, values)
    averaged = problem.graded and method == "shrunk"
    low = high = np.full(parameters.shape, np.nan)
    if averaged or intervals:
        drawn = _resampled(problem, values, _search(problem, method, near=parameters))
        parameters = drawn.mean(axis=0) if averaged else parameters
        low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    confusion = count_confusion(problem.truth, _predict(problem, values, parameters), problem.classes)
    return FittedExclusive(
        parameters=parameters,
        low=np.minimum(low, parameters),
        high=np.maximum(high, parameters),
        overall=confusion_figure(confusion, problem.objective),
        corrected=confusion_figure(_cross_fitted(problem, values, method), problem.objective) if intervals else np.nan,
    )


def _search(problem: Exclusive, method: str, *, near: Floats | None = None, restarts: int = 10) -> Search:
    """Return the search on some rows; `near`: what was found on all of them, to begin there."""
    objective, classes = problem.objective, problem.classes
    if problem.graded:
        return lambda truth, grades: fit_cut_points(truth, grades, classes, objective)
    if method == "shrunk":
        return lambda truth, logits: fit_leaning(truth.astype(np.float64), logits, objective)[1]
    commonest = class_order(problem.truth, problem.logits)[0]

    def search(truth: NDArray[np.int64], logits: Floats) -> Floats:
        if near is None:
            found = fit_offsets(truth, logits, objective, restarts=restarts)
        else:
            found = refine_offsets(truth, logits, objective, near)
        return np.asarray(found - found[commonest])

    return search


def _predict(problem: Exclusive, values: Floats, parameters: Floats) -> NDArray[np.int64]:
    if problem.graded:
        return np.searchsorted(parameters, values, side="right")
    return np.asarray((values + parameters).argmax(axis=1))


def _resampled(problem: Exclusive, values: Floats, search: Search, most: int = _REPLICATES) -> Floats:
    """Return what is found in bootstrap samples of groups, shape (replicates, parameters)."""
    count = int(np.clip(_WORK / (len(values) * problem.classes), _FEWEST_REPLICATES, _REPLICATES))
    count = min(count, most)
    rows = np.arange(len(values))
    found = []
    for drawn in problem.groups.draws(count):
        taken = np.repeat(rows, drawn[problem.groups.member])
        if len(taken):
            found.append(search(problem.truth[taken], values[taken]))
    return np.array(found)


def _cross_fitted(problem: Exclusive, values: Floats, method: str) -> Floats:
    """Return the confusion of rows left out, at what was found without their fold."""
    folds = problem.groups.folds(FOLDS if len(values) * problem.classes < _WORK / 100 else FOLDS // 2)
    confusion = np.zeros((problem.classes, problem.classes))
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        if held.all():
            continue
        part = dataclasses.replace(problem, truth=problem.truth[~held], logits=problem.logits[~held])
        if problem.graded and method == "shrunk":
            part = dataclasses.replace(part, groups=Groups(problem.groups.member[~held], problem.groups.count, fold))
            found = _resampled(part, values[~held], _search(part, method), _FOLD_REPLICATES).mean(axis=0)
        else:
            found = _search(part, method, restarts=0)(part.truth, values[~held])
        predicted = _predict(problem, values[held], found)
        confusion += count_confusion(problem.truth[held], predicted, problem.classes)
    return confusion
