"""One answer from several members: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
        return stacked[0]
    if exclusive:
        return _log_mean(stacked - _log_sum(stacked, axis=-1)[..., None])
    return _log_mean(-np.logaddexp(0.0, -stacked)) - _log_mean(-np.logaddexp(0.0, stacked))


def _log_mean(logs: Floats) -> Floats:
    return _log_sum(logs, axis=0) - np.log(len(logs))


def _log_sum(logs: Floats, axis: int) -> Floats:
    highest = logs.max(axis=axis, keepdims=True)
    return np.asarray(np.log(np.exp(logs - highest).sum(axis=axis)) + highest.squeeze(axis))
