"""Offsets of exclusive classes: they lean towards rare classes only as far as it pays, and travel with the rule."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise._checks import DataError
from equipoise.decision import DecisionRule, fit_decision
from equipoise.decision.offsets import fit_leaning
from equipoise.evidence import evaluate
from equipoise.scores import Scores
from equipoise.scores.record import softmax


def _scores(role: str, seed: int, *, kind: str = "logits", informative: float = 1.5) -> Scores:
    rng = np.random.default_rng(seed)
    prior = np.array([0.9, 0.08, 0.02])
    truth = rng.choice(3, size=3000, p=prior)
    x = rng.normal(size=(3000, 3))
    x[np.arange(3000), truth] += informative
    logits = informative * x + np.log(prior)  # exact posterior logits of the simulation
    values = logits
    if kind == "probabilities":
        values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = np.array([f"{role}-{row}" for row in range(3000)], dtype=object)
    return Scores(labels=truth, values=values, kind=kind, ids=ids, role=role, classes=["common", "rare", "rarest"])


def _macro_f1(scores: Scores, predicted: np.ndarray) -> float:
    found = []
    for index in range(3):
        said, true = predicted == index, scores.labels == index
        found.append(2 * (said & true).sum() / max(1, said.sum() + true.sum()))
    return float(np.mean(found))


def test_leaning_beats_the_most_likely_class_on_rows_it_was_not_fitted_on() -> None:
    gains = []
    for seed in range(10):
        rule = fit_decision(_scores("validation", seed), method="shrunk")
        test = _scores("test", 100 + seed)
        assert rule.class_offsets is not None
        gains.append(_macro_f1(test, np.asarray(rule.apply(test))) - _macro_f1(test, test.values.argmax(axis=1)))
    assert np.mean(gains) > 0.02


def test_argmax_can_be_asked_for() -> None:
    scores = _scores("validation", 0)
    rule = fit_decision(scores, "argmax")
    assert rule.class_offsets is None
    np.testing.assert_array_equal(rule.apply(scores).predictions, scores.values.argmax(axis=1))


def test_logits_and_probabilities_lean_alike() -> None:
    rules = [fit_decision(_scores("validation", 3, kind=kind), method="shrunk") for kind in ("logits", "probabilities")]
    np.testing.assert_allclose(rules[0].class_offsets, rules[1].class_offsets)
    test = [_scores("test", 4, kind=kind) for kind in ("logits", "probabilities")]
    np.testing.assert_array_equal(rules[0].apply(test[0]).predictions, rules[1].apply(test[1]).predictions)


def test_permuting_classes_permutes_offsets() -> None:
    scores = _scores("validation", 5)
    order = [2, 0, 1]
    place = np.argsort(order)
    _, straight = fit_leaning(scores.labels, scores.values, "f1")
    _, turned = fit_leaning(place[scores.labels.astype(int)].astype(float), scores.values[:, order], "f1")
    np.testing.assert_allclose(turned, straight[order])


def test_a_class_that_does_not_occur_is_left_alone() -> None:
    labels = np.array([0.0] * 10 + [1.0] * 3 + [np.nan])
    logits = np.zeros((14, 3))
    _, offsets = fit_leaning(labels, logits, "balanced_accuracy")
    assert offsets[2] == 0
    assert np.isfinite(offsets).all()


def test_offsets_survive_the_file_and_are_refused_for_labels_that_occur_together() -> None:
    rule = fit_decision(_scores("validation", 1), method="shrunk")
    again = DecisionRule.from_dict(rule.to_dict())
    np.testing.assert_array_equal(again.class_offsets, rule.class_offsets)
    binary = Scores(
        labels=[0, 0, 1, 1], values=[0.1, 0.2, 0.8, 0.9], kind="probabilities", ids=list("abcd"), role="validation",
        classes=["Mass"],
    )  # fmt: skip
    data = fit_decision(binary).to_dict() | {"class_offsets": [0.5]}
    with pytest.raises(DataError, match='"class_offsets" must be null'):
        DecisionRule.from_dict(data)


def _turned(scores: Scores, order: list[int]) -> Scores:
    place = np.argsort(order)
    return Scores(
        labels=place[scores.labels.astype(int)], values=scores.values[:, order], kind=scores.kind, ids=scores.ids,
        role=scores.role, classes=[scores.classes[index] for index in order],
    )  # fmt: skip


def _small(seed: int, *, rows: int = 60, role: str = "validation") -> Scores:
    rng = np.random.default_rng(seed)
    truth, logits = rng.integers(0, 3, rows), rng.normal(size=(rows, 3))
    logits[np.arange(rows), truth] += 1
    return Scores(labels=truth, values=logits, kind="logits", ids=np.arange(rows), role=role, classes=list("abc"))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_order_of_classes_changes_nothing(seed: int) -> None:
    order = [2, 0, 1]
    straight, turned = (fit_decision(one) for one in (_small(seed), _turned(_small(seed), order)))
    for field in ("class_offsets", "interval_low", "interval_high"):
        np.testing.assert_allclose(getattr(turned, field), getattr(straight, field)[order], atol=1e-9)
    assert turned.fitted_overall == pytest.approx(straight.fitted_overall)
    assert turned.corrected_overall == pytest.approx(straight.corrected_overall)


def test_tied_logits_stay_tied_in_every_order_of_classes() -> None:
    small = _small(0, role="test")
    tied = small.with_values(small.values.round())
    figures = [
        [evaluate(one, replicates=0).value(name) for name in ("macro_auc", "macro_ap")]
        for one in (tied, _turned(tied, [2, 0, 1]), _turned(tied, [1, 0, 2]))
    ]
    np.testing.assert_allclose(figures[1:], [figures[0]] * 2, rtol=1e-12)
    np.testing.assert_array_equal(
        softmax(np.array([[3.0, 1.0, 2.0]]))[0, [1, 2, 0]], softmax(np.array([1.0, 2.0, 3.0]))
    )
