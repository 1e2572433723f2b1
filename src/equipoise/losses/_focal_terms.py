"""Terms of focal and asymmetric losses, their slope in closed form: half the kernels that autograd would run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Gammas = tuple[float, float]  # exponents of the positives and of the negatives
_PLAIN = (0.0, 1.0, 2.0)  # exponents that need no logarithm


def sigmoid_focal_terms(
    scores: Tensor, positive: Tensor, negative: Tensor, gammas: Gammas, margin: float = 0.0
) -> Tensor:
    r"""Return a q^g (-ln p) + b r^h (-ln(1 - r)), p = sigmoid(z), q = 1 - p, r = max(p - margin, 0), weights a and b.

    With one exponent and no margin this is focal loss, else asymmetric loss. The weights get no gradient, and the slope
    cannot be differentiated again (asking for it is an error).
    """
    terms: Tensor
    if transforming():
        terms, _ = _TransformableTerms.apply(scores, positive, negative, gammas, margin)
    else:
        terms = _Terms.apply(scores, positive, negative, gammas, margin)
    return terms


def softmax_focal_terms(scores: Tensor, place: Tensor, gamma: float) -> Tensor:
    """Return (1 - p_y)^gamma (-ln p_y), p = softmax(z) over axis 1, for classes `place` (rows, 1, ...).

    The slope cannot be differentiated again (asking for it is an error).
    """
    terms: Tensor
    if transforming():
        terms, _ = _TransformableSoftmaxTerms.apply(scores, place, gamma)
    else:
        terms = _SoftmaxTerms.apply(scores, place, gamma)
    return terms


def transforming() -> bool:
    """Return whether torch.func (grad, vmap) is at work, which needs the slower form of a custom gradient."""
    return bool(torch._C._are_functorch_transforms_active())


def _terms_and_slope(
    scores: Tensor, positive: Tensor, negative: Tensor, gammas: Gammas, margin: float
) -> tuple[Tensor, Tensor]:
    r"""Return the terms and their slope, a q^g (g p ln p - q) + b p^h (p - h q ln q) where there is no margin.

    Everything comes from exp(-|z|), which never overflows: ln p = min(z, 0) - ln(1 + exp(-|z|)), ln q likewise, and the
    powers are exp(gamma ln q), so nothing is 0/0 or 0 * inf at any logit or gamma.
    """
    tail = torch.log1p(torch.exp(-scores.abs()))
    below = scores.clamp(max=0.0)
    log_p, log_q = below - tail, below - scores - tail
    p, q = torch.exp(log_p), torch.exp(log_q)
    positive = positive * _power(q, log_q, gammas[0])
    # addcmul(x, y, z, value=v) is x + v y z in one kernel.
    missed = torch.addcmul(q, p, log_p, value=-gammas[0])
    if margin == 0.0:
        negative = negative * _power(p, log_p, gammas[1])
        rise = negative * torch.addcmul(p, q, log_q, value=-gammas[1])
    else:
        kept, log_rest, rise = _shifted(p, q, gammas[1], margin)
        negative, log_q, rise = negative * kept, log_rest, negative * rise
    losses = torch.addcmul(positive * log_p, negative, log_q).neg_()
    return losses, torch.addcmul(rise, positive, missed, value=-1.0)


def _shifted(p: Tensor, q: Tensor, gamma: float, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return r^gamma, ln(1 - r) and the slope of -r^gamma ln(1 - r) in the logit, for r = max(p - margin, 0).

    By p the slope is r^gamma (gamma (-ln(1 - r)) / r + 1 / (1 - r)); -ln(1 - r) / r goes to one where r goes to zero.
    """
    r = (p - margin).clamp(min=0.0)
    log_rest = torch.log1p(-r)
    power = _power(r, torch.log(r), gamma)
    surprise = torch.where(r > 0.0, -log_rest / r.clamp(min=torch.finfo(r.dtype).tiny), torch.ones_like(r))
    slope = p * q * power * (gamma * surprise + 1.0 / (1.0 - r))
    return power, log_rest, torch.where(r > 0.0, slope, torch.zeros_like(r))


class _Terms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, positive: Tensor, negative: Tensor, gammas: Gammas, margin: float) -> Tensor:
        losses, slope = _terms_and_slope(scores, positive, negative, gammas, margin)
        ctx.save_for_backward(slope)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None, None, None


class _TransformableTerms(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(
        scores: Tensor, positive: Tensor, negative: Tensor, gammas: Gammas, margin: float
    ) -> tuple[Tensor, Tensor]:
        return _terms_and_slope(scores, positive, negative, gammas, margin)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor, None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None, None, None


def _softmax_terms_and_slope(scores: Tensor, place: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    r"""Return the terms (rows, ...) and their slope (rows, classes, ...).

    By ln p_y the slope is q^gamma (gamma p ln p / q - 1), with q = 1 - p_y = -expm1(ln p_y), so that little cancels.
    """
    log_shares = torch.log_softmax(scores, dim=1)
    log_p = log_shares.gather(1, place)
    lacking = torch.expm1(log_p)  # p - 1
    q = -lacking
    power = _power(q, torch.log(q) if gamma not in _PLAIN else q, gamma)
    # ln p / q goes to minus one where q goes to zero; where q is zero, so is the power.
    surprise = log_p / q.clamp(min=torch.finfo(q.dtype).tiny)
    rise = torch.addcmul(power, power * surprise, 1.0 + lacking, value=-gamma)  # minus the slope by ln p
    slope = (torch.exp(log_shares) * rise).scatter(1, place, lacking * rise)
    return -(power * log_p).squeeze(1), slope


class _SoftmaxTerms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, place: Tensor, gamma: float) -> Tensor:
        losses, slope = _softmax_terms_and_slope(scores, place, gamma)
        ctx.save_for_backward(slope)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient.unsqueeze(1) * slope, None, None


class _TransformableSoftmaxTerms(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(scores: Tensor, place: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
        return _softmax_terms_and_slope(scores, place, gamma)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient.unsqueeze(1) * slope, None, None


def _power(base: Tensor, log_base: Tensor, gamma: float) -> Tensor:
    if gamma == 0.0:
        return torch.ones_like(base)
    if gamma == 1.0:
        return base
    return base * base if gamma == 2.0 else torch.exp(gamma * log_base)
