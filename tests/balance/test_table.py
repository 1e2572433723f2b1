"""Every scheme side by side."""

from __future__ import annotations

import json

import numpy as np
import pytest

from equipoise._checks import ArgumentError
from equipoise.balance import SCHEMES, class_weights, weights_table
from equipoise.labels import Census

NIH = Census.from_counts({"Hernia": (227, 111_893), "Mass": (5_782, 106_338), "Gone": (0, 112_120)}, task="multilabel")


def test_all_schemes_stand_side_by_side():
    table = weights_table(NIH)
    assert set(table.schemes) == set(SCHEMES) - {"power"}
    assert table.values[table.schemes.index("inverse"), 0] == pytest.approx(111_893 / 227)
    assert "1 positive of Hernia counts as 493 negatives." in str(table)
    assert any("493x for Hernia" in text for text in table.warnings)


def test_class_that_cannot_be_weighed_is_shown_not_weighed():
    table = weights_table(NIH)
    assert np.isnan(table.values[:, 2]).all()
    assert any('No weight for "Gone"' in text for text in table.warnings)
    assert not any("Gone" in text for text in table.sentences)
    assert json.loads(json.dumps(table.to_dict(), allow_nan=False))["schemes"]["sqrt"]["weights"][2] is None


def test_class_that_cannot_be_weighed_does_not_move_the_others():
    without = Census.from_counts({"Hernia": (227, 111_893), "Mass": (5_782, 106_338)}, task="multilabel")
    np.testing.assert_array_equal(weights_table(NIH).values[:, :2], weights_table(without).values)


def test_chosen_weights_are_a_column_and_must_fit():
    chosen = class_weights(NIH, "sqrt", cap=8.0, values={"Gone": 8.0})
    assert weights_table(NIH, chosen).rows()[0][-1] == "8"
    other = class_weights(Census.from_counts({"a": (1, 9)}, task="binary"))
    with pytest.raises(ArgumentError, match="Make the weights from this census"):
        weights_table(NIH, other)


def test_blocks_keep_within_the_width():
    table = weights_table(NIH)
    blocks = table.blocks(60)
    assert len(blocks) > 1
    assert all(len(line) <= 60 for lines in blocks for line in lines)
    assert len(table.blocks()) == 1
