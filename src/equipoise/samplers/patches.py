"""Which patches are drawn: the class by plan, then an image that has it, then a place in it; the rest anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, check_number, listed, nearest
from equipoise.balance import SamplingPlan, plan_sampling
from equipoise.labels import Labels
from equipoise.samplers.stream import IndexStream

ANYWHERE = "(anywhere)"  # patches at a place of an image that is drawn evenly
_FUNCTION = "plan_patches"


@dataclass(frozen=True, eq=False)
class PatchPlan:
    """What patches are drawn for. Its rows are pairs of an image and a class that it holds, or the image as a whole.

    The plan is a `SamplingPlan` over these rows, and its labels are those rows' classes: streams, the pre-flight and
    what they say work on it as on any other plan.

    Attributes:
        plan: how often each row is drawn; `draws` patches an epoch.
        labels: (rows,) which class each row is drawn for; ``(anywhere)`` for none.
        images: (rows,) the image of each row.
        targets: (rows,) the class of each row, -1 for none.
        absent: classes that no image holds, so that nothing can be drawn for them.
    """

    plan: SamplingPlan
    labels: Labels
    images: NDArray[np.int64]
    targets: NDArray[np.int64]
    absent: tuple[str, ...] = ()

    def describe(self) -> str:
        """Say in words what is drawn."""
        shares = zip(self.plan.classes, self.plan.shares.tolist(), strict=True)
        said = ", ".join(f"{share:.1%} {name}" for name, share in shares)
        absent = f" No image holds {listed(self.absent)}." if self.absent else ""
        return f"{self.plan.draws:,} patches an epoch: {said}.{absent}"


def plan_patches(
    counts: NDArray[np.integer[Any]],
    classes: Sequence[str],
    *,
    exclusive: bool,
    target: str | Mapping[str, float] = "uniform",
    directed: float = 0.5,
    draws: int,
) -> PatchPlan:
    """Return how often patches are drawn for each class and in each image.

    A share `directed` of the draws is for a class: of those each class has its share by `target`, spread evenly over
    the images that hold it, so that a class in 2 of 54 images is drawn as often as one in all. The rest is drawn
    anywhere, evenly over the images.

    Args:
        counts: (images, classes) pixels of each class in each image, `LocationIndex.counts`.
        classes: names.
        exclusive: whether class 0 is the background, for which no draw is directed.
        target: ``"uniform"``, equal shares; ``"sqrt"``, by the root of the pixels of each class; or a mapping of
            classes to shares, that sum to one.
        directed: share of the draws that is for a class, in [0, 1). nnU-Net has 1/3.
        draws: patches of an epoch.

    Raises:
        ArgumentError: a class of `target` is unknown, shares do not sum to one, or a number is out of range.
        DataError: there is no image, or `target` names a class that no image holds.

    Example:
        >>> plan = plan_patches(np.array([[90, 10, 0], [80, 15, 5]]), ["ground", "vessel", "spot"], exclusive=True,
        ...                     draws=100)
        >>> plan.describe()
        '100 patches an epoch: 25.0% vessel, 25.0% spot, 50.0% (anywhere).'
    """
    counts = np.asarray(counts)
    check_number(directed, argument="directed", function=_FUNCTION, at_least=0.0)
    if directed >= 1.0:
        raise ArgumentError(f"`directed` of {_FUNCTION} must be below 1, so that the rest is seen; got {directed}.")
    check_number(draws, argument="draws", function=_FUNCTION, at_least=1)
    if counts.ndim != 2 or counts.shape[1] != len(classes) or not len(counts):
        raise DataError(
            f"{_FUNCTION} needs the pixels of {len(classes)} classes in one image or more. Count the masks."
        )
    candidates = range(1 if exclusive else 0, len(classes))
    present = [class_ for class_ in candidates if counts[:, class_].any()]
    absent = tuple(classes[class_] for class_ in candidates if class_ not in present)
    shares = _shares(target, classes, present, counts)
    if directed == 0.0 or not present:
        return _anywhere(len(counts), int(draws), absent)
    rows = [(image, class_) for class_ in present for image in np.flatnonzero(counts[:, class_]).tolist()]
    images = np.array([image for image, _ in rows] + list(range(len(counts))), np.int64)
    targets = np.array([class_ for _, class_ in rows] + [-1] * len(counts), np.int64)
    names = (*(classes[class_] for class_ in present), ANYWHERE)
    places = {class_: place for place, class_ in enumerate(present)} | {-1: len(present)}
    values = np.array([places[class_] for class_ in targets.tolist()], np.float32)
    labels = Labels("multiclass", names, values, np.arange(len(values)), source="patches")
    wanted = {classes[class_]: directed * share for class_, share in zip(present, shares, strict=True)}
    plan = plan_sampling(labels, {"shares": wanted | {ANYWHERE: 1.0 - directed}}, max_repeats=None, draws=int(draws))
    return PatchPlan(plan, labels, images, targets, absent)


def _shares(
    target: str | Mapping[str, float], classes: Sequence[str], present: list[int], counts: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the share of each class that is present, of the directed draws."""
    if isinstance(target, str):
        if target not in ("uniform", "sqrt"):
            raise ArgumentError(
                f'`target` of {_FUNCTION} must be "uniform", "sqrt" or a share for each class; got {target!r}.'
                f"{nearest(target, ('uniform', 'sqrt'))}"
            )
        weights = np.ones(len(present)) if target == "uniform" else np.sqrt(counts[:, present].sum(axis=0))
        return np.asarray(weights / max(float(weights.sum()), 1e-300), np.float64)
    held = {classes[class_] for class_ in present}
    for name in target:
        if name not in classes:
            raise ArgumentError(f'`target` of {_FUNCTION} names "{name}", no class.{nearest(name, classes)}')
        if name not in held:
            raise DataError(f'`target` of {_FUNCTION} names "{name}", which no image holds. Leave it out.')
    missing = [name for name in held if name not in target]
    total = sum(target.values())
    if missing or abs(total - 1.0) > 1e-6 or min(target.values()) <= 0:
        raise ArgumentError(
            f"`target` of {_FUNCTION} must give each class of {listed(sorted(held))} a share above 0, together 1; got "
            f"{dict(target)}."
        )
    return np.array([target[classes[class_]] for class_ in present], np.float64)


def _anywhere(images: int, draws: int, absent: tuple[str, ...]) -> PatchPlan:
    labels = Labels("multiclass", (ANYWHERE,), np.zeros(images, np.float32), np.arange(images), source="patches")
    plan = SamplingPlan(
        task="multiclass", classes=(ANYWHERE,), method="natural", draws=draws,
        combination_labels=np.ones((1, 1), np.int8), combination_counts=np.array([images], np.int64),
        combination_weights=np.array([1.0 / images]), combination_codes=np.zeros(images, np.int32),
    )  # fmt: skip
    return PatchPlan(plan, labels, np.arange(images), np.full(images, -1), absent)


@dataclass(frozen=True, eq=False)
class PatchDraws:
    """Some draws of an epoch.

    Attributes:
        epoch: from 0.
        numbers: (draws,) their numbers in the epoch.
        images: (draws,) the image of each.
        targets: (draws,) the class that each is for, -1 for none.
    """

    epoch: int
    numbers: NDArray[np.int64]
    images: NDArray[np.int64]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)


class PatchStream:
    """The patches of every epoch of a plan, a pure function of (seed, epoch, number of the draw).

    Any part of any epoch can be asked for by itself: a run that is killed goes on with the same patches, and processes
    that share an epoch take every so manieth draw.

    Args:
        plan: of `plan_patches`.
        seed: of every epoch.
        replacement: as in `IndexStream`.
    """

    def __init__(self, plan: PatchPlan, *, seed: int = 0, replacement: bool = True) -> None:
        self.plan, self.stream = plan, IndexStream(plan.plan, seed=seed, replacement=replacement)

    @property
    def draws(self) -> int:
        """Patches of an epoch."""
        return self.stream.draws

    def patches(self, epoch: int, start: int = 0, stop: int | None = None, step: int = 1) -> PatchDraws:
        """Return draws `start`, `start + step`, ... before `stop` of an epoch."""
        rows = self.stream.indices(epoch, start, stop, step)
        numbers = start + step * np.arange(len(rows), dtype=np.int64)
        return PatchDraws(epoch, numbers, self.plan.images[rows], self.plan.targets[rows])
