"""One number for one table of scores: what early stopping and the best checkpoint go by."""

from __future__ import annotations

import math

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_one_of
from equipoise.decision.objectives import Objective
from equipoise.decision.thresholds import count_at_cuts
from equipoise.metrics.agreement import quadratic_kappa
from equipoise.metrics.figures import entry_losses
from equipoise.metrics.outcomes import divide
from equipoise.metrics.ranking import RankedClass, rank_class, rank_classes
from equipoise.scores import Scores

# Name -> what it is.
MONITORS = {
    "loss": "mean log loss over all known labels, in nats",
    "macro_f1": "mean F1 over the evaluable classes, each at its own best threshold on these scores",
    "micro_f1": "F1 of all entries pooled, at the best single threshold on these scores",
    "macro_auc": "mean area under the ROC curve over the evaluable classes",
    "micro_auc": "area under the ROC curve of all entries pooled",
    "macro_ap": "mean average precision over the evaluable classes",
    "micro_ap": "average precision of all entries pooled",
    "macro_recall": "mean recall at the thresholds that maximise balanced accuracy on these scores",
    "balanced_accuracy": "mean balanced accuracy, each class at its own best threshold on these scores",
    "accuracy": "share of right entries at 0.5, or of right rows by the most likely class",
    "qwk": "quadratically weighted kappa of the most likely grade",
}


def higher_is_better(name: str) -> bool:
    """Return whether a monitored value is better when it is higher.

    Example:
        >>> higher_is_better("macro_f1"), higher_is_better("loss")
        (True, False)
    """
    check_one_of(name, MONITORS, argument="name", function="higher_is_better")
    return name != "loss"


def monitor_value(name: str, scores: Scores) -> float:
    """Return one figure of a table of scores; NaN where nothing is evaluable.

    Thresholds are fitted on the very scores that are given, so figures at thresholds are optimistic: good for choosing
    between epochs of one run, never for a report. For exclusive classes macro_f1, macro_recall and balanced_accuracy
    are those of the most likely class (argmax). macro_recall is taken at the thresholds that maximise balanced
    accuracy, because recall alone is best when everything is called positive.

    Args:
        name: one of `MONITORS`.
        scores: labels and values, of the validation role.

    Raises:
        ArgumentError: unknown name, or qwk for classes without an order.

    Example:
        >>> scores = Scores(labels=[0, 1, 0], values=[0.2, 0.3, 0.1], kind="probabilities", ids=["a", "b", "c"],
        ...                 role="validation", classes=["Mass"])
        >>> monitor_value("macro_f1", scores)  # a threshold between 0.2 and 0.3 is right about all three
        1.0
    """
    check_one_of(name, MONITORS, argument="name", function="monitor_value")
    if name == "loss":
        logs = entry_losses(scores)[1]
        return float(divide(np.nansum(logs), (~np.isnan(logs)).sum()))
    if name == "qwk" and scores.task != "ordinal":
        raise ArgumentError(
            f'"qwk" needs ordered grades; the task is {scores.task}. Use macro_f1, or state task ordinal.'
        )
    if scores.exclusive and name in ("macro_f1", "micro_f1", "macro_recall", "balanced_accuracy", "accuracy", "qwk"):
        return _of_most_likely(name, scores)
    if name == "accuracy":
        truth = scores.table()
        return float(divide(((scores.probability_table() >= 0.5) == truth).sum(), (~np.isnan(truth)).sum()))
    figures = [_of_class(name, ranked) for ranked in _sorted_classes(name, scores)]
    known = [value for value in figures if not math.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _sorted_classes(name: str, scores: Scores) -> list[RankedClass]:
    truth, values = scores.table(), scores.ranking_table()
    if name.startswith("micro_"):
        return [rank_class(truth.ravel(), values.ravel())]
    return rank_classes(truth, values)


def _of_class(name: str, ranked: RankedClass) -> float:
    if not ranked.positives * ranked.negatives > 0:
        return float("nan")
    if name.endswith("_auc"):
        return ranked.auc()
    if name.endswith("_ap"):
        return ranked.average_precision()
    if name.endswith("_f1"):
        return float(_at_cuts(ranked, "f1").max())
    worth = _at_cuts(ranked, "balanced_accuracy")
    if name == "balanced_accuracy":
        return float(worth.max())
    cut = int(worth.argmax())
    return float(ranked.true_positives[cut - 1] / ranked.positives) if cut else 0.0


def _at_cuts(ranked: RankedClass, objective: str) -> Floats:
    return Objective(objective).worth(*count_at_cuts(ranked), ranked.positives, ranked.negatives)


def _of_most_likely(name: str, scores: Scores) -> float:
    count = len(scores.classes)
    known = ~np.isnan(scores.labels)
    cells = scores.labels[known].astype(np.int64) * count + scores.values[known].argmax(axis=1)
    confusion = np.bincount(cells, minlength=count * count).reshape(count, count).astype(np.float64)
    right, actual, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    if name == "qwk":
        distance = np.square(np.subtract.outer(np.arange(count), np.arange(count)))
        return float(quadratic_kappa(actual, predicted, np.asarray((confusion * distance).sum())))
    if name in ("accuracy", "micro_f1"):
        return float(divide(right.sum(), actual.sum()))
    present = actual > 0
    if not present.any():
        return float("nan")
    below = (actual + predicted) / 2 if name == "macro_f1" else actual
    return float((right[present] / below[present]).mean())
