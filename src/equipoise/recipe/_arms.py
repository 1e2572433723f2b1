"""Recipes that hold several: arms, each a name and what it changes."""

from __future__ import annotations

from typing import Any

from equipoise._checks import ArgumentError, listed
from equipoise.recipe._read import recipe_from, with_value
from equipoise.recipe._schema import Recipe


def resolve_arms(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe of each arm, in order; everything that an arm does not name is equal by construction.

    A recipe with `split.folds` and no `split.fold` has an arm for each fold, ``fold-0`` and so on.

    Raises:
        ArgumentError: an arm changes a key that does not exist, to what it cannot be, or is told twice the same; the
            message names the arm.

    Example:
        >>> recipe = recipe_from({"arms": {"plain": None, "focal": {"loss.name": "focal"}}})
        >>> {name: arm.loss.name for name, arm in resolve_arms(recipe).items()}
        {'plain': 'auto', 'focal': 'focal'}
    """
    if recipe.split.in_turn:
        return _folds(recipe)
    base: Any = recipe.model_dump(mode="json", exclude={"arms"})
    found: dict[str, Recipe] = {}
    for name, changes in recipe.arms.items():
        values = base
        for key, value in (changes or {}).items():
            values = with_value(values, tuple(key.split(".")), value)
        arm = recipe_from(values | {"name": name}, source=f"arm {name}")
        twin = next((other for other, made in found.items() if _same(made, arm)), None)
        if twin is not None:
            raise ArgumentError(f"The arms {listed([twin, name])} are the same recipe. Remove one, or change it.")
        found[name] = arm
    return found


def _folds(recipe: Recipe) -> dict[str, Recipe]:
    """Return one recipe for each fold, which is its test role."""
    if recipe.arms:
        raise ArgumentError(
            f"The recipe {recipe.name} has arms and split.folds. Compare arms over folds with equipoise ablate, or "
            "remove one of the two."
        )
    values: Any = recipe.model_dump(mode="json")
    folds = range(recipe.split.folds or 0)
    return {
        f"fold-{fold}": recipe_from(with_value(values | {"name": f"fold-{fold}"}, ("split", "fold"), fold))
        for fold in folds
    }


def _same(one: Recipe, other: Recipe) -> bool:
    return one.without_log().model_copy(update={"name": other.name}) == other.without_log()
