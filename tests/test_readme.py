"""The README keeps its word: its Python runs from top to bottom, its commands run, its files and links are there.

A block is run unless the line before it is ``<!-- not run -->``. Python blocks share one set of names and one folder,
in the order of the page; lines of ``console`` and ``bash`` blocks that begin with ``equipoise`` (after ``$``, if there
is one) run in the same folder, in the same order.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
NOT_RUN = "<!-- not run -->"
BLOCK = re.compile(r"(?P<before>[^\n]*)\n+```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


@dataclasses.dataclass(frozen=True)
class Block:
    """One block of the README with its place."""

    line: int
    language: str
    text: str


def blocks() -> list[Block]:
    page = README.read_text(encoding="utf-8")
    return [
        Block(page[: found.start("text")].count("\n") + 1, found["language"], found["text"])
        for found in BLOCK.finditer(page)
        if found["before"].strip() != NOT_RUN
    ]


def commands(block: Block) -> list[str]:
    """The commands of a block, continued lines joined; what follows a command is its output."""
    joined = block.text.replace("\\\n", " ")
    lines = (line.strip().removeprefix("$ ") for line in joined.splitlines())
    return [line for line in lines if line.startswith("equipoise ")]


def run_command(command: str, folder: Path) -> None:
    arguments = shlex.split(command, comments=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-m", "equipoise", *arguments[1:]],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_readme_has_blocks_to_run() -> None:
    languages = {block.language for block in blocks()}
    assert "python" in languages
    assert languages & {"console", "bash", "sh"}
    assert any(commands(block) for block in blocks())


@pytest.mark.slow
def test_the_blocks_run_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks():
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(README), "exec"), names)
        elif block.language in ("console", "bash", "sh"):
            for command in commands(block):
                run_command(command, tmp_path)


def test_files_that_the_readme_shows_are_there() -> None:
    missing = [link for link in LINK.findall(README.read_text(encoding="utf-8")) if not (ROOT / link).exists()]
    assert missing == []


def test_the_two_commands_of_the_readme_are_those_of_the_makefile() -> None:
    page, makefile = README.read_text(encoding="utf-8"), (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in page
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
