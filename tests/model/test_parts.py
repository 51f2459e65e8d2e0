"""Backbone, positions, text, mask encoder and mask head."""

import pytest
import torch

from tests.tiny import TINY_BERT, tiny_config
from uniref.core.errors import UsageError
from uniref.model.backbone import Backbone, Projection, level_padding, level_paddings
from uniref.model.deformable_transformer import box_positions, pixel_positions
from uniref.model.mask_encoder import CBAM, MaskEncoder
from uniref.model.mask_head import MaskHead
from uniref.model.text import TextEncoder
from uniref.recipe.model import BackboneConfig, MaskEncoderConfig, MaskHeadConfig, TextConfig

TINY_SWIN = {"embed_dim": 16, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 2, 4], "window_size": 7}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_resnet", {}),
        ("test_convnext", {}),
        ("test_efficientnet", {}),
        ("swin_tiny_patch4_window7_224", TINY_SWIN),
    ],
)
def test_any_timm_pyramid_by_name(name: str, options: dict[str, object]) -> None:
    backbone = Backbone(BackboneConfig(name=name, options=options)).eval()
    maps = backbone(torch.randn(1, 3, 64, 96))
    assert [tuple(m.shape[-2:]) for m in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert [m.shape[1] for m in maps] == backbone.widths


@pytest.mark.parametrize("name", ["no_such_model", "vit_tiny_patch16_224"])
def test_an_unsuitable_backbone_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        Backbone(BackboneConfig(name=name))


def test_frozen_batch_norm_has_no_parameters() -> None:
    names = [n for n, _ in Backbone(BackboneConfig(name="test_resnet")).named_parameters()]
    assert names
    assert not any("bn" in n for n in names)


def test_swin_pads_before_it_shifts() -> None:
    """A shifted window at the border must see padding between the last column and the wrapped first one."""
    backbone = Backbone(BackboneConfig(name="swin_tiny_patch4_window7_224", options=TINY_SWIN)).eval()
    block = backbone.body.layers_0.blocks[1]
    x = torch.randn(1, 8, 8, 16)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 6, 0, 6))  # to 14 x 14
    rolled = padded.roll((-3, -3), (1, 2))
    windows = rolled.view(1, 2, 7, 2, 7, 16).permute(0, 1, 3, 2, 4, 5).reshape(4, 49, 16)
    mixed = block.attn(windows, mask=block.get_attn_mask(rolled))
    back = mixed.view(1, 2, 2, 7, 7, 16).permute(0, 1, 3, 2, 4, 5).reshape(1, 14, 14, 16).roll((3, 3), (1, 2))
    torch.testing.assert_close(block._attn(x), back[:, :8, :8])


def test_projection_adds_levels_by_halving() -> None:
    maps = [torch.randn(1, c, 16 // s, 20 // s) for c, s in ((4, 1), (6, 2), (8, 4))]
    out = Projection([4, 6, 8], dim=16, levels=5, groups=4)(maps)
    assert [tuple(x.shape) for x in out] == [
        (1, 16, 16, 20),
        (1, 16, 8, 10),
        (1, 16, 4, 5),
        (1, 16, 2, 3),
        (1, 16, 1, 2),
    ]


def test_level_padding_is_nearest() -> None:
    padding = torch.ones(1, 64, 96, dtype=torch.bool)
    padding[:, :40, :50] = False
    small = level_padding(padding, (8, 12))
    assert (~small[0, :, 0]).sum() == 5
    assert (~small[0, 0]).sum() == 7


def test_further_levels_are_padded_like_the_stride_8_level() -> None:
    """As in the released system: from the images' own padding, a row or column more would count as padded."""
    padding = torch.ones(1, 160, 160, dtype=torch.bool)
    padding[:, :150, :50] = False
    maps = [torch.zeros(1, 1, -(-160 // s), -(-160 // s)) for s in (8, 16, 32, 64)]
    found = level_paddings(padding, maps)
    for level, paddings in zip(maps[:3], found[:3], strict=True):
        assert torch.equal(paddings, level_padding(padding, (level.shape[-2], level.shape[-1])))
    assert torch.equal(found[3], level_padding(found[0], (3, 3)))
    assert not torch.equal(found[3], level_padding(padding, (3, 3)))


def test_positions_are_normalised_over_the_unpadded_part() -> None:
    padding = torch.zeros(1, 4, 6, dtype=torch.bool)
    padding[:, :, 3:] = True
    inside = pixel_positions(padding, 8)[..., :3]
    torch.testing.assert_close(inside, pixel_positions(torch.zeros(1, 4, 3, dtype=torch.bool), 8))


def test_box_positions_start_with_the_centre() -> None:
    boxes = torch.tensor([[[0.25, 0.0, 0.0, 0.0]]])
    encoded = box_positions(boxes, 4)
    assert encoded.shape == (1, 1, 16)
    torch.testing.assert_close(encoded[0, 0, 0], torch.tensor(1.0))  # sin(pi / 2)
    torch.testing.assert_close(encoded[0, 0, 4:6], torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize(
    "encoder",
    [
        TINY_BERT,
        TINY_BERT | {"model_type": "roberta", "pad_token_id": 1, "type_vocab_size": 1, "max_position_embeddings": 90},
    ],
)
def test_text_padding_changes_nothing(encoder: dict[str, object]) -> None:
    net = TextEncoder(TextConfig(encoder=encoder), 32).eval()
    ids = torch.tensor([[101, 7, 8, 9, 102], [101, 5, 102, 1, 1]])
    valid = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    both, alone = net(ids, valid), net(ids[1:, :3], valid[1:, :3])
    torch.testing.assert_close(both.embedding[1:], alone.embedding, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both.keys[1:, :3], alone.keys, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone.embedding, alone.keys.mean(1))


def test_mask_encoder_gives_every_level() -> None:
    config = MaskEncoderConfig(stem_width=4, widths=(4, 8, 8, 16), depths=(1, 1, 2, 1))
    encoder = MaskEncoder(config, dim=16, strides=[8, 16, 32, 64], groups=4).eval()
    frame = [torch.randn(2, 16, 8 // s, 12 // s) for s in (1, 2, 4)] + [torch.randn(2, 16, 1, 2)]
    values = encoder(torch.randn(2, 3, 64, 96), torch.rand(2, 64, 96) > 0.5, frame)
    assert [v.shape for v in values] == [f.shape for f in frame]
    other = encoder(torch.zeros(2, 3, 64, 96), torch.zeros(2, 64, 96), frame)
    assert not torch.allclose(values[0], other[0])


def test_cbam_gates_are_between_zero_and_one() -> None:
    x = torch.rand(1, 8, 5, 5)
    out = CBAM(8, reduction=4)(x)
    assert ((out >= 0) & (out <= x)).all()


def test_mask_head_draws_each_query_on_its_own_image() -> None:
    head = MaskHead(MaskHeadConfig(widths=(8, 4)), dim=16, stride4_width=6).eval()
    memory = [torch.randn(2, 16, 8 // s, 12 // s) for s in (1, 2, 4)]
    features = head.features(memory, torch.randn(2, 6, 16, 24))
    assert features.shape == (2, 4, 16, 24)
    states, centres = torch.randn(2, 16), torch.tensor([[10.0, 20.0], [50.0, 30.0]])
    together = head.predict_masks(features, states, centres)
    for i in range(2):
        torch.testing.assert_close(
            head.predict_masks(features[i : i + 1], states[i : i + 1], centres[i : i + 1])[0], together[i]
        )


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiple of transformer\.heads"):
        tiny_config(hidden_dim=36, groups=4, transformer={"heads": 8})
    with pytest.raises(ValueError, match="fusion"):
        tiny_config(fusion=None)
    with pytest.raises(ValueError, match="Extra inputs"):
        tiny_config(hiden_dim=3)
