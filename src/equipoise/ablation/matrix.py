"""The matrix of an ablation: arms, seeds and folds. What an arm does not name is equal by construction."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise import __version__
from equipoise._checks import ArgumentError, listed
from equipoise.ablation._read import MatrixText, packaged_matrices, read_text
from equipoise.ablation.aspects import Difference, find_differences, require_declared
from equipoise.recipe import Recipe, recipe_from, with_value

__all__ = ["Arm", "Cell", "Matrix", "packaged_matrices", "read_matrix"]

_OWNED = ("name", "seed", "arms", "log", "tracking", "split.seed", "split.fold", "split.folds")
# What a training computes does not depend on them; the table counts by its content.
_NOT_HASHED = ("name", "log", "tracking", "arms")


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: also that of its folder.
        changes: dotted keys and their values; everything else is the base's.
        declare: aspects besides the correction in which it may differ from the reference.
        why: what it is to show.
        recipe: resolved, with the seed of the base.
    """

    name: str
    changes: Mapping[str, Any]
    declare: tuple[str, ...]
    why: str
    recipe: Recipe

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the recipe."""
        return {"name": self.name, "changes": dict(self.changes), "declare": list(self.declare), "why": self.why}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run: an arm, a seed and, with folds, the fold that is the test role.

    Attributes:
        id: such as ``sqrt/seed-0``. folder: such as ``cells/sqrt/seed-0``, inside the folder of the ablation.
        arm: the name of the arm. seed: of the training; the split has one of its own. fold: from 0, or None.
        recipe: what the run is told.
        hash: of everything that its result depends on.
    """

    id: str
    arm: str
    seed: int
    fold: int | None
    recipe: Recipe
    hash: str

    @property
    def folder(self) -> str:
        """The run folder, seen from the folder of the ablation."""
        return f"cells/{self.id}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the recipe."""
        return {
            "id": self.id, "arm": self.arm, "seed": self.seed, "fold": self.fold, "folder": self.folder,
            "hash": self.hash,
        }  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Matrix:
    """Arms x seeds (x folds) of one base recipe.

    Attributes:
        name: of the ablation. base: name or file of the recipe that all arms share. recipe: that recipe, resolved.
        reference: the arm that every other is compared with.
        arms: in order.
        seeds: of the trainings. folds: number of folds, or None: one split for all.
        metric: what the arms are compared in. margin: differences below it do not matter; None: none was stated.
        log: ``why`` and ``decision``, which a person owns.
    """

    name: str
    base: str
    recipe: Recipe
    reference: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    folds: int | None
    metric: str
    margin: float | None
    log: Mapping[str, str]

    @functools.cached_property
    def differences(self) -> dict[str, tuple[Difference, ...]]:
        """What each other arm changes beside the reference, as computed from the resolved recipes."""
        base = self.arm(self.reference).recipe
        return {arm.name: find_differences(base, arm.recipe) for arm in self.arms if arm.name != self.reference}

    @functools.cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every run: seed by seed, so that early results are of all arms."""
        content = _contents(self.recipe)
        folds = [None] if self.folds is None else range(self.folds)
        return tuple(
            _cell(arm, seed, fold, self, content) for seed in self.seeds for fold in folds for arm in self.arms
        )

    def arm(self, name: str) -> Arm:
        """Return the arm of that name.

        Raises:
            ArgumentError: there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise ArgumentError(f'There is no arm "{name}". There are {listed([arm.name for arm in self.arms])}.')

    def to_dict(self) -> dict[str, Any]:
        """Return ``ablation.json`` without the time of its making."""
        return {
            "name": self.name,
            "equipoise": __version__,
            "base": self.base,
            "reference": self.reference,
            "metric": self.metric,
            "margin": self.margin,
            "arms": [arm.to_dict() for arm in self.arms],
            "differences": {name: [one.to_dict() for one in found] for name, found in self.differences.items()},
            "seeds": list(self.seeds),
            "folds": self.folds,
            "cells": [cell.to_dict() for cell in self.cells],
        }


def read_matrix(
    path_or_name: str | Path,
    overrides: Sequence[str] = (),
    *,
    base: str | Path | None = None,
    data: Mapping[str, Any] | None = None,
    seeds: int | Sequence[int] | None = None,
    metric: str | None = None,
) -> Matrix:
    """Read a matrix from a YAML file, the folder of an ablation, or a packaged one by its name, and resolve its arms.

    Args:
        path_or_name: a path, or a name such as ``balance``.
        overrides: texts ``key=value`` that change the base of all arms, as in `read_recipe`.
        base: another base recipe than the matrix names.
        data: keys of the section ``data`` of the base, such as ``table`` and ``labels``; None is left out.
        seeds: their number, or the seeds; None: as the matrix has them.
        metric: what the arms are compared in; None: as the matrix has it, else what suits the task.

    Raises:
        ArgumentError: an unknown key; an arm that cannot be, changes nothing or the same as another, or differs from
            the reference in more than it declares.
        DataError: the file cannot be read or is not YAML.
    """
    text = read_text(path_or_name, base=base)
    recipe = _base_recipe(text, overrides, data or {})
    arms = tuple(_arm(name, given, recipe, text) for name, given in text.arms.items())
    _require_distinct(arms)
    _require_fair(arms, text.reference)
    matrix = Matrix(
        name=text.name,
        base=text.base,
        recipe=recipe,
        reference=text.reference,
        arms=arms,
        seeds=text.seeds if seeds is None else text.parse_seeds(seeds),
        folds=text.folds,
        metric=metric or text.metric or _usual_metric(recipe),
        margin=text.margin,
        log=text.log,
    )
    if matrix.folds is not None:  # what folds cannot stand beside is said before anything is trained
        _with_run(recipe, "fold", 0, 0, matrix)
    return matrix


def _base_recipe(text: MatrixText, overrides: Sequence[str], data: Mapping[str, Any]) -> Recipe:
    values: Any = text.recipe.model_dump(mode="json", exclude={"arms", "log"})
    for key, value in text.settings.items():
        values = with_value(values, tuple(key.split(".")), value)
    given = [f"data.{key}={json.dumps(value)}" for key, value in data.items() if value is not None]
    return recipe_from(values | {"name": text.name}, [*given, *overrides], source=f"{text.place}, set")


def _arm(name: str, given: Mapping[str, Any], base: Recipe, text: MatrixText) -> Arm:
    values: Any = base.model_dump(mode="json")
    changes = given["change"]
    for key, value in changes.items():
        owned = next((one for one in _OWNED if key == one or key.startswith(f"{one}.")), None)
        if owned is not None or key == "split":
            raise ArgumentError(
                f"{text.place}, arm {name}: {key} is the same for all arms. Seeds and folds belong to the matrix: "
                "seeds: 5, folds: 5."
            )
        values = with_value(values, tuple(key.split(".")), value)
    recipe = recipe_from(values | {"name": name, "arms": {}}, source=f"{text.place}, arm {name}")
    return Arm(name, changes, tuple(given["declare"]), given["why"], recipe)


def _require_distinct(arms: Sequence[Arm]) -> None:
    made: dict[str, str] = {}
    for arm in arms:
        told = _canonical(arm.recipe, {})
        if told in made:
            raise ArgumentError(
                f"The arms {listed([made[told], arm.name])} are the same recipe: nothing could be learned from "
                "comparing them. Remove one, or change it."
            )
        made[told] = arm.name


def _require_fair(arms: Sequence[Arm], reference: str) -> None:
    base = next(arm for arm in arms if arm.name == reference)
    for arm in arms:
        if arm is not base:
            declared = tuple(dict.fromkeys((*base.declare, *arm.declare)))
            require_declared(arm.name, reference, find_differences(base.recipe, arm.recipe), declared)


def _with_run(recipe: Recipe, name: str, seed: int, fold: int | None, matrix: Matrix) -> Recipe:
    values: Any = recipe.model_dump(mode="json", exclude={"arms"})
    values["split"] |= {"seed": matrix.recipe.split_seed, "folds": matrix.folds, "fold": fold}
    return recipe_from(values | {"name": name, "seed": seed}, source=f"arm {name}")


def _cell(arm: Arm, seed: int, fold: int | None, matrix: Matrix, contents: Mapping[str, str]) -> Cell:
    recipe = _with_run(arm.recipe, arm.name, seed, fold, matrix)
    if arm.why:
        recipe = recipe.model_copy(update={"log": recipe.log.model_copy(update={"why": arm.why})})
    suffix = "" if fold is None else f"-fold-{fold}"
    told = _canonical(recipe, contents)
    return Cell(
        f"{arm.name}/seed-{seed}{suffix}", arm.name, seed, fold, recipe, hashlib.sha256(told.encode()).hexdigest()
    )


def _canonical(recipe: Recipe, contents: Mapping[str, str]) -> str:
    """Return what the result of a recipe depends on, as text that is equal where that is equal."""
    values = {key: value for key, value in recipe.model_dump(mode="json").items() if key not in _NOT_HASHED}
    if contents:
        values["equipoise"] = __version__
    for key, digest in contents.items():
        section, name = key.split(".")
        values[section][name] = digest
    return json.dumps(values, sort_keys=True, ensure_ascii=True)


def _contents(recipe: Recipe) -> dict[str, str]:
    """Return the hashes of the files of rows and roles; a table that is changed makes other runs."""
    found = {}
    for key, path in (("data.table", recipe.data.table), ("split.file", recipe.split.file)):
        if path is not None and Path(path).is_file():
            with Path(path).open("rb") as opened:
                found[key] = hashlib.file_digest(opened, "sha256").hexdigest()
    return found


def _usual_metric(recipe: Recipe) -> str:
    """Return what arms are compared in where nobody said: as `train` compares the arms of a recipe."""
    if recipe.model.of_masks:
        data = recipe.data
        several = len(data.masks) > 1 or len(data.mask_values or ()) > 2
        return "macro_image_dice" if several else "image_dice"
    task: str | None = recipe.data.task
    if task is None and recipe.data.table is not None and Path(recipe.data.table).is_file():
        from equipoise.labels import read_labels

        data = recipe.data
        found = read_labels(
            recipe.data.table, columns=list(data.labels), separator=data.separator, ids=data.ids, groups=data.groups,
            uncertain=data.uncertain, unknown=data.unknown, positive=data.positive, classes=data.classes,
        )  # fmt: skip
        task = found.task
    return {"ordinal": "qwk", "binary": "f1"}.get(task or "", "macro_f1")
