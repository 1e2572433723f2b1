"""Attention over tokens: exact, and FAVOR+, whose cost grows with the tokens and not with their square."""

from __future__ import annotations

import contextlib
import math
from typing import final

import torch
from torch import Tensor, nn


def exact_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q k' / sqrt(d)) v by torch's fused kernels.

    Args:
        q: queries, (..., tokens, d).
        k: keys, (..., others, d).
        v: values, (..., others, e).

    Returns:
        (..., tokens, e).

    >>> alike = exact_attention(torch.zeros(1, 2), torch.ones(2, 2), torch.tensor([[1.0], [3.0]]))
    >>> alike.tolist()
    [[2.0]]
    """
    return nn.functional.scaled_dot_product_attention(q, k, v)


def performer_attention(q: Tensor, k: Tensor, v: Tensor, projection: Tensor) -> Tensor:
    """Return attention with the softmax kernel replaced by its estimate from positive random features (FAVOR+).

    Choromanski et al., "Rethinking attention with Performers", ICLR 2021. Equation (4):
    ``D^-1 (Q' (K'^T V)), D = diag(Q' (K'^T 1))``, where a row of Q' and K' is phi of equation (5) with the positive
    features of Lemma 1, equation (7): ``phi(x)_j = exp(w_j . x - |x|^2 / 2) / sqrt(m)``, j = 1..m, of
    ``x = q / d^(1/4)`` and ``y = k / d^(1/4)``, so that ``E[phi(x) . phi(y)] = exp(q . k / sqrt(d))``.

    The stabilisers differ from the authors' code, which subtracts maxima and adds 1e-4 to every feature. Here the
    greatest exponent that the keys have in feature j is taken from feature j of the keys and given to feature j of the
    queries, then the greatest of each query is taken from that query: both cancel in (4) exactly, and D is at least
    1, so that nothing is added and nothing is divided by 0. Features are computed in float32 whatever the inputs.
    The relative variance of the estimate is ``(exp(|x + y|^2) - 1) / m``, equation (8): good while queries and keys are
    short, rough where a query wants one key alone.

    Args:
        q: queries, (..., tokens, d).
        k: keys, (..., others, d).
        v: values, (..., others, e).
        projection: the w_j, (m, d), from `draw_projection`.

    Returns:
        (..., tokens, e) in the type of `v`. Memory grows with tokens + others.

    >>> values = torch.tensor([[1.0], [3.0]])
    >>> performer_attention(torch.zeros(1, 2), torch.ones(2, 2), values, draw_projection(4, 2, seed=0)).tolist()
    [[2.0]]
    """
    meta = q.device.type == "meta"  # shapes without numbers, where autocast does not exist
    with contextlib.nullcontext() if meta else torch.autocast(q.device.type, enabled=False):
        queries, keys = _exponents(q, projection), _exponents(k, projection)
        most = keys.detach().amax(-2, keepdim=True)
        keys = torch.exp(keys - most)
        queries = queries + most
        queries = torch.exp(queries - queries.detach().amax(-1, keepdim=True))
        mixed = queries @ (keys.transpose(-2, -1) @ v.float())
        total = (queries * keys.sum(-2, keepdim=True)).sum(-1, keepdim=True)
        return (mixed / total).to(v.dtype)


def _exponents(x: Tensor, projection: Tensor) -> Tensor:
    """Return ``w_j . x - |x|^2 / 2`` of x scaled by d^(-1/4): (..., tokens, m) float32, logarithms of sqrt(m) phi."""
    x = x.float() * x.shape[-1] ** -0.25
    return x @ projection.float().T - x.square().sum(-1, keepdim=True) / 2


def draw_projection(features: int, size: int, *, seed: int) -> Tensor:
    """Return (features, size) float32 random directions, each standard normal, orthogonal in blocks of `size` rows.

    Section 2.4 of Choromanski et al.: orthogonal rows leave the estimate unbiased and lower its error, equation (10).
    A block is a rotation drawn uniformly (QR of a normal matrix, signs mended), its rows given the lengths of
    independent normal vectors. More features than `size` are several independent blocks, the last one cut.

    Args:
        features: rows, m.
        size: d, the size of a head.
        seed: of a generator of its own; torch's global one is left alone.

    >>> first, second = draw_projection(2, 2, seed=0)
    >>> abs(float(first @ second)) < 1e-5
    True
    """
    generator = torch.Generator().manual_seed(seed)
    blocks = math.ceil(features / size)
    normal, other = torch.randn(2, blocks, size, size, generator=generator, device="cpu")
    rotation, triangle = torch.linalg.qr(normal)
    rotation = rotation * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    rows: Tensor = (other.norm(dim=2, keepdim=True) * rotation.transpose(1, 2)).flatten(0, 1)
    return rows[:features]


def position_codes(height: int, width: int, size: int, like: Tensor) -> Tensor:
    """Return (height * width, size) sines and cosines of the place of each token, row by row, in [-1, 1].

    Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5, for rows in the first half and columns in
    the second; what does not divide by 4 is filled with zeros. They are computed, not learned: any image size will do.

    Args:
        height: rows of the map.
        width: columns of the map.
        size: of a token.
        like: whose device and type are taken.

    >>> position_codes(1, 2, 4, torch.zeros(1))
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.0000, 1.0000, 0.8415, 0.5403]])
    """
    quarter = size // 4
    rates = 10_000.0 ** (-torch.arange(quarter, device=like.device, dtype=torch.float32) / max(quarter, 1))
    rows, columns = (torch.arange(n, device=like.device, dtype=torch.float32)[:, None] * rates for n in (height, width))
    down = torch.cat([rows.sin(), rows.cos()], 1)[:, None].expand(height, width, 2 * quarter)
    across = torch.cat([columns.sin(), columns.cos()], 1)[None].expand(height, width, 2 * quarter)
    codes = torch.cat([down, across], 2).flatten(0, 1)
    return nn.functional.pad(codes, (0, size - 4 * quarter)).to(like.dtype)


@final
class Attention(nn.Module):
    """One residual block of attention over the places of a map: ``x + W_o attention(norm(x) + position)``.

    Queries, keys and values have no bias, the last product has one: 4 w^2 + w numbers and 2 w of the norm. The
    position enters before the attention only, so that the pooled map of a pretrained backbone is not shifted.
    Queries and keys start so small that every place looks at every other about alike, and both kinds from the same
    weights.

    Args:
        width: channels of the map, w.
        heads: parts of the width that attend on their own; must divide it.
        features: random features of FAVOR+; None for exact attention.
        dropout: share of the block's output dropped in training.
        seed: of the random features.
    """

    projection: Tensor | None

    def __init__(self, width: int, *, heads: int, features: int | None, dropout: float, seed: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        size = width // heads
        drawn = None if features is None else draw_projection(features, size, seed=seed).to(self.output.weight.device)
        self.register_buffer("projection", drawn)  # in the state: a checkpoint answers with the features it learned
        # At unit inputs |x|^2 of equation (7) is about 1: the estimate begins where its error, equation (8), is small.
        nn.init.trunc_normal_(self.query_key_value.weight[: 2 * width], std=(width * math.sqrt(size)) ** -0.5)
        nn.init.trunc_normal_(self.query_key_value.weight[2 * width :], std=0.02)
        nn.init.trunc_normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Return (b, width, h, w) of (b, width, h, w)."""
        width, height, columns = feature_map.shape[1:]
        tokens = self.norm(feature_map.flatten(2).transpose(1, 2))
        tokens = tokens + position_codes(height, columns, width, tokens)
        q, k, v = self.query_key_value(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        projection = self.projection
        mixed = exact_attention(q, k, v) if projection is None else performer_attention(q, k, v, projection)
        added: Tensor = self.dropout(self.output(mixed.transpose(1, 2).flatten(2)))
        return feature_map + added.transpose(1, 2).reshape(feature_map.shape)

    def redraw(self, seed: int) -> None:
        """Draw the random features anew; exact attention has none and stays as it is."""
        if self.projection is not None:
            features, size = self.projection.shape
            self.projection.copy_(draw_projection(features, size, seed=seed))
