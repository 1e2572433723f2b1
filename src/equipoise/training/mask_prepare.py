"""Everything that is decided about masks before the first step: pairs, counts, split, weights, patches and ledger."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, DataError, listed, nearest
from equipoise.balance import ClassWeights, Ledger, Preflight, check_counts, class_weights, preflight
from equipoise.data import (
    LocationIndex,
    MaskPairs,
    PixelScale,
    find_mask_pairs,
    index_locations,
    masks_of_other_values,
    measure_scale,
    read_mask_pairs,
    require_finite,
    require_mask_pairs,
    stable_seed,
)
from equipoise.data.mask_resize import resized_pairs
from equipoise.data.volumes import open_volume
from equipoise.labels import Census, Labels, Split, report_split
from equipoise.labels.mask_census import MaskCensus, MaskImage
from equipoise.labels.mask_classes import MaskClasses
from equipoise.losses import MaskLoss, make_mask_loss
from equipoise.models import prior_logits
from equipoise.samplers import PatchPlan, PatchStream, plan_patches
from equipoise.training._mask_doubts import band_doubts, resize_doubts, weight_doubts
from equipoise.training.prepare import make_split

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

Index = NDArray[np.int64]

CACHE = Path("runs") / "mask-cache"
_RULE = "> 0.5"
_LARGEST_PATCH = {2: 256, 3: 64}
_LEAST_PATCH = 16
_LEAST_BATCHES = 16  # of an epoch
_BATCH = {2: 8, 3: 2}
_PREFIXES = ("mask_", "masks_")


@dataclass(frozen=True, eq=False)
class MaskPrepared:
    """What a training of masks is about to do, computed from the recipe and the files alone.

    Attributes:
        recipe: as it was given.
        pairs: of all images, at the size that they are learned at. originals: as the files are.
        index: where each class lies in each of them.
        census: of all pixels. training_census: of those of the images to learn from.
        split: role of each image.
        train: numbers of the images to learn from. validation: to watch. test: that nothing is fitted on.
        weights: of the pixels in the loss, or None.
        patch_size: pixels along each axis. spacing: size of a pixel along each axis of a patch.
        scale: of the pixels of the images to learn from.
        plan: which patches are drawn.
        loss: that the recipe asks for.
        ledger: every correction in force.
        notes: sentences worth showing before the training starts.
        resized: what becomes of classes that nearly vanish at the size that is learned from.
    """

    recipe: Recipe
    pairs: MaskPairs
    originals: MaskPairs
    index: LocationIndex
    census: Census
    training_census: Census
    split: Split
    train: Index
    validation: Index
    test: Index
    weights: ClassWeights | None
    patch_size: tuple[int, ...]
    spacing: tuple[float, ...]
    scale: PixelScale
    plan: PatchPlan
    loss: MaskLoss
    ledger: Ledger
    notes: tuple[str, ...]
    resized: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.pairs.classes.names)

    @property
    def exclusive(self) -> bool:
        """Whether each pixel has one class."""
        return bool(self.pairs.classes.exclusive)

    @property
    def watched(self) -> tuple[int, ...]:
        """Indices of the classes that masks are about: all, or all but the first of exclusive ones, the background."""
        return tuple(range(1 if self.exclusive else 0, len(self.classes)))

    @property
    def batch_size(self) -> int:
        """Patches of a micro-batch."""
        asked = self.recipe.training.batch_size
        return _BATCH[len(self.patch_size)] if asked == "auto" else int(asked)

    @property
    def prior(self) -> ClassFloats:
        """(classes,) what the final bias starts at: the log-odds (or log-shares) of the pixels, corrections applied."""
        census = self.training_census
        return np.asarray(
            prior_logits(
                census.positives,
                census.positives + census.negatives,
                multiclass=self.exclusive,
                log_odds_shift=self.ledger.log_odds_shift,
            )
        )

    @property
    def weighted_shares(self) -> ClassFloats:
        """(classes,) share of each class of what the loss of pixels sees, class weights applied."""
        shares = self.training_census.prevalence
        if self.weights is None:
            return np.asarray(shares)
        weighed = shares * self.weights.values
        return np.asarray(weighed / weighed.sum() if self.exclusive else weighed / (weighed + 1.0 - shares))

    def channels(self) -> int:
        """Return the channels of an image."""
        return int(open_volume(self.pairs.images[0]).channels)

    def stream(self, seed: int) -> PatchStream:
        """Return the patches of every epoch."""
        return PatchStream(self.plan, seed=seed)

    def preflight(self) -> Preflight:
        """Look at what will be drawn, from the plan alone."""
        stream = self.stream(stable_seed(self.recipe.seed, 0))
        batch = self.batch_size * self.recipe.training.accumulate
        return preflight(
            _Epochs(stream),
            self.plan.labels,
            plan=self.plan.plan,
            batch_size=min(batch, stream.draws),
            batches=1,
            strict=self.recipe.balance.sampling.strict,
        )

    def sentences(self) -> list[str]:
        """Say what is learned from what, how common each class is, and where a class is missing."""
        told = [self._images()]
        shares, images = self.census.prevalence, self.index.images_with
        each = [
            f"{self.classes[place]}: {100 * float(shares[place]):.3g} % of the pixels, in {int(images[place]):,} images"
            for place in range(len(self.classes))
        ]
        told += [f"{'; '.join(each)}.", *self._absent()]
        if self.weights is not None:
            values = zip(
                self.classes, self.weights.values.tolist(), self.training_census.positives.tolist(), strict=True
            )
            said = [f"{name} {value:.4g} (from {count:,} pixels)" for name, value, count in values]
            told.append(f"Class weights ({self.weights.name}): {', '.join(said)}.")
        told.append(self.plan.describe())
        return told

    def warnings(self) -> list[str]:
        """Say what will go wrong by the counts alone: weights that turn shares round, and bands without the truth."""
        shares = np.asarray(self.training_census.prevalence)
        found = weight_doubts(self.recipe, self.classes, self.watched, shares, self.weighted_shares)
        return [*self.resized, *found, *band_doubts(self.recipe, self.classes, shares)]

    def _images(self) -> str:
        sides = sorted({self.pairs.space(place) for place in range(len(self.pairs))})
        size = " x ".join(map(str, sides[0])) + (f" to {' x '.join(map(str, sides[-1]))}" if len(sides) > 1 else "")
        patch = " x ".join(map(str, self.patch_size))
        return (
            f"{len(self.pairs):,} images of {size} pixels, in patches of {patch}: {len(self.train):,} to learn from, "
            f"{len(self.validation):,} for validation, {len(self.test):,} for the test."
        )

    def _absent(self) -> list[str]:
        """Say which class is in none of the images of a role."""
        said = []
        for role, rows in (("learn from", self.train), ("validate on", self.validation), ("test on", self.test)):
            missing = [self.classes[place] for place in self.watched if not self.index.counts[rows, place].any()]
            if missing and len(rows):
                said.append(f"Warning: {listed(missing)} is in none of the {len(rows):,} images to {role}.")
        return said


class _Epochs:
    """The rows of a patch plan that an epoch draws, as a sampler that a pre-flight can look at."""

    def __init__(self, stream: PatchStream) -> None:
        self._stream, self._epoch = stream.stream, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._stream.indices(self._epoch).tolist())


def prepare_masks(recipe: Recipe) -> MaskPrepared:
    """Read, count, split and plan what a recipe of masks asks for. Nothing is trained; only caches are written.

    Raises:
        ArgumentError: a key of the recipe cannot work with these images.
        DataError: a file cannot be used; the message names it.
    """
    recipe.require_runnable()
    originals = _pairs(recipe)
    notes = list(require_mask_pairs(originals))
    pairs = resized_pairs(originals, recipe.masks.resize, CACHE)
    index = index_locations(pairs, cache=CACHE, seed=0)
    census = pixel_census(pairs, index, np.arange(len(pairs)))
    _require_foreground(pairs, census)
    notes += masks_of_other_values(originals, index)
    _check_counts(recipe, originals, census)
    split = make_split(recipe, presence_labels(pairs, index))
    _check_bands(recipe, pairs)
    train, validation, test = (np.flatnonzero(split.roles == role) for role in ("train", "validation", "test"))
    for name, rows in (("train", train), ("validation", validation)):
        if not len(rows):
            raise ArgumentError(f"The {name} role is empty. Give it a share in split.fractions, or images in the data.")
    _require_apart(originals, split.roles)
    training_census = pixel_census(pairs, index, train)
    patch, spacing = _patch(recipe, pairs)
    scale = measure_scale(pairs.take(train), recipe.masks.scale)
    require_finite(pairs.take(np.concatenate([validation, test])))
    notes += require_mask_pairs(pairs.take(train), patch_size=patch)
    weights = _weights(recipe, training_census)
    loss = _loss(recipe, pairs.classes, weights, training_census)
    entries = [] if weights is None or not loss.has_prior else [weights]
    correction = loss.correction()
    return MaskPrepared(
        recipe=recipe,
        pairs=pairs,
        originals=originals,
        index=index,
        census=census,
        training_census=training_census,
        split=split,
        train=train,
        validation=validation,
        test=test,
        weights=weights,
        patch_size=patch,
        spacing=spacing,
        scale=scale,
        plan=_plan(recipe, pairs, index, train, patch),
        loss=loss,
        ledger=Ledger([*entries, *([] if correction is None else [correction])], census=training_census),
        notes=tuple(notes),
        resized=resize_doubts(originals, pairs, index, cache=CACHE),
    )


def mask_classes_of(recipe: Recipe) -> MaskClasses:
    """Return the classes that a recipe says masks have."""
    data = recipe.data
    if len(data.masks) > 1 or (data.classes is not None and len(data.classes) == len(data.masks)):
        names = data.classes or tuple(_class_name(column) for column in data.masks)
        if len(names) != len(data.masks):
            raise ArgumentError(
                f"data.classes names {len(names)} classes, data.masks {len(data.masks)} columns. Name one a column."
            )
        return MaskClasses.from_columns(names, data.foreground or _RULE, ignore=data.ignore)
    if data.mask_values is not None:
        return MaskClasses.from_values(data.mask_values, ignore=data.ignore)
    names = data.classes or ("background", "foreground")
    return MaskClasses.from_foreground(data.foreground or _RULE, names=names, ignore=data.ignore)


def _class_name(column: str) -> str:
    return next((column.removeprefix(prefix) for prefix in _PREFIXES if column.startswith(prefix)), column) or column


def _pairs(recipe: Recipe) -> MaskPairs:
    data, classes = recipe.data, mask_classes_of(recipe)
    if data.table is None:
        assert data.images is not None  # require_runnable has seen to it
        return find_mask_pairs(data.images, data.masks[0], classes)
    return read_mask_pairs(
        data.table,
        classes,
        image=data.image,
        masks=list(data.masks) if not classes.exclusive else data.masks[0],
        groups=data.groups or "none",
        ids=data.ids,
        folder=data.images,
    )


def pixel_census(pairs: MaskPairs, index: LocationIndex, images: Sequence[int] | Index) -> Census:
    """Return the pixels of each class in some images, as a census.

    Args:
        pairs: of all images.
        index: of them.
        images: which of them.
    """
    counts, known = index.counts[images].sum(axis=0), int(index.known[images].sum())
    if pairs.classes.exclusive:
        table: dict[str, object] = dict(zip(pairs.classes.names, counts.tolist(), strict=True))
        return Census.from_counts(table, task="multiclass", unit="pixels", source="masks")
    table = {name: (count, known - count) for name, count in zip(pairs.classes.names, counts.tolist(), strict=True)}
    return Census.from_counts(table, task="multilabel", unit="pixels", source="masks")


def mask_census(pairs: MaskPairs, index: LocationIndex) -> MaskCensus:
    """Return the pixels of each class image by image, at the size that is learned from.

    Args:
        pairs: of all images.
        index: of them.
    """
    classes = len(pairs.classes.names)
    images = [
        MaskImage(
            str(name), pairs.space(place), tuple(index.counts[place].tolist()), (int(index.known[place]),) * classes
        )
        for place, name in enumerate(pairs.ids)
    ]
    return MaskCensus(pairs.classes, tuple(sorted(images, key=lambda image: image.name)))


def presence_labels(pairs: MaskPairs, index: LocationIndex) -> Labels:
    """Return which images hold which class, as labels that a split can be fair to."""
    first = 1 if pairs.classes.exclusive else 0
    held = (index.counts[:, first:] > 0).astype(np.float32)
    names = pairs.classes.names[first:]
    single = len(names) == 1
    return Labels(
        "binary" if single else "multilabel",
        names,
        held[:, 0] if single else held,
        np.array(pairs.ids, dtype=object),
        groups=None if pairs.groups is None else np.array(pairs.groups, dtype=object),
        source="the set of images",
    )


def _check_counts(recipe: Recipe, originals: MaskPairs, census: Census) -> None:
    """Raise where the weights of the recipe were made from other masks than these."""
    stored = recipe.balance.weights.counts_from
    if stored is None:
        return
    if recipe.masks.resize is not None:  # the counts are of the masks as their files are
        census = pixel_census(originals, index_locations(originals, cache=CACHE, seed=0), np.arange(len(originals)))
    check_counts(stored.model_dump(), census)


def _require_apart(pairs: MaskPairs, roles: NDArray[Any]) -> None:
    """Raise where one file is an image of two roles: what is learned by heart would be judged."""
    met: dict[str, int] = {}
    for place, image in enumerate(pairs.images):
        first = met.setdefault(os.path.realpath(image), place)
        if roles[first] != roles[place] and roles[first] and roles[place]:
            raise DataError(
                f'{image} is the image of "{pairs.ids[first]}" ({roles[first]}) and of "{pairs.ids[place]}" '
                f"({roles[place]}), and would be learned from and judged. Keep one of the two rows, or name a column "
                "that groups them."
            )


def _check_bands(recipe: Recipe, pairs: MaskPairs) -> None:
    names = pairs.classes.names
    for section, given in (("bands", recipe.masks.bands), ("target", recipe.masks.target)):
        for name in given or {}:
            if name not in names:
                raise ArgumentError(
                    f'masks.{section} names "{name}", which is no class of these masks ({listed(names)}).'
                    f"{nearest(name, names)} Correct the name, or set masks.{section}: null."
                )


def _require_foreground(pairs: MaskPairs, census: Census) -> None:
    first = 1 if pairs.classes.exclusive else 0
    empty = [name for name, count in zip(census.classes, census.positives.tolist(), strict=True) if count == 0]
    lacking = [name for name in empty if name in census.classes[first:]]
    if lacking:
        every = len(lacking) == len(census.classes) - first
        what = "Every mask is empty" if every else f"No mask holds {listed(lacking)}"
        raise DataError(
            f"{what}: {pairs.classes.words()}. Check data.foreground or data.mask_values, or leave the class out."
        )


def _weights(recipe: Recipe, census: Census) -> ClassWeights | None:
    settings = recipe.balance.weights
    if settings.scheme == "none" and settings.values is None and settings.multiplier == 1.0:
        return None
    absent = [name for name, count in zip(census.classes, census.positives.tolist(), strict=True) if count == 0]
    if absent and settings.values is None:
        where = "" if recipe.split.fold is None else f" when fold {recipe.split.fold} is judged"
        raise DataError(
            f"None of the images to learn from holds {listed(absent)}{where}, so that class weights cannot be made of "
            "counts. Take another split.seed, add images, or set balance.weights.scheme: none."
        )
    made = class_weights(census, **settings.model_dump(exclude_none=True, exclude={"counts_from"}))
    if settings.counts_from is None or settings.counts_from.scheme is None:
        return made
    return replace(made, parameters={**made.parameters, "made_by": settings.counts_from.scheme})


def _loss(recipe: Recipe, classes: MaskClasses, weights: ClassWeights | None, census: Census) -> MaskLoss:
    settings = recipe.loss
    terms = settings.terms or "auto"
    made = make_mask_loss(
        terms,
        overlapping=not classes.exclusive,
        weights=weights,
        gamma=settings.gamma,
        alpha=settings.alpha if "focal" in terms else None,
        batch=settings.batch_dice,
        background=settings.background,
        prevalence=census.prevalence,
        **settings.mask_settings,
    )
    for pixel in made.pixel_losses.values():
        pixel.classes = classes.names  # type: ignore[assignment]
    return made


def _patch(recipe: Recipe, pairs: MaskPairs) -> tuple[tuple[int, ...], tuple[float, ...]]:
    spaces = [pairs.space(place) for place in range(len(pairs))]
    asked = recipe.masks.patch_size
    if len(spaces[0]) not in _LARGEST_PATCH:
        raise DataError(
            f"{pairs.images[0]} has {len(spaces[0])} axes of space, {' x '.join(map(str, spaces[0]))}. Give images in "
            "2-D or 3-D: save the pictures of a series one by one."
        )
    if asked != "auto" and len(asked) > len(spaces[0]):
        raise ArgumentError(
            f"masks.patch_size has {len(asked)} sides, and the images have {len(spaces[0])} axes. Give as many sides."
        )
    if asked == "auto":
        axes = len(spaces[0])
        middle = np.median(np.array(spaces), axis=0)
        patch = tuple(int(min(_LARGEST_PATCH[axes], max(_LEAST_PATCH, side // 16 * 16))) for side in middle)
    else:
        patch = tuple(asked)
    volume = open_volume(pairs.images[0])
    if volume.spacing is None:
        return patch, (1.0,) * len(patch)
    steps = [step for step, letter in zip(volume.spacing, volume.axes, strict=True) if letter != "S"][-len(patch) :]
    return patch, tuple(steps) if all(step > 0 for step in steps) else (1.0,) * len(patch)


def _plan(recipe: Recipe, pairs: MaskPairs, index: LocationIndex, train: Index, patch: tuple[int, ...]) -> PatchPlan:
    settings = recipe.masks
    counts = index.counts[train]
    if settings.patches == "auto":
        batch = _BATCH[len(patch)] if recipe.training.batch_size == "auto" else int(recipe.training.batch_size)
        pixels = sum(math.prod(pairs.space(int(place))) for place in train)
        draws = max(_LEAST_BATCHES * batch, math.ceil(pixels / math.prod(patch)))
    else:
        draws = int(settings.patches)
    return plan_patches(
        counts,
        pairs.classes.names,
        exclusive=pairs.classes.exclusive,
        target=settings.target if settings.target is not None else "uniform",
        directed=settings.planned,
        draws=draws,
    )


def split_sentences(prepared: MaskPrepared) -> list[str]:
    """Say how many images of each role hold each class."""
    report = report_split(prepared.split, presence_labels(prepared.pairs, prepared.index))
    said = []
    for place, name in enumerate(report.classes):
        counts = [f"{int(report.positives[part, place])} {role}" for part, role in enumerate(report.parts)]
        said.append(f"images with {name}: {', '.join(counts)}")
    return [f"By role: {'; '.join(said)}."]
