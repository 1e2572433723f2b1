"""What to do about masks that stay empty, are full, or lose a class: a sentence, and keys of the recipe with values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equipoise.training._remedies import Remedy, setting_words, slower

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

_BLAMED = 0.7  # log-odds, about a factor of two: weights that push so far in the direction seen are the cause to try
_FAR = math.log(3)  # of the odds: beyond it a band from the data would not hold the prediction either
_COMMON = 0.2  # of the pixels: classes so common need no weights to be found
_PLANNED = 0.67
_GENTLER = {"inverse": "sqrt", "balanced": "sqrt", "sqrt": "fourth_root", "fourth_root": "none"}  # the next one
_WHOLE_MASK = ("dice", "generalised_dice", "tversky", "cldice")


@dataclass(frozen=True)
class MaskCase:
    """How a class stands.

    Attributes:
        name: of the class. actual: its true share of the pixels. predicted: the predicted one.
        band: the predicted shares that are believable.
        seen: the true share of the pixels that were predicted; NaN: `actual`.
        weighted: what share of the loss's pixels it is under the class weights; `actual` without weights.
    """

    name: str
    actual: float
    predicted: float
    band: tuple[float, float]
    weighted: float
    seen: float = math.nan

    @property
    def truth(self) -> float:
        """The share that a right prediction would have."""
        return self.actual if math.isnan(self.seen) else self.seen

    @property
    def low(self) -> bool:
        """Whether too little is predicted: less than there is, whatever a band says that was given."""
        return self.predicted < self.truth

    @property
    def excluded(self) -> bool:
        """Whether the band is to blame: the truth lies outside of it, and the prediction is not far from the truth."""
        far = abs(_log_odds(self.predicted) - _log_odds(self.truth)) > _FAR
        return not far and not self.band[0] <= self.truth <= self.band[1]

    @property
    def by_weights(self) -> bool:
        """Whether the class weights push in the direction seen, by enough to be the cause to try."""
        push = _log_odds(self.weighted) - _log_odds(self.actual)
        return push < -_BLAMED if self.low else push > _BLAMED


def mask_remedy(kind: str, recipe: Recipe, case: MaskCase) -> Remedy:
    """Return what helps against a finding about a class of masks.

    Args:
        kind: a kind of `equipoise.evidence.finding.KINDS` that begins with ``mask_``.
        recipe: as it was run.
        case: how the class stands.
    """
    if kind == "mask_lost":
        return _said("Learn more slowly", slower(recipe))
    if kind == "mask_border":
        return _said("Let every window see more of what lies around it", {"masks.overlap": 0.75})
    if case.by_weights:
        return _other_weights(recipe, case)
    if kind == "mask_share" and case.excluded and recipe.masks.bands:
        return _said("What there is lies outside of the band itself; let the data say it", {"masks.bands": None})
    return _more_of_it(recipe) if case.low else _less_of_it(recipe)


def _other_weights(recipe: Recipe, case: MaskCase) -> Remedy:
    weights = recipe.balance.weights
    # Without weights a share is what the pixels say; a class that is rare is then found late, if at all.
    by_hand = weights.values is not None or weights.multiplier != 1.0
    rarer = "sqrt" if by_hand else _GENTLER.get(weights.scheme, "sqrt")
    scheme = "none" if case.actual >= _COMMON else rarer
    settings: dict[str, Any] = {"balance.weights.scheme": scheme, "balance.weights.multiplier": 1.0}
    for key in ("values", "counts_from", "power", "beta", "smoothing", "offset", "floor", "cap"):
        if getattr(weights, key) is not None:
            settings[f"balance.weights.{key}"] = None
    if weights.multiplier == 1.0:
        del settings["balance.weights.multiplier"]
    instead = "Leave the weights out" if scheme == "none" else "Take them from the counts"
    return _said(
        f"The class weights ({weights.title}) make {case.name} {_percent(case.weighted)} of what the loss sees, "
        f"where it is {_percent(case.actual)} of the pixels. {instead}",
        settings,
    )


def _more_of_it(recipe: Recipe) -> Remedy:
    terms = recipe.loss.terms or "auto"
    if recipe.masks.planned < _PLANNED:
        return _said("Show patches that hold it more often", {"masks.planned": _PLANNED})
    if terms != "auto" and not any(name in terms for name in _WHOLE_MASK):
        return _said("A loss of whole masks does not forgive an empty one", {"loss.terms": f"{terms} + dice"})
    if recipe.balance.weights.scheme == "none" and recipe.balance.weights.values is None:
        return _said("Weigh its pixels more", {"balance.weights.scheme": "sqrt"})
    return _said("Train longer", {"training.epochs": 2 * recipe.training.epochs})


def _less_of_it(recipe: Recipe) -> Remedy:
    if recipe.masks.planned > 0.5:
        return _said("Show more patches as they come", {"masks.planned": 0.33})
    return _said("Learn more slowly", slower(recipe))


def _said(before: str, settings: dict[str, Any]) -> Remedy:
    return f"{before} ({setting_words(settings)}).", settings


def _log_odds(share: float) -> float:
    share = min(max(share, 1e-9), 1 - 1e-9)
    return math.log(share) - math.log1p(-share)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
