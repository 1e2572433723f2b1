"""What commands show and write of runs of masks."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise._checks import ArgumentError, EquipoiseError
from equipoise.cli._options import console, print_json, print_table

if TYPE_CHECKING:
    from equipoise.evidence import CountedMasks, MetricTable
    from equipoise.metrics.mask_scores import MaskScores
    from equipoise.runs import Run

_SHOWN = ("dice", "image_dice", "iou", "precision", "recall", "hd95", "nsd", "predicted_share", "actual_share")
_MOST = 20


def is_mask_run(path: Path) -> bool:
    """Return whether a folder is a run of masks; what is no run, or damaged, is not, and others say why."""
    if not (path / "recipe.yaml").is_file():
        return False
    from equipoise.recipe import read_recipe

    try:
        return read_recipe(path / "recipe.yaml").model.of_masks
    except EquipoiseError:
        return False


def judged_masks(path: Path) -> tuple[MaskScores, CountedMasks]:
    """Return the scores of the test images of a run of masks, and its own rule with the counts that it stored."""
    from equipoise.metrics.mask_scores import read_mask_scores
    from equipoise.report.mask_view import read_test_counts
    from equipoise.runs import Run

    if path.is_dir():
        Run.open(path)  # a folder of folds is named
    if not is_mask_run(path):
        raise ArgumentError(f"{path} is no run of masks, as the other is. Compare two of masks, or two of rows.")
    run = Run.open(path)
    if not run.scores_file("test").is_file():
        raise ArgumentError(f"{path} has no test role: nothing was judged. Keep images aside, and train again.")
    return read_mask_scores(run.scores_file("test")), read_test_counts(run)


def require_one_size(paths: Sequence[Path]) -> None:
    """Raise `ArgumentError` where runs of masks learned at different sizes: their masks differ."""
    from equipoise.recipe import read_recipe

    sizes = [read_recipe(path / "recipe.yaml").masks.resize for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            first, other = ("null" if one is None else one for one in (sizes[0], size))
            raise ArgumentError(
                f"masks.resize is {first} in {paths[0]} and {other} in {path}, so that their masks are not of the same "
                "pixels. Train one again at the size of the other."
            )


def usual_mask_metric(scores: MaskScores) -> str:
    """Return what masks are compared in: the mean over images of their Dice, and over classes the mean of that."""
    single = len(scores.classes) == (2 if scores.exclusive else 1)
    return "image_dice" if single else "macro_image_dice"


def show_mask_run(run: Run) -> None:
    """Print what happened in a run of masks: Dice beside trivial answers, one paragraph, and what to type next."""
    from equipoise.report.mask_report import mask_metrics_table, mask_next_steps, summarise_masks
    from equipoise.report.mask_view import MaskView

    view, screen = MaskView.read(run), console()
    if not sys.stdout.isatty():
        screen.width = 10_000  # nothing is cut where output is not a screen
    if view.metrics:
        screen.print(mask_metrics_table(view.metrics))
    screen.print(summarise_masks(view))
    screen.print(f"\nRun folder  {run.path}\nFigure      {run.file('figures/run.png')}\n\nNext:")
    for purpose, command in mask_next_steps(view):
        screen.print(f"  {purpose}\n    {command}")


def mask_ledger_sentences(run: Run) -> list[str]:
    """Say which class weights a loss with terms of whole masks was trained under, and why nothing is taken off.

    Empty where every correction is in the ledger.
    """
    from equipoise.balance import ClassWeights
    from equipoise.balance._words import WHOLE_MASK_TERMS, each, no_prior_sentence
    from equipoise.recipe import read_recipe

    recipe = read_recipe(run.file("recipe.yaml"))
    terms = "dice" if recipe.loss.terms in (None, "auto") else str(recipe.loss.terms)
    whole = [
        said for name, said in WHOLE_MASK_TERMS.items() if name in terms.replace("+", " ").replace("*", " ").split()
    ]
    if not whole:
        return []
    stored = run.read_record("weights") if run.has_record("weights") else None
    said = ["No class weights are in force."]
    if stored is not None:
        weights = ClassWeights.from_dict(stored)
        pairs = zip(weights.classes, weights.values.tolist(), strict=True)
        listed = ", ".join(f"{name} {each(value)}" for name, value in pairs)
        said = [f"Class weights are in force ({weights.name}), in the terms of pixels alone: {listed}."]
    return [*said, no_prior_sentence(whole)]


def show_mask_arms(runs: Mapping[str, Run], folder: Path, *, folds: bool, json: bool) -> None:
    """Print the Dice of each arm; of folds also that of all their test images together, kept in folds.md.

    Args:
        runs: by the name of the arm.
        folder: of the arms.
        folds: whether the arms are folds of one recipe.
        json: for a program to read.
    """
    from equipoise.report.mask_report import mask_metrics_table, write_folds
    from equipoise.report.mask_view import MaskView, pooled_folds

    pooled = pooled_folds(list(runs.values())) if folds else {}
    if pooled:
        write_folds(folder, pooled, runs)
    if json:
        arms = {name: run.read_record("metrics") for name, run in runs.items()}
        together = {name: table.to_dict() for name, table in pooled.items()}
        print_json({"folder": str(folder), "arms": arms, "pooled": together})
        return
    screen = console()
    if not sys.stdout.isatty():
        screen.width = 10_000
    for name, run in runs.items():
        screen.print(f"\n{name}")
        screen.print(mask_metrics_table(MaskView.read(run).metrics))
    if pooled:
        screen.print(f"\nAll {len(runs)} folds together, each image judged by the run that never saw it")
        screen.print(mask_metrics_table(pooled))
        screen.print(f"Report  {folder / 'folds.md'}")
    screen.print(f"\nFolder of the runs  {folder}")


def evaluate_mask_run(path: Path, *, out: Path | None, json: bool) -> None:
    """Print every figure of a run of masks with its interval, as the run stored it."""
    from equipoise._files import write_json
    from equipoise.evidence.metric_table import interval_text
    from equipoise.report.mask_report import mask_metrics_table, watched_of
    from equipoise.report.mask_view import MaskView
    from equipoise.runs import Run

    view = MaskView.read(Run.open(path))
    if "rule" not in view.metrics:
        raise ArgumentError(f"{path} has no test role: nothing was judged. Keep images aside, and train again.")
    table: MetricTable = view.metrics["rule"]
    if out is not None:
        write_json(out, table.to_dict())
    if json:
        print_json(table.to_dict())
        return
    screen = console()
    if not sys.stdout.isatty():
        screen.width = 10_000
    screen.print(mask_metrics_table(view.metrics))
    there = [name for name in _SHOWN if any(row.metric == name for row in table.rows)]
    rows = [(name, *(interval_text(table.row(metric, name)) for metric in there)) for name in watched_of(table)]
    print_table(("class", *there), rows)
    for note in table.notes:
        screen.print(note)
    if out is not None:
        screen.print(f"Written to {out}.")


def predict_mask_run(run: Path, images: Path, *, out: Path | None, overwrite: bool, json: bool) -> None:
    """Write the masks of a run for some images, and say how much of each class they hold."""
    if out is None:
        raise ArgumentError("--out is missing: masks are written to a folder. Add --out masks/.")
    if out.suffix in (".csv", ".parquet"):
        raise ArgumentError(f"--out of a run of masks is a folder; got {out.name}. Give one.")
    from equipoise.training import ProgressBar
    from equipoise.training.mask_predict import predict_masks

    try:
        with ProgressBar() as watch:
            found = predict_masks(run, images, out=out, overwrite=overwrite, watch=watch)
    except KeyboardInterrupt:
        console(stderr=True).print("Stopped. The same command goes on where it was.")
        raise SystemExit(130) from None
    if json:
        print_json([one.to_dict() for one in found])
        return
    names = list(found[0].shares)
    rows = [(one.image.name, *(f"{100 * one.shares[name]:.3g} %" for name in names)) for one in found[:_MOST]]
    print_table(("image", *names), rows)
    if len(found) > _MOST:
        console().print(f"The first {_MOST} of {len(found):,} images.")
    before = sum(len(one.files) for one in found if one.there)
    made = sum(len(one.files) for one in found) - before
    there = [f"{before:,} already there in {out}"] if before else []
    console().print("; ".join([f"{made:,} masks written to {out}", *there] if made else there))
