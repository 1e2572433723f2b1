"""The image cache: what is read is what the steps make, and no kill, damage or second builder changes that."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from data.image_fakes import Folder, make_folder
from equipoise.data.cache import ImageCache, build_cache
from equipoise.data.steps import Steps, parse_steps

STEPS = parse_steps(["clahe", "resize"], size=16, channels=1)


def all_of(cache: ImageCache) -> np.ndarray:
    return cache.read(np.arange(len(cache)))


def expected(files: Folder, steps: Steps = STEPS) -> np.ndarray:
    return np.stack([steps.apply(files.read(row)) for row in range(len(files))])


@pytest.mark.parametrize("store", ["raw", "compressed"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_read_is_what_the_steps_make(tmp_path: Path, store: str, channels: int) -> None:
    files = make_folder(tmp_path / "images", 21)
    steps = parse_steps(["clahe", "resize"], size=16, channels=channels)
    cache = build_cache(files, steps, tmp_path / "cache", store=store)
    rows = np.array([20, 0, 0, 7])
    whole = expected(files, steps)
    assert cache.shape == (21, 16, 16, channels)
    for _ in range(2):  # checked at the first reading, known at the second
        assert np.array_equal(cache.read(rows), whole[rows])
    out = np.zeros((4, 16, 16, channels), np.uint8)
    assert cache.read(rows, out) is out
    assert np.array_equal(out, whole[rows])
    assert np.array_equal(all_of(pickle.loads(pickle.dumps(cache))), whole)
    cache.read(rows)[:] = 0
    assert np.array_equal(all_of(cache), whole)
