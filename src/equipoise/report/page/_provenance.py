"""Where a page comes from: versions, seeds, hashes, and the command that does it again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from equipoise._checks import DataError
from equipoise._files import read_json
from equipoise.report.page._parts import Cell, Section, Table

if TYPE_CHECKING:
    from equipoise.recipe import Recipe
    from equipoise.report.mask_view import MaskView
    from equipoise.report.view import RunView
    from equipoise.runs import Run


def provenance_section(run: Run, view: RunView | MaskView) -> Section:
    """Return versions, seeds, the hash of every file that DONE vouches for, and the command to do it again."""
    recipe = view.recipe
    facts = [
        ("recipe", recipe.name), ("made", str(run.about.get("created", "unknown"))),
        ("Equipoise", str(run.about.get("equipoise", "unknown"))), *_versions(run.about),
        ("seed", str(recipe.seed)), ("seed of the split", str(recipe.split_seed)), *_sources(recipe),
        ("groups", str(recipe.data.groups)), ("model", recipe.model.name), ("members", str(view.members)),
        ("decision rule for", "none yet" if view.rule is None else view.rule.maximize),
    ]  # fmt: skip
    rows = tuple((Cell(name), Cell(text)) for name, text in facts)
    tables = [Table("How this run was made", ("what", "value"), rows, words=frozenset({1}))]
    hashes = _hashes(run)
    if hashes:
        lines = tuple((Cell(name), Cell(digest)) for name, digest in sorted(hashes.items()))
        tables.append(Table("SHA-256 of the files, when the run was finished", ("file", "hash"), lines,
                            words=frozenset({1})))  # fmt: skip
    again = f"equipoise train {shlex.quote(str(view.path / 'recipe.yaml'))} --out {shlex.quote(f'{view.path}-again')}"
    return Section("provenance", "Provenance", tables=tuple(tables), commands=(("Do it again", again),))


def _sources(recipe: Recipe) -> list[tuple[str, str]]:
    """Where the data came from: a table, and of masks their folder or columns."""
    data = recipe.data
    found = [("table", str(data.table))] if data.table is not None or not data.masks else []
    return [*found, ("masks", ", ".join(map(str, data.masks)))] if data.masks else found


def _versions(about: dict[str, Any]) -> list[tuple[str, str]]:
    found = about.get("versions")
    return [(str(name), str(number)) for name, number in found.items()] if isinstance(found, dict) else []


def _hashes(run: Run) -> dict[str, str]:
    if not run.is_done:
        return {}
    try:
        done = read_json(run.path / "DONE")
    except DataError:
        return {}
    files = done.get("files") if isinstance(done, dict) else None
    return {str(name): str(digest) for name, digest in files.items()} if isinstance(files, dict) else {}
