"""`equipoise train`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise._checks import ArgumentError, nearest
from equipoise.cli._mask_runs import is_mask_run, show_mask_arms, show_mask_run
from equipoise.cli._options import (
    ClassesOption,
    GroupsOption,
    IdsOption,
    JsonOption,
    LabelsOption,
    OutOption,
    PositiveOption,
    SeparatorOption,
    TaskOption,
    UncertainOption,
    console,
    data_section,
    print_json,
)

if TYPE_CHECKING:
    from equipoise.recipe import Recipe
    from equipoise.runs import Run

_SUFFIXES = (".yaml", ".yml")


def train(
    source: Annotated[str, typer.Argument(metavar="TABLE|RECIPE", help="A table, a recipe file, or a recipe's name.")],
    labels: LabelsOption = None,
    separator: SeparatorOption = None,
    ids: IdsOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    uncertain: UncertainOption = None,
    unknown: Annotated[
        str | None, typer.Option("--unknown", help="What unknown labels become: unknown, negative, positive or drop.")
    ] = None,
    positive: PositiveOption = None,
    classes: ClassesOption = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of the images that the column image names; or an .npz.")
    ] = None,
    image: Annotated[str | None, typer.Option("--image", help="The column of images, if not called image.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every random choice.")] = None,
    out: OutOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    json: JsonOption = False,
) -> None:
    """Train from a table or a recipe, fit thresholds on the validation role, judge on the test role.

    From a table: **equipoise train table.csv --labels a,b,c --groups patient** (or **--groups none**: rows are
    independent). The recipe that this makes is printed and kept in the run folder.

    From images: **equipoise train table.csv --images FOLDER --labels a,b,c --groups patient**; a MedMNIST-style .npz
    needs no more than **--groups none**.

    From a recipe: **equipoise train comorbidity --set data.table=table.csv --labels a,b,c --groups patient**. A recipe
    with arms trains each in a folder of its own; called again, it goes on where it was.

    Masks: **equipoise train surface-segmentation --set data.table=pairs.csv --set data.masks=mask --groups patient**.
    """
    given = data_section(
        labels=labels, separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain, unknown=unknown,
        positive=positive, classes=classes, images=images, image=image,
    )  # fmt: skip
    overrides = [*(settings or []), *([] if seed is None else [f"seed={seed}"])]
    recipe, made = _recipe(source, given, overrides)
    _check_flags(out, resume=resume, overwrite=overwrite)
    if made and not json:
        console().print(recipe.to_yaml(brief=True))
    if recipe.arms or recipe.split.in_turn:
        _train_arms(recipe, out or Path("runs") / recipe.name, overwrite=overwrite, json=json)
        return
    from equipoise.runs import next_run_path

    out = out or next_run_path(recipe.name)
    try:
        run = run_training(recipe, out=out, resume=resume, overwrite=overwrite)
    except KeyboardInterrupt:
        console(stderr=True).print(f"Stopped. The same command with --out {out} --resume goes on where it was.")
        raise SystemExit(130) from None
    if json:
        print_json({"run": str(run.path), "metrics": run.read_record("metrics")})
        return
    show_run(run)


def _check_flags(out: Path | None, *, resume: bool, overwrite: bool) -> None:
    if out is not None and resume and overwrite:
        raise ArgumentError("--resume and --overwrite contradict each other. Give one of them.")
    if resume and out is None:
        raise ArgumentError("--resume needs the run folder to go on with. Give it with --out.")


def _train_arms(recipe: Recipe, out: Path, *, overwrite: bool, json: bool) -> None:
    from equipoise.report import ArmsView, RunView, arms_class_table, arms_table, write_report
    from equipoise.training import ProgressBar, train_arms

    try:
        with ProgressBar() as watch:
            arms = train_arms(recipe, out=out, overwrite=overwrite, watch=watch)
    except KeyboardInterrupt:
        console(stderr=True).print(f"Stopped. The same command with --out {out} goes on where it was.")
        raise SystemExit(130) from None
    for run in arms.runs.values():
        if not (run.path / "summary.md").exists():
            write_report(run)
    if recipe.model.of_masks:
        show_mask_arms(arms.runs, arms.path, folds=recipe.split.in_turn, json=json)
        return
    view = ArmsView.of({name: RunView.read(run) for name, run in arms.runs.items()})
    if json:
        print_json(
            {
                "folder": str(arms.path),
                "arms": {name: run.read_record("metrics") for name, run in arms.runs.items()},
                "comparisons": [comparison.to_dict() for comparison in view.comparisons],
            }
        )
        return
    screen = console()
    if not sys.stdout.isatty():
        screen.width = 10_000
    screen.print(arms_table(view))
    if len(view.comparisons) == 1 and view.comparisons[0].classes:
        screen.print(arms_class_table(view, view.comparisons[0]))
    for sentence in view.sentences():
        screen.print(sentence)
    screen.print(f"\nFolder of the runs  {arms.path}")


def run_training(recipe: Recipe, *, out: Path | None, resume: bool = False, overwrite: bool = False) -> Run:
    """Train with a progress bar on standard error, and draw the report of the run."""
    from equipoise.report import write_report
    from equipoise.tracking import Tracker
    from equipoise.training import ProgressBar
    from equipoise.training import train as train_recipe

    tracker = Tracker()
    try:
        with ProgressBar() as watch:
            run = train_recipe(recipe, out=out, resume=resume, overwrite=overwrite, watch=watch, tracker=tracker)
        if int(os.environ.get("RANK", "0")) == 0:  # under torchrun the first process alone writes
            write_report(run)
    finally:  # the figures are sent too
        for sentence in tracker.finish():
            console(stderr=True).print(sentence)
    return run


def show_run(run: Run) -> None:
    """Print what happened: the metrics, one paragraph, where things are, and what to type next."""
    from equipoise.report import RunView, metrics_table, next_steps, run_table, summarise

    if is_mask_run(run.path):
        show_mask_run(run)
        return
    view, screen = RunView.read(run), console()
    if not sys.stdout.isatty():
        screen.width = 10_000  # nothing is cut where output is not a screen
    if view.metrics:
        screen.print(metrics_table(view.metrics))
    screen.print(run_table(view))
    screen.print(summarise(view))
    page = f"equipoise report {shlex.quote(str(run.path))} --open"
    screen.print(
        f"\nRun folder  {run.path}\nFigure      {run.file('figures/run.png')}\nPage        made by: {page}\n\nNext:"
    )
    for purpose, command in next_steps(view):
        screen.print(f"  {purpose}\n    {command}")


def _recipe(source: str, given: dict[str, object], overrides: list[str]) -> tuple[Recipe, bool]:
    """Return the recipe, and whether it was made here from a table."""
    from equipoise.recipe import make_recipe, packaged_recipes, read_recipe

    if Path(source).suffix in _SUFFIXES or (source in packaged_recipes() and not Path(source).is_file()):
        data = [f"data.{key}={_yaml(value)}" for key, value in given.items() if value is not None]
        return read_recipe(source, [*data, *overrides]), False
    wanted = given.pop("labels")
    archive = Path(source).suffix.casefold() == ".npz"  # holds images, labels and roles
    if archive:
        given["images"] = given["images"] or source
        overrides = [f"split.file={_yaml(source)}", *overrides]
    if given["images"] is not None:
        given["base"] = "images"
    if not Path(source).exists():
        raise ArgumentError(
            f"{source} is neither a table nor a recipe file that exists, nor the name of a recipe."
            f"{nearest(source, packaged_recipes())} Check the path, or see: equipoise recipes."
        )
    if (Path(source) / "run.json").is_file():
        folder = shlex.quote(source)
        raise ArgumentError(
            f"{source} is a run folder. Go on with it: equipoise train {folder}/recipe.yaml --out {folder} --resume."
        )
    if not wanted and any(text.startswith("data.masks=") for text in overrides):
        raise ArgumentError(
            f"{source} is a table of images and masks, which needs a recipe of masks. Name it: equipoise train "
            f"surface-segmentation --set data.table={source} (lesion-segmentation where each class has a mask)."
        )
    if not wanted and not archive:
        raise ArgumentError(
            f"{source} is a table; name its label columns: --labels a,b,c. "
            "(A recipe is a .yaml file or one of: equipoise recipes.)"
        )
    return make_recipe(source, wanted or (), overrides=overrides, **given), True  # type: ignore[arg-type]


def _yaml(value: object) -> str:
    """Write a value so that YAML reads the same text back: JSON is YAML."""
    import json

    return json.dumps(value)
