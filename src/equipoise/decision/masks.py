"""`MaskRule`: from probabilities of pixels to masks, fitted on validation images and never judged on them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, DataError, check_number, check_one_of, listed
from equipoise.decision.resampling import Groups
from equipoise.metrics.components import Components, remove_small
from equipoise.metrics.mask_figures import MASK_OBJECTIVES, objective_grid
from equipoise.metrics.mask_scores import ARGMAX, ImageCounts, MaskScores, best_foreground
from equipoise.metrics.outcomes import divide
from equipoise.scores.ids import hash_ids

_FORMAT, _VERSION = "equipoise mask rule", 1
_SKETCH = 65_536
_UNFITTED = 0.5
_AS_GOOD = 1e-12
_SIZES = 48  # candidates for the smallest part that is kept
_SURE = 0.9  # share of replicates in which removing small parts must help


@dataclasses.dataclass(frozen=True, eq=False)
class MaskRule:
    """What makes masks of probabilities: argmax or a threshold a class, then small connected parts removed.

    Attributes:
        classes: names.
        exclusive: whether each pixel has one class.
        thresholds: (classes,) probabilities from which a pixel is of the class; None: argmax. Of exclusive classes the
            first is the rest: a pixel is of the likeliest of the others where the probability that it is of any of
            them reaches the threshold of that class.
        low: (classes,) lower end of the interval of each threshold; NaN without.
        high: upper end.
        values: (classes,) the objective on the images that it was fitted on (optimistic by construction); NaN without.
        least_sizes: (classes,) pixels of the smallest connected part that is kept; 0 and 1 keep all.
        maximize: the objective.
        images: how many it was fitted on; 0 for a rule that was not fitted.
        keys: 64-bit keys of their ids, the smallest 65,536.
        notes: sentences about what could not be fitted.
    """

    classes: tuple[str, ...]
    exclusive: bool
    thresholds: tuple[float, ...] | None
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    least_sizes: tuple[int, ...] = ()
    maximize: str = "dice"
    images: int = 0
    keys: NDArray[np.uint64] = dataclasses.field(default_factory=lambda: np.zeros(0, np.uint64))
    notes: tuple[str, ...] = ()

    @property
    def decision(self) -> str | tuple[float, ...]:
        """``"argmax"`` or the thresholds, as `MaskScores.counts` takes them."""
        return ARGMAX if self.thresholds is None else self.thresholds

    def check_unseen(self, scores: MaskScores) -> None:
        """Raise `ArgumentError` where the rule was fitted on some of these images, or is for other classes."""
        if self.classes != scores.classes or self.exclusive != scores.exclusive:
            raise ArgumentError(
                f"This rule is for masks of {listed(self.classes)}, the scores are of {listed(scores.classes)}. Fit "
                "one on validation images of the same classes."
            )
        seen = np.isin(hash_ids(scores.ids), self.keys)
        if seen.any():
            raise ArgumentError(
                f"The rule was fitted on {int(seen.sum())} of these {len(scores)} images "
                f"({listed(scores.ids[seen], limit=3)}). Judge it on images that it has not seen."
            )

    def counts(self, scores: MaskScores, components: Components | None = None) -> ImageCounts:
        """Return the counts of each image by this rule.

        Args:
            scores: of the images.
            components: the connected parts of the masks of the same decision, from `measure_components`; needed where
                small parts are removed.

        Raises:
            ArgumentError: small parts are removed and no components are given.
        """
        found = scores.counts(self.decision)
        if not any(least > 1 for least in self.least_sizes):
            return found
        if components is None:
            raise ArgumentError("This rule removes small parts: give the components of the same masks.")
        overlap, predicted = found.overlap.copy(), found.predicted.copy()
        for class_, least in enumerate(self.least_sizes):
            if least > 1:
                right, wrong = components.below(scores.ids, class_, least)
                overlap[:, class_] -= right
                predicted[:, class_] -= right + wrong
        return dataclasses.replace(found, overlap=overlap, predicted=predicted)

    def apply(self, probabilities: NDArray[Any], *, small_parts: bool = True) -> NDArray[np.uint8]:
        """Return the mask of an image: (...) class indices, or (classes, ...) of 0 and 1 of overlapping classes.

        Args:
            probabilities: (classes, ...).
            small_parts: whether to remove small parts; off for a piece of an image, whose parts are cut.
        """
        if self.exclusive:
            if self.thresholds is None:
                mask = probabilities.argmax(axis=0).astype(np.uint8)
            else:
                best, any_ = best_foreground(probabilities)
                mask = np.where(any_ >= np.asarray(self.thresholds)[best], best, 0).astype(np.uint8)
        else:
            assert self.thresholds is not None
            wide = np.asarray(self.thresholds).reshape(-1, *(1,) * (probabilities.ndim - 1))
            mask = (probabilities >= wide).astype(np.uint8)
        return self.clean(mask) if small_parts else mask

    def clean(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a whole mask without its small parts; of exclusive classes they become the first class."""
        cleaned = mask.copy()
        for class_, least in enumerate(self.least_sizes):
            if least <= 1:
                continue
            if self.exclusive:
                mine = mask == class_
                cleaned[mine & ~remove_small(mine, least)] = 0
            else:
                cleaned[class_] = remove_small(mask[class_] == 1, least)
        return cleaned

    def describe(self) -> str:
        """Say the rule in words."""
        if self.thresholds is None:
            said = "Each pixel is of the class of its highest probability"
        else:
            first = 1 if self.exclusive else 0
            shown = [
                f"{name} from {threshold:.3g}" + (f" [{low:.3g}, {high:.3g}]" if not math.isnan(low) else "")
                for name, threshold, low, high in zip(self.classes, self.thresholds, self.low, self.high, strict=True)
            ]
            said = f"A pixel is {', '.join(shown[first:])}"
        small = [
            f"{name} below {least}" for name, least in zip(self.classes, self.least_sizes, strict=False) if least > 1
        ]
        fitted = f", fitted on {self.images} images for {self.maximize}" if self.images else ""
        return said + fitted + (f"; connected parts of {', '.join(small)} pixels are removed" if small else "") + "."

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_dict` makes an equal rule."""
        given = self.thresholds and ["never" if math.isinf(one) else one for one in self.thresholds]
        return {
            "format": _FORMAT, "version": _VERSION, "classes": list(self.classes), "exclusive": self.exclusive,
            "thresholds": given,
            "low": _finite(self.low), "high": _finite(self.high), "values": _finite(self.values),
            "least_sizes": list(self.least_sizes), "maximize": self.maximize, "images": self.images,
            "keys": [f"{key:016x}" for key in self.keys.tolist()], "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, stored: Any) -> MaskRule:
        """Return the rule that `to_dict` wrote.

        Raises:
            DataError: it is none, or of a newer version.
        """
        if not isinstance(stored, dict) or (stored.get("format"), stored.get("version")) != (_FORMAT, _VERSION):
            raise DataError("This is no rule for masks that this Equipoise reads. Fit it again.")
        try:
            given = stored["thresholds"]
            numbers = {name: tuple(math.nan if one is None else float(one) for one in stored[name])
                       for name in ("low", "high", "values")}  # fmt: skip
            return cls(
                tuple(stored["classes"]), stored["exclusive"] is True,
                None if given is None else tuple(math.inf if one == "never" else float(one) for one in given),
                **numbers, least_sizes=tuple(int(one) for one in stored["least_sizes"]), maximize=stored["maximize"],
                images=int(stored["images"]), keys=np.array([int(key, 16) for key in stored["keys"]], np.uint64),
                notes=tuple(stored["notes"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"The rule for masks is damaged: {error}. Fit it again.") from error


def fit_mask_rule(
    scores: MaskScores,
    *,
    maximize: str = "dice",
    replicates: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> MaskRule:
    """Return the rule that is best on validation images.

    Each class gets a threshold, of exclusive ones all but the first, which is the rest (see `MaskRule`). Of thresholds
    of equal worth the middle one is taken. Intervals of thresholds are quantiles over bootstrap samples of groups
    (patients), or of images where there are none: how much the threshold hangs on who was in the validation role.

    Args:
        scores: of the validation role.
        maximize: ``"dice"`` or ``"iou"`` of all pixels pooled; ``"image_dice"`` or ``"image_iou"``, their mean over the
            images that hold the class.
        replicates: bootstrap samples; 0 for no intervals.
        level: coverage.
        seed: of the samples.

    Raises:
        ArgumentError: the scores are of another role, or the objective is unknown.
    """
    check_one_of(maximize, MASK_OBJECTIVES, argument="maximize", function="fit_mask_rule")
    _check_role(scores, "fit_mask_rule")
    count = len(scores.classes)
    keys = np.sort(hash_ids(scores.ids))[:_SKETCH]
    common: dict[str, Any] = {
        "classes": scores.classes, "exclusive": scores.exclusive, "maximize": maximize, "images": len(scores),
        "keys": keys, "least_sizes": (0,) * count,
    }  # fmt: skip
    weights = _replicate_weights(scores, replicates, seed)
    found = [_fit_class(scores, class_, maximize, weights, level) for class_ in range(count)]
    if scores.exclusive:
        found[0] = (1.0 - min(one[0] for one in found[1:]), math.nan, math.nan, found[0][3], False)
    notes = tuple(
        f"No validation image holds {scores.classes[class_]}: its threshold of {_UNFITTED} is not fitted."
        for class_, one in enumerate(found) if one[4]
    )  # fmt: skip
    columns = [tuple(float(one[place]) for one in found) for place in range(4)]
    return MaskRule(thresholds=columns[0], low=columns[1], high=columns[2], values=columns[3], notes=notes, **common)


def fixed_mask_rule(scores: MaskScores, thresholds: Sequence[float] | float | None = None) -> MaskRule:
    """Return a rule that was not fitted: argmax, or thresholds that are given.

    Args:
        scores: of the classes.
        thresholds: one for each class, or one for all; None: argmax of exclusive classes.

    Raises:
        ArgumentError: None for overlapping classes.
    """
    count = len(scores.classes)
    if thresholds is None and not scores.exclusive:
        raise ArgumentError("Overlapping classes have no argmax. Give a threshold for each class.")
    given = None if thresholds is None else tuple(float(one) for one in np.broadcast_to(thresholds, count))
    blank = (math.nan,) * count
    return MaskRule(scores.classes, scores.exclusive, given, blank, blank, blank, (0,) * count)


def fit_least_sizes(
    rule: MaskRule, scores: MaskScores, components: Components, *, replicates: int = 200, seed: int = 0
) -> MaskRule:
    """Return the rule with the size below which connected parts are removed, fitted on the same validation images.

    For each class the size that is best for the rule's objective, and only where removing helps in nine of ten
    bootstrap samples of groups or images; else all parts are kept.

    Args:
        rule: from `fit_mask_rule`.
        scores: of the validation role.
        components: the parts of the masks of `rule`, before any are removed.
        replicates: bootstrap samples, at least 1.
        seed: of the samples.

    Raises:
        ArgumentError: the scores are of another role.
    """
    _check_role(scores, "fit_least_sizes")
    check_number(replicates, argument="replicates", function="fit_least_sizes", at_least=1)
    weights = _replicate_weights(scores, replicates, seed)
    counts = scores.counts(rule.decision)
    least = [0] * len(rule.classes)
    for class_ in range(1 if rule.exclusive else 0, len(rule.classes)):
        sizes = np.unique(components.sizes[components.classes == class_])
        if not len(sizes):
            continue
        places = np.unique(np.linspace(0, len(sizes) - 1, _SIZES).astype(int))
        every = [_worth(rule.maximize, counts, class_, None, None)]
        gone = [components.below(scores.ids, class_, int(sizes[place]) + 1) for place in places.tolist()]
        every += [_worth(rule.maximize, counts, class_, one, None) for one in gone]
        best = int(np.nanargmax([float(one) for one in every])) if not np.isnan(every[0]) else 0
        if best == 0 or float(every[best]) <= float(every[0]) + _AS_GOOD:
            continue
        gains = _worth(rule.maximize, counts, class_, gone[best - 1], weights) - _worth(
            rule.maximize, counts, class_, None, weights
        )
        if np.mean(gains[~np.isnan(gains)] > 0) >= _SURE:
            least[class_] = int(sizes[places[best - 1]]) + 1
    return dataclasses.replace(rule, least_sizes=tuple(least))


def _finite(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(one) else one for one in values]


def _check_role(scores: MaskScores, function: str) -> None:
    if scores.role != "validation":
        raise ArgumentError(f"{function} fits on the validation role; these scores are of {scores.role}.")


def _replicate_weights(scores: MaskScores, replicates: int, seed: int) -> Floats:
    """Return (replicates, images) how often each image is drawn, with its group."""
    groups = Groups.of(hash_ids(scores.ids if scores.groups is None else scores.groups), seed=seed)
    drawn = [one[groups.member].astype(np.float64) for one in groups.draws(int(replicates))]
    return np.array(drawn).reshape(len(drawn), len(scores))


def _fit_class(
    scores: MaskScores, class_: int, maximize: str, weights: Floats, level: float
) -> tuple[float, float, float, float, bool]:
    """Return the threshold, its interval, its worth, and whether it could not be fitted."""
    worth = objective_grid(scores, class_, maximize)
    if np.isnan(worth).all():
        return _UNFITTED, math.nan, math.nan, math.nan, True
    chosen = _middle(worth)
    low = high = math.nan
    if len(weights):
        drawn = objective_grid(scores, class_, maximize, weights)
        usable = drawn[~np.isnan(drawn).all(axis=1)]
        places = [_middle(one) for one in usable]
        tail = (1 - level) / 2
        low, high = (
            np.quantile(scores.thresholds[places], [tail, 1 - tail], method="nearest") if places else (low, high)
        )
    return float(scores.thresholds[chosen]), float(low), float(high), float(worth[chosen]), False


def _middle(worth: Floats) -> int:
    """Return the middle of the places that are as good as the best."""
    best = np.flatnonzero(worth >= np.nanmax(worth) - _AS_GOOD)
    return int(best[len(best) // 2])


def _worth(
    objective: str, counts: ImageCounts, class_: int, gone: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
    weights: Floats | None,
) -> Floats:  # fmt: skip
    """Return the objective of a class when some right and wrong pixels of each image are removed."""
    right, wrong = (0, 0) if gone is None else gone
    hits = (counts.overlap[:, class_] - right).astype(np.float64)
    said = counts.predicted[:, class_].astype(np.float64) - right - wrong
    actual = counts.actual[:, class_].astype(np.float64)
    times = np.ones(len(hits)) if weights is None else weights
    if objective.startswith("image_"):
        each = divide(2 * hits, actual + said) if objective == "image_dice" else divide(hits, actual + said - hits)
        present = actual > 0
        return divide(times @ np.where(present, each, 0.0), times @ present.astype(np.float64))
    hits, said, actual = times @ hits, times @ said, times @ actual
    figure = divide(2 * hits, actual + said) if objective == "dice" else divide(hits, actual + said - hits)
    return np.where(actual > 0, figure, np.nan)
