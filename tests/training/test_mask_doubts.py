"""Doubts about masks that the counts alone tell: what is warned of, what it is called, and remedies that mend it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from equipoise._checks import ArgumentError
from equipoise.recipe import Recipe, read_recipe
from equipoise.training.mask_prepare import MaskPrepared, prepare_masks
from mask_runs import recipe_of, write_discs

pytest.importorskip("monai", reason="MONAI is not installed")

HARSH = {"ground": 12.0, "disc": 0.7}
COUNTS = {"source": "masks", "fingerprint": "0", "scheme": "inverse", "counts": {"ground": 1, "disc": 1}}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(tmp_path_factory.mktemp("doubts"), images=10)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the cache of places lies beside the runs


def prepared(table: Path, **sections: Any) -> MaskPrepared:
    return prepare_masks(recipe_of(table, **sections))


def mended(recipe: Recipe, warning: str, folder: Path) -> Recipe:
    """The recipe with what the last brackets of a warning say."""
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    settings = re.findall(r"([\w.]+): (\[.*?\]|[^,()\]]+)", re.findall(r"\(([^()]*)\)", warning)[-1])
    return read_recipe(folder / "recipe.yaml", [f"{key}={value}" for key, value in settings])


def test_the_remedy_against_weights_by_hand_takes_them_out(table: Path, tmp_path: Path) -> None:
    harsh = prepared(table, balance={"weights": {"values": HARSH}})
    (warning,) = harsh.warnings()
    assert "balance.weights.values: null" in warning
    repaired = prepare_masks(mended(harsh.recipe, warning, tmp_path))
    assert not repaired.warnings()
    assert repaired.weights is not None
    assert repaired.weights.values[1] > repaired.weights.values[0]


def test_full_balance_is_never_warned_of(table: Path) -> None:
    assert not prepared(table, balance={"weights": {"scheme": "inverse", "normalise": "sum"}}).warnings()


@pytest.mark.parametrize("weights", [
    {"scheme": "inverse", "values": HARSH},
    {"scheme": "inverse", "values": HARSH, "counts_from": COUNTS},
    {"values": {}, "counts_from": COUNTS},
])  # fmt: skip
def test_weights_by_hand_beside_what_they_leave_nothing_to_do_are_an_error(
    weights: dict[str, Any], table: Path
) -> None:
    with pytest.raises(ArgumentError, match=r"balance\.weights\.(values|counts_from)"):
        recipe_of(table, balance={"weights": weights})


def test_weights_by_hand_are_called_so_and_those_of_a_scheme_by_it(table: Path) -> None:
    harsh = prepared(table, balance={"weights": {"values": HARSH}})
    assert any(said.startswith("Class weights (given by hand): ground 12") for said in harsh.sentences())
    assert harsh.weights is not None
    counts = dict(zip(harsh.classes, harsh.census.positives.tolist(), strict=True))
    made = prepared(table, balance={"weights": {"values": HARSH, "counts_from": COUNTS | {"counts": counts}}})
    assert made.weights is not None
    assert made.weights.name == "inverse"
    assert type(made.weights).from_dict(json.loads(json.dumps(made.weights.to_dict()))).name == "inverse"
