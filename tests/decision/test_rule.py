"""`DecisionRule`: fitted on validation only, judged on other rows only, the same after a trip through JSON."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.decision import DecisionRule, fit_decision, fixed_rule, read_rule, write_rule
from equipoise.evidence import evaluate
from equipoise.scores import Scores


def make(rows=50, role="validation", first=0, **changes):
    random = np.random.default_rng(first)
    labels = (random.random((rows, 2)) < 0.3).astype(float)
    labels[0], labels[1] = 0, 1
    arguments = {
        "labels": labels,
        "values": random.normal(size=(rows, 2)) + labels,
        "kind": "logits",
        "ids": [f"id{row}" for row in range(first, first + rows)],
        "role": role,
        "classes": ["Mass", "Hernia"],
    }
    return Scores(**(arguments | changes))


def test_round_trip_through_json(tmp_path):
    scores = make()
    rule = fit_decision(scores, "youden", log_odds_shift=[0.5, -1.0])
    write_rule(rule, tmp_path / "decision.json")
    again = read_rule(tmp_path / "decision.json")
    assert again.to_dict() == rule.to_dict()
    np.testing.assert_array_equal(again.apply(scores).predictions, rule.apply(scores).predictions)


def test_never_and_not_fitted_are_null_in_json():
    labels = make().labels.copy()
    labels[:, 1] = 0
    rule = fit_decision(make(labels=labels), empty="never")
    data = json.loads(json.dumps(rule.to_dict(), allow_nan=False))
    assert data["thresholds"][1] is None
    assert data["fitted_values"][1] is None
    again = DecisionRule.from_dict(data)
    assert again.thresholds[1] == np.inf
    assert again.apply(make(values=np.full((50, 2), 800.0))).predictions[:, 1].sum() == 0
    assert "Hernia has no known positive in the validation role: it is never predicted." in rule.notes


def test_empty_class_is_an_error_with_the_ways_out():
    labels = make().labels.copy()
    labels[:, 1] = np.where(np.arange(50) < 10, np.nan, 0)
    with pytest.raises(DataError, match='class "Hernia": no positive among the 40 known labels') as caught:
        fit_decision(make(labels=labels))
    assert 'empty="never"' in str(caught.value)


def test_few_positives_are_noted():
    rule = fit_decision(make(labels=np.eye(50, 2)))
    assert rule.positives.tolist() == [1, 1]
    assert any("rests on 1 positives only" in note for note in rule.notes)


@pytest.mark.parametrize("role", ["train", "test"])
def test_only_validation_is_fitted_on(role):
    with pytest.raises(ArgumentError, match="validation role only"):
        fit_decision(make(role=role))


def test_judging_on_the_same_rows_is_refused_and_prediction_is_not():
    scores = make()
    rule = fit_decision(scores)
    rule.apply(scores)
    with pytest.raises(ArgumentError, match="the very rows"):
        evaluate(scores, rule)


def test_judging_on_partly_the_same_rows_is_refused_also_after_json():
    rule = DecisionRule.from_dict(fit_decision(make(5000)).to_dict())
    with pytest.raises(ArgumentError, match=r"at least .* of the rows"):
        evaluate(make(200, role="test", first=4950), rule, replicates=0)
    evaluate(make(200, role="test", first=5000), rule, replicates=0)


def test_same_ids_as_integers_and_as_text_are_the_same_rows():
    rule = fit_decision(make(ids=np.arange(50)))
    with pytest.raises(ArgumentError, match="the very rows"):
        evaluate(make(ids=[str(one) for one in range(50)], role="test"), rule)


def test_without_ids_only_the_identical_table_is_recognised():
    rule = fit_decision(make(ids=None))
    with pytest.raises(ArgumentError, match="the very rows"):
        evaluate(make(ids=None, role="test"), rule)
    evaluate(make(ids=None, role="test", first=1), rule, replicates=0)


def test_shift_is_taken_back_before_the_threshold():
    scores = make()
    plain = fit_decision(scores)
    moved = fit_decision(make(values=np.add(scores.values, [2.0, -1.0])), log_odds_shift=[2.0, -1.0])
    np.testing.assert_allclose(moved.thresholds, plain.thresholds)
    shifted = moved.apply(make(values=np.add(scores.values, [2.0, -1.0])))
    np.testing.assert_allclose(shifted.probabilities, scores.probabilities())
    np.testing.assert_array_equal(shifted.predictions, plain.apply(scores).predictions)


def test_argmax_after_the_shift():
    values = np.log([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    scores = Scores(labels=[0, 2], values=values, kind="logits", ids=["a", "b"], role="validation", classes=list("xyz"))
    assert np.asarray(fit_decision(scores, "argmax").apply(scores)).tolist() == [0, 2]
    shifted = fit_decision(scores, "argmax", log_odds_shift=np.log([1.0, 0.1, 1.0])).apply(scores)
    assert shifted.predictions.tolist() == [1, 1]


def test_fixed_rule_is_explicit_and_judged_anywhere():
    scores = make()
    evaluate(scores, fixed_rule(scores, 0.5), replicates=0)
    np.testing.assert_array_equal(fixed_rule(scores, [0.5, np.inf]).apply(scores).predictions[:, 1], 0)
    for wrong in (1.5, [0.5], None, np.nan, -0.1):
        with pytest.raises(ArgumentError, match="`thresholds` of fixed_rule"):
            fixed_rule(scores, wrong)


def test_rule_for_other_classes_is_refused():
    with pytest.raises(ArgumentError, match="same classes in the same order"):
        fit_decision(make()).apply(make(classes=["Hernia", "Mass"]))


def test_shift_of_the_wrong_shape_is_refused():
    for wrong in ([1.0], [np.nan, 0.0], 2.0):
        with pytest.raises(ArgumentError, match="one finite number for each of 2 classes"):
            fit_decision(make(), log_odds_shift=wrong)


GOOD = fit_decision(make()).to_dict()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], "something else", "no decision rule"),
        (["version"], 3, "this Equipoise reads versions 1 and 2"),
        (["version"], True, "this Equipoise reads versions 1 and 2"),
        (["version"], 2.0, "this Equipoise reads versions 1 and 2"),
        (["interval_low"], [1.0, 1.0], '"interval_low" must be at most'),
        (["interval_low"], None, '"interval_low" must be null where'),
        (["prevalence"], [0, 0.5], '"prevalence" must be'),
        (["version"], 1, 'unknown key "cut_points"'),
        (["cut_points"], [0.5], '"cut_points" must be null'),
        (["interval_low"], [0.5], "a list of 2 numbers"),
        (["corrected_overall"], "high", "a list of 1 numbers"),
        (["treshold"], 1, 'unknown key "treshold"'),
        (["thresholds"], [0.5], "a list of 2 numbers from 0 to 1"),
        (["thresholds"], [0.5, "0.5"], "a list of 2 numbers"),
        (["thresholds"], [0.5, 1.5], "from 0 to 1"),
        (["thresholds"], [0.5, True], "a list of 2 numbers"),
        (["thresholds"], None, '"thresholds" must be'),
        (["log_odds_shift"], [0.0, float("nan")], '"log_odds_shift" must be'),
        (["log_odds_shift"], [0, 10**400], '"log_odds_shift" must be'),
        (["classes"], ["a", "a"], "different names"),
        (["classes"], "ab", "a list of names"),
        (["task"], "ranking", '"task" must be'),
        (["task"], "multiclass", '"thresholds" must be'),
        (["task"], ["multilabel"], '"task" must be'),
        (["maximize"], "argmax", '"maximize" must be'),
        (["maximize"], {}, '"maximize" must be'),
        (["positives"], [1.5, 2], "whole numbers"),
        (["fitted_on"], None, '"fitted_on" must be'),
        (["fitted_on", "sketch"], "%%%", "base64"),
        (["fitted_on", "sketch"], "", "at least one key"),
        (["fitted_on", "rows"], -1, "number of rows"),
        (["fitted_on", "extra"], 1, 'unknown key "extra"'),
        (["notes"], [1], "a list of sentences"),
    ],
)
def test_hostile_json_is_refused_with_the_key(path, value, message):
    data = copy.deepcopy(GOOD)
    target = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(DataError) as caught:
        DecisionRule.from_dict(data)
    assert message in str(caught.value)


@pytest.mark.parametrize("data", [None, [], 3, "rule", {}])
def test_anything_else_is_no_rule(data):
    with pytest.raises(DataError, match="no decision rule"):
        DecisionRule.from_dict(data)


def test_missing_key_is_named(tmp_path):
    data = copy.deepcopy(GOOD)
    del data["thresholds"]
    path = tmp_path / "decision.json"
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r'decision\.json: the rule lacks the key "thresholds"'):
        read_rule(path)


def test_printed_a_rule_is_what_it_does():
    rule = fit_decision(make(rows=400))
    assert str(rule) == "\n".join(rule.sentences())
    assert repr(rule).startswith("DecisionRule(multilabel, 2 classes, maximize f1, exact, fitted on 400 rows)")


def test_rules_of_version_1_are_read():
    rule = fit_decision(make())
    data = rule.to_dict()
    old = {
        key: value
        for key, value in data.items()
        if key not in ("cut_points", "interval_low", "interval_high", "corrected_values", "fitted_overall")
        and key not in ("corrected_overall", "calibration", "prevalence")
    }
    again = DecisionRule.from_dict(old | {"version": 1})
    np.testing.assert_array_equal(again.thresholds, rule.thresholds)
    assert again.cut_points is None
    assert again.corrected_values is None
    assert again.to_dict()["version"] == 2


def test_cut_points_grade_by_the_expected_grade():
    rule = DecisionRule(
        "ordinal", ("none", "mild", "severe"), "qwk", None, np.zeros(3), cut_points=np.array([0.5, 1.4])
    )
    scores = Scores(
        labels=[0, 1, 2], values=[[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.1, 0.4, 0.5]], kind="probabilities",
        ids=list("abc"), role="test", classes=["none", "mild", "severe"], task="ordinal",
    )  # fmt: skip
    assert rule.apply(scores).predictions.tolist() == [0, 1, 2]  # expected grades 0.3, 1.0 and 1.4


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"version": ' + "9" * 5_000 + "}"])
def test_json_that_python_cannot_read_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "decision.json"
    path.write_text(text)
    with pytest.raises(DataError, match="too deeply nested, or a number of thousands of digits"):
        read_rule(path)


def test_few_rows_shared_with_many_that_were_fitted_on_are_found():
    rng = np.random.default_rng(0)
    rows = 16_000
    labels = (rng.random(rows) < 0.1).astype(float)
    many = Scores(
        labels=labels, values=rng.random(rows), kind="probabilities", ids=np.arange(rows), role="validation",
        classes=["a"],
    )  # fmt: skip
    rule = DecisionRule.from_dict(fit_decision(many, "cost:1:1").to_dict())
    other = Scores(
        labels=[0, 1, 0], values=[0.1, 0.2, 0.3], kind="probabilities", ids=[90_000, 15_999, 90_001], role="test",
        classes=["a"],
    )  # fmt: skip
    with pytest.raises(ArgumentError, match="at least 1 of the rows"):
        rule.check_unseen(other)


def test_rows_without_ids_are_refused_without_naming_any_and_without_advice_already_taken():
    scores = {"labels": [0, 1], "values": [0.1, 0.9], "kind": "probabilities", "ids": None, "classes": ["a"]}
    rule = fit_decision(Scores(**scores, role="validation"))
    with pytest.raises(ArgumentError) as caught:
        rule.check_unseen(Scores(**scores, role="test"))
    assert "the very rows" in str(caught.value)
    assert "none" not in str(caught.value).lower()
    assert "for example" not in str(caught.value)
