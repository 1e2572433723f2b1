"""What the guard watches."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.metrics import auc_interval, class_statistics
from equipoise.scores import Scores


def test_constant_scores_have_no_spread_and_area_one_half():
    scores = Scores(
        labels=[0, 1, 0, 1],
        values=[0.2] * 4,
        kind="probabilities",
        ids=list("abcd"),
        role="validation",
        classes=["Mass"],
    )
    found = class_statistics(scores, [0.1])
    assert found.spread[0] == pytest.approx(0.0, abs=1e-12)
    assert found.auc[0] == 0.5
    assert found.rate_at_half[0] == 0.0
    assert found.rate_at_threshold[0] == 1.0
    assert found.auc_low[0] < 0.5 < found.auc_high[0]


def test_empty_class_is_nan_and_counted():
    scores = Scores(
        labels=[[0, 1], [0, 0], [np.nan, 0]],
        values=np.zeros((3, 2)),
        kind="logits",
        ids=list("abc"),
        role="validation",
        classes=["Hernia", "Mass"],
    )
    found = class_statistics(scores)
    assert found.known.tolist() == [2, 3]
    assert found.positives.tolist() == [0, 1]
    assert np.isnan([found.auc[0], found.auc_low[0], found.separation[0]]).all()
    assert np.isnan(found.rate_at_threshold).all()


def test_interval_of_the_area_covers_in_simulation():
    # Truth 0.76 (normal scores one standard deviation apart), 10 positives of 210.
    random = np.random.default_rng(0)
    covered = []
    for _ in range(600):
        positives, negatives = random.normal(1, 1, 10), random.normal(0, 1, 200)
        area = (positives[:, None] > negatives).mean()
        low, high = auc_interval(area, 10, 200)
        covered.append(low <= 0.76025 <= high)
    assert 0.92 <= np.mean(covered) <= 0.985


def test_interval_has_width_at_an_area_of_one():
    low, high = auc_interval(1.0, 3, 50)
    assert high == 1.0
    assert 0.5 < low < 0.95
