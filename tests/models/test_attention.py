"""FAVOR+ against exact attention: unbiased, better with more features, stable, linear in tokens."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from equipoise.models._attention import (
    Attention,
    draw_projection,
    exact_attention,
    performer_attention,
    position_codes,
)


def tokens(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_exact_attention_is_the_softmax():
    q, k, v = (tokens(2, 3, 11, 8, seed=seed) for seed in range(3))
    weights = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(8), dim=-1)
    torch.testing.assert_close(exact_attention(q, k, v), weights @ v)


def test_projection_is_orthogonal_in_blocks_and_its_rows_are_as_long_as_normal_ones():
    drawn = draw_projection(40, 16, seed=3)
    assert drawn.shape == (40, 16)
    for block in (drawn[:16], drawn[16:32], drawn[32:]):
        cosines = torch.nn.functional.normalize(block) @ torch.nn.functional.normalize(block).T
        torch.testing.assert_close(cosines, torch.eye(len(block)), atol=1e-5, rtol=0)
    assert (drawn[:16] @ drawn[16:32].T).abs().max() > 0.1  # blocks are independent of one another
    squares = draw_projection(1600, 16, seed=0).square().sum(1)  # chi-squared, 16 degrees of freedom
    assert squares.mean() == pytest.approx(16, abs=4 * math.sqrt(32 / 1600))
    assert squares.var() == pytest.approx(32, rel=0.2)
    assert torch.equal(drawn, draw_projection(40, 16, seed=3))
    assert not torch.equal(drawn, draw_projection(40, 16, seed=4))


def test_kernel_estimate_is_unbiased_and_orthogonal_features_err_less():
    d, draws = 8, 2000
    q, k = tokens(d, seed=1, scale=1.2), tokens(d, seed=2, scale=1.2)
    x, y = q * d**-0.25, k * d**-0.25

    def estimates(projection: torch.Tensor) -> torch.Tensor:  # equation (7), (draws, m, d) -> (draws,)
        phi_x, phi_y = (torch.exp(projection @ z - z.square().sum() / 2) for z in (x, y))
        return (phi_x * phi_y).mean(1)

    truth = float(torch.exp(q @ k / math.sqrt(d)))
    orthogonal = estimates(torch.stack([draw_projection(d, d, seed=seed) for seed in range(draws)]))
    independent = estimates(tokens(draws, d, d, seed=5))
    assert float(orthogonal.mean()) == pytest.approx(truth, abs=4 * float(orthogonal.std()) / math.sqrt(draws))
    assert orthogonal.var() < independent.var()


def test_attention_is_that_of_equation_four():
    q, k, v = (tokens(9, 6, seed=seed) for seed in range(3))
    projection = draw_projection(12, 6, seed=0)
    phi_q, phi_k = (
        torch.exp(z * 6**-0.25 @ projection.T - (z * 6**-0.25).square().sum(1)[:, None] / 2) for z in (q, k)
    )
    weights = phi_q @ phi_k.T
    torch.testing.assert_close(performer_attention(q, k, v, projection), weights / weights.sum(1, keepdim=True) @ v)


def test_error_falls_with_the_root_of_the_features():
    # Queries and keys as long as at the start of training: by equation (8) the error grows with exp(|x + y|^2).
    q, k, v = (tokens(4, 49, 16, seed=seed, scale=scale) for seed, scale in enumerate((0.5, 0.5, 1.0)))
    exact = exact_attention(q, k, v)

    def error(features: int) -> float:
        found = [performer_attention(q, k, v, draw_projection(features, 16, seed=seed)) for seed in range(10)]
        return float(torch.stack([(one - exact).square().mean() for one in found]).mean().sqrt())

    errors = [error(features) for features in (64, 256, 1024, 4096)]
    for more, fewer in zip(errors[1:], errors, strict=False):
        assert 1.5 < fewer / more < 2.6  # four times the features: half the error
    assert errors[-1] < 0.1 * exact.std()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_inputs_stay_finite_and_inside_the_values(dtype):
    for scale in (1e-3, 10.0, 300.0):
        q, k, v = (tokens(2, 20, 32, seed=seed).to(dtype).requires_grad_() for seed in range(3))
        answer = performer_attention(q * scale, k * scale, v, draw_projection(64, 32, seed=0))
        assert answer.dtype == dtype
        assert answer.isfinite().all()
        low, high = v.amin(-2, keepdim=True), v.amax(-2, keepdim=True)
        assert ((answer >= low - 0.02) & (answer <= high + 0.02)).all()  # a mean of values
        answer.float().square().sum().backward()
        assert all(one.grad is not None and one.grad.isfinite().all() for one in (q, k, v))


def test_gradient_is_right_with_stabilisers():
    q, k, v = (tokens(5, 4, seed=seed).requires_grad_() for seed in range(3))
    attend = partial(performer_attention, projection=draw_projection(8, 4, seed=0))
    direction = tokens(5, 4, seed=9)
    (attend(q, k, v) * direction).sum().backward()
    for one, step in ((q, tokens(5, 4, seed=10)), (k, tokens(5, 4, seed=11))):
        with torch.no_grad():
            ahead, behind = ([z + sign * 1e-2 * step if z is one else z for z in (q, k, v)] for sign in (1, -1))
            slope = ((attend(*ahead) - attend(*behind)) * direction).sum() / 2e-2
        assert float((one.grad * step).sum()) == pytest.approx(float(slope), rel=0.02, abs=2e-3)


def test_cost_and_greatest_tensor_grow_with_tokens_not_their_square():
    projection = draw_projection(16, 8, seed=0).to("meta")

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.numbers = max(self.numbers, out.numel())
            return out

    def cost(attend, length: int) -> tuple[int, int]:
        q = torch.zeros(1, length, 8, device="meta")
        with FlopCounterMode(display=False) as flops, Largest() as largest:
            attend(q, q, q)
        return flops.get_total_flops(), largest.numbers

    linear = [cost(partial(performer_attention, projection=projection), length) for length in (1000, 4000)]
    assert linear[1] == (4 * linear[0][0], 4 * linear[0][1])
    square = [cost(exact_attention, length) for length in (1000, 4000)]
    assert square[1][0] == 16 * square[0][0]  # so the count above can tell


def test_positions_are_told_apart_at_any_size():
    codes = position_codes(5, 9, 30, torch.zeros(1))
    assert codes.shape == (45, 30)
    assert torch.cdist(codes, codes).add(torch.eye(45)).min() > 0.1
    assert torch.equal(codes[0], position_codes(2, 2, 30, torch.zeros(1))[0])


def test_block_sees_where_things_are_and_begins_close_to_nothing():
    block = Attention(16, heads=4, features=None, dropout=0.0, seed=0)
    image = tokens(1, 16, 4, 6)
    added = block(image) - image
    assert added.std() < image.std() / 3
    turned = block(image.flip(3)).flip(3) - image
    assert not torch.allclose(added, turned, atol=1e-7)


def test_redrawn_features_are_part_of_the_state():
    block = Attention(16, heads=4, features=8, dropout=0.0, seed=0)
    image = tokens(2, 16, 3, 3)
    first, state = block(image), {key: value.clone() for key, value in block.state_dict().items()}
    block.redraw(1)
    assert not torch.equal(block(image), first)
    block.load_state_dict(state)
    assert torch.equal(block(image), first)
    exact = Attention(16, heads=4, features=None, dropout=0.0, seed=0)
    before = exact(image)
    exact.redraw(1)
    assert torch.equal(exact(image), before)
