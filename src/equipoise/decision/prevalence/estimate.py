"""`estimate_prevalence`: how common each class is among cases that nobody has labelled."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, DataError, check_number, check_one_of, listed
from equipoise.decision.calibration._odds import finite_odds
from equipoise.decision.calibration.need import chi_square_tail
from equipoise.decision.prevalence._binary import Found, Sample, find_by_bbse, find_by_em
from equipoise.decision.prevalence._draws import number_groups
from equipoise.decision.prevalence._exclusive import find_all_by_bbse, find_all_by_em
from equipoise.decision.rule import DecisionRule
from equipoise.scores import Scores

METHODS = {
    "em": "maximum likelihood of the scores (Saerens, Latinne and Decaestecker 2002)",
    "bbse": "how often the rule predicts each class (Lipton, Wang and Smola 2018)",
    "bbse_soft": "the same from mean probabilities",
}
_FEWEST = 20  # positives, and negatives, for slope and intercept to be fitted again


@dataclasses.dataclass(frozen=True, eq=False)
class PrevalenceEstimate:
    """Shares of the classes among unlabelled cases.

    Args:
        method: one of `METHODS`.
        task: of the scores.
        classes: names.
        reference: share of each class among the labelled cases, shape (classes,).
        prevalence: share among the unlabelled ones, shape (classes,); NaN where it cannot be told.
        low: lower end of its bootstrap interval.
        high: upper end.
        statistic: likelihood-ratio statistic against the reference, shape (classes,), one number for exclusive
            classes; NaN for BBSE.
        p_value: of no change, of the same shape.
        level: coverage of the intervals.
        labelled: number of labelled cases.
        unlabelled: number of unlabelled cases.
        notes: sentences about what could not be told.
    """

    method: str
    task: str
    classes: tuple[str, ...]
    reference: Floats
    prevalence: Floats
    low: Floats
    high: Floats
    statistic: Floats
    p_value: Floats
    level: float
    labelled: int
    unlabelled: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def sentences(self) -> list[str]:
        """Return the finding, one sentence per class, and the notes."""
        lines = []
        for index, name in enumerate(self.classes):
            if not math.isnan(self.prevalence[index]):
                lines.append(
                    f"{name}: {self.prevalence[index]:.3g} [{self.low[index]:.3g}, {self.high[index]:.3g}] among "
                    f"{self.unlabelled:,} unlabelled cases; {self.reference[index]:.3g} among {self.labelled:,} "
                    "labelled."
                )
        return [*lines, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as plain JSON types."""
        plain: dict[str, Any] = dataclasses.asdict(self)
        for key, value in plain.items():
            if isinstance(value, np.ndarray):
                plain[key] = [None if math.isnan(one) else one for one in value.tolist()]
        return {**plain, "classes": list(self.classes), "notes": list(self.notes)}


def estimate_prevalence(
    reference: Scores,
    unlabelled: Scores,
    method: str = "em",
    *,
    rule: DecisionRule | None = None,
    recalibrate: bool = True,
    replicates: int | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> PrevalenceEstimate:
    """Return how common each class is among unlabelled cases of the same kind (label shift), with intervals.

    What is assumed: cases of a class score alike in both tables; only the shares of the classes differ. "em" maximises
    the likelihood sum log sum_c pi_c p_c(x) / prior_c, whose fixed point Saerens' EM climbs to; probabilities have to
    hold for that, so slope and intercept (exclusive classes: temperature and offsets) are first fitted on the labelled
    rows. "bbse" solves C pi = m, with C the rates at which each class is predicted what, and m the rates among the
    unlabelled cases; it needs no calibration and is less certain. Intervals are percentiles of a bootstrap of both
    tables, groups whole, that repeats every step (in samples scores are binned: see `_binary`). The likelihood-ratio
    statistic is Saerens' (section 3); its p-value is read after division by how much more the estimate varies than the
    likelihood alone says (both tables being samples, of groups).

    Args:
        reference: labelled rows that the model was not trained on: of the validation or test role.
        unlabelled: scores of the same classes; labels, if any, are not looked at.
        method: "em", "bbse" (of predictions, needs a rule) or "bbse_soft" (of probabilities).
        rule: its shift and calibration are applied to both tables first.
        recalibrate: whether "em" fits slope and intercept on the labelled rows, where a class has 20 positives and 20
            negatives.
        replicates: bootstrap samples; None: 1,000, down to 200 for tables of more than 300,000 entries (rows times
            classes); for exclusive classes 200.
        level: coverage of the intervals.
        seed: of the samples.

    Raises:
        ArgumentError: scores of other classes or of the train role, no such method, "bbse" without a rule or with one
            that was fitted on these labelled rows.
        DataError: no known label among the labelled rows.

    Source: Saerens, Latinne and Decaestecker, Neural Computation 2002; Lipton, Wang and Smola, ICML 2018, equation 3;
    Alexandari, Kundaje and Shrikumar, ICML 2020 (calibrate first, with offsets).

    Example:
        Positives are called in 3 of 4 cases, negatives in 1 of 4. When half of all is called, half is positive:

        >>> reference = Scores(labels=[0, 0, 0, 0, 1, 1, 1, 1] * 9, values=[0.2, 0.2, 0.2, 0.8, 0.2, 0.8, 0.8, 0.8] * 9,
        ...                    kind="probabilities", ids=range(72), role="validation", classes=["Mass"])
        >>> unlabelled = Scores(labels=[np.nan] * 8, values=[0.2, 0.8] * 4, kind="probabilities", ids=range(8),
        ...                     role="test", classes=["Mass"])
        >>> estimate_prevalence(reference, unlabelled, "bbse_soft").prevalence
        array([0.5])
    """
    _check(reference, unlabelled, method, rule, level, replicates)
    told = reference if rule is None else rule.natural(reference)
    said = unlabelled if rule is None else rule.natural(unlabelled)
    predicted: Any = None
    if method == "bbse" and rule is not None:
        rule.check_unseen(reference)  # its rates there would be too good, and the shares too small
        predicted = (rule.apply(reference).table(), rule.apply(unlabelled).table())
    elif method == "bbse_soft":
        predicted = (told.probability_table(), said.probability_table())
    entries = reference.value_table().size + unlabelled.value_table().size
    draws = replicates or (200 if reference.exclusive else int(np.clip(round(3e8 / entries), 200, 1000)))
    if reference.exclusive:
        return _of_exclusive(told, said, method, predicted, recalibrate, draws, level, seed)
    return _of_each(told, said, method, predicted, recalibrate, draws, level, seed)


def _of_each(
    told: Scores, said: Scores, method: str, predicted: Any, recalibrate: bool, draws: int, level: float, seed: int
) -> PrevalenceEstimate:
    truth, count, notes = told.table(), len(told.classes), []
    groups, others = number_groups(told), number_groups(said)
    odds, other_odds = finite_odds(told), finite_odds(said)
    figures = np.full((6, count), np.nan)
    for index, name in enumerate(told.classes):
        known = ~np.isnan(truth[:, index])
        positives, total = int((truth[known, index] == 1).sum()), int(known.sum())
        figures[0, index] = positives / total if total else np.nan
        if not 0 < positives < total:
            missing = "positive" if positives == 0 else "negative"
            notes.append(f"{name} has no known {missing} among the labelled cases: its prevalence cannot be told.")
            continue
        sample = Sample(odds[known, index], groups[0][known], groups[1], truth[known, index])
        other = Sample(other_odds[:, index], *others)
        if predicted is None:
            enough = min(positives, total - positives) >= _FEWEST
            if recalibrate and not enough:
                notes.append(
                    f"{name} has too few cases to be calibrated first: its probabilities are taken at their word."
                )
            found = find_by_em(sample, other, recalibrate=recalibrate and enough, replicates=draws, seed=seed)
        else:
            pair = predicted[0][known, index].astype(np.float64), predicted[1][:, index].astype(np.float64)
            found = find_by_bbse(sample, other, *pair, replicates=draws, seed=seed)
        figures[1:, index], said_of = _summary(found, float(figures[0, index]), level, name)
        notes += said_of
    return PrevalenceEstimate(
        method, told.task, told.classes, figures[0], figures[1], figures[2], figures[3], figures[4], figures[5],
        float(level), len(told), len(said), tuple(notes),
    )  # fmt: skip


def _summary(found: Found, reference: float, level: float, name: str) -> tuple[list[float], list[str]]:
    """Return share, ends of its interval, statistic and p-value, and notes."""
    usable = ~np.isnan(found.drawn)
    if math.isnan(found.share) or usable.mean() < 0.9:
        reason = "is predicted no more often where it is true" if math.isnan(found.share) else "has too few cases"
        return [math.nan] * 5, [f"{name} {reason}: its prevalence cannot be told this way."]
    drawn = found.drawn[usable]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]).tolist()
    spread = float(np.var(drawn - found.drawn_reference[usable]))
    notes = []
    if found.share in (0.0, 1.0):
        notes.append(f"{name}: the estimate is at the end of its range, and so only an upper or lower bound.")
    if math.isnan(found.statistic):
        wald = (found.share - reference) ** 2 / max(spread, 1e-300)
        return [found.share, low, high, math.nan, chi_square_tail(wald, 1)], notes
    scaled = found.statistic * min(found.model_variance / max(spread, 1e-300), 1.0)
    return [found.share, low, high, found.statistic, chi_square_tail(scaled, 1)], notes


def _of_exclusive(
    told: Scores, said: Scores, method: str, predicted: Any, recalibrate: bool, draws: int, level: float, seed: int
) -> PrevalenceEstimate:
    known = ~np.isnan(told.labels)
    truth, (member, count) = told.labels[known].astype(np.int64), number_groups(told)
    labelled, others = (member[known], count), number_groups(said)
    counts = np.bincount(truth, minlength=len(told.classes))
    reference, statistic = counts / counts.sum(), math.nan
    notes = [
        f"{name} has no labelled case: its prevalence cannot be told, and is taken as 0."
        for name, cases in zip(told.classes, counts, strict=True)
        if not cases
    ]
    if predicted is None:
        fit = recalibrate and int(counts.sum() - counts.max()) >= _FEWEST
        shares, drawn, priors, statistic = find_all_by_em(
            truth, finite_odds(told)[known], labelled, finite_odds(said), others,
            recalibrate=fit, replicates=draws, seed=seed,
        )  # fmt: skip
    else:
        one, other = predicted[0][known].astype(np.float64), predicted[1].astype(np.float64)
        shares, drawn, priors = find_all_by_bbse(truth, one, labelled, other, others, replicates=draws, seed=seed)
    ends = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    shares = np.where(counts > 0, shares, np.nan)
    p_value = _joint_p_value(shares - reference, drawn - priors, counts > 0)
    return PrevalenceEstimate(
        method, told.task, told.classes, reference, shares, ends[0], ends[1], np.array([statistic]),
        np.array([p_value]), float(level), len(told), len(said), tuple(notes),
    )  # fmt: skip


def _joint_p_value(change: Floats, drawn: Floats, present: Any) -> float:
    """Return the p-value of no change in any class: Wald's test with the covariance of the bootstrap samples."""
    kept = np.flatnonzero(present)[:-1]  # the last share follows from the others
    if not len(kept) or np.isnan(drawn).any():
        return math.nan
    covariance = np.atleast_2d(np.cov(drawn[:, kept].T))
    return chi_square_tail(float(change[kept] @ np.linalg.pinv(covariance) @ change[kept]), len(kept))


def _check(
    reference: Scores, unlabelled: Scores, method: str, rule: DecisionRule | None, level: float, replicates: Any
) -> None:
    check_one_of(method, METHODS, argument="method", function="estimate_prevalence")
    check_number(level, argument="level", function="estimate_prevalence", above=0.0, at_most=0.999)
    if replicates is not None:
        check_number(replicates, argument="replicates", function="estimate_prevalence", at_least=20)
    if (reference.task, reference.classes) != (unlabelled.task, unlabelled.classes):
        raise ArgumentError(
            f"The labelled scores are {reference.task} with classes {listed(reference.classes)}; the unlabelled ones "
            f"are {unlabelled.task} with {listed(unlabelled.classes)}. Pass scores of the same classes in their order."
        )
    if reference.role == "train":
        raise ArgumentError(
            "`reference` of estimate_prevalence is of the train role: the model knows these rows, so their scores are "
            "not those of new cases. Pass validation or test scores."
        )
    if method == "bbse" and rule is None:
        raise ArgumentError('"bbse" counts predictions, so it needs a rule. Pass rule=, or use "bbse_soft" or "em".')
    if np.isnan(reference.labels).all():
        raise DataError("The labelled scores have no known label. Pass labelled scores first, unlabelled ones second.")
