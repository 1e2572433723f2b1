"""Training the arms of a recipe, one after the other: finished ones are kept, and one that was cut goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise._checks import ArgumentError, RunError, listed
from equipoise._files import write_text
from equipoise.recipe import Recipe, read_recipe, resolve_arms
from equipoise.runs import Run
from equipoise.training.telemetry import Silent, Watch
from equipoise.training.train import train

_RECIPE = "arms.yaml"


@dataclasses.dataclass(frozen=True)
class Arms:
    """The finished runs of a recipe with arms.

    Attributes:
        path: the folder they lie in.
        runs: by the name of the arm, in order.
    """

    path: Path
    runs: Mapping[str, Run]


def train_arms(recipe: Recipe, *, out: str | Path, overwrite: bool = False, watch: Watch | None = None) -> Arms:
    """Train every arm of a recipe in a folder of its own inside `out`, in order.

    Called again with the same recipe and folder, finished arms are opened as they are, one that was cut goes on where
    it was, and the rest are trained: nothing is trained twice.

    Args:
        recipe: with `arms`, or with `split.folds`: then each fold is the test role of one arm.
        out: the folder; made where it is missing.
        overwrite: begin again where `out` holds arms of another recipe.
        watch: where progress is shown; None is silent.

    Raises:
        ArgumentError: the recipe has neither arms nor folds, or one of them cannot be.
        RunError: `out` holds arms of another recipe, or a finished run that is not the arm it is called after.
        DataError: the table cannot be used.
    """
    watch = watch or Silent()
    if not recipe.arms and not recipe.split.in_turn:
        raise ArgumentError("The recipe has neither arms nor folds. Name some, or train it with train().")
    resolved = {name: _with_teachers(arm, Path(out), recipe) for name, arm in resolve_arms(recipe).items()}
    for arm in resolved.values():
        arm.require_runnable()
    _claim(recipe, Path(out), overwrite=overwrite)
    finished = {}
    for number, (name, arm) in enumerate(resolved.items(), start=1):
        folder = Path(out) / name
        if (folder / "DONE").exists():
            watch.say(f"{name} ({number} of {len(resolved)}): finished already, kept as it is.")
            finished[name] = Run.open(folder)
            finished[name].require_done()
            _require_same(finished[name], arm)
        else:
            watch.say(f"{name} ({number} of {len(resolved)})")
            finished[name] = train(arm, out=folder, resume=True, watch=watch)
    return Arms(Path(out), finished)


def _require_same(run: Run, arm: Recipe) -> None:
    """A finished folder is kept only for the arm that made it: folders can be copied, and arms.yaml removed."""
    made, wanted = (_comparable(recipe) for recipe in (read_recipe(run.file("recipe.yaml")), arm))
    changed = [key for key, value in wanted.items() if made[key] != value]
    if changed:
        raise RunError(
            f"{run.path} holds a finished run of another recipe than the arm {arm.name} (it differs in "
            f"{listed(changed)}). Give another --out, or remove that folder to have the arm trained."
        )


def _comparable(recipe: Recipe) -> dict[str, Any]:
    """The keys of a recipe; teachers by their names alone, as a folder of arms may have been moved."""
    values = recipe.without_log().model_dump()
    values["distil"] |= {"teachers": [Path(teacher).name for teacher in recipe.distil.teachers]}
    return values


def _with_teachers(arm: Recipe, out: Path, recipe: Recipe) -> Recipe:
    """A teacher that is named like an arm is the run of that arm, which must come before."""
    names = list(recipe.arms)
    for teacher in arm.distil.teachers:
        if teacher in names and names.index(teacher) >= names.index(arm.name):
            raise ArgumentError(
                f"The arm {arm.name} is taught by {teacher}, which is not trained before it. Put {teacher} first."
            )
    if not arm.distil.teachers:
        return arm
    folders = tuple(str((out / t).absolute()) if t in names else t for t in arm.distil.teachers)
    return arm.model_copy(update={"distil": arm.distil.model_copy(update={"teachers": folders})})


def _claim(recipe: Recipe, out: Path, *, overwrite: bool) -> None:
    """Keep the recipe beside its arms, so that arms of two recipes are never mixed."""
    kept = out / _RECIPE
    if (out / "run.json").exists():
        raise RunError(f"{out} is the folder of one run. Give another folder for the arms of {recipe.name}.")
    if kept.exists():
        before = read_recipe(kept)
        if before.without_log() == recipe.without_log():
            return
        told = before.without_log().model_dump()
        changed = [key for key, value in recipe.without_log().model_dump().items() if told[key] != value]
        if not overwrite:
            raise RunError(
                f"{out} holds arms of another recipe (it differs in {listed(changed)}). Give another --out, or "
                "--overwrite to begin again."
            )
        _set_aside(out, resolve_arms(before))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out} could not be made: {error.strerror or error}. Choose another folder.") from error
    write_text(kept, recipe.to_yaml())


def _set_aside(out: Path, arms: Mapping[str, Recipe]) -> None:
    aside = out.with_name(out.name + ".previous")
    if aside.exists():
        raise RunError(f"{aside} is there already. Remove it, or give another --out.")
    for name in arms:
        if (out / name).exists():
            aside.mkdir(parents=True, exist_ok=True)
            (out / name).rename(aside / name)
