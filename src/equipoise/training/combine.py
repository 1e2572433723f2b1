"""One answer from several members: the mean of their probabilities, each at the natural prevalence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._tasks import is_exclusive
from equipoise.balance import Deferred, Ledger, RegressionCorrection, SamplingPlan
from equipoise.scores import Scores

if TYPE_CHECKING:
    from equipoise.training.prepare import Prepared

Floats = NDArray[np.float64]


def natural_logits(ledger: Ledger, task: str, members: Sequence[Floats]) -> Floats:
    """Return the logits of the mean probability of all submodels of all members, at the natural prevalence.

    Each submodel is returned to the natural prevalence by the ledger before the mean is taken: the shift is a step in
    log-odds, and does not commute with a mean of probabilities.

    Args:
        ledger: the corrections that all of them were trained under.
        task: binary gives (rows,), others (rows, classes).
        members: raw logits of each member, (submodels, rows, outputs).
    """
    stacked = np.concatenate(list(members))
    if task == "binary":
        stacked = stacked[..., 0]
    exclusive = is_exclusive(task)
    natural = [np.asarray(ledger.to_natural(logits), dtype=np.float64) for logits in stacked]
    return mean_of_members(natural, exclusive=exclusive)


def measured_ledger(ledger: Ledger, members: Sequence[Floats], truth: Sequence[NDArray[Any]]) -> Ledger:
    r"""Return the ledger with what cannot be known beforehand measured on what the members say of natural rows.

    - Drawing of multilabel rows: no constant that a plan can know undoes it, as a row that is drawn for one label
      brings its others. The shift s of each class is taken such that the mean probability is the natural prevalence,

          mean over members, submodels and rows of sigmoid(z - s) = prevalence,

      with z the scores up to that shift. Only the prevalence of the rows that were learned from is used, no label of
      the rows that are scored. The shift of a stabilised plan is exact, and stays.
    - Regression: the spread of grades about its one output, and their shares, see `RegressionCorrection.measured`.

    Other ledgers are returned as they are: theirs is exact.

    Args:
        ledger: the corrections that all members were trained under.
        members: raw logits of each, (submodels, rows, outputs), of natural rows that it did not learn.
        truth: labels of these rows, (rows, classes) of 0, 1 and NaN where unknown: the prevalence is that of known
            labels.

    References:
        Saerens, Latinne & Decaestecker, Neural Computation 14 (2002), section 2, the other way round: there the prior
        is unknown and the shift follows from it.
    """
    entry = next((entry for entry in ledger.in_force if isinstance(entry, RegressionCorrection)), None)
    if entry is not None and ledger.prevalence is not None:
        scores = np.concatenate([logits[..., 0].ravel() for logits in members])
        grades = [
            np.tile(table @ np.arange(table.shape[1]), len(one)) for one, table in zip(members, truth, strict=True)
        ]
        fitted = entry.measured(scores, np.concatenate(grades), ledger.prevalence, ledger.log_odds_shift)
        return _exchanged(ledger, entry, fitted)
    plan = next((entry for entry in ledger.in_force if isinstance(entry, SamplingPlan)), None)
    if plan is None or plan.task != "multilabel" or ledger.prevalence is None or plan.stabilised is not None:
        return ledger
    return _exchanged(ledger, plan, _measured_plan(plan, ledger, members, truth))


def _measured_plan(
    plan: SamplingPlan, ledger: Ledger, members: Sequence[Floats], truth: Sequence[NDArray[Any]]
) -> SamplingPlan:
    assert ledger.prevalence is not None
    scores = [np.asarray(ledger.to_natural(one)) for logits in members for one in logits]
    masks = [~np.isnan(table) for logits, table in zip(members, truth, strict=True) for _ in logits]
    left = np.zeros(len(plan.classes))
    for place, share in enumerate(ledger.prevalence):
        column = np.concatenate([score[mask[:, place], place] for score, mask in zip(scores, masks, strict=True)])
        if 0.0 < share < 1.0 and len(column):
            left[place] = matching_shift(column, float(share))
    return plan.with_shift(plan.log_odds_shift + left)


def _exchanged(ledger: Ledger, old: Any, new: Any) -> Ledger:
    def with_it(entry: Any) -> Any:
        if isinstance(entry, Deferred):
            return dataclasses.replace(entry, correction=with_it(entry.correction))
        return new if entry is old else entry

    return dataclasses.replace(ledger, corrections=tuple(map(with_it, ledger.corrections)), census=None)


def matching_shift(logits: Floats, prevalence: float) -> float:
    """Return what to take off logits, (rows,), so that their mean probability is `prevalence`, in (0, 1).

    Example:
        >>> round(matching_shift(np.log([3.0]), 0.5), 6)
        1.098612
    """
    aim = np.log(prevalence) - np.log1p(-prevalence)
    low, high = float(logits.min()) - aim, float(logits.max()) - aim
    shift = 0.5 * (low + high)
    for _ in range(60):  # Newton on the log-odds of the mean, nearly straight, kept inside a shrinking interval
        p = np.exp(-np.logaddexp(0.0, shift - logits))
        mean, rest = float(p.mean()), float(np.exp(-np.logaddexp(0.0, logits - shift)).mean())
        gap = np.log(mean) - np.log(rest) - aim
        low, high = (shift, high) if gap > 0.0 else (low, shift)
        step = gap * mean * rest / max(float((p * (1.0 - p)).mean()), 1e-300)
        if abs(gap) < 1e-10:
            break
        shift = shift + step if low < shift + step < high else 0.5 * (low + high)
    return float(shift)


def make_scores(prepared: Prepared, rows: NDArray[np.int64], values: Floats, *, role: str) -> Scores:
    """Return the scores of some rows of a training, with their ids, groups and labels.

    Args:
        prepared: what was trained on.
        rows: which rows.
        role: of the scores.
        values: logits at the natural prevalence, (rows,) for binary, else (rows, classes).
    """
    labels = prepared.labels.select(rows)
    return Scores(
        labels=labels.values,
        values=values,
        kind="logits",
        ids=labels.ids,
        groups=labels.groups,
        role=role,
        classes=labels.classes,
        task=labels.task,
    )


def mean_of_members(logits: Sequence[Floats], *, exclusive: bool) -> Floats:
    """Return the logits of the mean probability over members.

    The mean of probabilities, not of logits: each member's probabilities are at the natural prevalence, and a mean of
    such probabilities is one too. Computed in log space, so that nothing saturates.

    Args:
        logits: one array for each member, all (rows,) or (rows, classes).
        exclusive: True for softmax logits (one class is true of each row), False for sigmoid logits.

    Returns:
        Logits of the same shape: log p - log(1 - p), or log p for exclusive classes.

    Example:
        >>> mean_of_members([np.array([0.0, 40.0]), np.array([0.0, 40.0])], exclusive=False)
        array([ 0., 40.])
    """
    stacked = np.stack([np.asarray(one, dtype=np.float64) for one in logits])
    if len(stacked) == 1:
        return np.asarray(stacked[0])
    if exclusive:
        return _log_mean(stacked - _log_sum(stacked, axis=-1)[..., None])
    return _log_mean(-np.logaddexp(0.0, -stacked)) - _log_mean(-np.logaddexp(0.0, stacked))


def _log_mean(logs: Floats) -> Floats:
    return np.asarray(_log_sum(logs, axis=0) - np.log(len(logs)))


def _log_sum(logs: Floats, axis: int) -> Floats:
    highest = logs.max(axis=axis, keepdims=True)
    return np.asarray(np.log(np.exp(logs - highest).sum(axis=axis)) + highest.squeeze(axis))
