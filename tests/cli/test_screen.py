"""What reaches the terminal: names from data are shown, never obeyed; what nobody foresaw is still one message."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from equipoise import cli
from equipoise._checks import printable
from equipoise.training import ProgressBar

_RED = "\x1b[31mred\x1b[0m"


def _command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["equipoise", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_escapes_in_names_do_not_reach_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"x,{_RED}\n" + "".join(f"{n % 7},{n % 4 == 0:d}\n" for n in range(80)), newline="")
    common = ("--labels", _RED, "--groups", "none")
    for arguments in (("census", table, *common), ("weights", table, *common), ("split", table, *common)):
        assert _command(monkeypatch, *arguments) == 0
        assert "\x1b" not in (out := capsys.readouterr().out)
        assert "[31mred[0m" in out
    assert _command(monkeypatch, "census", table, "--labels", f"{_RED}?") == 2
    assert "\x1b" not in capsys.readouterr().err
    ProgressBar().say(_RED)
    assert "\x1b" not in capsys.readouterr().err


def test_printable_keeps_letters_lines_and_tabs() -> None:
    assert printable("Müller\t漢\nline") == "Müller\t漢\nline"
    assert printable("\x9b31m\x07\r\x00\x7f") == "31m"


def test_a_closed_standard_output_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("y\n" + "1\n0\n" * 20)
    monkeypatch.setattr(sys, "stdout", None)
    assert _command(monkeypatch, "census", tmp_path / "t.csv", "--labels", "y") == 0


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/data/x"), "equipoise: /data/x: Permission denied. Check the path"),
        (OSError("strange"), "equipoise: strange. Check the path"),
        (MemoryError(), "equipoise: There is not enough memory for this."),
    ],
)
def test_what_nobody_foresaw_is_one_message(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    assert _command(monkeypatch, "census") == 2
    assert capsys.readouterr().err.startswith(message)
