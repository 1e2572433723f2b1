"""Averages that say what they average: over classes, over groups of classes, and over rows.

A class that cannot be evaluated is skipped, named and counted: it is never 0, 1 or 0.5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError
from equipoise.metrics._arguments import known_tables
from equipoise.metrics.outcomes import Outcomes, divide


@dataclasses.dataclass(frozen=True)
class Average:
    """A mean over classes (or pairs of classes), and which of them it is over.

    Args:
        value: the mean; NaN where nothing was evaluable.
        evaluable: how many it is over.
        total: how many there are.
        skipped: names of those that could not be evaluated.

    Example:
        >>> print(average_classes([0.5, 1.0, float("nan")], classes=["Mass", "Edema", "Hernia"]))
        0.75 over 2 of 3, without Hernia
    """

    value: float
    evaluable: int
    total: int
    skipped: tuple[str, ...] = ()

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        without = f", without {', '.join(self.skipped)}" if self.skipped else ""
        return f"{self.value:.4g} over {self.evaluable} of {self.total}{without}"


def average_classes(values: Any, *, support: Any = None, classes: Sequence[str] | None = None) -> Average:
    """Return the mean over the classes that could be evaluated: macro, or weighted by support.

    sum_c s_c v_c / sum_c s_c over the classes c whose value is not NaN, with s_c = 1 (macro) or the support.

    Args:
        values: one figure per class, NaN where it cannot be evaluated, shape (classes,).
        support: weight of each class, such as its number of positives, shape (classes,); None for the plain mean.
        classes: names; None for their numbers.

    Raises:
        ArgumentError: shapes differ, or a support is negative or not finite.

    Example:
        >>> average_classes([0.5, 1.0, float("nan")], support=[30, 10, 0]).value
        0.625
    """
    figures = np.asarray(values, dtype=np.float64)
    weights = np.ones(figures.shape) if support is None else np.asarray(support, dtype=np.float64)
    names = [str(index) for index in range(figures.size)] if classes is None else [str(name) for name in classes]
    if figures.ndim != 1 or weights.shape != figures.shape or len(names) != len(figures):
        raise ArgumentError(
            f"average_classes takes one value, support and name per class; got {figures.shape}, {weights.shape} and "
            f"{len(names)} names. Pass matching arrays."
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ArgumentError("`support` of average_classes must be finite numbers of at least 0. Check the counts.")
    known = ~np.isnan(figures)
    value = divide(np.where(known, figures, 0.0) @ weights, weights[known].sum())
    skipped = tuple(name for name, taken in zip(names, known, strict=True) if not taken)
    return Average(float(value), int(known.sum()), len(figures), skipped)


def group_classes(training_counts: Any, *, few: float = 20, many: float = 100) -> dict[str, NDArray[np.bool_]]:
    """Return which classes are head, medium and tail, by how often they occur where the model learned.

    Tail: fewer than `few`; head: more than `many`; medium: the rest. Every class is in exactly one group.

    Args:
        training_counts: positives of each class in the training role, shape (classes,).
        few: count below which a class is of the tail.
        many: count above which a class is of the head, at least `few`.

    Returns:
        "head", "medium" and "tail", each a mask of shape (classes,).

    Raises:
        ArgumentError: `many` is less than `few`, or a count is negative or not finite.

    Source: Liu et al., CVPR 2019 (open long-tailed recognition), section 5.1, for 20 and 100.

    Example:
        >>> {name: chosen.tolist() for name, chosen in group_classes([500, 100, 19]).items()}
        {'head': [True, False, False], 'medium': [False, True, False], 'tail': [False, False, True]}
    """
    counts = np.asarray(training_counts, dtype=np.float64)
    if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ArgumentError("`training_counts` of group_classes must be one finite count of at least 0 per class.")
    if not few <= many:
        raise ArgumentError(f"`many` of group_classes must be at least `few` ({few}); got {many}.")
    head, tail = counts > many, counts < few
    return {"head": head, "medium": ~head & ~tail, "tail": tail}


def average_groups(
    values: Any, training_counts: Any, *, few: float = 20, many: float = 100, classes: Sequence[str] | None = None
) -> dict[str, Average]:
    """Return the mean over the evaluable classes of the head, the medium and the tail (see `group_classes`).

    A group without classes has a total of 0 and the value NaN. Arguments as in `average_classes` and `group_classes`.

    Example:
        >>> {name: one.value for name, one in average_groups([0.9, 0.7, 0.5, 0.1], [500, 120, 50, 3]).items()}
        {'head': 0.8, 'medium': 0.5, 'tail': 0.1}
    """
    figures = np.asarray(values, dtype=np.float64)
    groups = group_classes(training_counts, few=few, many=many)
    names = [str(index) for index in range(figures.size)] if classes is None else list(classes)
    if groups["head"].shape != figures.shape or len(names) != len(figures):
        raise ArgumentError(
            f"average_groups takes one value, count and name per class; got {figures.shape}, {groups['head'].shape} "
            f"and {len(names)} names. Pass matching arrays."
        )
    return {
        group: average_classes(figures[chosen], classes=[names[one] for one in np.flatnonzero(chosen)])
        for group, chosen in groups.items()
    }


def samples_precision_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return the mean over rows of the precision among the classes of a row, in [0, 1]; higher is better.

    A row that has positives and of which nothing is predicted counts 0. Arguments and the rest as in
    `samples_f1_score`.

    Example:
        >>> samples_precision_score([[0, 1], [1, 1], [0, 0]], [[1, 1], [1, 1], [1, 0]])  # the last row has no positive
        0.75
    """
    return _over_rows(labels, predictions, sample_weights, "samples_precision_score", Outcomes.precision)


def samples_recall_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return the mean over rows of the share of a row's positives that is found, in [0, 1]; higher is better.

    Arguments and the rest as in `samples_f1_score`.

    Example:
        >>> samples_recall_score([[0, 1], [1, 1], [0, 0]], [[1, 1], [0, 1], [1, 0]])
        0.75
    """
    return _over_rows(labels, predictions, sample_weights, "samples_recall_score", Outcomes.recall)


def samples_f1_score(labels: Any, predictions: Any, *, sample_weights: Any = None) -> float:
    """Return the mean over rows of F1 among the classes of a row, in [0, 1]; higher is better.

    Unknown entries are left out of their row. A row without a known positive has no F1 and is skipped, as a class
    without positives is; scikit-learn counts it as 0 whatever was predicted. False alarms in such rows are therefore
    not in this figure: see specificity.

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows, classes).
        predictions: 0 or 1, shape (rows, classes).
        sample_weights: non-negative weight per row.

    Returns:
        NaN where no row has a known positive.

    Raises:
        ArgumentError: arrays of different shapes, other labels or predictions, negative weights.

    Example:
        >>> samples_f1_score([[0, 1], [1, 1], [0, 0]], [[1, 1], [1, 1], [1, 0]])  # (2/3 + 1) / 2
        0.8333333333333333
    """
    return _over_rows(labels, predictions, sample_weights, "samples_f1_score", Outcomes.f1)


def row_outcomes(truth: Floats, predicted: Any) -> Outcomes:
    """Return the counts of right and wrong predictions of each row over its classes, arrays of shape (rows,)."""
    positive, negative, alarm = truth == 1, truth == 0, np.asarray(predicted) == 1
    cells = (positive & alarm, negative & alarm, positive & ~alarm, negative & ~alarm)
    return Outcomes(*(cell.sum(axis=1, dtype=np.float64) for cell in cells))


def _over_rows(labels: Any, predictions: Any, sample_weights: Any, function: str, rate: Any) -> float:
    truth, predicted, weights = known_tables(labels, predictions, sample_weights, function)
    rates = rate(row_outcomes(truth, predicted))
    counted = ~np.isnan(rates)
    return float(divide(weights[counted] @ rates[counted], weights[counted].sum()))
