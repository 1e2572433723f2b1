"""Keys that are fine one by one but cannot be meant together, and keys that this version cannot run yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from equipoise._checks import listed
from equipoise._image_models import IMAGE_MODELS
from equipoise._mask_models import is_mask_model
from equipoise.recipe._mask_agreement import Issue, mask_issues, mask_obstacles

if TYPE_CHECKING:
    from equipoise.recipe._schema import Recipe

_DEFAULT_GAMMA = 2.0
SCHEMES_OF = {
    "power": ("power", "smoothed"),
    "beta": ("effective_number",),
    "smoothing": ("smoothed",),
    "offset": ("log",),
}

# Loss -> the tasks it is for, and the keys that belong to it; the same as `equipoise.losses.LOSSES`, without torch.
_EACH, _ONE = ("binary", "multilabel"), ("multiclass", "ordinal")
TASKS_OF: dict[str, tuple[str, ...]] = {
    "bce": _EACH, "cross_entropy": _ONE, "focal": (*_EACH, *_ONE), "asymmetric": _EACH,
    "logit_adjusted": (*_EACH, *_ONE), "balanced_softmax": _ONE, "ldam": _ONE, "distribution_balanced": _EACH,
    "squared_distance": ("ordinal",), "corn": ("ordinal",),
    "regression": ("ordinal",),
}  # fmt: skip
_SAID: dict[tuple[str, ...], str] = {_EACH: ": it takes a pos_weight", _ONE: ": it takes one class of many"}
LOSSES_OF = {
    "gamma": ("focal", "distribution_balanced"),
    "alpha": ("focal",),
    "smoothing": ("bce", "cross_entropy"),
    "gamma_positive": ("asymmetric",),
    "gamma_negative": ("asymmetric",),
    "margin": ("asymmetric",),
    "tau": ("logit_adjusted",),
    "max_margin": ("ldam",),
    "scale": ("ldam",),
    "rebalance": ("distribution_balanced",),
    "negative_scale": ("distribution_balanced",),
    "kappa": ("distribution_balanced",),
    "cross_entropy": ("squared_distance",),
}


def disagreements(recipe: Recipe) -> list[Issue]:
    """Return every pair of keys that contradict each other."""
    kinds = (_data_issues, mask_issues, _image_issues, _weights_issues, _loss_issues, _training_issues, _distil_issues)
    return [issue for kind in kinds for issue in kind(recipe)]


def obstacles(recipe: Recipe) -> list[Issue]:
    """Return what keeps a valid recipe from running: data that is not named, or keys of a later version."""
    found = mask_obstacles(recipe) if recipe.model.of_masks else _row_obstacles(recipe)
    if recipe.split.in_turn:
        found.append(
            (
                "split.folds",
                f"asks for {recipe.split.folds} runs, each with another fold as its test role. Train them with "
                "train_arms or on the command line, or name one: split.fold: 0",
            )
        )
    return found


def _row_obstacles(recipe: Recipe) -> list[Issue]:
    found = []
    if recipe.data.table is None:
        found.append(("data.table", "names no table. Give one: --set data.table=TABLE.csv"))
    if not recipe.data.labels and not (recipe.data.table or "").casefold().endswith(".npz"):
        found.append(("data.labels", 'names no label columns. Give them: --set "data.labels=[a, b, c]"'))
    if recipe.model.of_images and recipe.data.images is None:
        found.append(
            (
                "data.images",
                f"names no folder of images, which the model {recipe.model.name} needs. Give it: "
                "--set data.images=FOLDER",
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
        yield "split.folds", "cannot stand beside split.file, which gives the roles. Remove one of the two"
    if split.fold is not None and not split.fold < (split.folds or 0):
        there = (
            "there are no folds. Add split.folds" if split.folds is None else f"folds go from 0 to {split.folds - 1}"
        )
        yield "split.fold", f"{split.fold} is no fold: {there}"


_OF_TABLES = ("width", "depth", "ensemble", "embedding", "embedding_size", "bins", "skip")
_NOT_OF_MASKS = ("ensemble", "embedding", "embedding_size", "bins", "skip")
_OF_IMAGES = ("heads", "features", "attention_dropout", "drop_path")


def _image_issues(recipe: Recipe) -> Iterator[Issue]:
    data, model = recipe.data, recipe.model
    if model.of_masks:
        for key in (*_NOT_OF_MASKS, *_OF_IMAGES):
            if getattr(model, key) is not None:
                yield f"model.{key}", f"does not belong to models of masks; the model is {model.name}. Remove it"
        return
    if data.images is not None and not model.of_images:
        yield (
            "model.name",
            f"{model.name} is a model of tables, and data.images names images. Use {IMAGE_MODELS[-2]} or another of: "
            "equipoise models",
        )
    if data.images is not None and data.features is not None:
        yield "data.features", "cannot stand beside data.images: models of images see pixels alone. Remove it"
    for key in _OF_TABLES if model.of_images else _OF_IMAGES:
        if getattr(model, key) is not None:
            kind = "tables" if model.of_images else "images"
            yield f"model.{key}", f"belongs to models of {kind}; the model is {model.name}. Remove it"
    if not model.of_images and model.pretrained != "none":
        yield "model.pretrained", f"is for models of images; the model is {model.name}. Remove it"


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
    if (
        weights.values
        and weights.scheme != "none"
        and all_weighed(recipe.model.name, recipe.data.labels, weights.values)
    ):
        yield (
            "balance.weights.values",
            f"gives the weights by hand, so that scheme: {weights.scheme} would do nothing. Keep one of the two: "
            "balance.weights.values: null"
            f"{', balance.weights.counts_from: null' if weights.counts_from else ''}, or balance.weights.scheme: none",
        )
    if weights.counts_from is not None and not weights.values:
        yield (
            "balance.weights.counts_from",
            "says where balance.weights.values came from, and there are none. Remove it",
        )
    if weights.floor is not None and weights.cap is not None and weights.cap < weights.floor:
        yield "balance.weights.cap", f"must be at least floor ({weights.floor:g}); got {weights.cap:g}"
    for key in ("strength", "max_repeats", "negatives_share"):
        if getattr(sampling, key) is not None and sampling.method not in ("uniform", "target"):
            why = "nothing is sampled" if sampling.method == "none" else "older samplers have no target"
            yield (
                f"balance.sampling.{key}",
                f"works only with method: uniform or target; the method is {sampling.method}: {why}. Remove {key}",
            )
    if sampling.target is not None and sampling.method != "target":
        yield (
            "balance.sampling.target",
            f"works only with method: target; the method is {sampling.method}. Remove one of the two",
        )
    if sampling.method == "target" and sampling.target is None:
        yield "balance.sampling.method", "target needs shares. Add balance.sampling.target: {class: share}"


def all_weighed(model: str, labels: Collection[str], by_hand: Collection[str]) -> bool:
    """Whether weights by hand leave a scheme nothing to do; beside a scheme a row's class may be weighed alone."""
    return is_mask_model(model) or (len(labels) > 0 and set(labels) <= set(by_hand))


def _loss_issues(recipe: Recipe) -> Iterator[Issue]:
    loss, task = recipe.loss, recipe.data.task
    if loss.name != "auto" and task is not None and task not in TASKS_OF[loss.name]:
        fitting = [name for name, tasks in TASKS_OF.items() if task in tasks]
        weighed = _SAID.get(TASKS_OF[loss.name], "")
        yield "loss.name", f"{loss.name} is not for a {task} task{weighed}. Use one of {', '.join(fitting)}"
    taken = ("bce", "cross_entropy") if loss.name == "auto" else (loss.name,)
    for key, owners in LOSSES_OF.items():
        given = getattr(loss, key) != _DEFAULT_GAMMA if key == "gamma" else getattr(loss, key) is not None
        if given and not set(owners) & set(taken):
            yield (
                f"loss.{key}",
                f"belongs to {' and '.join(owners)}; the loss is {loss.name}. Remove it, or set loss.name: {owners[0]}",
            )


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


def _distil_issues(recipe: Recipe) -> Iterator[Issue]:
    distil = recipe.distil
    if not distil.teachers:
        return
    if not recipe.model.of_images:
        yield "distil.teachers", f"teach models of images; the model is {recipe.model.name}. Remove them"
    if recipe.loss.name in ("focal", "corn", "asymmetric", "regression"):
        yield (
            "distil.teachers",
            f"cannot teach under the loss {recipe.loss.name}, whose scores are bent away from log-odds. Use loss.name: "
            "auto, or logit_adjusted",
        )
    if distil.keep_scores and recipe.images.augment != "none":
        yield (
            "distil.keep_scores",
            f"is for images that are not varied; images.augment is {recipe.images.augment}. Set it to none, or "
            "keep_scores to false",
        )
