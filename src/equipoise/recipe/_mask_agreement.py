"""Keys of recipes of masks: which belong to them alone, which they cannot have, and what they cannot run without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from equipoise._checks import listed, nearest

if TYPE_CHECKING:
    from equipoise.recipe._schema import Recipe

Issue = tuple[str, str]  # a dotted key, and what is wrong with it followed by what to do

MASK_TERM_KEYS = ("false_positives", "false_negatives", "iterations")
MASK_LOSS_KEYS = ("terms", "batch_dice", "background", *MASK_TERM_KEYS)
# The names of `equipoise.losses.MASK_LOSSES`, without torch: for classes that exclude one another, and that overlap.
EXCLUSIVE_TERMS = ("cross_entropy", "focal", "dice", "generalised_dice", "tversky", "cldice")
OVERLAPPING_TERMS = ("bce", *EXCLUSIVE_TERMS[1:])
MASK_MONITORS = ("dice", "iou")
_OF_DATA = ("masks", "mask_values", "foreground", "ignore")
_OF_MODEL = ("stages", "deep_supervision")


def mask_issues(recipe: Recipe) -> Iterator[Issue]:
    """Yield keys of masks in a recipe that has none, and what cannot be meant together in one that has."""
    if recipe.model.of_masks:
        yield from _data(recipe)
        yield from _settings(recipe)
        yield from _terms(recipe)
    else:
        yield from _elsewhere(recipe)


def mask_obstacles(recipe: Recipe) -> list[Issue]:
    """Return what keeps a valid recipe of masks from running: data that is not named."""
    data = recipe.data
    found = []
    if data.table is None and data.images is None:
        found.append(
            (
                "data.table",
                "names no table with a column of images and one of masks. Give it: --set data.table=PAIRS.csv; or two "
                "folders: --set data.images=FOLDER --set data.masks=FOLDER",
            )
        )
    if not data.masks:
        found.append(
            ("data.masks", "names no masks. Give their column, or one column for each class: --set data.masks")
        )
    if data.table is not None and data.groups is None:
        found.append(
            (
                "data.groups",
                "is not said. Name the column of patients, or say that images are independent: --groups none",
            )
        )
    return found


def _elsewhere(recipe: Recipe) -> Iterator[Issue]:
    name = recipe.model.name
    for key in _OF_DATA:
        if getattr(recipe.data, key) not in (None, ()):
            yield f"data.{key}", f"is for models of masks; the model is {name}. Set model.name: unet, or remove it"
    if recipe.data.task == "segmentation":
        yield "data.task", f"segmentation needs a model of masks; the model is {name}. Set model.name: unet"
    for key in ("terms", *MASK_TERM_KEYS):
        if getattr(recipe.loss, key) is not None:
            yield f"loss.{key}", f"is for models of masks; the model is {name}. Set loss.name, or remove it"
    for key in _OF_MODEL:
        if getattr(recipe.model, key) is not None:
            yield f"model.{key}", f"belongs to the model unet; the model is {name}. Remove it"
    if recipe.training.monitor in MASK_MONITORS:
        yield "training.monitor", f"{recipe.training.monitor} is for models of masks. Use macro_f1"


def _data(recipe: Recipe) -> Iterator[Issue]:
    data = recipe.data
    if data.labels:
        yield "data.labels", "are of rows; a model of masks learns from data.masks. Remove it"
    if data.task not in (None, "segmentation"):
        yield "data.task", f"{data.task} is of rows; the model {recipe.model.name} is of masks. Set segmentation"
    if data.mask_values is not None and data.foreground is not None:
        yield "data.foreground", "cannot stand beside data.mask_values, which says it. Remove one of the two"
    if len(data.masks) > 1 and data.mask_values is not None:
        yield "data.mask_values", "is for one mask with several classes; there is one mask a class. Use data.foreground"
    if data.table is None and len(data.masks) > 1 and data.classes is None:
        yield "data.masks", "is one folder where there is no table. Name one, or give data.table"
    if data.classes is not None and data.mask_values is not None:
        yield "data.classes", "are the keys of data.mask_values already. Remove data.classes"


def _settings(recipe: Recipe) -> Iterator[Issue]:
    training, sampling = recipe.training, recipe.balance.sampling
    if training.monitor not in MASK_MONITORS:
        yield "training.monitor", f"{training.monitor} is of rows; of masks there is dice and iou. Set dice"
    if training.members not in ("auto", 1):
        yield "training.members", "is for rows of a table; masks have one member a run. Remove it, or set split.folds"
    if sampling.method != "none":
        yield "balance.sampling.method", "draws rows; patches are drawn by masks.planned and masks.target. Remove it"
    if recipe.balance.schedule is not None:
        yield "balance.schedule", "is for rows; weights of pixels are in force from the first epoch. Remove it"
    if recipe.distil.teachers:
        yield "distil.teachers", "teach models of images, not of masks. Remove them"
    if recipe.decision.calibration == "auto":
        yield "decision.calibration", "auto is for scores of rows. Set temperature or none"


def _terms(recipe: Recipe) -> Iterator[Issue]:
    loss = recipe.loss
    if loss.name != "auto":
        yield "loss.name", f'{loss.name} is of rows. Write loss.terms, such as "cross_entropy + dice"'
    if loss.terms is None:
        return
    known = OVERLAPPING_TERMS if len(recipe.data.masks) > 1 else EXCLUSIVE_TERMS
    for part in loss.terms.split("+"):
        name = re.sub(r"^\s*[0-9.]+(e-?[0-9]+)?\s*\*?\s*", "", part).strip()
        if name != "auto" and name not in (*EXCLUSIVE_TERMS, *OVERLAPPING_TERMS):
            yield "loss.terms", f"has no term {name!r}.{nearest(name, known)} There is {listed(known)}"
