"""`compare`: paired, clustered, adjusted, and refused where two tables are not of the same rows."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from equipoise._checks import ArgumentError, DataError
from equipoise.decision import fit_decision, fixed_rule
from equipoise.evidence import Comparison, compare, compare_arms, holm
from equipoise.metrics import measure
from equipoise.scores import Scores

CLASSES = ("Mass", "Hernia", "Effusion")


def make(rows=400, seed=0, quality=1.0, noise=None, grouped=True, **changes):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, 3)) < [0.1, 0.3, 0.5]).astype(float)
    values = random.normal(size=(rows, 3)) + quality * labels
    patients = random.integers(0, rows // 3, rows)
    labels[random.random((rows, 3)) < 0.05] = np.nan
    if noise is not None:
        values = values + noise * np.random.default_rng(seed + 1).normal(size=values.shape)
    arguments = {
        "labels": labels,
        "values": values,
        "kind": "logits",
        "ids": [f"row {one}" for one in range(rows)],
        "role": "test",
        "classes": CLASSES,
        "groups": patients if grouped else None,
    }
    return Scores(**(arguments | changes))


def test_difference_is_that_of_the_metrics_and_the_interval_holds_it():
    good, poor = make(), make(noise=2.0)
    found = compare(good, poor, replicates=300)
    values = [measure(one).overall["macro_ap"].item() for one in (good, poor)]
    assert (found.overall.value_a, found.overall.value_b) == pytest.approx(values)
    assert found.difference == pytest.approx(values[0] - values[1])
    assert found.low < found.difference < found.high
    assert found.verdict == "better"
    assert found.p < 0.05
    assert found.low > 0
    per_class = measure(good).per_class["ap"] - measure(poor).per_class["ap"]
    np.testing.assert_allclose([one.value for one in found.classes], per_class)
    assert [one.class_name for one in found.classes] == list(CLASSES)
    assert found.of_class("Hernia").positives == np.nansum(good.labels[:, 1] == 1)


def test_pairing_makes_the_interval_narrow():
    first, second = make(), make(noise=0.3)
    alone = make(seed=5, ids=first.ids, labels=first.labels, groups=first.groups, quality=0.0)
    alone = alone._replace(values=alone.values + np.nan_to_num(first.labels))  # as good, but with noise of its own
    close, far = (compare(first, one, "macro_auc", replicates=300) for one in (second, alone))
    assert far.high - far.low > 2 * (close.high - close.low)


def test_swapping_the_two_changes_the_sign_only():
    first, second = make(), make(noise=1.0)
    one, other = compare(first, second, replicates=200), compare(second, first, replicates=200)
    assert other.difference == -one.difference
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert other.p == one.p
    assert {one.verdict, other.verdict} == {"better", "worse"}


def test_rows_in_another_order_change_nothing():
    first, second = make(), make(noise=1.0)
    shuffled = second.select(np.random.default_rng(0).permutation(len(second)))
    assert compare(first, shuffled, replicates=100).to_dict() == compare(first, second, replicates=100).to_dict()
    turned = first.select(np.arange(len(first))[::-1])
    assert compare(turned, shuffled, replicates=100).p == pytest.approx(compare(first, second, replicates=100).p)


def test_the_same_model_twice_is_no_evidence():
    found = compare(make(), make(), replicates=100, margin=0.01)
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert found.verdict == "equivalent"
    assert found.positives_needed is None
    assert compare(make(), make(), replicates=100).verdict == "unclear"


def test_sentences_are_to_be_quoted():
    other = make()._replace(values=make().values + 0.3 * np.random.default_rng(99).normal(size=(400, 3)))
    found = compare(make(noise=0.3), other, names=("Weighted loss", "the free fix"), replicates=200)
    ends = f"[{found.low:+.3f}, {found.high:+.3f}]"
    assert found.sentence == (
        f"Weighted loss changes macro-AP by {found.difference:+.3f} {ends} over the free fix: "
        "no evidence that it helps."
    )
    harm = compare(make(noise=3.0), make(), names=("A", "B"), replicates=200)
    assert harm.sentence.endswith("over B: it harms (p < 0.001).")
    assert "takes about" not in str(harm)  # what is clear needs no more cases
    assert ("takes about" in str(found)) == (abs(found.difference) >= 0.0005)


def test_lower_is_better_where_it_is():
    first, second = make(), make(noise=3.0)
    found = compare(first, second, "macro_log_loss", replicates=200)
    assert not found.higher_is_better
    assert found.difference < 0
    assert found.verdict == "better"
    assert compare(second, first, "micro_brier", replicates=200).verdict == "worse"


def test_metrics_of_predictions_need_rules_and_judge_them():
    first, second = make(), make(noise=1.0)
    with pytest.raises(ArgumentError, match="need a rule for each: rule_a and rule_b"):
        compare(first, second, "macro_f1")
    rule = fixed_rule(first, 0.5)
    found = compare(first, second, "macro_f1", rule_a=rule, rule_b=rule, replicates=100)
    expected = [measure(one, rule.apply(one)).overall["macro_f1"] for one in (first, second)]
    assert found.difference == pytest.approx(expected[0] - expected[1])
    fitted = fit_decision(first._replace(role="validation"))
    with pytest.raises(ArgumentError, match="the very rows"):
        compare(first, second, "macro_f1", rule_a=fitted, rule_b=rule)


def test_unknown_metric_names_the_nearest():
    with pytest.raises(ArgumentError, match='Did you mean "macro_auc"'):
        compare(make(), make(), "macro_acu")


def test_one_class_answers_to_its_bare_name_and_to_macro():
    labels, values = (make().labels[:, 1], make().values[:, 1])
    table = make(labels=labels, values=values, classes=["a"])
    other = make(labels=labels, values=-values, classes=["a"])
    assert compare(table, other, "ap", replicates=100).p == compare(table, other, "macro_ap", replicates=100).p
    with pytest.raises(ArgumentError, match="must be one of"):
        compare(table, other, "qwk")


def test_ids_that_do_not_match_are_named():
    first = make()
    with pytest.raises(DataError, match=r'1 of B are not in A \("other"\)'):
        compare(first, make(ids=[*(f"row {one}" for one in range(399)), "other"]))
    with pytest.raises(DataError, match=r"300 of A are not in B"):
        compare(first, first.select(np.arange(100)))
    with pytest.raises(ArgumentError, match="have no ids, only numbers"):
        compare(make(ids=None), make(ids=None))
    with pytest.raises(DataError, match="row 0"):
        make(ids=["row 0", "row 0", *(f"row {one}" for one in range(2, 400))])


def test_labels_and_groups_must_agree():
    first, labels = make(), make().labels.copy()
    labels[7, 2] = 1 - labels[7, 2] if labels[7, 2] == labels[7, 2] else 1
    with pytest.raises(DataError, match=r'other labels in 1 rows \(ids "row 7"\)'):
        compare(first, make(labels=labels))
    with pytest.raises(DataError, match="B has no groups while the other has some"):
        compare(first, make(grouped=False))
    with pytest.raises(DataError, match="other groups in"):
        compare(first, make(groups=np.arange(400)))


def test_another_task_other_classes_or_roles_are_refused():
    with pytest.raises(ArgumentError, match="same classes in the same order"):
        compare(make(), make(classes=["Mass", "Effusion", "Hernia"]))
    with pytest.raises(ArgumentError, match="role validation"):
        compare(make(), make(role="validation"))
    with pytest.raises(ArgumentError, match="A has 2 tables of scores, B has 1"):
        compare([make(), make()], [make()])
    rule = fixed_rule(make(), 0.5)
    with pytest.raises(ArgumentError, match="3 rules for 2 tables"):
        compare([make(), make()], [make(), make()], rule_a=[rule] * 3)
    with pytest.raises(ArgumentError, match="must be at least 100"):
        compare(make(), make(), replicates=10)


def test_one_group_and_single_class_files_are_said_to_be_so():
    alone = compare(make(groups=["p"] * 400), make(noise=1.0, groups=["p"] * 400), replicates=100)
    assert math.isnan(alone.p)
    assert alone.verdict == "not evaluable"
    assert "of one group" in alone.sentence
    labels = np.zeros((400, 3))
    nothing = compare(make(labels=labels), make(labels=labels, noise=1.0), replicates=100)
    assert nothing.sentence == "A and B cannot be compared in macro-AP: not evaluable on these labels."
    labels[:200, 0] = 1
    some = compare(make(labels=labels), make(labels=labels, noise=1.0), replicates=100)
    assert any("Hernia" in note and "Effusion" in note for note in some.notes)
    assert math.isnan(some.of_class("Hernia").value)
    assert not math.isnan(some.p)


def test_constant_scores_can_be_compared():
    found = compare(make(values=np.zeros((400, 3))), make(), "macro_auc", replicates=100)
    assert found.overall.value_a == 0.5
    assert found.verdict == "worse"


def test_a_thousand_classes_stay_in_bounds():
    random = np.random.default_rng(0)
    labels = (random.random((300, 1000)) < 0.1).astype(float)
    common = {"labels": labels, "kind": "logits", "ids": np.arange(300), "role": "test"}
    names = [f"c{one}" for one in range(1000)]
    first, second = (Scores(values=random.normal(size=labels.shape), classes=names, **common) for _ in range(2))
    found = compare(first, second, replicates=100)
    assert len(found.classes) == 1000
    assert min(one.adjusted_p for one in found.classes) > 0.05


def test_seeds_widen_the_interval_by_what_they_differ():
    firsts, seconds = [make(noise=0.5)] * 3, [make(noise=0.6), make(noise=1.5), make(noise=0.2)]
    # Noise of one seed each: the same numbers, scaled. Values of the seeds differ, and so must the interval.
    several = compare(firsts, seconds, replicates=200)
    single = compare(firsts[0], seconds[0], replicates=200)
    assert several.seeds == 3
    assert several.high - several.low > single.high - single.low
    values = [compare(one, other, replicates=100).difference for one, other in zip(firsts, seconds, strict=True)]
    assert several.difference == pytest.approx(np.mean(values))
    assert any("another training seed" in note for note in single.notes)
    assert not any("another training seed" in note for note in several.notes)


def test_holm_equals_the_definition():
    p = [0.01, 0.2, 0.03, 0.04, 0.5]
    expected = stats.false_discovery_control(p, method="bh")  # other adjustment: a lower bound
    assert (np.array(holm(p)) >= expected - 1e-12).all()
    assert holm(p) == pytest.approx([0.05, 0.4, 0.12, 0.12, 0.5])
    adjusted = holm([0.02, math.nan, 0.03])
    assert adjusted[0] == pytest.approx(0.04)
    assert math.isnan(adjusted[1])


def test_arms_are_adjusted_together():
    arms = {"free fix": make(), "noise": make(noise=0.4), "more noise": make(noise=3.0)}
    found = compare_arms(arms, "free fix", replicates=200)
    assert [one.names for one in found] == [("noise", "free fix"), ("more noise", "free fix")]
    assert [one.adjusted_p for one in found] == pytest.approx(holm([one.p for one in found]))
    assert "adjusted for 2 comparisons" in found[1].sentence
    with pytest.raises(ArgumentError, match='Did you mean "free fix"'):
        compare_arms(arms, "free fixx")


def test_equivalence_is_two_one_sided_tests():
    first, second = make(rows=2000), make(rows=2000, noise=0.2)
    found = compare(first, second, "macro_auc", margin=0.05, replicates=200)
    assert found.verdict == "equivalent"
    assert "equivalent within 0.05" in found.sentence
    tight = compare(first, second, "macro_auc", margin=1e-6, replicates=200)
    assert tight.equivalence_p > 0.05


def test_round_trip():
    found = compare(make(), make(noise=1.0), replicates=100, margin=0.1)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert Comparison.from_dict(plain) == found
    assert plain["sentence"] == found.sentence
    assert found.to_polars().height == 4
    for damaged in ({}, plain | {"version": 2}, plain | {"more": 1}):
        with pytest.raises(DataError):
            Comparison.from_dict(damaged)


def test_a_true_null_is_rarely_rejected():
    # Two models of the same quality, 12 positives among 120 rows: at most 5 % (here within three standard errors).
    random = np.random.default_rng(3)
    rejected = []
    for turn in range(120):
        labels = (np.arange(120) < 12).astype(float)
        values = random.normal(size=(2, 120)) + random.normal(size=120) + labels
        common = {"labels": labels, "kind": "logits", "ids": np.arange(120), "role": "test", "classes": ["a"]}
        found = compare(*(Scores(values=one, **common) for one in values), "ap", replicates=100, seed=turn)
        rejected.append(found.p < 0.05)
    assert np.mean(rejected) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)
