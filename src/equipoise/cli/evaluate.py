"""`equipoise evaluate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from equipoise._checks import ArgumentError
from equipoise._files import write_json
from equipoise.cli._figures import FigureOption, PlotOption, check_figure, draw_scores
from equipoise.cli._mask_runs import evaluate_mask_run, is_mask_run
from equipoise.cli._options import (
    JsonOption,
    OutOption,
    OverwriteOption,
    SeedOption,
    check_free,
    console,
    print_json,
    print_table,
)
from equipoise.cli._scores import (
    KindOption,
    RoleOption,
    RuleOption,
    ScoreClassesOption,
    ScoreGroupsOption,
    ScoreIdsOption,
    ScoreLabelsOption,
    ScorePositiveOption,
    ScoresArgument,
    ScoreTaskOption,
    ScoreValuesOption,
    ThresholdOption,
    choose_rule,
    load_scores,
)
from equipoise.cli._subgroups import ByOption, ByTableOption, show_subgroups, subgroup_names
from equipoise.decision import DecisionRule
from equipoise.evidence import MetricTable
from equipoise.evidence import evaluate as evaluate_scores
from equipoise.evidence.metric_table import interval_text
from equipoise.evidence.subgroups import Subgroups, evaluate_by
from equipoise.scores import Scores

_SHOWN = ("auc", "ap", "f1")


def evaluate(
    scores: ScoresArgument,
    rule: RuleOption = None,
    threshold: ThresholdOption = None,
    role: RoleOption = None,
    task: ScoreTaskOption = None,
    ids: ScoreIdsOption = None,
    groups: ScoreGroupsOption = None,
    labels: ScoreLabelsOption = None,
    values: ScoreValuesOption = None,
    kind: KindOption = None,
    positive: ScorePositiveOption = None,
    classes: ScoreClassesOption = None,
    replicates: Annotated[
        int | None,
        typer.Option(
            "--replicates",
            help="Bootstrap replicates; 0 for no intervals. Default: 1,000, 100 for large tables.",
        ),
    ] = None,
    level: Annotated[float, typer.Option("--level", help="Coverage of the intervals.")] = 0.95,
    seed: SeedOption = 0,
    by: ByOption = None,
    by_table: ByTableOption = None,
    figure: FigureOption = None,
    plot: PlotOption = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Judge scores with a decision rule: every metric with its interval, support and what could not be evaluated."""
    read = (scores, rule, by_table)
    check_free(out, overwrite, source=read)
    if is_mask_run(scores):
        if rule is not None:
            raise ArgumentError("--rule is for scores of rows; a run of masks is judged by its own rule. Leave it out.")
        evaluate_mask_run(scores, out=out, json=json)
        return
    check_figure(figure, plot, overwrite, source=read, out=out)
    found = load_scores(
        scores, role=role, usual="test", task=task, ids=ids, groups=groups, labels=labels, values=values,
        kind=kind, positive=positive, classes=classes,
    )  # fmt: skip
    chosen = choose_rule(scores, rule, threshold, found)
    names = None if by is None else subgroup_names(scores, found, by, by_table, ids)
    table = _judged(found, chosen, by, names, replicates=replicates, level=level, seed=seed)
    if figure is not None:  # first: what cannot be drawn is refused with nothing written
        draw_scores(figure, found, chosen, plot, usual="precision_recall")
    if out is not None:
        write_json(out, table.to_dict())
    if json:
        print_json(table.to_dict())
        return
    show_subgroups(table) if isinstance(table, Subgroups) else show_metrics(table)
    if out is not None:
        console().print(f"Written to {out}.")
    if figure is not None:
        console().print(f"Drawn in {figure}.")


def _judged(
    scores: Scores, rule: DecisionRule | None, by: str | None, names: list[str] | None, **settings: Any
) -> MetricTable | Subgroups:
    if by is None or names is None:
        return evaluate_scores(scores, rule, **settings)
    return evaluate_by(scores, names, rule, by=by, **settings)


def show_metrics(table: MetricTable) -> None:
    """Print a metric table: averages first, then the classes; every figure is in --json and --out."""
    console().print(table.headline())
    if table.overall():
        averages = [(row.name, interval_text(row), row.evaluable, row.note) for row in table.overall()]
        print_table(("metric", "value", "evaluable", "note"), averages)
    if len(table.classes) == 1:
        rows = table.of_class(table.classes[0])
        print_table((table.classes[0], "value", "note"), [(row.name, interval_text(row), row.note) for row in rows])
    else:
        shown = [name for name in _SHOWN if any(row.metric == name for row in table.rows if row.class_name)]
        lines = []
        for name in table.classes:
            figures = {row.metric: row for row in table.of_class(name)}
            lines.append((name, f"{figures['auc'].support:,}", *(interval_text(figures[metric]) for metric in shown)))
        print_table(("class", "positives", *shown), lines)
    for note in table.notes:
        console().print(note)
