"""Keys that are fine one by one but cannot be meant together, and keys that this version cannot run yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from equipoise._checks import listed

if TYPE_CHECKING:
    from equipoise.recipe._schema import Recipe

_DEFAULT_GAMMA = 2.0
SCHEMES_OF = {
    "power": ("power", "smoothed"),
    "beta": ("effective_number",),
    "smoothing": ("smoothed",),
    "offset": ("log",),
}

Issue = tuple[str, str]  # a dotted key, and what is wrong with it followed by what to do


def disagreements(recipe: Recipe) -> list[Issue]:
    """Return every pair of keys that contradict each other."""
    return [*_data_issues(recipe), *_weights_issues(recipe), *_loss_issues(recipe), *_training_issues(recipe)]


def obstacles(recipe: Recipe) -> list[Issue]:
    """Return what keeps a valid recipe from running: data that is not named, or keys of a later version."""
    found = []
    if recipe.data.table is None:
        found.append(("data.table", "names no table. Give one: --set data.table=TABLE.csv"))
    if not recipe.data.labels:
        found.append(("data.labels", 'names no label columns. Give them: --set "data.labels=[a, b, c]"'))
    if recipe.split.folds is not None:
        found.append(
            (
                "split.folds",
                "is known but not available in this version. Set split.folds: null; for members that take turns at "
                "validation set training.members",
            )
        )
    return found


def _data_issues(recipe: Recipe) -> Iterator[Issue]:
    data, split = recipe.data, recipe.split
    both = sorted(set(data.labels) & set(data.features or ()))
    if both:
        yield "data.features", f"names a label: {listed(both)}. A label can never be a feature; remove it"
    if len(set(data.labels)) < len(data.labels):
        yield "data.labels", "names a column twice. Remove one of the two"
    if data.task == "binary" and len(data.labels) > 1:
        yield "data.task", "binary has one label column. Set multilabel, or name one column"
    if split.file is not None and split.folds is not None:
        yield "split.folds", "cannot stand beside split.file, which holds the folds. Remove one of the two"


def _weights_issues(recipe: Recipe) -> Iterator[Issue]:
    weights, sampling = recipe.balance.weights, recipe.balance.sampling
    for key, schemes in SCHEMES_OF.items():
        if getattr(weights, key) is not None and weights.scheme not in schemes:
            yield (
                f"balance.weights.{key}",
                f"works only with scheme: {' or '.join(schemes)}; the scheme is {weights.scheme}. Remove {key}",
            )
    if weights.scheme == "power" and weights.power is None:
        yield "balance.weights.scheme", "power needs an exponent. Add balance.weights.power, such as 0.5"
    if weights.floor is not None and weights.cap is not None and weights.cap < weights.floor:
        yield "balance.weights.cap", f"must be at least floor ({weights.floor:g}); got {weights.cap:g}"
    if sampling.target is not None and sampling.method != "target":
        yield (
            "balance.sampling.target",
            f"works only with method: target; the method is {sampling.method}. Remove one of the two",
        )
    if sampling.method == "target" and sampling.target is None:
        yield "balance.sampling.method", "target needs shares. Add balance.sampling.target: {class: share}"


def _loss_issues(recipe: Recipe) -> Iterator[Issue]:
    loss, task = recipe.loss, recipe.data.task
    if loss.name == "bce" and task in ("multiclass", "ordinal"):
        yield "loss.name", f"bce is not for a {task} task: it takes a pos_weight. Use cross_entropy or focal"
    if loss.name == "cross_entropy" and task in ("binary", "multilabel"):
        yield (
            "loss.name",
            f"cross_entropy is not for a {task} task: it takes one class of many. Use bce or focal",
        )
    if loss.name != "focal" and loss.alpha is not None:
        yield "loss.alpha", f"belongs to focal; the loss is {loss.name}. Remove it, or set loss.name: focal"
    if loss.name != "focal" and loss.gamma != _DEFAULT_GAMMA:
        yield "loss.gamma", f"belongs to focal; the loss is {loss.name}. Remove it, or set loss.name: focal"


def _training_issues(recipe: Recipe) -> Iterator[Issue]:
    training, split = recipe.training, recipe.split
    schedule = recipe.balance.schedule
    if schedule is not None and schedule.from_epoch > training.epochs:
        yield (
            "balance.schedule.from_epoch",
            f"must be at most training.epochs ({training.epochs}): only epochs from there on can be kept. Lower it",
        )
    if training.members == 1 and split.file is None and split.fractions[1] == 0:
        yield "split.fractions", "has no validation share, which training.members: 1 needs. Give it one"
    if training.monitor == "qwk" and recipe.data.task not in (None, "ordinal"):
        yield "training.monitor", f"qwk needs ordinal grades; the task is {recipe.data.task}. Use macro_f1"
    if training.minimum_learning_rate > training.learning_rate:
        yield (
            "training.minimum_learning_rate",
            f"must be at most learning_rate ({training.learning_rate:g}). Lower it",
        )
