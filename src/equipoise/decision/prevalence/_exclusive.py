"""The shares of exclusive classes among unlabelled scores, with bootstrap samples of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision.calibration._newton import minimise
from equipoise.decision.calibration._odds import log_softmax
from equipoise.decision.calibration._softmax import softmax_directions, softmax_loss
from equipoise.decision.prevalence._draws import draw_groups, drawn_sums
from equipoise.decision.prevalence._em import solve_priors

Rows = tuple[NDArray[np.int64], int]  # the group of each row, and the number of groups


def find_all_by_em(
    truth: NDArray[np.int64], logs: Floats, labelled: Rows, other: Floats, unlabelled: Rows,
    *, recalibrate: bool, replicates: int, seed: int,
) -> tuple[Floats, Floats, Floats, float]:  # fmt: skip
    """Return the shares, those of bootstrap samples, the labelled shares of these, and the likelihood-ratio statistic.

    Args:
        truth: class of each labelled row.
        logs: log-probabilities of the labelled rows, shape (rows, classes).
        labelled: their groups.
        other: log-probabilities of the unlabelled rows, shape (rows, classes).
        unlabelled: their groups.
        recalibrate: temperature and offsets, fitted on the labelled rows (in the samples by one step of Newton's).
        replicates: bootstrap samples.
        seed: of the samples.
    """
    count = logs.shape[1]
    counts = np.bincount(truth, minlength=count)
    prior = counts / counts.sum()
    base, directions, start = softmax_directions("temperature_bias", counts > 0)
    parameters, steps = start, np.zeros((replicates, len(start)))
    one_hot = (truth[:, None] == np.arange(count)).astype(np.float64)
    entries = one_hot
    if recalibrate:
        loss = softmax_loss(truth, logs, np.ones(len(truth)), base, directions)
        parameters = minimise(loss, start)
        both = base + directions @ parameters
        residual = one_hot - np.exp(log_softmax(logs * both[:count] + both[count:]))
        slopes = residual * logs @ directions[:count] + residual @ directions[count:]
        influence = slopes @ np.linalg.pinv(loss(parameters)[2])
        entries = np.hstack([one_hot, influence])
    drawn = drawn_sums(entries, *labelled, replicates, seed)
    priors = drawn[:, :count] / drawn[:, :count].sum(axis=1, keepdims=True)
    if recalibrate:
        steps = drawn[:, count:]
    densities = _densities(other, base + directions @ parameters, prior)
    ones = np.ones(len(other))
    shares = solve_priors(densities, ones, prior)
    statistic = 2 * float(np.log(densities @ shares).sum() - np.log(densities @ prior).sum())
    found, index = np.empty((replicates, count)), 0
    for batch in draw_groups(unlabelled[1], replicates, seed + 1):
        for weights in batch.T:
            part = _densities(other, base + directions @ (parameters + steps[index]), priors[index])
            begin = np.where(priors[index] > 0, np.maximum(shares, 1e-4), 0.0)
            found[index] = solve_priors(part, weights[unlabelled[0]], begin)
            index += 1
    return shares, found, priors, max(statistic, 0.0)


def _densities(logs: Floats, both: Floats, prior: Floats) -> Floats:
    """Return the density of each row in each class, up to a factor per row; 0 in a class without a labelled case."""
    count = len(prior)
    mapped = logs * both[:count] + both[count:]
    with np.errstate(divide="ignore"):
        ratios = np.where(prior > 0, mapped - np.log(np.where(prior > 0, prior, 1.0)), -np.inf)
    return np.asarray(np.exp(ratios - ratios.max(axis=1, keepdims=True)))


def find_all_by_bbse(
    truth: NDArray[np.int64], told: Floats, labelled: Rows, said: Floats, unlabelled: Rows,
    *, replicates: int, seed: int,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Return the shares, those of bootstrap samples, and the labelled shares of these.

    Args:
        truth: class of each labelled row.
        told: predictions for the labelled rows, one-hot or probabilities, shape (rows, classes).
        labelled: their groups.
        said: predictions for the unlabelled rows, shape (rows, classes).
        unlabelled: their groups.
        replicates: bootstrap samples.
        seed: of the samples.
    """
    count = told.shape[1]
    one_hot = (truth[:, None] == np.arange(count)).astype(np.float64)
    cells = (told[:, :, None] * one_hot[:, None, :]).reshape(len(truth), -1)
    entries = np.hstack([cells, one_hot])
    sums = drawn_sums(entries, *labelled, replicates, seed)
    means = drawn_sums(said, *unlabelled, replicates, seed + 1)
    shares = _solve(entries.sum(axis=0), said.sum(axis=0), count)
    drawn = np.array([_solve(one, mean, count) for one, mean in zip(sums, means, strict=True)])
    tail = sums[:, count * count :]
    return shares, drawn, tail / tail.sum(axis=1, keepdims=True)


def _solve(sums: Floats, mean: Floats, count: int) -> Floats:
    """Return the shares at which predictions are as often as they are: least squares, then clipped to [0, 1]."""
    totals = sums[count * count :]
    present = totals > 0
    rates = sums[: count * count].reshape(count, count)[:, present] / totals[present]
    shares = np.zeros(count)
    shares[present] = np.clip(np.linalg.lstsq(rates, mean / mean.sum(), rcond=None)[0], 0.0, 1.0)
    total = shares.sum()
    return shares / total if total > 0 else np.full(count, np.nan)
