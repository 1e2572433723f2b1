"""The sorted record against brute force, and the table against its columns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import operating_points, rank_class, rank_classes


@st.composite
def columns(draw):
    rows = draw(st.integers(0, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = random.choice([0.0, 1.0, np.nan], rows, p=draw(st.sampled_from([(0.7, 0.2, 0.1), (0.1, 0.8, 0.1)])))
    values = np.round(random.normal(size=rows), draw(st.integers(0, 2)))
    weights = draw(st.sampled_from(["none", "integers", "reals"]))
    if weights == "none":
        return labels, values, None
    return labels, values, random.integers(0, 3, rows).astype(float) if weights == "integers" else random.random(rows)


def _same(one, other):
    for field in dataclasses.fields(one):
        np.testing.assert_allclose(getattr(one, field.name), getattr(other, field.name), rtol=1e-13, atol=1e-13)


@settings(max_examples=200, deadline=None)
@given(columns())
def test_every_field_equals_brute_force(case):
    labels, values, weights = case
    ranked = rank_class(labels, values, weights)
    mass = (np.ones(len(labels)) if weights is None else weights) * ~np.isnan(labels)
    hits, misses, present = mass * (labels == 1), mass * (labels == 0), values[mass > 0]
    expected = np.unique(values[hits > 0])[::-1]
    np.testing.assert_array_equal(ranked.values, expected)
    for index, one in enumerate(expected):
        assert ranked.true_positives[index] == pytest.approx(hits[values >= one].sum(), abs=1e-12)
        assert ranked.false_positives[index] == pytest.approx(misses[values >= one].sum(), abs=1e-12)
        assert ranked.ties[index] == pytest.approx(misses[values == one].sum(), abs=1e-12)
        assert ranked.below[index] == max(present[present < one], default=-np.inf)
    assert (ranked.positives, ranked.negatives) == pytest.approx((hits.sum(), misses.sum()), abs=1e-12)
    if len(present):
        assert (ranked.lowest, ranked.highest) == (present.min(), present.max())
    else:
        assert np.isnan([ranked.lowest, ranked.highest]).all()


@settings(max_examples=200, deadline=None)
@given(columns())
def test_integer_weights_are_repetition_and_zero_is_removal(case):
    labels, values, _ = case
    weights = np.random.default_rng(len(labels)).integers(0, 4, len(labels))
    repeated = np.repeat(labels, weights), np.repeat(values, weights)
    _same(rank_class(labels, values, weights.astype(float)), rank_class(*repeated))
    _same(operating_points(labels, values, weights.astype(float)), operating_points(*repeated))


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 3000), classes=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_a_table_gives_what_its_columns_give(rows, classes, seed):
    random = np.random.default_rng(seed)
    labels = random.choice([0.0, 1.0, np.nan], (rows, classes), p=[0.6, 0.2, 0.2])
    values = np.round(random.normal(size=(rows, classes)), 2)
    for index, ranked in enumerate(rank_classes(labels, values)):
        _same(ranked, rank_class(labels[:, index], values[:, index]))


@settings(max_examples=100, deadline=None)
@given(columns())
def test_every_distinct_score_is_an_operating_point(case):
    labels, values, weights = case
    points = operating_points(labels, values, weights)
    mass = (np.ones(len(labels)) if weights is None else weights) * ~np.isnan(labels)
    np.testing.assert_array_equal(points.values, np.unique(values[mass > 0])[::-1])
    for index, one in enumerate(points.values):
        chosen = values >= one
        assert points.true_positives[index] == pytest.approx((mass * (labels == 1))[chosen].sum(), abs=1e-12)
        assert points.false_positives[index] == pytest.approx((mass * (labels == 0))[chosen].sum(), abs=1e-12)


def test_infinite_scores_and_both_zeros():
    ranked = rank_class(np.array([1.0, 0.0, 1.0, 0.0]), np.array([np.inf, 0.0, -0.0, -np.inf]))
    np.testing.assert_array_equal(ranked.values, [np.inf, 0.0])
    np.testing.assert_array_equal(ranked.ties, [0.0, 1.0])
    np.testing.assert_array_equal(ranked.below, [0.0, -np.inf])
