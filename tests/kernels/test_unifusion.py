"""UniFusion's kernels against the plain module, in float32 against float64."""

import copy

import pytest
import torch
from torch import Tensor

from uniref import UniFusion
from uniref.kernels.matmul import cpu_has_bfloat16
from uniref.kernels.unifusion import FoldedUniFusion, NarrowUniFusion
from uniref.model.structures import ReferenceTokens

DIM = 16


def plain(head_dim: int) -> UniFusion:
    """A fusion whose gate is open, with biases everywhere."""
    fusion = UniFusion(DIM, heads=2, head_dim=head_dim).eval()
    torch.nn.init.normal_(fusion.modulation.weight)
    for layer in (fusion.query, fusion.key, fusion.value, fusion.out):
        torch.nn.init.normal_(layer.bias)
    return fusion


def reference(objects: int, tokens: int, shared: bool) -> ReferenceTokens:
    """Objects of one frame share their keys. Some tokens are padded: other ones per row, and the last for all."""
    keys = torch.randn(1 if shared else objects, tokens, DIM)
    padding = torch.zeros(keys.shape[:2], dtype=torch.bool)
    for row in range(len(keys)):
        padding[row, tokens - 1 - row :] = True
    return ReferenceTokens(keys, torch.randn(objects, tokens, DIM), padding, torch.randn(len(keys), DIM))


def exact(fusion: UniFusion, features: Tensor, references: list[ReferenceTokens]) -> Tensor:
    """The plain module's result in float64."""
    double = copy.deepcopy(fusion).double()
    projected = [
        double.project(ReferenceTokens(r.keys.double(), r.values.double(), r.padding, r.embedding.double()))
        for r in references
    ]
    return double.fuse(features.double(), projected)


def error(result: Tensor, expected: Tensor) -> float:
    """Largest error, relative to the largest value."""
    return float((result - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("tokens", [9, 2100], ids=["few", "many"])
@pytest.mark.parametrize("head_dim", [16, 24, 8], ids=["as wide as the model", "wider", "narrower"])
@pytest.mark.parametrize("queries", [50, 1030])
@torch.no_grad()
def test_equals_the_plain_module(queries: int, head_dim: int, tokens: int, shared: bool, images: int) -> None:
    fusion = plain(head_dim)
    kernel = FoldedUniFusion(fusion) if head_dim >= DIM else NarrowUniFusion(fusion)
    features, tokens_of_both = torch.randn(images, queries, DIM), [reference(3, tokens, shared), reference(3, 5, False)]
    result = kernel.fuse(features, [kernel.project(each) for each in tokens_of_both])
    assert result.shape == (3, queries, DIM)
    assert error(result, exact(fusion, features, tokens_of_both)) < 1e-5


@torch.no_grad()
def test_nothing_is_padded() -> None:
    fusion, features = plain(16), torch.randn(1, 1030, DIM)
    for tokens in (9, 2100):
        unpadded = ReferenceTokens(torch.randn(1, tokens, DIM), torch.randn(2, tokens, DIM), None, torch.randn(1, DIM))
        kernel = FoldedUniFusion(fusion)
        result = kernel.fuse(features, [kernel.project(unpadded)])
        assert error(result, exact(fusion, features, [unpadded])) < 1e-5


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="needs a CPU with bfloat16")
@torch.no_grad()
def test_bfloat16_products_stay_close() -> None:
    fusion, features, tokens = plain(16), torch.randn(1, 1030, DIM), reference(2, 2100, True)
    kernel = FoldedUniFusion(fusion, bfloat16_matmul=True)
    expected = exact(fusion, features, [tokens])
    result = kernel.fuse(features, [kernel.project(tokens)])
    assert error(result, expected) > 1e-5
    assert float((expected - result).abs().mean() / (expected - features).abs().mean()) < 0.02


@torch.no_grad()
def test_the_plain_module_stays_as_it_is() -> None:
    fusion = plain(16)
    before = {name: tensor.clone() for name, tensor in fusion.state_dict().items()}
    FoldedUniFusion(fusion)
    assert all(torch.equal(tensor, before[name]) for name, tensor in fusion.state_dict().items())


@torch.no_grad()
def test_small_images_keep_the_plain_products() -> None:
    """Also beside many support images: rounding could swap queries, and there is nothing to gain."""
    fusion, features, tokens = plain(16), torch.randn(1, 50, DIM), reference(2, 2100, False)
    kernel = FoldedUniFusion(fusion, bfloat16_matmul=True)
    result = kernel.fuse(features, [kernel.project(tokens)])
    assert torch.equal(result, fusion.fuse(features, [fusion.project(tokens)]))
