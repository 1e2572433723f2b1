"""Values of pixels are counted as `np.unique` counts them, whatever way the kernels take."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.data._mask_values import ValueCounts, kernels
from equipoise.labels import MaskClasses


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16])
@pytest.mark.parametrize("values", [1, 2, 3, 32, 33, 128])
def test_blocks_of_any_length_and_number_of_values(kind: type, values: int) -> None:
    kernels()
    random = np.random.default_rng(values)
    counts = ValueCounts(MaskClasses.from_foreground())
    blocks = [random.integers(0, values, size).astype(kind) for size in (1, 7, 2047, 2049, 100_003)]
    # Few values first and more later: the way changes in the middle of a mask.
    blocks += [np.zeros(5_000, kind), np.repeat(random.integers(0, values, 500), 97).astype(kind)]
    for block in blocks:
        counts.add(block)
    met, times = np.unique(np.concatenate(blocks), return_counts=True)
    assert dict(+counts.total()) == dict(zip(met.tolist(), times.tolist(), strict=True))


def test_a_third_value_in_the_last_pixel_is_met() -> None:
    kernels()
    for size in (2048, 2049, 4096 * 255 + 1):
        pixels = np.zeros(size, np.uint8)
        pixels[::2] = 255
        pixels[-1] = 7
        counts = ValueCounts(MaskClasses.from_foreground())
        counts.add(pixels)
        assert counts.total()[7] == 1
        assert sum(counts.total().values()) == size
