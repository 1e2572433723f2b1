"""What each row does to AUC and average precision: replicates to first order, where a scan of each takes too long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.evidence._order import Counts


def ranking_influence(labels: Floats, values: Floats) -> tuple[Floats, Floats]:
    r"""Return the derivatives of AUC and average precision by the weight of each row, (rows,) each; 0 where unknown.

    With P positives, N negatives, V_k the share of negatives below positive k and W_k that of positives above negative
    k (ties count half), TP_i and A_i the positives and all rows at or above row i:

        AUC: (V_k - AUC) / P for a positive, (W_k - AUC) / N for a negative;
        AP: ((TP_k / A_k - AP) [k positive]
            + sum over positives i at or below k of ([k positive] - TP_i / A_i) / A_i) / P.

    They sum to zero.

    Args:
        labels: 0, 1 or NaN (left out), with both kinds, shape (rows,).
        values: higher means more likely positive, shape (rows,).

    Example:
        >>> auc, ap = ranking_influence(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.4, 0.6, 0.8]))
        >>> auc, abs(float(ap.sum())) < 1e-12  # V = 0.5, 1; W = 1, 0.5; AUC = 0.75
        (array([ 0.125, -0.125, -0.125,  0.125]), True)
    """
    order, of_auc, of_ap, *_ = _ordered_influence(labels, values)
    result = np.zeros((2, len(labels)))
    result[0, order], result[1, order] = of_auc, of_ap
    return result[0], result[1]


class LinearisedClass:
    """One class whose AUC and average precision are resampled to first order: value + influence @ (counts - 1).

    The variance of such replicates is the infinitesimal jackknife's (Jaeckel 1972; Efron 1982, section 6.3), which for
    AUC is DeLong's. What is left out falls with the number of cases, and a replicate costs a product instead of a scan.

    Args:
        labels: 0, 1 or NaN (left out), shape (rows,).
        values: higher means more likely positive, shape (rows,).
        clusters: cluster of each row, shape (rows,).
        count: number of clusters.

    Attributes:
        per_cluster: what the rows of each cluster together do to both figures, shape (2, clusters).
    """

    def __init__(self, labels: Floats, values: Floats, clusters: NDArray[np.int32], count: int) -> None:
        self.per_cluster = np.zeros((2, count))
        self.figures = np.full((2, 1), np.nan)
        if (labels == 1).any() and (labels == 0).any():
            order, *both, auc, ap = _ordered_influence(labels, values)
            place = clusters[order]
            self.figures = np.array([[auc], [ap]])
            self.per_cluster = np.array([np.bincount(place, weights=one, minlength=count) for one in both])

    def replicate(self, counts: Counts, totals: Floats) -> tuple[Floats, Floats]:
        """Return AUC and average precision of each replicate; NaN without positives or without negatives.

        Args:
            counts: shape (clusters, replicates); what matters of them is in `totals`.
            totals: ``per_cluster @ counts``, shape (2, replicates). The influences sum to zero.
        """
        del counts
        auc, ap = np.clip(self.figures + totals, 0.0, 1.0)
        return auc, ap


def _ordered_influence(labels: Floats, values: Floats) -> tuple[NDArray[np.int64], Floats, Floats, float, float]:
    """Return the known rows from the highest value down, the derivatives in that order, AUC and average precision."""
    unknown = np.isnan(labels)
    order = np.argsort(np.where(unknown, -np.inf, values))[::-1][: len(labels) - int(unknown.sum())]
    ordered, hit = values[order], labels[order] == 1
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(order) - 1)
    tied = len(ends) < len(
        order
    )  # then what follows is computed for blocks of equal scores, and spread over their rows
    found, reached = np.cumsum(hit, dtype=np.float64)[ends], ends + 1.0
    hits, rows = (np.diff(found, prepend=0.0), np.diff(reached, prepend=0.0)) if tied else (hit.astype(np.float64), 1.0)
    positives, negatives = found[-1], reached[-1] - found[-1]
    below = (negatives - (reached - found) + (rows - hits) / 2) / negatives
    above = (found - hits / 2) / positives
    precision = found / reached
    auc, ap = float(hits @ below / positives), float(hits @ precision / positives)
    risen = np.cumsum((hits / reached)[::-1])[::-1]
    fallen = np.cumsum((hits * precision / reached)[::-1])[::-1]
    of_positives = ((below - auc) / positives, (precision - ap + risen - fallen) / positives)
    of_negatives = ((above - auc) / negatives, -fallen / positives)
    sizes = np.asarray(rows, dtype=np.int64)
    of_auc, of_ap = (
        np.where(hit, *(np.repeat(side, sizes) if tied else side for side in pair))
        for pair in zip(of_positives, of_negatives, strict=True)
    )
    return order, of_auc, of_ap, auc, ap
