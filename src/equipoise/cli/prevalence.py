"""`equipoise prevalence`."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError
from equipoise._files import write_json
from equipoise.cli._figures import FigureOption, check_figure
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
from equipoise.decision import DecisionRule, write_rule
from equipoise.scores import Scores

if TYPE_CHECKING:
    from equipoise.decision.prevalence import PrevalenceEstimate, PrevalenceTable

_USUAL = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
_FIGURES = (("ppv", "PPV", 3), ("npv", "NPV", 4), ("f1", "F1", 3), ("alarms", "alarms per 1,000", 0))


AtOption = Annotated[
    str | None,
    typer.Option("--at", help="Prevalences, such as 0.01,0.05, or FROM:TO or FROM:TO:NUMBER, evenly by ratio."),
]
UnlabelledOption = Annotated[
    Path | None,
    typer.Option("--unlabelled", "--unlabeled", help="Scores of new cases, to estimate their prevalence from."),
]
MethodOption = Annotated[
    str, typer.Option("--method", help="How to estimate: em, bbse (counts predictions) or bbse_soft.")
]
RuleOutOption = Annotated[
    Path | None,
    typer.Option("--rule-out", help="Write the rule moved to the estimated prevalence, or to the one of --at."),
]
RefitOption = Annotated[
    Path | None,
    typer.Option(
        "--refit", help="Validation scores, to fit the thresholds of --rule-out again. Default for a run: its own."
    ),
]
ReplicatesOption = Annotated[
    int | None,
    typer.Option(
        "--replicates",
        help="Draws behind an interval; 0 for none in the table. Default: 1,000; estimates of large tables 200.",
    ),
]
LevelOption = Annotated[float, typer.Option("--level", help="Coverage of the intervals.")]


def prevalence(
    scores: ScoresArgument,
    rule: RuleOption = None,
    threshold: ThresholdOption = None,
    at: AtOption = None,
    unlabelled: UnlabelledOption = None,
    method: MethodOption = "em",
    rule_out: RuleOutOption = None,
    refit: RefitOption = None,
    role: RoleOption = None,
    task: ScoreTaskOption = None,
    ids: ScoreIdsOption = None,
    groups: ScoreGroupsOption = None,
    labels: ScoreLabelsOption = None,
    values: ScoreValuesOption = None,
    kind: KindOption = None,
    positive: ScorePositiveOption = None,
    classes: ScoreClassesOption = None,
    replicates: ReplicatesOption = None,
    level: LevelOption = 0.95,
    seed: SeedOption = 0,
    figure: FigureOption = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Show what thresholds do where a class is more or less common; estimate how common it is; move the rule there.

    Sensitivity and specificity are measured on labelled scores that the rule was not fitted on (of a run folder the
    test role). PPV, NPV, F1 and alarms follow at each prevalence, with intervals.
    """
    from equipoise.decision.prevalence import prevalence_table

    _check_files((scores, rule, unlabelled, refit), out, rule_out, figure, overwrite)
    shares = parse_shares(at)
    columns = _Columns(ids, groups, labels, values, kind, positive, classes)
    found = columns.load(scores, role, "test", task)
    chosen = _rule(scores, rule, threshold, found)
    draws = _Draws(1000 if replicates is None else replicates, level, seed)
    estimate = (
        None
        if unlabelled is None
        else _estimate(
            unlabelled, found, chosen, method, columns, dataclasses.replace(draws, replicates=replicates or 0)
        )
    )
    table = prevalence_table(found, chosen, _places(shares, estimate, found), **dataclasses.asdict(draws))
    moved = None
    if rule_out is not None:
        again = _refit_scores(refit, scores, rule, columns)
        moved = chosen.at_prevalence(_target(shares, estimate, found), scores=again, reference=_own(chosen, table))
    result = _result(table, estimate, moved)
    if figure is not None:
        _draw(figure, prevalence_table(found, chosen, _grid(table), **dataclasses.asdict(draws)), estimate)
    if moved is not None and rule_out is not None:
        write_rule(moved, rule_out)
    if out is not None:
        write_json(out, result)
    if json:
        print_json(result)
        return
    show_prevalence(table, estimate)
    said = [] if moved is None else _said_of(moved, found, chosen)
    for line in (*said, *(f"Written to {path}." for path in (rule_out, out, figure) if path is not None)):
        console().print(line)


def _check_files(
    read: tuple[Path | None, ...], out: Path | None, rule_out: Path | None, figure: Path | None, overwrite: bool
) -> None:
    check_free(out, overwrite, source=read)
    check_free(rule_out, overwrite, source=read, flag="--rule-out", others={"--out": out})
    check_figure(figure, None, overwrite, source=read, out=out, rule_out=rule_out)


@dataclasses.dataclass(frozen=True)
class _Draws:
    """How intervals are drawn."""

    replicates: int
    level: float
    seed: int


@dataclasses.dataclass(frozen=True)
class _Columns:
    """What the columns of the score files are."""

    ids: str | None
    groups: str | None
    labels: str | None
    values: str | None
    kind: str | None
    positive: str | None
    classes: str | None

    def load(self, path: Path, role: str | None, usual: str, task: str | None) -> Scores:
        """Return the scores of a file or a run folder."""
        return load_scores(path, role=role, usual=usual, task=task, **dataclasses.asdict(self))


def _estimate(
    path: Path, found: Scores, rule: DecisionRule, method: str, columns: _Columns, draws: _Draws
) -> PrevalenceEstimate:
    """Return the prevalence of the unlabelled scores in a file; labels that it may have are not looked at."""
    from equipoise.decision.prevalence import estimate_prevalence
    from equipoise.labels.table import open_table

    if path.is_dir():
        raise ArgumentError(f"--unlabelled {path} is a folder. Give a file of scores.")
    role = None if "role" in open_table(path).columns else "test"
    # Score columns that were named one by one do not say what their classes are called: the labelled scores do.
    names = columns.classes if columns.values is None else ",".join(one.replace(",", "\\,") for one in found.classes)
    blind = dataclasses.replace(columns, labels="none", positive=None, classes=names)
    other = blind.load(path, role, "test", found.task)
    wanted = draws.replicates if draws.replicates >= 20 else None
    return estimate_prevalence(found, other, method, rule=rule, replicates=wanted, level=draws.level, seed=draws.seed)


def _result(table: PrevalenceTable, estimate: PrevalenceEstimate | None, moved: DecisionRule | None) -> dict[str, Any]:
    return {
        "table": table.to_dict(),
        "estimate": None if estimate is None else estimate.to_dict(),
        "moved_rule": None if moved is None else moved.to_dict(),
    }


def parse_shares(text: str | None) -> tuple[float, ...] | None:
    """Return the prevalences that --at names.

    Raises:
        ArgumentError: it names none.

    Example:
        >>> parse_shares("0.01, 0.05"), [round(one, 4) for one in parse_shares("0.001:0.1:3")]
        ((0.01, 0.05), [0.001, 0.01, 0.1])
    """
    if text is None:
        return None
    remedy = "Give shares above 0 and below 1, such as --at 0.01,0.05, or a range such as --at 0.001:0.1:9."
    try:
        if ":" in text:
            parts = text.split(":")
            low, high = float(parts[0]), float(parts[1])
            count = int(parts[2]) if len(parts) > 2 else 9
            if len(parts) > 3 or not 0 < low < high < 1 or not 2 <= count <= 1000:
                raise ArgumentError(f"--at {text} is no range. {remedy}")
            return tuple(low * (high / low) ** (step / (count - 1)) for step in range(count))
        shares = tuple(float(part) for part in text.split(",") if part.strip())
    except (ValueError, IndexError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"--at {text} is not a list of numbers. {remedy}") from error
    if not shares or not all(0 < share < 1 for share in shares):
        raise ArgumentError(f"--at {text} names a share that is not between 0 and 1. {remedy}")
    return shares


def show_prevalence(table: PrevalenceTable, estimate: PrevalenceEstimate | None) -> None:
    """Print the table, one line per class and prevalence, and the estimate."""
    lines = []
    for index, name in enumerate(table.classes):
        for column, share in enumerate(table.prevalence[index].tolist()):
            if math.isnan(share) or not table.positives[index] * table.negatives[index]:
                continue
            figures = [_cell(table, figure, index, column, digits) for figure, _, digits in _FIGURES]
            told = {0: " (these rows)", 1: "" if estimate is None else " (estimated)"}.get(column, "")
            lines.append((name if column == 0 else "", f"{share:.3g}{told}", *figures))
    print_table(("class", "prevalence", *(heading for _, heading, _ in _FIGURES)), lines)
    rates = [
        f"{name}: sensitivity {_cell(table, 'sensitivity', index, 0, 3)} of {table.positives[index]:,} positives, "
        f"specificity {_cell(table, 'specificity', index, 0, 3)} of {table.negatives[index]:,} negatives"
        for index, name in enumerate(table.classes)
        if table.positives[index] * table.negatives[index]
    ]
    if table.replicates and rates:
        rates.append(
            "Intervals take the prevalence as known, that of these rows too; `evaluate` draws rows and gives others."
        )
    console().print(*rates, *table.notes, sep="\n")
    if estimate is not None:
        console().print(*estimate.sentences(), sep="\n")


def _cell(table: PrevalenceTable, figure: str, index: int, column: int, digits: int) -> str:
    value, low, high = (part[figure][index, column] for part in (table.values, table.low, table.high))
    if math.isnan(value):
        return "-"
    return f"{value:.{digits}f}" + ("" if math.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]")


def _rule(scores: Path, rule: Path | None, threshold: float | None, found: Scores) -> DecisionRule:
    chosen = choose_rule(scores, rule, threshold, found)
    if chosen is None:
        raise ArgumentError(
            "What thresholds do elsewhere needs thresholds. Give --rule decision.json (from equipoise decide), or "
            "--threshold."
        )
    return chosen


def _places(shares: tuple[float, ...] | None, estimate: PrevalenceEstimate | None, found: Scores) -> Any:
    """Return the prevalences of the table, shape (classes, prevalences): the estimated one first."""
    import numpy as np

    given = shares if shares is not None else (() if estimate is not None else _USUAL)
    every = np.tile(np.asarray(given, dtype=np.float64), (len(found.classes), 1))
    if estimate is None:
        return every
    inner = np.where((estimate.prevalence > 0) & (estimate.prevalence < 1), estimate.prevalence, np.nan)
    return np.column_stack([inner, every])


def _target(shares: tuple[float, ...] | None, estimate: PrevalenceEstimate | None, found: Scores) -> Any:
    """Return the prevalence that the rule is moved to."""
    import numpy as np

    if estimate is not None and found.exclusive:
        filled = np.maximum(np.nan_to_num(estimate.prevalence), 1e-6)  # a share of 0 would be out for good
        return filled / filled.sum()
    if estimate is not None:
        return np.where((estimate.prevalence > 0) & (estimate.prevalence < 1), estimate.prevalence, np.nan)
    if shares is None or len(shares) != 1 or found.exclusive:
        raise ArgumentError(
            "--rule-out needs to know where to: give --unlabelled, or for yes-or-no classes one share with --at."
        )
    return np.full(len(found.classes), shares[0])


def _own(rule: DecisionRule, table: PrevalenceTable) -> Any:
    """Return where a rule that was not fitted is taken to be: at the prevalence of the labelled rows."""
    return table.prevalence[:, 0] if rule.positives is None and rule.prevalence is None else None


def _refit_scores(refit: Path | None, scores: Path, rule: Path | None, columns: _Columns) -> Scores | None:
    if refit is None and scores.is_dir() and rule is None:
        from equipoise.runs import Run

        refit = scores if "validation" in Run.open(scores).scores_roles() else None
    if refit is None:
        return None
    from equipoise.labels.table import open_table

    unsaid = not refit.is_dir() and "role" not in open_table(refit).columns
    return columns.load(refit, "validation" if unsaid else None, "validation", None)


def _said_of(moved: DecisionRule, found: Scores, chosen: DecisionRule) -> list[str]:
    """Return what was done to the rule, and what the written rule does: the table is of the rule before it moved."""
    from equipoise.decision.prevalence import prevalence_table

    said = list(moved.notes[len(chosen.notes) :])
    if any(note.startswith("Thresholds were kept as probabilities") for note in said):
        said.append(
            f"Warning: {moved.maximize} depends on the prevalence and nothing was fitted again: the written rule "
            "may predict far too few or too many. Fit it again: --refit VALIDATION_SCORES."
        )
    if moved.prevalence is None:
        return said
    table = prevalence_table(found, moved, moved.prevalence[:, None], replicates=0)
    figures = [
        f"{name} sensitivity {_cell(table, 'sensitivity', index, 1, 3)}, {_cell(table, 'alarms', index, 1, 0)} alarms "
        f"per 1,000 at {share:.3g}"
        for index, (name, share) in enumerate(zip(table.classes, moved.prevalence.tolist(), strict=True))
        if not math.isnan(share)
    ]
    return [*said, f"The written rule (the table shows the rule as it was): {'; '.join(figures)}."] if figures else said


def _grid(table: PrevalenceTable) -> Any:
    """Return the prevalences that a figure is drawn at: from one in a thousand to one half, and all of the table."""
    import numpy as np

    shares = table.prevalence[(table.prevalence > 0) & (table.prevalence < 1)]
    return np.geomspace(min(1e-3, shares.min(initial=1e-3)), max(0.5, shares.max(initial=0.5)), 60)


def _draw(path: Path, table: PrevalenceTable, estimate: PrevalenceEstimate | None) -> None:
    from equipoise.report._style import write_figure
    from equipoise.report.prevalence_plot import plot_prevalence

    write_figure(plot_prevalence(table, estimate), path)
