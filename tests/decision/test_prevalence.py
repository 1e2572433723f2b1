"""Prevalence: known shares are found, intervals hold them, and the moved rule is the best of the choices."""

from __future__ import annotations

import json

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.decision import DecisionRule, fit_decision, fixed_rule
from equipoise.decision.prevalence import (
    FIGURES,
    METHODS,
    estimate_prevalence,
    figures_at,
    move_rule,
    prevalence_table,
)
from equipoise.decision.prevalence._em import prior_log_likelihood, solve_prior, solve_priors
from equipoise.metrics import log_loss
from equipoise.scores import Scores
from equipoise.scores.record import softmax

AWAY = 10_000_000


def binary(rows, prevalence, seed, role="validation", *, slope=1.0, shift=0.0, groups=None, at=0.1, **changes):
    """Scores whose log-odds are right at a prevalence of `at`, then stretched and shifted."""
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < prevalence).astype(float)
    measured = random.normal(size=rows) + 2 * labels
    arguments = {
        "labels": labels,
        "values": slope * (2 * measured - 2 + np.log(at / (1 - at))) + shift,
        "kind": "logits",
        "ids": np.arange(rows) + seed * AWAY,
        "role": role,
        "classes": ["Mass"],
        "groups": groups,
    }
    return Scores(**(arguments | changes))


def blind(scores):
    labels = np.full_like(scores.labels, np.nan)
    return Scores(
        labels=labels, values=scores.values, kind=scores.kind, ids=scores.ids, role=scores.role,
        classes=scores.classes, groups=scores.groups, task=scores.task,
    )  # fmt: skip


def many(rows, shares, seed, role="validation", *, at=(0.6, 0.3, 0.1), scale=1.0, bias=0.0):
    random = np.random.default_rng(seed)
    labels = random.choice(3, size=rows, p=shares)
    measured = random.normal(size=(rows, 3)) + 1.5 * np.eye(3)[labels]
    return Scores(
        labels=labels.astype(float), values=scale * (1.5 * measured + np.log(at)) + bias, kind="logits",
        ids=np.arange(rows) + seed * AWAY, role=role, classes=["a", "b", "c"],
    )  # fmt: skip


# --- the likelihood


def test_the_share_found_is_the_fixed_point_of_em():
    scores = binary(800, 0.3, 0)
    ratios = scores.values - np.log(0.1 / 0.9)
    found = solve_prior(ratios[None], np.ones((1, 800)))[0]
    share = 0.5
    for _ in range(5000):
        share = np.mean(share * np.exp(ratios) / (share * np.exp(ratios) + 1 - share))
    assert found == pytest.approx(share, abs=1e-8)
    around = [prior_log_likelihood(found + step, ratios, np.ones(800)) for step in (-1e-4, 0, 1e-4)]
    assert around[1] >= max(around)


def test_shares_of_0_and_1_are_found_where_the_likelihood_ends_there():
    assert solve_prior(np.full((1, 5), -2.0), np.ones((1, 5)))[0] == 0
    assert solve_prior(np.full((1, 5), 2.0), np.ones((1, 5)))[0] == 1
    assert solve_prior(np.array([[800.0, -800.0]]), np.ones((1, 2)))[0] == pytest.approx(0.5)


def test_shares_of_exclusive_classes_are_the_fixed_point_of_em():
    scores = many(600, (0.2, 0.2, 0.6), 0)
    densities = softmax(scores.values) / [0.6, 0.3, 0.1]
    found = solve_priors(densities, np.ones(600), np.array([0.6, 0.3, 0.1]))
    shares = np.array([0.6, 0.3, 0.1])
    for _ in range(3000):
        joint = densities * shares
        shares = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(found, shares, atol=1e-6)


def test_two_exclusive_classes_are_one_yes_or_no_class():
    one = binary(1500, 0.1, 0)
    other = binary(1500, 0.3, 1, "test")
    two = [
        Scores(labels=s.labels, values=np.column_stack([np.zeros(1500), s.values]), kind="logits", ids=s.ids,
               role=s.role, classes=["no", "Mass"], task="multiclass")
        for s in (one, other)
    ]  # fmt: skip
    single = estimate_prevalence(one, other, replicates=20)
    both = estimate_prevalence(*two, replicates=20)
    assert both.prevalence[1] == pytest.approx(single.prevalence[0], abs=1e-4)


# --- simulation


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.03, 0.3])
def test_known_shares_lie_in_their_intervals(method, share):
    """25 samples each: of 95 % intervals fewer than 20 cover once in a thousand times."""
    rule = fit_decision(binary(2000, 0.1, 0, slope=1.5, shift=1.0))
    inside, errors = 0, []
    for seed in range(25):
        reference = binary(1500, 0.1, 100 + seed, "test", slope=1.5, shift=1.0)
        other = blind(binary(1000, share, 200 + seed, "test", slope=1.5, shift=1.0))
        found = estimate_prevalence(reference, other, method, rule=rule, replicates=200, seed=seed)
        inside += found.low[0] <= share <= found.high[0]
        errors.append(found.prevalence[0] - share)
    assert inside >= 20
    assert abs(np.mean(errors)) < 0.02


def test_intervals_take_patients_whole():
    """Every row four times, as four rows of one patient: the interval stays as wide as without the copies."""
    reference, other = binary(800, 0.1, 0), binary(500, 0.3, 1, "test")
    plain = estimate_prevalence(reference, other, replicates=300)

    def copied(scores, seed):
        rows = np.repeat(np.arange(len(scores)), 4)
        return Scores(
            labels=scores.labels[rows], values=scores.values[rows], kind="logits", groups=rows,
            ids=np.arange(len(rows)) + seed * AWAY, role=scores.role, classes=["Mass"],
        )  # fmt: skip

    grouped = estimate_prevalence(copied(reference, 5), copied(other, 6), replicates=300)
    assert grouped.prevalence[0] == pytest.approx(plain.prevalence[0], abs=1e-6)
    ratio = (grouped.high - grouped.low) / (plain.high - plain.low)
    assert 0.8 < ratio[0] < 1.25


def test_shares_of_exclusive_classes_are_recovered():
    truth, rule = np.array([0.2, 0.3, 0.5]), fixed_rule(many(10, (0.6, 0.3, 0.1), 9), None)
    inside, errors = dict.fromkeys(METHODS, 0), {method: [] for method in METHODS}
    for seed in range(12):
        reference = many(2000, (0.6, 0.3, 0.1), 100 + seed, scale=1.4, bias=(0.0, 0.5, -0.5))
        other = blind(many(1500, truth, 200 + seed, "test", scale=1.4, bias=(0.0, 0.5, -0.5)))
        for method in METHODS:
            found = estimate_prevalence(reference, other, method, rule=rule, seed=seed, replicates=100)
            inside[method] += ((found.low <= truth) & (truth <= found.high)).sum()
            errors[method].append(found.prevalence - truth)
            assert found.p_value[0] < 1e-6
    assert min(inside.values()) >= 29  # of 36
    for method, found in errors.items():
        assert np.abs(np.mean(found, axis=0)).max() < (0.02 if method == "em" else 0.05)


def test_no_change_is_called_a_change_five_times_in_a_hundred():
    rejected = {False: 0, True: 0}
    for seed in range(40):
        for grouped in rejected:
            groups = [np.random.default_rng(seed + part).integers(0, 400, 1200) if grouped else None for part in (0, 1)]
            reference = binary(1200, 0.1, 100 + seed, groups=groups[0])
            other = binary(1200, 0.1, 200 + seed, "test", groups=None if groups[1] is None else groups[1] + 1000)
            rejected[grouped] += estimate_prevalence(reference, other, replicates=100, seed=seed).p_value[0] < 0.05
    assert max(rejected.values()) <= 7  # 2 expected


def test_prediction_at_the_moved_prevalence_has_the_best_log_loss():
    """The choices: as it is, moved to what EM and what BBSE say. Moving helps, and EM is the best on average."""
    losses = {"unmoved": [], "em": [], "bbse": []}
    for seed in range(25):
        rule = fit_decision(binary(2000, 0.1, seed, slope=1.5, shift=1.0), calibrate="platt")
        reference = binary(2000, 0.1, 100 + seed, "test", slope=1.5, shift=1.0)
        other = binary(1000, 0.4, 200 + seed, "test", slope=1.5, shift=1.0)
        losses["unmoved"].append(log_loss(other.labels, rule.apply(other).probabilities))
        for method in ("em", "bbse"):
            found = estimate_prevalence(reference, blind(other), method, rule=rule, replicates=20)
            moved = rule.at_prevalence(found.prevalence)
            losses[method].append(log_loss(other.labels, moved.apply(other).probabilities))
        truth = log_loss(other.labels, rule.at_prevalence([0.4]).apply(other).probabilities)
        assert losses["em"][-1] < truth + 0.01
    assert np.mean(losses["em"]) < np.mean(losses["bbse"]) < np.mean(losses["unmoved"]) - 0.05


# --- edges of estimation


def test_bad_input_is_refused_with_what_to_do():
    reference, other = binary(200, 0.2, 0), binary(200, 0.2, 1, "test")
    with pytest.raises(ArgumentError, match="same classes"):
        estimate_prevalence(reference, binary(200, 0.2, 1, classes=["Hernia"]))
    with pytest.raises(ArgumentError, match="train role"):
        estimate_prevalence(binary(200, 0.2, 0, "train"), other)
    with pytest.raises(ArgumentError, match="needs a rule"):
        estimate_prevalence(reference, other, "bbse")
    with pytest.raises(ArgumentError, match='"bbse_soft"'):
        estimate_prevalence(reference, other, "bbse-soft")
    with pytest.raises(DataError, match="no known label"):
        estimate_prevalence(blind(reference), other)
    with pytest.raises(ArgumentError, match="the very rows"):
        estimate_prevalence(reference, other, "bbse", rule=fit_decision(reference))
    with pytest.raises(ArgumentError, match="replicates"):
        estimate_prevalence(reference, other, replicates=3)
    with pytest.raises(DataError, match="is not a probability"):
        estimate_prevalence(reference, binary(200, 0.2, 1, kind="probabilities"))


@pytest.mark.parametrize("method", ["em", "bbse_soft"])
def test_a_class_without_positives_cannot_be_told_and_the_other_can(method):
    one, two = binary(600, 0.2, 0), binary(600, 0.3, 1, "test")
    reference, other = (
        Scores(labels=np.column_stack([s.labels, s.labels * 0]), values=np.column_stack([s.values, s.values]),
               kind="logits", ids=s.ids, role=s.role, classes=["Mass", "Hernia"])
        for s in (one, two)
    )  # fmt: skip
    found = estimate_prevalence(reference, other, method, replicates=50)
    assert not np.isnan(found.prevalence[0])
    assert np.isnan(found.prevalence[1])
    assert np.isnan(found.low[1])
    assert any(note.startswith("Hernia has no known positive") for note in found.notes)
    json.dumps(found.to_dict(), allow_nan=False)


def test_an_exclusive_class_without_a_labelled_case_is_named():
    scores = many(900, (0.6, 0.3, 0.1), 0)
    reference = scores.select(scores.labels != 2)
    found = estimate_prevalence(reference, many(500, (0.5, 0.5, 0.0), 1, "test"), replicates=30)
    assert np.isnan(found.prevalence[2])
    assert found.prevalence[:2].sum() == pytest.approx(1)
    assert "c has no labelled case" in found.notes[0]


@pytest.mark.parametrize("method", ["em", "bbse_soft"])
def test_constant_scores_say_nothing(method):
    reference, other = (
        binary(300, 0.2, seed, role, values=np.zeros(300)) for seed, role in ((0, "validation"), (1, "test"))
    )
    found = estimate_prevalence(reference, other, method, replicates=50)
    # The likelihood is flat, and no prediction is made more often for positives.
    assert np.isnan(found.prevalence[0]) or found.high[0] - found.low[0] > 0.9 or found.p_value[0] > 0.9


def test_separable_scores_count_the_positives():
    labels = (np.arange(400) < 80).astype(float)
    reference = binary(400, 0.2, 0, labels=labels, values=10 * labels - 5)
    other = binary(400, 0.5, 1, "test")
    other = binary(400, 0.5, 1, "test", values=10 * other.labels - 5)
    found = estimate_prevalence(reference, blind(other), replicates=100)
    assert found.prevalence[0] == pytest.approx(other.labels.mean(), abs=0.01)


def test_the_estimate_does_not_depend_on_the_order_of_rows():
    reference, other = binary(300, 0.2, 0), binary(300, 0.4, 1, "test")
    shuffled = np.random.default_rng(0).permutation(300)
    first = estimate_prevalence(reference, other, replicates=50)
    second = estimate_prevalence(reference.select(shuffled), other.select(shuffled), replicates=50)
    np.testing.assert_allclose([first.low, first.high], [second.low, second.high], rtol=1e-9)


# --- what thresholds do elsewhere


def test_figures_at_a_prevalence_are_those_of_rows_repeated_to_it():
    """Positives three times and negatives twice: the counts of the repeated table give the same figures."""
    random = np.random.default_rng(0)
    truth, predicted = random.random(400) < 0.3, random.random(400) < 0.4
    repeated = np.repeat(np.arange(400), np.where(truth, 3, 2))
    y, said = truth[repeated], predicted[repeated]
    found = figures_at(np.array(predicted[truth].mean()), np.array((~predicted[~truth]).mean()), np.array(y.mean()))
    assert found["ppv"] == pytest.approx(y[said].mean())
    assert found["npv"] == pytest.approx((~y[~said]).mean())
    assert found["f1"] == pytest.approx(2 * (y & said).sum() / (y.sum() + said.sum()))
    assert found["alarms"] == pytest.approx(1000 * said.mean())


def test_the_first_column_is_what_was_measured():
    scores = binary(500, 0.2, 0, "test")
    table = prevalence_table(scores, fixed_rule(scores, 0.5), [0.01, 0.5])
    predicted = scores.probabilities() >= 0.5
    assert table.values["ppv"][0, 0] == pytest.approx(scores.labels[predicted].mean())
    assert table.values["alarms"][0, 0] == pytest.approx(1000 * predicted.mean())
    assert table.prevalence[0].tolist() == [scores.labels.mean(), 0.01, 0.5]
    for name in FIGURES:
        assert (table.low[name] <= table.values[name]).all()
        assert (table.values[name] <= table.high[name]).all()


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_of_the_ppv_elsewhere_cover_it(grouped):
    """The PPV at one in a hundred from 300 rows with 60 positives; grouped rows are copies of one another."""
    rule, inside = fixed_rule(binary(10, 0.5, 0), 0.3), 0
    large = binary(400_000, 0.2, 1, "test")
    predicted = rule.apply(large).predictions == 1
    caught, spared = predicted[large.labels == 1].mean(), (~predicted[large.labels == 0]).mean()
    true = figures_at(np.array(caught), np.array(spared), np.array(0.01))["ppv"]
    for seed in range(100):
        scores = binary(300, 0.2, 10 + seed, "test")
        if grouped:
            rows = np.repeat(np.arange(300), 3)
            scores = Scores(labels=scores.labels[rows], values=scores.values[rows], kind="logits", ids=range(900),
                            groups=rows, role="test", classes=["Mass"])  # fmt: skip
        table = prevalence_table(scores, rule, [0.01], replicates=400, seed=seed)
        inside += table.low["ppv"][0, 1] <= true <= table.high["ppv"][0, 1]
    assert inside >= 88  # of 100; fewer happens once in a thousand times


def test_a_specificity_of_one_is_not_taken_for_certain():
    labels = np.repeat([1.0, 0.0], [50, 500])
    scores = binary(550, 0.1, 0, "test", labels=labels, values=np.where(labels == 1, 3.0, -3.0))
    table = prevalence_table(scores, fixed_rule(scores, 0.5), [0.001])
    assert table.values["ppv"][0, 1] == 1.0
    assert table.low["ppv"][0, 1] < 0.3


def test_classes_that_cannot_be_judged_are_named():
    labels = np.column_stack([np.tile([0.0, 1.0], 50), np.zeros(100), np.tile([0.0, 1.0], 50)])
    scores = Scores(labels=labels, values=np.full((100, 3), [0.9, 0.9, 0.1]), kind="probabilities", ids=range(100),
                    role="test", classes=["a", "b", "c"])  # fmt: skip
    table = prevalence_table(scores, fixed_rule(scores, 0.5), [0.1])
    assert np.isnan(table.values["ppv"][1]).all()
    assert np.isnan(table.values["ppv"][2]).all()
    assert table.notes == (
        "b has no known positive in these rows, so nothing can be said about it elsewhere.",
        "c is never predicted: it has no PPV.",
    )
    json.dumps(table.to_dict(), allow_nan=False)


@pytest.mark.parametrize("at", [[0.0], [1.0], [5.0], [-0.1]])
def test_prevalences_outside_0_and_1_are_refused(at):
    scores = binary(100, 0.2, 0, "test")
    with pytest.raises(ArgumentError, match="above 0 and below 1"):
        prevalence_table(scores, fixed_rule(scores, 0.5), at)
    with pytest.raises(ArgumentError, match="above 0 and below 1"):
        fixed_rule(scores, 0.5).at_prevalence(at[0], reference=0.2)


def test_a_rule_is_not_judged_elsewhere_on_its_own_rows():
    scores = binary(100, 0.3, 0)
    with pytest.raises(ArgumentError, match="the very rows"):
        prevalence_table(scores, fit_decision(scores), [0.1])


# --- moving a rule


def test_moved_probabilities_are_those_of_the_other_prevalence():
    """Log-odds that are right at 0.1, moved to 0.4, are those made for 0.4."""
    rule = fixed_rule(binary(10, 0.5, 0), 0.5)
    there, right = binary(300, 0.4, 1, "test"), binary(300, 0.4, 1, "test", at=0.4)
    moved = rule.at_prevalence(0.4, reference=0.1)
    np.testing.assert_allclose(moved.apply(there).probabilities, right.probabilities(), atol=1e-12)
    assert moved.prevalence.tolist() == [0.4]


def test_there_and_back_is_where_it_was():
    scores = binary(1000, 0.1, 0)
    for calibrate in ("none", "platt", "isotonic"):
        rule = fit_decision(scores, "youden", calibrate=calibrate)
        here = rule.positives / (rule.positives + rule.negatives)
        back = rule.at_prevalence(0.5).at_prevalence(here)
        np.testing.assert_allclose(back.apply(scores).probabilities, rule.apply(scores).probabilities, atol=1e-9)
        np.testing.assert_allclose(back.thresholds, rule.thresholds, atol=1e-12)


def test_moved_exclusive_classes_are_those_of_the_other_shares():
    there = many(300, (0.2, 0.3, 0.5), 1, "test")
    right = many(300, (0.2, 0.3, 0.5), 1, "test", at=(0.2, 0.3, 0.5))
    moved = fixed_rule(there, None).at_prevalence([0.2, 0.3, 0.5], reference=[0.6, 0.3, 0.1])
    np.testing.assert_allclose(moved.apply(there).probabilities, right.probabilities(), atol=1e-12)


def test_what_happens_to_thresholds_is_said():
    scores, other = binary(3000, 0.1, 0), binary(500, 0.4, 1, "test")
    youden, f1 = fit_decision(scores, "youden"), fit_decision(scores, "f1")
    moved = youden.at_prevalence(0.4)
    np.testing.assert_array_equal(moved.apply(other).predictions, youden.apply(other).predictions)
    assert "the same cases are predicted" in moved.notes[-1]
    kept = f1.at_prevalence(0.4)
    assert kept.thresholds.tolist() == f1.thresholds.tolist()
    assert "kept as probabilities" in kept.notes[-1]
    again = f1.at_prevalence(0.4, scores=scores)
    assert "fitted again for f1" in again.notes[-1]
    assert again.fitted_values is None
    assert fixed_rule(scores, 0.5).at_prevalence(0.4, reference=0.1).thresholds.tolist() == [0.5]


@pytest.mark.parametrize("calibrate", ["none", "platt", "isotonic"])
def test_thresholds_fitted_again_are_better_at_the_new_prevalence(calibrate):
    def f1(rule, scores):
        said = rule.apply(scores).predictions == 1
        return 2 * (scores.labels[said]).sum() / (scores.labels.sum() + said.sum())

    gains, away = [], []
    for seed in range(10):
        scores, other = binary(4000, 0.1, seed), binary(4000, 0.5, 100 + seed, "test")
        rule = fit_decision(scores, "f1", calibrate=calibrate)
        again = rule.at_prevalence(0.5, scores=scores)
        gains.append(f1(again, other) - f1(rule, other))
        best = fit_decision(binary(4000, 0.5, 200 + seed), "f1")
        made = DecisionRule("binary", ("Mass",), "fixed", best.thresholds, np.zeros(1))
        away.append(f1(made, other) - f1(again, other))
    assert np.mean(gains) > 0.05
    assert np.mean(away) < 0.01  # as good as a rule fitted where half are positive


def test_moving_part_of_the_classes_leaves_the_others():
    one, two = binary(800, 0.1, 0), binary(800, 0.3, 1)
    scores = Scores(labels=np.column_stack([one.labels, two.labels]), values=np.column_stack([one.values, two.values]),
                    kind="logits", ids=range(800), role="validation", classes=["Mass", "Hernia"])  # fmt: skip
    rule = fit_decision(scores)
    moved = rule.at_prevalence({"Hernia": 0.05})
    np.testing.assert_array_equal(moved.apply(scores).probabilities[:, 0], rule.apply(scores).probabilities[:, 0])
    assert (moved.apply(scores).probabilities[:, 1] < rule.apply(scores).probabilities[:, 1]).all()
    assert "Hernia from" in moved.notes[-2]
    assert "Mass" not in moved.notes[-2]


def test_moves_that_cannot_be_are_refused_with_what_to_do():
    scores = binary(500, 0.1, 0)
    rule = fit_decision(scores)
    with pytest.raises(ArgumentError, match=r'unknown class .* Did you mean "Mass"'):
        rule.at_prevalence({"mass": 0.1})
    with pytest.raises(ArgumentError, match="one share for each of 1 classes"):
        rule.at_prevalence([0.1, 0.2])
    with pytest.raises(ArgumentError, match="numbers between 0 and 1"):
        rule.at_prevalence("ten")
    with pytest.raises(ArgumentError, match="Pass reference="):
        fixed_rule(scores, 0.5).at_prevalence(0.2)
    with pytest.raises(ArgumentError, match="validation role only"):
        rule.at_prevalence(0.2, scores=binary(500, 0.1, 1, "test"))
    exclusive = fit_decision(many(300, (0.6, 0.3, 0.1), 0))
    with pytest.raises(ArgumentError, match="sum to 1"):
        exclusive.at_prevalence([0.5, 0.5, 0.5])
    with pytest.raises(ArgumentError, match="is missing"):
        exclusive.at_prevalence({"a": 0.5, "b": 0.5})
    with pytest.raises(ArgumentError, match="one share for each of 3 classes"):
        exclusive.at_prevalence(0.5)


def test_a_moved_rule_survives_json():
    scores = binary(600, 0.1, 0)
    for calibrate in ("none", "isotonic"):
        moved = move_rule(fit_decision(scores, calibrate=calibrate), 0.3, scores=scores)
        again = DecisionRule.from_dict(json.loads(json.dumps(moved.to_dict(), allow_nan=False)))
        assert again.to_dict() == moved.to_dict()
        np.testing.assert_array_equal(again.apply(scores).probabilities, moved.apply(scores).probabilities)
    with pytest.raises(ArgumentError, match="the very rows"):
        moved.check_unseen(scores)
