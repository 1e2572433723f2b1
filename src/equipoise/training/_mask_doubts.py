"""What will go wrong with masks by the counts alone, said before the first step, with the keys that mend it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from equipoise._arrays import Floats
from equipoise.training._remedies import setting_words

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

_TURNED = math.log(4)  # log-odds that weights move a class by, so that its masks may come out empty or full
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
