"""Members are averaged as probabilities."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equipoise.scores.record import sigmoid, softmax
from equipoise.training import mean_of_members

_LOGITS = arrays(np.float64, (3, 4, 2), elements=st.floats(-30, 30))


@given(_LOGITS)
def test_the_mean_is_that_of_the_probabilities(logits: np.ndarray) -> None:
    together = mean_of_members(list(logits), exclusive=False)
    np.testing.assert_allclose(sigmoid(together), sigmoid(logits).mean(axis=0), rtol=1e-9)
    together = mean_of_members(list(logits), exclusive=True)
    np.testing.assert_allclose(softmax(together), softmax(logits).mean(axis=0), rtol=1e-9)


def test_extreme_logits_stay_finite() -> None:
    for exclusive in (False, True):
        assert np.isfinite(mean_of_members([np.array([[1e4, -1e4]])] * 2, exclusive=exclusive)).all()


def test_one_member_is_left_as_it_is() -> None:
    logits = np.array([[0.25, 3.0]])
    np.testing.assert_array_equal(mean_of_members([logits], exclusive=True), logits)
