"""The ledger: prior implied, words, warnings, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.balance import ClassWeights, FocalCorrection, Ledger, class_weights, plan_sampling
from equipoise.balance._ledger_text import exactness_sentence
from equipoise.labels import Census, Labels

HERNIA = Census.from_counts({"Hernia": (227, 111_893)}, task="binary")
GRADES = Census.from_counts({"none": 80, "mild": 15, "severe": 5}, task="ordinal")


def test_words_state_trained_and_natural_prior():
    weights = ClassWeights(("Hernia",), np.array([246.0]), "none", {}, "pos_weight")
    ledger = Ledger([weights], census=HERNIA)
    assert ledger.sentences()[0] == "Hernia: the model is trained as if 1 in 3 had it; in the data it is 1 in 494."
    assert ledger.trained_prevalence[0] == pytest.approx(1 / 3, abs=2e-3)


def test_inverse_weights_are_full_balance():
    assert Ledger([class_weights(HERNIA, "inverse")]).trained_prevalence[0] == pytest.approx(0.5)
    trained = Ledger([class_weights(GRADES, "inverse")]).trained_prevalence
    assert trained == pytest.approx(np.full(3, 1 / 3))


def test_double_correction_is_named_with_its_factor():
    weights = class_weights(HERNIA, "inverse")
    both = Ledger([weights, FocalCorrection(2.0, 0.75)])
    assert any("2 corrections together go 3x beyond full balance" in text for text in both.warnings())
    assert any(
        "the correction goes 5x" in text for text in Ledger([class_weights(HERNIA, "very_aggressive")]).warnings()
    )
    assert Ledger([weights]).warnings() == ()
    multiclass = Ledger([class_weights(GRADES, "inverse"), FocalCorrection(2.0, np.array([1.0, 1.0, 4.0]))])
    assert any(text.startswith("severe: 2 corrections together go 4x") for text in multiclass.warnings())


def test_double_correction_is_named_where_the_positive_side_is_the_common_one():
    labels = Labels("binary", ("well",), np.repeat([0, 1], [100, 900]).astype(np.float32), np.arange(1000))
    plan, census = plan_sampling(labels), Census.from_counts({"well": (900, 100)}, task="binary")
    inverse, root = class_weights(census, "inverse"), class_weights(census, "sqrt")
    assert Ledger([plan, inverse]).overshot() == {"well": pytest.approx(9.0)}
    (said,) = Ledger([plan, inverse]).warnings()
    assert said.startswith("well: 2 corrections together go 9x beyond full balance, so the rare side is now the common")
    assert Ledger([plan, root]).overshot() == {"well": pytest.approx(3.0)}
    assert Ledger([plan]).overshot() == Ledger([inverse]).overshot() == {}
    assert Ledger([], ("all",), "pos_weight", np.array([1.0])).overshot() == {}


def test_contradiction_is_named():
    ledger = Ledger([class_weights(HERNIA, "inverse"), FocalCorrection(2.0, 0.25)])
    assert any("raised by inverse pos_weight and lowered by alpha of focal" in text for text in ledger.warnings())


def test_nothing_in_force():
    ledger = Ledger([], census=HERNIA)
    assert ledger.log_odds_shift.tolist() == [0.0]
    assert ledger.to_natural(np.array([1.0, -3.0])).tolist() == [1.0, -3.0]
    assert "natural prevalence already" in ledger.sentences()[-1]


def test_without_a_prevalence_odds_are_named():
    weights = ClassWeights(("a", "b"), np.array([3.0, 0.5]), "none", {}, "pos_weight")
    text = "\n".join(Ledger([weights]).sentences())
    assert "a: the odds that the model is trained towards are multiplied by 3." in text
    assert "b: the odds that the model is trained towards are divided by 2." in text


def test_shapes_of_scores():
    binary = Ledger([class_weights(HERNIA, "inverse")])
    assert binary.to_natural(np.zeros(4)).shape == (4,)
    assert binary.to_natural(np.zeros((4, 1))).shape == (4, 1)
    grades = Ledger([class_weights(GRADES, "sqrt")])
    assert grades.to_natural(np.zeros((4, 3))).shape == (4, 3)
    assert grades.to_natural(np.zeros((0, 3))).shape == (0, 3)
    with pytest.raises(ArgumentError, match="one score a row for each of"):
        grades.to_natural(np.zeros((4, 2)))
    with pytest.raises(ArgumentError, match="one score a row for each of"):
        grades.to_natural(np.zeros(3))


def test_a_correction_of_any_other_make_is_added():
    class Planned:
        log_odds_shift = np.array([np.log(2.0)])

        def to_dict(self):
            return {}

    ledger = Ledger([class_weights(HERNIA, "inverse"), Planned()])
    assert ledger.log_odds_shift[0] == pytest.approx(np.log(2 * 111_893 / 227))
    with pytest.raises(ArgumentError, match="cannot be stored"):
        ledger.to_dict()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ledger([]), "Give census=, or classes="),
        (lambda: Ledger([FocalCorrection()]), "Give census=, or classes="),
        (lambda: Ledger([class_weights(HERNIA), class_weights(GRADES)]), "takes a pos_weight; got a class_weight"),
        (lambda: Ledger([class_weights(HERNIA)], census=GRADES, prevalence=np.array([2.0])), "share in [0, 1]"),
        (lambda: Ledger([FocalCorrection(), FocalCorrection()], census=HERNIA), "one focal loss"),
        (lambda: Ledger([FocalCorrection(2.0, np.array([0.1, 0.2]))], census=HERNIA), "2 values for 1 classes"),
        (lambda: Ledger([FocalCorrection(2.0, 1.0)], census=HERNIA), "must be below 1"),
        (lambda: FocalCorrection(-1.0), "`gamma` of FocalCorrection must be at least 0.0"),
        (lambda: FocalCorrection(2.0, 0.0), "`alpha` of FocalCorrection must be above 0"),
    ],
)
def test_what_cannot_be_undone_is_refused(make, message):
    with pytest.raises(ArgumentError) as raised:
        make()
    assert message in str(raised.value)


def test_round_trip():
    alpha = np.array([0.3, 1.0, 2.0])
    ledger = Ledger([class_weights(GRADES, "sqrt"), FocalCorrection(1.5, alpha)])
    again = Ledger.from_dict(json.loads(json.dumps(ledger.to_dict())))
    assert again.to_dict() == ledger.to_dict()
    logits = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_array_equal(again.to_natural(logits), ledger.to_natural(logits))


@pytest.mark.parametrize(
    "change",
    [
        {"corrections": [{"type": "magic"}]},
        {"corrections": [3]},
        {"corrections": "none"},
        {"corrections": [{"type": "focal", "gamma": 2.0}]},
        {"corrections": [{"type": "focal", "gamma": "two", "alpha": None}]},
        {"corrections": [{"type": "class_weights"}]},
        {"kind": "sideways"},
        {"prevalence": ["a"]},
        {"classes": 3},
        {"extra": 1},
    ],
)
def test_hostile_records_are_refused(change):
    with pytest.raises(DataError):
        Ledger.from_dict(Ledger([class_weights(HERNIA)]).to_dict() | change)


def test_a_stabilised_plan_is_said_to_be_undone_exactly_and_one_that_leaves_rows_out_is_warned_of() -> None:
    rng = np.random.default_rng(0)
    common = rng.random((2000, 4)) < [0.6, 0.5, 0.3, 0.02]
    gentle, harsh = (
        plan_sampling(Labels("multilabel", tuple("abcd"), common.astype(np.float32), np.arange(2000)), **given)
        for given in ({"strength": 0.3}, {"max_repeats": 50.0})
    )
    said = Ledger([gentle.stabilise()])
    assert any("weighted from" in sentence for sentence in said.sentences())
    assert said.warnings() == ()
    assert "exact where the model reaches" in exactness_sentence(said)
    assert "approximate" in exactness_sentence(Ledger([gentle]))
    warned = Ledger([harsh.stabilise(limit=2.0)])
    assert any("hardly drawn" in sentence for sentence in warned.warnings())
