"""What a model of images costs: parameters, operations, bytes, and time on one thread."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from equipoise._checks import check_number
from equipoise.models._backbone import refusing_sizes
from equipoise.models.hybrid import make_image_model

_SECONDS = 2.0  # of timing, for each model and batch


@dataclass(frozen=True)
class ModelCost:
    """What one model costs at one image size.

    Attributes:
        name: of the model.
        parameters: numbers that training changes.
        weight_bytes: of everything a checkpoint holds, in the types that it holds.
        flops: operations for one image: products of matrices and convolutions, a multiplication and an addition each.
        feature_map: (width, rows, columns) of the map that is pooled.
    """

    name: str
    parameters: int
    weight_bytes: int
    flops: int
    feature_map: tuple[int, int, int]


def count_cost(name: str, *, size: int = 224, channels: int = 3, n_outputs: int = 14) -> ModelCost:
    """Return the cost of a model of images without making its weights.

    Args:
        name: as in `make_image_model`.
        size: rows and columns of an image in pixels.
        channels: of an image, 1 or 3.
        n_outputs: logits per image.

    Raises:
        ArgumentError: no such backbone, or a size out of range or that the backbone does not take.
    """
    check_number(size, argument="size", function="count_cost", at_least=32, at_most=4096)
    with torch.device("meta"), torch.no_grad():
        model = make_image_model(name, channels=channels, n_outputs=n_outputs).eval()
        images = torch.zeros(1, channels, size, size)
        with refusing_sizes(name, size), FlopCounterMode(display=False) as counter:
            model(images)
        with refusing_sizes(name, size):
            width, rows, columns = model.feature_map(images).shape[1:]
    stored = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    return ModelCost(name, model.parameter_count, stored, counter.get_total_flops(), (width, rows, columns))


def time_model(model: nn.Module, *, size: int, channels: int, batch: int) -> float:
    """Return the seconds that one batch takes on one thread of the processor: the least of a few after the first.

    The least, because whatever else the machine does can only add to it. The model's mode and the number of threads
    are afterwards as they were.

    Args:
        model: takes (batch, channels, size, size).
        size: rows and columns of an image in pixels.
        channels: of an image.
        batch: images at once.
    """
    images = torch.zeros(batch, channels, size, size)
    threads, training, taken = torch.get_num_threads(), model.training, list[float]()
    model.eval()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            model(images)
            while len(taken) < 3 or (sum(taken) < _SECONDS and len(taken) < 30):
                start = time.perf_counter()
                model(images)
                taken.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
        model.train(training)
    return min(taken)
