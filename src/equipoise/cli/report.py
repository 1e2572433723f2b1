"""`equipoise report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise._checks import ArgumentError
from equipoise.cli._mask_runs import is_mask_run
from equipoise.cli._options import OverwriteOption, check_free, console
from equipoise.cli._scores import ScoreIdsOption
from equipoise.cli._subgroups import ByOption, ByTableOption, subgroup_names

if TYPE_CHECKING:
    from equipoise.evidence.subgroups import Subgroups

_REPLICATES = 200


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|ABLATION", help="The folder of a run or of an ablation, finished or not.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The HTML file. Default: report.html in the folder, made anew.")
    ] = None,
    by: ByOption = None,
    by_table: ByTableOption = None,
    ids: ScoreIdsOption = None,
    cells: Annotated[
        bool, typer.Option("--cells", help="Of an ablation: write the page of every finished cell too, first.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write one HTML file that explains a run or an ablation: result, classes, thresholds to explore, findings, origin.

    Of a run of masks: Dice beside trivial answers, the worst images, predicted beside true shares by epoch.

    The file needs no network. Thresholds that are chosen in it are saved as a decision.json, which **predict --rule**
    and **evaluate --rule** take.
    """
    from equipoise.report import write_page

    if out is not None and out.suffix.casefold() not in (".html", ".htm"):
        raise ArgumentError(f"--out must end in .html; got {out.name}.")
    check_free(out, overwrite, source=(run, by_table))
    if by is None and by_table is not None:
        raise ArgumentError("--by-table has the column that --by names. Add --by COLUMN.")
    if cells:
        _write_cells(run)
    found = None if by is None else _subgroups(run, by, by_table, ids)
    written = write_page(run, out, subgroups=found)
    console().print(f"{written} ({written.stat().st_size / 1e6:.1f} MB)")
    if open_page:
        import webbrowser

        webbrowser.open(written.resolve().as_uri())


def _subgroups(folder: Path, by: str, table: Path | None, ids: str | None) -> Subgroups:
    """Judge each subgroup of the role that the page judges, by the rule of the run."""
    from equipoise.evidence.subgroups import evaluate_by
    from equipoise.report import RunView
    from equipoise.runs import Run, is_sealed

    if is_mask_run(folder):
        raise ArgumentError(
            f"--by: {folder} is a run of masks, whose figures are of images, not of rows. Leave it out."
        )
    view = RunView.read(Run.open(folder), damaged=[])
    sealed = is_sealed(folder)
    if "test" not in view.scores or sealed:
        why = "its test role is not opened yet" if sealed else "it has no scores of a test role"
        raise ArgumentError(f"--by: subgroups of {folder} cannot be judged: {why}. Leave --by out.")
    scores, recipe = view.scores["test"], view.recipe
    names = subgroup_names(folder, scores, by, table or Path(str(recipe.data.table)), ids or recipe.data.ids)
    return evaluate_by(scores, names, view.rule, by=by, replicates=_REPLICATES)


def _write_cells(folder: Path) -> None:
    from equipoise.report import write_page
    from equipoise.report.ablation_view import read_about

    for cell in read_about(folder)["cells"]:
        if (folder / cell["folder"] / "DONE").is_file():
            console().print(str(write_page(folder / cell["folder"])))
