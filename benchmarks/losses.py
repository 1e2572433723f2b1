"""What a loss costs beside the bare one of torch (and torchvision): forward and backward, interleaved, one thread.

Run: ``OMP_NUM_THREADS=1 python benchmarks/losses.py``. Ratios are medians over rounds in which all are timed in turn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from equipoise.losses import (
    LDAM,
    Asymmetric,
    BalancedSoftmax,
    BinaryCrossEntropy,
    CrossEntropy,
    DistributionBalanced,
    SigmoidFocal,
    SigmoidLogitAdjusted,
    SoftmaxFocal,
    SquaredDistance,
)

ROUNDS, CALLS, CLASSES = 60, 60, 10


def seconds(call: Callable[[], torch.Tensor], logits: torch.Tensor) -> float:
    """Return the time of one forward and backward pass."""
    start = time.perf_counter()
    for _ in range(CALLS):
        logits.grad = None
        call().backward()
    return (time.perf_counter() - start) / CALLS


def compare(rows: int) -> None:
    """Print each loss with its time and its ratio to the first of its group."""
    logits = torch.randn(rows, CLASSES, requires_grad=True)
    labels = (torch.rand(rows, CLASSES) < 0.1).float()
    index, weight = torch.randint(0, CLASSES, (rows,)), torch.full((CLASSES,), 3.0)
    shares = np.full(CLASSES, 1 / CLASSES)
    floats, known = index.float(), float(rows * CLASSES)

    def ours(loss: torch.nn.Module, target: torch.Tensor) -> Callable[[], torch.Tensor]:
        return lambda: loss(logits, target, normaliser=known)

    sigmoid = {
        "torch BCE, pos_weight": lambda: functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight),
        "BCE": ours(BinaryCrossEntropy(weight, has_unknowns=False), labels),
        "BCE, unknowns masked": ours(BinaryCrossEntropy(weight), labels),
        "focal": ours(SigmoidFocal(2.0, 0.25, has_unknowns=False), labels),
        "focal, unknowns masked": ours(SigmoidFocal(2.0, 0.25), labels),
        "asymmetric": ours(Asymmetric(has_unknowns=False), labels),
        "logit-adjusted": ours(SigmoidLogitAdjusted(prevalence=shares, has_unknowns=False), labels),
        "distribution-balanced": ours(DistributionBalanced(prevalence=shares, has_unknowns=False), labels),
    }
    try:
        from torchvision.ops import sigmoid_focal_loss

        sigmoid["torchvision focal"] = lambda: sigmoid_focal_loss(logits, labels, 0.25, 2.0, "mean")
    except ImportError:
        pass
    try:
        from timm.loss import AsymmetricLossMultiLabel

        theirs = AsymmetricLossMultiLabel()
        sigmoid["timm asymmetric"] = lambda: theirs(logits, labels)
    except ImportError:
        pass
    softmax = {
        "torch CE, weight": lambda: functional.cross_entropy(logits, index, weight=weight),
        "CE": ours(CrossEntropy(weight, has_unknowns=False), index),
        "CE, unknowns masked": ours(CrossEntropy(weight), floats),
        "softmax focal": ours(SoftmaxFocal(2.0, class_weight=weight, has_unknowns=False), index),
        "balanced softmax": ours(BalancedSoftmax(prevalence=shares, has_unknowns=False), index),
        "LDAM": ours(LDAM(prevalence=shares, has_unknowns=False), index),
        "squared distance": ours(SquaredDistance(has_unknowns=False), index),
    }
    for group in (sigmoid, softmax):
        times: dict[str, list[float]] = {name: [] for name in group}
        for _ in range(ROUNDS):
            for name, call in group.items():
                times[name].append(seconds(call, logits))
        base = times[next(iter(group))]
        for name, spent in times.items():
            ratio = statistics.median(one / other for one, other in zip(spent, base, strict=True))
            print(f"({rows}, {CLASSES})  {name:<24}{min(spent) * 1e6:8.1f} us  {ratio:5.2f}x")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for rows in (32, 512):
        compare(rows)
