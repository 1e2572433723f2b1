"""Class weights from masks: what is counted, what becomes of the background, and where the counts came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._checks import ArgumentError, DataError, check_number, check_one_of, listed
from equipoise.balance.weights import ClassWeights, class_weights

if TYPE_CHECKING:
    from equipoise.labels import Census, MaskCensus

COUNTED = ("pixels", "images", "holding")
_POLICIES = ("include", "exclude")


def mask_weights(
    census: MaskCensus,
    scheme: str = "inverse",
    *,
    count: str | None = None,
    background: str | float = "include",
    normalise: str = "none",
    values: Mapping[str, float] | None = None,
    **settings: Any,
) -> ClassWeights:
    """Return one weight per class of masks; see `class_weights` for the schemes and their formulas.

    Args:
        census: from `count_masks_of`.
        scheme: a scheme of `class_weights`: inverse with ``normalise="sum"`` gives 0.4196 and 0.5804 to classes with
            58.04 % and 41.96 % of the pixels; ``median_frequency`` [1]; ``log`` is ENet's 1/ln(1.02 + share).
        count: n and N of the formulas: ``"pixels"``; ``"images"``, n those that hold the class; ``"holding"``, pixels
            with N only those of the images that hold the class. Default: ``"holding"`` for median_frequency, as its
            paper has it, ``"pixels"`` for the others. By images, effective_number is (1 - beta^N) / (1 - beta^n) of
            classes that overlap too: a class that is in every image weighs 1.
        background: of exclusive classes, the first. ``"include"``: a class as any other; ``"exclude"``: it is left out
            of the counts of the others and weighs 1; a number: it weighs that, and is counted as any other. Neither 1
            nor the number is touched by `normalise`.
        normalise: as `class_weights`.
        values: weights by hand for some classes.
        settings: ``floor``, ``cap``, ``multiplier``, ``power``, ``beta``, ``smoothing``, ``offset``.

    Raises:
        ArgumentError: an argument is out of range; classes that overlap have no background.
        DataError: a class has no pixel and no weight by hand, or is in every image where images are counted.

    References:
        [1] Eigen & Fergus, ICCV 2015, section 6.3.2: the median over the classes of freq(c), divided by freq(c), where
        freq(c) is the number of pixels of the class over that of all pixels in the images where it is present.

    Example:
        >>> from equipoise.labels import MaskCensus, MaskClasses, MaskImage
        >>> image = MaskImage("a.tif", (100, 100), (5804, 4196), (10_000, 10_000))
        >>> census = MaskCensus(MaskClasses.from_foreground(), (image,))
        >>> mask_weights(census, "inverse", normalise="sum").values.round(4).tolist()
        [0.4196, 0.5804]
    """
    count = count or ("holding" if scheme == "median_frequency" else "pixels")
    check_one_of(count, COUNTED, argument="count", function="mask_weights")
    policy = _checked_policy(background, census)
    counted = _counts(census, count, policy == "exclude")
    kind = "class_weight" if census.meaning.exclusive else "pos_weight"
    first = census.classes[0]
    others = {name: value for name, value in (values or {}).items() if policy == "include" or name != first}
    by_images = count == "images" and not census.meaning.exclusive
    whole = census.meaning.exclusive or (by_images and scheme == "effective_number")
    if by_images and not whole:
        _refuse_everywhere(census, counted, scheme, others)
    made = class_weights(
        _Exclusive.of(counted) if whole else counted, scheme, kind="class_weight" if whole else kind,
        normalise="none", values=others or None, **settings,
    )  # fmt: skip
    found = dict(zip(made.classes, made.values.tolist(), strict=True))
    kept = {} if policy == "include" else {first: 1.0 if policy == "exclude" else float(policy)}
    free = [name for name in found if name not in kept]
    check_one_of(normalise, ("none", "mean", "sum"), argument="normalise", function="class_weights")
    if normalise != "none":
        scale = sum(found[name] for name in free) / (len(free) if normalise == "mean" else 1)
        found |= {name: found[name] / scale for name in free}
    parameters = dict(made.parameters) | {"count": count}
    parameters |= {"normalise": normalise} if normalise != "none" else {}
    parameters |= {"background": background} if policy != "include" else {}
    weights = np.array([(found | kept)[name] for name in census.classes])
    return replace(
        made, classes=census.classes, values=weights, parameters=parameters, kind=kind, prevalence=census.prevalence
    )


def _refuse_everywhere(census: MaskCensus, counted: Census, scheme: str, by_hand: Mapping[str, float]) -> None:
    """Raise where a class is in every image: against no image without it, it would weigh nothing."""
    held = zip(counted.classes, counted.negatives.tolist(), strict=True)
    everywhere = [name for name, lacking in held if not lacking and name not in by_hand]
    if everywhere and scheme != "none":
        raise DataError(
            f"{census.source}: {listed(everywhere)} is in every image, so that by images {scheme} has nothing to weigh "
            "it against. Count pixels (--count pixels), or take effective_number."
        )


def counts_of(census: MaskCensus, scheme: str | None = None) -> dict[str, Any]:
    """Return where weights came from, for a recipe's ``balance.weights.counts_from``: fingerprint and pixels.

    Args:
        census: that they were made from.
        scheme: that made them.
    """
    return {
        **({} if scheme is None else {"scheme": scheme}),
        "source": census.source,
        "fingerprint": census.fingerprint,
        "unit": census.unit,
        "counts": dict(zip(census.classes, census.positives.tolist(), strict=True)),
    }


def check_counts(stored: Mapping[str, Any], census: MaskCensus | Census) -> None:
    """Raise when weights were made from other masks than these: the counts differ.

    Files that were only copied or touched have another fingerprint and the same counts, and pass.

    Raises:
        DataError: the masks have changed since; the message names the class that changed most for its size.
    """
    now = dict(zip(census.classes, census.positives.tolist(), strict=True))
    before = dict(stored["counts"])
    if before == now:
        return
    names = dict.fromkeys([*now, *before])
    name = max(names, key=lambda key: abs(before.get(key, 0) - now.get(key, 0)) / max(1, before.get(key, 0)))
    raise DataError(
        f"balance.weights of the recipe were made from other masks: {name} had {before.get(name, 0):,} pixels and has "
        f"{now.get(name, 0):,} in {census.source}. Make the weights again with `equipoise weights`, or take "
        "balance.weights.counts_from out of the recipe to keep them as they are."
    )


def _checked_policy(background: str | float, census: MaskCensus) -> str | float:
    if background == "include":
        return background
    if not census.meaning.exclusive:
        raise ArgumentError("`background` of mask_weights is for classes of which each pixel has one. Leave it out.")
    if background == "exclude":
        return background
    if isinstance(background, str):
        check_one_of(background, _POLICIES, argument="background", function="mask_weights")
    return check_number(background, argument="background", function="mask_weights", above=0.0)


def _counts(census: MaskCensus, count: str, without_background: bool) -> Census:
    from equipoise.labels import Census

    held = census.by_images() if count == "images" else census.by_pixels(holding=count == "holding")
    if not without_background:
        return held
    pixels, known = census.pixels[:, 1:], (census.known - census.pixels[:, :1])[:, 1:]
    if count == "images":
        pixels, known = (pixels > 0).astype(np.int64), (known > 0).astype(np.int64)
    elif count == "holding":
        known = known * (pixels > 0)
    pairs = zip(census.classes[1:], pixels.sum(axis=0).tolist(), (known - pixels).sum(axis=0).tolist(), strict=True)
    counts = {name: (p, n) for name, p, n in pairs}
    return Census.from_counts(counts, task="multilabel", unit=held.unit, source=census.source)


class _Exclusive:
    """Counts of each class against the rest, to be weighed as classes of which each pixel has one."""

    task = "multiclass"

    def __init__(self, census: Census) -> None:
        self.classes, self.positives, self.negatives = census.classes, census.positives, census.negatives
        self.source = census.source

    @classmethod
    def of(cls, census: Census) -> _Exclusive:
        """Return the counts of a census."""
        return cls(census)
