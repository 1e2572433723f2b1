"""Matrices: read, resolved, refused when unfair, hashed, written and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from equipoise._checks import ArgumentError, DataError, RunError
from equipoise.ablation import read_matrix
from equipoise.ablation.aspects import ASPECTS, aspect_of
from equipoise.ablation.folder import append_status, write_ablation
from equipoise.recipe import Recipe, flat
from equipoise.report import AblationView
from equipoise.report.ablation_view import read_status


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "table.csv", "x,a,b\n1,0,1\n2,1,0\n")


def matrix_text(arms: str, more: str = "") -> str:
    return f"base: table\nset: {{data.labels: [a, b], data.groups: none}}\nseeds: 2\n{more}\narms:\n{arms}"


@pytest.fixture
def fair(tmp_path: Path) -> Path:
    return write(tmp_path / "fair.yaml", matrix_text("  plain: {}\n  sqrt: {balance.weights.scheme: sqrt}\n"))


def refused(tmp_path: Path, arms: str, more: str = "") -> str:
    with pytest.raises(ArgumentError) as raised:
        read_matrix(write(tmp_path / "matrix.yaml", matrix_text(arms, more)))
    return str(raised.value)


def test_cells_are_arms_by_seeds_on_one_split(fair: Path) -> None:
    matrix = read_matrix(fair, ["seed=7", "training.epochs=3"])
    assert [cell.id for cell in matrix.cells] == ["plain/seed-0", "sqrt/seed-0", "plain/seed-1", "sqrt/seed-1"]
    assert {cell.recipe.split_seed for cell in matrix.cells} == {7}
    assert [cell.recipe.seed for cell in matrix.cells] == [0, 0, 1, 1]
    assert {cell.recipe.training.epochs for cell in matrix.cells} == {3}
    assert len({cell.hash for cell in matrix.cells}) == 4
    assert [str(one) for one in matrix.differences["sqrt"]] == ['balance.weights.scheme: "none" -> "sqrt"']


def test_folds_deal_every_arm_and_seed_once_a_fold(tmp_path: Path) -> None:
    text = matrix_text("  plain: {}\n  focal: {loss.name: focal}\n", "folds: 3")
    matrix = read_matrix(write(tmp_path / "m.yaml", text))
    assert len(matrix.cells) == 2 * 2 * 3
    assert {(cell.recipe.split.fold, cell.recipe.split.folds) for cell in matrix.cells} == {(0, 3), (1, 3), (2, 3)}
    assert matrix.cells[0].folder == "cells/plain/seed-0-fold-0"


def test_another_budget_is_refused_with_key_and_both_values(tmp_path: Path) -> None:
    said = refused(tmp_path, "  plain: {training.epochs: 10}\n  focal: {loss.name: focal, training.epochs: 20}\n")
    assert "The arm focal differs from plain in budget, which it does not declare" in said
    assert "training.epochs is 10 in plain and 20 in focal" in said
    assert "declare: [budget]" in said


@pytest.mark.parametrize(
    ("change", "aspect"),
    [
        ("training.learning_rate: 0.1", "schedule"),
        ("training.patience: null", "budget"),
        ("split.fractions: [0.5, 0.25, 0.25]", "data"),
        ("data.exclude: [x]", "data"),
        ("model.name: mlp", "model"),
        ("images.size: 64", "augmentation"),
        ("decision.maximize: balanced_accuracy", "decision"),
        ("training.precision: bf16", "machine"),
    ],
)
def test_an_aspect_that_is_not_declared_is_refused_and_one_that_is_passes(
    tmp_path: Path, change: str, aspect: str
) -> None:
    assert f"differs from plain in {aspect}" in refused(tmp_path, f"  plain: {{}}\n  other: {{{change}}}\n")
    text = matrix_text(f"  plain: {{}}\n  other: {{change: {{{change}}}, declare: [{aspect}], why: a question}}\n")
    matrix = read_matrix(write(tmp_path / "declared.yaml", text))
    assert {one.aspect for one in matrix.differences["other"]} == {aspect}
    assert matrix.cells[1].recipe.log.why == "a question"


def test_every_key_of_a_recipe_has_an_aspect() -> None:
    keys = flat(Recipe().model_dump(mode="json"))
    assert {aspect_of(key) for key in keys if key.split(".")[0] not in ("name", "log", "arms")} == set(ASPECTS)


@pytest.mark.parametrize(
    ("arms", "more", "said"),
    [
        ("  plain: {}\n  same: {training.epochs: 100}\n", "", 'The arms "plain", "same" are the same recipe'),
        ("  plain: {}\n", "", "one arm, and nothing to compare it with"),
        ("  a: {}\n  b: {loss.name: focal}\n", "", 'Add reference: NAME, one of "a", "b"'),
        ("  plain: {}\n  b: {seed: 3}\n", "", "arm b: seed is the same for all arms"),
        ("  plain: {}\n  b: {split.folds: 3}\n", "", "arm b: split.folds is the same for all arms"),
        ("  plain: {}\n  b: {los.name: focal}\n", "", 'arm b, key los: unknown key.*Did you mean "loss"'),
        ("  plain: {}\n  ../b: {loss.name: focal}\n", "", "its name is also that of a folder"),
        ("  plain: {}\n  b: {change: {loss.name: focal}, declare: budge}\n", "", 'Did you mean "budget"'),
        ("  plain: {}\n  b: {change: {loss.name: focal}, note: x}\n", "", "unknown key note"),
        ("  plain: {}\n  b: {loss.name: focal}\n", "margin: -1", "margin must be null or a number above 0"),
        ("  plain: {}\n  b: {loss.name: focal}\n", "folds: 1", "folds must be null or a number of at least 2"),
        ("  plain: {}\n  b: {loss.name: focal}\n", "arm: {}", 'unknown key arm. Allowed.*Did you mean "arms"'),
        ("  plain: 3\n  b: {loss.name: focal}\n", "", "an arm must hold dotted keys"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, arms: str, more: str, said: str) -> None:
    import re

    assert re.search(said.replace("(", r"\("), refused(tmp_path, arms, more)), refused(tmp_path, arms, more)


@pytest.mark.parametrize("seeds", ["[0, 0]", "0", "[-1]", "[]", "many", "true"])
def test_seeds_that_cannot_be_are_said(tmp_path: Path, seeds: str) -> None:
    text = matrix_text("  plain: {}\n  b: {loss.name: focal}\n").replace("seeds: 2", f"seeds: {seeds}")
    with pytest.raises(ArgumentError, match="seed"):
        read_matrix(write(tmp_path / "m.yaml", text))


def test_hashes_are_of_what_the_result_depends_on(fair: Path, table: Path, tmp_path: Path) -> None:
    def hashes(*overrides: str, table: Path = table) -> list[str]:
        return [cell.hash for cell in read_matrix(fair, overrides, data={"table": str(table)}).cells]

    first = hashes()
    assert hashes() == first
    assert hashes("log.why=another question") == first
    moved = write(tmp_path / "moved.csv", table.read_text())
    assert hashes(table=moved) == first, "the content of the table counts, not where it lies"
    assert not set(hashes("training.epochs=3")) & set(first)
    table.write_text(table.read_text().replace("2,1,0", "2,1,1"))
    assert not set(hashes()) & set(first)


def test_the_folder_is_run_again_from_itself_and_keeps_what_a_person_said(fair: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_ablation(read_matrix(fair, ["training.epochs=3"]), out)
    matrix = out / "matrix.yaml"
    matrix.write_text(matrix.read_text().replace("decision: ''", "decision: keep plain"))
    before = AblationView.read(out)
    write_ablation(read_matrix(out), out)
    again = AblationView.read(out)
    assert again.about == before.about
    assert again.about["cells"] == [cell.to_dict() for cell in read_matrix(out).cells]
    assert again.log == {"why": "", "decision": "keep plain"}
    assert again.reference == "plain"
    assert set(again.status.values()) == {"waiting"}
    assert "4 cells are not trained yet" in again.problems()[0]


def test_a_folder_that_is_something_else_is_left_alone(fair: Path, tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", "mine")
    with pytest.raises(RunError, match="holds other files"):
        write_ablation(read_matrix(fair), tmp_path)
    with pytest.raises(RunError, match="no folder of an ablation"):
        AblationView.read(tmp_path)
    write(tmp_path / "ablation.json", "{}")
    with pytest.raises(DataError, match="is not what Equipoise writes"):
        AblationView.read(tmp_path)


def test_a_status_line_that_a_kill_cut_is_dropped(tmp_path: Path) -> None:
    append_status(tmp_path, "a/seed-0", "started")
    with (tmp_path / "status.jsonl").open("a") as file:
        file.write('{"cell": "a/se')
    assert len(list(read_status(tmp_path))) == 1
    append_status(tmp_path, "a/seed-0", "failed", "why", 2.0)
    assert [event["status"] for event in read_status(tmp_path)] == ["started", "failed"]
