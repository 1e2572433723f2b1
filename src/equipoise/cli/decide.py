"""`equipoise decide`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from equipoise.decision._words import figure_word, interval_text, overall_sentences, threshold_text
from equipoise.scores import Scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MaximizeOption = Annotated[
    str,
    typer.Option(
        "--maximize",
        help="f1, micro_f1, fbeta:2, balanced_accuracy, youden, mcc, cost:1:10 (false positive : false negative), "
        '"recall>=0.9", "precision>=0.5" or alarms=0.05 (share predicted positive); exclusive classes: f1, '
        "balanced_accuracy, accuracy, costs:0,1/5,0 or argmax; grades also qwk and mae.",
    ),
]


def decide(
    scores: ScoresArgument,
    maximize: MaximizeOption = "f1",
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
        str,
        typer.Option(
            "--empty",
            help="A class without a positive or a negative: error, or never (stop for none: a class without a "
            "positive is never predicted, one without a negative always).",
        ),
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
    rule = fit_decision(
        found, maximize, log_odds_shift=_shift_of(scores), empty=empty, method=method, calibrate=calibrate
    )
    if figure is not None:  # first: what cannot be drawn is refused with nothing written
        draw_scores(figure, found, rule, plot, usual="thresholds")
    if out is not None:
        write_rule(rule, out)
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


def _shift_of(scores: Path) -> Any:
    """The shift that the rule of a run folder has; None for a file of scores."""
    rule = scores / "decision.json"
    return read_rule(rule).log_odds_shift if scores.is_dir() and rule.exists() else None


def _print(rule: DecisionRule, scores: Scores) -> None:
    import numpy as np

    console().print(f"{len(scores):,} rows of the role {scores.role}, {scores.task}.")
    if rule.thresholds is None or rule.positives is None or rule.fitted_values is None:
        console().print(*rule.sentences(), sep="\n")
        return
    rates = rule.apply(scores).table().mean(axis=0)
    truth = scores.table()
    prevalences = (truth == 1).sum(axis=0) / (~np.isnan(truth)).sum(axis=0).clip(1)
    corrected = np.full(len(rates), np.nan) if rule.corrected_values is None else rule.corrected_values
    kept = _target_reached(rule, scores)
    lines = [
        (
            name,
            f"{rule.positives[index]:,}",
            f"{threshold_text(float(rule.thresholds[index]))} {interval_text(rule, index)}".rstrip(),
            _figure(rule.fitted_values[index]),
            *(() if kept is None else (_figure(float(kept[1][index])),)),
            _figure(corrected[index]),
            f"{rates[index]:.2%}",
            f"{prevalences[index]:.2%}",
        )
        for index, name in enumerate(rule.classes)
    ]
    aim = figure_word(rule.maximize)
    print_table(
        (
            "class",
            "positives",
            "threshold [interval]",
            f"{aim} here",
            *(() if kept is None else (f"{kept[0]} here",)),
            "corrected",
            "predicted",
            "prevalence",
        ),
        lines,
    )
    console().print(
        f"{aim} here is on the rows that the thresholds were fitted on, and so too good; corrected is on rows left out "
        "of the fit. Judge on the test role."
    )
    for line in (*overall_sentences(rule), *rule.notes):
        console().print(line)


def _target_reached(rule: DecisionRule, scores: Scores) -> tuple[str, NDArray[np.float64]] | None:
    """Return the name of the figure that a target is set for, and what each class reached; None without a target."""
    import numpy as np

    name = next((one for one in ("recall", "precision") if rule.maximize.startswith(f"{one}>=")), None)
    if name is None:
        return None
    truth, predicted = scores.table(), rule.apply(scores).table() == 1
    behind = truth == 1 if name == "recall" else predicted & ~np.isnan(truth)
    total = behind.sum(axis=0).astype(np.float64)
    total[total == 0] = np.nan
    return name, (predicted & (truth == 1)).sum(axis=0) / total


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
