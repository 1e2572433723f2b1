"""`judge_arms`: equal to `compare`, adjusted over arms, and in four words whose meaning is fixed."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.decision import fixed_rule
from equipoise.evidence import ArmScores, Verdicts, compare, compare_arms, judge_arms
from equipoise.evidence._drawn import Drawn, Spread, spread
from equipoise.evidence._verdict_words import class_words, signed
from equipoise.evidence.judge import needed_for, power_of, stratum_of
from equipoise.scores import Scores

CLASSES = ("Hernia", "Mass", "Nodule", "Effusion")
RATES = (0.03, 0.1, 0.08, 0.3)


def table(noise=0.0, seed=0, *, gain=(0.0, 0.0, 0.0, 0.0), rows=400, **changes):
    random, own = np.random.default_rng(7), np.random.default_rng((11, seed))
    labels = (random.random((rows, 4)) < RATES).astype(float)
    values = random.normal(size=(rows, 4)) + (1.5 + np.array(gain)) * labels - 1.5
    values += noise * own.normal(size=values.shape)
    arguments = {
        "labels": labels, "values": values, "kind": "logits", "ids": [f"row {n}" for n in range(rows)],
        "role": "validation", "classes": CLASSES, "groups": np.arange(rows) // 2,
    }  # fmt: skip
    return Scores(**(arguments | changes))


def arm(noise=0.3, *, seeds=(0, 1, 2), offset=0, cut=0.5, fixed=0.3, **how):
    scores = {seed: table(noise, offset + seed, **how) for seed in seeds}
    return ArmScores(
        scores,
        {seed: fixed_rule(one, cut) for seed, one in scores.items()},
        {seed: fixed_rule(one, fixed) for seed, one in scores.items()},
    )


@pytest.fixture(scope="module")
def arms():
    return {
        "plain": arm(),
        "equal": arm(offset=10),
        "noisy": arm(1.5, offset=20),
        "better": arm(offset=30, gain=(1.5, 1.5, 1.5, 1.5)),
    }


@pytest.fixture(scope="module")
def found(arms):
    return judge_arms(arms, metric="macro_f1", margin=0.03, replicates=200)


def assert_same(one, other, but=()):
    """The same but for the order in which numbers were added up."""
    for name, value in dataclasses.asdict(one).items():
        if name not in but:
            expected = getattr(other, name)
            assert value == (pytest.approx(expected, rel=1e-9, abs=1e-15) if isinstance(value, float) else expected)


def test_differences_are_those_of_compare_arms(arms, found):
    tables = {name: list(one.scores.values()) for name, one in arms.items()}
    for side, key in (("raw", "against_plain"), ("fixed", "against_free_fix")):
        rules = {name: list(getattr(one, side).values()) for name, one in arms.items()}
        expected = compare_arms(tables, "plain", "macro_f1", rules=rules, margin=0.03, replicates=200)
        for one in expected:
            mine = getattr(found.of_arm(one.names[0]), key)
            assert_same(mine.overall, one.overall, but=("adjusted_p",) if key == "against_plain" else ())
            for each, other in zip(mine.classes, one.classes, strict=True):
                assert_same(each, other)
            assert mine.equivalence_p == pytest.approx(one.equivalence_p, rel=1e-9)
            if key == "against_free_fix":
                assert mine.arms == 3
    free = compare(tables["plain"], tables["plain"], "macro_f1", rule_a=rules["plain"],
                   rule_b=list(arms["plain"].raw.values()), replicates=200)  # fmt: skip
    assert found.free_fix.against_plain.difference == free.difference


def test_words(found):
    assert {one.name: one.verdict for one in found.arms} == {
        "equal": "no worse", "noisy": "hurts", "better": "helps"
    }  # fmt: skip
    better = found.of_arm("better")
    assert better.sentence.startswith("better helps: it changes macro-F1 by +")
    assert "over the free fix of plain (p < 0.001 over 3 comparisons)" in better.sentence
    assert better.needed is None
    change = better.against_free_fix.difference
    assert ("less than the margin of" in better.sentence) == (change < found.margin)
    assert "no worse" in found.of_arm("equal").sentence or "equivalent" in found.of_arm("equal").sentence


def test_without_a_margin_nothing_is_no_worse_and_the_verdict_says_what_would_tell(arms):
    equal = judge_arms({name: arms[name] for name in ("plain", "equal")}, metric="macro_f1", replicates=200).arms[0]
    assert equal.verdict == "cannot tell"
    assert "Nobody can tell" in equal.sentence
    assert math.isnan(equal.no_worse_p)
    if equal.needed is not None:
        assert equal.needed.positives is None or equal.needed.positives > equal.against_free_fix.overall.positives


def test_lower_is_better_where_it_is(arms):
    found = judge_arms(arms, metric="macro_log_loss", replicates=200)
    assert {one.name: one.verdict for one in found.arms if one.name != "equal"} == {"noisy": "hurts", "better": "helps"}
    assert found.of_arm("better").against_free_fix.difference < 0


def test_strata_and_classes(found):
    better = found.of_arm("better")
    assert {one.name: one.stratum for one in better.classes} == {
        "Hernia": "medium", "Mass": "medium", "Nodule": "medium", "Effusion": "common"
    }  # fmt: skip
    medium = [one.difference for one in better.classes if one.stratum == "medium"]
    assert better.strata["medium"].difference == pytest.approx(np.mean(medium))
    assert better.strata["medium"].classes == ("Hernia", "Mass", "Nodule")
    assert [stratum_of(share) for share in (0.0, 0.02, 0.0999, 0.1)] == ["rare", "medium", "medium", "common"]


def test_one_class_gains_and_many_lose_is_one_sentence(arms):
    moved = arm(offset=40, gain=(2.5, -0.6, -0.6, -0.6))
    one = judge_arms({"plain": arms["plain"], "weighted": moved}, metric="macro_f1", replicates=200).arms[0]
    gains = [each for each in one.classes if each.difference > 0]
    assert [each.name for each in gains] == ["Hernia"]
    assert f"Hernia {signed(gains[0].difference)}, Nodule" in one.sentence or "Hernia +" in one.sentence
    assert class_words(one.classes).startswith("Hernia +")


def test_a_gain_of_the_threshold_alone_is_matched_by_the_free_fix(arms):
    shifted = ArmScores(arms["equal"].scores, arms["equal"].fixed, arms["equal"].fixed)
    plain = arms["plain"]
    low = {seed: fixed_rule(one, 0.9) for seed, one in plain.scores.items()}
    arms = {"plain": ArmScores(plain.scores, low, plain.fixed), "shifted": shifted}
    one = judge_arms(arms, metric="macro_f1", margin=0.05, replicates=200)
    assert one.arms[0].against_plain.verdict == "better"
    assert one.arms[0].verdict == "no worse"
    assert "the free fix gains too" in one.arms[0].sentence
    over = judge_arms(arms, metric="macro_f1", against="plain", replicates=200).arms[0]
    assert over.verdict == "helps"
    assert "the free fix gains too" in over.sentence


def test_of_a_gain_that_the_free_fix_has_in_part_only_that_part_is_its(arms):
    better = arm(offset=40, gain=(0.06, 0.06, 0.06, 0.06))
    plain = arms["plain"]
    low = {seed: fixed_rule(one, 0.9) for seed, one in plain.scores.items()}
    one = judge_arms(
        {"plain": ArmScores(plain.scores, low, plain.fixed), "better": better}, metric="macro_f1", replicates=200
    ).arms[0]
    left = one.against_free_fix.difference
    assert one.verdict == "cannot tell"
    assert 0 < left < one.against_plain.difference
    assert f"all but {signed(left)} of what it gains over plain" in one.sentence


def test_seeds_that_only_one_has_are_left_out_and_named(arms):
    short = arm(seeds=(0, 2), offset=10)
    found = judge_arms({"plain": arms["plain"], "short": short}, metric="macro_f1", replicates=100)
    assert found.arms[0].seeds == (0, 2)
    assert "short has no scores of seed 1" in found.arms[0].notes[0]
    elsewhere = arm(seeds=(8, 9))
    left = judge_arms({"plain": arms["plain"], "short": short, "other": elsewhere}, metric="macro_f1", replicates=100)
    assert any("Left out" in note and '"other"' in note for note in left.notes)
    with pytest.raises(ArgumentError, match="no arm besides"):
        judge_arms({"plain": arms["plain"], "other": elsewhere}, metric="macro_f1")


def test_one_seed_and_one_class():
    scores = [table(0.3, seed)._replace(labels=table().labels[:, 3], values=table(0.3, seed).values[:, 3],
                                        classes=("Effusion",), task="binary") for seed in (0, 1)]  # fmt: skip
    made = {
        name: ArmScores({0: one}, {0: fixed_rule(one, 0.5)}, {0: fixed_rule(one, 0.3)})
        for name, one in zip(("plain", "other"), scores, strict=True)
    }
    found = judge_arms(made, metric="f1", replicates=100)
    assert found.class_metric == ""
    assert [one.name for one in found.arms[0].classes] == ["Effusion"]
    assert found.arms[0].strata == {}
    assert "macro" not in found.arms[0].sentence
    assert any("One seed was trained" in note for note in found.notes)


@pytest.mark.parametrize("metric", ["qwk", "accuracy", "macro_f1", "log_loss", "micro_f1"])
def test_grades_are_judged_by_class_too(metric):
    random = np.random.default_rng(0)
    labels = random.choice(3, 300, p=[0.6, 0.3, 0.1]).astype(float)
    common = {"labels": labels, "kind": "logits", "ids": list(range(300)), "role": "validation",
              "classes": ("none", "some", "much"), "task": "ordinal"}  # fmt: skip
    made = {}
    for place, name in enumerate(("plain", "noisy")):
        scores = {
            seed: Scores(
                values=2 * np.eye(3)[labels.astype(int)]
                + (1 + 2 * place) * np.random.default_rng((place, seed)).normal(size=(300, 3)),
                **common,
            )
            for seed in range(4)
        }
        rules = {seed: fixed_rule(one, None) for seed, one in scores.items()}
        made[name] = ArmScores(scores, rules, rules)
    found = judge_arms(made, metric=metric, replicates=200)
    assert found.arms[0].verdict == "hurts"
    assert len(found.arms[0].classes) == 3
    assert Verdicts.from_dict(json.loads(json.dumps(found.to_dict()))).arms[0].classes == found.arms[0].classes


def test_it_reads_back_and_ignores_the_order_of_rows(arms, found):
    assert Verdicts.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))).to_dict() == found.to_dict()
    order = np.random.default_rng(0).permutation(400)
    shuffled = {
        name: ArmScores({seed: table.select(order) for seed, table in one.scores.items()}, one.raw, one.fixed)
        for name, one in arms.items()
    }
    assert judge_arms(shuffled, metric="macro_f1", margin=0.03, replicates=200).to_dict() == found.to_dict()
    with pytest.raises(DataError, match="no verdict"):
        Verdicts.from_dict({"format": "else"})
    with pytest.raises(DataError, match="damaged"):
        Verdicts.from_dict(found.to_dict() | {"arms": [{}]})


def test_bad_arguments(arms):
    with pytest.raises(ArgumentError, match='Did you mean "plain"'):
        judge_arms(arms, reference="plian")
    with pytest.raises(ArgumentError, match="`margin`"):
        judge_arms(arms, margin=0.0)
    with pytest.raises(ArgumentError, match="ascending shares"):
        judge_arms(arms, bounds=(0.2, 0.1))
    other = arm(rows=300)
    with pytest.raises(DataError, match="ids do not match"):
        judge_arms({"plain": arms["plain"], "other": other})


def test_what_would_tell_follows_from_the_variance():
    found = Spread(0.002, 0.001, 0.003, 60.0, 3)
    far = needed_for("helps", 0.02, 0.95, found, positives=100)
    assert far.positives is None  # seeds alone vary by more than that
    assert power_of(0.02, 0.95, *found.expected(1e9, 3)) < 0.8
    near = needed_for("helps", 0.15, 0.95, found, positives=100)
    for times, count in ((near.positives / 100, 3), (1.0, near.seeds)):
        assert power_of(0.15, 0.95, *found.expected(times, count)) >= 0.8
    assert power_of(0.15, 0.95, *found.expected(1.0, near.seeds - 1)) < 0.8
    assert power_of(0.15, 0.95, *found.expected((near.positives - 2) / 100, 3)) < 0.8
    assert needed_for("helps", 0.15, 0.96, found, positives=100).seeds >= near.seeds


def test_the_variance_over_seeds_is_on_the_safe_side():
    """With noise of each seed on each row, and nothing else, it is at most twice that of the mean over seeds."""
    variances = []
    for repetition in range(200):
        random = np.random.default_rng(repetition)
        rows = random.normal(size=(200, 3))
        counts = random.multinomial(200, np.full(200, 1 / 200), size=100)
        drawn = Drawn(rows.mean(axis=0)[:, None], (counts @ rows / 200)[:, :, None])
        found = spread(drawn, 0, np.array([200]))
        variances.append(found.variance)
        assert found.degrees >= 2
    assert 1.7 < 600 * np.mean(variances) < 2.3


def test_truly_equal_arms_are_hardly_ever_told_apart():
    path = Path(__file__).parents[2] / "benchmarks" / "verdict.py"
    spec = importlib.util.spec_from_file_location("verdict_benchmark", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    wrong, said = benchmark.equal_arms(6, 3)
    assert sum(said.values()) == 24
    assert wrong <= 2  # 5 % promised: three or more of six happen once in 450 times
