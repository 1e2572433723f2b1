"""One experiment of the log: a run, or an ablation, as Markdown; what cannot be read is said and stops nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from equipoise._checks import EquipoiseError
from equipoise._files import read_json
from equipoise._yaml import read_yaml
from equipoise.report._markdown import cell, line

# What a file that is JSON or YAML, but not what Equipoise writes, does to whoever reads it.
DAMAGED = (EquipoiseError, OSError, KeyError, TypeError, ValueError, AttributeError, IndexError)
_LONGEST = 90  # signs of a question in the index


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A line of the index, and the record behind it; everything is Markdown already.

    Attributes:
        id: the folder, seen from that of the log, which no other experiment has.
        created: when it was begun, for the order; empty where nobody knows.
        focus: the question, or what it trains.
        status: finished or not, in words.
        result: the figure that matters most.
        decision: what a person decided; may be empty.
        sections: pairs of a heading and its text.
    """

    id: str
    created: str
    focus: str
    status: str
    result: str
    decision: str
    sections: tuple[tuple[str, str], ...]

    @property
    def order(self) -> tuple[str, str]:
        """Oldest first, what has no date last."""
        return (self.created or "9999", self.id)

    @property
    def date(self) -> str:
        """The day it was begun."""
        return self.created[:10] if self.created[:4].isdigit() else ""


def damaged_experiment(name: str, folder: Path, error: Exception) -> Experiment:
    """Return the experiment of a folder that cannot be read."""
    said = str(error) if isinstance(error, EquipoiseError) else f"a file is not what Equipoise writes ({error!r})"
    text = f"Damaged: {cell(said.replace(str(folder), name))}"
    return Experiment(name, _created(folder), "", "damaged", "", "", (("Status", text),))


def _created(folder: Path) -> str:
    for file in ("run.json", "ablation.json"):
        try:
            return str(read_json(folder / file)["created"])
        except DAMAGED:
            continue
    return ""


def read_log_fields(file: Path) -> tuple[str, str]:
    """Return `why` and `decision` of the section `log` of a recipe or matrix; empty where they are not written."""
    try:
        said = read_yaml(file).values["log"]
        return str(said.get("why") or ""), str(said.get("decision") or "")
    except DAMAGED:
        return "", ""


def question_text(why: str, file: str) -> str:
    """Return the question as a paragraph, or where to write it."""
    return line(why) if why.strip() else f"Not written down: `log: why` in {link(file, file)}."


def decision_text(decision: str, file: str) -> str:
    """Return the decision as a paragraph, or where to write it."""
    return line(decision) if decision.strip() else f"Not written down: `log: decision` in {link(file, file)}."


def short(text: str) -> str:
    """Return text that fits the index."""
    flat = " ".join(text.split())
    return cell(flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1].rstrip() + "…")


def link(text: str, target: str) -> str:
    """Return a link to a file beside the log; names of any kind stay names."""
    return f"[{cell(text)}]({quote(target, safe='/.-_', errors='replace')})"


def artefact_text(folder: Path, name: str, files: Sequence[str], hashes: Mapping[str, Any]) -> str:
    """Return links to the files that are there, with the beginning of the SHA-256 that DONE vouches for."""
    there = [file for file in files if (folder / file).exists()]
    lines = [f"- [{cell(file)}]({quote(f'{name}/{file}', safe='/.-_', errors='replace')})" for file in there]
    said = [f", SHA-256 {str(hashes[file])[:12]}" if file in hashes else "" for file in there]
    return "\n".join(one + more for one, more in zip(lines, said, strict=True))
