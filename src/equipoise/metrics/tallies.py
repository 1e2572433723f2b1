"""The sums that every figure follows from, and what each row adds to them.

All but the rankings are linear in the rows, so a bootstrap replicate is a count per row times `class_entries` and
`row_entries`. The sums may carry leading axes: none for the data themselves, one of replicates for a bootstrap.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.metrics.averages import row_outcomes
from equipoise.metrics.outcomes import Outcomes
from equipoise.metrics.probability import log_losses, squared_errors
from equipoise.metrics.ranking import rank_class, rank_classes
from equipoise.scores import Decisions, Scores

_CHUNK_ENTRIES = 4_000_000  # entries (rows x classes) looked at together
_OUTCOMES = ("true_positives", "false_positives", "false_negatives", "true_negatives")


@dataclasses.dataclass(frozen=True, eq=False)
class Tallies:
    """Sums from which every figure follows. ``...`` stands for leading axes: none, or one per replicate.

    Args:
        task: of the scores.
        auc: per class, shape (..., classes); NaN without positives or negatives.
        ap: per class, shape (..., classes).
        micro_auc: of all entries pooled, shape (...).
        micro_ap: of all entries pooled, shape (...).
        of_classes: sums of `class_entries` by name, shape (..., classes).
        of_rows: sums of `row_entries` by name, shape (...).
    """

    task: str
    auc: Floats
    ap: Floats
    micro_auc: Floats
    micro_ap: Floats
    of_classes: Mapping[str, Floats]
    of_rows: Mapping[str, Floats]

    @property
    def outcomes(self) -> Outcomes | None:
        """Right and wrong predictions of each class; None without decisions."""
        if _OUTCOMES[0] not in self.of_classes:
            return None
        return Outcomes(*(self.of_classes[name] for name in _OUTCOMES))


def tally(scores: Scores, decisions: Decisions | None = None) -> Tallies:
    """Return the sums of a table of scores, without leading axes."""
    truth, values = scores.table(), scores.ranking_table()
    ranked = rank_classes(truth, values)
    pooled = ranked[0] if len(ranked) == 1 else rank_class(truth.ravel(), values.ravel())
    width = max(1, _CHUNK_ENTRIES // len(truth))
    parts = [
        {name: entries.sum(axis=0, dtype=np.float64) for name, entries in class_entries(scores, decisions, one).items()}
        for one in (slice(start, start + width) for start in range(0, truth.shape[1], width))
    ]
    rows = row_entries(scores, decisions)
    return Tallies(
        task=scores.task,
        auc=np.array([one.auc() for one in ranked]),
        ap=np.array([one.average_precision() for one in ranked]),
        micro_auc=np.asarray(pooled.auc()),
        micro_ap=np.asarray(pooled.average_precision()),
        of_classes={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        of_rows={name: np.asarray(entries.sum(dtype=np.float64)) for name, entries in rows.items()},
    )


def class_entries(scores: Scores, decisions: Decisions | None, chosen: slice) -> dict[str, NDArray]:
    """Return what each row adds to the sums of some classes, by name, each of shape (rows, chosen classes).

    Args:
        scores: the labels and values.
        decisions: predictions for the same rows, or None.
        chosen: which classes.

    Returns:
        positives; for classes that are not exclusive squared, logs and known (losses, and entries they are over); with
        decisions the four outcomes, and for grades distances (of the prediction, in the column of the true grade).
    """
    truth = scores.table()[:, chosen]
    entries: dict[str, NDArray] = {"positives": truth == 1}
    if not scores.exclusive:
        probabilities = scores.probability_table()[:, chosen]
        entries["squared"] = np.nan_to_num(squared_errors(truth, probabilities))
        entries["logs"] = np.nan_to_num(log_losses(truth, probabilities))
        entries["known"] = ~np.isnan(truth)
    if decisions is not None:
        positive, negative, alarm = truth == 1, truth == 0, decisions.table()[:, chosen] == 1
        cells = (positive & alarm, negative & alarm, positive & ~alarm, negative & ~alarm)
        entries |= dict(zip(_OUTCOMES, cells, strict=True))
        if scores.task == "ordinal":
            entries["distances"] = positive * np.nan_to_num(_distances(scores, decisions))[:, None]
    return entries


def row_entries(scores: Scores, decisions: Decisions | None) -> dict[str, NDArray]:
    """Return what each row adds to the sums over rows, by name, each of shape (rows,).

    Returns:
        For exclusive classes squared (summed over the classes), logs and known; with decisions also, for grades,
        disagreement (squared distance) and adjacent. For other classes with decisions: right and complete (rows that
        are right in every class, and known in every class), f1 and with_positive (F1 of the row, and rows that have
        one).
    """
    entries: dict[str, NDArray] = {}
    if scores.exclusive:
        squared, logs = entry_losses(scores)
        entries |= {"squared": np.nan_to_num(squared[:, 0]), "logs": np.nan_to_num(logs[:, 0])}
        entries["known"] = np.logical_not(np.isnan(scores.labels))
        if decisions is not None and scores.task == "ordinal":
            distances = _distances(scores, decisions)
            entries |= {"disagreement": np.nan_to_num(np.square(distances)), "adjacent": np.asarray(distances <= 1)}
    elif decisions is not None and scores.task == "multilabel":
        truth, predicted = scores.table(), decisions.table()
        entries["right"] = (truth == predicted).all(axis=1)
        entries["complete"] = np.asarray(~np.isnan(truth).any(axis=1))
        f1 = row_outcomes(truth, predicted).f1()
        entries |= {"f1": np.nan_to_num(f1), "with_positive": ~np.isnan(f1)}
    return entries


def entry_losses(scores: Scores) -> tuple[Floats, Floats]:
    """Return squared errors and log losses, per entry (n, classes), or per row (n, 1) for exclusive classes."""
    probabilities, truth = scores.probability_table(), scores.table()
    squared = squared_errors(truth, probabilities)
    if not scores.exclusive:
        return squared, log_losses(truth, probabilities)
    likelihood = np.where(np.isnan(scores.labels), np.nan, (np.nan_to_num(truth) * probabilities).sum(axis=1))
    logs = log_losses(np.where(np.isnan(likelihood), np.nan, 1.0), likelihood)
    return squared.sum(axis=1, keepdims=True), logs[:, None]


def _distances(scores: Scores, decisions: Decisions) -> Floats:
    """Return the distance of class index and predicted index of each row; NaN where unknown."""
    return np.asarray(np.abs(scores.labels - np.asarray(decisions.predictions)))
