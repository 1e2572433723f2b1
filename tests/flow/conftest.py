"""What the flows share: commands as a user types them, run in this process so that a hundred of them are cheap."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Said(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    error: str


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``equipoise ARGUMENTS`` and return what it said; an exception that reaches the user fails the test."""
    from equipoise.cli import main

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["equipoise", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        out, error = capsys.readouterr()
        assert isinstance(code, int), code
        return Said(code, out, error)

    return run
