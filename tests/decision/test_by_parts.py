"""Rules by parts: no row is judged by thresholds fitted on it, and the rule of a model alone is its output at 0.5."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.balance import ClassWeights, FocalCorrection, Ledger
from equipoise.decision import RuleByParts, fit_by_parts, fit_decision, fixed_rule, raw_rule
from equipoise.decision.by_parts import deal_parts
from equipoise.scores import Scores

NAMES = ("a", "b", "c")


def multilabel(rows=600, seed=0, *, grouped=True, **changes):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, 3)) < [0.03, 0.2, 0.5]).astype(float)
    values = random.normal(size=(rows, 3)) + 1.5 * labels - 2.0
    labels[random.random((rows, 3)) < 0.05] = np.nan
    groups = random.integers(0, rows // 3, rows) if grouped else None
    common = {"kind": "logits", "ids": [f"row {n}" for n in range(rows)], "role": "validation", "classes": NAMES}
    return Scores(labels=labels, values=values, groups=groups, **common, **changes)


def grades(rows=400, seed=0, task="multiclass"):
    random = np.random.default_rng(seed)
    labels = random.choice(3, rows, p=[0.7, 0.2, 0.1]).astype(float)
    values = random.normal(size=(rows, 3)) + 1.5 * np.eye(3)[labels.astype(int)] + np.log([0.7, 0.2, 0.1])
    return Scores(
        labels=labels, values=values, kind="logits", ids=list(range(rows)), role="validation", classes=NAMES, task=task
    )


def test_groups_stay_whole_and_every_part_has_positives_of_the_rarest_class():
    scores = multilabel()
    parts = deal_parts(scores)
    assert len(np.unique(parts)) == 5
    for group in np.unique(scores.groups):
        assert len(np.unique(parts[scores.groups == group])) == 1
    having = [np.nansum(scores.table()[parts == part] == 1, axis=0) for part in range(5)]
    assert np.min(having) > 0
    turned = scores.select(np.arange(len(scores))[::-1])
    np.testing.assert_array_equal(deal_parts(turned)[::-1], parts)


def test_each_part_is_judged_by_the_rule_of_the_others():
    scores = multilabel()
    rule = fit_by_parts(scores, "f1", method="shrunk")
    parts = deal_parts(scores)
    rule.check_unseen(scores)
    decided = rule.apply(scores.select(np.random.default_rng(1).permutation(len(scores))))
    order = np.argsort([int(one.split()[1]) for one in decided.ids])
    for part in range(5):
        alone = fit_decision(scores.select(parts != part), "f1", method="shrunk")
        expected = alone.apply(scores.select(parts == part)).predictions
        np.testing.assert_array_equal(decided.predictions[order][parts == part], expected)


def test_a_rule_that_saw_its_rows_is_refused():
    scores = multilabel()
    seen = RuleByParts.of(scores, np.zeros(len(scores), dtype=np.int64), [fit_decision(scores)])
    with pytest.raises(ArgumentError, match="fitted on the very rows"):
        seen.check_unseen(scores)
    with pytest.raises(ArgumentError, match="some of these are others"):
        fit_by_parts(scores).apply(multilabel(700))
    with pytest.raises(DataError, match="one group"):
        fit_by_parts(multilabel()._replace(groups=np.array(["x"] * 600, dtype=object)))


@pytest.mark.parametrize("method", ["exact", "shrunk"])
@pytest.mark.parametrize("aim", ["f1", "micro_f1", "balanced_accuracy", "recall>=0.8", "cost:1:9", "mcc", "alarms=0.1"])
def test_thresholds_without_intervals_are_the_same(aim, method):
    scores = multilabel(300)
    whole = fit_decision(scores, aim, method=method)
    alone = fit_decision(scores, aim, method=method, intervals=False)
    np.testing.assert_allclose(alone.thresholds, whole.thresholds, rtol=1e-9)
    assert np.isnan(alone.interval_low).all()
    assert np.isnan(alone.corrected_values).all()


@pytest.mark.parametrize(("task", "aim"), [("multiclass", "f1"), ("ordinal", "qwk"), ("ordinal", "f1")])
def test_offsets_and_cut_points_without_intervals_are_the_same(task, aim):
    scores = grades(task=task)
    whole = fit_decision(scores, aim, method="shrunk")
    alone = fit_decision(scores, aim, method="shrunk", intervals=False)
    np.testing.assert_array_equal(alone.apply(scores).predictions, whole.apply(scores).predictions)
    assert alone.interval_low is None
    rule = fit_by_parts(scores, aim, method="shrunk")
    assert rule.apply(scores).predictions.shape == (400,)


def test_the_rule_of_a_model_alone_is_its_own_output_at_one_half():
    weights = ClassWeights(NAMES, np.array([20.0, 3.0, 1.0]), "inverse", {}, "pos_weight")
    for ledger in (Ledger([weights]), Ledger([weights, FocalCorrection(2.0, alpha=0.25)])):
        output = np.random.default_rng(0).normal(size=(200, 3))
        stored = multilabel(200).with_values(np.asarray(ledger.to_natural(output)))
        decided = raw_rule(stored, ledger).apply(stored)
        np.testing.assert_array_equal(decided.predictions, output >= 0)
    stored = multilabel(200).with_values(np.asarray(Ledger([weights]).to_natural(output)))
    np.testing.assert_allclose(
        raw_rule(stored, Ledger([weights])).apply(stored).probabilities, 1 / (1 + np.exp(-output))
    )


def test_the_rule_of_a_model_alone_is_its_own_largest_output():
    weights = ClassWeights(NAMES, np.array([1.0, 4.0, 9.0]), "inverse", {}, "class_weight")
    ledger = Ledger([weights])
    output = np.random.default_rng(0).normal(size=(200, 3))
    stored = grades(200).with_values(np.asarray(ledger.to_natural(output)))
    np.testing.assert_array_equal(raw_rule(stored, ledger).apply(stored).predictions, output.argmax(axis=1))
    plain = raw_rule(stored, Ledger((), classes=NAMES, kind="class_weight"))
    np.testing.assert_array_equal(plain.apply(stored).predictions, fixed_rule(stored, None).apply(stored).predictions)
