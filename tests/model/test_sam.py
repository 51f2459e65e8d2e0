"""UniFusion in SAM, as a model."""

from __future__ import annotations

import pytest
import torch
from transformers import SamModel

from tests.tiny import tiny_sam_config
from uniref.core.errors import UsageError
from uniref.model.sam import UniRefSam, sam_config
from uniref.model.structures import Features
from uniref.recipe.model import SAM_SIZES, SamImageConfig, SamModelConfig


@pytest.fixture(scope="module")
def net() -> UniRefSam:
    """Its fusion is awake (a fresh one is the identity), and all that transformers leaves at zero is not."""
    torch.manual_seed(0)
    made = UniRefSam(tiny_sam_config()).eval()
    for parameter in (*made.fusion.modulation.parameters(), *made.sam.vision_encoder.parameters()):
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def picture(net: UniRefSam, height: int = 96, width: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """One padded input and its padding."""
    assert net.input_size is not None
    images = torch.zeros(1, 3, net.input_size, net.input_size)
    images[:, :, :height, :width] = torch.randn(1, 3, height, width)
    padding = torch.ones(1, net.input_size, net.input_size, dtype=torch.bool)
    padding[:, :height, :width] = False
    return images, padding


@torch.no_grad()
def test_without_fusion_it_is_transformers_sam_with_an_embedding_for_a_prompt(net: UniRefSam) -> None:
    own = SamModel(sam_config(net.config)).eval()
    own.load_state_dict(net.sam.state_dict())
    images, padding = picture(net)
    features = net.encode_image(images, padding)
    torch.testing.assert_close(features.levels[0], own.get_image_embeddings(images))

    prompt = torch.randn(2, 32)
    two = Features((features.levels[0].expand(2, -1, -1, -1),), (), features.sizes, prompt=prompt)
    found = net.segment(two)
    sparse, dense = own.prompt_encoder(input_points=None, input_labels=None, input_boxes=None, input_masks=None)
    assert sparse is None
    masks, ious = own.mask_decoder(
        image_embeddings=features.levels[0],
        image_positional_embeddings=own.get_image_wide_positional_embeddings(),
        sparse_prompt_embeddings=prompt[None, :, None],
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    torch.testing.assert_close(found.logits, masks[0, :, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.scores, ious[0, :, 0].clamp(0, 1), atol=1e-5, rtol=1e-4)
    assert found.logits.shape == (2, 32, 32)  # stride 4


@torch.no_grad()
def test_objects_do_not_see_each_other(net: UniRefSam) -> None:
    images, padding = picture(net)
    features = net.encode_image(images, padding)
    masks = (torch.rand(3, 128, 128) > 0.5).float()
    fused = net.fuse(features, [net.project(net.encode_mask(features, images, masks))])
    together = net.segment(fused)
    for row in range(3):
        alone = net.segment(net.fuse(features, [net.project(net.encode_mask(features, images, masks[row : row + 1]))]))
        torch.testing.assert_close(alone.logits[0], together.logits[row], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(net.segment(fused.rows(slice(row, row + 1))).scores, together.scores[row : row + 1])
    assert not torch.allclose(together.logits[0], together.logits[1])


@torch.no_grad()
def test_the_text_prompts_where_there_are_masks_too(net: UniRefSam) -> None:
    images, padding = picture(net)
    features = net.encode_image(images, padding)
    text = net.project(net.encode_text(torch.tensor([[101, 7, 102]]), torch.ones(1, 3, dtype=torch.bool)))
    mask = net.project(net.encode_mask(features, images, torch.ones(1, 128, 128)))
    both = net.fuse(features, [text, mask])
    assert both.prompt is not None
    assert torch.equal(both.prompt, text[0].embedding)
    torch.testing.assert_close(mask[0].embedding, features.levels[0].mean((2, 3)))  # padded positions count
    with_text, with_mask = (net.fuse(features, [each]).levels[0] for each in (text, mask))
    torch.testing.assert_close(both.levels[0], with_text + with_mask - features.levels[0], atol=1e-5, rtol=1e-4)


def test_nothing_is_found_without_a_reference(net: UniRefSam) -> None:
    features = net.encode_image(*picture(net))
    with pytest.raises(UsageError, match="by a reference only"):
        net.segment(net.fuse(features, []))


def test_what_is_trained(net: UniRefSam) -> None:
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"fusion", "mask_encoder", "sam", "text_encoder"}
    assert all(name.startswith("sam.mask_decoder.") for name in trained if name.startswith("sam."))
    assert {n for n in trained if n.startswith("text_")} == {
        f"text_encoder.{part}.{kind}" for part in ("projection", "norm") for kind in ("weight", "bias")
    }
    frozen = {name for name, _ in net.named_parameters()} - trained
    assert frozen == net.frozen_names() & {name for name, _ in net.named_parameters()}


def test_released_sizes() -> None:
    for name, (width, depth, heads) in SAM_SIZES.items():
        config = SamModelConfig(image_encoder=name)
        image = config.image_encoder
        assert (image.width, image.depth, image.heads, image.mlp_dim) == (width, depth, heads, 4 * width)
        assert len(image.global_layers) == 4
        assert image.global_layers[-1] == depth - 1
    assert SamModelConfig(image_encoder="vit_h") == SamModelConfig()
    with torch.device("meta"):
        model = UniRefSam(SamModelConfig())
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 740e6 < total < 770e6
    assert 12e6 < trained < 16e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_encoder": "vit_x"}, "not a released size; use one of vit_b, vit_l, vit_h"),
        ({"hidden_dim": 40}, "twice mask_decoder.heads"),
        ({"mask_encoder": {"widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1)}}, "three stages"),
        ({"mask_encoder": {"widths": (8, 8, 8), "depths": (1, 1, 1, 1)}}, "one number per stage"),
        ({"image_encoder": SamImageConfig().model_dump() | {"depth": 8}}, "layers go from 0 to 7"),
        ({"image_encoder": SamImageConfig().model_dump() | {"heads": 7}}, "multiple of heads"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamModelConfig(**changes)
