"""`evaluate_masks`: every figure of masks with an interval that draws images or patients, never pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, check_number
from equipoise.evidence.intervals import check_level, score_interval, small_sample, variance_of
from equipoise.evidence.metric_table import MetricRow, MetricTable
from equipoise.evidence.resampling import Resampling, draw_counts
from equipoise.metrics.averages import average_classes
from equipoise.metrics.mask_figures import mask_figures, pixel_calibration_error
from equipoise.metrics.mask_scores import ImageCounts, MaskScores
from equipoise.scores.ids import hash_ids

_CALIBRATION_REPLICATES = 200
_STILL = 1e-20  # a variance of replicates that differ by rounding
_OVER_ALL = ("predicted_share", "actual_share", "pixel_calibration_error")
_OF_EVERYTHING = ("recall", "false_alarm_rate", "empty_rate", "predicted_share")
_OF_NOTHING = (*_OF_EVERYTHING, "dice", "iou", "precision", "image_dice", "image_iou")
_EMPTY_RULE = (
    "An image that does not hold a class is in no mean of its Dice: painting it there is a false alarm, and lowers the "
    "pooled figures."
)


@runtime_checkable
class JudgedRule(Protocol):
    """What can be judged: a rule that turns scores of masks into counts, and knows what it was fitted on."""

    def counts(self, scores: MaskScores, /) -> ImageCounts: ...  # noqa: D102
    def check_unseen(self, scores: MaskScores, /) -> None: ...  # noqa: D102


def evaluate_masks(
    scores: MaskScores,
    rule: JudgedRule | str | Sequence[float],
    *,
    counts: ImageCounts | None = None,
    trivial: bool = False,
    distances: Mapping[str, NDArray[np.floating[Any]]] | None = None,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> MetricTable:
    """Return the figures of masks: per class, and their mean over the classes but the background.

    See `mask_figures` for what each is, and for the rule of empty masks; with pixel_calibration_error, of the
    probabilities themselves. Intervals come from a bootstrap that draws groups (patients) where the scores have them,
    else images; figures between 0 and 1 get Wilson's interval of as many trials as vary alike, distances quantiles.
    The support of a figure is the images that it is over: those that hold the class, those that do not for
    false_alarm_rate, all for shares and calibration, those with a distance for distances.

    A figure of a class that no replicate moves, such as 0 in a single image, has an interval that its few images give.
    What that adds to the mean over classes is added to the mean's interval as independent of the rest, and the note of
    the mean says so: upper end m + sqrt((u - m)^2 + sum of (u_c - m_c)^2 / k^2) for k classes (MOVER: Zou and Donner,
    Statistics in Medicine 27, 2008, 1693-1702, equation 3), and the lower end alike.

    Args:
        scores: usually of the test role.
        rule: a `MaskRule`, ``"argmax"``, or a threshold for each class.
        counts: of the same images where they were changed after the rule (small parts removed); None: the rule's.
        trivial: whether `counts` are of an answer that looks at no image (see `trivial_counts`): figures that follow
            from the answer alone, such as the Dice of 0 of empty masks, have no width.
        distances: name -> (images, classes) distances of boundaries, NaN where an image has none, such as "hd95".
        replicates: of the bootstrap; 0 for no intervals.
        level: coverage.
        seed: the same seed and data give the same table, whatever the order of the images.

    Raises:
        ArgumentError: the rule was fitted on some of these images, or an argument is out of range.
    """
    check_level(level, "evaluate_masks")
    check_number(replicates, argument="replicates", function="evaluate_masks", at_least=0)
    if isinstance(rule, JudgedRule):
        rule.check_unseen(scores)
        found = rule.counts(scores) if counts is None else counts
    else:
        found = scores.counts(rule) if counts is None else counts
    order = np.argsort(scores.ids.astype(str))  # sums in one order, whatever that of the images
    scores, found = scores.select(order), found.select(order)
    distances = {name: _checked_distance(name, one, found)[order] for name, one in (distances or {}).items()}
    member, clusters = number_groups(scores)
    weights = None
    if replicates and clusters > 1:
        drawn = np.concatenate([one.T for one in draw_counts(clusters, Resampling(int(replicates), seed))])
        weights = drawn[:, member].astype(np.float64)
    builder = _Builder(scores, found, distances, weights, member, level, trivial=trivial)
    notes = [_EMPTY_RULE]
    if scores.role == "train":
        notes.append("These images were trained on: the figures say nothing about others.")
    if replicates and weights is None:
        notes.append("All images are of one group: there is nothing to resample, so there are no intervals.")
    return MetricTable(
        rows=builder.rows(), task="segmentation", classes=scores.classes, role=scores.role, cases=len(scores),
        clusters=clusters, clustered=scores.groups is not None, level=float(level),
        replicates=0 if weights is None else int(replicates), seed=seed, notes=tuple(notes),
    )  # fmt: skip


def trivial_counts(scores: MaskScores) -> dict[str, ImageCounts]:
    """Return the counts of answers that need no model: nothing anywhere, and every class everywhere.

    Of exclusive classes "nothing" is the first class everywhere, and "everywhere" each of the others in its turn, as
    far as its own figures go.
    """
    actual, known = scores.actual(), scores.known()
    empty, full = np.zeros(len(scores.classes), np.int64), np.ones(len(scores.classes), np.int64)
    if scores.exclusive:
        empty[0], full[0] = 1, 0
    return {
        name: ImageCounts(actual * said, actual, known * said, known)
        for name, said in (("empty", empty), ("full", full))
    }


def _checked_distance(name: str, distance: NDArray[np.floating[Any]], counts: ImageCounts) -> Floats:
    if distance.shape != counts.overlap.shape:
        raise ArgumentError(
            f'The distances "{name}" have the shape {distance.shape}, the images and classes '
            f"{counts.overlap.shape}. Measure the same images."
        )
    return np.asarray(distance, np.float64)


def number_groups(scores: MaskScores) -> tuple[NDArray[np.int64], int]:
    """Return the number of the group of each image, and how many there are; without groups each image is its own."""
    keys, numbers = np.unique(hash_ids(scores.ids if scores.groups is None else scores.groups), return_inverse=True)
    return np.asarray(numbers, np.int64), len(keys)


class _Builder:
    """Turns counts and their replicates into rows."""

    def __init__(
        self, scores: MaskScores, counts: ImageCounts, distances: dict[str, NDArray[np.floating[Any]]],
        weights: Floats | None, member: NDArray[np.int64], level: float, *, trivial: bool,
    ) -> None:  # fmt: skip
        self.scores, self.counts, self.level, self.member = scores, counts, level, member
        self.values: dict[str, Floats] = dict(mask_figures(counts))
        self.drawn: dict[str, Floats] = {} if weights is None else dict(mask_figures(counts, weights))
        for name, distance in distances.items():
            self.values[name] = _means(distance, np.ones((1, len(scores))))[0]
            if weights is not None:
                self.drawn[name] = _means(distance, weights)
        self._calibrate(weights)
        self.foreground = np.arange(len(scores.classes)) > (0 if scores.exclusive else -1)
        self.over = {name: _images_of(name, counts, distances) for name in self.values}
        self.sure = {name: _follows(name, counts) & trivial for name in self.values}

    def _calibrate(self, weights: Floats | None) -> None:
        every = range(len(self.scores.classes))
        name = "pixel_calibration_error"
        self.values[name] = np.array([pixel_calibration_error(self.scores, class_) for class_ in every])
        if weights is not None:
            some = weights[:_CALIBRATION_REPLICATES]
            self.drawn[name] = np.array(
                [[pixel_calibration_error(self.scores, class_, one) for class_ in every] for one in some]
            )

    def rows(self) -> tuple[MetricRow, ...]:
        """Return the means over classes first, then each class."""
        rows = [self._macro(name) for name in self.values] if len(self.scores.classes) > 1 else []
        for class_, named in enumerate(self.scores.classes):
            for name, values in self.values.items():
                value, over = float(values[class_]), self.over[name][:, class_]
                low, high = self._ends_of_class(name, class_)
                said = "no" if np.isnan(value) else "yes"
                note = self._note(name, value, over)
                rows.append(MetricRow(name, None, named, value, low, high, int(over.sum()), said, note))
        return tuple(rows)

    def _note(self, name: str, value: float, over: NDArray[np.bool_]) -> str:
        if np.isnan(value):
            return "no image is without it" if name == "false_alarm_rate" else "no image holds the class"
        groups = self._groups(over)
        unit = "group" if self.scores.groups is not None else "image"
        return f"rests on {groups} {unit}{'s' * (groups != 1)}" if groups < 10 else ""

    def _groups(self, over: NDArray[np.bool_]) -> int:
        return len(np.unique(self.member[over]))

    def _ends_of_class(self, name: str, class_: int) -> tuple[float, float]:
        value = float(self.values[name][class_])
        if self.sure[name][class_] and name in self.drawn:
            return value, value
        drawn = self.drawn.get(name, np.zeros((0, len(self.scores.classes))))[:, class_]
        return self._ends(name, value, drawn, self._groups(self.over[name][:, class_]))

    def _macro(self, name: str) -> MetricRow:
        chosen = np.flatnonzero(self.foreground)
        names = [self.scores.classes[class_] for class_ in chosen]
        mean = average_classes(self.values[name][chosen], classes=names)
        taken = chosen[~np.isnan(self.values[name][chosen])]
        still: list[int] = []
        low = high = float("nan")
        if len(taken) and name in self.drawn:
            each = self.drawn[name][:, taken]
            # A class of which a replicate has no case counts there with its mean over the others.
            with np.errstate(invalid="ignore"):
                middle = np.nansum(each, axis=0) / np.maximum((~np.isnan(each)).sum(axis=0), 1)
            drawn = np.where(np.isnan(each), middle, each).mean(axis=1)
            still = [class_ for class_ in taken.tolist() if not _unbounded(name) and self._still(name, class_)]
            if self.sure[name][taken].all():
                low = high = mean.value
            else:
                moves = len(still) < len(taken)
                ends = self._ends(name, mean.value, drawn, len(np.unique(self.member))) if moves else (mean.value,) * 2
                low, high = self._widened(name, mean.value, ends, still, len(taken))
        notes = [f"without {', '.join(mean.skipped)}"] if mean.skipped else []
        notes += [f"widened by the interval of {self.scores.classes[class_]}" for class_ in still]
        said = f"{mean.evaluable} of {mean.total}"
        return MetricRow(name, "macro", None, mean.value, low, high, len(self.scores), said, "; ".join(notes))

    def _still(self, name: str, class_: int) -> bool:
        """Whether no replicate moves a figure that other images could have moved."""
        return not self.sure[name][class_] and bool(variance_of(self.drawn[name][:, class_]) < _STILL)

    def _widened(
        self, name: str, mean: float, ends: tuple[float, float], still: list[int], classes: int
    ) -> tuple[float, float]:
        """Return the ends of a mean over classes with what the classes that no replicate moves add to them."""
        below, above = mean - ends[0], ends[1] - mean
        for class_ in still:
            value = float(self.values[name][class_])
            low, high = self._ends_of_class(name, class_)
            below, above = math.hypot(below, (value - low) / classes), math.hypot(above, (high - value) / classes)
        return max(mean - below, 0.0), min(mean + above, 1.0)

    def _ends(self, name: str, value: float, drawn: Floats, groups: int) -> tuple[float, float]:
        usable = drawn[~np.isnan(drawn)]
        if np.isnan(value) or len(usable) <= len(drawn) / 2 or not len(usable):
            return float("nan"), float("nan")
        if name not in self.values or value < 0 or value > 1 or _unbounded(name):
            tail = (1 - self.level) / 2
            return float(np.quantile(usable, tail)), float(np.quantile(usable, 1 - tail))
        variance = float(variance_of(usable) * small_sample(groups))
        return score_interval(value, variance, max(groups, 1), level=self.level)


def _images_of(name: str, counts: ImageCounts, distances: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return (images, classes): which images a figure is over."""
    if name in distances:
        return np.asarray(~np.isnan(distances[name]))
    if name in _OVER_ALL:
        return counts.known > 0
    return np.asarray(counts.actual == 0 if name == "false_alarm_rate" else counts.actual > 0)


def _follows(name: str, counts: ImageCounts) -> NDArray[np.bool_]:
    """Return (classes,): whether a figure follows from predicting nothing, or everything, whatever the images hold."""
    nothing = (counts.predicted == 0).all(axis=0)
    everything = (counts.predicted == counts.known).all(axis=0) & ~nothing
    found: NDArray[np.bool_] = (nothing & (name in _OF_NOTHING)) | (everything & (name in _OF_EVERYTHING))
    return found


def _unbounded(name: str) -> bool:
    return name.startswith("hd") or name.endswith("distance")


def _means(distance: NDArray[np.floating[Any]], weights: Floats) -> Floats:
    """Return (replicates, classes) means over the images that have a distance."""
    known = ~np.isnan(distance)
    total, count = weights @ np.where(known, distance, 0.0), weights @ known.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(count > 0, total / count, np.nan))
