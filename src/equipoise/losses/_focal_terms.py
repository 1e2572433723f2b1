"""The terms of sigmoid focal loss with their slope in closed form: half the kernels that autograd would run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def sigmoid_focal_terms(scores: Tensor, positive: Tensor, negative: Tensor, gamma: float) -> Tensor:
    r"""Return a q^gamma (-ln p) + b p^gamma (-ln q) with p = sigmoid(z), q = 1 - p, for weights a and b.

    The weights get no gradient, and the slope cannot be differentiated again (asking for it is an error).
    """
    terms: Tensor
    if transforming():
        terms, _ = _TransformableTerms.apply(scores, positive, negative, gamma)
    else:
        terms = _Terms.apply(scores, positive, negative, gamma)
    return terms


def transforming() -> bool:
    """Return whether torch.func (grad, vmap) is at work, which needs the slower form of a custom gradient."""
    return bool(torch._C._are_functorch_transforms_active())


def _terms_and_slope(scores: Tensor, positive: Tensor, negative: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    r"""Return the terms and their slope, a q^gamma (gamma p ln p - q) + b p^gamma (p - gamma q ln q).

    Everything comes from exp(-|z|), which never overflows: ln p = min(z, 0) - ln(1 + exp(-|z|)), ln q likewise, and the
    powers are exp(gamma ln q), so nothing is 0/0 or 0 * inf at any logit or gamma.
    """
    tail = torch.log1p(torch.exp(-scores.abs()))
    below = scores.clamp(max=0.0)
    log_p, log_q = below - tail, below - scores - tail
    p, q = torch.exp(log_p), torch.exp(log_q)
    positive, negative = positive * _power(q, log_q, gamma), negative * _power(p, log_p, gamma)
    losses = torch.addcmul(positive * log_p, negative, log_q).neg_()
    # addcmul(x, y, z, value=v) is x + v y z in one kernel.
    rise = negative * torch.addcmul(p, q, log_q, value=-gamma)
    slope = torch.addcmul(rise, positive, torch.addcmul(q, p, log_p, value=-gamma), value=-1.0)
    return losses, slope


class _Terms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, positive: Tensor, negative: Tensor, gamma: float) -> Tensor:
        losses, slope = _terms_and_slope(scores, positive, negative, gamma)
        ctx.save_for_backward(slope)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None, None


class _TransformableTerms(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(scores: Tensor, positive: Tensor, negative: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
        return _terms_and_slope(scores, positive, negative, gamma)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None, None


def _power(base: Tensor, log_base: Tensor, gamma: float) -> Tensor:
    if gamma == 1.0:
        return base
    return base * base if gamma == 2.0 else torch.exp(gamma * log_base)
