"""Steps of a U-Net on patches that are cut, varied and loaded, beside the same steps on tensors that are in memory.

Run: ``OMP_NUM_THREADS=1 python benchmarks/mask_training.py [--device cuda --side 256 --batch 16 --width 32]``. In every
round, in turn: the training loop as `train` runs it (patches by plan out of 24 images with five overlapping classes,
augmentation, bce + dice), and a bare loop on random tensors of the same shapes. Patches a second and their ratio, round
by round, are printed. On a GPU both compute in bfloat16.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from equipoise.data import MaskPatches, find_mask_pairs, index_locations, make_mask_augmenter, measure_scale
from equipoise.labels import MaskClasses
from equipoise.losses import make_mask_loss
from equipoise.models import make_mask_model
from equipoise.recipe import TrainingSettings
from equipoise.samplers import PatchStream, plan_patches
from equipoise.training import Fit, Phase
from equipoise.training.mask_rows import PatchRows
from equipoise.training.schedule import make_optimizer

IMAGES, CLASSES = 24, ("a", "b", "c", "d", "e")


def make_pairs(folder: Path, side: int) -> None:
    """Write colour images with spots of five classes, and their masks."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(IMAGES):
        image = random.integers(0, 200, (2 * side, 3 * side, 3), dtype=np.uint8)
        np.save(folder / "images" / f"{number}.npy", image)
        for class_ in CLASSES:
            mask = np.zeros(image.shape[:2], np.uint8)
            for _ in range(6):
                row, column = random.integers(0, 2 * side - 9), random.integers(0, 3 * side - 9)
                mask[row : row + 9, column : column + 9] = 1
            np.save(folder / "masks" / f"{number}_{class_}.npy", mask)


def main() -> None:
    """Measure on the CPU, or on a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    device, shape = torch.device(given.device), (given.side, given.side)
    precision = "32" if given.device == "cpu" else "bf16"
    with tempfile.TemporaryDirectory() as place:
        make_pairs(Path(place), given.side)
        classes = MaskClasses.from_columns(CLASSES)
        pairs = find_mask_pairs(Path(place) / "images", Path(place) / "masks", classes)
        index = index_locations(pairs)
        plan = plan_patches(index.counts, CLASSES, exclusive=False, draws=given.batch * given.steps)
        patches = MaskPatches(
            pairs, index, patch_size=shape, scale=measure_scale(pairs), seed=0,
            augmenter=make_mask_augmenter("light", modality="fundus", seed=0),
        )  # fmt: skip
        rows = PatchRows.of_epoch(patches, PatchStream(plan)).to(device)
        stages = 5 if given.side <= 128 else 7
        model = make_mask_model(
            "unet", channels=3, n_outputs=len(CLASSES), patch_size=shape, width=given.width, stages=stages,
            multiclass=False, deep_supervision=False,
        ).to(device)  # fmt: skip
        loss = make_mask_loss("bce + dice", overlapping=True, batch=True).to(device)
        settings = TrainingSettings(epochs=10_000, average=0.0, patience=None, precision=precision)
        draws = torch.arange(len(rows))
        fit = Fit(
            model, [Phase(loss, lambda _: draws)], rows, rows, settings, batch_size=given.batch, seed=0,
            higher_is_better=True,
        )  # fmt: skip
        images = torch.randn(given.batch, 3, *shape, device=device)
        labels = (torch.rand(given.batch, len(CLASSES), *shape, device=device) < 0.01).float()
        optimizer = make_optimizer(model, learning_rate=1e-3, weight_decay=0.0)
        half = contextlib.nullcontext() if precision == "32" else torch.autocast(given.device, torch.bfloat16)

        def wait() -> None:
            if given.device == "cuda":
                torch.cuda.synchronize()

        def bare() -> None:
            model.train()
            for _ in range(given.steps):
                optimizer.zero_grad(set_to_none=True)
                with half:
                    found = loss(model(images), labels)
                found.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()

        spent: dict[str, list[float]] = {"Equipoise": [], "random": []}
        for number in range(given.rounds + 1):
            for way, work in (("Equipoise", lambda: fit._epoch(model, lambda _: None)), ("random", bare)):
                begin = time.perf_counter()
                work()
                wait()
                if number:  # the first round warms up
                    spent[way].append(time.perf_counter() - begin)
    name = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    print(f"{name}, U-Net of width {given.width}, patches of {given.side} x {given.side} in batches of {given.batch}")
    for way, seconds in spent.items():
        print(f"  {way:10} {given.batch * given.steps / statistics.median(seconds):8.1f} patches/s")
    ratios = sorted(a / b for a, b in zip(spent["random"], spent["Equipoise"], strict=True))
    print(f"  ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
