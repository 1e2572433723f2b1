"""Folds: every row is tested once, groups stay whole, and each fold is a run like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from equipoise._checks import ArgumentError
from equipoise.recipe import Recipe, make_recipe, resolve_arms
from equipoise.report import ArmsView, RunView
from equipoise.scores import read_scores
from equipoise.training import prepare, train_arms


def _recipe(folder: Path, *overrides: str) -> Recipe:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 3))
    ill = rng.random((300, 2)) < 1 / (1 + np.exp(1.5 - x[:, :2]))
    lines = ["id,patient,a,b,c,y_one,y_two"]
    for row, (cells, said) in enumerate(zip(x.round(3), ill, strict=True)):
        lines.append(",".join(map(str, [f"r{row}", f"p{row // 3}", *cells, *map(int, said)])))
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    settings = ["data.ids=id", "split.folds=4", "model.name=linear", "training.epochs=2", *overrides]
    return make_recipe(folder / "table.csv", ["y_one", "y_two"], groups="patient", overrides=settings)


@pytest.mark.parametrize("members", [1, 3])
def test_folds_share_out_all_rows_in_whole_groups(tmp_path: Path, members: int) -> None:
    found = [prepare(arm) for arm in resolve_arms(_recipe(tmp_path, f"training.members={members}")).values()]
    tested = np.concatenate([prepared.test for prepared in found])
    assert sorted(tested.tolist()) == list(range(300))
    for prepared in found:
        groups = prepared.labels.groups
        assert groups is not None
        watched = np.concatenate([member.validation for member in prepared.members])
        learned = np.unique(np.concatenate([member.train for member in prepared.members]))
        assert len(set(watched.tolist()) | set(learned.tolist()) | set(prepared.test.tolist())) == 300
        assert not set(prepared.test.tolist()) & set(learned.tolist())
        for member in prepared.members:
            roles = [set(groups[rows].tolist()) for rows in (member.train, member.validation, prepared.test)]
            assert sum(map(len, roles)) == len(set.union(*roles)) == 100
    rates = [prepared.labels.values[prepared.test].mean(axis=0) for prepared in found]
    assert np.ptp(np.array(rates), axis=0).max() < 0.05, "each class has about its prevalence in each fold"


def test_what_is_left_is_shared_as_the_fractions_say(tmp_path: Path) -> None:
    arms = resolve_arms(_recipe(tmp_path, "training.members=1", "split.fractions=[0.6, 0.2, 0.2]", "seed=3"))
    prepared = prepare(arms["fold-2"])
    assert len(prepared.members[0].validation) == pytest.approx(225 / 4, abs=3)
    assert len(prepared.members[0].train) == pytest.approx(225 * 3 / 4, abs=3)
    again = prepare(arms["fold-2"].model_copy(update={"seed": 9, "split": arms["fold-2"].split.model_copy(
        update={"seed": 3})}))  # fmt: skip
    np.testing.assert_array_equal(again.test, prepared.test)


def test_a_recipe_with_folds_is_trained_once_a_fold(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, "training.members=1")
    arms = train_arms(recipe, out=tmp_path / "runs")
    assert list(arms.runs) == ["fold-0", "fold-1", "fold-2", "fold-3"]
    scores = [read_scores(run.scores_file("test"), role="test", task="multilabel") for run in arms.runs.values()]
    assert sorted(np.concatenate([one.ids for one in scores]).tolist()) == sorted(f"r{row}" for row in range(300))
    view = ArmsView.of({name: RunView.read(run) for name, run in arms.runs.items()})
    assert view.comparisons == ()
    assert view.sentences()[0].startswith("Over 4 folds, in which each row is tested once: macro-F1 0.")


def test_arms_and_folds_are_for_an_ablation(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, "arms={plain: {}, focal: {loss.name: focal}}")
    with pytest.raises(ArgumentError, match="Compare arms over folds with equipoise ablate"):
        resolve_arms(recipe)
