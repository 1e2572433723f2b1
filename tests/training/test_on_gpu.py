"""What only a GPU shows: every precision, compiled or not, deterministic, resumed, and the same on the CPU."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from equipoise.losses import MASK_LOSSES, make_mask_loss
from equipoise.recipe import make_recipe
from equipoise.runs import Run
from equipoise.scores import read_scores
from equipoise.training import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 4))
    ill = (rng.random(1500) < 1 / (1 + np.exp(2.5 - 2 * x[:, 0]))).astype(int)
    path = tmp_path_factory.mktemp("gpu") / "table.csv"
    pl.DataFrame({f"x{i}": x[:, i] for i in range(4)} | {"ill": ill}).write_csv(path)
    return path


def _train(table: Path, out: Path, *settings: str) -> Run:
    common = ["training.members=1", "training.epochs=15", "model.name=mlp", *settings]
    return train(make_recipe(table, ["ill"], groups="none", overrides=common), out=out)


def _values(run: Run) -> np.ndarray:
    return read_scores(run.scores_file("test")).values


@pytest.mark.parametrize("settings", [
    ("training.precision=32",), ("training.precision=16",), ("training.precision=bf16",),
    ("training.precision=16", "training.compile=true"),
], ids=" ".join)  # fmt: skip
def test_every_precision_learns_what_the_cpu_learns(settings: tuple[str, ...], table: Path, tmp_path: Path) -> None:
    gpu = _train(table, tmp_path / "gpu", "training.device=cuda", *settings)
    cpu = _train(table, tmp_path / "cpu", "training.device=cpu")
    both = np.corrcoef(_values(gpu).ravel(), _values(cpu).ravel())[0, 1]
    assert both > 0.97, both


@pytest.mark.parametrize("precision", ["32", "16"])
def test_the_same_run_twice_gives_the_same_bytes(precision: str, table: Path, tmp_path: Path) -> None:
    one, two = (
        _train(table, tmp_path / name, "training.device=cuda", f"training.precision={precision}")
        for name in ("one", "two")
    )
    assert _values(one).tobytes() == _values(two).tobytes()


CASES = [
    (entry.name, overlapping)
    for entry, overlapping in itertools.product(MASK_LOSSES, (False, True))
    if (entry.overlapping if overlapping else entry.exclusive)
]


@pytest.mark.parametrize(("name", "overlapping"), CASES)
def test_losses_of_masks_are_deterministic_there_and_equal_those_of_the_cpu(name: str, overlapping: bool) -> None:
    made = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 3, 16, 18, generator=made)
    labels = torch.randint(-1, 2 if overlapping else 3, (4, 3, 16, 18) if overlapping else (4, 16, 18), generator=made)
    loss = make_mask_loss(name, overlapping=overlapping)
    found = {}
    torch.set_deterministic_debug_mode("error")
    try:
        for device in ("cpu", "cuda"):
            leaf = logits.detach().clone().to(device).requires_grad_()
            value = loss(leaf, labels.to(device))
            value.backward()
            found[device] = (value.detach().cpu(), leaf.grad.cpu())
    finally:
        torch.set_deterministic_debug_mode("default")
    torch.testing.assert_close(found["cuda"], found["cpu"], rtol=1e-4, atol=1e-6)
