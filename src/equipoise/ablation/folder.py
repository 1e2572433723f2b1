"""The folder of an ablation: what is written before the first cell is trained, and the record of every event."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise._checks import RunError, listed
from equipoise._files import write_json, write_text
from equipoise._yaml import read_yaml, yaml_text
from equipoise.ablation.matrix import Cell, Matrix
from equipoise.recipe import write_recipe
from equipoise.report.ablation_view import ABOUT, FORMAT, MATRIX, STATUS, VERSION, is_ablation, read_about, read_status
from equipoise.runs import Run

_BASE = "base.yaml"


def begin_ablation(path: Path) -> None:
    """Make the folder of an ablation, or find it there.

    Raises:
        RunError: it holds something else, or cannot be made.
    """
    _before(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path} could not be made: {error.strerror or error}. Choose another folder.") from error


def write_ablation(matrix: Matrix, path: str | Path, *, overwrite: bool = False, keep_dropped: bool = False) -> None:
    """Write ``ablation.json``, ``matrix.yaml`` and ``base.yaml``; an ablation that is there may grow, not change.

    Args:
        matrix: as resolved.
        path: the folder; made where it is missing.
        overwrite: move cells to ``previous/`` that are there under another recipe, or were changed by hand.
        keep_dropped: arms that were dropped stay dropped.

    Raises:
        RunError: the folder is something else, holds cells of other recipes, or cannot be written.
    """
    path = Path(path)
    before = _before(path)
    if before is not None:
        changed = _changed(matrix, before, path)
        if changed and not overwrite:
            raise RunError(_refused(matrix, path, changed))
        _set_aside(path, [*changed, *(_edited(matrix, path) if overwrite else [])])
    write_recipe(matrix.recipe, path / _BASE)
    write_text(path / MATRIX, yaml_text(_matrix_text(matrix, path)))
    made = before["created"] if before is not None and "created" in before else _now()
    if before is not None and Path(matrix.base) == path / _BASE:  # run again from the folder itself
        matrix = dataclasses.replace(matrix, base=before.get("base", matrix.base))
    about = {"format": FORMAT, "version": VERSION, "name": matrix.name, "equipoise": "", "created": made}
    kept = {"dropped": before["dropped"]} if before is not None and before.get("dropped") and keep_dropped else {}
    write_json(path / ABOUT, about | matrix.to_dict() | kept)


def append_status(
    path: Path, cell: str, status: str, message: str = "", seconds: float | None = None, *, digest: str | None = None
) -> None:
    """Append one line to ``status.jsonl`` and bring it to disk.

    Args:
        path: the folder of the ablation.
        cell: its id.
        status: ``started``, ``finished``, ``failed``, ``dropped`` or ``lost``.
        message: why it failed or was dropped.
        seconds: how long it took.
        digest: the hash of a cell that is finished.
    """
    event = {"time": _now(), "cell": cell, "status": status, "message": message, "seconds": seconds}
    event |= {} if digest is None else {"hash": digest}
    line = (json.dumps(event, ensure_ascii=False) + "\n").encode()
    descriptor = os.open(path / STATUS, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        there = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        if there and not there.endswith(b"\n"):  # a kill cut the last line
            os.ftruncate(descriptor, there.rfind(b"\n") + 1)
        os.write(descriptor, line)
        os.fsync(descriptor)
    except OSError as error:
        raise RunError(f"{path / STATUS} could not be written: {error.strerror or error}. Free some space.") from error
    finally:
        os.close(descriptor)


def _before(path: Path) -> dict[str, Any] | None:
    """Return what is written of the ablation that is there, or None where the folder is new or empty."""
    if is_ablation(path):
        return read_about(path)
    left = {ABOUT, MATRIX, _BASE, STATUS, "lock"}
    strange = [one.name for one in path.iterdir() if one.name not in left and not one.name.endswith(".part")] if (
        path.is_dir()
    ) else []  # fmt: skip
    if strange:
        raise RunError(f"{path} holds other files ({listed(strange, limit=3)}). Choose another folder with --out.")
    return None


def finished_twin(path: Path, cell: Cell) -> str | None:
    """Return the folder of a finished cell whose result must be the same, such as that of an arm that was renamed.

    Args:
        path: the folder of the ablation.
        cell: that is not finished.
    """
    hashes = {event["cell"]: event.get("hash") for event in read_status(path) if event.get("status") == "finished"}
    same = [name for name, digest in hashes.items() if digest == cell.hash and name != cell.id]
    return next((f"cells/{name}" for name in same if (path / "cells" / name / "DONE").is_file()), None)


def _changed(matrix: Matrix, before: Mapping[str, Any], path: Path) -> list[Cell]:
    """Return the cells that were begun and would now be other runs."""
    told = {cell["id"]: cell["hash"] for cell in before["cells"]}
    return [
        cell for cell in matrix.cells
        if told.get(cell.id, cell.hash) != cell.hash and (path / cell.folder / "run.json").is_file()
    ]  # fmt: skip


def _edited(matrix: Matrix, path: Path) -> list[Cell]:
    """Return the cells that were changed after they were finished."""
    done = [cell for cell in matrix.cells if (path / cell.folder / "DONE").is_file()]
    return [cell for cell in done if Run.open(path / cell.folder).changed_files()]


def _set_aside(path: Path, cells: Sequence[Cell]) -> None:
    for cell in cells:
        aside = path / "previous" / cell.id
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(parents=True, exist_ok=True)
            (path / cell.folder).rename(aside)
        except OSError as error:
            raise RunError(f"{path / cell.folder} could not be set aside: {error.strerror or error}.") from error


def _refused(matrix: Matrix, path: Path, changed: Sequence[Cell]) -> str:
    version = Run.open(path / changed[0].folder).about.get("equipoise")
    made = f" They were made by Equipoise {version}." if version != matrix.to_dict()["equipoise"] else ""
    count = "1 cell" if len(changed) == 1 else f"{len(changed)} cells"
    return (
        f"{path} holds {count} of other recipes or another table, such as {changed[0].id}.{made} Give another --out, "
        "or --overwrite to train them again."
    )


def _matrix_text(matrix: Matrix, path: Path) -> dict[str, Any]:
    """The matrix as it can be run again from the folder; what a person wrote into its log is kept."""
    there = read_yaml(path / MATRIX).values if (path / MATRIX).is_file() else None
    said = there.get("log") if isinstance(there, dict) else None
    said = said if isinstance(said, dict) else {}
    return {
        "name": matrix.name,
        "base": _BASE,
        "seeds": list(matrix.seeds),
        "folds": matrix.folds,
        "metric": matrix.metric,
        "margin": matrix.margin,
        "reference": matrix.reference,
        "arms": {
            arm.name: {"change": dict(arm.changes), "declare": list(arm.declare), "why": arm.why} for arm in matrix.arms
        },
        "log": {key: said.get(key) or matrix.log[key] for key in ("why", "decision")},
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
