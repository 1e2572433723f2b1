"""Weights from pixels: the published formulas, what becomes of the background, and the counts they came from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.balance import check_counts, counts_of, mask_weights
from equipoise.labels import MaskCensus, MaskClasses, MaskImage


def census_of(*rows: tuple[int, ...], size: int = 1000, names: str = "abc") -> MaskCensus:
    meaning = MaskClasses.from_values({name: k for k, name in enumerate(names[: len(rows[0])])})
    images = tuple(MaskImage(f"{k}.tif", (size,), row, (size,) * len(row), stamp=str(k)) for k, row in enumerate(rows))
    return MaskCensus(meaning, images)


def test_inverse_frequency_that_sums_to_one() -> None:
    surface = census_of((5804, 4196), size=10_000)
    assert mask_weights(surface, "inverse", normalise="sum").values.round(4).tolist() == [0.4196, 0.5804]
    assert math.fsum(mask_weights(surface, "inverse", normalise="sum").values) == pytest.approx(1, abs=1e-15)


def test_median_frequency_counts_only_images_that_hold_the_class() -> None:
    census = census_of((900, 100, 0), (800, 0, 200), (700, 300, 0))
    frequency = np.array([2400 / 3000, 400 / 2000, 200 / 1000])
    np.testing.assert_allclose(mask_weights(census, "median_frequency").values, np.median(frequency) / frequency)
    over_all = np.array([2400, 400, 200]) / 3000
    np.testing.assert_allclose(
        mask_weights(census, "median_frequency", count="pixels").values, np.median(over_all) / over_all
    )


def test_enet_and_effective_number_on_pixels_or_images() -> None:
    census = census_of((900, 100, 0), (800, 0, 200), (700, 300, 0))
    shares = np.array([2400, 400, 200]) / 3000
    np.testing.assert_allclose(mask_weights(census, "log").values, 1 / np.log(1.02 + shares))
    beta = 0.9
    for count, n, whole in (("pixels", np.array([2400, 400, 200]), 3000), ("images", np.array([3, 2, 1]), 3)):
        found = mask_weights(census, "effective_number", beta=beta, count=count).values
        np.testing.assert_allclose(found, (1 - beta**whole) / (1 - beta**n))


def test_the_background_is_included_left_out_or_fixed() -> None:
    census = census_of((900, 60, 40), (900, 60, 40))
    assert mask_weights(census, "inverse", background="exclude").values.tolist() == pytest.approx([1, 5 / 3, 5 / 2])
    fixed = mask_weights(census, "inverse", background=0.2, normalise="sum")
    assert fixed.values[0] == 0.2
    assert fixed.values[1:].sum() == pytest.approx(1)
    assert mask_weights(census, "inverse", cap=3.0).values.max() == 3.0
    np.testing.assert_allclose(fixed.prevalence, [0.9, 0.06, 0.04])  # what is natural, whatever was left out
    with pytest.raises(ArgumentError, match="background"):
        mask_weights(census, background="drop")
    with pytest.raises(DataError, match='class "c" has no positive'):
        mask_weights(census_of((900, 100, 0)))


def test_overlapping_classes_have_positive_weights_and_no_background() -> None:
    meaning = MaskClasses.from_columns(["MA", "HE"])
    census = MaskCensus(meaning, (MaskImage("a", (1000,), (10, 200), (1000, 1000)),))
    weights = mask_weights(census, "sqrt")
    assert weights.kind == "pos_weight"
    np.testing.assert_allclose(weights.values, np.sqrt([99, 4]))
    with pytest.raises(ArgumentError, match="Leave it out"):
        mask_weights(census, background="exclude")


def test_counts_that_changed_since_are_refused_by_name() -> None:
    stored = counts_of(census_of((900, 100, 0)))
    check_counts(stored, census_of((900, 100, 0)))
    with pytest.raises(DataError, match="b had 100 pixels and has 160"):
        check_counts(stored, census_of((840, 160, 0)))
