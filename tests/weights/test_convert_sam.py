"""Conversion of SAM in its three layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import BertConfig, BertForPreTraining, SamModel

from tests.tiny import TINY_BERT, tiny_sam_config
from tests.weights.official_sam import original_sam, released_sam
from uniref.core.errors import CheckpointError, UsageError
from uniref.model.sam import UniRefSam, sam_config
from uniref.recipe.model import SamDecoderConfig, SamModelConfig, TextConfig
from uniref.weights.checkpoint import load_checkpoint
from uniref.weights.convert import convert

TEXT = TextConfig(  # as shapes tell of it: heads of 64 channels
    encoder=TINY_BERT
    | {"hidden_size": 64, "num_attention_heads": 1, "max_position_embeddings": 80, "type_vocab_size": 2}
)


@pytest.fixture(scope="module")
def net() -> UniRefSam:
    torch.manual_seed(0)
    made = UniRefSam(tiny_sam_config(text=TEXT)).eval()
    for tensor in made.state_dict().values():
        if tensor.is_floating_point():
            torch.nn.init.uniform_(tensor, 0.1, 0.3)
    return made


def hub_folder(net: UniRefSam, folder: Path, change: Callable[[dict], None] = lambda settings: None) -> Path:
    """As `SamModel.save_pretrained` writes it, with changed settings."""
    SamModel(sam_config(net.config)).save_pretrained(folder)
    own = {name.removeprefix("sam."): t for name, t in net.state_dict().items() if name.startswith("sam.")}
    del own["prompt_encoder.shared_embedding.positional_embedding"]
    save_file(own, folder / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    change(settings)
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def bert_folder(folder: Path) -> Path:
    settings = {key: value for key, value in TEXT.encoder.items() if key != "model_type"}
    BertForPreTraining(BertConfig(**settings)).save_pretrained(folder)
    return folder


def same_sam(folder: Path, net: UniRefSam) -> UniRefSam:
    """The converted model, whose SAM has the tensors of `net`."""
    made = load_checkpoint(folder).model
    assert isinstance(made, UniRefSam)
    for name, tensor in net.sam.state_dict().items():
        assert torch.equal(made.sam.state_dict()[name], tensor), name
    return made


def test_the_released_model_round_trips(net: UniRefSam, tmp_path: Path) -> None:
    tensors = released_sam(net)
    tensors["model.text_encoder.pooler.dense.weight"] = torch.zeros(64, 64)
    torch.save({"model": tensors, "iteration": 89999}, tmp_path / "a.pth")
    done = convert(tmp_path / "a.pth", tmp_path / "out")
    assert done.kind == "UniFusion in SAM, ViT of width 24, 2 layers"
    made = same_sam(tmp_path / "out", net)
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in net.state_dict().items())
    assert made.config == net.config
    assert load_checkpoint(tmp_path / "out").config.source["iteration"] == 89999


@torch.no_grad()
def test_original_weights_give_the_embedding_and_masks_of_transformers(net: UniRefSam, tmp_path: Path) -> None:
    torch.save(original_sam(net), tmp_path / "sam_vit_t.pth")
    done = convert(tmp_path / "sam_vit_t.pth", tmp_path / "out")
    assert any("no text encoder" in note for note in done.notes)
    made = same_sam(tmp_path / "out", net)
    assert made.text_encoder is None
    assert load_checkpoint(tmp_path / "out").tokenizer is None

    own = SamModel(sam_config(net.config)).eval()
    own.load_state_dict(net.sam.state_dict())
    images, padding = torch.randn(1, 3, 128, 128), torch.zeros(1, 128, 128, dtype=torch.bool)
    features = made.encode_image(images, padding)
    torch.testing.assert_close(features.levels[0], own.get_image_embeddings(images), rtol=0, atol=0)
    reference = made.project(made.encode_mask(features, images, torch.ones(1, 128, 128)))
    fused = made.fuse(features, [reference])
    assert torch.equal(fused.levels[0], features.levels[0])  # the gate is closed
    sparse = features.levels[0].mean((2, 3))[:, None, None]
    masks, _ = own.mask_decoder(
        image_embeddings=features.levels[0],
        image_positional_embeddings=own.get_image_wide_positional_embeddings(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=own.prompt_encoder(None, None, None, None)[1],
        multimask_output=False,
    )
    torch.testing.assert_close(made.segment(fused).logits, masks[:, 0, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_a_folder_of_transformers_keeps_what_shapes_do_not_tell(net: UniRefSam, tmp_path: Path) -> None:
    def change(settings: dict) -> None:
        settings["mask_decoder_config"] |= {"num_attention_heads": 4, "layer_norm_eps": 1e-6}

    source = hub_folder(net, tmp_path / "sam", change)
    done = convert(source, tmp_path / "out", text=bert_folder(tmp_path / "bert"))
    assert done.kind.startswith("transformers' SAM")
    made = same_sam(tmp_path / "out", net)
    assert made.config.mask_decoder == SamDecoderConfig(mlp_dim=32, iou_dim=16, heads=4, norm_eps=1e-6)
    bert = BertForPreTraining.from_pretrained(tmp_path / "bert").bert
    assert made.text_encoder is not None
    for name, tensor in made.text_encoder.body.state_dict().items():
        assert torch.equal(tensor, bert.state_dict()[name]), name
    assert made.config.text == TEXT
    convert(source, tmp_path / "again", text=tmp_path / "bert")
    again = load_checkpoint(tmp_path / "again").model.state_dict()  # what starts fresh is always the same
    assert all(torch.equal(again[name], tensor) for name, tensor in made.state_dict().items())


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("vision_config", "use_rel_pos", False),
        ("vision_config", "window_size", 7),
        ("vision_config", "global_attn_indexes", [0]),
        ("vision_config", "hidden_act", "relu"),
        ("mask_decoder_config", "attention_downsample_rate", 4),
    ],
)
def test_another_computation_is_refused(part: str, key: str, value: object, net: UniRefSam, tmp_path: Path) -> None:
    source = hub_folder(net, tmp_path / "sam", lambda settings: settings[part].update({key: value}))
    with pytest.raises(CheckpointError, match=rf"{part}\.{key} .*cannot be converted"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_shape_that_goes_with_no_sam(net: UniRefSam, tmp_path: Path) -> None:
    def tell(change: Callable[[dict[str, Tensor]], object]) -> str:
        tensors = original_sam(net)
        change(tensors)
        torch.save(tensors, tmp_path / "a.pth")
        with pytest.raises(CheckpointError) as caught:
            convert(tmp_path / "a.pth", tmp_path / "out")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "missing tensors: sam.mask_decoder.iou_token" in tell(lambda t: t.pop("mask_decoder.iou_token.weight"))
    assert "unknown tensors: image_encoder.more" in tell(lambda t: t.update({"image_encoder.more": torch.zeros(1)}))
    assert "misshapen" in tell(lambda t: t.update({"image_encoder.neck.1.weight": torch.zeros(3)}))
    name = "image_encoder.blocks.0.attn.rel_pos_h"
    assert "fit no model" in tell(lambda t: t.update({name: torch.zeros(5)}))


def test_text_goes_with_a_plain_sam_only(net: UniRefSam, tmp_path: Path) -> None:
    torch.save(released_sam(net), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="has a text encoder of its own"):
        convert(tmp_path / "a.pth", tmp_path / "out", text=bert_folder(tmp_path / "bert"))
    with pytest.raises(CheckpointError, match="of such folders only SAM"):
        convert(tmp_path / "bert", tmp_path / "out")
    torch.save(original_sam(net), tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="has no model"):
        convert(tmp_path / "b.pth", tmp_path / "out", text=tmp_path)
    torch.save({"layer1.0.conv1.weight": torch.zeros(1), "layer1.0.conv3.weight": torch.zeros(1)}, tmp_path / "r.pth")
    with pytest.raises(UsageError, match="is for a SAM without UniFusion"):
        convert(tmp_path / "r.pth", tmp_path / "out", text=tmp_path / "bert")


def test_a_config_says_which_family(net: UniRefSam, tmp_path: Path) -> None:
    torch.save(released_sam(net), tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "out", dtype="bfloat16")
    content = json.loads((tmp_path / "out" / "config.json").read_text())
    assert content["model"]["family"] == "sam"
    assert isinstance(load_checkpoint(tmp_path / "out").config.model, SamModelConfig)
    content["model"]["image_encoder"]["depth"] = 0
    (tmp_path / "out" / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"config\.json: model\.image_encoder\.depth: "):
        load_checkpoint(tmp_path / "out")
