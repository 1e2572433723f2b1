"""Was calibration needed? A test of slope and intercept, and what a calibration gains on rows it was not fitted on."""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import check_number
from equipoise.decision.calibration._newton import Loss, logistic_loss, minimise
from equipoise.decision.calibration._odds import finite_odds
from equipoise.decision.calibration._softmax import softmax_directions, softmax_loss
from equipoise.decision.calibration.fit import MOST_CLASSES, check_method, cross_fit, enough_cases
from equipoise.metrics.figures import entry_losses
from equipoise.scores import Scores
from equipoise.scores.ids import hash_ids

ALPHA = 0.05  # of the adjusted p-value below which calibration is said to be needed


@dataclasses.dataclass(frozen=True)
class Need:
    """What the test says of one class, or of all exclusive classes together.

    Args:
        name: of the class; "all classes" for exclusive ones.
        positives: known positives; for exclusive classes known rows.
        slope: what log-odds should be multiplied by; 1 is right, below 1 the model is too sure. NaN where the class has
            too few cases.
        slope_low: lower end of its interval.
        slope_high: upper end.
        intercept: what is then to be added, in nats; NaN for exclusive classes, which have one each.
        p_value: of slope 1 and intercept 0.
        adjusted: p-value after Holm's adjustment over the classes.
        gain: by how much the method lowers the log loss on rows it was not fitted on, in nats.
        gain_low: lower end of its interval.
        gain_high: upper end.
    """

    name: str
    positives: int
    slope: float = math.nan
    slope_low: float = math.nan
    slope_high: float = math.nan
    intercept: float = math.nan
    p_value: float = math.nan
    adjusted: float = math.nan
    gain: float = math.nan
    gain_low: float = math.nan
    gain_high: float = math.nan

    @property
    def needed(self) -> bool:
        """Whether the test rejects and the calibration gains."""
        return self.adjusted < ALPHA and self.gain > 0


@dataclasses.dataclass(frozen=True)
class CalibrationNeed:
    """The verdict on a table of scores.

    Args:
        method: the calibration whose gain was measured.
        classes: one `Need` per class, or a single one for exclusive classes.
        clustered: whether rows of a group were taken to depend on each other.
        level: coverage of the intervals.
    """

    method: str
    classes: tuple[Need, ...]
    clustered: bool
    level: float

    def __str__(self) -> str:
        return self.sentence

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        needed = [one for one in self.classes if one.needed]
        tested = [one for one in self.classes if not math.isnan(one.p_value)]
        if not tested:
            return f"Whether calibration is needed cannot be said: no class has the cases that {self.method} needs."
        if len(self.classes) == 1:
            return _single_sentence(tested[0], self.method)
        untested = len(self.classes) - len(tested)
        rest = f"; {untested} could not be tested for lack of cases" if untested else ""
        if not needed:
            least = min(one.adjusted for one in tested)
            return (
                f"No evidence that any of {len(tested)} classes needs calibration (least adjusted {_p(least)}){rest}."
            )
        names = ", ".join(one.name for one in needed[:5]) + (f" and {len(needed) - 5} more" if len(needed) > 5 else "")
        mean = sum(one.gain for one in needed) / len(needed)
        return (
            f"Calibration is needed for {len(needed)} of {len(tested)} classes ({names}): there {self.method} lowers "
            f"the log loss by {mean:.3g} on average on rows it was not fitted on{rest}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain JSON types."""
        rows = []
        for one in self.classes:
            found = dataclasses.asdict(one).items()
            row = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in found}
            rows.append(row | {"needed": one.needed})
        return {
            "method": self.method,
            "sentence": self.sentence,
            "clustered": self.clustered,
            "level": self.level,
            "classes": rows,
        }


def calibration_need(
    scores: Scores, method: str | None = None, *, level: float = 0.95, folds: int = 5, seed: int = 0
) -> CalibrationNeed:
    """Return whether scores need calibration: a test of slope and intercept, and the gain on rows not fitted on.

    The model logit P(y) = a logit(p) + c (Cox 1958) is tested for a = 1 and c = 0, which calibrated probabilities obey.
    Rows without groups: likelihood-ratio test with 2 degrees of freedom. With groups: score test whose variance is
    summed over groups, sum_g u_g u_g' with u_g the score of a group, read against Hotelling's T^2 with as many groups
    as have a positive (in simulation it rejects a true null 4 to 6 % of the time from 20 such groups on, where the test
    that ignores groups rejects 17 %). Exclusive classes: slope and one offset per class together. p-values are adjusted
    over the classes by Holm's method. The gain is the mean fall of the log loss from `cross_fit`, with a normal
    interval, clustered by group.

    A class is needed to have the positives and negatives that `fit_calibration` asks for. Miscalibration that bends
    without changing slope and intercept is not seen by the test; the gain of "beta" or "isotonic" shows it.

    Args:
        scores: of the validation role, at natural prevalence.
        method: whose gain is measured; None: "platt", for exclusive classes "temperature_bias".
        level: coverage of the intervals.
        folds: see `cross_fit`.
        seed: see `cross_fit`.

    Raises:
        ArgumentError: another role, method, level or number of folds.

    Source: Cox, Biometrika 1958; Boos, American Statistician 1992, equation 8 (score test under clustering).

    Example:
        >>> scores = Scores(labels=[0, 0, 0, 1] * 10 + [0, 1, 1, 1] * 10, values=[0.1] * 40 + [0.9] * 40,
        ...                 kind="probabilities", ids=range(80), role="validation", classes=["Mass"])
        >>> need = calibration_need(scores)
        >>> need.classes[0].needed, round(need.classes[0].slope, 3), round(need.classes[0].p_value, 5)
        (True, 0.5, 0.00062)
    """
    check_number(level, argument="level", function="calibration_need", above=0.0, at_most=0.999)
    method = usual_method(scores) if method is None else method
    check_method(scores, method, "one_case", "calibration_need")
    chosen = enough_cases(scores, method, np.ones(len(scores)))
    clusters = None if scores.groups is None else np.unique(hash_ids(scores.groups), return_inverse=True)[1]
    gains = None
    if chosen.any():
        calibrated = cross_fit(scores, method, folds=folds, seed=seed)
        gains = entry_losses(scores)[1] - entry_losses(calibrated)[1]
    needs = _exclusive(scores, method, chosen, clusters) if scores.exclusive else _each(scores, chosen, clusters)
    width = NormalDist().inv_cdf((1 + level) / 2)
    finished = []
    for index, (need, adjusted) in enumerate(zip(needs, holm([one.p_value for one in needs]), strict=True)):
        spread = (need.slope_high - need.slope) * width
        changes: dict[str, Any] = {"adjusted": adjusted}
        if not math.isnan(need.p_value) and gains is not None:
            gain, error = clustered_mean(gains[:, index], clusters)
            changes |= {"gain": gain, "gain_low": gain - width * error, "gain_high": gain + width * error}
        changes |= {"slope_low": need.slope - spread, "slope_high": need.slope + spread}
        finished.append(dataclasses.replace(need, **changes))
    return CalibrationNeed(method, tuple(finished), clusters is not None, float(level))


def usual_method(scores: Scores) -> str:
    """Return the method that fits what the test tests: slope and intercept (for very many classes the slope alone)."""
    if not scores.exclusive:
        return "platt"
    return "temperature" if len(scores.classes) > MOST_CLASSES else "temperature_bias"


def _each(scores: Scores, chosen: NDArray[np.bool_], clusters: NDArray[np.int64] | None) -> list[Need]:
    """Return the test of each class, with the standard error of the slope as the distance to its upper end."""
    truth, odds, needs = scores.table(), finite_odds(scores), []
    for index, name in enumerate(scores.classes):
        known = ~np.isnan(truth[:, index])
        labels, z = truth[known, index], odds[known, index]
        positives = int(labels.sum())
        if not chosen[index] or not 0 < positives < len(labels):
            needs.append(Need(name, positives))
            continue
        design = np.column_stack([z, np.ones_like(z)])
        loss = logistic_loss(design, labels, np.ones_like(z))
        start = np.array([1.0, 0.0])

        def scores_at(parameters: Floats, design: Floats = design, labels: Floats = labels) -> Floats:
            return (labels - 1 / (1 + np.exp(-np.clip(design @ parameters, -700, 700))))[:, None] * design

        held = None if clusters is None else clusters[known]
        few = 0 if held is None else len(np.unique(held[labels == 1]))
        found, error, p_value = _test(loss, scores_at, start, held, few)
        needs.append(
            Need(name, positives, float(found[0]), slope_high=float(found[0] + error), intercept=float(found[1]),
                 p_value=p_value)
        )  # fmt: skip
    return needs


def _exclusive(
    scores: Scores, method: str, chosen: NDArray[np.bool_], clusters: NDArray[np.int64] | None
) -> list[Need]:
    """Return the test of all exclusive classes together."""
    known = ~np.isnan(scores.labels)
    truth, logs = scores.labels[known].astype(np.int64), finite_odds(scores)[known]
    if not chosen.any():
        return [Need("all classes", int(known.sum()))]
    family = "temperature" if method == "temperature" else "temperature_bias"
    base, directions, start = softmax_directions(family, chosen)
    count, rows = logs.shape[1], np.arange(len(truth))

    def scores_at(parameters: Floats) -> Floats:
        both = base + directions @ parameters
        mapped = logs * both[:count] + both[count:]
        residual = -np.exp(mapped - np.logaddexp.reduce(mapped, axis=1, keepdims=True))
        residual[rows, truth] += 1.0
        return np.asarray(residual * logs @ directions[:count] + residual @ directions[count:])

    loss = softmax_loss(truth, logs, np.ones(len(truth)), base, directions)
    held = None if clusters is None else clusters[known]
    common = np.bincount(truth, minlength=count).argmax()
    few = 0 if held is None else len(np.unique(held[truth != common]))
    found, error, p_value = _test(loss, scores_at, start, held, few)
    slope = float(found[0])
    return [Need("all classes", len(truth), slope, slope_high=slope + error, p_value=p_value)]


def _test(
    loss: Loss, scores_at: Any, start: Floats, clusters: NDArray[np.int64] | None, few: int
) -> tuple[Floats, float, float]:
    """Return the fitted parameters, the standard error of the first, and the p-value of the start.

    Args:
        loss: summed over the rows.
        scores_at: the derivative of the log likelihood of each row, shape (rows, parameters).
        start: the parameters that are tested.
        clusters: of the rows, or None.
        few: number of clusters that hold the rarer answer.
    """
    found = minimise(loss, start)
    fitted, _, curvature = loss(found)
    inverse = np.linalg.pinv(curvature)
    if clusters is None:
        p_value = chi_square_tail(2 * (loss(start)[0] - fitted), len(start))
        variance = inverse
    else:
        at_null = _cluster_sums(scores_at(start), clusters)
        total = at_null.sum(axis=0)
        p_value = hotelling_tail(float(total @ np.linalg.pinv(at_null.T @ at_null) @ total), len(start), few)
        at_fit = _cluster_sums(scores_at(found), clusters)
        factor = len(at_fit) / max(len(at_fit) - 1, 1)
        variance = inverse @ (at_fit.T @ at_fit) @ inverse * factor
    return found, math.sqrt(max(float(variance[0, 0]), 0.0)), p_value


def _cluster_sums(entries: Floats, clusters: NDArray[np.int64]) -> Floats:
    count = int(clusters.max()) + 1
    columns = [np.bincount(clusters, weights=entries[:, one], minlength=count) for one in range(entries.shape[1])]
    return np.column_stack(columns)


def clustered_mean(values: Floats, clusters: NDArray[np.int64] | None) -> tuple[float, float]:
    """Return the mean of the known values and its standard error, rows of a cluster taken together.

    Example:
        >>> clustered_mean(np.array([0.0, 2.0, np.nan]), None)
        (1.0, 1.0)
    """
    known = ~np.isnan(values)
    kept = values[known]
    mean = float(kept.mean())
    away = kept - mean
    count = len(kept)
    if clusters is not None:
        away = np.bincount(clusters[known], weights=away).astype(np.float64)
        count = len(np.unique(clusters[known]))
    return mean, math.sqrt(float(away @ away) * count / max(count - 1, 1)) / len(kept)


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Return the probability that a chi-square variable exceeds a value, by the recursion over degrees of freedom.

    Example:
        >>> round(chi_square_tail(3.841459, 1), 6), round(chi_square_tail(5.991465, 2), 6)
        (0.05, 0.05)
    """
    half = max(statistic, 0.0) / 2
    if freedom % 2:
        tail, shape = math.erfc(math.sqrt(half)), 0.5
    else:
        tail, shape = math.exp(-half), 1.0
    while shape < freedom / 2 - 0.25:
        tail += math.exp(shape * math.log(half) - half - math.lgamma(shape + 1)) if half > 0 else 0.0
        shape += 1.0
    return min(tail, 1.0)


def hotelling_tail(statistic: float, freedom: int, groups: int) -> float:
    """Return the probability that Hotelling's T^2 of a number of groups exceeds a value; 1 with too few groups.

    Example:
        >>> round(hotelling_tail(5.991465, 2, 10**6), 4)
        0.05
    """
    if groups <= freedom:
        return 1.0
    from scipy.special import fdtrc

    left = groups - freedom
    return float(fdtrc(freedom, left, max(statistic, 0.0) * left / (freedom * (groups - 1))))


def holm(p_values: list[float]) -> list[float]:
    """Return p-values adjusted by Holm's method; NaN are left out of the family and stay NaN.

    Example:
        >>> holm([0.01, 0.04, float("nan"), 0.03])
        [0.03, 0.06, nan, 0.06]
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = highest
    return adjusted


def _single_sentence(one: Need, method: str) -> str:
    what = "log-probabilities" if math.isnan(one.intercept) else "log-odds"
    moved = " and each moved by its offset" if math.isnan(one.intercept) else f" and then moved by {one.intercept:+.3g}"
    gain = f"{one.gain:.3g} [{one.gain_low:.3g}, {one.gain_high:.3g}]"
    if one.needed and not one.gain_low > 0:
        return (
            f"A test finds {one.name} miscalibrated ({_p(one.p_value)}; slope {one.slope:.3g} [{one.slope_low:.3g}, "
            f"{one.slope_high:.3g}] instead of 1), but a gain is not shown: {method} lowers the log loss by {gain} on "
            "rows it was not fitted on."
        )
    if one.needed:
        return (
            f"Calibration is needed for {one.name}: {what} should be multiplied by {one.slope:.3g} "
            f"[{one.slope_low:.3g}, {one.slope_high:.3g}]{moved} ({_p(one.p_value)}), and {method} lowers the log loss "
            f"by {gain} on rows it was not fitted on."
        )
    return (
        f"No evidence that {one.name} needs calibration ({_p(one.p_value)} for slope 1 and no shift; {method} would "
        f"lower the log loss by {gain} on rows it was not fitted on)."
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
