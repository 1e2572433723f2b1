"""What each row does to a ranking: beside finite differences, DeLong, and the replicates that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from equipoise.decision import fixed_rule
from equipoise.evidence import evaluate, resampling
from equipoise.evidence._influence import LinearisedClass, ranking_influence
from equipoise.evidence.intervals import delong_variance
from equipoise.metrics import auc_score, average_precision_score
from equipoise.scores import Scores


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(4, 40), levels=st.sampled_from([3, 10, 10**9]))
def test_the_derivatives_are_those_of_the_weighted_figures(seed, rows, levels):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(rows) < 0.1, np.nan, (rng.random(rows) < 0.4).astype(float))
    assume((labels == 1).any() and (labels == 0).any())
    values = np.floor(rng.random(rows) * levels) / levels
    for found, figure in zip(ranking_influence(labels, values), (auc_score, average_precision_score), strict=True):
        assert found.sum() == pytest.approx(0.0, abs=1e-12)
        for row in range(rows):
            step = 1e-5
            weights = [np.ones(rows) + sign * step * (np.arange(rows) == row) for sign in (1, -1)]
            up, down = (figure(labels, values, sample_weights=one) for one in weights)
            assert found[row] == pytest.approx((up - down) / (2 * step), abs=1e-7)


def test_the_variance_of_an_area_is_that_of_delong():
    rng = np.random.default_rng(0)
    labels = (rng.random(3000) < 0.2).astype(float)
    values = rng.normal(size=3000) + labels
    own = np.arange(3000, dtype=np.int32)
    auc = LinearisedClass(labels, values, own, 3000).per_cluster[0]
    assert auc @ auc == pytest.approx(delong_variance(labels, values), rel=2e-3)


def table(rows: int = 6000) -> Scores:
    rng = np.random.default_rng(1)
    patient = rng.normal(size=(rows // 3, 3)).repeat(3, axis=0)
    labels = (rng.random((rows, 3)) < [0.3, 0.1, 0.03]).astype(float)
    values = rng.normal(size=(rows, 3)) + 0.7 * patient + 1.3 * labels
    return Scores(
        labels=labels, values=values, kind="logits", ids=np.arange(rows), groups=np.arange(rows) // 3, role="test",
        classes=["a", "b", "c"],
    )  # fmt: skip


def test_large_tables_get_the_intervals_that_scanned_replicates_would_give(monkeypatch):
    scores = table()
    rule = fixed_rule(scores, 0.5)
    scanned = evaluate(scores, rule, replicates=1000)
    monkeypatch.setattr(resampling, "SCANNED_ENTRIES", 0)
    linear = evaluate(scores, rule, replicates=1000)
    for one, other in zip(scanned.rows, linear.rows, strict=True):
        assert one.value == other.value
        if one.metric in ("auc", "ap"):
            width = one.high - one.low
            assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.12 * width), one.name
        else:
            assert (other.low, other.high) == pytest.approx((one.low, one.high), nan_ok=True)


def test_a_class_without_positives_stays_without_replicates():
    nothing = LinearisedClass(np.zeros(5), np.arange(5.0), np.arange(5, dtype=np.int32), 5)
    assert all(np.isnan(one).all() for one in nothing.replicate(np.ones((5, 2), np.int16), np.zeros((2, 2))))
