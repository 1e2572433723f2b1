"""An epoch of a light model at 224 pixels from the image cache, beside the same steps on tensors that are in memory.

Run: ``OMP_NUM_THREADS=1 python benchmarks/image_training.py``. In every round, in turn, on the same model, optimiser
and images (computed X-ray-like textures of 1024 x 1024):

- Equipoise: the training loop as `train` runs it, images read from the cache, varied, scaled, loaded ahead by a thread;
- memory: a bare loop of the same steps on float batches made beforehand, never varied: the most that is to be had;
- run time: PIL opens the file, CLAHE, torchvision resizes and varies it, as most pipelines do, with a DataLoader of one
  worker process.

Ratios are taken round by round. ``--device cuda`` measures all six models on a GPU, in images per second, beside a bare
loop on random tensors (X-Lite reports 307 for ConvNeXt-Tiny with a Performer).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from equipoise._image_models import IMAGE_MODELS
from equipoise.data import ImageRows, build_cache, find_images, make_augmenter, parse_steps, pixel_statistics
from equipoise.losses import make_loss
from equipoise.models import make_image_model
from equipoise.recipe import TrainingSettings
from equipoise.training import Fit, Phase
from equipoise.training.schedule import make_optimizer

SIDE, SIZE, OUTPUTS = 1024, 224, 14


def make_files(folder: Path, images: int) -> list[str]:
    """Write smooth textures with grain, as PNG."""
    rng = np.random.default_rng(0)
    for number in range(images):
        smooth = cv2.resize(rng.normal(size=(12, 12)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        grain = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 1.5)
        cv2.imwrite(str(folder / f"{number}.png"), (120 + 40 * smooth + 12 * grain).clip(0, 255).astype(np.uint8))
    return [f"{number}.png" for number in range(images)]


class AtRunTime(Dataset):
    """What a pipeline of PIL and torchvision does for every image of every epoch."""

    def __init__(self, folder: Path, names: list[str], labels: Tensor, mean: float, std: float) -> None:
        from torchvision.transforms import v2

        self.paths, self.labels = [folder / name for name in names], labels
        self.clahe = None
        self.varied = v2.Compose(
            [
                v2.ToImage(),
                v2.Resize((SIZE, SIZE), antialias=True),
                v2.RandomAffine(5, translate=(0.02, 0.02), scale=(0.95, 1.05)),
                v2.ColorJitter(0.04, 0.1),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([mean], [std]),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        if self.clahe is None:
            cv2.setNumThreads(0)
            self.clahe = cv2.createCLAHE(2.0, (8, 8))
        grey = np.asarray(Image.open(self.paths[row]).convert("L"))
        return self.varied(Image.fromarray(self.clahe.apply(grey))), self.labels[row]


def bare_epoch(model: nn.Module, batches: list[tuple[Tensor, Tensor]], settings: TrainingSettings) -> None:
    """The steps of the loop and nothing else."""
    optimizer = make_optimizer(model, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay)
    parameters = list(model.parameters())
    model.train()
    for images, labels in batches:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.binary_cross_entropy_with_logits(model(images), labels).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def spread(over: list[float], under: list[float]) -> str:
    """Return the median of the ratios of two series, round by round, with their range."""
    ratios = sorted(a / b for a, b in zip(over, under, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def epochs(name: str, images: int, batch: int, rounds: int) -> None:
    """Measure the three ways and print their ratios."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        names = make_files(folder, images)
        files = find_images(names, folder)
        cache = build_cache(files, parse_steps(["clahe", "resize"], size=SIZE, channels=1), folder / "cache")
        rows = np.arange(images)
        mean, std = (float(values[0]) for values in pixel_statistics(cache, rows))
        labels = (torch.rand((images, OUTPUTS), generator=torch.Generator().manual_seed(0)) < 0.1).float()
        scale = {"modality": "xray", "seed": 0, "mean": mean, "std": std, "channels": 1}
        plain, varied = make_augmenter("none", **scale), make_augmenter("light", **scale)
        settings = TrainingSettings(epochs=10_000, average=0.0, patience=None)
        source = ImageRows(cache, torch.arange(images), labels, plain, varied)
        model = make_image_model(name, channels=1, n_outputs=OUTPUTS)
        fit = Fit(
            model, [Phase(make_loss("bce", "multilabel"))], source, source.take(torch.arange(1)), settings,
            batch_size=batch, seed=0, higher_is_better=False,
        )  # fmt: skip
        memory = [(plain(torch.from_numpy(cache.read(part)).permute(0, 3, 1, 2), rows=part, epoch=0), labels[part])
                  for part in np.array_split(rows, images // batch)]  # fmt: skip
        loader = DataLoader(AtRunTime(folder, names, labels, mean, std), batch, num_workers=1, persistent_workers=True)
        ways: dict[str, Callable[[], object]] = {
            "Equipoise": lambda: fit._epoch(model, lambda _: None),
            "memory": lambda: bare_epoch(model, memory, settings),
            "run time": lambda: bare_epoch(model, iter(loader), settings),
        }
        spent: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds + 1):
            for way, work in ways.items():
                spent[way].append(timed(work))
        spent = {way: seconds[1:] for way, seconds in spent.items()}  # the first round warms up
    print(
        f"{name}, {images} images of {SIZE} x {SIZE}, batches of {batch}, {rounds} rounds, "
        f"{torch.get_num_threads()} thread(s)"
    )
    for way, seconds in spent.items():
        print(f"  {way:10} {statistics.median(seconds):7.2f} s an epoch (best {min(seconds):.2f})")
    print(f"  speed beside tensors in memory: {spread(spent['memory'], spent['Equipoise'])}")
    print(f"  speed beside CLAHE at run time: {spread(spent['run time'], spent['Equipoise'])}")


def throughput(batch: int, steps: int, rounds: int) -> None:
    """Print images per second of the six models on a GPU, from the cache and on random tensors."""
    device = torch.device("cuda")
    print(f"{torch.cuda.get_device_name()}, batches of {batch}, bfloat16, channels last, {rounds} rounds")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = find_images(make_files(folder, 4 * batch), folder)
        cache = build_cache(files, parse_steps(["clahe", "resize"], size=SIZE, channels=1), folder / "cache")
        index = torch.arange(4 * batch).repeat(steps // 4)
        labels = (torch.rand((4 * batch, OUTPUTS)) < 0.1).float()
        scale = {"modality": "xray", "seed": 0, "mean": 0.5, "std": 0.25, "channels": 1}
        plain, varied = make_augmenter("none", **scale), make_augmenter("light", **scale)
        settings = TrainingSettings(epochs=10_000, average=0.0, patience=None, precision="bf16", channels_last=True)
        for name in IMAGE_MODELS:
            model = make_image_model(name, channels=1, n_outputs=OUTPUTS).to(device, memory_format=torch.channels_last)
            source = ImageRows(cache, torch.arange(4 * batch), labels, plain, varied, channels_last=True).to(device)
            fit = Fit(
                model, [Phase(make_loss("bce", "multilabel").to(device))], source.take(index),
                source.take(torch.arange(1)), settings, batch_size=batch, seed=0, higher_is_better=False,
            )  # fmt: skip
            random = torch.randn(batch, 1, SIZE, SIZE, device=device).contiguous(memory_format=torch.channels_last)
            answers = labels[:batch].to(device)

            def bare(model: nn.Module = model, random: Tensor = random, answers: Tensor = answers) -> None:
                with torch.autocast("cuda", torch.bfloat16):
                    bare_epoch(model, [(random, answers)] * steps, settings)
                torch.cuda.synchronize()

            def ours(fit: Fit = fit, model: nn.Module = model) -> None:
                fit._epoch(model, lambda _: None)
                torch.cuda.synchronize()

            spent: dict[str, list[float]] = {"Equipoise": [], "random": []}
            for _ in range(rounds + 1):
                spent["Equipoise"].append(timed(ours))
                spent["random"].append(timed(bare))
            spent = {way: seconds[1:] for way, seconds in spent.items()}  # the first round warms up
            rates = {way: len(index) / statistics.median(seconds) for way, seconds in spent.items()}
            print(
                f"{name:30} {rates['Equipoise']:7.0f} images/s from the cache, {rates['random']:7.0f} on random "
                f"tensors: {spread(spent['random'], spent['Equipoise'])} of it"
            )


def main() -> None:
    """Measure on the CPU, or on a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mobilenet_v3_large_mhsa")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if given.device == "cuda":
        throughput(given.batch, 24, given.rounds)
    else:
        epochs(given.model, given.images, given.batch, given.rounds)


if __name__ == "__main__":
    main()
