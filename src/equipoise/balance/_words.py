"""Weights and prevalences in plain words."""

from __future__ import annotations

import math
from collections.abc import Collection


def each(value: float) -> str:
    """Return a weight with as many digits as a reader needs.

    Example:
        >>> each(252.63), each(15.894), each(0.4196), each(1.0)
        ('252.6', '15.89', '0.4196', '1')
    """
    if math.isnan(value):
        return "-"
    if value >= 1e6 or value < 1e-3:
        return f"{value:.3g}"
    text = f"{value:.1f}" if value >= 100 else f"{value:.2f}" if value >= 10 else f"{value:.4f}"
    return text.rstrip("0").rstrip(".")


def counted(value: float) -> str:
    """Return how many of something: whole from ten upwards, one digit after the point below.

    Example:
        >>> counted(492.9), counted(2.0), counted(1.72), counted(0.25)
        ('493', '2', '1.7', '0.25')
    """
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 0.995 else f"{value:.2g}"


def weight_sentence(name: str, value: float, *, kind: str, than: tuple[str, float], unit: str = "rows") -> str:
    """Say what the weight of one class does. `than` is the lightest class, the measure of a class_weight."""
    if kind == "pos_weight":
        noun = "negative" if counted(value) == "1" else "negatives"
        return f"1 positive of {name} counts as {counted(value)} {noun}."
    lightest, smallest = than
    one = unit.removesuffix("s")
    if name == lightest:
        return f"1 {one} of {name} is the measure of the others."
    many = counted(value / smallest)
    return f"1 {one} of {name} counts as {many} {one if many == '1' else unit} of {lightest}."


def one_in(share: float) -> str:
    """Say a share as one in so many, or as so many in a hundred where that reads better.

    Example:
        >>> one_in(227 / 112_120), one_in(0.334), one_in(0.75), one_in(0.0)
        ('1 in 494', '1 in 3', '75 in 100', 'none')
    """
    if share <= 0.0:
        return "none"
    if share <= 0.05 or (share <= 0.5 and abs(1 / share - round(1 / share)) < 0.05 / share):
        return f"1 in {1 / share:,.0f}"
    if share > 0.995:
        return "nearly all" if share < 1.0 else "all"
    return f"{100 * share:.0f} in 100"


def weights_name(scheme: str, by_hand: Collection[str] | None = None, made_by: str | None = None) -> str:
    """Return what class weights are called wherever they are shown.

    Args:
        scheme: that computed them.
        by_hand: classes whose weight was given instead.
        made_by: the scheme that had made the given ones, as a recipe's ``balance.weights.counts_from`` says.

    Example:
        >>> weights_name("fourth_root"), weights_name("none", ["rare"]), weights_name("none", ["rare"], "inverse")
        ('fourth root', 'given by hand', 'inverse')
        >>> weights_name("inverse", ["rare"])
        'inverse; rare given by hand'
    """
    name = scheme.replace("_", " ")
    if not by_hand:
        return name
    if scheme != "none":
        return f"{name}; {', '.join(by_hand)} given by hand"
    return made_by.replace("_", " ") if made_by else "given by hand"


# Terms of losses that judge whole masks, and what each is called.
WHOLE_MASK_TERMS = {
    "dice": "Dice",
    "generalised_dice": "generalised Dice",
    "tversky": "Tversky",
    "cldice": "soft-clDice",
}


def no_prior_sentence(called: Collection[str]) -> str:
    """Say what losses of whole masks mean for probabilities; `called` are their names, at least one."""
    has, them = ("has", "it") if len(called) == 1 else ("have", "them")
    return (
        f"{' and '.join(called)} {has} no training prior: what minimises {them} is a mask and not a "
        "probability. No correction is taken off the scores; thresholds and calibration are fitted on validation "
        "pixels."
    )
