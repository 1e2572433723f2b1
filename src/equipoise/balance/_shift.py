"""What a sampling plan adds to the log-odds of each class, and how well one number a class says it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassFloats
from equipoise._tasks import is_exclusive


def fit_shift(
    task: str, labels: NDArray[np.int8], counts: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[ClassFloats, float]:
    r"""Return (classes,) the shift and the share of the variance of the log weights that it explains.

    Binary, multiclass: every class has one weight, and the shift is its logarithm (for binary that of positives over
    negatives), 0 where all rows that have a label are drawn alike. Multilabel: least squares of ln r on the labels with
    an intercept, over the rows of the table; an unknown label counts as the prevalence of its class. Rows that are
    never drawn are left out: they have no logarithm.
    """
    drawn = weights > 0
    logs = np.log(weights[drawn] * counts.sum())
    mass = counts[drawn].astype(np.float64)
    positive, known = labels[drawn] == 1, labels[drawn] >= 0
    if is_exclusive(task):
        shift = np.zeros(labels.shape[1])
        rows, places = np.nonzero(positive)
        shift[places] = logs[rows] + np.log(counts[(labels >= 0).any(axis=1)].sum() / counts.sum())
        return shift, 1.0
    with np.errstate(invalid="ignore"):
        prevalence = np.nan_to_num((mass @ positive) / (mass @ known))
    design = np.where(known, positive, prevalence)
    centred = design - (mass @ design) / mass.sum()
    spread = logs - (mass @ logs) / mass.sum()
    root = np.sqrt(mass)[:, None]
    shift = np.linalg.lstsq(root * centred, root[:, 0] * spread, rcond=1e-12)[0]
    total = float(mass @ spread**2)
    left = float(mass @ (spread - centred @ shift) ** 2)
    exact = total <= 1e-20 * mass.sum() or task == "binary" or left <= 1e-18 * total
    return np.asarray(shift), 1.0 if exact else max(0.0, 1.0 - left / total)
