"""The share of positives of one yes-or-no class among unlabelled scores, with bootstrap samples of it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision.calibration._newton import logistic_loss, minimise
from equipoise.decision.prevalence._draws import cut_into_bins, drawn_bins, drawn_sums
from equipoise.decision.prevalence._em import prior_information, prior_log_likelihood, solve_prior
from equipoise.scores.record import logit, sigmoid

_BINS = 200  # of the scores of positives, of negatives, and twice that of unlabelled cases, in bootstrap samples


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Scores of one class, and the groups that are drawn together.

    Args:
        odds: finite log-odds, shape (rows,).
        member: number of the group of each row, shape (rows,).
        count: number of groups.
        truth: labels 0 or 1, shape (rows,); empty for unlabelled rows.
    """

    odds: Floats
    member: NDArray[np.int64]
    count: int
    truth: Floats = dataclasses.field(default_factory=lambda: np.zeros(0))


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A share, and what it is in bootstrap samples of both tables (NaN where a sample says nothing).

    Args:
        share: of positives among the unlabelled rows.
        drawn: shape (samples,).
        drawn_reference: share of positives among the labelled rows of each sample, shape (samples,).
        statistic: twice the log likelihood ratio of the share against that of the labelled rows; NaN for BBSE.
        model_variance: what the likelihood alone gives for the variance of the share; NaN for BBSE.
    """

    share: float
    drawn: Floats
    drawn_reference: Floats
    statistic: float = math.nan
    model_variance: float = math.nan


def find_by_em(reference: Sample, unlabelled: Sample, *, recalibrate: bool, replicates: int, seed: int) -> Found:
    """Return the share of maximum likelihood; each bootstrap sample calibrates, counts and maximises anew."""
    prior = float(reference.truth.mean())
    mapped = np.array([1.0, 0.0])
    if recalibrate:
        design = np.column_stack([reference.odds, np.ones(len(reference.odds))])
        loss = logistic_loss(design, reference.truth, np.ones(len(reference.odds)))
        mapped = minimise(loss, mapped)
    ratios = mapped[0] * unlabelled.odds + mapped[1] - float(logit(np.asarray(prior)))
    ones = np.ones(len(ratios))
    share = float(solve_prior(ratios[None], ones[None])[0])
    statistic = 2 * (prior_log_likelihood(share, ratios, ones) - prior_log_likelihood(prior, ratios, ones))
    variance = 1.0 / max(prior_information(min(max(share, 1e-9), 1 - 1e-9), ratios, ones), 1e-300)
    drawn, references = _redrawn(reference, unlabelled, mapped, recalibrate, replicates, seed)
    return Found(share, drawn, references, max(statistic, 0.0), variance)


def _redrawn(
    reference: Sample, unlabelled: Sample, mapped: Floats, recalibrate: bool, replicates: int, seed: int
) -> tuple[Floats, Floats]:
    """Return the share in each bootstrap sample, and the share of positives among its labelled rows.

    In the samples scores are the means of narrow bins, so that a large table costs no more than a small one.
    """
    positive = reference.truth == 1
    bins = np.empty(len(positive), dtype=np.int64)
    bins[positive], hit_odds = cut_into_bins(reference.odds[positive], _BINS)
    bins[~positive], miss_odds = cut_into_bins(reference.odds[~positive], _BINS)
    bins[~positive] += len(hit_odds)
    odds = np.concatenate([hit_odds, miss_odds])
    truth = (np.arange(len(odds)) < len(hit_odds)).astype(np.float64)
    counts = drawn_bins(bins, len(odds), reference.member, reference.count, replicates, seed)
    priors = counts @ truth / counts.sum(axis=1)
    usable = (priors > 0) & (priors < 1)
    maps = np.broadcast_to(mapped, (replicates, 2)).copy()
    if recalibrate:
        maps[usable] = _refit(odds, truth, counts[usable], mapped)
    bins, centres = cut_into_bins(unlabelled.odds, 2 * _BINS)
    counts = drawn_bins(bins, len(centres), unlabelled.member, unlabelled.count, replicates, seed + 1)
    shares = np.full(replicates, np.nan)
    offsets = maps[usable, 1] - logit(priors[usable])
    ratios = maps[usable, :1] * centres + offsets[:, None]
    shares[usable] = solve_prior(ratios, counts[usable])
    return shares, priors


def _refit(odds: Floats, truth: Floats, counts: Floats, start: Floats) -> Floats:
    """Return slope and intercept of each sample by Newton's steps from those of all rows, shape (samples, 2)."""
    maps = np.broadcast_to(start, (len(counts), 2)).copy()
    for _ in range(8):
        p = sigmoid(maps[:, :1] * odds + maps[:, 1:])
        residual, spread = counts * (p - truth), counts * p * (1 - p)
        gradient = np.column_stack([residual @ odds, residual.sum(axis=1)])
        mixed = spread @ odds
        curvature = np.empty((len(maps), 2, 2))
        curvature[:, 0, 0], curvature[:, 1, 1] = spread @ np.square(odds) + 1e-6, spread.sum(axis=1) + 1e-6
        curvature[:, 0, 1] = curvature[:, 1, 0] = mixed
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        maps -= step
        if np.abs(step).max() < 1e-6:
            break
    maps[:, 0] = np.clip(maps[:, 0], 0.0, 100.0)
    return maps


def find_by_bbse(
    reference: Sample, unlabelled: Sample, told: Floats, said: Floats, *, replicates: int, seed: int
) -> Found:
    """Return the share at which what is predicted as often as it is, given how often it is for positives and negatives.

    With s the mean prediction among positives, f among negatives and m among unlabelled rows, (m - f) / (s - f).

    Args:
        reference: labelled rows.
        unlabelled: the others.
        told: predictions (0, 1 or a probability) for the labelled rows, shape (rows,).
        said: for the unlabelled rows, shape (rows,).
        replicates: bootstrap samples.
        seed: of the samples.
    """
    truth = reference.truth
    entries = np.column_stack([told * truth, told * (1 - truth), truth, 1 - truth])
    other = np.column_stack([said, np.ones(len(said))])
    share = float(_bbse(entries.sum(axis=0)[None], other.sum(axis=0)[None])[0])
    drawn = drawn_sums(entries, reference.member, reference.count, replicates, seed)
    mean = drawn_sums(other, unlabelled.member, unlabelled.count, replicates, seed + 1)
    return Found(share, _bbse(drawn, mean), drawn[:, 2] / drawn[:, 2:].sum(axis=1))


def _bbse(sums: Floats, mean: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        caught, false = sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 3]
        share = (mean[:, 0] / mean[:, 1] - false) / (caught - false)
    # A prediction that is made no more often for positives says nothing of their share.
    return np.where(caught > false, np.clip(share, 0.0, 1.0), np.nan)
