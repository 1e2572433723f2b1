"""The guard on planted cases whose cause is known."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.scores import Scores
from equipoise.training import Guard

_ROWS = 600


def _scores(columns: dict[str, np.ndarray], labels: np.ndarray) -> Scores:
    values = np.column_stack(list(columns.values()))
    return Scores(
        labels=np.column_stack([labels] * len(columns)),
        values=values,
        kind="logits",
        ids=np.arange(_ROWS),
        role="validation",
        classes=list(columns),
    )


@pytest.fixture
def labels() -> np.ndarray:
    truth = np.zeros(_ROWS)
    truth[:30] = 1
    return truth


def test_each_cause_is_named_for_the_class_that_has_it(labels: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(size=_ROWS)
    scores = _scores(
        {
            "Ranked": labels * 3 - 6 + 0.3 * noise,
            "Unranked": -6 + 0.3 * noise,
            "Constant": np.full(_ROWS, -3.0),
            "Healthy": labels * 4 - 2 + 0.3 * noise,
        },
        labels,
    )
    found = {finding.class_name: finding for finding in Guard(scores.classes).look(scores, epoch=1).findings}
    assert {name: finding.kind for name, finding in found.items()} == {
        "Ranked": "threshold",
        "Unranked": "no_ranking",
        "Constant": "constant",
    }
    assert "only that threshold is wrong" in found["Ranked"].sentence
    assert "No threshold helps" in found["Unranked"].sentence


def test_a_finding_is_told_once_and_again_only_when_its_cause_changes(labels: np.ndarray) -> None:
    guard = Guard(["Rare"])
    never = _scores({"Rare": labels * 3 - 6}, labels)
    well = _scores({"Rare": labels * 6 - 3}, labels)
    constant = _scores({"Rare": np.full(_ROWS, -4.0)}, labels)
    told = [
        [finding.kind for finding in guard.look(scores, epoch=epoch).findings]
        for epoch, scores in enumerate([never, never, constant, well, never], start=1)
    ]
    assert told == [["threshold"], [], ["constant"], [], ["threshold"]]


def test_a_class_without_positives_is_not_accused(labels: np.ndarray) -> None:
    scores = _scores({"Absent": np.random.default_rng(1).normal(size=_ROWS) - 6}, np.zeros(_ROWS))
    look = Guard(["Absent"]).look(scores, epoch=1)
    assert look.findings == ()
    assert np.isnan(look.statistics.auc[0])


def test_positive_rates_at_half_and_at_the_fitted_threshold(labels: np.ndarray) -> None:
    look = Guard(["Rare"]).look(_scores({"Rare": labels * 3 - 6}, labels), epoch=1)
    assert look.statistics.rate_at_half[0] == 0
    assert look.positive_rate[0] == pytest.approx(30 / _ROWS)
    assert look.to_dict()["positive_rate"] == [0.05]


def test_of_one_of_many_classes_the_one_that_is_never_chosen_is_named() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat([0.0, 1.0, 2.0], [300, 290, 10])
    values = rng.normal(size=(_ROWS, 3)) * 0.1
    values[np.arange(_ROWS), truth.astype(int)] += 2
    values[:, 2] -= 5
    scores = Scores(
        labels=truth, values=values, kind="logits", ids=np.arange(_ROWS), role="validation", classes=["a", "b", "rare"]
    )
    look = Guard(scores.classes).look(scores, epoch=3)
    assert [(finding.class_name, finding.kind) for finding in look.findings] == [("rare", "threshold")]
    assert "never the most likely class" in look.findings[0].sentence
