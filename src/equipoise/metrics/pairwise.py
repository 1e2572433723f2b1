"""Area under the ROC curve for one-of-many classes: one against the rest, and one against one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import check_one_of
from equipoise.metrics._arguments import known_classes
from equipoise.metrics.averages import Average, average_classes
from equipoise.metrics.outcomes import divide

COMPARISONS = ("one_vs_rest", "one_vs_one")


def multiclass_auc_score(
    labels: Any,
    values: Any,
    *,
    comparison: str,
    weighted: bool = False,
    classes: Sequence[str] | None = None,
    sample_weights: Any = None,
) -> Average:
    """Return the mean AUC of one-of-many classes, in [0, 1]; higher is better, 0.5 is chance.

    One against the rest: the mean over classes of the AUC of p_c for class c against all others. One against one: the
    mean over pairs i < j of (A(i|j) + A(j|i)) / 2, with A(i|j) the AUC of p_i for class i against class j only; it does
    not depend on how common the classes are.

    Args:
        labels: class index, NaN for unknown, shape (rows,). Unknown rows are left out.
        values: probabilities of the classes, shape (rows, classes).
        comparison: "one_vs_rest" or "one_vs_one".
        weighted: weight classes by their support, and pairs by that of both classes.
        classes: names; None for their numbers.
        sample_weights: non-negative weight per row.

    Returns:
        The mean, how many classes or pairs it is over, and the names of those that could not be evaluated because a
        class has no rows. scikit-learn stops with an error there.

    Raises:
        ArgumentError: arrays that do not match, labels that are no index of a class, NaN values, negative weights.

    Source: Hand and Till, Machine Learning 45 (2001) 171-186, equation 7; with weights, Ferri et al., Pattern
    Recognition Letters 30 (2009) 27-38, as scikit-learn has them.

    Example:
        Class 0 is above class 1 in its own column only half of the time, and the other pairs are right:

        >>> labels = [0, 0, 1, 2]
        >>> values = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]]
        >>> multiclass_auc_score(labels, values, comparison="one_vs_one").value  # pairs: (0.5 + 0.5) / 2, 1, 1
        0.8333333333333334
    """
    check_one_of(comparison, COMPARISONS, argument="comparison", function="multiclass_auc_score")
    truth, columns, weights = known_classes(labels, values, sample_weights, "multiclass_auc_score")
    wins, support = _wins(truth, columns, weights)
    names = [str(one) for one in (range(len(support)) if classes is None else classes)]
    if comparison == "one_vs_rest":
        areas = divide(wins.sum(axis=1), support * (support.sum() - support))
        return average_classes(areas, support=support if weighted else None, classes=names)
    areas = divide(wins, np.outer(support, support))
    first, second = np.triu_indices(len(support), k=1)
    pairs = [f"{names[one]} or {names[other]}" for one, other in zip(first, second, strict=True)]
    shares = (support[first] + support[second]) if weighted else None
    return average_classes((areas + areas.T)[first, second] / 2, support=shares, classes=pairs)


def pairwise_auc(labels: Any, values: Any, *, sample_weights: Any = None) -> Floats:
    """Return A(i|j): how well the column of class i tells class i from class j, shape (classes, classes).

    In [0, 1]; higher is better, 0.5 is chance. NaN on the diagonal and where one of the two classes has no rows.
    Arguments and errors as in `multiclass_auc_score`.

    Example:
        >>> pairwise_auc([0, 1, 1], [[0.6, 0.4], [0.3, 0.7], [0.6, 0.4]])  # a tie counts one half
        array([[ nan, 0.75],
               [0.75,  nan]])
    """
    truth, columns, weights = known_classes(labels, values, sample_weights, "pairwise_auc")
    wins, support = _wins(truth, columns, weights)
    return divide(wins, np.outer(support, support) * (1 - np.eye(len(support))))


def _wins(truth: Floats, columns: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weight of the pairs (row of i, row of j) that column i ranks rightly, ties one half, and of classes.

    Each column is looked at once: the rows of its class are sorted, and every other row finds its place among them.
    """
    count = columns.shape[1]
    index = truth.astype(np.int64)
    support = np.bincount(index, weights=weights, minlength=count).astype(np.float64)
    wins = np.zeros((count, count))
    for one in range(count):
        own = np.flatnonzero(index == one)
        own = own[np.argsort(columns[own, one], kind="stable")]
        others = np.flatnonzero(index != one)
        ordered, sums = columns[own, one], np.concatenate(([0.0], np.cumsum(weights[own])))
        at = columns[others, one]
        lost = (sums[np.searchsorted(ordered, at)] + sums[np.searchsorted(ordered, at, side="right")]) / 2
        won = weights[others] * (sums[-1] - lost)
        wins[one] = np.bincount(index[others], weights=won, minlength=count)
    return wins, support
