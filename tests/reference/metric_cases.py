"""Inputs that the comparisons with other libraries share: unknown labels, ties, weights, rare classes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@st.composite
def one_class(draw):
    """Labels with unknowns, tied or continuous scores, integer or real weights or none; both classes present."""
    rows = draw(st.integers(2, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = (random.random(rows) < draw(st.floats(0.05, 0.95))).astype(float)
    labels[:2] = [0, 1]
    values = random.random(rows)
    if draw(st.booleans()):
        values = np.round(values * draw(st.integers(1, 6))) / 6
    weights = draw(st.sampled_from(["none", "integers", "reals"]))
    sample_weights = None
    if weights != "none":
        sample_weights = random.integers(0, 4, rows).astype(float) if weights == "integers" else random.random(rows)
        sample_weights[:2] = [1, 2]
    unknown = random.random(rows) < 0.2
    unknown[:2] = False
    labels[unknown] = np.nan
    return labels, np.clip(values, 0, 1), sample_weights


def known_only(labels, values, weights):
    """The rows whose label is known: what is given to libraries that know no unknown labels."""
    keep = ~np.isnan(labels)
    return labels[keep], values[keep], None if weights is None else weights[keep]
