"""A folded model is the same function, and weights that cannot be folded stay."""

import copy
import shutil
from pathlib import Path

import pytest
import timm
import torch
import torch._dynamo.utils
from torch import Tensor, nn

from tests.tiny import tiny_config, tiny_sam_config
from uniref.core.errors import UsageError
from uniref.kernels import InferenceKernel
from uniref.kernels.norms import FoldedBackbone, fold_batch_norms, folded_body
from uniref.kernels.prepare import compile_image_encoder, prepare_for_inference, share_weights
from uniref.model.backbone import Backbone
from uniref.model.build import build_model
from uniref.recipe.model import AnyModelConfig, BackboneConfig


def shuffle_norms(module: nn.Module) -> None:
    """Statistics and factors as after a training; fresh ones would fold into nothing."""
    for part in module.modules():
        if hasattr(part, "running_var"):
            for name, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
                getattr(part, name).data.uniform_(low, low + 1)


def norms(module: nn.Module) -> int:
    return sum(hasattr(part, "running_var") for part in module.modules())


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "mobilenetv3_small_050"])
@pytest.mark.parametrize("frozen", [True, False])
def test_backbones_keep_their_maps(name: str, frozen: bool) -> None:
    backbone = Backbone(BackboneConfig(name=name, frozen_batch_norm=frozen)).eval()
    shuffle_norms(backbone)
    images = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        before = backbone(images)
        folded = FoldedBackbone(backbone)
        after = folded(images)
    assert norms(folded) == 0
    assert norms(backbone) > 0
    for x, y in zip(before, after, strict=True):
        torch.testing.assert_close(y, x, rtol=1e-3, atol=1e-4 * float(x.abs().max()))


def test_a_whole_model_keeps_its_masks() -> None:
    torch.manual_seed(0)
    model = build_model(tiny_config()).eval()
    shuffle_norms(model)
    plain = copy.deepcopy(model)
    prepare_for_inference(model)
    assert norms(model) == 1  # the norm of a stem whose convolution stands in a group of its own
    assert norms(plain) > 20
    images, padding = torch.randn(1, 3, 96, 128), torch.zeros(1, 96, 128, dtype=torch.bool)
    masks = torch.zeros(1, 96, 128)
    masks[:, 20:60, 30:80] = 1

    def logits(chosen: nn.Module) -> Tensor:
        features = chosen.encode_image(images, padding)
        reference = chosen.project(chosen.encode_mask(features, images, masks))
        return chosen.segment(chosen.fuse(features, [reference])).logits

    with torch.no_grad():
        torch.testing.assert_close(logits(model), logits(plain), rtol=1e-3, atol=1e-3)


def test_preparing_twice_changes_nothing_more() -> None:
    model = build_model(tiny_config()).eval()
    prepare_for_inference(model)
    once = {name: value.clone() for name, value in model.state_dict().items()}
    prepare_for_inference(model)
    assert all(torch.equal(value, once[name]) for name, value in model.state_dict().items())


def test_sam_has_a_mask_encoder_to_fold() -> None:
    model = build_model(tiny_sam_config()).eval()
    prepare_for_inference(model)
    assert norms(model) == 0


@pytest.mark.parametrize(
    "config", [tiny_config(), tiny_config(fusion=None, text=None, mask_encoder=None), tiny_sam_config()]
)
def test_a_prepared_model_cannot_be_trained(config: AnyModelConfig) -> None:
    model = build_model(config).eval()
    prepare_for_inference(model)
    assert any(isinstance(part, InferenceKernel) for part in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    model.eval()
    with pytest.raises(UsageError, match="prepared for inference and cannot be trained"):
        model.train()


@pytest.mark.parametrize("config", [tiny_config(), tiny_sam_config()])
def test_a_model_that_shares_weights_leaves_the_first_as_it_is(config: AnyModelConfig) -> None:
    model = build_model(config).eval()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = {name: (value.clone(), value.stride(), value.data_ptr()) for name, value in model.state_dict().items()}
    other = share_weights(model)
    assert all(before[name][2] == value.data_ptr() for name, value in other.state_dict().items())
    prepare_for_inference(other)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name][0])
        assert (value.stride(), value.data_ptr()) == before[name][1:]
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == trained
    assert not any(isinstance(part, InferenceKernel) for part in model.modules())
    model.train()


class Crossed(nn.Module):
    """Registered as convolution and norm, but run the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.conv(self.norm(x))]


def test_a_backbone_that_folding_would_change_stays() -> None:
    body = Crossed().eval()
    shuffle_norms(body)
    assert folded_body(body) is body
    assert norms(body) == 1


def test_standardised_convolutions_are_not_folded() -> None:
    """They change their weights in every forward, which would undo the folding."""
    block = nn.Sequential(timm.layers.StdConv2d(3, 4, 1), nn.BatchNorm2d(4))
    assert fold_batch_norms(block) == 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("config", [tiny_config(), tiny_sam_config()], ids=["uniref", "sam"])
def test_a_compiled_image_encoder_gives_the_same_features(config: AnyModelConfig) -> None:
    torch.manual_seed(0)
    model = build_model(config).eval()
    shuffle_norms(model)
    prepare_for_inference(model)
    side = model.input_size or 64
    images, padding = torch.randn(1, 3, side, side), torch.zeros(1, side, side, dtype=torch.bool)
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    with torch.inference_mode():
        before = model.encode_image(images, padding)
        compile_image_encoder(model)
        after = model.encode_image(images, padding)
    for x, y in zip(before.levels, after.levels, strict=True):
        torch.testing.assert_close(y, x, rtol=1e-3, atol=1e-4 * float(x.abs().max()))
    # and it is the compiled code that ran
    frames = torch._dynamo.utils.counters["frames"]["ok"]
    assert frames >= 1


def test_where_nothing_can_be_compiled_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/nowhere/c++"))
    torch.compiler.reset()
    model = build_model(tiny_config()).eval()
    prepare_for_inference(model)
    compile_image_encoder(model)
    with (
        torch.inference_mode(),
        pytest.raises(UsageError, match=r"--compile: PyTorch cannot compile here .*leave it out"),
    ):
        model.encode_image(torch.randn(1, 3, 32, 32), torch.zeros(1, 32, 32, dtype=torch.bool))
