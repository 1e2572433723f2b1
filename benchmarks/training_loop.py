"""What the training loop costs: the same model in a bare in-memory loop, under a DataLoader and under Lightning.

Run: ``OMP_NUM_THREADS=1 python benchmarks/training_loop.py``. All are timed in turn in every round, so that a busy
machine slows them alike; the ratio to the bare loop is taken round by round, and its median and range are printed.
Every loop trains the same MLP on the same 4,000 x 30 table with 10 classes by AdamW. Ours also clips gradients, sums
the loss and looks at the clock for checkpoints, as in a real run; validation is left out of all.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from equipoise.data import TableRows
from equipoise.losses import make_loss
from equipoise.models import TabularModel, make_model
from equipoise.recipe import TrainingSettings
from equipoise.training import Fit, Phase

ROWS, COLUMNS, CLASSES = 4000, 30, 10


def table() -> TableRows:
    """Return the table that all loops train on."""
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(ROWS, COLUMNS, generator=generator)
    labels = (torch.rand(ROWS, CLASSES, generator=generator) < 0.1).float()
    return TableRows(numeric, torch.zeros((ROWS, 0), dtype=torch.int64), labels)


def model() -> TabularModel:
    """Return the model that all loops train."""
    return make_model("mlp", n_numeric=COLUMNS, cardinalities=(), n_outputs=CLASSES, seed=0)


def ours(rows: TableRows, batch: int, epochs: int) -> None:
    """Train with Equipoise."""
    settings = TrainingSettings(epochs=epochs, patience=None, batch_size=batch)
    phases = [Phase(make_loss("bce", "multilabel", has_unknowns=False))]
    fit = Fit(model(), phases, rows, rows.part(0, 1), settings, batch_size=batch, seed=0, higher_is_better=False)
    fit.run(lambda *_: 0.0, lambda *_: None, lambda _: None)


def bare(rows: TableRows, batch: int, epochs: int, *, fused: bool = False) -> None:
    """Train as one writes it by hand: a permutation, slices, AdamW with its defaults."""
    net, loss = model(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, fused=fused or None)
    net.train()
    for _ in range(epochs):
        order = torch.randperm(ROWS)
        for begin in range(0, ROWS, batch):
            index = order[begin : begin + batch]
            optimizer.zero_grad()
            loss(net(rows.numeric[index], rows.categorical[index]), rows.labels[index]).backward()
            optimizer.step()


def bare_fused(rows: TableRows, batch: int, epochs: int) -> None:
    """The bare loop with the fused AdamW that ours uses: what is left is the cost of the loop alone."""
    bare(rows, batch, epochs, fused=True)


def loader(rows: TableRows, batch: int, epochs: int) -> None:
    """Train with a DataLoader, as most people do."""
    net, loss = model(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    batches = DataLoader(TensorDataset(rows.numeric, rows.categorical, rows.labels), batch_size=batch, shuffle=True)
    net.train()
    for _ in range(epochs):
        for numeric, categorical, labels in batches:
            optimizer.zero_grad()
            loss(net(numeric, categorical), labels).backward()
            optimizer.step()


def lightning() -> Callable[[Rows, int, int], None] | None:
    """Return a training under Lightning's Trainer, or None where pytorch-lightning is not installed."""
    try:
        import pytorch_lightning as pl
    except ImportError:
        return None

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.loss = model(), nn.BCEWithLogitsLoss()

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            value = self.loss(self.net(batch[0], batch[1]), batch[2])
            self.log("loss", value)
            return value

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.net.parameters(), lr=2e-3)

    def train(rows: TableRows, batch: int, epochs: int) -> None:
        data = TensorDataset(rows.numeric, rows.categorical, rows.labels)
        trainer = pl.Trainer(
            max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu", devices=1,
        )  # fmt: skip
        trainer.fit(Module(), DataLoader(data, batch_size=batch, shuffle=True))

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    return train


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = table()
    loops = {
        "bare loop": bare,
        "bare loop, fused AdamW": bare_fused,
        "Equipoise": ours,
        "DataLoader": loader,
        "Lightning Trainer": lightning(),
    }
    for batch in (32, 512):
        seconds: dict[str, list[float]] = {name: [] for name, loop in loops.items() if loop is not None}
        for loop in loops.values():
            if loop is not None:
                loop(rows, batch, 1)  # warm up
        for _ in range(given.rounds):
            for name, loop in loops.items():
                if loop is not None:
                    begin = time.perf_counter()
                    loop(rows, batch, given.epochs)
                    seconds[name].append((time.perf_counter() - begin) / given.epochs)
        print(f"\nbatch {batch}, {given.rounds} rounds      s/epoch   x bare loop: median (lowest to highest)")
        for name, taken in seconds.items():
            ratios = sorted(a / b for a, b in zip(taken, seconds["bare loop"], strict=True))
            print(
                f"  {name:<24}{min(taken):9.3f}   {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )
    if loops["Lightning Trainer"] is None:
        print("\nLightning Trainer was left out: pip install pytorch-lightning to see its row.")


if __name__ == "__main__":
    main()
