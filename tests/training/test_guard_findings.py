"""Every finding on a case where it was planted, none on healthy runs, and remedies that a recipe takes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise.decision import fit_decision
from equipoise.evidence.finding import KINDS, STANDING, Finding
from equipoise.recipe import Recipe, make_recipe, read_recipe
from equipoise.report import diagnose
from equipoise.runs import Run
from equipoise.scores import Scores
from equipoise.training import Guard, train
from equipoise.training._conclusion import conclude, learned_record, training_sample
from equipoise.training._course import fallen, still_rising, trend_chance
from equipoise.training._remedies import remedy
from equipoise.training._standing import Areas

_ROWS = 600


def _scores(values: np.ndarray, labels: np.ndarray) -> Scores:
    return Scores(
        labels=labels, values=values, kind="logits", ids=np.arange(len(values)), role="validation", classes=["Rare"]
    )


def _table(path: Path, columns: dict[str, np.ndarray]) -> Path:
    pl.DataFrame(columns).write_csv(path)
    return path


def _trained(table: Path, labels: Sequence[str], out: Path, *overrides: str, **data: str) -> tuple[Run, dict[Any, Any]]:
    """A finished run, and its findings by kind and class."""
    common = ["training.members=1", "model.name=linear", "split.fractions=[0.6, 0.4, 0]"]
    run = train(make_recipe(table, labels, groups="none", overrides=[*common, *overrides], **data), out=out)
    return run, {one.last.subject: one for one in diagnose(run).found}


# --- planted in whole trainings


def test_a_focal_collapse_is_named_by_its_cause_for_each_rare_class(tmp_path: Path) -> None:
    random, rows = np.random.default_rng(1), 6000
    x = random.normal(size=(rows, 5))
    chances = {
        "seen_a": 1 / (1 + np.exp(5.0 - 1.5 * x[:, 0])),
        "seen_b": 1 / (1 + np.exp(4.5 - 1.5 * x[:, 1])),
        "blind_a": np.full(rows, 0.03),
        "blind_b": np.full(rows, 0.04),
    }
    columns = {f"x{number}": x[:, number] for number in range(5)}
    columns |= {name: (random.random(rows) < chance).astype(int) for name, chance in chances.items()}
    focal = ("loss={name: focal, alpha: 0.25, gamma: 2}", "training.epochs=5")
    run, found = _trained(_table(tmp_path / "t.csv", columns), list(chances), tmp_path / "run", *focal)
    standing = {name: kind for kind, name in found if kind in STANDING}
    assert standing == {
        "seen_a": "threshold_only", "seen_b": "threshold_only", "blind_a": "no_ranking", "blind_b": "no_ranking"
    }  # fmt: skip
    assert ("stopped_early", None) in found, "five epochs are too few, and that is said too"
    scores = run.events()[-1]["findings"]
    assert all(one["evidence"]["naive_rate"] == 0 for one in scores)
    last = [event for event in run.events() if event["event"] == "epoch"][-1]
    assert all(0 < share < 0.6 for share in last["gradient_from_positives"])


def test_a_model_that_learns_noise_by_heart_is_named(tmp_path: Path) -> None:
    random, rows = np.random.default_rng(1), 400
    x = random.normal(size=(rows, 40))
    columns = {f"x{number}": x[:, number] for number in range(40)}
    columns["ill"] = (random.random(rows) < 1 / (1 + np.exp(1.2 - 0.7 * x[:, 0]))).astype(int)
    loose = (
        "model={name: mlp, width: 128, depth: 2, dropout: 0}", "training.weight_decay=0", "training.epochs=30",
        "training.patience=null", "training.monitor=macro_recall", "training.average=0",
    )  # fmt: skip
    found = _trained(_table(tmp_path / "t.csv", columns), ["ill"], tmp_path / "run", *loose)[1]
    assert ("overfitting", "ill") in found
    told = found["overfitting", "ill"].last
    assert told.evidence["training_auc"] > told.evidence["auc"] + 0.15
    assert told.evidence["auc_high"] < told.evidence["training_auc"]


def test_a_collapsed_training_is_stopped_when_asked_and_finished_honestly(tmp_path: Path) -> None:
    random, rows = np.random.default_rng(2), 900
    columns = {f"x{number}": random.normal(size=rows) for number in range(3)}
    columns["ill"] = (random.random(rows) < 0.3).astype(int)
    table = _table(tmp_path / "t.csv", columns)
    settings = ("training.epochs=15", "training.patience=null", "split.fractions=[0.3, 0.7, 0]")
    stopped, found = _trained(table, ["ill"], tmp_path / "stop", *settings, "training.on_collapse=stop")
    told = found["no_ranking", None].last
    assert told.severity == "collapse"
    assert "Training was stopped (training.on_collapse: stop)" in told.sentence
    member = next(event for event in stopped.events() if event["event"] == "member")
    assert (member["epochs"], member["ended_by"]) == (told.epoch, "collapse")
    assert member["epochs"] < 15
    assert stopped.is_done
    assert stopped.has_record("decision")
    warned, also = _trained(table, ["ill"], tmp_path / "warn", *settings)
    assert also["no_ranking", None].seen[0].epoch == told.epoch
    assert "stopped" not in also["no_ranking", None].last.sentence
    ended = next(event for event in warned.events() if event["event"] == "member")
    assert (ended["epochs"], ended["ended_by"]) == (15, "epochs")
    before = [event for event in warned.events() if event["event"] == "epoch"][: member["epochs"]]
    same = [event for event in stopped.events() if event["event"] == "epoch"]
    assert [one["monitored"] for one in before] == [one["monitored"] for one in same], "the guard changed the training"


# --- planted in the course of a training


def _course(watched: Sequence[float], losses: Sequence[float], monitor: str = "macro_auc") -> list[Finding]:
    """What a guard says of a healthy class over epochs with this watched metric and training loss."""
    labels = (np.arange(_ROWS) < 200).astype(float)
    scores = _scores(labels * 3 - 1.5 + np.random.default_rng(0).normal(size=_ROWS), labels)
    recipe = Recipe.model_validate({"training": {"epochs": len(watched), "monitor": monitor}})
    guard, told = Guard(["Rare"], recipe), []
    for epoch, (value, loss) in enumerate(zip(watched, losses, strict=True), start=1):
        told += guard.look(scores, epoch=epoch, monitored=value, training_loss=loss).findings
    return [*told, *guard.conclude(epoch=len(watched), ran_out=True)]


def test_a_metric_that_falls_while_the_loss_improves_is_named_once() -> None:
    losses = np.geomspace(0.6, 0.1, 14)
    watched = [0.6, 0.7, 0.78, 0.8, 0.8, 0.79, 0.76, 0.73, 0.7, 0.69, 0.68, 0.67, 0.66, 0.65]
    told = _course(watched, losses.tolist())
    assert [finding.kind for finding in told] == ["diverging"]
    assert told[0].evidence["best_epoch"] in (4, 5)
    assert told[0].evidence["training_loss_now"] < told[0].evidence["training_loss_then"]
    assert [one.kind for one in _course([1 - value for value in watched], losses.tolist(), "loss")] == ["diverging"]
    rising = losses[::-1].tolist()
    assert _course(watched, rising) == [], "the loss got worse too: that is another matter"


def test_a_metric_that_only_jumps_or_levels_off_is_not_accused() -> None:
    random = np.random.default_rng(3)
    losses = np.geomspace(0.6, 0.1, 40).tolist()
    plateau = 0.8 - 0.2 * np.exp(-np.arange(40) / 4)
    for size in (0.0, 0.003, 0.01, 0.03):
        watched = (plateau + size * random.normal(size=40)).tolist()
        assert still_rising(watched, higher_is_better=True) is None
        for end in range(1, 41):
            assert fallen(watched[:end], losses[:end], higher_is_better=True, noise=0.01) is None


def test_epochs_that_ran_out_while_it_still_improved_are_named() -> None:
    rising = (0.8 - 0.2 * np.exp(-np.arange(12) / 8)).tolist()
    told = _course(rising, np.geomspace(0.6, 0.3, 12).tolist())
    assert [finding.kind for finding in told] == ["stopped_early"]
    assert told[0].settings == {"training.epochs": 24}
    labels = (np.arange(_ROWS) < 200).astype(float)
    guard = Guard(["Rare"], Recipe.model_validate({"training": {"epochs": 12, "monitor": "macro_auc"}}))
    for epoch, value in enumerate(rising, start=1):
        guard.look(_scores(labels * 2 - 1, labels), epoch=epoch, monitored=value, training_loss=0.5)
    assert guard.conclude(epoch=12, ran_out=False) == [], "patience or a collapse ended it"


def test_the_trend_test_is_exact() -> None:
    orders = [np.array(order, dtype=float) for order in itertools.permutations(range(5))]
    wrong = [sum(a > b for a, b in itertools.combinations(order, 2)) for order in orders]
    for order, count in zip(orders, wrong, strict=True):
        assert trend_chance(order) == pytest.approx(np.mean([one <= count for one in wrong]))


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6], [0.5, np.nan, 0.7, 0.8, 0.9], [0.5] * 30])
def test_little_or_unknown_course_says_nothing(values: list[float]) -> None:
    assert still_rising(values, higher_is_better=True) is None
    assert fallen(values, values, higher_is_better=True, noise=0.0) is None


def test_a_class_that_is_lost_again_is_named_when_it_stays_lost() -> None:
    labels = (np.arange(_ROWS) < 60).astype(float)
    noise = np.random.default_rng(4).normal(size=_ROWS)
    guard = Guard(["Rare"], Recipe.model_validate({"training": {"epochs": 50}}))
    strengths = [1.0, 2.0, 2.5, 0.3, 2.5, 2.4, 0.6, 0.5, 0.4, 0.3]
    told = [
        guard.look(_scores(strength * labels + noise, labels), epoch=epoch).findings
        for epoch, strength in enumerate(strengths, start=1)
    ]
    assert [[finding.kind for finding in one] for one in told[:-2]] == [[]] * 8, "one bad epoch is none"
    [finding] = told[8]
    assert (finding.kind, finding.class_name, finding.epoch) == ("unlearning", "Rare", 9)
    assert finding.evidence["best_epoch"] in (3, 5)
    assert finding.evidence["auc_high"] < finding.evidence["best_auc"]


def test_a_later_phase_with_another_loss_is_measured_by_itself() -> None:
    recipe = Recipe.model_validate({"training": {"epochs": 20}, "balance": {"schedule": {"from_epoch": 8}}})
    labels = (np.arange(_ROWS) < 60).astype(float)
    guard = Guard(["Rare"], recipe)
    noise = np.random.default_rng(5).normal(size=_ROWS)
    for epoch in range(1, 15):
        strength, loss = (2.5, 0.2) if epoch < 8 else (0.8, 0.5)
        scores = _scores(strength * labels + noise, labels)
        assert guard.look(scores, epoch=epoch, monitored=loss, training_loss=1 / epoch).findings == ()


# --- the kept models


def _concluded(scores: Scores, events: Sequence[dict[str, Any]] = (), *, maximize: str = "f1") -> dict[Any, Finding]:
    rule = fit_decision(scores, maximize=maximize, empty="never")
    return {one.subject: one for one in conclude(scores, rule.apply(scores), events, Recipe())}


def test_few_positives_are_said_to_be_few_not_unranked() -> None:
    labels = (np.arange(_ROWS) < 6).astype(float)
    good = np.random.default_rng(6).normal(size=_ROWS) + 0.8 * labels - 5
    found = _concluded(_scores(good, labels))
    assert set(found) == {("unclear", "Rare")}
    assert "too few positives to say why" in found["unclear", "Rare"].sentence
    assert found["unclear", "Rare"].severity == "note"


def test_a_threshold_that_says_yes_to_all_is_named() -> None:
    labels = (np.arange(_ROWS) < 210).astype(float)
    scores = _scores(np.random.default_rng(7).normal(size=_ROWS) + labels - 0.5, labels)
    assert _concluded(scores) == {}
    found = _concluded(scores, maximize="recall>=1")
    assert set(found) == {("dominates", "Rare")}
    assert found["dominates", "Rare"].settings == {"decision.maximize": "balanced_accuracy"}
    assert found["dominates", "Rare"].evidence["rate_by_rule"] > 0.9


def test_training_far_above_validation_needs_evidence() -> None:
    labels = (np.arange(_ROWS) < 60).astype(float)
    scores = _scores(1.2 * labels + np.random.default_rng(8).normal(size=_ROWS), labels)

    def event(auc: float, positives: int) -> dict[str, Any]:
        areas = Areas.of(np.array([auc]), np.array([positives]), np.array([1000]))
        return {"event": "member", "training": learned_record(areas)}

    told = {auc: _concluded(scores, [event(auc, 200)]) for auc in (0.82, 0.9, 0.995)}
    assert [("overfitting", "Rare") in found for found in told.values()] == [False, False, True]
    assert ("overfitting", "Rare") not in _concluded(scores, [event(0.995, 5)])
    assert ("overfitting", "Rare") not in _concluded(scores, [event(float("nan"), 200)])


def test_the_sample_of_training_rows_has_rare_positives_and_an_even_part() -> None:
    truth = np.zeros((10_000, 2))
    truth[::200, 0] = 1
    truth[:4000, 1] = 1
    index, even = training_sample(truth, most=1000)
    assert len(index) <= 1000
    assert np.all(np.diff(index) > 0)
    assert truth[index, 0].sum() == 50
    assert truth[index[even], 1].mean() == pytest.approx(0.4, abs=0.01)
    small, all_even = training_sample(truth[:90], most=1000)
    assert len(small) == 90
    assert all_even.all()


# --- remedies

_RECIPES = {
    "table": ("table", ()),
    "short focal": ("table", ("loss={name: focal, alpha: 0.25}", "training.epochs=5")),
    "weighted": ("table", ("balance.weights={scheme: power, power: 0.5}", "decision.maximize=mcc")),
    "by hand": ("table", ("balance.weights.values={a: 3}",)),
    "sampled": ("table", ("balance.sampling={method: uniform, max_repeats: none}", "model.dropout=0.5")),
    "linear": ("table", ("model={name: linear}", "training.minimum_learning_rate=0.003", "training.members=1")),
    "comorbidity": ("comorbidity", ()),
    "grades": ("table", ("data.task=ordinal", "loss.name=corn", "training.weight_decay=0", "training.epochs=200")),
}


@pytest.mark.parametrize("name", _RECIPES)
def test_every_remedy_names_keys_of_the_recipe_with_values_that_it_takes(name: str) -> None:
    base, overrides = _RECIPES[name]
    recipe = read_recipe(base, list(overrides))
    of_rows = [kind for kind in KINDS if not kind.startswith("mask_")]  # those of masks have remedies of their own
    for kind, exclusive, so in itertools.product(of_rows, (False, True), (False, True)):
        sentence, settings = remedy(kind, recipe, exclusive=exclusive, over=so, few=so)
        assert settings
        assert all(key in sentence for key in settings), sentence
        written = [f"{key}={'null' if value is None else value}" for key, value in settings.items()]
        changed = read_recipe(base, [*overrides, *written])
        if kind not in ("threshold_only", "unclear"):
            assert changed != recipe, f"{kind}: {sentence} changes nothing"


def test_the_page_on_the_guard_lists_every_kind() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "guard.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"| `{kind}` |" not in page] == []


# --- healthy runs


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_run_has_no_finding(seed: int, tmp_path: Path) -> None:
    random, rows = np.random.default_rng(100 + seed), 1500
    x = random.normal(size=(rows, 4))
    columns = {f"x{number}": x[:, number] for number in range(4)}
    task = ("multilabel", "multiclass", "binary", "multilabel", "ordinal")[seed]
    if task == "multilabel":
        logits = 2.2 * x[:, :3] - np.array([0.0, 1.0, 2.5])
        columns |= {f"y{n}": (random.random(rows) < 1 / (1 + np.exp(-logits[:, n]))).astype(int) for n in range(3)}
        labels = ["y0", "y1", "y2"]
    elif task == "binary":
        columns["y"] = (random.random(rows) < 1 / (1 + np.exp(2.0 - 2.5 * x[:, 0]))).astype(int)
        labels = ["y"]
    else:
        score = np.column_stack([2.5 * x[:, 0], 2.5 * x[:, 1] - 0.5, 2.5 * x[:, 2] - 1.0]) + random.gumbel(
            size=(rows, 3)
        )
        grade = np.digitize(2.0 * x[:, 0] + random.logistic(size=rows), [-1.0, 2.0])
        columns["y"] = score.argmax(axis=1) if task == "multiclass" else grade
        labels = ["y"]
    settings = ("training.epochs=60", "training.patience=6", "training.learning_rate=0.02", "training.batch_size=64")
    model = ("model.name=linear", "model={name: mlp, width: 16}")[seed % 2]
    run, found = _trained(_table(tmp_path / "t.csv", columns), labels, tmp_path / "run", *settings, model, task=task)
    assert found == {}, [one.last.text for one in found.values()]
    assert "No finding" in diagnose(run).headline()
