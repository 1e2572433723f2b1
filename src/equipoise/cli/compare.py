"""`equipoise compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from equipoise._checks import ArgumentError
from equipoise._files import write_json
from equipoise.cli._figures import FigureOption, check_figure
from equipoise.cli._mask_runs import is_mask_run, judged_masks, require_one_size, usual_mask_metric
from equipoise.cli._options import (
    JsonOption,
    OutOption,
    OverwriteOption,
    SeedOption,
    check_free,
    columns,
    console,
    print_json,
    print_table,
)
from equipoise.cli._scores import (
    KindOption,
    RoleOption,
    ScoreClassesOption,
    ScoreGroupsOption,
    ScoreIdsOption,
    ScoreLabelsOption,
    ScorePositiveOption,
    ScoreTaskOption,
    ScoreValuesOption,
    load_scores,
)
from equipoise.decision import DecisionRule, fixed_rule, read_rule
from equipoise.evidence import Comparison, Difference
from equipoise.evidence import compare as compare_scores
from equipoise.scores import Scores

_MANY = "A run folder, or a file of scores; several, comma-separated, are training seeds of the same arm."


def compare(
    a: Annotated[str, typer.Argument(help=_MANY, show_default=False)],
    b: Annotated[str, typer.Argument(help="What it is compared with, on the same rows.", show_default=False)],
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", help="As `evaluate` names it, such as macro_f1. Default: macro_ap; of masks image_dice."
        ),
    ] = None,
    rule_a: Annotated[
        str | None, typer.Option("--rule-a", help="decision.json of A, or one per seed. Default for a run: its own.")
    ] = None,
    rule_b: Annotated[str | None, typer.Option("--rule-b", help="The same for B.")] = None,
    names: Annotated[str | None, typer.Option("--names", help="What the two are called, comma-separated.")] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", help="A difference that does not matter: are the two equivalent?")
    ] = None,
    role: RoleOption = None,
    task: ScoreTaskOption = None,
    ids: ScoreIdsOption = None,
    groups: ScoreGroupsOption = None,
    labels: ScoreLabelsOption = None,
    values: ScoreValuesOption = None,
    kind: KindOption = None,
    positive: ScorePositiveOption = None,
    classes: ScoreClassesOption = None,
    replicates: Annotated[int, typer.Option("--replicates", help="Bootstrap replicates.")] = 1000,
    level: Annotated[float, typer.Option("--level", help="Coverage of the intervals.")] = 0.95,
    seed: SeedOption = 0,
    figure: FigureOption = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Compare two models on the same rows: the difference with its interval, p-value, and one sentence to quote.

    Two runs of masks are compared on the same test images, each by its own rule: **--metric** image_dice (the mean over
    images), dice (of all pixels), iou, precision or recall; with several classes macro_image_dice and so on.
    """
    paths = [[Path(one) for one in columns(text) or []] for text in (a, b)]
    read = [*paths[0], *paths[1], *_files(rule_a), *_files(rule_b)]
    check_free(out, overwrite, source=read)
    check_figure(figure, None, overwrite, source=read, out=out)
    how: dict[str, Any] = {
        "role": role, "usual": "test", "task": task, "ids": ids, "groups": groups, "labels": labels, "values": values,
        "kind": kind, "positive": positive, "classes": classes,
    }  # fmt: skip
    found, rules, metric = _read(paths, how, (rule_a, rule_b), metric)
    called = _names(names, (a, b))
    result = compare_scores(
        found[0], found[1], metric, rule_a=rules[0], rule_b=rules[1], names=called, margin=margin,
        replicates=replicates, level=level, seed=seed,
    )  # fmt: skip
    _hand_out(result, figure, out, json=json)


def _hand_out(result: Comparison, figure: Path | None, out: Path | None, *, json: bool) -> None:
    """Draw, write and show a comparison, as asked."""
    if figure is not None:
        from equipoise.report import plot_comparison
        from equipoise.report._style import write_figure

        write_figure(plot_comparison(result), figure)
    if out is not None:
        write_json(out, result.to_dict())
    if json:
        print_json(result.to_dict())
        return
    show_comparison(result)
    if out is not None:
        console().print(f"Written to {out}.")
    if figure is not None:
        console().print(f"Drawn in {figure}.")


def _read(
    paths: list[list[Path]], how: dict[str, Any], given: tuple[str | None, str | None], metric: str | None
) -> tuple[list[list[Any]], list[Any], str]:
    """Return the scores of both sides, their rules, and the metric: of rows, or of two runs of masks."""
    if not any(is_mask_run(path) for side in paths for path in side):
        found: list[list[Any]] = [[load_scores(path, **how) for path in side] for side in paths]
        rules: list[Any] = [_rules(*side) for side in zip(paths, found, given, strict=True)]
        return found, rules, metric or "macro_ap"
    _refuse_of_masks(how | {"rule-a": given[0], "rule-b": given[1]})
    read = [[judged_masks(path) for path in side] for side in paths]
    require_one_size([path for side in paths for path in side])
    found = [[scores for scores, _ in side] for side in read]
    return found, [[rule for _, rule in side] for side in read], metric or usual_mask_metric(found[0][0])


def _refuse_of_masks(given: dict[str, Any]) -> None:
    """Say which flags are of rows: runs of masks are compared by what they stored of their test images."""
    said = [f"--{name}" for name, value in given.items() if name != "usual" and value not in (None, "test")]
    if said:
        raise ArgumentError(
            f"{said[0]} is of scores of rows: two runs of masks are compared on their test images, each at its own "
            "rule. Leave it out."
        )


def _names(names: str | None, given: tuple[str, str]) -> tuple[str, str]:
    if names is None:
        short = [Path((columns(one) or [one])[0]).stem for one in given]
        return (short[0], short[1]) if short[0] != short[1] else given
    parts = columns(names) or []
    if len(parts) != 2:
        raise ArgumentError(f"--names takes two names, comma-separated; got {names!r}.")
    return parts[0], parts[1]


def _files(given: str | None) -> list[Path]:
    return [Path(one) for one in columns(given) or []]


def _rules(paths: list[Path], scores: list[Scores], given: str | None) -> list[DecisionRule] | DecisionRule | None:
    files = _files(given)
    if not files and all((path / "decision.json").exists() for path in paths):
        files = [path / "decision.json" for path in paths]
    if not files:
        return fixed_rule(scores[0], None) if scores and scores[0].exclusive else None
    rules = [read_rule(path) for path in files]
    return rules[0] if len(rules) == 1 else rules


def show_comparison(result: Comparison) -> None:
    """Print the sentence, the numbers, and the classes."""
    printer = console()
    printer.print(result.sentence)
    positives = "images" if result.unit == "images" else "positives"
    headings = ("", *result.names, "difference", "p", "p adjusted", positives, "note")
    print_table(headings, [_cells(result.metric, result.overall), *(_cells("", one) for one in result.classes)])
    unit = f"{result.clusters:,} groups" if result.clustered else result.unit
    seeds = f", {result.seeds} training seeds" if result.seeds > 1 else ""
    printer.print(
        f"{result.cases:,} {result.unit} of the role {result.role}; {result.level:.0%} intervals from "
        f"{result.replicates:,} bootstrap replicates of {unit}{seeds}; p of classes adjusted by Holm's method."
    )
    for line in (result.needed_sentence, *result.notes):
        if line:
            printer.print(line)


def _cells(metric: str, one: Difference) -> tuple[str, ...]:
    def number(value: float, text: str) -> str:
        return "" if value != value else format(value, text)  # noqa: PLR0124

    interval = "" if one.low != one.low else f" [{one.low:+.3f}, {one.high:+.3f}]"
    return (
        one.class_name or metric, number(one.value_a, ".3f"), number(one.value_b, ".3f"),
        number(one.value, "+.3f") + interval, number(one.p, ".2g"), number(one.adjusted_p, ".2g"),
        f"{one.positives:,}", one.note,
    )  # fmt: skip
