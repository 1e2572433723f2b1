"""Objectives of exclusive classes, from the counts of true and predicted classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError
from equipoise.decision.objectives import Objective
from equipoise.metrics.agreement import quadratic_kappa


def count_confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Floats:
    """Return how many rows of each true class (rows) are given each class (columns), shape (classes, classes)."""
    cells = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.float64)


def confusion_figure(confusion: Floats, objective: Objective) -> float:
    """Return the figure of an objective; NaN without a row.

    f1 is macro-F1; balanced_accuracy and youden are the mean recall; both over the classes that occur.

    Args:
        confusion: see `count_confusion`.
        objective: of exclusive classes.

    Example:
        >>> confusion_figure(np.array([[3.0, 1.0], [0.0, 1.0]]), Objective("balanced_accuracy"))
        0.875
    """
    actual, said, right = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    rows, present = float(actual.sum()), actual > 0
    if rows == 0:
        return float("nan")
    if objective.name in ("f1", "macro_f1"):
        return float((2 * right[present] / (actual + said)[present]).mean())
    if objective.name in ("balanced_accuracy", "youden"):
        return float((right[present] / actual[present]).mean())
    if objective.name in ("accuracy", "argmax"):
        return float(right.sum() / rows)
    distance = np.abs(np.subtract.outer(np.arange(len(actual)), np.arange(len(actual))))
    if objective.name == "mae":
        return float((confusion * distance).sum() / rows)
    if objective.name == "qwk":
        return float(quadratic_kappa(actual, said, np.asarray((confusion * distance**2).sum())))
    return float((confusion * cost_matrix(objective, len(actual))).sum() / rows)


def cost_matrix(objective: Objective, classes: int) -> Floats:
    """Return the costs of an objective "costs", true classes in rows, shape (classes, classes).

    Raises:
        ArgumentError: the matrix is for another number of classes.
    """
    if len(objective.parameters) != classes * classes:
        given = round(len(objective.parameters) ** 0.5)
        raise ArgumentError(
            f"`maximize` of fit_decision has costs for {given} classes; the scores have {classes}. Give one row per "
            "true class and in it one cost per predicted class."
        )
    return np.array(objective.parameters).reshape(classes, classes)


def row_gains(objective: Objective, counts: Floats) -> Floats | None:
    """Return what a row of each true class (rows) adds to the worth when it is given each class (columns).

    None for macro-F1, which is no sum over rows. A class that does not occur adds nothing.

    Args:
        objective: of exclusive classes without an order.
        counts: rows of each class, shape (classes,).
    """
    size, rows = len(counts), max(float(counts.sum()), 1.0)
    if objective.name in ("f1", "macro_f1"):
        return None
    if objective.name in ("balanced_accuracy", "youden"):
        return np.diag(np.where(counts > 0, 1.0 / np.maximum(counts, 1.0), 0.0) / max(int((counts > 0).sum()), 1))
    if objective.name == "accuracy":
        return np.eye(size) / rows
    return -cost_matrix(objective, size) / rows
