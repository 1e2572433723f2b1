"""Values of pixels are counted as `np.unique` counts them, whatever way the kernels take."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

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


def counted(blocks: list[np.ndarray], *, fast: bool = True) -> dict[float, int]:
    counts = ValueCounts(MaskClasses.from_foreground(), fast)
    for block in blocks:
        counts.add(block)
    return dict(+counts.total())


def expected(blocks: list[np.ndarray]) -> dict[float, int]:
    met, times = np.unique(np.concatenate([block.ravel() for block in blocks]), return_counts=True)
    return dict(zip(met.tolist(), times.tolist(), strict=True))


@pytest.mark.parametrize(
    "values",
    [range(3), range(5), range(8), range(17), range(32), (0, 16, 31), (1, 2, 4, 8, 16), (5, 26, 30), range(40)],
)
def test_noise_and_runs_of_few_values_in_one_block(values: tuple[int, ...]) -> None:
    kernels()
    random = np.random.default_rng(len(values))
    known = np.array(values, np.uint8)
    noise = random.choice(known, 500_001)
    runs = np.repeat(random.choice(known, 3_000), random.integers(1, 400, 3_000))
    block = np.concatenate([noise, runs, np.full(70_000, known[-1]), noise[:200_000]])
    blocks = [block, block[3:70_000], block[: 1 << 19].reshape(512, 1024)[::2, 1::3]]
    assert counted(blocks) == expected(blocks)


def test_a_value_of_32_or_more_anywhere_in_a_block() -> None:
    kernels()
    random = np.random.default_rng(0)
    for calm in (False, True):
        for place in (0, 4_095, 32_768, 99_999, 100_000):
            block = random.integers(0, 3 if calm else 32, 100_001, np.uint8)
            if calm:
                block = np.repeat(block, 30)[:100_001]
            block[place] = 200
            assert counted([block]) == expected([block]), (calm, place)


@pytest.mark.parametrize("value", range(32))
def test_sums_do_not_overflow_where_all_pixels_are_alike(value: int) -> None:
    kernels()
    blocks = [np.full(300_007, value, np.uint8), np.array([0, 31, value] * 5_000, np.uint8)]
    assert counted(blocks) == expected(blocks)


def test_values_that_differ_in_their_upper_bits_alone() -> None:
    kernels()
    random = np.random.default_rng(5)
    for values in ([3, 19], [0, 16, 32], [7, 135], [5, 21, 37, 69, 133, 149, 165, 229], list(range(256))):
        block = np.concatenate([np.arange(12, dtype=np.uint8).repeat(3_000), random.choice(values, 200_003)])
        blocks = [block.astype(np.uint8)]
        assert counted(blocks) == expected(blocks), values


def test_a_processor_without_shuffles_counts_the_same(tmp_path: Path) -> None:
    """The second way, which compares, is compiled where the compiler may use no more than every processor has."""
    code = """
        import numpy as np
        from equipoise.data._mask_values import ValueCounts, kernels
        from equipoise.labels import MaskClasses
        assert not kernels()._SHUFFLES
        for values in (2, 3, 5, 8, 9, 16, 32, 40):
            blocks = np.random.default_rng(values).integers(0, values, (3, 100_003), np.uint8)
            counts = ValueCounts(MaskClasses.from_foreground())
            for block in blocks:
                counts.add(block)
            assert dict(counts.total()) == dict(enumerate(np.bincount(blocks.ravel()).tolist())), values
    """
    generic = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=generic, check=False
    )
    assert done.returncode == 0, done.stderr


def test_bytes_that_cannot_be_written_or_start_off_a_word() -> None:
    random = np.random.default_rng(1)
    fixed = np.frombuffer(random.integers(0, 9, 90_003, np.uint8).tobytes(), np.uint8)
    blocks = [fixed, fixed[1:], fixed[5:-2]]
    assert counted(blocks) == expected(blocks)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.bool_, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("pair", [(0, 1), (0, 255), (254, 255), (127, 128), (3, 9)])
def test_two_values_without_kernels(kind: type, pair: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    two = np.array(pair, np.uint8).astype(kind)
    blocks = [random.choice(two, size) for size in (1, 5, 8_191, 300_007)]
    blocks += [np.full(70_001, two[1]), np.full(70_001, two[0]), random.choice(two, 5_000).reshape(50, 100)[:, ::2]]
    assert counted(blocks, fast=False) == expected(blocks)
    if kind is not np.bool_:
        late = np.full(600_000, two[0])
        late[-1] = np.array(77, np.uint8).astype(kind)
        assert counted([*blocks, late], fast=False) == expected([*blocks, late])


def test_nan_beside_two_values() -> None:
    pixels = np.zeros(700_001, np.float32)
    pixels[::3], pixels[::7] = 1, np.nan
    counts = ValueCounts(MaskClasses.from_foreground())
    counts.add(pixels)
    assert (dict(counts.total()), counts.nans) == (expected([pixels[~np.isnan(pixels)]]), int(np.isnan(pixels).sum()))
