"""What the commands that read scores share: where the scores come from, and what the columns of a file are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise._checks import ArgumentError, DataError
from equipoise.cli._options import columns, console
from equipoise.decision import DecisionRule, fixed_rule, read_rule
from equipoise.scores import Scores, read_scores

ScoresArgument = Annotated[
    Path,
    typer.Argument(
        help="A run folder, or a CSV, TSV or Parquet file with columns id, group, y_CLASS and p_CLASS "
        "(probabilities) or z_CLASS (logits); other columns are named with --labels, --scores and --kind.",
        show_default=False,
    ),
]
RoleOption = Annotated[
    str | None, typer.Option("--role", help="train, validation or test, where the file does not say.")
]
ScoreIdsOption = Annotated[
    str | None, typer.Option("--ids", help='Column that names each row (default "id"), or "none".')
]
ScoreGroupsOption = Annotated[
    str | None,
    typer.Option("--groups", help='Column of the patient (default "group"), or "none" if rows are independent.'),
]
ScoreTaskOption = Annotated[
    str | None,
    typer.Option("--task", help="Needed for grades in a column y: ordinal. Otherwise read from the columns."),
]


ScoreLabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels", "--label",
        help="Label columns, comma-separated: one per score column, or the one that holds the name of the class. "
        'Default: y_CLASS, or y. "none": the labels are unknown.',
    ),
]  # fmt: skip
ScoreValuesOption = Annotated[
    str | None,
    typer.Option("--scores", "--score", help="Score columns, comma-separated. Default: all p_CLASS or z_CLASS."),
]
KindOption = Annotated[
    str | None,
    typer.Option("--kind", help="probabilities or logits, where the names of the score columns do not say it."),
]
ScorePositiveOption = Annotated[
    str | None, typer.Option("--positive", help="Which label is positive, where 0/1 or no/yes does not say.")
]
ScoreClassesOption = Annotated[
    str | None,
    typer.Option("--classes", help="Names of the classes, comma-separated, in the order of the score columns."),
]
RuleOption = Annotated[
    Path | None, typer.Option("--rule", help="decision.json of `decide`. Default for a run folder: its own.")
]
ThresholdOption = Annotated[
    float | None, typer.Option("--threshold", help="One fixed probability for all classes instead of a rule.")
]


def choose_rule(scores: Path, rule: Path | None, threshold: float | None, found: Scores) -> DecisionRule | None:
    """Return the rule that was asked for; else that of a run folder, or for exclusive classes the most likely one.

    None where nothing says when to predict.
    """
    if rule is not None and threshold is not None:
        raise ArgumentError("--rule and --threshold exclude each other. Give one of them.")
    if threshold is not None:
        return fixed_rule(found, threshold)
    if rule is None and scores.is_dir() and (scores / "decision.json").exists():
        rule = scores / "decision.json"
    if rule is None and found.exclusive:
        return fixed_rule(found, None)  # the most likely class: nothing to fit and nothing to choose
    return None if rule is None else read_rule(rule)


def load_scores(
    path: Path,
    *,
    role: str | None,
    usual: str,
    task: str | None,
    ids: str | None,
    groups: str | None,
    labels: str | None = None,
    values: str | None = None,
    kind: str | None = None,
    positive: str | None = None,
    classes: str | None = None,
) -> Scores:
    """Return the scores of a file, or of a run folder (there of the role `usual` unless told otherwise).

    What was inferred from the file, and what in it looks odd, is said on standard error.
    """
    if not path.is_dir():
        found = read_scores(
            path, role=role, task=task, ids=ids, groups=groups, prefer=usual,
            labels=labels if labels == "none" else columns(labels),
            values=columns(values), kind=kind, positive=positive, classes=columns(classes),
        )  # fmt: skip
        for note in (*found.notes, *found.doubts()):
            console(stderr=True).print(note)
        return found
    given = {"--labels": labels, "--scores": values, "--kind": kind, "--positive": positive, "--classes": classes}
    if any(given.values()):
        used = ", ".join(flag for flag, value in given.items() if value)
        raise ArgumentError(f"{used}: a run folder says itself what its scores are. Leave that out, or give a file.")
    from equipoise.runs import Run

    run = Run.open(path)
    roles = run.scores_roles()
    if (role or usual) not in roles:
        raise DataError(
            f"{path} has no scores of the role {role or usual}; it has {', '.join(roles) or 'none'}. "
            "Finish the run, or choose one of those with --role."
        )
    return read_scores(run.scores_file(role or usual), role=role or usual)
