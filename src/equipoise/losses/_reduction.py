"""What all losses share: masks of unknown labels, full precision inside, weights of rows, and the three reductions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equipoise._checks import check_one_of
from equipoise.losses._focal_terms import transforming

_HALF = (torch.float16, torch.bfloat16)
# Half-precision scores are kept within this, so that weighted sums of them stay finite in float32.
_BOUND = 1e30
IGNORED = -100
REDUCTIONS = ("none", "mean", "sum")


class _Bounded(torch.autograd.Function):
    """Clamp whose gradient is one everywhere: an overflowed score still learns which way to go."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        return scores.clamp(-_BOUND, _BOUND)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def full_precision(logits: Tensor) -> Tensor:
    if logits.dtype not in _HALF:
        return logits
    if transforming():
        return logits.float().clamp(-_BOUND, _BOUND)
    bounded: Tensor = _Bounded.apply(logits.float())
    return bounded


def masked(logits: Tensor, labels: Tensor, has_unknowns: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return scores and labels with zeros where the label is unknown, and a 0/1 mask of what is known.

    The scores are replaced before anything is computed from them: 0 * inf would poison the sum and its gradient.
    """
    scores = full_precision(logits)
    labels = labels.to(scores.dtype)
    if not has_unknowns:
        return scores, labels, None
    unknown = labels.isnan()
    return scores.masked_fill(unknown, 0.0), labels.masked_fill(unknown, 0.0), (~unknown).to(scores.dtype)


def masked_index(logits: Tensor, labels: Tensor, has_unknowns: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    scores = full_precision(logits)
    if not has_unknowns or not labels.is_floating_point():
        return scores, labels.long(), None
    unknown = labels.isnan()
    return (
        scores.masked_fill(unknown.unsqueeze(1), 0.0),
        labels.masked_fill(unknown, 0.0).long(),
        (~unknown).to(scores.dtype),
    )


def weighed(
    losses: Tensor,
    index: Tensor,
    known: Tensor | None,
    class_weights: tuple[Tensor | float | None, ...],
    sample_weights: Tensor | None,
    reduction: str,
    normaliser: Tensor | float | None,
) -> Tensor:
    for weights in class_weights:
        if isinstance(weights, Tensor):
            weights = weights.to(losses)  # noqa: PLW2901
            losses = losses * (weights[index] if weights.numel() > 1 else weights)
    if known is not None:
        losses = losses * known
    return reduced(losses, known, sample_weights, reduction, normaliser)


def reduced(
    losses: Tensor,
    known: Tensor | None,
    sample_weights: Tensor | None,
    reduction: str,
    normaliser: Tensor | float | None,
) -> Tensor:
    if sample_weights is not None:
        weights = sample_weights.to(losses)
        weights = weights.reshape(weights.shape + (1,) * (losses.dim() - weights.dim())).expand_as(losses)
        losses = losses * weights
        known = weights if known is None else known * weights
    if reduction == "none":
        return losses
    return divided(losses.sum(), losses, known, reduction, normaliser)


def divided(
    total: Tensor, entries: Tensor, known: Tensor | None, reduction: str, normaliser: Tensor | float | None
) -> Tensor:
    if reduction == "sum":
        return total
    if reduction != "mean":
        check_one_of(reduction, REDUCTIONS, argument="reduction", function="the loss")
    if normaliser is not None:
        return total / normaliser
    if known is None:
        return total / max(1, entries.numel())
    count = known.sum()
    # A batch in which nothing is known has loss 0, not 0/0; what is safe to divide by is chosen without a branch.
    return total / torch.where(count > 0, count, torch.ones_like(count))
