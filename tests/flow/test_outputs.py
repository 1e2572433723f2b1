"""What a command writes: a file that is there is never replaced unless told, and the file that is read never."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_LABELS = ("--labels", "y", "--groups", "none")
_COMMANDS = {
    "census": ("census", "{table}", *_LABELS),
    "weights": ("weights", "{table}", *_LABELS, "--scheme", "sqrt"),
    "split": ("split", "{table}", *_LABELS),
    "decide": ("decide", "{scores}"),
    "evaluate": ("evaluate", "{test}", "--threshold", "0.5"),
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    table, scores, test = (tmp_path / name for name in ("table.csv", "scores.csv", "test.csv"))
    table.write_text("x,y\n" + "".join(f"{n % 7},{n % 4 == 0:d}\n" for n in range(80)))
    rows = [f"{n},{n},{{}},{n % 4 == 0:d},{(n % 4 == 0) * 0.5 + n % 7 / 20}\n" for n in range(80)]
    scores.write_text("id,group,role,y_a,p_a\n" + "".join(rows).format(*["validation"] * 80))
    test.write_text("id,group,role,y_a,p_a\n" + "".join(rows).format(*["test"] * 80))
    return {"table": table, "scores": scores, "test": test}


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_file_that_is_there_is_kept_unless_told(
    name: str, files: dict[str, Path], tmp_path: Path, command: Callable[..., Any]
) -> None:
    arguments = [part.format(**files) for part in _COMMANDS[name]]
    out = tmp_path / "out.csv"
    out.write_text("years of work")
    said = command(*arguments, "--out", out)
    assert (said.code, said.out) == (2, "")
    assert f"--out {out} exists. Choose another name, or add --overwrite to replace it." in said.error
    assert out.read_text() == "years of work"
    assert command(*arguments, "--out", out, "--overwrite").code == 0
    assert out.read_text() != "years of work"


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_file_that_is_read_and_a_folder_are_never_replaced(
    name: str, files: dict[str, Path], tmp_path: Path, command: Callable[..., Any]
) -> None:
    arguments = [part.format(**files) for part in _COMMANDS[name]]
    source = Path(arguments[1])
    before = source.read_bytes()
    (tmp_path / "link.csv").symlink_to(source)
    for out in (source, tmp_path / "link.csv"):
        said = command(*arguments, "--out", out, "--overwrite")
        assert said.code == 2
        assert "is a file that is read. Choose another name." in said.error
        assert source.read_bytes() == before
    assert "is a folder. Give the name of a file." in command(*arguments, "--out", tmp_path, "--overwrite").error
