"""EXPERIMENTS.md: a log of every run and ablation, made from their folders and never written by hand."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from equipoise._checks import RunError
from equipoise._files import read_json, write_text
from equipoise.report._experiment import DAMAGED, Experiment
from equipoise.report._log_ablation import ablation_experiment
from equipoise.report._log_run import flat_recipe, run_experiment
from equipoise.report._markdown import cell, table_lines
from equipoise.report.ablation_view import is_ablation

_HEAD = re.compile(r"\A<!-- equipoise log 1 sha256:([0-9a-f]{64})[^\n]*-->\n")
_SAID = (
    "Made by `equipoise log` from the run folders. Do not edit: write the question and the decision into the section "
    "log of recipe.yaml (of an ablation: matrix.yaml), as why and decision, and run it again."
)


def write_log(folder: str | Path = "runs", out: str | Path = "EXPERIMENTS.md") -> Path:
    """Write the log of every run and ablation below a folder; return its path.

    The same folders give the same bytes. Test results of an ablation are in it only where its test role was opened.

    Args:
        folder: with the run folders, at any depth.
        out: the log. One that was edited by hand, or is another file, is never replaced.

    Raises:
        RunError: the folder is not there, the file may not be replaced, or the disk is full.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder. Give the folder that holds the run folders, such as runs.")
    require_own(out)
    text = log_text(folder, beside=out.parent)
    write_text(out, text)
    return out


def log_text(folder: Path, *, beside: Path | None = None) -> str:
    """Return the log as Markdown.

    Args:
        folder: with the run folders.
        beside: the folder that links start from; that folder itself by default.
    """
    experiments = sorted(read_experiments(folder, beside or folder), key=lambda one: one.order)
    parts = ["# Experiments", _SAID, _index(experiments)]
    for one in experiments:
        parts.append(f"## {cell(one.id)}")
        parts += [f"### {heading}\n\n{text}" for heading, text in one.sections if text]
    body = "\n\n".join(parts) + "\n"
    body = body.encode("utf-8", errors="replace").decode()  # names of files need not be UTF-8
    return f"<!-- equipoise log 1 sha256:{_hash(body)} {_SAID} -->\n{body}"


def require_own(out: Path) -> None:
    """Raise `RunError` where a file is not a log as `write_log` left it."""
    if not os.path.lexists(out):
        return
    if out.is_dir():
        raise RunError(f"{out} is a folder. Give the name of a file with --out.")
    try:
        text = out.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{out} could not be read as a log ({error}). Give another name with --out.") from error
    found = _HEAD.match(text)
    if found is None:
        raise RunError(f"{out} was not made by `equipoise log` and is not replaced. Give another name with --out.")
    if found[1] != _hash(text[found.end() :]):
        raise RunError(
            f"{out} was edited by hand, and what was written there would be lost. Put it into the section log (why, "
            f"decision) of the recipe.yaml or matrix.yaml of the experiment, then remove {out} and run this again."
        )


def read_experiments(folder: Path, beside: Path) -> Iterator[Experiment]:
    """Yield every run and ablation below a folder, the cells of an ablation within it."""
    found = list(_folders(folder))
    flat = {path: flat_recipe(path) for path in found if not is_ablation(path)}
    begun = sorted((_begun(path), path.as_posix(), path) for path in flat)
    for path in found:
        name = Path(os.path.relpath(path, beside)).as_posix()
        if is_ablation(path):
            yield ablation_experiment(path, name)
            continue
        own = (_begun(path), path.as_posix())
        earlier = [
            (Path(os.path.relpath(other, beside)).as_posix(), flat[other])
            for when, text, other in begun if (when, text) < own
        ]  # fmt: skip
        yield run_experiment(path, name, earlier)


def _begun(path: Path) -> str:
    try:
        return str(read_json(path / "run.json")["created"])
    except DAMAGED:
        return "9999"


def _folders(folder: Path) -> Iterator[Path]:
    """Yield run folders and ablations, sorted; what is inside one belongs to it, and what was replaced is left out."""
    for path in sorted(folder.iterdir(), key=lambda one: one.name):
        if not path.is_dir() or path.is_symlink() or path.name.startswith(".") or path.name.endswith(".previous"):
            continue
        if (path / "run.json").is_file() or is_ablation(path):
            yield path
        else:
            yield from _folders(path)


def _index(experiments: list[Experiment]) -> str:
    if not experiments:
        return "No experiment yet."
    heads = ["id", "date", "focus", "status", "key result", "decision"]
    rows = [
        [cell(one.id), one.date, one.focus, cell(one.status), one.result, one.decision or "—"] for one in experiments
    ]
    lines = table_lines(heads, rows)
    return "\n".join([lines[0], "|---|---|---|---|---|---|", *lines[2:]])


def _hash(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8")).hexdigest()
