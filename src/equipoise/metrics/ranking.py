"""Ranking: the scores of a class are sorted once, and every ranking and threshold figure comes from that pass."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics._arguments import known_rows
from equipoise.metrics.outcomes import Outcomes

_TOGETHER = 16  # classes prepared at once: a row of theirs is two cache lines


@dataclasses.dataclass(frozen=True, eq=False)
class RankedClass:
    """One class, sorted: what lies at or above each distinct score *of its positives*, from the highest down.

    Between two positives the order of the negatives does not matter, only how many there are; and a cut among them is
    worse than the one just below the positive above it by every measure that grows with hits and falls with alarms. So
    the cuts "never" and at each of `values` are all that a threshold or a ranking figure needs, and a class of few
    positives is a small record. Every distinct score is in `operating_points`.

    Args:
        values: distinct scores of the positives, descending, shape (k,).
        true_positives: weight of the positives with a score of at least `values`, shape (k,).
        false_positives: the same of the negatives, shape (k,).
        ties: weight of the negatives with a score equal to `values`, shape (k,).
        below: next lower distinct score of any row, -inf where there is none (such a cut predicts always), shape (k,).
        positives: weight of all positives.
        negatives: weight of all negatives.
        lowest: lowest score of any row; NaN without rows.
        highest: highest score of any row; NaN without rows.
    """

    values: Floats
    true_positives: Floats
    false_positives: Floats
    ties: Floats
    below: Floats
    positives: float
    negatives: float
    lowest: float
    highest: float

    @property
    def hits(self) -> Floats:
        """Weight of the positives with a score equal to `values`, shape (k,)."""
        return np.diff(self.true_positives, prepend=0.0)

    def corners(self) -> tuple[Floats, Floats]:
        """False and true positives at the corners of the ROC curve, from (0, 0) to (negatives, positives).

        One corner above each score of a positive, one at it: the curve is straight in between.
        """
        alarms = np.column_stack([self.false_positives - self.ties, self.false_positives]).ravel()
        hits = np.column_stack([self.true_positives - self.hits, self.true_positives]).ravel()
        return (
            np.concatenate(([0.0], alarms, [self.negatives])),
            np.concatenate(([0.0], hits, [self.positives])),
        )

    def outcomes(self) -> Outcomes:
        """Right and wrong predictions at each cut, shape (k + 1,): never, then at each of `values`."""
        hits, alarms = (np.concatenate(([0.0], one)) for one in (self.true_positives, self.false_positives))
        # A difference of sums of weights may be a rounding error below zero.
        left = [np.maximum(total - one, 0.0) for total, one in ((self.positives, hits), (self.negatives, alarms))]
        return Outcomes(hits, alarms, *left)

    def auc(self) -> float:
        """Area under the ROC curve; ties count one half. NaN without positives or without negatives."""
        pairs = self.positives * self.negatives
        if not pairs > 0:
            return float("nan")
        lost = float(self.hits @ (self.false_positives - 0.5 * self.ties))
        return max(pairs - lost, 0.0) / pairs

    def average_precision(self) -> float:
        """Sum of precision times the step in recall. NaN without positives or without negatives."""
        if not self.positives * self.negatives > 0:
            return float("nan")
        precision = self.true_positives / (self.true_positives + self.false_positives)
        return float(self.hits @ precision / self.positives)


def rank_class(labels: Floats, values: Floats, sample_weights: Floats | None = None) -> RankedClass:
    """Sort one class once.

    Without weights two plain sorts are enough, of all scores and of those of the positives: a sort of numbers is
    several times faster than one of their places. With weights the places are sorted.

    Args:
        labels: 0, 1 or NaN (left out), shape (rows,).
        values: scores that are not NaN, higher means more likely positive, shape (rows,).
        sample_weights: non-negative weight per row; rows of weight zero are left out.

    Example:
        >>> ranked = rank_class(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8]))
        >>> ranked.values, ranked.false_positives, ranked.ties, ranked.below
        (array([0.8, 0.4]), array([0., 1.]), array([0., 1.]), array([0.4, 0.1]))
    """
    if sample_weights is not None:
        return _rank_weighted(labels, values, sample_weights)
    unknown = np.isnan(labels)
    ordered = np.sort(values[~unknown] if unknown.any() else values)
    return _rank_sorted(ordered, np.sort(values[labels == 1]))


def rank_classes(labels: Floats, values: Floats) -> list[RankedClass]:
    """Sort every class of a table once; what `rank_class` gives for each column, in less time.

    Args:
        labels: 0, 1 or NaN (left out), shape (rows, classes).
        values: scores that are not NaN, shape (rows, classes).
    """
    ranked = []
    for start in range(0, labels.shape[1], _TOGETHER):
        truth = labels[:, start : start + _TOGETHER]
        columns, unknown = transposed(values[:, start : start + _TOGETHER]), np.isnan(truth)
        positives = [
            np.sort(one[np.flatnonzero(hits)]) for one, hits in zip(columns, transposed(truth == 1), strict=True)
        ]
        if unknown.any():
            columns[transposed(unknown)] = np.nan  # sorted to the end
        columns.sort(axis=1)
        known = len(truth) - unknown.sum(axis=0)
        ranked += [
            _rank_sorted(ordered[:count], hits) for ordered, count, hits in zip(columns, known, positives, strict=True)
        ]
    return ranked


def transposed(table: NDArray) -> NDArray:
    """Return the transpose in its own memory, copied block by block so that both sides stay in the cache.

    Example:
        >>> transposed(np.array([[1, 2], [3, 4]]))
        array([[1, 3],
               [2, 4]])
    """
    result = np.empty(table.shape[::-1], dtype=table.dtype)
    for start in range(0, len(table), 2048):
        result[:, start : start + 2048] = table[start : start + 2048].T
    return result


def _rank_sorted(ordered: Floats, positives: Floats) -> RankedClass:
    """Return the record of a class from all its scores and from those of its positives, both ascending."""
    rows, count = len(ordered), len(positives)
    starts = _block_starts(positives)
    values, hits = positives[starts], np.diff(starts, append=count)
    place = np.searchsorted(ordered, values)  # rows below each value
    after = place + hits
    # A row that is equal and comes after as many as there are positives is a negative: only such blocks hold ties.
    tied = np.flatnonzero(ordered[np.minimum(after, rows - 1)] == values) if count else starts
    tied = tied[after[tied] < rows]
    ties = np.zeros(len(values), dtype=np.int64)
    ties[tied] = np.searchsorted(ordered, values[tied], side="right") - after[tied]
    true_positives = count - starts
    below = ordered[place - 1] if count else values
    below[place == 0] = -np.inf
    return RankedClass(
        values=values[::-1].copy(),
        true_positives=true_positives[::-1].astype(np.float64),
        false_positives=(rows - place - true_positives)[::-1].astype(np.float64),
        ties=ties[::-1].astype(np.float64),
        below=below[::-1].copy(),
        positives=float(count),
        negatives=float(rows - count),
        lowest=float(ordered[0]) if rows else float("nan"),
        highest=float(ordered[-1]) if rows else float("nan"),
    )


def _rank_weighted(labels: Floats, values: Floats, sample_weights: Floats) -> RankedClass:
    hits = _descending_rows(values, (labels == 1) & (sample_weights > 0))
    misses = _descending_rows(values, (labels == 0) & (sample_weights > 0))
    positives, negatives = values[hits], values[misses]
    found, alarms = np.cumsum(sample_weights[hits]), np.concatenate(([0.0], np.cumsum(sample_weights[misses])))
    ends = _block_ends(positives)
    distinct = positives[ends]
    above = np.searchsorted(-negatives, -distinct)
    through = np.searchsorted(-negatives, -distinct, side="right")
    below = np.append(negatives, -np.inf)[through]
    both = [one for one in (positives, negatives) if len(one)]
    return RankedClass(
        values=distinct,
        true_positives=found[ends],
        false_positives=alarms[through],
        ties=np.where(through > above, alarms[through] - alarms[above], 0.0),
        below=np.maximum(below, np.append(distinct[1:], -np.inf)[: len(distinct)]),
        positives=float(found[-1]) if len(found) else 0.0,
        negatives=float(alarms[-1]),
        lowest=float(min(one[-1] for one in both)) if both else float("nan"),
        highest=float(max(one[0] for one in both)) if both else float("nan"),
    )


def _descending_rows(values: Floats, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the numbers of the chosen rows, the highest value first."""
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(-values[rows], kind="stable")]


def _block_starts(ordered: Floats) -> NDArray[np.int64]:
    """Return where each run of equal numbers begins."""
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(ordered)])


def _block_ends(ordered: Floats) -> NDArray[np.int64]:
    """Return where each run of equal numbers ends."""
    return np.flatnonzero(np.concatenate((ordered[1:] != ordered[:-1], [True]))[: len(ordered)])


@dataclasses.dataclass(frozen=True, eq=False)
class OperatingPoints:
    """What is predicted at every distinct score of a class, from the highest down: what curves are drawn of.

    Args:
        values: distinct scores of all rows, descending, shape (k,).
        true_positives: weight of the positives with a score of at least `values`, shape (k,).
        false_positives: the same of the negatives, shape (k,).
    """

    values: Floats
    true_positives: Floats
    false_positives: Floats

    @property
    def positives(self) -> float:
        """Weight of all positives."""
        return float(self.true_positives[-1]) if len(self.values) else 0.0

    @property
    def negatives(self) -> float:
        """Weight of all negatives."""
        return float(self.false_positives[-1]) if len(self.values) else 0.0


def operating_points(labels: Floats, values: Floats, sample_weights: Floats | None = None) -> OperatingPoints:
    """Return the weight of true and false positives at every distinct score; arguments as in `rank_class`.

    Example:
        >>> points = operating_points(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8]))
        >>> points.values, points.true_positives, points.false_positives
        (array([0.8, 0.4, 0.1]), array([1., 2., 2.]), array([0., 1., 2.]))
    """
    weights = np.ones(len(labels)) if sample_weights is None else sample_weights
    rows = _descending_rows(values, ~np.isnan(labels) & (weights > 0))
    ordered, hits = values[rows], labels[rows]
    ends = _block_ends(ordered)
    found, alarms = np.cumsum(hits * weights[rows]), np.cumsum((1.0 - hits) * weights[rows])
    return OperatingPoints(ordered[ends], found[ends], alarms[ends])


def auc_score(labels: Any, values: Any, *, sample_weights: Any = None) -> float:
    """Return the area under the ROC curve, in [0, 1]; higher is better, 0.5 is chance.

    The probability that a positive scores above a negative, ties counting one half (Hanley and McNeil 1982, equation
    1).

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        values: logits or probabilities, shape (rows,).
        sample_weights: non-negative weight per row.

    Returns:
        NaN without positives or without negatives.

    Raises:
        ArgumentError: arrays of different lengths, other labels, NaN values or negative weights.

    Example:
        >>> auc_score([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])  # pairs: 1 + 1 + 0.5 + 1 of 4
        0.875
    """
    return rank_class(*known_rows(labels, values, sample_weights, "auc_score")).auc()


def average_precision_score(labels: Any, values: Any, *, sample_weights: Any = None) -> float:
    """Return average precision, in [0, 1]; higher is better, chance is the prevalence.

    Sum over distinct scores of precision times the step in recall, without interpolation (as scikit-learn).

    Args:
        labels: 0, 1 or NaN for unknown, shape (rows,). Unknown rows are left out.
        values: logits or probabilities, shape (rows,).
        sample_weights: non-negative weight per row.

    Returns:
        NaN without positives; NaN also without negatives, where any ranking would score 1.

    Raises:
        ArgumentError: arrays of different lengths, other labels, NaN values or negative weights.

    Example:
        >>> average_precision_score([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8])  # 1/2 * 1 + 1/2 * 2/3
        0.8333333333333333
    """
    return rank_class(*known_rows(labels, values, sample_weights, "average_precision_score")).average_precision()
