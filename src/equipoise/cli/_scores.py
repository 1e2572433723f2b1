"""What `decide` and `evaluate` share: where scores come from, and how long tables are printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise._checks import DataError
from equipoise.scores import Scores, read_scores

ScoresArgument = Annotated[
    Path,
    typer.Argument(
        help="A run folder, or a CSV, TSV or Parquet file with columns id, group, y_<class> and p_<class> "
        "(probabilities) or z_<class> (logits).",
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


def load_scores(
    path: Path, *, role: str | None, usual: str, task: str | None, ids: str | None, groups: str | None
) -> Scores:
    """Return the scores of a file, or of a run folder (there of the role `usual` unless told otherwise)."""
    if not path.is_dir():
        return read_scores(path, role=role, task=task, ids=ids, groups=groups, prefer=usual)
    from equipoise.runs import Run

    run = Run.open(path)
    found = run.scores_roles()
    if (role or usual) not in found:
        raise DataError(
            f"{path} has no scores of the role {role or usual}; it has {', '.join(found) or 'none'}. "
            "Finish the run, or choose one of those with --role."
        )
    return read_scores(run.scores_file(role or usual), role=role or usual)
