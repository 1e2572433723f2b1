"""What each loss does to the scores that minimise it, as entries of the `Ledger`: how to bend them back.

A loss may add a constant to the class log-odds (a shift), or bend the scores: then the entry has ``unbend``, the map
from the score at which the expected loss is least to the log-odds of the true probability. Weights and sampling
multiply the odds after that, so their shift is taken off last.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np

from equipoise._arrays import ClassFloats, Floats, RowOrTableFloats, TableFloats
from equipoise._checks import ArgumentError, DataError, check_number, listed
from equipoise.balance._focal import log_phi
from equipoise.balance._schemes import CLASS_WEIGHT, POS_WEIGHT

_LOG_TWO = float(np.log(2.0))
_BELOW_ONE = 0.99
# Below this share above the margin (of asymmetric loss), or this probability (of smoothed labels), a score says no more
# about the probability than its order: the map is continued with slope one.
_NEGLIGIBLE_SHARE, _NEGLIGIBLE = 0.01, 1e-6

Entry = TypeVar("Entry", bound="LossCorrection")


@runtime_checkable
class Bending(Protocol):
    """A correction that bends scores: one of them at most is in force."""

    def unbend(self, scores: TableFloats, kind: str) -> TableFloats: ...  # noqa: D102


@runtime_checkable
class Reshaping(Protocol):
    """A correction of a loss whose outputs are not one a class."""

    def outputs_for(self, classes: int) -> int: ...  # noqa: D102
    def starting_scores(self, log_p: ClassFloats) -> Floats: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class LossCorrection:
    """Abstract. What the entries of losses share: their kind of outputs, and how they are stored."""

    kind: ClassVar[str | None] = None  # the only kind of outputs it is for, or None for both

    def log_odds_shift_for(self, kind: str) -> ClassFloats:
        """Return the constant that is added to the log-odds (softmax: to the log-probabilities) of each class."""
        del kind
        return np.zeros(1)

    def sentences(self) -> tuple[str, ...]:
        """Say what the loss does to probabilities, and how well it is undone."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        stored = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in stored.items()}

    @classmethod
    def from_dict(cls: type[Entry], stored: Any) -> Entry:
        """Make the correction again that `to_dict` described.

        Raises:
            DataError: it is not such a record.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        try:
            if set(stored) != names:
                raise ArgumentError(f"A {cls.__name__} has {listed(sorted(names))}; got {listed(stored)}.")
            return cls(**stored)
        except (ArgumentError, TypeError, ValueError) as error:
            raise DataError(f"A stored {cls.__name__} cannot be used: {error} Write the ledger again.") from error

    def _freeze(self, name: str, *, above: float = -np.inf, below: float = np.inf) -> None:
        try:
            values = np.atleast_1d(np.array(getattr(self, name), dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"`{name}` of {type(self).__name__} must be numbers, one a class.") from error
        if values.ndim != 1 or not np.all(np.isfinite(values) & (values > above) & (values < below)):
            raise ArgumentError(
                f"`{name}` of {type(self).__name__} must be finite numbers above {above:g} and below {below:g}, one a "
                f"class; got {values.tolist()}. Every class needs a positive and a negative."
            )
        values.setflags(write=False)
        object.__setattr__(self, name, values)

    def _check(self, name: str, **limits: float) -> None:
        check_number(getattr(self, name), argument=name, function=type(self).__name__, **limits)


@dataclass(frozen=True, eq=False)
class AsymmetricCorrection(LossCorrection):
    r"""Asymmetric loss: exponents that differ for positives and negatives, and negatives ignored below a margin.

    At the minimum of the expected loss, with r = max(p - margin, 0) and phi as in `balance._focal`:

    logit(eta) = ln phi(1 - r; gamma_negative) - ln(1 - r) - ln phi(p; gamma_positive) + ln p.

    The expected loss is convex in p, so without a margin this is exact. With one, every probability that would be
    scored below the margin looks the same; there the map goes on with slope one, which keeps the order only.

    Attributes:
        gamma_positive, gamma_negative: exponents, at least 0.
        margin: in [0, 0.99].

    Source: derived from Ridnik et al., ICCV 2021, eq. 7, as Charoenphakdee et al., CVPR 2021, do for focal loss.

    Example:
        A score that looks like one half is a chance of one in eight, r = 0.45: 0.5 (4 r^3 (-ln 0.55) + r^4 / 0.55) is
        0.146 to 1.

        >>> scores = np.array([[0.0]])
        >>> odds = AsymmetricCorrection(0.0, 4.0, 0.05).unbend(scores, "pos_weight")
        >>> float((1 / (1 + np.exp(-odds)))[0, 0].round(3))
        0.128
    """

    kind = POS_WEIGHT
    gamma_positive: float = 0.0
    gamma_negative: float = 4.0
    margin: float = 0.05

    def __post_init__(self) -> None:
        self._check("gamma_positive", at_least=0.0)
        self._check("gamma_negative", at_least=0.0)
        self._check("margin", at_least=0.0, at_most=_BELOW_ONE)

    def unbend(self, scores: TableFloats, kind: str) -> TableFloats:
        """Return the log-odds that the scores were minimised for."""
        del kind
        if self.margin == 0.0:
            return np.asarray(scores + log_phi(-scores, self.gamma_negative) - log_phi(scores, self.gamma_positive))
        lowest = self.margin + _NEGLIGIBLE_SHARE * (1.0 - self.margin)
        kept = np.maximum(scores, np.log(lowest) - np.log1p(-lowest))
        log_p, log_rest = -np.logaddexp(0.0, -kept), np.log(_sigmoid(-kept) + self.margin)
        # r and 1 - r = q + margin, as log-odds.
        log_odds_r = np.log(_sigmoid(kept) - self.margin) - log_rest
        odds = log_phi(-log_odds_r, self.gamma_negative) - log_rest - log_phi(kept, self.gamma_positive) + log_p
        return np.asarray(odds + (scores - kept))

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and highest probability that scores can tell from their neighbours."""
        if self.margin == 0.0:
            return 0.0, 1.0
        ends = np.array([[_logit(self.margin + _NEGLIGIBLE_SHARE * (1.0 - self.margin))], [30.0]])
        low, high = _sigmoid(self.unbend(ends, POS_WEIGHT))[:, 0]
        return float(low), float(high) if self.gamma_positive == 0.0 else 1.0

    def sentences(self) -> tuple[str, ...]:
        """Say how well the probabilities come back."""
        said = f"Asymmetric loss (gamma {self.gamma_positive:g} and {self.gamma_negative:g}, margin {self.margin:g})"
        if self.margin == 0.0:
            return (f"{said} bends every probability; its inverse is exact.",)
        low, high = self.range
        above = f" and above {high:.3g}" if high < 1.0 else ""
        return (
            f"{said} bends every probability; the way back is approximate: below {low:.2g}{above} the loss is flat and "
            "scores keep their order only.",
        )


@dataclass(frozen=True, eq=False)
class LogitAdjustment(LossCorrection):
    """Logit-adjusted loss (balanced softmax at tau 1): exactly a shift.

    The loss sees z + tau ln prior (sigmoid: tau logit prior), and that sum is what fits the natural probability; the
    score z itself lacks it.

    Attributes:
        tau: 0 changes nothing, 1 trains as if all classes were equally common.
        prior: (classes,) shares in (0, 1).

    Source: Menon et al., ICLR 2021, eq. 10; Ren et al., NeurIPS 2020, eq. 4.

    Example:
        >>> LogitAdjustment(1.0, np.array([0.8, 0.2])).log_odds_shift_for("class_weight").round(3)
        array([0.223, 1.609])
    """

    tau: float = 1.0
    prior: Any = 0.5

    def __post_init__(self) -> None:
        self._check("tau")
        self._freeze("prior", above=0.0, below=1.0)

    def log_odds_shift_for(self, kind: str) -> ClassFloats:
        """Return -tau ln prior for softmax outputs, -tau logit prior for sigmoid outputs."""
        return np.asarray(-self.tau * (np.log(self.prior) - (np.log1p(-self.prior) if kind == POS_WEIGHT else 0.0)))


@dataclass(frozen=True, eq=False)
class MarginCorrection(LossCorrection):
    r"""LDAM: a margin that the score of a row's own class must clear.

    With p = softmax(scale z) and k_c = 1 - exp(-scale margin_c), the expected loss is least where

    eta_c is proportional to p_c (1 - k_c p_c):

    an improbable class is scored as it is, a sure one more boldly by up to exp(scale margin_c). The loss is convex in p
    and this exact as long as scale margin_c is at most ln 2. Beyond that it has no probability that it is least at for
    sure cases; k is then taken as 1/2, which keeps the order.

    Attributes:
        margins: (classes,) at least 0. scale: above 0.

    Source: derived from Cao et al., NeurIPS 2019, eq. 12.

    Example:
        Two classes with margin ln 2 (k = 1/2): a score of one half is an even chance.

        >>> odds = MarginCorrection(np.full(2, np.log(2))).unbend(np.zeros((1, 2)), "class_weight")
        >>> float(odds[0, 1] - odds[0, 0])
        0.0
    """

    kind = CLASS_WEIGHT
    margins: Any = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        self._freeze("margins", above=-np.finfo(float).tiny)
        self._check("scale", above=0.0)

    @property
    def exact(self) -> bool:
        """Whether every probability comes back exactly."""
        return bool(np.all(self.scale * self.margins <= _LOG_TWO * (1 + 1e-12)))

    def unbend(self, scores: TableFloats, kind: str) -> TableFloats:
        """Return unnormalised log-probabilities that the scores were minimised for."""
        del kind
        log_p = log_softmax(self.scale * scores)
        lacking = np.minimum(-np.expm1(-self.scale * self.margins), 0.5)
        return np.asarray(log_p + np.log1p(-lacking * np.exp(log_p)))

    def sentences(self) -> tuple[str, ...]:
        """Say how bold the margins make the model, and how well that is undone."""
        boldest = float(np.exp(min(self.scale * self.margins.max(), 700.0)))
        how = "its inverse is exact" if self.exact else "the way back is approximate, as margins beyond ln 2 = 0.69 are"
        return (f"LDAM raises the odds of a sure case up to {boldest:.3g}-fold; {how}.",)


@dataclass(frozen=True, eq=False)
class DistributionBalancedCorrection(LossCorrection):
    r"""Distribution-balanced focal loss: weights by row, negatives scaled, thresholds moved, and focal.

    With s = z - offset, negatives seen at scale lambda, and m(z) the slope of focal loss at a positive, the expected
    loss is least where logit(eta) = ln m(-lambda s) - ln m(s) - weight_shift. That is exact if the weights did not vary
    among the rows of a class; they do, with the other findings of the row, and `spread` says by how much.

    Attributes:
        gamma: focal exponent. negative_scale: lambda, above 0. offset: (classes,) nu.
        weight_shift: (classes,) ln of the mean weight of positives over that of negatives.
        spread: standard deviation of the log of the weights about that; None when not measured.

    Source: derived from Wu et al., ECCV 2020, eq. 5 to 10.
    """

    kind = POS_WEIGHT
    gamma: float = 2.0
    negative_scale: float = 2.0
    offset: Any = 0.0
    weight_shift: Any = 0.0
    spread: float | None = None

    def __post_init__(self) -> None:
        self._check("gamma", at_least=0.0)
        self._check("negative_scale", above=0.0)
        self._freeze("offset")
        self._freeze("weight_shift")

    def unbend(self, scores: TableFloats, kind: str) -> TableFloats:
        """Return the log-odds that the scores were minimised for, up to the shift of the weights."""
        del kind
        score = scores - self.offset
        return np.asarray(_log_missed(-self.negative_scale * score, self.gamma) - _log_missed(score, self.gamma))

    def log_odds_shift_for(self, kind: str) -> ClassFloats:
        """Return the shift of the weights."""
        del kind
        return np.asarray(self.weight_shift)

    def sentences(self) -> tuple[str, ...]:
        """Say how well it is undone."""
        how = "" if self.spread is None else f" (the log of the weights varies by {self.spread:.2g} among rows)"
        return (f"Distribution-balanced loss weighs rows by their other findings; the way back is approximate{how}.",)


@dataclass(frozen=True, eq=False)
class SmoothingCorrection(LossCorrection):
    """Label smoothing: the fitted probability is (1 - smoothing) eta + smoothing / 2 (softmax: / classes). Exact.

    Scores beyond what smoothed labels can ask for keep their order only.

    Attributes:
        smoothing: in [0, 0.99].

    Source: Szegedy et al., CVPR 2016, section 7.
    """

    smoothing: float = 0.1

    def __post_init__(self) -> None:
        self._check("smoothing", at_least=0.0, at_most=_BELOW_ONE)

    def unbend(self, scores: TableFloats, kind: str) -> TableFloats:
        """Return log-odds (softmax: log-probabilities) before smoothing."""
        if kind == POS_WEIGHT:
            positive = _unsmoothed(-np.logaddexp(0.0, -scores), self.smoothing, 2)
            return np.asarray(positive - _unsmoothed(-np.logaddexp(0.0, scores), self.smoothing, 2))
        return _unsmoothed(log_softmax(scores), self.smoothing, scores.shape[1])

    def sentences(self) -> tuple[str, ...]:
        """Say what smoothing does."""
        return (f"Label smoothing ({self.smoothing:g}) keeps probabilities off 0 and 1; its inverse is exact.",)


@dataclass(frozen=True, eq=False)
class CornCorrection(LossCorrection):
    """CORN: classes - 1 outputs, each the log-odds of going beyond a grade for rows that reached it. Exact.

    P(grade > k) is the product of the first k + 1 probabilities.

    Source: Shi, Cao & Raschka, 2021, eq. 6.

    Example:
        >>> odds = CornCorrection().unbend(np.zeros((1, 2)), "class_weight")
        >>> np.exp(odds)  # half stay at grade 0; half of the others at grade 1
        array([[0.5 , 0.25, 0.25]])
    """

    kind = CLASS_WEIGHT

    def outputs_for(self, classes: int) -> int:
        """Return how many steps there are between the grades."""
        return classes - 1

    def starting_scores(self, log_p: ClassFloats) -> Floats:
        """Return the log-odds of each step under a prior, (classes - 1,)."""
        return step_log_odds(log_p)

    def unbend(self, scores: TableFloats, kind: str) -> Floats:
        """Return log-probabilities of all grades."""
        del kind
        on, stay = -np.logaddexp(0.0, -scores), -np.logaddexp(0.0, scores)
        start = np.zeros((len(scores), 1))
        reached = np.concatenate([start, np.cumsum(on, axis=1)], axis=1)
        return np.asarray(reached + np.concatenate([stay, start], axis=1))


@dataclass(frozen=True, eq=False)
class Deferred:
    """A correction that is in force only from an epoch on, as deferred re-weighting has it.

    A model is kept from such an epoch only, so at prediction the correction is in force: `Ledger` treats it as its
    `correction`; `Ledger.at_epoch` gives the ledger of an earlier epoch.

    Attributes:
        correction: any other entry of a ledger.
        from_epoch: first epoch of it, from 1.

    Source: Cao et al., NeurIPS 2019, algorithm 1.
    """

    correction: Any
    from_epoch: int

    def __post_init__(self) -> None:
        if isinstance(self.from_epoch, bool) or not isinstance(self.from_epoch, int) or self.from_epoch < 1:
            raise ArgumentError(
                f"`from_epoch` of Deferred must be a whole number of at least 1; got {self.from_epoch!r}. "
                "1 is the first epoch."
            )
        if isinstance(self.correction, Deferred):
            raise ArgumentError("`correction` of Deferred is deferred already. Give one from_epoch.")


def rebalancing_weights(
    labels: TableFloats, prevalence: ClassFloats, settings: tuple[float, float, float] | None
) -> TableFloats:
    """Return the weights of distribution-balanced loss, (rows, classes): alpha + sigmoid(beta (r - mu)).

    r is the share of the class in the row's inverse prevalences, that is what the row is drawn for by a class-balanced
    sampler over what it is drawn at all. A row without a positive has r infinite and weight alpha + 1, as in the
    authors' code.

    Args:
        labels: (rows, classes) 0, 1 or NaN.
        prevalence: (classes,) above 0.
        settings: alpha, beta, mu; None is weight 1.

    Source: Wu et al., ECCV 2020, eq. 4 to 6.
    """
    if settings is None:
        return np.ones_like(labels)
    alpha, beta, mu = settings
    inverse = 1.0 / np.asarray(prevalence)
    drawn = np.nansum(np.where(labels > 0, labels, 0.0) * inverse, axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.asarray(alpha + _sigmoid(beta * (inverse / drawn - mu)))


def measured_weights(
    labels: TableFloats, prevalence: ClassFloats, settings: tuple[float, float, float] | None
) -> tuple[ClassFloats, float]:
    """Return ln of the mean weight of positives over that of negatives, per class, and the spread of log weights."""
    weights = rebalancing_weights(labels, prevalence, settings)
    means, spread = [], []
    for side in (1.0, 0.0):
        chosen = labels == side
        mean = np.sum(weights * chosen, axis=0) / np.maximum(chosen.sum(axis=0), 1)
        means.append(np.where(mean > 0, mean, 1.0))
        spread.append(np.where(chosen, np.log(weights / means[-1]), 0.0))
    known = max(1, int(np.sum(~np.isnan(labels))))
    return np.log(means[0] / means[1]), float(np.sqrt(np.sum((spread[0] + spread[1]) ** 2) / known))


def _log_missed(scores: RowOrTableFloats, gamma: float) -> RowOrTableFloats:
    """Return ln of minus the slope of (1-p)^gamma (-ln p) at p = sigmoid(scores)."""
    return np.asarray(-np.logaddexp(0.0, scores) + log_phi(scores, gamma))


def _unsmoothed(log_p: TableFloats, smoothing: float, classes: int) -> TableFloats:
    lowest = np.log(smoothing / classes + (1.0 - smoothing) * _NEGLIGIBLE)
    kept = np.maximum(log_p, lowest)
    share = np.exp(kept) - smoothing / classes
    inside = np.log(np.maximum(share, np.finfo(float).tiny)) - np.log1p(-smoothing)
    return np.asarray(np.where(log_p < lowest, np.log(_NEGLIGIBLE) + log_p - lowest, inside))


def step_log_odds(log_p: ClassFloats) -> Floats:
    """Return the log-odds of going beyond each grade for those that reached it: what `CornCorrection.unbend` undoes.

    Args:
        log_p: (grades,) log-probabilities, up to a constant.

    Returns:
        (grades - 1,) log-odds.

    Example:
        >>> step_log_odds(np.log([0.5, 0.25, 0.25]))
        array([0., 0.])
    """
    beyond = np.logaddexp.accumulate(log_p[::-1])[::-1][1:]
    return np.asarray(beyond - log_p[:-1])


def log_softmax(scores: TableFloats) -> TableFloats:
    """Return the log of the softmax of each row, without overflow."""
    scores = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def _sigmoid(values: RowOrTableFloats) -> RowOrTableFloats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -values)))


def _logit(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))
