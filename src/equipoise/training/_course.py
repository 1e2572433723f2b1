"""What the course of a training shows: the watched metric falls while the loss improves, or epochs ran out too soon.

Every question is answered beyond noise. Three sources of it are known here: how the watched metric jumps from epoch to
epoch (robust, from its own differences), how few rows it is computed on, and a least size below which nobody cares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST_LOSS, _LEAST_SCORE = 0.05, 0.02  # a log loss must worsen by this share of its best, a score by this much
_OF_GAIN = 0.25  # and by this share of all that was gained since the first epoch
_STILL_GAINED = 0.05  # share of all gain that the last fifth of the epochs must have brought to say "still improving"
_STAYS = 3  # epochs that a fall must last, and that a best is the mean of
_SURE = 0.01  # one-sided, of the trend test
_MOST_TREND = 20  # epochs that the trend test looks at


@dataclass(frozen=True)
class Fall:
    """The watched metric came down from its best epoch while the training loss went on falling.

    Attributes:
        best_epoch: from 1. best, now: the watched metric. loss_then, loss_now: the training loss.
    """

    best_epoch: int
    best: float
    now: float
    loss_then: float
    loss_now: float


def jitter(values: Sequence[float]) -> float:
    """Return how much a series jumps about its own slope: a robust standard deviation of one value; 0 for fewer than 3.

    1.4826 times the median absolute deviation of its differences, over the square root of two.

    Example:
        >>> jitter([1.0, 2.0, 3.0, 4.0])
        0.0
    """
    known = np.asarray([value for value in values if not math.isnan(value)])
    if len(known) < 3:
        return 0.0
    steps = np.diff(known)
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / math.sqrt(2))


def fallen(watched: Sequence[float], losses: Sequence[float], *, higher_is_better: bool, noise: float) -> Fall | None:
    """Return how far the watched metric has fallen from its best while the training loss improved, or None.

    The best is that of the mean of three epochs, as a single one is best by luck. Each of the last three epochs must be
    below it by more than a quarter of what was gained since the first epoch, four times the jitter, twice the sampling
    error, and a least size (0.02; of a loss a twentieth of its best).

    Args:
        watched: the watched metric of each epoch.
        losses: the training loss of each epoch.
        higher_is_better: direction of the watched metric.
        noise: standard error of the watched metric on so many rows.
    """
    signed = _signed(watched, higher_is_better)
    if len(signed) < 2 * _STAYS or np.isnan(signed).any():
        return None
    means = np.convolve(signed, np.full(_STAYS, 1 / _STAYS), mode="valid")[:-_STAYS]
    place = int(means.argmax())
    best, then = float(means[place]), place + int(signed[place : place + _STAYS].argmax())
    least = _LEAST_SCORE if higher_is_better else _LEAST_LOSS * abs(best)
    needed = max(least, _OF_GAIN * (best - float(signed[0])), 4 * jitter(watched), 2 * noise)
    if best - float(signed[-_STAYS:].max()) < needed or not losses[-1] < losses[then]:
        return None
    return Fall(then + 1, float(watched[then]), float(watched[-1]), float(losses[then]), float(losses[-1]))


def still_rising(watched: Sequence[float], *, higher_is_better: bool) -> float | None:
    """Return what share of all gain the last fifth of the epochs brought, where it was still coming in; else None.

    Still coming in: the best epoch is among the last fifth (at least two), the last half (five to twenty epochs) has a
    trend upwards by Kendall's test at 1 %, and the last fifth brought a twentieth of all gain, and more than the jitter
    of ten or more epochs explains. With three or four epochs each must beat the one before; fewer say nothing.

    Example:
        >>> still_rising([0.60, 0.70, 0.76, 0.80, 0.82], higher_is_better=True) is not None
        True
        >>> still_rising([0.60, 0.80, 0.81, 0.80, 0.81], higher_is_better=True) is None
        True
    """
    signed = _signed(watched, higher_is_better)
    count = len(signed)
    if count < 3 or np.isnan(signed).any():
        return None
    last = max(1, count // 5)
    if int(np.argmax(signed)) < count - max(2, last):
        return None
    tail = signed[-min(_MOST_TREND, max(5, count // 2)) :]
    rising = bool(np.all(np.diff(signed) > 0)) if count < 5 else trend_chance(tail) <= _SURE
    gain = float(signed.max() - signed[0])
    late = float(signed[-last:].mean() - signed[-2 * last : -last].mean())
    luck = 3 * jitter(watched) * math.sqrt(2 / last) if count >= 10 else 0.0
    return late / gain if rising and gain > 0 and late >= max(_STILL_GAINED * gain, luck) else None


def trend_chance(values: Floats) -> float:
    """Return the chance that values in random order rise as much as these by Kendall's count of pairs, one-sided.

    Exact: the number of orders with so many pairs the wrong way round, Mann, Econometrica 13 (1945), 245-259; ties
    count half.

    Example:
        >>> round(trend_chance(np.array([1.0, 2, 3, 4, 5])) * 120)  # one order of 120
        1
    """
    count = len(values)
    pairs = np.triu_indices(count, 1)
    steps = values[pairs[1]] - values[pairs[0]]
    wrong = float((steps < 0).sum() + 0.5 * (steps == 0).sum())
    shares = np.ones(1)  # of orders of k values, by the number of pairs the wrong way round
    for k in range(2, count + 1):
        shares = np.convolve(shares, np.full(k, 1.0 / k))
    return float(shares[: math.floor(wrong) + 1].sum())


def _signed(watched: Sequence[float], higher_is_better: bool) -> Floats:
    return np.asarray(watched, dtype=np.float64) * (1.0 if higher_is_better else -1.0)
