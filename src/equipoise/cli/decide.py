"""`equipoise decide`."""

from __future__ import annotations

from typing import Annotated

import typer

from equipoise.cli._figures import FigureOption, PlotOption, check_figure, draw_scores
from equipoise.cli._options import JsonOption, OutOption, OverwriteOption, check_free, console, print_json, print_table
from equipoise.cli._scores import (
    KindOption,
    RoleOption,
    ScoreClassesOption,
    ScoreGroupsOption,
    ScoreIdsOption,
    ScoreLabelsOption,
    ScorePositiveOption,
    ScoresArgument,
    ScoreTaskOption,
    ScoreValuesOption,
    load_scores,
)
from equipoise.decision import DecisionRule, fit_decision, read_rule, write_rule
from equipoise.scores import Scores


def decide(
    scores: ScoresArgument,
    maximize: Annotated[str, typer.Option("--maximize", help="f1, balanced_accuracy or youden.")] = "f1",
    method: Annotated[
        str, typer.Option("--method", help="exact, or shrunk: steadier thresholds where positives are few.")
    ] = "exact",
    calibrate: Annotated[
        str,
        typer.Option(
            "--calibrate",
            help="none; auto, which calibrates the classes that a test shows to need it; or platt, beta, isotonic, "
            "temperature, class_temperature; for exclusive classes temperature, temperature_bias, vector.",
        ),
    ] = "none",
    role: RoleOption = None,
    task: ScoreTaskOption = None,
    ids: ScoreIdsOption = None,
    groups: ScoreGroupsOption = None,
    labels: ScoreLabelsOption = None,
    values: ScoreValuesOption = None,
    kind: KindOption = None,
    positive: ScorePositiveOption = None,
    classes: ScoreClassesOption = None,
    empty: Annotated[
        str, typer.Option("--empty", help="A class without a positive: error, or never (predict it never).")
    ] = "error",
    figure: FigureOption = None,
    plot: PlotOption = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Fit thresholds on validation scores from any model, and write them as one JSON file.

    A run folder keeps the shift back to natural prevalence that its own rule has.
    """
    check_free(out, overwrite, source=scores)
    check_figure(figure, plot, overwrite, source=scores, out=out)
    found = load_scores(
        scores, role=role, usual="validation", task=task, ids=ids, groups=groups, labels=labels, values=values,
        kind=kind, positive=positive, classes=classes,
    )  # fmt: skip
    shift = None
    if scores.is_dir() and (scores / "decision.json").exists():
        shift = read_rule(scores / "decision.json").log_odds_shift
    rule = fit_decision(found, maximize, log_odds_shift=shift, empty=empty, method=method, calibrate=calibrate)
    if out is not None:
        write_rule(rule, out)
    if figure is not None:
        draw_scores(figure, found, rule, plot, usual="thresholds")
    if json:
        print_json(rule.to_dict())
        return
    _print(rule, found)
    if out is not None:
        console().print(f"Written to {out}. Next: equipoise evaluate TEST_SCORES --rule {out}")
    else:
        console().print("Nothing was written. Add --out decision.json to keep the rule.")
    if figure is not None:
        console().print(f"Drawn in {figure}.")


def _print(rule: DecisionRule, scores: Scores) -> None:
    import numpy as np

    console().print(f"{len(scores):,} rows of the role {scores.role}, {scores.task}.")
    if rule.thresholds is None or rule.positives is None or rule.fitted_values is None:
        console().print(*rule.sentences(), sep="\n")
        return
    rates = rule.apply(scores).table().mean(axis=0)
    truth = scores.table()
    prevalences = (truth == 1).sum(axis=0) / (~np.isnan(truth)).sum(axis=0).clip(1)
    lines = []
    for index, name in enumerate(rule.classes):
        threshold = float(rule.thresholds[index])
        shown = "never" if threshold > 1 else "always" if threshold == 0 else f"{threshold:.4g}"
        row = (
            name,
            f"{rule.positives[index]:,}",
            shown,
            f"{rule.fitted_values[index]:.3f}",
            f"{rates[index]:.2%}",
            f"{prevalences[index]:.2%}",
        )
        lines.append(row)
    print_table(("class", "positives", "threshold", f"{rule.maximize} here", "predicted", "prevalence"), lines)
    console().print(
        f"{rule.maximize} here is on the rows that the thresholds were fitted on, and so too good: judge on the "
        f"test role."
    )
    for note in rule.notes:
        console().print(note)
