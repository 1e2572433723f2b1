"""The prior that makes unlabelled scores most likely: the fixed point of Saerens, Latinne and Decaestecker's EM."""

from __future__ import annotations

import numpy as np

from equipoise._arrays import Floats
from equipoise.scores.record import sigmoid

_LARGEST = 50.0  # log-ratios beyond which a case is certain
_STEPS = 60


def solve_prior(log_ratios: Floats, weights: Floats) -> Floats:
    """Return the share of positives that maximises the likelihood of scores, shape (samples,).

    With r the ratio of the densities of a score among positives and negatives, the log likelihood sum w log(s r + 1 -
    s) is concave in the share s, and EM (Saerens et al. 2002, equation 2.9) climbs it. The same maximum is found here
    faster: s = 0 where the mean of r is at most 1, s = 1 where the mean of 1/r is, and else the root of mean
    sigmoid(log r + logit s) = s, by Newton's steps kept inside a bracket that is halved where they leave it.

    Args:
        log_ratios: log r, shape (samples, bins) or (1, bins).
        weights: non-negative number of cases, shape (samples, bins).

    Example:
        Ratios of 3 and 1/3 for two cases each: no reason for any share but one half.

        >>> solve_prior(np.log([[3.0, 3.0, 1 / 3, 1 / 3]]), np.ones((1, 4))).round(6)
        array([0.5])
    """
    ratios = np.clip(np.broadcast_to(log_ratios, weights.shape), -_LARGEST, _LARGEST)
    totals = weights.sum(axis=1)
    shares = np.where((weights * np.exp(ratios)).sum(axis=1) <= totals, 0.0, np.nan)
    shares[(weights * np.exp(-ratios)).sum(axis=1) <= totals] = 1.0
    inner = np.flatnonzero(np.isnan(shares))
    shares[inner] = _inner_roots(ratios[inner], weights[inner] / totals[inner, None])
    return shares


def _inner_roots(ratios: Floats, weights: Floats) -> Floats:
    """Return the roots of mean sigmoid(log r + logit s) = s inside (0, 1), shape (samples,); weights sum to 1."""
    low, high = np.full(len(weights), -_LARGEST), np.full(len(weights), _LARGEST)
    found, open_ = np.zeros(len(weights)), np.arange(len(weights))
    for _ in range(_STEPS):
        odds, share = found[open_], sigmoid(found[open_])
        posterior = sigmoid(ratios[open_] + odds[:, None])
        expected = weights[open_] * posterior
        excess = expected.sum(axis=1) - share
        low[open_] = np.where(excess > 0, odds, low[open_])
        high[open_] = np.where(excess > 0, high[open_], odds)
        slope = expected.sum(axis=1) - np.vecdot(expected, posterior) - share * (1 - share)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = odds - excess / slope
        inside = np.isfinite(step) & (step > low[open_]) & (step < high[open_]) & (slope < 0)
        found[open_] = np.where(inside, step, (low[open_] + high[open_]) / 2)
        open_ = open_[np.abs(found[open_] - odds) >= 1e-8]
        if not len(open_):
            break
    return sigmoid(found)


def prior_log_likelihood(share: float, log_ratios: Floats, weights: Floats) -> float:
    """Return sum w log(s r + 1 - s) of one share."""
    ratios = np.exp(np.clip(log_ratios, -_LARGEST, _LARGEST))
    with np.errstate(divide="ignore"):
        return float(weights @ np.log(share * ratios + (1.0 - share)))


def prior_information(share: float, log_ratios: Floats, weights: Floats) -> float:
    """Return minus the second derivative of the log likelihood in the share: what the cases say of it."""
    ratios = np.exp(np.clip(log_ratios, -_LARGEST, _LARGEST))
    return float(weights @ np.square((ratios - 1.0) / (share * ratios + 1.0 - share)))


def solve_priors(likelihoods: Floats, weights: Floats, start: Floats) -> Floats:
    """Return the shares of exclusive classes that maximise the likelihood of scores, shape (classes,).

    EM (Saerens et al. 2002, equation 2.9), its steps lengthened as long as the likelihood rises (SQUAREM: Varadhan and
    Roland, Scandinavian Journal of Statistics 2008, scheme S3).

    Args:
        likelihoods: density of each score in each class, up to a factor per row, shape (rows, classes).
        weights: non-negative number of each row, shape (rows,).
        start: shares to begin with, above 0, shape (classes,).

    Example:
        >>> likelihoods = np.array([[3.0, 1.0], [3.0, 1.0], [1.0, 3.0], [1.0, 3.0]])
        >>> solve_priors(likelihoods, np.ones(4), np.array([0.9, 0.1])).round(6)
        array([0.5, 0.5])
    """
    total = weights.sum()

    def climb(shares: Floats) -> tuple[Floats, float]:
        mixed = likelihoods @ shares
        ratios = np.divide(weights, mixed, out=np.zeros_like(mixed), where=mixed > 0)
        with np.errstate(divide="ignore"):
            value = float(weights @ np.log(np.maximum(mixed, 1e-300)))
        return shares * (ratios @ likelihoods) / total, value

    shares = start / start.sum()
    for _ in range(500):
        first, _value = climb(shares)
        second, before = climb(first)
        step, bend = first - shares, second - first - (first - shares)
        size = float(np.sqrt(bend @ bend))
        if np.abs(second - shares).max() < 1e-9 or size == 0.0:
            return np.asarray(second / second.sum())
        length = -float(np.sqrt(step @ step)) / size
        far = np.maximum(shares - 2 * length * step + length**2 * bend, 0.0)
        settled, after = climb(far / far.sum())
        shares = settled if after >= before and settled.min() > 0 else second
        shares = shares / shares.sum()
    return np.asarray(shares)
