"""What will go wrong with masks by the counts alone, said before the first step, with the keys that mend it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._arrays import Floats
from equipoise.data import LocationIndex, MaskPairs, index_locations
from equipoise.training._remedies import setting_words

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

_TURNED = math.log(4)  # log-odds that weights move a class by, so that its masks may come out empty or full
_KEPT = 0.5  # of the images and of the share of a class, at least, for a smaller size to pass without a word
_COMMON = 0.2  # of the pixels: rarer classes bear to be raised


def weight_doubts(
    recipe: Recipe, classes: Sequence[str], watched: Sequence[int], shares: Floats, seen: Floats
) -> list[str]:
    """Say where class weights turn the shares of classes round so far that masks may come out empty or full.

    Args:
        recipe: as it is run.
        classes: names.
        watched: indices of those that masks are about.
        shares: (classes,) of the pixels to learn from.
        seen: (classes,) the same as the loss sees them, class weights applied.
    """
    exclusive = watched[0] > 0
    balanced = 1 / len(classes) if exclusive else 0.5  # what weights to full balance make of a class is no doubt
    said = []
    for place in watched:
        share, now = float(shares[place]), float(seen[place])
        push = _log_odds(now) - _log_odds(share)
        low = push < -_TURNED and now < 0.99 * balanced
        high = push > _TURNED and now > 1.01 * balanced and share >= _COMMON
        if low or high:
            said.append(
                f"under the class weights {classes[place]} is {_percent(now)} of what the loss sees, where it is "
                f"{_percent(share)} of the pixels: masks may come out {'empty' if low else 'full'}. Take weights from "
                f"the counts of the pixels ({setting_words(_counted(recipe, exclusive))})."
            )
    return said


def band_doubts(recipe: Recipe, classes: Sequence[str], shares: Floats) -> list[str]:
    """Say where a band that was given excludes the true share of the pixels, so that what is right is called wrong.

    Args:
        recipe: as it is run.
        classes: names.
        shares: (classes,) of the pixels to learn from.
    """
    said = []
    for name, (low, high) in (recipe.masks.bands or {}).items():
        share = float(shares[list(classes).index(name)])
        if not low <= share <= high:
            said.append(
                f"{name} is {_percent(share)} of the pixels to learn from, outside of its band of {_percent(low)} to "
                f"{_percent(high)}: a right mask would be called wrong. Let the data say the band "
                f"({setting_words({'masks.bands': None})}), or correct it."
            )
    return said


def resize_doubts(
    originals: MaskPairs, pairs: MaskPairs, index: LocationIndex, *, cache: Path | None = None
) -> tuple[str, ...]:
    """Say which classes lose more than half of their images or of their share of the pixels by ``masks.resize``.

    Args:
        originals: as the files are, whose masks are counted once.
        pairs: the same at the size that is learned from; `originals` itself where nothing was resized.
        index: of `pairs`.
        cache: a folder for the counts.
    """
    if pairs is originals:
        return ()
    said = []
    old = index_locations(originals, cache=cache, seed=0)
    for place in range(1 if pairs.classes.exclusive else 0, len(pairs.classes.names)):
        before, after = (float(one.counts[:, place].sum()) / max(1, int(one.known.sum())) for one in (old, index))
        there, left = (int((one.counts[:, place] > 0).sum()) for one in (old, index))
        if left < _KEPT * there or after < _KEPT * before:
            said.append(
                f"{pairs.classes.names[place]} from {_percent(before)} to {_percent(after)} of the pixels and from "
                f"{there:,} to {left:,} images"
            )
    remedy = setting_words({"masks.resize": None})
    return (f"masks.resize makes small things vanish: {'; '.join(said)}. Raise it, or learn from patches of the files "
            f"as they are ({remedy}).",) if said else ()  # fmt: skip


def _counted(recipe: Recipe, exclusive: bool) -> dict[str, Any]:
    """Keys of weights from the counts, and those that cannot stay beside them."""
    # Weights of overlapping classes that sum to one would lie below those of the pixels without the class.
    scheme = {"scheme": "inverse", "normalise": "sum"} if exclusive else {"scheme": "sqrt", "normalise": "none"}
    weights = recipe.balance.weights
    stale = [key for key in ("values", "counts_from", "power", "beta", "smoothing", "offset", "floor", "cap")
             if getattr(weights, key) is not None]  # fmt: skip
    found: dict[str, Any] = scheme | dict.fromkeys(stale)
    if weights.multiplier != 1.0:
        found["multiplier"] = 1.0
    return {f"balance.weights.{key}": value for key, value in found.items()}


def _log_odds(share: float) -> float:
    return math.log(max(share, 1e-12)) - math.log(max(1.0 - share, 1e-12))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
