"""`equipoise recipes`: the list, one recipe as it is written, every key, changed keys, and names that do not exist."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import processes
from equipoise.recipe import packaged_recipes, read_recipe


def equipoise(*arguments: str) -> subprocess.CompletedProcess[str]:
    return processes.run(*arguments)


def test_the_list_has_one_line_for_each() -> None:
    lines = equipoise("recipes").stdout.splitlines()
    for name in packaged_recipes():
        assert sum(line.split(" ", 1)[0] == name for line in lines) == 1
    assert set(json.loads(equipoise("recipes", "--json").stdout)) == set(packaged_recipes())


def test_a_recipe_is_printed_as_it_is_written_and_can_be_used(tmp_path: Path) -> None:
    printed = equipoise("recipes", "comorbidity").stdout
    assert printed == packaged_recipes()["comorbidity"].read_text()
    (tmp_path / "mine.yaml").write_text(printed)
    assert read_recipe(tmp_path / "mine.yaml") == read_recipe("comorbidity")


def test_every_key_and_changed_keys(tmp_path: Path) -> None:
    full = equipoise("recipes", "table", "--full").stdout
    assert "checkpoint_seconds:" in full
    changed = equipoise("recipes", "table", "--set", "training.epochs=7", "--json")
    assert json.loads(changed.stdout)["training"]["epochs"] == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("comorbidty",), 'there is no recipe "comorbidty".'),
        (("table", "--set", "training.epoch=7"), 'Did you mean "epochs"?'),
        (("nowhere.yaml",), "nowhere.yaml could not be read"),
    ],
)
def test_errors_are_one_line_and_no_traceback(arguments: tuple[str, ...], message: str) -> None:
    done = equipoise("recipes", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
