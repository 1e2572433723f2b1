"""The guard on planted cases whose cause is known: what one look shows, and what is said when."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from equipoise.recipe import Recipe
from equipoise.scores import Scores
from equipoise.training import Finding, Guard
from equipoise.training.guard import looks_in_a_row

_ROWS = 600


def _scores(columns: dict[str, np.ndarray], labels: np.ndarray, groups: Sequence[str] | None = None) -> Scores:
    values = np.column_stack(list(columns.values()))
    return Scores(
        labels=np.column_stack([labels] * len(columns)),
        values=values,
        kind="logits",
        ids=np.arange(_ROWS),
        groups=groups,
        role="validation",
        classes=list(columns),
    )


@pytest.fixture
def labels() -> np.ndarray:
    truth = np.zeros(_ROWS)
    truth[:60] = 1
    return truth


def _told(guard: Guard, looks: Sequence[Scores]) -> list[list[tuple[str, str | None]]]:
    """What is said at each look, by kind and class."""
    return [
        [finding.subject for finding in guard.look(scores, epoch=epoch).findings]
        for epoch, scores in enumerate(looks, start=1)
    ]


def _short(**training: object) -> Recipe:
    return Recipe.model_validate({"training": {"epochs": 10, **training}})


def test_each_cause_is_named_for_the_class_that_has_it(labels: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(size=(_ROWS, 2))
    scores = _scores(
        {
            "Ranked": labels * 3 - 6 + 0.3 * noise[:, 0],
            "Unranked": -6 + 0.3 * noise[:, 1],
            "Constant": np.full(_ROWS, -3.0),
            "Always": labels * 1.0 + 4 + 0.3 * noise[:, 0],
            "Healthy": labels * 4 - 2 + 0.3 * noise[:, 0],
        },
        labels,
    )
    guard = Guard(scores.classes, _short())
    found: dict[str | None, Finding] = {}
    for epoch in (1, 2, 3):
        found |= {finding.class_name: finding for finding in guard.look(scores, epoch=epoch).findings}
        assert not found or epoch == 3, "said before it held for three epochs"
    assert {name: finding.kind for name, finding in found.items()} == {
        "Ranked": "threshold_only",
        "Unranked": "no_ranking",
        "Constant": "constant",
        "Always": "dominates",
    }
    assert "only that threshold is wrong" in found["Ranked"].sentence
    assert "No threshold helps" in found["Unranked"].remedy
    assert found["Unranked"].evidence["positives"] == 60
    assert found["Unranked"].evidence["auc_low"] < 0.5
    assert (found["Ranked"].severity, found["Constant"].severity) == ("note", "warning")


def test_a_finding_is_told_once_after_it_has_held_and_another_cause_is_told_too(labels: np.ndarray) -> None:
    never = _scores({"Rare": labels * 3 - 6}, labels)
    well = _scores({"Rare": labels * 6 - 3}, labels)
    low = _scores({"Rare": np.where(np.arange(_ROWS) % 2, -4.0, -5.0)}, labels)
    told = _told(Guard(["Rare"], _short()), [never, never, well, never, never, never, never, low, low, low])
    assert told == [[], [], [], [], [], [("threshold_only", "Rare")], [], [], [], [
        ("no_ranking", None), ("unlearning", "Rare")
    ]]  # fmt: skip


def test_how_long_a_thing_must_hold_follows_the_length_of_the_training(labels: np.ndarray) -> None:
    constant = _scores({"Rare": np.full(_ROWS, -4.0)}, labels)
    for epochs in (3, 40, 500):
        guard = Guard(["Rare"], Recipe.model_validate({"training": {"epochs": epochs}}))
        told = _told(guard, [constant] * 12)
        first = next(number for number, said in enumerate(told, start=1) if said)
        assert first == looks_in_a_row(epochs)
        assert told[first - 1] == [("constant", None)]
        assert guard.collapsed


def test_the_guard_goes_on_from_its_state_as_if_nothing_had_happened(labels: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(size=_ROWS)
    ranked = [_scores({"A": labels * 3 - 6 + noise, "B": noise - 6}, labels) for _ in range(4)]
    lost = [_scores({"A": noise - 6, "B": noise - 6}, labels) for _ in range(6)]
    whole, cut = Guard(["A", "B"], _short()), Guard(["A", "B"], _short())
    for epoch, scores in enumerate([*ranked, *lost], start=1):
        figures = {"epoch": epoch, "monitored": 0.3 + 0.1 * (epoch > 4) * epoch, "training_loss": 1.0 / epoch}
        state = json.loads(json.dumps(cut.state()))
        cut = Guard(["A", "B"], _short())
        cut.load(state)
        assert whole.look(scores, **figures).findings == cut.look(scores, **figures).findings
    told = {tuple(one) for one in whole.state()["told"]}
    assert {("threshold_only", "A"), ("no_ranking", "B"), ("unlearning", "A"), ("diverging", None)} <= told


def test_a_class_without_positives_is_not_accused(labels: np.ndarray) -> None:
    scores = _scores({"Absent": np.random.default_rng(1).normal(size=_ROWS) - 6}, np.zeros(_ROWS))
    guard = Guard(["Absent"], _short())
    assert _told(guard, [scores] * 5) == [[]] * 5
    assert guard.latest is not None
    assert np.isnan(guard.latest.statistics.auc[0])
    assert not guard.collapsed


def test_a_few_positives_are_no_evidence(labels: np.ndarray) -> None:
    few = np.zeros(_ROWS)
    few[:6] = 1
    scores = _scores({"Rare": np.random.default_rng(2).normal(size=_ROWS) - 6}, few)
    assert _told(Guard(["Rare"], _short()), [scores] * 6) == [[]] * 6


def test_rows_of_one_patient_count_once(labels: np.ndarray) -> None:
    scores = _scores(
        {"Rare": np.random.default_rng(0).normal(size=_ROWS) - 6},
        labels,
        groups=[f"patient {row // 20}" for row in range(_ROWS)],
    )
    assert _told(Guard(["Rare"], _short()), [scores] * 6) == [[]] * 6, "three patients are no evidence"
    alone = _scores({"Rare": scores.values[:, 0]}, labels)
    assert _told(Guard(["Rare"], _short()), [alone] * 3)[2] == [("no_ranking", None)]


def test_positive_rates_at_half_and_at_the_fitted_threshold(labels: np.ndarray) -> None:
    look = Guard(["Rare"]).look(_scores({"Rare": labels * 3 - 6}, labels), epoch=1)
    assert look.statistics.rate_at_half[0] == 0
    assert look.positive_rate[0] == pytest.approx(60 / _ROWS)
    assert look.to_dict()["positive_rate"] == [0.1]
    p = 1 / (1 + np.exp([3.0, 6.0]))
    assert look.validation_loss == pytest.approx(-(60 * np.log(p[0]) + 540 * np.log1p(-p[1])) / _ROWS)


def test_of_one_of_many_classes_the_one_that_is_never_chosen_and_the_one_that_always_is_are_named() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat([0.0, 1.0, 2.0], [300, 280, 20])
    values = rng.normal(size=(_ROWS, 3)) * 0.1
    values[np.arange(_ROWS), truth.astype(int)] += 2
    rare, taken = values.copy(), values.copy()
    rare[:, 2] -= 5
    taken[:, 0] += 5
    about = {"labels": truth, "kind": "logits", "ids": np.arange(_ROWS), "role": "validation"}
    told = {
        name: _told(Guard(["a", "b", "rare"], _short()), [Scores(values=one, classes=["a", "b", "rare"], **about)] * 3)
        for name, one in {"rare": rare, "taken": taken, "healthy": values}.items()
    }
    assert told["rare"][2] == [("threshold_only", "rare")]
    assert told["taken"][2] == [("dominates", "a"), ("threshold_only", "b"), ("threshold_only", "rare")]
    assert told["healthy"] == [[]] * 3
