"""Class weights: the figures they must meet, the order of operations, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.balance import SCHEMES, ClassWeights, class_weights
from equipoise.labels import Census


def binary(positives: int, rows: int) -> Census:
    return Census.from_counts({"shock": (positives, rows - positives)}, task="binary")


MASKS = Census.from_counts(
    {"foreground": 941_694_609, "background": 1_622_409_216 - 941_694_609}, task="multiclass", unit="pixels"
)
NIH = Census.from_counts(
    {"Hernia": (227, 112_120 - 227), "Infiltration": (19_894, 112_120 - 19_894)}, task="multilabel"
)


def test_figures_of_a_rare_binary_class():
    census = binary(111, 28_153)
    assert class_weights(census, "inverse").values.round(1).tolist() == [252.6]
    assert class_weights(census, "sqrt").values.round(1).tolist() == [15.9]
    assert class_weights(census, "sqrt", floor=1.0, cap=8.0).values.tolist() == [8.0]
    assert class_weights(census, "fourth_root", cap=5.0).values.round(3).tolist() == [3.987]


def test_figures_of_masks():
    weights = class_weights(MASKS, "inverse")
    assert weights.kind == "class_weight"
    assert weights.classes == ("foreground", "background")
    assert weights.values.round(4).tolist() == [1.7229, 2.3834]
    assert class_weights(MASKS, "inverse", normalise="sum").values.round(4).tolist() == [0.4196, 0.5804]


@pytest.mark.parametrize(
    ("scheme", "parameters", "pos_weight", "class_weight"),
    [
        # 10 positives and 90 negatives, as one class of yes or no, and as the first of the classes 10 and 90
        ("none", {}, 1, 1),
        ("inverse", {}, 9, 10),
        ("balanced", {}, 5, 5),
        ("sqrt", {}, 3, 10**0.5),
        ("fourth_root", {}, 3**0.5, 10**0.25),
        ("power", {"power": 2.0}, 81, 100),
        ("effective_number", {"beta": 0.5}, (1 - 0.5**90) / (1 - 0.5**10), (1 - 0.5**100) / (1 - 0.5**10)),
        ("effective_number", {"beta": 0.0}, 1, 1),
        ("median_frequency", {}, 5, 5),
        ("smoothed", {"smoothing": 10.0, "power": 0.5}, (100 / 20) ** 0.5, (110 / 20) ** 0.5),
        ("log", {}, np.log(1.92) / np.log(1.12), 1 / np.log(1.12)),
        ("aggressive", {}, 27, 30),
        ("very_aggressive", {}, 45, 50),
    ],
)
def test_formula_of_each_scheme(scheme, parameters, pos_weight, class_weight):
    both = Census.from_counts({"rare": 10, "common": 90}, task="multiclass")
    assert class_weights(binary(10, 100), scheme, **parameters).values[0] == pytest.approx(pos_weight, rel=1e-12)
    assert class_weights(both, scheme, **parameters).values[0] == pytest.approx(class_weight, rel=1e-12)


def test_every_scheme_has_a_formula_test():
    marks = test_formula_of_each_scheme.pytestmark
    assert {case[0] for case in marks[0].args[1]} == set(SCHEMES)


def test_effective_number_keeps_its_digits_where_beta_is_almost_one():
    census = binary(3, 1_000_000_000)
    exact = class_weights(census, "inverse").values[0]
    assert class_weights(census, "effective_number", beta=1 - 1e-15).values[0] == pytest.approx(exact, rel=1e-5)


def test_median_frequency_of_several_labels_is_one_for_the_middle_class():
    census = Census.from_counts({"a": (5, 95), "b": (10, 90), "c": (40, 60)}, task="multilabel")
    assert class_weights(census, "median_frequency").values.tolist() == [2.0, 1.0, 0.25]


def test_order_is_scheme_multiplier_limits_normalise():
    census = Census.from_counts({"a": 10, "b": 90}, task="multiclass")  # inverse: 10 and 10/9
    weights = class_weights(census, "inverse", multiplier=3.0, floor=5.0, cap=20.0, normalise="sum")
    assert weights.values.tolist() == pytest.approx([20 / 25, 5 / 25])
    mean = class_weights(census, "inverse", multiplier=3.0, floor=5.0, cap=20.0, normalise="mean")
    assert mean.values.tolist() == pytest.approx([20 / 12.5, 5 / 12.5])


def test_weights_by_hand_stand_after_limits_and_before_normalise():
    census = Census.from_counts({"a": 10, "b": 90}, task="multiclass")
    assert class_weights(census, "inverse", multiplier=2.0, cap=5.0, values={"a": 30.0}).values.tolist() == [
        30.0,
        pytest.approx(20 / 9),
    ]
    assert class_weights(census, "none", values={"a": 3.0}, normalise="sum").values.tolist() == [0.75, 0.25]


def test_empty_class_is_refused_with_three_ways_out_and_taken_by_hand():
    census = Census.from_counts({"Hernia": (0, 100), "Mass": (10, 90)}, task="multilabel", source="labels.csv")
    for scheme in set(SCHEMES) - {"none"}:
        parameters = {"power": 0.5} if scheme == "power" else {}
        with pytest.raises(DataError) as raised:
            class_weights(census, scheme, **parameters)
        assert str(raised.value) == (
            'labels.csv: class "Hernia" has no positive, so class_weights would divide by zero. Drop the class, add '
            'data that has a positive, or give its weight by hand: values={"Hernia": 1.0}.'
        )
        by_hand = class_weights(census, scheme, values={"Hernia": 8.0}, **parameters)
        assert by_hand.values[0] == 8.0
        assert np.all(np.isfinite(by_hand.values))


def test_class_that_everybody_has_is_refused_as_pos_weight_only():
    with pytest.raises(DataError, match='"shock" has no negative'):
        class_weights(binary(10, 10), "inverse")


def test_all_unknown_class_by_hand():
    census = Census("multilabel", ("a", "b"), 4, np.array([0, 1]), np.array([0, 3]), np.array([4, 0]))
    weights = class_weights(census, "sqrt", values={"a": 2.0})
    assert weights.values[0] == 2.0
    assert ClassWeights.from_dict(json.loads(json.dumps(weights.to_dict()))) == weights


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"floor": 1.0, "cap": 0.5}, "`cap` of class_weights must be at least `floor` (1.0); got 0.5."),
        ({"cap": 0.0}, "`cap` of class_weights must be above 0.0; got 0.0."),
        ({"multiplier": -1.0}, "`multiplier` of class_weights must be above 0.0; got -1.0."),
        ({"multiplier": float("nan")}, "`multiplier` of class_weights must be a finite number; got nan."),
        ({"floor": float("inf")}, "`floor` of class_weights must be a finite number; got inf."),
        ({"scheme": "squrt"}, 'Did you mean "sqrt"?'),
        ({"normalise": "sum to one"}, '`normalise` of class_weights must be one of "none", "mean", "sum"'),
        (
            {"beta": 0.9},
            '`beta` of class_weights is read by scheme "effective_number" only; got it with scheme "sqrt".',
        ),
        ({"scheme": "effective_number", "beta": 1.0}, 'must be below 1; got 1.0. Use scheme "inverse"'),
        ({"scheme": "effective_number", "beta": -0.1}, "`beta` of class_weights must be at least 0.0; got -0.1."),
        ({"scheme": "power"}, 'Scheme "power" of class_weights needs `power`; got none.'),
        ({"scheme": "log", "offset": 1.0}, "`offset` of class_weights must be above 1.0; got 1.0."),
        ({"values": {"shok": 2.0}}, 'names "shok", which is no class. Did you mean "shock"?'),
        ({"values": {"shock": 0.0}}, "must be above 0.0; got 0.0."),
        ({"kind": "class_weight"}, "must be pos_weight for a binary task"),
        ({"kind": "weight"}, '`kind` of class_weights must be one of "pos_weight", "class_weight"'),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ArgumentError) as raised:
        class_weights(binary(10, 100), **arguments)
    assert message in str(raised.value)


def test_overflow_is_refused():
    with pytest.raises(ArgumentError, match="finite"):
        class_weights(binary(1, 10**9), "power", power=100.0)


def test_each_kind_refuses_the_other_slot():
    pos_weight, class_weight = class_weights(NIH), class_weights(MASKS)
    assert pos_weight.require("pos_weight") is pos_weight
    with pytest.raises(ArgumentError, match="CrossEntropy takes a class_weight; got a pos_weight"):
        pos_weight.require("class_weight", function="CrossEntropy")
    with pytest.raises(ArgumentError, match="takes a pos_weight; got a class_weight"):
        class_weight.require("pos_weight")
    with pytest.raises(ArgumentError, match="in the same order"):
        pos_weight.require("pos_weight", classes=("Infiltration", "Hernia"))


def test_one_of_many_labels_can_be_weighed_one_against_the_rest():
    census = Census.from_counts({"a": 10, "b": 90}, task="multiclass")
    assert class_weights(census, "inverse", kind="pos_weight").values.tolist() == pytest.approx([9.0, 1 / 9])


def test_record_is_frozen_and_detached():
    given = np.array([2.0, 3.0])
    weights = ClassWeights(("a", "b"), given, "none", {"cap": 3.0}, "pos_weight")
    given[0] = 99.0
    assert weights.values[0] == 2.0
    with pytest.raises(ValueError, match="read-only"):
        weights.values[0] = 1.0
    with pytest.raises(AttributeError):
        weights.kind = "class_weight"
    with pytest.raises(TypeError):
        weights.parameters["cap"] = 4.0


def test_expected_weight():
    assert class_weights(binary(10, 100), "inverse").expected_weight == pytest.approx(0.1 * 9 + 0.9)
    both = Census.from_counts({"a": 10, "b": 90}, task="multiclass")
    assert class_weights(both, "balanced").expected_weight == pytest.approx(1.0)
    assert ClassWeights(("a",), np.array([5.0]), "none").expected_weight == 1.0


def test_sentences_and_warnings():
    weights = class_weights(NIH, "inverse")
    assert weights.sentences() == (
        "1 positive of Hernia counts as 493 negatives.",
        "1 positive of Infiltration counts as 4.6 negatives.",
    )
    assert weights.warnings()[0].startswith("493x for Hernia: a weight this large")
    assert class_weights(NIH, "sqrt", floor=1.0, cap=8.0).warnings() == ()
    assert class_weights(MASKS, "inverse").sentences("pixels") == (
        "1 pixel of foreground is the measure of the others.",
        "1 pixel of background counts as 1.4 pixels of foreground.",
    )
    turned = class_weights(NIH, "inverse", normalise="sum").warnings()
    assert any("the opposite of balancing" in text for text in turned)
    assert "252.6" in str(class_weights(binary(111, 28_153), "inverse"))


def good() -> dict:
    return class_weights(NIH, "sqrt", cap=8.0, values={"Hernia": 4.0}).to_dict()


def test_round_trip():
    weights = class_weights(NIH, "effective_number", beta=0.99, multiplier=2.0, values={"Hernia": 4.0})
    assert ClassWeights.from_dict(json.loads(json.dumps(weights.to_dict()))) == weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [1.0]}, "one number for each of the 2 classes"),
        ({"values": ["a", "b"]}, "must be numbers"),
        ({"values": [1.0, None]}, '"Infiltration" must be a finite number above 0'),
        ({"values": [1.0, float("inf")]}, "finite number above 0"),
        ({"values": [1.0, -2.0]}, "finite number above 0"),
        ({"values": {"Hernia": 1}}, "must be numbers"),
        ({"values": [[1.0], [2.0, 3.0]]}, "must be numbers"),
        ({"classes": ["a", "a"]}, "distinct"),
        ({"classes": []}, "class names"),
        ({"classes": "ab"}, "class names"),
        ({"classes": [1, 2]}, "distinct names"),
        ({"scheme": "magic"}, "must be one of"),
        ({"kind": ["pos_weight"]}, "must be one of"),
        ({"parameters": [1]}, '"parameters" of stored weights must be an object'),
        ({"prevalence": [0.5, 2.0]}, "[0, 1]"),
        ({"prevalence": 3}, "one number for each"),
        ({"weight": 1}, 'no key "weight"'),
    ],
)
def test_hostile_records_are_refused(change, message):
    with pytest.raises(DataError) as raised:
        ClassWeights.from_dict(good() | change)
    assert message in str(raised.value)


def test_record_that_is_no_object_or_lacks_a_key():
    for stored in (None, [], "weights", 3):
        with pytest.raises(DataError, match="must be a JSON object"):
            ClassWeights.from_dict(stored)
    lacking = good()
    del lacking["kind"]
    with pytest.raises(DataError, match='lack "kind"'):
        ClassWeights.from_dict(lacking)
