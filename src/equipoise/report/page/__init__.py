"""One HTML file that explains a run or an ablation: it needs no network, and opens from the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from equipoise._checks import ArgumentError
from equipoise._files import write_text

__all__ = ["write_page"]

if TYPE_CHECKING:
    from equipoise.evidence.subgroups import Subgroups


def write_page(source: str | Path, out: str | Path | None = None, *, subgroups: Subgroups | None = None) -> Path:
    """Write the page of a run or of an ablation; return its path.

    The file holds everything that it shows: no network is needed, and none can be reached from it. It is made from the
    folder alone, without training, and the same folder gives the same bytes.

    Args:
        source: a run folder or the folder of an ablation, finished or not.
        out: the file; by default ``report.html`` inside the folder.
        subgroups: figures of subgroups of the judged role, for a run; None leaves them out.

    Raises:
        ArgumentError: subgroups are given for an ablation, or for a run of masks.
        RunError: there is no run in the folder, it has not come so far as to count its labels, or the disk is full.
        DataError: a file of the run is damaged.
    """
    from equipoise.recipe import read_recipe
    from equipoise.report.ablation_view import AblationView, is_ablation
    from equipoise.report.page._ablation import ablation_page
    from equipoise.report.page._mask_run import mask_run_page
    from equipoise.report.page._run import run_page
    from equipoise.runs import Run

    source = Path(source)
    path = source / "report.html" if out is None else Path(out)
    if not is_ablation(source):
        run = Run.open(source)
        if not read_recipe(run.file("recipe.yaml")).model.of_masks:
            write_text(path, run_page(run, subgroups))
            return path
        if subgroups is not None:
            raise ArgumentError("`subgroups` of write_page are of rows; a run of masks has images. Leave them out.")
        write_text(path, mask_run_page(run))
        return path
    if subgroups is not None:
        raise ArgumentError("`subgroups` of write_page are of one run; an ablation has many. Leave them out.")
    write_text(path, ablation_page(AblationView.read(source), path.parent))
    return path
