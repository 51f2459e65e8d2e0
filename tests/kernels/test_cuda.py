"""The modules for CUDA against the plain ones; without a card, Triton's kernels run through its interpreter."""

import copy

import pytest
import torch
from torch import Tensor

from uniref.core.errors import UsageError
from uniref.kernels.cuda import TritonDeformableAttention, UnpaddedUniFusion, prepare_for_cuda, use_triton
from uniref.model.deformable_layers import DeformableAttention
from uniref.model.structures import ReferenceTokens
from uniref.model.unifusion import UniFusion
from uniref.model.uniref import UniRef

SIZES = [(4, 5), (2, 3)]


@pytest.fixture
def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def attention() -> DeformableAttention:
    plain = DeformableAttention(16, heads=2, levels=2, points=2)
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return plain


@pytest.mark.parametrize("coordinates", [2, 4], ids=["points", "boxes"])
def test_deformable_attention_and_its_gradients(attention: DeformableAttention, coordinates: int, device: str) -> None:
    pytest.importorskip("triton")
    kernel = TritonDeformableAttention(copy.deepcopy(attention)).to(device)
    query, tokens = torch.randn(2, 7, 16), torch.randn(2, 26, 16)
    references = torch.rand(2, 7, 2, coordinates)
    padding = torch.zeros(2, 26, dtype=torch.bool)
    padding[1, 20:] = True

    def run(module: torch.nn.Module, where: str) -> Tensor:
        inputs = [x.to(where) for x in (query, references, tokens)]
        out = module(*inputs, SIZES, padding.to(where))
        out.square().sum().backward()
        return out.detach().cpu()

    got, expected = run(kernel, device), run(attention, "cpu")
    assert float((got - expected).abs().max() / expected.abs().max()) < 1e-5
    for (name, mine), (_, other) in zip(kernel.named_parameters(), attention.named_parameters(), strict=True):
        assert mine.grad is not None, name
        assert other.grad is not None, name
        assert float((mine.grad.cpu() - other.grad).abs().max() / other.grad.abs().max()) < 1e-4, name


def test_parameters_keep_their_names(model: UniRef) -> None:
    pytest.importorskip("triton")
    changed = copy.deepcopy(model)
    plain = [m for m in model.modules() if isinstance(m, DeformableAttention)]
    assert use_triton(changed) == len(plain) > 0
    assert use_triton(changed) == 0  # they are replaced already
    assert list(changed.state_dict()) == list(model.state_dict())


def test_fusion_drops_padding_that_all_objects_share() -> None:
    plain = UniFusion(16, heads=2, head_dim=8)
    torch.nn.init.normal_(plain.modulation.weight, std=0.3)
    plain.eval()
    kernel = UnpaddedUniFusion(copy.deepcopy(plain))
    features, keys, values = torch.randn(1, 30, 16), torch.randn(1, 9, 16), torch.randn(3, 9, 16)
    padding = torch.zeros(1, 9, dtype=torch.bool)
    padding[0, [2, 3, 8]] = True
    tokens = ReferenceTokens(keys, values, padding, torch.randn(1, 16))
    with torch.no_grad():
        projected = kernel.project(tokens)
        assert projected.padding is None
        assert projected.keys.shape[1] == projected.values.shape[1] == 6
        torch.testing.assert_close(
            kernel.fuse(features, [projected]), plain.fuse(features, [plain.project(tokens)]), rtol=1e-5, atol=1e-6
        )


def test_fusion_keeps_padding_that_differs() -> None:
    kernel = UnpaddedUniFusion(UniFusion(16, heads=2, head_dim=8))
    padding = torch.tensor([[False, True], [False, False]])
    tokens = ReferenceTokens(torch.randn(2, 2, 16), torch.randn(2, 2, 16), padding, torch.randn(2, 16))
    assert kernel.project(tokens).padding is padding


@pytest.mark.slow
def test_a_prepared_model_predicts_the_same_and_cannot_be_trained(model: UniRef, device: str) -> None:
    pytest.importorskip("triton")
    prepared = copy.deepcopy(model).to(device)
    prepare_for_cuda(prepared)
    assert isinstance(prepared.fusion, UnpaddedUniFusion)
    images, padding = torch.randn(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.bool)
    padding[:, :, 40:] = True
    with torch.no_grad():
        got = prepared.detect(prepared.encode_image(images.to(device), padding.to(device)))
        expected = model.detect(model.encode_image(images, padding))
    torch.testing.assert_close(got.boxes.cpu(), expected.boxes, rtol=1e-3, atol=1e-4)
    with pytest.raises(UsageError, match="prepared for inference"):
        prepared.train()
