"""All figures of a table of scores at once: per class, macro, micro and over rows.

The figures follow from a few sums (`Tallies`). The sums may carry leading axes, so that the data themselves and a
batch of bootstrap replicates go through the same formulas.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._tasks import is_exclusive
from equipoise.metrics.agreement import matthews_of_margins, quadratic_kappa
from equipoise.metrics.outcomes import Outcomes, divide
from equipoise.metrics.probability import log_losses, squared_errors
from equipoise.metrics.ranking import rank_class, rank_classes
from equipoise.scores import Decisions, Scores

RANKING = ("auc", "ap")
RATES = ("precision", "recall", "specificity", "f1", "balanced_accuracy", "accuracy", "mcc")
LOSSES = ("brier", "log_loss")
LOWER_IS_BETTER = frozenset({"brier", "log_loss", "loss", "hamming"})
_EXCLUSIVE_RATES = ("precision", "recall", "specificity", "f1")


@dataclasses.dataclass(frozen=True, eq=False)
class Tallies:
    """Sums from which every figure follows. ``...`` stands for leading axes: none, or one per replicate.

    Args:
        task: of the scores.
        auc: per class, shape (..., classes); NaN without positives or negatives.
        ap: per class, shape (..., classes).
        micro_auc: of all entries pooled, shape (...).
        micro_ap: of all entries pooled, shape (...).
        squared: sum of squared errors, shape (..., classes); for exclusive classes (..., 1), summed over the classes.
        logs: sum of log losses, shape (..., classes); for exclusive classes (..., 1).
        known: number of known entries that the two sums are over, same shape.
        outcomes: per class, shape (..., classes); None without decisions.
        matches: rows that are right in every class, and rows that are known in every class, shape (..., 2).
        disagreement: sum of squared distances of class index and predicted index, shape (...); exclusive classes only.
    """

    task: str
    auc: Floats
    ap: Floats
    micro_auc: Floats
    micro_ap: Floats
    squared: Floats
    logs: Floats
    known: Floats
    outcomes: Outcomes | None
    matches: Floats | None
    disagreement: Floats | None


@dataclasses.dataclass(frozen=True, eq=False)
class Figures:
    """Figures by name: `per_class` of shape (..., classes), `overall` of shape (...). NaN where not evaluable."""

    per_class: dict[str, Floats]
    overall: dict[str, Floats]


def entry_losses(scores: Scores) -> tuple[Floats, Floats]:
    """Return squared errors and log losses, per entry (n, classes), or per row (n, 1) for exclusive classes."""
    probabilities, truth = scores.probability_table(), scores.table()
    squared = squared_errors(truth, probabilities)
    if not scores.exclusive:
        return squared, log_losses(truth, probabilities)
    likelihood = np.where(np.isnan(scores.labels), np.nan, (np.nan_to_num(truth) * probabilities).sum(axis=1))
    logs = log_losses(np.where(np.isnan(likelihood), np.nan, 1.0), likelihood)
    return squared.sum(axis=1, keepdims=True), logs[:, None]


def tally(scores: Scores, decisions: Decisions | None = None) -> Tallies:
    """Return the sums of a table of scores, without leading axes."""
    truth, values = scores.table(), scores.ranking_table()
    ranked = rank_classes(truth, values)
    pooled = ranked[0] if len(ranked) == 1 else rank_class(truth.ravel(), values.ravel())
    squared, logs = entry_losses(scores)
    outcomes = matches = disagreement = None
    if decisions is not None:
        outcomes = Outcomes(
            *np.moveaxis(outcome_entries(truth, decisions.table()), -1, 0).sum(axis=1, dtype=np.float64)
        )
        matches = row_matches(truth, decisions.table()).sum(axis=0, dtype=np.float64)
        disagreement = np.asarray(np.nansum(squared_distances(scores, decisions))) if scores.exclusive else None
    return Tallies(
        task=scores.task,
        auc=np.array([one.auc() for one in ranked]),
        ap=np.array([one.average_precision() for one in ranked]),
        micro_auc=np.asarray(pooled.auc()),
        micro_ap=np.asarray(pooled.average_precision()),
        squared=np.nansum(squared, axis=0),
        logs=np.nansum(logs, axis=0),
        known=(~np.isnan(logs)).sum(axis=0).astype(np.float64),
        outcomes=outcomes,
        matches=matches,
        disagreement=disagreement,
    )


def outcome_entries(truth: Floats, predicted: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return for each entry whether it is a true positive, false positive, false negative, true negative: (..., 4)."""
    positive, negative, alarm = truth == 1, truth == 0, predicted == 1
    return np.stack([positive & alarm, negative & alarm, positive & ~alarm, negative & ~alarm], axis=-1)


def row_matches(truth: Floats, predicted: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return for each row whether it is right in every class, and whether it is known in every class: (n, 2)."""
    return np.column_stack([(truth == predicted).all(axis=1), ~np.isnan(truth).any(axis=1)])


def squared_distances(scores: Scores, decisions: Decisions) -> Floats:
    """Return the squared distance of class index and predicted index of each row; NaN where unknown."""
    return np.asarray(np.square(scores.labels - np.asarray(decisions.predictions)))


def derive_figures(tallies: Tallies, averaged: dict[str, NDArray[np.bool_]] | None = None) -> Figures:
    """Return every figure that follows from the sums.

    Args:
        tallies: the sums.
        averaged: for each metric which classes its macro average is over, for sums with one leading axis of replicates.
            A class that a replicate has no case of counts there with its mean over the other replicates. Default: the
            classes evaluable here.
    """
    exclusive = is_exclusive(tallies.task)
    per_class: dict[str, Floats] = {"auc": tallies.auc, "ap": tallies.ap}
    if tallies.outcomes is not None:
        for name in _EXCLUSIVE_RATES if exclusive else RATES:
            per_class[name] = _rate(tallies.outcomes, name)
    losses = {
        "brier": divide(tallies.squared, tallies.known),
        "log_loss": divide(tallies.logs, tallies.known),
    }
    if not exclusive:
        per_class |= losses
    overall: dict[str, Floats] = {}
    if tallies.task != "binary":
        overall |= {f"macro_{name}": _macro(values, averaged, name) for name, values in per_class.items()}
        overall |= {"micro_auc": tallies.micro_auc, "micro_ap": tallies.micro_ap}
    if exclusive:
        overall |= {name: values[..., 0] for name, values in losses.items()} | _exclusive(tallies)
    elif tallies.task == "multilabel":
        overall |= _multilabel(tallies)
    return Figures(per_class, overall)


def evaluable_classes(figures: Figures) -> dict[str, NDArray[np.bool_]]:
    """Return for each metric which classes could be evaluated, shape (classes,)."""
    return {name: ~np.isnan(values) for name, values in figures.per_class.items()}


def measure(scores: Scores, decisions: Decisions | None = None) -> Figures:
    """Return every metric of a table of scores: per class, macro, micro and over rows.

    Per class: auc, ap, brier, log_loss, and with decisions precision, recall, specificity, f1, balanced_accuracy,
    accuracy and mcc. Overall: macro_* (mean over the evaluable classes), micro_* (all entries pooled), exact_match and
    hamming; for exclusive classes accuracy, balanced_accuracy (mean recall of the classes present), mcc, log_loss,
    brier (summed over the classes) and, where they are ordered, qwk. Higher is better but for brier, log_loss and
    hamming.

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


def _exclusive(tallies: Tallies) -> dict[str, Floats]:
    if tallies.outcomes is None or tallies.disagreement is None:
        return {}
    outcomes = tallies.outcomes
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
        overall["qwk"] = quadratic_kappa(truth, predicted, tallies.disagreement)
    return overall


def _multilabel(tallies: Tallies) -> dict[str, Floats]:
    known = tallies.known.sum(axis=-1)
    overall = {
        "micro_brier": divide(tallies.squared.sum(axis=-1), known),
        "micro_log_loss": divide(tallies.logs.sum(axis=-1), known),
    }
    if tallies.outcomes is None or tallies.matches is None:
        return overall
    pooled = tallies.outcomes.sum()
    overall |= {f"micro_{name}": _rate(pooled, name) for name in RATES}
    overall["exact_match"] = divide(tallies.matches[..., 0], tallies.matches[..., 1])
    overall["hamming"] = 1.0 - pooled.accuracy()
    return overall
