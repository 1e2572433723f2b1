"""One answer from several members: the mean of their probabilities, each at the natural prevalence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from equipoise.balance import Ledger
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
    exclusive = task in ("multiclass", "ordinal")
    natural = [np.asarray(ledger.to_natural(logits), dtype=np.float64) for logits in stacked]
    return mean_of_members(natural, exclusive=exclusive)


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
