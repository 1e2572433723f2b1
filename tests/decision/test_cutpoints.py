"""Cut points and offsets of exclusive classes against exhaustive search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from equipoise.decision import fit_decision
from equipoise.decision.confusion import confusion_figure, count_confusion
from equipoise.decision.cutpoints import fit_cut_points
from equipoise.decision.objectives import parse_objective
from equipoise.decision.offsets import fit_offsets, offsets_worth
from equipoise.metrics import quadratic_kappa_score
from equipoise.scores import Scores


def graded(rows=400, seed=0, role="validation", classes=4):
    random = np.random.default_rng(seed)
    truth = random.choice(classes, rows, p=[0.6, 0.2, 0.15, 0.05])
    logits = -np.square(np.arange(classes) - truth[:, None] - random.normal(0, 1.2, (rows, 1))) / 2
    return Scores(
        labels=truth, values=logits, kind="logits", ids=[f"{role}{seed}-{row}" for row in range(rows)], role=role,
        classes=[f"grade {index}" for index in range(classes)], task="ordinal",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["qwk", "mae"])
@pytest.mark.parametrize("seed", range(25))
def test_cut_points_equal_exhaustive_search(name, seed):
    random = np.random.default_rng(seed)
    classes, rows = int(random.integers(2, 5)), int(random.integers(4, 11))
    truth, grades = random.integers(0, classes, rows), np.round(random.random(rows) * (classes - 1), seed % 3 + 1)
    objective = parse_objective(name)

    def figure(cuts):
        predicted = np.searchsorted(cuts, grades, side="right")
        return confusion_figure(count_confusion(truth, predicted, classes), objective)

    candidates = [0.0, *np.unique(grades) + 1e-9, classes]
    tried = [figure(one) for one in itertools.combinations_with_replacement(candidates, classes - 1)]
    best = np.nanmin(tried) if name == "mae" else np.nanmax(tried)
    assert figure(fit_cut_points(truth, grades, classes, objective)) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy", "accuracy", "costs:0,1,5/2,0,1/9,3,0"])
@pytest.mark.parametrize("seed", range(6))
def test_offsets_of_three_classes_equal_exhaustive_search(name, seed):
    random = np.random.default_rng(seed)
    rows = int(random.integers(5, 11))
    truth, logits = random.integers(0, 3, rows), random.normal(size=(rows, 3))
    objective = parse_objective(name)
    # Every field of the plane of two offsets has a corner where two lines cross: look all around each corner.
    one, two = logits[:, 0] - logits[:, 1], logits[:, 0] - logits[:, 2]
    between = logits[:, 1] - logits[:, 2]
    corners = [(x, y) for x in one for y in two] + [(x, x + z) for x in one for z in between]
    corners += [(y - z, y) for y in two for z in between]
    around = [(1e-6 * np.cos(turn), 1e-6 * np.sin(turn)) for turn in np.arange(0.1, 6.3, 0.3)]
    best = max(
        offsets_worth(truth, logits, np.array([0.0, x + dx, y + dy]), objective)
        for x, y in corners
        for dx, dy in around
    )
    found = offsets_worth(truth, logits, fit_offsets(truth, logits, objective), objective)
    assert found == pytest.approx(best, abs=1e-9)


def test_offsets_of_many_classes_are_at_least_those_of_every_start():
    random = np.random.default_rng(0)
    truth = random.choice(6, 500, p=[0.6, 0.2, 0.1, 0.05, 0.03, 0.02])
    logits = random.normal(size=(500, 6)) + 1.5 * np.eye(6)[truth]
    objective = parse_objective("f1")
    found = offsets_worth(truth, logits, fit_offsets(truth, logits, objective), objective)
    prior = np.log(np.bincount(truth) / 500)
    assert found > max(offsets_worth(truth, logits, -share * prior, objective) for share in (0.0, 0.5, 1.0))


def test_kappa_of_the_rule_is_that_of_its_predictions():
    scores = graded()
    rule = fit_decision(scores, "qwk")
    predicted = np.asarray(rule.apply(scores))
    assert rule.fitted_overall == pytest.approx(quadratic_kappa_score(scores.labels, predicted, classes=4), abs=1e-12)
    assert rule.fitted_overall > quadratic_kappa_score(scores.labels, scores.values.argmax(axis=1), classes=4)
    assert rule.corrected_overall < rule.fitted_overall
    assert (rule.interval_low <= rule.cut_points).all()
    assert (rule.cut_points <= rule.interval_high).all()


def test_shrunk_cut_points_do_better_on_other_rows_with_few_rows():
    test, gains = graded(4000, seed=999, role="test"), []
    for seed in range(24):
        found = [fit_decision(graded(60, seed=seed), "qwk", method=method) for method in ("exact", "shrunk")]
        worth = [quadratic_kappa_score(test.labels, np.asarray(rule.apply(test)), classes=4) for rule in found]
        gains.append(worth[1] - worth[0])
    assert np.mean(gains) > 0


def test_two_classes_are_exact_and_a_cost_matrix_is_obeyed():
    random = np.random.default_rng(2)
    truth = random.integers(0, 2, 60)
    probabilities = np.clip(random.normal(0.4 + 0.2 * truth, 0.2), 0.01, 0.99)
    scores = Scores(
        labels=truth, values=np.column_stack([1 - probabilities, probabilities]), kind="probabilities",
        ids=np.arange(60), role="validation", classes=["no", "yes"],
    )  # fmt: skip
    rule = fit_decision(scores, "costs:0,1/5,0")
    costs = [
        ((probabilities >= cut) & (truth == 0)).sum() + 5 * ((probabilities < cut) & (truth == 1)).sum()
        for cut in [*probabilities, 2.0]
    ]
    assert rule.fitted_overall == pytest.approx(min(costs) / 60)
