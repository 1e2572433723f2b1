"""What to do about a finding: a sentence, and the keys of the recipe that it means with values that they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

Remedy = tuple[str, dict[str, Any]]

_FEW_EPOCHS = 20
_MEMBERS = 10
_REPEATS = 5


def remedy(kind: str, recipe: Recipe, *, exclusive: bool, over: bool = False, few: bool = False) -> Remedy:
    """Return what helps against a kind of finding under a recipe: a sentence, and recipe keys with values.

    Args:
        kind: see `equipoise.evidence.finding.KINDS`.
        recipe: as it was run.
        exclusive: whether exactly one class is true of each row.
        over: for ``dominates``, that the fitted threshold does it, not 0.5.
        few: for ``unclear``, that positives are few.
    """
    if kind == "dominates":
        return _against_dominance(recipe, exclusive, over)
    if kind == "unclear":
        return _more_positives(recipe) if few else _better_ranking(recipe, "The ranking has to become better")
    return _REMEDIES[kind](recipe, exclusive)


def setting_words(settings: dict[str, Any]) -> str:
    """Return settings as a recipe writes them: ``training.epochs: 40``."""
    return ", ".join(f"{key}: {_plain(value)}" for key, value in settings.items())


def _plain(value: Any) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _said(before: str, settings: dict[str, Any], after: str = "") -> Remedy:
    return f"{before} ({setting_words(settings)}){after}.", settings


def _longer(recipe: Recipe) -> dict[str, Any]:
    return {"training.epochs": max(2 * recipe.training.epochs, _FEW_EPOCHS)}


def _corrected(recipe: Recipe) -> bool:
    weights = recipe.balance.weights
    return weights.scheme != "none" or weights.values is not None


def _constant(recipe: Recipe, exclusive: bool) -> Remedy:
    return _said("Dead units do this, and features that hold nothing; lower the rate", slower(recipe, 0.1))


def _no_ranking(recipe: Recipe, exclusive: bool) -> Remedy:
    return _better_ranking(recipe, "No threshold helps")


def _better_ranking(recipe: Recipe, start: str) -> Remedy:
    alpha, given = recipe.loss.alpha, "images" if recipe.model.of_images else "features"
    if recipe.loss.name == "focal" and isinstance(alpha, float) and alpha < 0.5:
        return _said(
            f"{start}. Focal loss with so small an alpha weighs positives down; turn that round",
            {"loss.alpha": "balanced"} | (_longer(recipe) if recipe.training.epochs < _FEW_EPOCHS else {}),
        )
    if recipe.training.epochs < _FEW_EPOCHS:
        return _said(f"{start}. Train longer", _longer(recipe), f"; if that changes nothing, it is the {given}")
    if recipe.balance.sampling.method == "none":
        settings = {"balance.sampling.method": "uniform"}
        return _said(f"{start}. Show its positives more often", settings, f", or give {given} that tell it")
    return _said(f"{start}. Learn more slowly", slower(recipe), f", or give {given} that tell it")


def _threshold_only(recipe: Recipe, exclusive: bool) -> Remedy:
    maximize = recipe.decision.maximize
    if exclusive:
        settings = {"decision.maximize": "f1" if maximize in ("argmax", "accuracy") else maximize}
        return _said("Let fitted factors of the classes decide, not the most likely class", settings)
    return _said("Judge it at the threshold fitted on validation", {"decision.maximize": maximize})


def _more_positives(recipe: Recipe) -> Remedy:
    # A member more is a training more: of images that takes too long to advise.
    if not recipe.model.of_images and (recipe.training.members == 1 or recipe.split.fractions[1] == 0):
        return _said("Let members take turns, so that every row is judged", {"training.members": _MEMBERS})
    rest = {"split.fractions": [0.6, 0.3, 0.1]}
    return _said("Only more positives would tell; a larger validation role has some", rest)


def _against_dominance(recipe: Recipe, exclusive: bool, over: bool) -> Remedy:
    if over:
        settings = {"decision.maximize": "balanced_accuracy"}
        return _said("Ask of the thresholds that they also spare negatives", settings)
    if exclusive and recipe.decision.maximize in ("argmax", "accuracy"):
        return _said("Let fitted factors of the classes decide", {"decision.maximize": "f1"})
    if not _corrected(recipe):
        return _said("Give the other classes more weight", {"balance.weights.scheme": "sqrt"})
    return _said("Let the loss be, and fit the decision instead", {"balance.weights.scheme": "none"} | _bare(recipe))


def _bare(recipe: Recipe) -> dict[str, Any]:
    """Keys of the weights that cannot stay without a scheme."""
    given = recipe.balance.weights.model_dump(include={"power", "beta", "smoothing", "offset", "values", "counts_from"})
    return {f"balance.weights.{key}": None for key, value in given.items() if value is not None}


def _unlearning(recipe: Recipe, exclusive: bool) -> Remedy:
    return _said("Learn more slowly", slower(recipe))


def slower(recipe: Recipe, factor: float = 0.3) -> dict[str, Any]:
    """Return the keys of a lower learning rate, to one digit of it."""
    rate = max(recipe.training.learning_rate * factor, 1e-9)
    found: dict[str, Any] = {"training.learning_rate": float(f"{rate:.1g}")}
    if recipe.training.minimum_learning_rate > found["training.learning_rate"]:
        found["training.minimum_learning_rate"] = 0.0
    return found


def _diverging(recipe: Recipe, exclusive: bool) -> Remedy:
    return _said("The best epoch is kept. Learn more slowly", slower(recipe))


def _stopped_early(recipe: Recipe, exclusive: bool) -> Remedy:
    return _said("Let it go on", _longer(recipe), ", and let patience end it")


def _overfitting(recipe: Recipe, exclusive: bool) -> Remedy:
    sampling = recipe.balance.sampling
    if sampling.method in ("uniform", "target") and sampling.max_repeats != 1:
        most = sampling.max_repeats if isinstance(sampling.max_repeats, float | int) else 20
        settings: dict[str, Any] = {"balance.sampling.max_repeats": float(min(_REPEATS, max(1, most // 2)))}
        return _said("Draw the same few positives less often", settings)
    if recipe.model.name in ("mlp", "tabm"):
        dropout = min(0.6, (recipe.model.dropout or 0.1) + 0.2)
        return _said("Let the model rely on less at a time", {"model.dropout": round(dropout, 2)})
    decay = max(3 * recipe.training.weight_decay, 0.1)
    return _said("Pull its weights towards zero", {"training.weight_decay": round(decay, 6)})


_REMEDIES: dict[str, Callable[[Recipe, bool], Remedy]] = {
    "constant": _constant,
    "no_ranking": _no_ranking,
    "threshold_only": _threshold_only,
    "unlearning": _unlearning,
    "diverging": _diverging,
    "stopped_early": _stopped_early,
    "overfitting": _overfitting,
}
