"""The guard of masks: how much of each class is predicted, beside how much there is, after every validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.evidence.finding import Finding
from equipoise.training._course import fallen, still_rising
from equipoise.training._mask_remedies import MaskCase, mask_remedy
from equipoise.training._sentences import diverging_finding, stopped_finding
from equipoise.training._standing import rounded, rounded_each
from equipoise.training.guard import looks_in_a_row, untold
from equipoise.training.mask_tally import MaskTally

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

_SOON = 2  # validations in a row after which a share outside its band is named
_RARE = 0.05  # of the pixels: rarer classes take longer to appear, unless weights keep them away
_AGREES = 1.5  # factor of the odds within which a prediction is the truth, where a band excludes both
_BAND = 3.0  # a predicted share is believable while its odds are within such a factor of the true ones
_EMPTY = 0.02  # of the true share: less is "empty"
_FOUND, _GONE = 0.1, 0.02  # Dice above which a class was found, and predicted share of the true one that is "lost"
_BORDER, _BORDER_TRUE = 0.9, 0.5  # of the predicted pixels in the border, and of the true ones, at most
_FEW_IMAGES = 6  # up to so many are named


@dataclass(frozen=True, eq=False)
class MaskLook:
    """What one validation showed; arrays are (classes,).

    Attributes:
        tally: of every validation image, by the most likely class or at 0.5, before any threshold is fitted.
        dice: pooled, at that decision. best_dice: at the thresholds that are best on these images.
        bands: (classes, 2) predicted shares that are believable.
        verdict: what the shares say, in words.
        findings: what is wrong and was not said before.
    """

    tally: MaskTally
    dice: Floats
    best_dice: Floats
    bands: Floats
    verdict: str
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists by class name order, for the event log."""
        return {
            "true_share": rounded_each(self.tally.true_share),
            "predicted_share": rounded_each(self.tally.predicted_share),
            "band": [rounded_each(band) for band in self.bands],
            "image_shares": [rounded_each(row) for row in self.tally.counts.predicted_share()],
            "image_true_shares": [rounded_each(row) for row in self.tally.counts.actual_share()],
            "missed_images": self.tally.missed.tolist(),
            "dice": rounded_each(self.dice),
            "best_dice": rounded_each(self.best_dice),
            "verdict": self.verdict,
            "findings": [finding.to_dict() for finding in self.findings],
        }


class MaskGuard:
    """Looks at the masks of every validation; remembers what it has said, so that each finding is new only once.

    Args:
        classes: names. watched: indices of those that a mask is about: all but the background.
        shares: (classes,) share of the pixels of each among the images to learn from.
        weighted: (classes,) the same as the loss sees it, class weights applied.
        recipe: what is trained, for bands and remedies.
        ids: of the validation images, in order.
    """

    def __init__(
        self,
        classes: Sequence[str],
        watched: Sequence[int],
        shares: Floats,
        weighted: Floats,
        recipe: Recipe,
        *,
        ids: Sequence[str] = (),
    ) -> None:
        self._classes, self._watched, self._recipe = tuple(classes), tuple(watched), recipe
        self._shares, self._weighted, self._ids = shares, weighted, tuple(ids)
        self.bands = bands_of(classes, shares, recipe.masks.bands)
        self._needed = looks_in_a_row(recipe.training.epochs)
        self._told: set[tuple[str, str | None]] = set()
        self._standing: dict[str, list[Any]] = {}  # class -> kind, validations in a row
        self._best: dict[str, list[Any]] = {}  # class -> best Dice, epoch
        self._lost: dict[str, int] = {}  # class -> validations in a row without it
        self._course: list[list[float]] = []  # of each epoch: watched metric, training loss
        self._collapse = 0  # validations in a row in which nothing is told from the rest
        self.latest: MaskLook | None = None

    @property
    def collapsed(self) -> bool:
        """Whether every mask has been empty, or full, for so long that `training.on_collapse` counts."""
        return self._collapse >= self._needed

    def look(
        self,
        tally: MaskTally,
        *,
        epoch: int,
        best_dice: Floats,
        monitored: float = math.nan,
        training_loss: float = math.nan,
        extra: Sequence[Finding] = (),
    ) -> MaskLook:
        """Return what the masks of a validation show.

        Args:
            tally: of every validation image, before any threshold is fitted.
            epoch: from 1.
            best_dice: (classes,) at the thresholds that are best on these images.
            monitored: the watched metric.
            training_loss: of the epoch.
            extra: findings of others, told once as well.
        """
        dice = tally.dice()
        kinds = {place: self._kind(tally, place) for place in self._watched}
        extreme = [kind in ("mask_empty", "mask_full") for kind in kinds.values()]
        self._collapse = self._collapse + 1 if extreme and all(extreme) else 0
        found = [
            *extra,
            *self._judge_standing(tally, kinds, best_dice, epoch),
            *self._judge_lost(tally, dice, epoch),
            *self._judge_course(monitored, training_loss, epoch),
        ]
        self.latest = MaskLook(
            tally, dice, best_dice, self.bands, self._verdict(tally), tuple(untold(found, self._told))
        )
        return self.latest

    def conclude(self, tally: MaskTally, best_dice: Floats) -> list[Finding]:
        """Return what is wrong with the masks that the kept model gives by its fitted rule.

        Args:
            tally: of the validation images, at the fitted thresholds.
            best_dice: (classes,) at them.
        """
        kinds = {place: self._kind(tally, place) for place in self._watched}
        return [
            self._finding(kind, tally, place, None, 1, best_dice) for place, kind in kinds.items() if kind is not None
        ]

    def end(self, *, epoch: int, ran_out: bool) -> list[Finding]:
        """Return what can be said only when the training has ended, such as that epochs ran out too soon.

        Args:
            epoch: the last one.
            ran_out: whether it was the last one allowed, and nothing else ended the training.
        """
        watched = [one[0] for one in self._course]
        share = still_rising(watched, higher_is_better=True) if ran_out else None
        return [] if share is None else untold([stopped_finding(self._recipe, 0, epoch, watched, share)], self._told)

    # -- what one look adds ----------------------------------------------------------------------------------------

    def _case(self, tally: MaskTally, place: int) -> MaskCase:
        return MaskCase(
            name=self._classes[place],
            actual=float(self._shares[place]),
            predicted=float(tally.predicted_share[place]),
            band=(float(self.bands[place, 0]), float(self.bands[place, 1])),
            weighted=float(self._weighted[place]),
            seen=float(tally.true_share[place]),
        )

    def _kind(self, tally: MaskTally, place: int) -> str | None:
        """Say how a class stands, or None where nothing is wrong."""
        predicted, actual = float(tally.predicted_share[place]), float(tally.true_share[place])
        low, high = self.bands[place]
        if not actual > 0:
            return None  # nothing to be found in these images
        if predicted < low and predicted <= _EMPTY * actual:
            return "mask_empty"
        if predicted > high and 1 - predicted <= _EMPTY * (1 - actual):
            return "mask_full"
        along, true = (float(share[place]) for share in tally.border_shares())
        if along >= _BORDER and not true > _BORDER_TRUE:
            return "mask_border"
        inside = low <= predicted <= high or (not low <= actual <= high and _agree(predicted, actual))
        return None if inside else "mask_share"

    def _judge_standing(
        self, tally: MaskTally, kinds: Mapping[int, str | None], best_dice: Floats, epoch: int
    ) -> list[Finding]:
        found = []
        for place, kind in kinds.items():
            name = self._classes[place]
            if kind is None:
                self._standing.pop(name, None)
                continue
            before, count = self._standing.get(name, [None, 0])
            # From empty to too little is no recovery: both are outside of the band, on one side or the other.
            self._standing[name] = [kind, count + 1 if before is not None else 1]
            case = self._case(tally, place)
            soon = case.by_weights or self._shares[place] >= _RARE
            if self._standing[name][1] >= (_SOON if soon else max(_SOON, self._needed)):
                found.append(self._finding(kind, tally, place, epoch, self._standing[name][1], best_dice))
        return found

    def _finding(
        self, kind: str, tally: MaskTally, place: int, epoch: int | None, times: int, best_dice: Floats
    ) -> Finding:
        case = self._case(tally, place)
        said, settings = mask_remedy(kind, self._recipe, case)
        actual = float(tally.true_share[place])
        if epoch is None:
            when = "by the fitted rule"
        else:
            when = "at the last validation" if times == 1 else f"at {times} validations in a row"
        extreme = kind in ("mask_empty", "mask_full")
        return Finding(
            kind=kind,
            class_name=case.name,
            epoch=epoch,
            member=0,
            severity="collapse" if extreme and self.collapsed else "warning",
            sentence=f"{case.name}: {self._seen_words(kind, tally, place)} ({when}).",
            remedy=said,
            evidence={
                "true_share": rounded(actual),
                "predicted_share": rounded(case.predicted),
                "band": rounded_each(case.band),
                "share_in_the_loss": rounded(case.weighted),
                "images_with_it": int(tally.present[place]),
                "missed_images": int(tally.missed[place]),
                "best_dice": rounded(float(best_dice[place])),
                "validations": times,
            },
            settings=settings,
        )

    def _seen_words(self, kind: str, tally: MaskTally, place: int) -> str:
        predicted, actual = float(tally.predicted_share[place]), float(tally.true_share[place])
        low, high = self.bands[place]
        shares = f"{_percent(predicted)} of the pixels are predicted as it, {_percent(actual)} are"
        missed = int(tally.missed[place])
        images = f"; none in {missed} of the {int(tally.present[place])} images that hold it" if missed else ""
        if kind == "mask_empty":
            return f"masks stay empty: {shares}{images}"
        if kind == "mask_full":
            return f"masks are full: {shares}"
        if kind == "mask_border":
            along, true = (float(share[place]) for share in tally.border_shares())
            return f"{_percent(along)} of what is predicted lies along the border, {_percent(true)} of what there is"
        side = "below" if predicted < low else "above"
        return f"{shares}, {side} the band of {_percent(low)} to {_percent(high)}{images}"

    def _judge_lost(self, tally: MaskTally, dice: Floats, epoch: int) -> list[Finding]:
        found = []
        for place in self._watched:
            name, now = self._classes[place], float(dice[place])
            if math.isnan(now):
                continue
            best, best_epoch = self._best.get(name, [0.0, 0])
            if now > best:
                self._best[name] = [now, epoch]
            gone = tally.predicted_share[place] <= _GONE * tally.true_share[place]
            self._lost[name] = self._lost.get(name, 0) + 1 if best >= _FOUND and gone else 0
            if self._lost[name] >= _SOON:
                found.append(self._lost_finding(tally, place, epoch, best, best_epoch))
        return found

    def _lost_finding(self, tally: MaskTally, place: int, epoch: int, best: float, best_epoch: int) -> Finding:
        name = self._classes[place]
        said, settings = mask_remedy("mask_lost", self._recipe, self._case(tally, place))
        return Finding(
            kind="mask_lost",
            class_name=name,
            epoch=epoch,
            member=0,
            sentence=f"{name} was found in epoch {best_epoch} (Dice {best:.3f}) and is lost: "
            f"{_percent(float(tally.predicted_share[place]))} of the pixels are predicted as it, "
            f"{_percent(float(tally.true_share[place]))} are.",
            remedy=said,
            evidence={"best_dice": rounded(best), "best_epoch": best_epoch},
            settings=settings,
        )

    def _judge_course(self, monitored: float, training_loss: float, epoch: int) -> list[Finding]:
        self._course.append([monitored, training_loss])
        watched, losses = ([one[place] for one in self._course] for place in (0, 1))
        fall = fallen(watched, losses, higher_is_better=True, noise=0.0)
        return [] if fall is None else [diverging_finding(self._recipe, 0, epoch, fall)]

    def _verdict(self, tally: MaskTally) -> str:
        """Say of every watched class how much of it is predicted, beside how much there is."""
        parts = []
        for place in self._watched:
            predicted, (low, high) = float(tally.predicted_share[place]), self.bands[place]
            side = "inside" if low <= predicted <= high else "below" if predicted < low else "above"
            parts.append(
                f"{self._classes[place]} {_percent(predicted)} predicted, {_percent(float(tally.true_share[place]))} "
                f"true, {side} the band of {_percent(low)} to {_percent(high)}"
            )
        empty = self._empty_images(tally)
        return "; ".join(parts) + (f"; nothing predicted in {empty}" if empty else "")

    def _empty_images(self, tally: MaskTally) -> str:
        """Name the images that hold something, and in which nothing is predicted."""
        watched = list(self._watched)
        predicted, actual = (one[:, watched].sum(axis=1) for one in (tally.counts.predicted, tally.counts.actual))
        empty = (predicted == 0) & (actual > 0)
        names = [self._ids[row] if row < len(self._ids) else str(row) for row in np.flatnonzero(empty).tolist()]
        if len(names) <= _FEW_IMAGES:
            return ", ".join(names)
        return f"{len(names)} of {len(empty)} images"

    # -- state -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint stores: plain JSON."""
        return {
            "told": sorted([list(one) for one in self._told], key=str),
            "standing": {name: list(one) for name, one in self._standing.items()},
            "best": {name: list(one) for name, one in self._best.items()},
            "lost": dict(self._lost),
            "course": [list(one) for one in self._course],
            "collapse": self._collapse,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state.

        Raises:
            KeyError: something is missing from it.
        """
        self._told = {(kind, name) for kind, name in state["told"]}
        self._standing = {name: list(one) for name, one in state["standing"].items()}
        self._best = {name: list(one) for name, one in state["best"].items()}
        self._lost, self._collapse = dict(state["lost"]), state["collapse"]
        self._course = [list(one) for one in state["course"]]


def bands_of(
    classes: Sequence[str], shares: Floats, given: Mapping[str, tuple[float, float]] | None
) -> NDArray[np.float64]:
    """Return (classes, 2) the predicted shares that are believable: those given, the others from the data.

    From the data: shares whose odds are within a factor of three of the odds of the true share.

    Args:
        classes: names.
        shares: (classes,) true share of the pixels.
        given: class to its band.

    Example:
        >>> bands_of(["ground", "vessel"], np.array([0.42, 0.58]), {"vessel": (0.3, 0.7)}).round(2).tolist()
        [[0.19, 0.68], [0.3, 0.7]]
    """
    odds = shares / np.maximum(1.0 - shares, 1e-12)
    found = np.stack([odds / _BAND / (1 + odds / _BAND), odds * _BAND / (1 + odds * _BAND)], axis=1)
    for name, band in (given or {}).items():
        found[list(classes).index(name)] = band
    return found


def _agree(predicted: float, actual: float) -> bool:
    """Whether the odds of two shares are within a factor of each other that is no error worth a word."""
    one, other = (min(max(share, 1e-12), 1 - 1e-12) for share in (predicted, actual))
    return abs(math.log(one / (1 - one)) - math.log(other / (1 - other))) <= math.log(_AGREES)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
