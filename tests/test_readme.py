"""The README and the pages keep their word: their Python runs, their commands print what is shown, their links lead on.

A block is run unless the line before it is ``<!-- not run -->``. Python blocks share one set of names and one folder,
in the order of the page; lines of ``console`` and ``bash`` blocks that begin with ``equipoise`` (after ``$``, if there
is one) run in the same folder, in the same order. In a block with ``$``, the lines below a command are its output: each
must be among what it prints, except for ``...``, which stands for lines left out. Its numbers may differ by one in a
hundred: processors round sums differently, and a model that is trained on a page is not the same to the last digit.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import processes

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = {"README": README} | {name: ROOT / "docs" / f"{name}.md" for name in ("balance", "decisions", "images")}
NOT_RUN = "<!-- not run -->"
BLOCK = re.compile(r"(?P<before>[^\n]*)\n+```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


@dataclasses.dataclass(frozen=True)
class Block:
    """One block of a page with its place."""

    line: int
    language: str
    text: str


def blocks(path: Path) -> list[Block]:
    page = path.read_text(encoding="utf-8")
    return [
        Block(page[: found.start("text")].count("\n") + 1, found["language"], found["text"])
        for found in BLOCK.finditer(page)
        if found["before"].strip() != NOT_RUN
    ]


@dataclasses.dataclass(frozen=True)
class Shown:
    """A command of a page, and the lines of output that the page shows below it."""

    command: str
    output: tuple[str, ...]


def commands(block: Block) -> list[Shown]:
    """The commands of a block with their output, continued lines joined."""
    found: list[tuple[str, list[str]]] = []
    prompted = any(line.startswith("$ ") for line in block.text.splitlines())
    for line in block.text.replace("\\\n", " ").splitlines():
        text = line.strip()
        if text.removeprefix("$ ").startswith("equipoise ") and text.startswith("$ ") == prompted:
            found.append((text.removeprefix("$ "), []))
        elif text.startswith("$ "):
            found.append(("", []))  # another program: its output is not ours
        elif found and prompted and text not in ("", "..."):
            found[-1][1].append(_plain(text))
    return [Shown(command, tuple(output)) for command, output in found if command]


def _plain(line: str) -> str:
    """A line of output without the borders of tables and the width of its columns."""
    return " ".join(re.sub(r"[─-╿]", " ", line).split())


def _same(shown: str, printed: str) -> bool:
    """Whether two lines have the same words, and numbers that are nearly the same."""
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(abs(_number(one) - _number(other)) <= 0.01 * abs(_number(one)) + 0.0011 for one, other in pairs)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def run_command(shown: Shown, folder: Path, *, fresh: bool = False) -> None:
    run = processes.run_fresh if fresh else processes.run
    done = run(*shlex.split(shown.command, comments=True)[1:], folder=folder, more={"COLUMNS": "120"})
    assert done.returncode == 0, f"{shown.command}\n{done.stdout}\n{done.stderr}"
    printed = [_plain(line) for line in (done.stdout + done.stderr).splitlines()]
    missing = [line for line in shown.output if not any(_same(line, other) for other in printed)]
    assert missing == [], f"{shown.command} does not print these lines, but:\n{done.stdout}\n{done.stderr}"


def test_the_readme_has_blocks_to_run() -> None:
    languages = {block.language for block in blocks(README)}
    assert "python" in languages
    assert languages & {"console", "bash", "sh"}
    assert any(commands(block) for block in blocks(README))


def test_output_is_told_from_commands() -> None:
    block = Block(
        1, "console", "$ equipoise census t.csv \\\n    --labels a\n│ a │ 0.5 │\n...\n\n$ ls\nx\n$ equipoise version\n"
    )
    assert commands(block) == [
        Shown("equipoise census t.csv      --labels a", ("a 0.5",)), Shown("equipoise version", ()),
    ]  # fmt: skip


def test_numbers_on_a_page_may_differ_in_their_last_digit_and_no_more() -> None:
    assert _same("a 0.635 [0.44, 1,272]", "a 0.634 [0.44, 1,272]")
    assert not _same("a 0.635", "a 0.62")
    assert not _same("a 35", "a 36")
    assert not _same("a 0.635", "b 0.635")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_run_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "readme"}
    fresh = True  # the first command of a page starts as it does for its reader; the others need not import all again
    for block in blocks(PAGES[page]):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(PAGES[page]), "exec"), names)
        elif block.language in ("console", "bash", "sh"):
            for shown in commands(block):
                run_command(shown, tmp_path, fresh=fresh)
                fresh = False


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_shows_are_there(page: str) -> None:
    path = PAGES[page]
    links = LINK.findall(path.read_text(encoding="utf-8"))
    missing = [link for link in links if not (path.parent / link).exists()]
    assert missing == []


def test_the_two_commands_of_the_readme_are_those_of_the_makefile() -> None:
    page, makefile = README.read_text(encoding="utf-8"), (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in page
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
