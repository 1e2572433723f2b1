"""Class weights beside scikit-learn and the formulas of the papers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from equipoise.balance import class_weights
from equipoise.labels import Census


@pytest.mark.parametrize("counts", [(90, 10), (1, 2, 3), (1000, 1, 17, 400, 9)])
def test_balanced_is_that_of_scikit_learn(counts):
    census = Census.from_counts({str(number): count for number, count in enumerate(counts)}, task="multiclass")
    rows = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=rows)
    np.testing.assert_allclose(class_weights(census, "balanced").values, expected, rtol=1e-12)


def test_balanced_pos_weight_is_the_positive_of_scikit_learn():
    census = Census.from_counts({"a": (11, 89)}, task="binary")
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=np.repeat([0, 1], [89, 11]))[1]
    assert class_weights(census, "balanced").values[0] == pytest.approx(expected)


def test_effective_number_is_that_of_the_paper():
    """Cui et al., CVPR 2019, eq. 2 with the weights rescaled to sum to the number of classes, as in section 4.3."""
    counts, beta = np.array([5000, 500, 50]), 0.999
    weights = (1 - beta) / (1 - np.power(beta, counts))
    expected = weights / weights.sum() * len(counts)
    census = Census.from_counts({"a": 5000, "b": 500, "c": 50}, task="multiclass")
    got = class_weights(census, "effective_number", beta=beta, normalise="mean").values
    np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_smoothed_is_the_written_formula_up_to_a_common_factor():
    counts = np.array([5000, 500, 50])
    expected = 1 / (counts + 3.0) ** 0.7
    census = Census.from_counts({"a": 5000, "b": 500, "c": 50}, task="multiclass")
    got = class_weights(census, "smoothed", smoothing=3.0, power=0.7, normalise="sum").values
    np.testing.assert_allclose(got, expected / expected.sum(), rtol=1e-12)


def test_log_is_that_of_enet():
    """Paszke et al. 2016, section 5.1: 1 / ln(1.02 + p), which lies between 1.42 and 50.5."""
    census = Census.from_counts({"a": 999_999_999, "b": 1}, task="multiclass")
    assert class_weights(census, "log").values.round(2).tolist() == [1.42, 50.5]
