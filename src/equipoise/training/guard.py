"""The guard: looks at the validation scores of every epoch, and says what is wrong, on what evidence, and what helps.

It only looks. It never changes weights, losses or data, and draws no random number. With `training.on_collapse: stop`
it ends a training in which, for a fifth of its epochs (three to ten) in a row, no class that has enough positives to be
judged was told from the rest, or every row got the same score; what was best until then is kept.

An epoch is one look of many, so nothing is said on one: how a class stands must hold for as many epochs in a row as a
collapse, and what was lost must stay lost for three. The kept models are judged once more at the end (`_conclusion`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.decision import higher_is_better
from equipoise.decision.objectives import Objective
from equipoise.decision.thresholds import best_threshold
from equipoise.evidence.finding import Finding
from equipoise.metrics import ClassStatistics, RankedClass, class_statistics, rank_classes
from equipoise.metrics.figures import entry_losses
from equipoise.metrics.outcomes import divide
from equipoise.scores import Scores
from equipoise.scores.record import sigmoid
from equipoise.training import _standing
from equipoise.training._course import fallen, still_rising
from equipoise.training._sentences import (
    collapse_finding,
    diverging_finding,
    standing_finding,
    stopped_finding,
    unlearning_finding,
)
from equipoise.training._standing import (
    IN_TRAINING,
    Areas,
    collapsed,
    independent_cases,
    naive_rate,
    rounded,
    rounded_each,
    standing,
)

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

__all__ = ["Finding", "Guard", "Look", "looks_in_a_row"]

Floats = NDArray[np.float64]

_STAYS = 3  # epochs in a row that something lost must stay lost
_LEAST_LOST = 0.05  # of the area under the curve
_Z = 1.959964  # half a 95 % interval in standard errors


def looks_in_a_row(epochs: int) -> int:
    """Return for how many epochs in a row something must hold: a fifth of all, from three to ten.

    >>> looks_in_a_row(5), looks_in_a_row(25), looks_in_a_row(100)
    (3, 5, 10)
    """
    return min(10, max(3, epochs // 5))


@dataclass(frozen=True, eq=False)
class Look:
    """What one epoch showed, per class (classes,), NaN where it cannot be said.

    Attributes:
        statistics: prevalence, spread, AUC with its interval, share of rows with a probability of at least 0.5.
        thresholds: best for F1 on these scores; NaN for a class without positives (and for one-of-many tasks).
        positive_rate: share of rows predicted positive at those thresholds (one-of-many tasks: by the highest score).
        gradient: share of the gradient at the outputs that comes from positives; see `positive_gradient`.
        validation_loss: mean log loss of these scores.
        findings: what is wrong and was not said before.
    """

    statistics: ClassStatistics
    thresholds: Floats
    positive_rate: Floats
    gradient: Floats
    validation_loss: float
    findings: tuple[Finding, ...]

    @property
    def overall_rate(self) -> float:
        """Share of all entries that are predicted positive."""
        return float(np.nanmean(self.positive_rate)) if not np.isnan(self.positive_rate).all() else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists by class name order, for the event log."""
        seen = self.statistics
        return {
            "validation_loss": rounded(self.validation_loss),
            "positive_rate": rounded_each(self.positive_rate),
            "positive_rate_at_half": rounded_each(seen.rate_at_half),
            "prevalence": rounded_each(seen.prevalence),
            "spread": rounded_each(seen.spread),
            "auc": rounded_each(seen.auc),
            "auc_low": rounded_each(seen.auc_low),
            "auc_high": rounded_each(seen.auc_high),
            "gradient_from_positives": rounded_each(self.gradient),
            "findings": [finding.to_dict() for finding in self.findings],
        }


class Guard:
    """Looks at every epoch's validation scores; remembers what it has said, so that each finding is new only once.

    Its memory is a few numbers a class and two an epoch.

    Args:
        classes: names, in the order of the scores.
        recipe: what is trained, for the remedies and for how long something must hold; None: the defaults.
        member: which member is trained, from 0.
    """

    def __init__(self, classes: Sequence[str], recipe: Recipe | None = None, *, member: int = 0) -> None:
        if recipe is None:
            from equipoise.recipe import Recipe

            recipe = Recipe()
        self._classes, self._recipe, self._member = tuple(classes), recipe, member
        self._higher_is_better = higher_is_better(recipe.training.monitor)
        self._needed = looks_in_a_row(recipe.training.epochs)
        self._cases: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._told: set[tuple[str, str | None]] = set()
        self._standing: dict[str, list[Any]] = {}  # class -> kind, epochs in a row
        self._best: dict[str, list[Any]] = {}  # class -> best area, lower end of its interval, epoch
        self._lost: dict[str, int] = {}  # class -> epochs in a row clearly below its best
        self._course: list[list[float]] = []  # of each epoch: watched metric, training loss
        self._first = 1  # epoch of the first of them
        self._collapse: list[Any] = [None, 0]  # kind, epochs in a row
        self.latest: Look | None = None

    @property
    def collapsed(self) -> bool:
        """Whether the model has told nothing from the rest for so long that `training.on_collapse` counts."""
        return bool(self._collapse[0] is not None and self._collapse[1] >= self._needed)

    def look(
        self,
        scores: Scores,
        *,
        epoch: int,
        monitored: float = math.nan,
        training_loss: float = math.nan,
        gradient: Floats | None = None,
    ) -> Look:
        """Return what the validation scores of an epoch show.

        Args:
            scores: probabilities or logits at natural prevalence, of the validation role.
            epoch: number of the epoch, from 1.
            monitored: the watched metric.
            training_loss: the mean loss of the epoch.
            gradient: share of the gradient from positives, (classes,); only stored.
        """
        ranked = rank_classes(scores.table(), scores.ranking_table())  # once, for the areas and the thresholds
        thresholds = _thresholds(scores, ranked)
        cuts = None if scores.exclusive else np.nan_to_num(thresholds, nan=np.inf)
        seen = class_statistics(scores, cuts, ranked=ranked)
        if self._cases is None:  # the rows are the same in every epoch
            self._cases = independent_cases(scores.table(), scores.groups)
        areas = Areas.of(seen.auc, *self._cases)
        seen = dataclasses.replace(seen, auc_low=areas.low, auc_high=areas.high)
        losses = row_losses(scores)
        rate = naive_rate(scores)
        kinds = standing(seen, areas, rate, IN_TRAINING)
        self._begin_phase(epoch)
        found = [
            *self._judge_collapse(kinds, areas, epoch),
            *self._judge_standing(scores, kinds, areas, rate, seen, epoch),
            *self._judge_unlearning(areas, epoch),
            *self._judge_course(monitored, training_loss, _sampling_error(self._recipe, areas, losses), epoch),
        ]
        positive_rate = rate if scores.exclusive else seen.rate_at_threshold
        self.latest = Look(
            statistics=seen,
            thresholds=thresholds,
            positive_rate=positive_rate,
            gradient=np.full(len(rate), math.nan) if gradient is None else gradient,
            validation_loss=float(np.nanmean(losses)) if not np.isnan(losses).all() else math.nan,
            findings=tuple(untold(found, self._told)),
        )
        return self.latest

    def conclude(self, *, epoch: int, ran_out: bool) -> list[Finding]:
        """Return what can be said of this member only when its training has ended.

        Args:
            epoch: the last one.
            ran_out: whether it was the last one allowed, and nothing else ended the training.
        """
        if not ran_out:
            return []
        watched = [one[0] for one in self._course]
        share = still_rising(watched, higher_is_better=self._higher_is_better)
        if share is None:
            return []
        return untold([stopped_finding(self._recipe, self._member, epoch, watched, share)], self._told)

    # -- what one look adds ----------------------------------------------------------------------------------------

    def _begin_phase(self, epoch: int) -> None:
        """From `balance.schedule.from_epoch` on the loss is another: what came before is no measure for it."""
        schedule = self._recipe.balance.schedule
        if schedule is not None and epoch == schedule.from_epoch > 1:
            self._course, self._best, self._lost = [], {}, {}
            self._first = epoch

    def _judge_collapse(self, kinds: list[str | None], areas: Areas, epoch: int) -> list[Finding]:
        kind = collapsed(kinds, areas, IN_TRAINING)
        self._collapse = [kind, self._collapse[1] + 1 if kind is not None and kind == self._collapse[0] else 1]
        if not self.collapsed:
            return []
        return [collapse_finding(str(kind), self._recipe, self._member, epoch, areas, self._collapse[1])]

    def _judge_standing(
        self, scores: Scores, kinds: list[str | None], areas: Areas, rate: Floats, seen: ClassStatistics, epoch: int
    ) -> list[Finding]:
        found = []
        for number, (name, kind) in enumerate(zip(self._classes, kinds, strict=True)):
            if kind is None:
                self._standing.pop(name, None)
                continue
            before, count = self._standing.get(name, [None, 0])
            self._standing[name] = [kind, count + 1 if kind == before else 1]
            if self._standing[name][1] < self._needed or (self.collapsed and kind == self._collapse[0]):
                continue
            about = _standing.Case(name, number, areas, rate[number], seen, exclusive=scores.exclusive)
            found.append(standing_finding(kind, self._recipe, about, member=self._member, epoch=epoch))
        return found

    def _judge_unlearning(self, areas: Areas, epoch: int) -> list[Finding]:
        """A class is lost where its area is below its best, beyond both intervals taken as independent.

        The interval of the difference is MOVER's: from the distance of each area to the end of its own interval. The
        areas are of the same rows, and so vary together: the rule is cautious, and errs on the quiet side.
        Source: Zou and Donner, Statistics in Medicine 27 (2008), 1693-1702, eq. 3.
        """
        found, enough = [], areas.enough(IN_TRAINING.least)
        for number, name in enumerate(self._classes):
            if not enough[number]:
                continue
            now, low, high = (float(one[number]) for one in (areas.auc, areas.low, areas.high))
            best, best_low, best_epoch = self._best.setdefault(name, [now, low, epoch])
            if now > best:
                self._best[name] = [now, low, epoch]
            doubt = math.hypot(best - best_low, high - now)
            self._lost[name] = self._lost.get(name, 0) + 1 if best - now > max(doubt, _LEAST_LOST) else 0
            if self._lost[name] >= _STAYS:
                then = (best, best_epoch)
                found.append(unlearning_finding(self._recipe, self._member, epoch, name, areas, number, then))
        return found

    def _judge_course(self, monitored: float, training_loss: float, noise: float, epoch: int) -> list[Finding]:
        self._course.append([monitored, training_loss])
        watched, losses = ([one[place] for one in self._course] for place in (0, 1))
        fall = fallen(watched, losses, higher_is_better=self._higher_is_better, noise=noise)
        if fall is None:
            return []
        fall = dataclasses.replace(fall, best_epoch=fall.best_epoch + self._first - 1)
        return [diverging_finding(self._recipe, self._member, epoch, fall)]

    # -- state -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint stores: plain JSON."""
        return {
            "told": sorted([list(one) for one in self._told], key=str),
            "standing": {name: list(one) for name, one in self._standing.items()},
            "best": {name: list(one) for name, one in self._best.items()},
            "lost": dict(self._lost),
            "course": [list(one) for one in self._course],
            "first": self._first,
            "collapse": list(self._collapse),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state.

        Raises:
            KeyError: something is missing from it.
        """
        self._told = {(kind, name) for kind, name in state["told"]}
        self._standing = {name: list(one) for name, one in state["standing"].items()}
        self._best = {name: list(one) for name, one in state["best"].items()}
        self._lost, self._first = dict(state["lost"]), state["first"]
        self._course, self._collapse = [list(one) for one in state["course"]], list(state["collapse"])


def untold(found: Sequence[Finding], told: set[tuple[str, str | None]]) -> list[Finding]:
    """Return the findings whose subject was not told before, and add their subjects to `told`."""
    fresh = [finding for finding in found if finding.subject not in told]
    told |= {finding.subject for finding in fresh}
    return fresh


def _thresholds(scores: Scores, ranked: Sequence[RankedClass]) -> Floats:
    """Return the probability at which F1 is best for each class; NaN without positives, and for exclusive classes."""
    found = np.full(len(ranked), np.nan)
    if scores.exclusive:
        return found
    for number, one in enumerate(ranked):
        if not one.positives * one.negatives > 0:
            continue
        if scores.kind == "logits":
            below = np.where(np.isfinite(one.below), sigmoid(one.below), one.below)
            found[number] = _best_cut(dataclasses.replace(one, values=sigmoid(one.values), below=below))
        else:
            found[number] = _best_cut(one)
    return found


def _best_cut(ranked: RankedClass) -> float:
    return best_threshold(ranked, Objective("f1")).threshold


def row_losses(scores: Scores) -> Floats:
    """Return the mean log loss of the known labels of each row, (rows,); NaN where none is known."""
    losses = entry_losses(scores)[1]
    known = ~np.isnan(losses)
    return divide(np.where(known, losses, 0.0).sum(axis=1), known.sum(axis=1))


def _sampling_error(recipe: Recipe, areas: Areas, losses: Floats) -> float:
    """Return the standard error of the watched metric on so many rows.

    Of a log loss it is its own, of areas that of the macro AUC; scores whose error has no closed form (F1, average
    precision and their like, of rare classes) vary about twice as much as that.
    """
    monitor = recipe.training.monitor
    if monitor == "loss":
        known = losses[~np.isnan(losses)]
        return float(known.std() / math.sqrt(len(known))) if len(known) else math.inf
    halves = (areas.high - areas.low) / 2 / _Z
    judged = halves[~np.isnan(halves)]
    error = float(np.sqrt(np.square(judged).sum()) / len(judged)) if len(judged) else math.inf
    return error if monitor.endswith("auc") else 2 * error
