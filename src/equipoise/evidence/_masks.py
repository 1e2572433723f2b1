"""Masks as something that arms are compared on: counts of images in place of rows of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, DataError, listed, nearest
from equipoise.evidence._drawn import Resting, bare_metric
from equipoise.evidence._ends import Cases
from equipoise.evidence.mask_table import JudgedRule, number_groups
from equipoise.evidence.pairing import check_groups, check_ids, refuse_rows
from equipoise.evidence.resampling import Resampling, draw_counts
from equipoise.metrics.mask_figures import mask_figures
from equipoise.metrics.mask_scores import ImageCounts, MaskScores

# What masks can be compared in: of all pixels pooled, and means over the images that hold a class.
COMPARED = ("dice", "iou", "precision", "recall", "image_dice", "image_iou")


@dataclasses.dataclass(frozen=True, eq=False)
class JudgedMasks:
    """Scores of masks and the rule that decides on them."""

    scores: MaskScores
    rule: JudgedRule | None

    @property
    def decision(self) -> JudgedRule:
        """The rule.

        Raises:
            ArgumentError: there is none: no figure of masks is without a decision.
        """
        if self.rule is None:
            raise ArgumentError("Masks are compared at a decision: give rule_a and rule_b, such as a MaskRule of each.")
        return self.rule

    def check_unseen(self) -> None:
        """Raise `ArgumentError` where the rule was fitted on images that it is to be judged on."""
        self.decision.check_unseen(self.scores)

    def columns(self, metric: str, plan: Resampling, class_metric: str | None) -> tuple[Floats, Floats]:
        """Return the metric and after it that of each class, and both of every replicate.

        Args:
            metric: full name, such as "macro_image_dice"; with one class "image_dice" will do.
            plan: of the replicates, which draw patients, or images where there are none.
            class_metric: bare name of the figure of each class; None: that of `metric`.

        Returns:
            (1 + classes,) and (replicates, 1 + classes); of a single class that alone.
        """
        watched = watched_classes(self.scores)
        bare = _bare(metric, len(watched))
        counts, (member, clusters) = self.decision.counts(self.scores), number_groups(self.scores)
        drawn = np.concatenate([one.T for one in draw_counts(clusters, plan)])[:, member].astype(np.float64)
        point, replicates = mask_figures(counts), mask_figures(counts, drawn)
        named = class_metric or bare
        found = [_with_mean(one[bare][..., watched], one[named][..., watched], point[bare][watched])
                 for one in (point, replicates)]  # fmt: skip
        return found[0], found[1]


@dataclasses.dataclass(frozen=True, eq=False)
class CountedMasks:
    """A decision whose counts of each image are known, such as those that a run stored, small parts removed.

    Args:
        ids: of the images.
        known: counts of each, in that order.
        rule: that they are from: it says what it was fitted on.
    """

    ids: NDArray[Any]
    known: ImageCounts
    rule: JudgedRule

    def counts(self, scores: MaskScores) -> ImageCounts:
        """Return the counts of the images of the scores.

        Raises:
            DataError: one of them was not counted.
        """
        place = {str(name): at for at, name in enumerate(self.ids)}
        lacking = [str(name) for name in scores.ids if str(name) not in place]
        if lacking:
            raise DataError(f"No counts are stored of {listed(lacking, limit=3)}. Train the run again.")
        return self.known.select([place[str(name)] for name in scores.ids])

    def check_unseen(self, scores: MaskScores) -> None:
        """Raise `ArgumentError` where the rule was fitted on some of these images."""
        self.rule.check_unseen(scores)


def watched_classes(scores: MaskScores) -> NDArray[np.int64]:
    """Return the numbers of the classes that masks are about: of exclusive ones all but the first, the background."""
    return np.arange(1 if scores.exclusive else 0, len(scores.classes))


def _with_mean(values: Floats, classes: Floats, point: Floats) -> Floats:
    """Return the mean over the classes that can be evaluated, and after it each class; a single class alone."""
    if values.shape[-1] == 1:
        return classes
    taken = values[..., ~np.isnan(point)]
    if taken.ndim > 1:
        # A class of which a replicate has no case counts there with its mean over the others.
        known = ~np.isnan(taken)
        middle = np.where(known, taken, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        taken = np.where(known, taken, middle)
    mean = taken.mean(axis=-1, keepdims=True) if taken.shape[-1] else np.full((*taken.shape[:-1], 1), np.nan)
    return np.concatenate([mean, classes], axis=-1)


def _bare(metric: str, classes: int) -> str:
    bare = bare_metric(metric)
    known = [f"macro_{name}" for name in COMPARED] + (list(COMPARED) if classes == 1 else [])
    if metric not in known:
        raise ArgumentError(
            f"`metric` of masks must be one of {listed(known, limit=40)}; got {metric!r}.{nearest(metric, known)}"
        )
    return bare


def rest_masks(scores: MaskScores, metric: str, class_metric: str | None = None) -> Resting:
    """Return what figures of masks rest on: the patients, or the images, that hold a class."""
    watched = watched_classes(scores)
    member, clusters = number_groups(scores)
    held, pixels = scores.actual()[:, watched] > 0, scores.actual()[:, watched].sum(axis=0)
    holding = np.array([len(np.unique(member[column])) for column in held.T], np.int64)
    names = tuple(scores.classes[place] for place in watched)
    single = len(names) == 1
    # Every image has pixels that are not of a class, so that those with it are the fewer.
    cases = Cases(holding, np.full(len(names), clusters), clusters, scores.groups is not None)
    known = np.maximum(scores.known()[:, watched].sum(axis=0), 1)
    return Resting(
        metric, () if single else names, cases, held.sum(axis=0), not single, class_metric or bare_metric(metric),
        all_classes=names, shares=pixels / known, unit="images",
    )  # fmt: skip


def pair_masks(first: MaskScores, second: MaskScores, names: Sequence[str]) -> tuple[MaskScores, MaskScores]:
    """Return the scores of the same images in the order of their ids.

    Raises:
        ArgumentError: other classes or another role.
        DataError: other images, other masks or other groups; the message names some.
    """
    called = (names[0], names[1])
    if (first.classes, first.exclusive) != (second.classes, second.exclusive):
        raise ArgumentError(
            f"{called[0]} has the classes {listed(first.classes)}, {called[1]} has {listed(second.classes)}. Compare "
            "masks of the same classes in the same order."
        )
    if first.role != second.role:
        raise ArgumentError(
            f"{called[0]} has the role {first.role}, {called[1]} the role {second.role}. Compare the same images."
        )
    left, right = (one.select(np.argsort(one.ids.astype(str), kind="stable")) for one in (first, second))
    check_ids(left, right, called)
    apart = (left.actual() != right.actual()).any(axis=1) | (left.known() != right.known()).any(axis=1)
    refuse_rows(apart, left, "masks", called, "Compare both at the size and with the masks of one.")
    check_groups(left, right, called)
    return left, right
