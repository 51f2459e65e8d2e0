"""The Triton kernels of deformable attention against the plain PyTorch function in float64.

Without a CUDA device they run through Triton's interpreter (see `tests/__init__.py`), which executes the same
programs with NumPy.
"""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from uniref.ops.ms_deform_attn import Sizes, ms_deform_attn

Sample = Callable[[Tensor, Sizes, Tensor, Tensor], Tensor]
LEVELS = [(5, 7), (3, 4), (1, 1)]

pytest.importorskip("triton")


@pytest.fixture(scope="module")
def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def sample() -> Sample:
    from uniref.kernels.triton_deformable import triton_ms_deform_attn

    return triton_ms_deform_attn


def make(
    sizes: Sizes, batch: int = 2, queries: int = 37, heads: int = 2, dim: int = 5, points: int = 2, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Values, locations of which about a third lie outside, and weights, float64."""
    generator = torch.Generator().manual_seed(seed)
    tokens = sum(h * w for h, w in sizes)
    value = torch.randn(batch, tokens, heads, dim, generator=generator, dtype=torch.float64)
    shape = (batch, queries, heads, len(sizes), points)
    locations = torch.rand(*shape, 2, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    weights = torch.rand(*shape, generator=generator, dtype=torch.float64)
    return value, locations, weights


def compare(
    sample: Sample, sizes: Sizes, inputs: tuple[Tensor, ...], dtype: torch.dtype, device: str, bound: float
) -> None:
    """Output and all gradients, relative to their largest value."""
    # the kernel sees inputs that were rounded to its dtypes, so does the reference
    value, locations, weights = inputs[0].to(dtype), inputs[1].float(), inputs[2].float()
    mine = [t.to(device).requires_grad_() for t in (value, locations, weights)]
    exact = [t.detach().double().requires_grad_() for t in (value, locations, weights)]
    out, expected = sample(mine[0], sizes, mine[1], mine[2]), ms_deform_attn(exact[0], sizes, exact[1], exact[2])
    assert out.dtype == dtype
    assert out.shape == expected.shape
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    out.backward(grad.to(device))
    expected.backward(grad.double())
    pairs = [(out, expected), *((a.grad, b.grad) for a, b in zip(mine, exact, strict=True))]
    for result, reference in pairs:
        assert result is not None
        assert reference is not None
        error = (result.cpu().double() - reference).abs().max() / reference.abs().max()
        assert float(error.detach()) < bound


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 2e-6), (torch.float16, 1e-3), (torch.bfloat16, 8e-3)], ids=str
)
def test_outputs_and_gradients_equal_the_plain_function_within_rounding(
    sample: Sample, device: str, dtype: torch.dtype, bound: float
) -> None:
    compare(sample, LEVELS, make(LEVELS), dtype, device, bound)


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ([(1, 1)], {"queries": 1, "heads": 1, "dim": 1, "points": 1, "batch": 1}),
        ([(1, 9), (9, 1)], {"queries": 33, "dim": 16}),  # one more query than a block
        ([(7, 3)], {"queries": 31, "dim": 33, "heads": 1}),  # one more channel than a power of two
        pytest.param(
            [(4, 4), (2, 2), (1, 1), (1, 1)],
            {"queries": 8, "heads": 2, "dim": 32, "points": 4},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_odd_sizes(sample: Sample, device: str, sizes: Sizes, options: dict[str, int]) -> None:
    compare(sample, sizes, make(sizes, **options), torch.float32, device, 2e-6)


def test_positions_on_pixels_and_borders(sample: Sample, device: str) -> None:
    sizes = [(2, 4)]
    value, locations, weights = make(sizes, batch=1, queries=25, heads=1, points=1)
    # exact in float32: pixel centres, edges between pixels, and the border itself
    grid = [n / 8 for n in (0, 1, 4, 7, 8)]
    locations[0, :, 0, 0, 0] = torch.tensor(list(itertools.product(grid, grid)), dtype=torch.float64)
    out = sample(value.float().to(device), sizes, locations.float().to(device), weights.float().to(device))
    expected = ms_deform_attn(value, sizes, locations, weights)
    assert float((out.cpu() - expected).abs().max()) < 2e-6


@pytest.mark.slow
@pytest.mark.parametrize("far", [-1e3, 1e3, 1e12, -1e12, float("inf"), float("-inf")])
def test_points_far_outside_give_zero_and_no_gradient(sample: Sample, device: str, far: float) -> None:
    value, locations, weights = (t.float().to(device).requires_grad_() for t in make(LEVELS, queries=3))
    out = sample(value, LEVELS, torch.full_like(locations, far).requires_grad_(), weights)
    out.sum().backward()
    assert not out.any()
    assert value.grad is not None
    assert not value.grad.any()


@pytest.mark.slow
def test_a_level_without_pixels_adds_nothing(sample: Sample, device: str) -> None:
    sizes = [(5, 7), (0, 3), (1, 1)]
    value, locations, weights = make(sizes)
    out = sample(value.float().to(device), sizes, locations.float().to(device), weights.float().to(device))
    kept = [0, 2]
    expected = ms_deform_attn(value, [sizes[i] for i in kept], locations[:, :, :, kept], weights[:, :, :, kept])
    assert float((out.cpu() - expected).abs().max() / expected.abs().max()) < 2e-6


def test_no_queries(sample: Sample, device: str) -> None:
    value, locations, weights = (t.float().to(device).requires_grad_() for t in make(LEVELS, queries=0))
    out = sample(value, LEVELS, locations, weights)
    assert out.shape == (2, 0, 10)
    out.sum().backward()
    assert value.grad is not None
    assert not value.grad.any()


@pytest.mark.slow
def test_inputs_need_not_be_contiguous(sample: Sample, device: str) -> None:
    value, locations, weights = (t.float().to(device) for t in make(LEVELS))
    turned = value.transpose(1, 2).contiguous().transpose(1, 2)
    out = sample(turned, LEVELS, locations.flip(-1).flip(-1), weights)
    assert torch.equal(out, sample(value, LEVELS, locations, weights))


def test_gradients_of_the_reference_are_right() -> None:
    value, locations, weights = make([(3, 4), (2, 2)], batch=1, queries=3, heads=2, dim=2)
    inputs = tuple(t.requires_grad_() for t in (value, locations, weights))
    assert torch.autograd.gradcheck(lambda v, p, w: ms_deform_attn(v, [(3, 4), (2, 2)], p, w), inputs)
