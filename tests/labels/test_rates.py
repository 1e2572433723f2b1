from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise._checks import ArgumentError
from equipoise.labels import wilson_interval
from equipoise.labels._shift import chi_square_tail, holm, prevalence_shift

# Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3 (score without continuity correction).
PUBLISHED = [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718),
]  # fmt: skip


@pytest.mark.parametrize(("successes", "trials", "low", "high"), PUBLISHED)
def test_published_wilson_intervals(successes, trials, low, high):
    found = wilson_interval(successes, trials)
    assert [round(float(end), 4) for end in found] == [low, high]


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 1000), st.sampled_from([0.8, 0.95, 0.99]))
def test_against_scipy(successes, trials, level):
    from scipy.stats import binomtest

    successes = min(successes, trials)
    expected = binomtest(successes, trials).proportion_ci(level, method="wilson")
    np.testing.assert_allclose(wilson_interval(successes, trials, level), [expected.low, expected.high], atol=1e-12)


def test_edges_of_wilson():
    low, high = wilson_interval([0, 5, 0], [5, 5, 0])
    assert (low[0], high[1]) == (0.0, 1.0)
    assert math.isnan(low[2])
    assert math.isnan(high[2])
    with pytest.raises(ArgumentError, match="between 0 and `trials`"):
        wilson_interval(6, 5)
    with pytest.raises(ArgumentError, match="level"):
        wilson_interval(1, 5, 1.0)


@settings(deadline=None)
@given(st.floats(0.01, 200), st.integers(1, 12))
def test_chi_square_tail_against_scipy(value, freedom):
    from scipy.special import chdtrc

    np.testing.assert_allclose(chi_square_tail(value, freedom), chdtrc(freedom, value), rtol=1e-9, atol=1e-300)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=10))
def test_holm_by_definition(p_values):
    adjusted = holm(np.array(p_values, float))
    for p, found in zip(p_values, adjusted, strict=True):
        candidates = [min(1.0, sum(r >= q for r in p_values) * q) for q in p_values if q <= p]
        assert found >= p or math.isclose(found, p)
        # Holm: the largest of (number of p-values not smaller) x q over all q up to this one, ties counted in order.
        assert found <= max(candidates) + 1e-12


@pytest.mark.parametrize(("hits", "sizes"), [((3, 0), (10, 9)), ((5, 1), (12, 11)), ((1, 3), (30, 8))])
def test_exact_test_of_two_parts_is_fishers(hits, sizes):
    # Ordered by chi-square; for these tables that is Fisher's order by probability.
    from scipy.stats import fisher_exact

    positive = np.concatenate([np.arange(n) < k for k, n in zip(hits, sizes, strict=True)])
    parts = np.repeat([0, 1], sizes)
    found = prevalence_shift(positive, parts, 2)
    expected = fisher_exact([hits, np.subtract(sizes, hits)]).pvalue
    assert found.method == "exact"
    np.testing.assert_allclose(found.p_value, expected, rtol=1e-9)


def test_chi_square_against_scipy():
    from scipy.stats import chi2_contingency

    hits, sizes = np.array([60, 30, 10]), np.array([500, 300, 200])
    positive = np.concatenate([np.arange(n) < k for k, n in zip(hits, sizes, strict=True)])
    found = prevalence_shift(positive, np.repeat([0, 1, 2], sizes), 3)
    expected = chi2_contingency([hits, sizes - hits], correction=False)
    np.testing.assert_allclose(found.p_value, expected.pvalue, rtol=1e-9)
    np.testing.assert_allclose(found.effect, math.sqrt(expected.statistic / 1000), rtol=1e-9)


def test_groups_are_no_independent_evidence():
    # 40 patients of 50 like rows each, placed at random: by rows a shift is "proved" far too often.
    rng = np.random.default_rng(0)
    by_rows = by_groups = 0
    for _ in range(200):
        ill = rng.random(40) < 0.4
        groups = np.repeat(np.arange(40), 50)
        parts = rng.permutation(np.repeat([0, 1], 20))[groups]
        by_rows += prevalence_shift(ill[groups], parts, 2).p_value < 0.05
        by_groups += prevalence_shift(ill[groups], parts, 2, groups).p_value < 0.05
    assert by_rows > 100
    assert by_groups < 25


def test_many_tables_are_simulated():
    positive = np.zeros(100, bool)
    positive[:12] = True
    found = prevalence_shift(positive, np.arange(100) // 10, 10)
    assert found.method == "simulated"
    assert found.p_value < 0.001
