"""Intervals against textbooks, other libraries, plain loops and simulation."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from equipoise._checks import ArgumentError
from equipoise.decision import fixed_rule
from equipoise.evidence import clopper_pearson_interval, delong_variance, evaluate, wilson_interval
from equipoise.evidence.intervals import pooled_degrees, score_interval, student_quantile
from equipoise.metrics import auc_score
from equipoise.scores import Scores


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (10, 10), (3, 17), (81, 263)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_rates_equal_scipy(hits, trials, level):
    expected = stats.binomtest(hits, trials)
    for method, found in (
        ("wilson", wilson_interval(hits / trials, trials, level=level)),
        ("exact", clopper_pearson_interval(hits, trials, level=level)),
    ):
        ends = expected.proportion_ci(level, method=method)
        np.testing.assert_allclose([float(one) for one in found], [ends.low, ends.high], atol=1e-12)


def test_arguments_of_rates_out_of_range():
    with pytest.raises(ArgumentError, match="from 0 to `trials`"):
        clopper_pearson_interval(11, 10)
    with pytest.raises(ArgumentError, match="level"):
        wilson_interval(0.5, 10, level=1.0)


def test_student_quantile_equals_scipy():
    assert student_quantile(0.95, 4) == pytest.approx(stats.t.ppf(0.975, 4))
    for level in (0.5, 0.8, 0.9, 0.95, 0.99):
        for degrees in (29.9, 30, 47.3, 200, 1e6):
            assert student_quantile(level, degrees) == pytest.approx(stats.t.ppf(0.5 + level / 2, degrees), rel=2e-6)
    assert pooled_degrees(np.array([1.0, 0.0]), np.array([11, 5])) == 10


def test_delong_equals_its_definition():
    random = np.random.default_rng(0)
    labels = (random.random(60) < 0.3).astype(float)
    values = np.round(random.normal(size=60) + labels, 1)
    first, second = values[labels == 1], values[labels == 0]
    wins = (first[:, None] > second) + 0.5 * (first[:, None] == second)
    expected = wins.mean(axis=1).var(ddof=1) / len(first) + wins.mean(axis=0).var(ddof=1) / len(second)
    assert delong_variance(labels, values) == pytest.approx(expected, abs=1e-14)
    assert delong_variance(labels, values, groups=np.arange(60)) == pytest.approx(expected, abs=1e-14)
    labels[3] = np.nan
    kept = ~np.isnan(labels)
    assert delong_variance(labels, values) == delong_variance(labels[kept], values[kept])
    assert np.isnan(delong_variance([0, 0, 1], [0.1, 0.2, 0.3]))


def test_delong_of_repeated_rows_is_that_of_the_groups():
    # Five times each row, in one group: as much is known as before, but for the small-sample factor.
    random = np.random.default_rng(1)
    labels = (random.random(80) < 0.4).astype(float)
    values = random.normal(size=80) + labels
    once = delong_variance(labels, values)
    five = [np.repeat(one, 5) for one in (labels, values, np.arange(80))]
    assert delong_variance(five[0], five[1], groups=five[2]) == pytest.approx(once)
    assert delong_variance(five[0], five[1]) == pytest.approx(once / 5, rel=0.03)


def make(positives, rows, values, groups=None, **changes):
    labels = (np.arange(rows) < positives).astype(float)
    arguments = {"labels": labels, "values": values, "kind": "logits", "ids": np.arange(rows), "role": "test"}
    return Scores(**(arguments | {"classes": ["a"], "groups": groups} | changes))


def test_methods_agree_where_there_are_many_cases():
    random = np.random.default_rng(2)
    scores = make(500, 2000, random.normal(size=2000) + (np.arange(2000) < 500))
    rows = [evaluate(scores, replicates=1000, interval=one).row("auc") for one in ("auto", "percentile", "delong")]
    assert rows[0].value == pytest.approx(auc_score(scores.labels, scores.values))
    for row in rows[1:]:
        assert row.low == pytest.approx(rows[0].low, abs=0.003)
        assert row.high == pytest.approx(rows[0].high, abs=0.003)


def test_a_perfect_ranking_is_not_certain():
    scores = make(6, 100, -np.arange(100.0))
    row = evaluate(scores, replicates=200).row("auc")
    assert row.value == row.high == 1.0
    assert 0.6 < row.low < 0.95
    assert row.note.endswith("rests on 6 cases: fewer than 10, so its interval may cover less than it says")
    assert evaluate(scores, replicates=200, interval="percentile").row("auc").low == 1.0
    assert score_interval(1.0, 0.0, 6)[0] < 0.8


def test_no_interval_leaves_its_range():
    random = np.random.default_rng(3)
    scores = make(12, 120, random.normal(size=120) + 3 * (np.arange(120) < 12), groups=np.arange(120) // 2)
    from equipoise.decision import fixed_rule

    table = evaluate(scores, fixed_rule(scores, 0.9), replicates=200)
    for row in table.rows:
        low = -1.0 if row.metric == "mcc" else 0.0
        assert low <= row.low <= row.value <= row.high, row
        assert row.high <= 1.0 or row.metric == "log_loss"


def test_unknown_method():
    with pytest.raises(ArgumentError, match='Did you mean "percentile"'):
        evaluate(make(10, 50, np.arange(50.0)), interval="percentiles")


def test_intervals_cover_in_simulation_with_known_truth():
    # A small part of benchmarks/coverage.py: 40 draws with 10 positives in patients of four rows.
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage.py"
    specification = importlib.util.spec_from_file_location("coverage_benchmark", path)
    benchmark = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(benchmark)
    found = benchmark.simulate(10, True, 40, replicates=100)
    for name in ("auc", "ap", "f1", "auc difference", "ap difference", "f1 difference"):
        assert found[name] >= 0.84, (name, found)  # 95 % less three standard errors
    for name in ("auc", "ap", "f1"):
        assert found[f"{name}, null rejected"] <= 0.16
    assert found["auc"] >= found["auc, percentile"]


@pytest.mark.parametrize("positives", [1, 3, 10])
def test_a_perfect_model_is_not_certain_and_no_brier_score_is_above_one(positives):
    labels = (np.arange(100) < positives).astype(float)
    perfect = Scores(
        labels=labels, values=np.where(labels == 1, 0.9, 0.1), kind="probabilities", ids=np.arange(100), role="test",
        classes=["a"],
    )  # fmt: skip
    table = evaluate(perfect, fixed_rule(perfect, 0.5), replicates=200)
    for metric in ("mcc", "f1", "recall", "balanced_accuracy", "auc"):
        row = table.row(metric)
        assert row.value == pytest.approx(1.0)
        assert row.low < 0.95, metric
        assert row.high == pytest.approx(1.0)
    wrong = Scores(
        labels=[0.0, 1.0, 0.0], values=[0.9, 0.2, 0.01], kind="probabilities", ids=["x", "y", "z"], role="test",
        classes=["a"],
    )  # fmt: skip
    row = evaluate(wrong, replicates=100).row("brier")
    assert row.low < row.value < row.high <= 1.0
