"""The folder of an ablation: what is written before the first cell is trained, and the record of every event."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise._checks import RunError, listed
from equipoise._files import write_json, write_text
from equipoise._yaml import read_yaml, yaml_text
from equipoise.ablation.matrix import Matrix
from equipoise.recipe import write_recipe
from equipoise.report.ablation_view import ABOUT, FORMAT, MATRIX, STATUS, VERSION, is_ablation, read_about
from equipoise.runs import Run

_BASE = "base.yaml"


def write_ablation(matrix: Matrix, path: str | Path, *, overwrite: bool = False) -> None:
    """Write ``ablation.json``, ``matrix.yaml`` and ``base.yaml``; an ablation that is there may grow, not change.

    Args:
        matrix: as resolved.
        path: the folder; made where it is missing.
        overwrite: cells that are there under another recipe will be trained again.

    Raises:
        RunError: the folder is something else, holds cells of other recipes, or cannot be written.
    """
    path = Path(path)
    before = _before(path)
    if before is not None and not overwrite:
        _require_same(matrix, before, path)
    write_recipe(matrix.recipe, path / _BASE)
    write_text(path / MATRIX, yaml_text(_matrix_text(matrix, path)))
    made = before["created"] if before is not None and "created" in before else _now()
    if before is not None and Path(matrix.base) == path / _BASE:  # run again from the folder itself
        matrix = dataclasses.replace(matrix, base=before.get("base", matrix.base))
    about = {"format": FORMAT, "version": VERSION, "name": matrix.name, "equipoise": "", "created": made}
    kept = {"dropped": before["dropped"]} if before is not None and before.get("dropped") and not overwrite else {}
    write_json(path / ABOUT, about | matrix.to_dict() | kept)


def append_status(path: Path, cell: str, status: str, message: str = "", seconds: float | None = None) -> None:
    """Append one line to ``status.jsonl`` and bring it to disk.

    Args:
        path: the folder of the ablation.
        cell: its id.
        status: ``started``, ``finished``, ``failed``, ``dropped`` or ``lost``.
        message: why it failed or was dropped.
        seconds: how long it took.
    """
    event = {"time": _now(), "cell": cell, "status": status, "message": message, "seconds": seconds}
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


def _require_same(matrix: Matrix, before: Mapping[str, Any], path: Path) -> None:
    """Raise where a cell that was begun would now be another run."""
    told = {cell["id"]: cell["hash"] for cell in before["cells"]}
    changed = [
        cell.id for cell in matrix.cells
        if told.get(cell.id, cell.hash) != cell.hash and (path / cell.folder / "run.json").is_file()
    ]  # fmt: skip
    if not changed:
        return
    version = Run.open(path / "cells" / changed[0]).about.get("equipoise")
    made = f" They were made by Equipoise {version}." if version != matrix.to_dict()["equipoise"] else ""
    raise RunError(
        f"{path} holds {len(changed)} cells of other recipes or another table, such as {changed[0]}.{made} Give "
        "another --out, or --overwrite to train them again."
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
