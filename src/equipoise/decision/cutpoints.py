"""Cut points of ordinal classes on the expected grade, exact for quadratically weighted kappa and mean error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision.objectives import Objective


def expected_grades(probabilities: Floats) -> Floats:
    """Return the sum of grade index times probability, shape (rows,).

    Args:
        probabilities: shape (rows, classes).

    Example:
        >>> expected_grades(np.array([[0.5, 0.25, 0.25]]))
        array([0.75])
    """
    return np.asarray(probabilities @ np.arange(probabilities.shape[1], dtype=np.float64))


def fit_cut_points(truth: NDArray[np.int64], grades: Floats, classes: int, objective: Objective) -> Floats:
    r"""Return ascending cuts of the expected grade that are the best there are for an objective.

    The predicted grade is the number of cuts at or below the expected grade. Rows are sorted once; the best division of
    them into `classes` stretches (some may be empty) is found by dynamic programming. For the mean distance that is
    all. Kappa is 1 - N / D with N the summed squared distances and D those expected by chance,

    .. math:: D = \\sum_r D_{\\hat y_r}, \\qquad D_j = \\frac 1 n \\sum_i n_i (i - j)^2,

    which is a sum over rows as well; so N - q D is minimised for q, the ratio of the division found is the next q, and
    after a few steps it is the smallest there is (Dinkelbach, Management Science 1967).

    Args:
        truth: grade index, shape (rows,).
        grades: expected grade, shape (rows,).
        classes: number of grades.
        objective: qwk or mae.

    Returns:
        Cuts midway between expected grades, shape (classes - 1,).

    Example:
        >>> fit_cut_points(np.array([0, 0, 1, 2]), np.array([0.2, 0.6, 0.8, 1.0]), 3, Objective("qwk"))
        array([0.7, 0.9])
    """
    order = np.argsort(grades, kind="stable")
    values, actual = grades[order], truth[order]
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]) + 1, len(values))
    distance = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))).astype(np.float64)
    if objective.name == "mae":
        places = _best_division(_summed(distance[actual], ends))
    else:
        places = _best_kappa(actual, distance**2, ends)
    return _cuts(values, ends, places, classes)


def _best_kappa(actual: NDArray[np.int64], distance: Floats, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the division with the best kappa, from squared distances of grades (classes, classes)."""
    shares = np.bincount(actual, minlength=len(distance)) / len(actual)
    chance = shares @ distance
    wrong, expected = _summed(distance[actual], ends), np.outer(np.concatenate(([0], ends)), chance)
    ratio = 1.0
    while True:
        places = _best_division(wrong - ratio * expected)
        bounds = np.concatenate(([0], places, [len(ends)]))
        found, below = (
            sum(table[bounds[j + 1], j] - table[bounds[j], j] for j in range(len(distance)))
            for table in (wrong, expected)
        )
        if not below > 0 or not found / below < ratio * (1 - 1e-12):
            return places
        ratio = found / below


def _summed(costs: Floats, ends: NDArray[np.int64]) -> Floats:
    """Return the costs (rows, classes) summed over the rows before each place between different grades."""
    total = np.cumsum(costs, axis=0)
    return np.vstack([np.zeros(costs.shape[1]), total[ends - 1]])


def _best_division(summed: Floats) -> NDArray[np.int64]:
    """Return the places that divide rows into one stretch per class at the least cost, shape (classes - 1,).

    Args:
        summed: cost of giving each class to all rows before a place, shape (places, classes).
    """
    places, classes = summed.shape
    chosen = np.empty((classes, places), dtype=np.int64)
    cost = summed[:, 0]
    for index in range(1, classes):
        begun = cost - summed[:, index]  # the class begins here
        least = np.minimum.accumulate(begun)
        chosen[index] = np.maximum.accumulate(np.where(begun == least, np.arange(places), 0))
        cost = least + summed[:, index]
    found, place = np.empty(classes - 1, dtype=np.int64), places - 1
    for index in range(classes - 1, 0, -1):
        place = int(chosen[index, place])
        found[index - 1] = place
    return found


def _cuts(values: Floats, ends: NDArray[np.int64], places: NDArray[np.int64], classes: int) -> Floats:
    """Return cuts midway between the grades on both sides of each place."""
    different = values[ends - 1]
    inner = (different[1:] + different[:-1]) / 2
    inner = np.where((different[:-1] < inner) & (inner <= different[1:]), inner, different[1:])
    # Below the lowest row the cut is 0, which every grade reaches; above the highest it is beyond the last grade.
    return np.asarray(np.concatenate(([0.0], inner, [float(classes)]))[places])
