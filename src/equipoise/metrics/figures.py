"""All figures of a table of scores at once: per class, averaged over classes, and over rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._tasks import is_exclusive
from equipoise.metrics.agreement import linear_kappa, matthews_of_margins, quadratic_kappa
from equipoise.metrics.outcomes import Outcomes, divide
from equipoise.metrics.tallies import Tallies, entry_losses, tally
from equipoise.scores import Decisions, Scores

__all__ = ["Figures", "Tallies", "derive_figures", "entry_losses", "evaluable_classes", "measure", "tally"]

RANKING = ("auc", "ap")
RATES = ("precision", "recall", "specificity", "f1", "balanced_accuracy", "accuracy", "mcc")
LOSSES = ("brier", "log_loss")
WEIGHTED = ("auc", "ap", "precision", "recall", "f1")  # also averaged by the number of positives
AVERAGES = ("macro", "micro", "weighted", "samples")
LOWER_IS_BETTER = frozenset({"brier", "log_loss", "loss", "hamming", "mae"})
_EXCLUSIVE_RATES = ("precision", "recall", "specificity", "f1")


@dataclasses.dataclass(frozen=True, eq=False)
class Figures:
    """Figures by name: `per_class` of shape (..., classes), `overall` of shape (...). NaN where not evaluable."""

    per_class: dict[str, Floats]
    overall: dict[str, Floats]


def derive_figures(tallies: Tallies, averaged: dict[str, NDArray[np.bool_]] | None = None) -> Figures:
    """Return every figure that follows from the sums.

    Args:
        tallies: the sums.
        averaged: for each metric which classes its averages are over, for sums with one leading axis of replicates. A
            class that a replicate has no case of counts in macro averages with its mean over the other replicates, and
            has no weight in weighted ones. Default: the classes evaluable here.
    """
    exclusive = is_exclusive(tallies.task)
    per_class: dict[str, Floats] = {"auc": tallies.auc, "ap": tallies.ap}
    outcomes = tallies.outcomes
    if outcomes is not None:
        for name in _EXCLUSIVE_RATES if exclusive else RATES:
            per_class[name] = _rate(outcomes, name)
    if "distances" in tallies.of_classes:
        per_class["mae"] = divide(tallies.of_classes["distances"], tallies.of_classes["positives"])
    losses = _losses(tallies.of_rows if exclusive else tallies.of_classes)
    if not exclusive:
        per_class |= losses
    overall: dict[str, Floats] = {}
    if tallies.task != "binary":
        overall |= {f"macro_{name}": _macro(values, averaged, name) for name, values in per_class.items()}
        overall |= {"micro_auc": tallies.micro_auc, "micro_ap": tallies.micro_ap}
        support = tallies.of_classes["positives"]
        overall |= {
            f"weighted_{name}": _weighted(per_class[name], support, averaged, name)
            for name in WEIGHTED
            if name in per_class
        }
    if exclusive:
        overall |= losses | _exclusive(tallies)
    elif tallies.task == "multilabel":
        overall |= _multilabel(tallies)
    return Figures(per_class, overall)


def evaluable_classes(figures: Figures) -> dict[str, NDArray[np.bool_]]:
    """Return for each metric which classes could be evaluated, shape (classes,)."""
    return {name: ~np.isnan(values) for name, values in figures.per_class.items()}


def measure(scores: Scores, decisions: Decisions | None = None) -> Figures:
    """Return every metric of a table of scores: per class, averaged, and over rows.

    Per class: auc, ap, brier, log_loss, and with decisions precision, recall, specificity, f1, balanced_accuracy,
    accuracy and mcc, for grades also mae. Overall: macro_* (mean over the evaluable classes), weighted_* (by their
    positives; auc, ap, precision, recall, f1), micro_* (all entries pooled); for multi-label samples_f1 (mean over the
    rows that have a positive), exact_match and hamming; for exclusive classes accuracy, balanced_accuracy (mean recall
    of the classes present), mcc, log_loss, brier (summed over the classes) and, where they are ordered, qwk,
    linear_kappa, mae and adjacent_accuracy. Higher is better but for brier, log_loss, hamming and mae.

    Args:
        scores: what to judge.
        decisions: predictions for the same rows; probabilities are then those at natural prevalence that they carry.

    Returns:
        NaN where a figure cannot be evaluated.

    Example:
        >>> scores = Scores(labels=[[0, 1], [1, np.nan]], values=[[0.2, 0.7], [0.9, 0.1]], kind="probabilities",
        ...                 ids=["a", "b"], role="test", classes=["Mass", "Hernia"])
        >>> figures = measure(scores)
        >>> figures.per_class["auc"], figures.overall["macro_auc"].item()  # Hernia has no negative
        (array([ 1., nan]), 1.0)
    """
    return derive_figures(tally(scores if decisions is None else decisions.scores, decisions))


def _rate(outcomes: Outcomes, name: str) -> Floats:
    rate: Floats = getattr(outcomes, {"mcc": "matthews"}.get(name, name))()
    return rate


def _losses(sums: Mapping[str, Floats]) -> dict[str, Floats]:
    return {"brier": divide(sums["squared"], sums["known"]), "log_loss": divide(sums["logs"], sums["known"])}


def _macro(values: Floats, averaged: dict[str, NDArray[np.bool_]] | None, name: str) -> Floats:
    chosen = ~np.isnan(values) if averaged is None else averaged[name]
    if not chosen.any():
        return np.full(values.shape[:-1], np.nan)
    taken = values[..., chosen]
    if averaged is not None and np.isnan(taken).any():
        # A class without a case in a replicate counts with its mean over the others: leaving the class out would make
        # the average jump, leaving the replicate out would leave none where there are many small classes.
        usable = ~np.isnan(taken)
        means = divide(np.where(usable, taken, 0.0).sum(axis=0), usable.sum(axis=0))
        taken = np.where(usable, taken, means)
    return np.asarray(taken.mean(axis=-1))


def _weighted(values: Floats, support: Floats, averaged: dict[str, NDArray[np.bool_]] | None, name: str) -> Floats:
    usable = ~np.isnan(values) if averaged is None else ~np.isnan(values) & averaged[name]
    weights = np.where(usable, support, 0.0)
    return divide((weights * np.where(usable, values, 0.0)).sum(axis=-1), weights.sum(axis=-1))


def _exclusive(tallies: Tallies) -> dict[str, Floats]:
    outcomes = tallies.outcomes
    if outcomes is None:
        return {}
    truth, predicted = outcomes.positives, outcomes.true_positives + outcomes.false_positives
    right = outcomes.true_positives.sum(axis=-1)
    accuracy = divide(right, truth.sum(axis=-1))
    overall = {
        "accuracy": accuracy,
        "balanced_accuracy": divide(np.nansum(outcomes.recall(), axis=-1), (truth > 0).sum(axis=-1)),
        "micro_f1": accuracy,
        "mcc": matthews_of_margins(right, truth, predicted),
    }
    if tallies.task == "ordinal":
        distance = tallies.of_classes["distances"].sum(axis=-1)
        overall["qwk"] = quadratic_kappa(truth, predicted, tallies.of_rows["disagreement"])
        overall["linear_kappa"] = linear_kappa(truth, predicted, distance)
        overall["mae"] = divide(distance, truth.sum(axis=-1))
        overall["adjacent_accuracy"] = divide(tallies.of_rows["adjacent"], truth.sum(axis=-1))
    return overall


def _multilabel(tallies: Tallies) -> dict[str, Floats]:
    pooled_sums = {name: sums.sum(axis=-1) for name, sums in tallies.of_classes.items()}
    overall = {f"micro_{name}": value for name, value in _losses(pooled_sums).items()}
    if tallies.outcomes is None:
        return overall
    pooled, rows = tallies.outcomes.sum(), tallies.of_rows
    overall |= {f"micro_{name}": _rate(pooled, name) for name in RATES}
    overall["samples_f1"] = divide(rows["f1"], rows["with_positive"])
    overall["exact_match"] = divide(rows["right"], rows["complete"])
    overall["hamming"] = 1.0 - pooled.accuracy()
    return overall
