"""The exact way back from a focal-trained score to a probability, in log space.

Charoenphakdee, Vongkulbhisal, Chairatanakul & Sugiyama, "On Focal Loss for Class-Posterior Probability Estimation: A
Theoretical Perspective", CVPR 2021, eq. 9 (multi-class) and its two-class case: with

    phi(p) = (1 - p)^gamma - gamma (1 - p)^(gamma - 1) p ln p

focal loss is minimised at the p for which the true probability is eta_c = p_c / phi(p_c) up to a common factor.
"""

from __future__ import annotations

import numpy as np

from equipoise._arrays import RowOrTableFloats, TableFloats

# Beyond this logit, softplus(-z) equals exp(-z) to the last bit of a float64.
_TAIL = 40.0


def _softplus(values: RowOrTableFloats) -> RowOrTableFloats:
    return np.asarray(np.logaddexp(0.0, values))


def log_phi(logits: RowOrTableFloats, gamma: float) -> RowOrTableFloats:
    """Return ln phi(sigmoid(logits)), finite and accurate for logits of any size.

    With q = 1 - p: phi = q^(gamma-1) (q + gamma p (-ln p)), both terms positive, so nothing cancels.

    Example:
        At p = 1/2 and gamma = 2, phi = 1/4 + 2 * 1/2 * 1/2 * ln 2 = 0.5966.

        >>> float(np.exp(log_phi(np.array([0.0]), 2.0))[0].round(4))
        0.5966
    """
    if gamma == 0.0:
        return np.zeros_like(logits)
    log_p, log_q = -_softplus(-logits), -_softplus(logits)
    # ln(-ln p); where p is within rounding of one, -ln p is exp(-z).
    log_surprise = np.where(logits > _TAIL, -logits, np.log(_softplus(-np.minimum(logits, _TAIL))))
    return np.asarray((gamma - 1.0) * log_q + np.logaddexp(log_q, np.log(gamma) + log_p + log_surprise))


def focal_to_log_odds(logits: RowOrTableFloats, gamma: float) -> RowOrTableFloats:
    """Return the log-odds of the probability that a sigmoid focal loss of this gamma was minimised for.

    logit(eta) = logit(p) + ln phi(1 - p) - ln phi(p).

    Example:
        One half stays one half, and focal loss makes every other score too timid:

        >>> focal_to_log_odds(np.array([0.0, 1.0]), 2.0).round(3)
        array([0.   , 2.682])
    """
    return np.asarray(logits + log_phi(-logits, gamma) - log_phi(logits, gamma))


def one_against_rest(logits: TableFloats) -> TableFloats:
    """Return, per row and class, the log-odds of that class against all others together under a softmax."""
    if logits.shape[1] < 2:
        return np.full_like(logits, np.inf)
    top = logits.argmax(axis=1)[:, None]
    highest = np.take_along_axis(logits, top, axis=1)
    shifted = np.exp(logits - highest)
    np.put_along_axis(shifted, top, 0.0, axis=1)
    # For the leading class the others are summed without it; for the rest the leader dominates the sum anyway.
    rest = np.where(np.arange(logits.shape[1]) == top, -np.inf, logits)
    runner = rest.max(axis=1, keepdims=True)
    others = np.exp(rest - runner)
    result = logits - (highest + np.log1p(shifted.sum(axis=1, keepdims=True) - shifted))
    np.put_along_axis(result, top, highest - (runner + np.log(others.sum(axis=1, keepdims=True))), axis=1)
    return np.asarray(result)


def focal_to_log_probabilities(logits: TableFloats, gamma: float) -> TableFloats:
    """Return unnormalised log-probabilities that a softmax focal loss of this gamma was minimised for.

    ln eta_c = ln p_c - ln phi(p_c) + a constant of the row; with gamma 0 the logits come back unchanged.
    """
    if gamma == 0.0:
        return np.asarray(logits)
    return np.asarray(logits - log_phi(one_against_rest(logits), gamma))
