import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.weights.official import SWIN, official_state, small_config
from uniref.core.errors import CheckpointError, UsageError
from uniref.model.backbone import Backbone
from uniref.recipe.model import BackboneConfig, ModelConfig
from uniref.weights.checkpoint import load_checkpoint
from uniref.weights.checkpoint_config import read_config
from uniref.weights.convert import convert

VARIANTS = {
    "joint": small_config(),
    "first image step": small_config(mask_encoder=None),
    "pretraining": small_config(text=None, mask_encoder=None, fusion=None, classes=365),
    "swin": small_config(backbone=SWIN),
}


@pytest.fixture(scope="module")
def official() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return official_state(VARIANTS["joint"])[0]


def write(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save({"model": tensors, "iteration": 7, "optimizer": {"lr": np.float64(1e-4)}}, path)
    return path


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_recognised(variant: str, tmp_path: Path) -> None:
    config = VARIANTS[variant]
    tensors, ours = official_state(config)
    convert(write(tmp_path / "a.pth", tensors), tmp_path / "out")
    checkpoint = load_checkpoint(tmp_path / "out")
    assert checkpoint.config.model == config
    assert checkpoint.config.source["iteration"] == 7
    assert len(checkpoint.config.source["sha256"]) == 64
    for name, tensor in checkpoint.model.state_dict().items():
        assert torch.equal(tensor, ours[name]), name
    assert (checkpoint.tokenizer is None) == (config.text is None)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.slow
def test_half_precision_on_disk_is_float32_in_memory(dtype: str, official: dict[str, Tensor], tmp_path: Path) -> None:
    convert(write(tmp_path / "a.pth", official), tmp_path / "out", dtype=dtype)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert {t.dtype for t in stored.values() if t.is_floating_point()} == {getattr(torch, dtype)}
    model = load_checkpoint(tmp_path / "out").model
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_safetensors_and_data_parallel_prefixes(official: dict[str, Tensor], tmp_path: Path) -> None:
    prefixed = {f"module.{name}": t.clone().contiguous() for name, t in official.items()}
    save_file(prefixed, tmp_path / "a.safetensors")
    assert convert(tmp_path / "a.safetensors", tmp_path / "out").tensors > 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("detr.controller.layers.0.weight"), "missing tensors: mask_head.controller.layers.0.weight"),
        (lambda t: t.pop("detr.detr.transformer.level_embed"), "missing tensors: transformer.level_embed"),
        (lambda t: t.update({"detr.surprise": torch.zeros(1)}), "unknown tensors: detr.surprise"),
        (lambda t: t.update({"resizer.fc.bias": torch.zeros(3)}), "misshapen tensors: text_encoder.projection.bias"),
        (lambda t: t.update({"resizer.fc.bias": torch.full((64,), torch.nan)}), "infinities or NaN: resizer.fc.bias"),
        (
            lambda t: t.update({"detr.detr.transformer.decoder.class_embed.0.bias": torch.ones(1)}),
            "should repeat detr.detr.* do not: detr.detr.transformer.decoder.class_embed.0.bias",
        ),
        (lambda t: t.update({"detr.detr.transformer.level_embed": torch.zeros(3)}), "fit no model"),
    ],
)
def test_what_does_not_fit_is_listed(change, message: str, official: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = dict(official)
    change(tensors)
    with pytest.raises(CheckpointError) as caught:
        convert(write(tmp_path / "a.pth", tensors), tmp_path / "out")
    assert message in str(caught.value)
    assert "a.pth" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_values_too_large_for_half_precision(official: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = official | {"resizer.fc.bias": torch.full((64,), 1e6)}
    with pytest.raises(CheckpointError, match="bfloat16"):
        convert(write(tmp_path / "a.pth", tensors), tmp_path / "out", dtype="float16")


def test_another_vocabulary_needs_its_tokenizer(tmp_path: Path) -> None:
    config = small_config()
    text = config.text.model_copy(update={"encoder": config.text.encoder | {"vocab_size": 11}})
    tensors, _ = official_state(config.model_copy(update={"text": text}))
    with pytest.raises(CheckpointError, match="--tokenizer"):
        convert(write(tmp_path / "a.pth", tensors), tmp_path / "out")


def test_roberta_is_recognised_and_takes_its_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "dog": 4}
    tokenizer = Tokenizer(models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = small_config()
    encoder = config.text.encoder | {"model_type": "roberta", "vocab_size": 5, "type_vocab_size": 1}
    encoder |= {"layer_norm_eps": 1e-5, "pad_token_id": 1}
    config = config.model_copy(update={"text": config.text.model_copy(update={"encoder": encoder})})
    tensors, _ = official_state(config)
    convert(write(tmp_path / "a.pth", tensors), tmp_path / "out", tokenizer=tmp_path)
    checkpoint = load_checkpoint(tmp_path / "out")
    assert checkpoint.config.model == config
    assert checkpoint.tokenizer(["a dog", "dog"])[0].tolist() == [[0, 3, 4, 2], [0, 4, 2, 1]]


@pytest.mark.slow
def test_target_is_not_overwritten_unasked(official: dict[str, Tensor], tmp_path: Path) -> None:
    source = write(tmp_path / "a.pth", official)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UsageError, match="--overwrite"):
        convert(source, tmp_path / "out")
    with pytest.raises(UsageError, match="is not a checkpoint of uniref, so it is not replaced"):
        convert(source, tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "mine").unlink()
    convert(source, tmp_path / "out")
    notes = tmp_path / "out" / "notes.txt"
    notes.write_text("x")
    with pytest.raises(UsageError, match=r"holds more than a checkpoint \(notes.txt\)"):
        convert(source, tmp_path / "out", overwrite=True)
    notes.unlink()
    with pytest.raises(UsageError, match="--overwrite"):
        convert(source, tmp_path / "out")
    convert(source, tmp_path / "out", "float16", overwrite=True)
    modes = {path.stat().st_mode for path in (tmp_path / "out").iterdir()}
    assert len(modes) == 1  # whoever may read one file may read all
    within = write(tmp_path / "out" / "a.pth", official)
    with pytest.raises(UsageError, match="would delete the input"):
        convert(within, tmp_path / "out", overwrite=True)
    assert within.exists()
    within.unlink()
    convert(tmp_path / "out", tmp_path / "out", "float16", overwrite=True)  # in place
    assert load_checkpoint(tmp_path / "out").config.dtype == "float16"


class _Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("kind", ["torch", "pickle", "inside a tensor table"])
def test_code_in_a_checkpoint_is_refused(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    content = {"model": {"a": _Evil()}} if kind == "inside a tensor table" else _Evil()
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"model": content}))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"refused: it asks to run (builtins\.|__builtin__\.)?print"):
        convert(path, tmp_path / "out")
    assert "executed" not in capsys.readouterr().out


def test_torchscript_is_refused(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "a.pt"))
    recwarn.clear()
    with pytest.raises(CheckpointError, match="refused: it asks to run a TorchScript program"):
        convert(tmp_path / "a.pt", tmp_path / "out")
    assert len(recwarn) == 0


def test_the_older_file_format_of_torch(official: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"model": official}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert convert(tmp_path / "a.pth", tmp_path / "out").tensors > 100
    torch.save({"model": _Evil()}, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="refused"):
        convert(tmp_path / "b.pth", tmp_path / "out2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello world, this is text", "not a checkpoint"),
        (b"PK\x03\x04" + b"\0" * 200, "not a checkpoint"),
        (b"\x80\x04\x95" + b"\xff" * 50, "damaged"),
        (b"\x10\0\0\0\0\0\0\0{not json at all", "damaged safetensors"),
    ],
)
def test_damaged_files_are_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_truncated_checkpoint_is_told(official: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", official)
    data = path.read_bytes()
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(CheckpointError, match="download it again"):
            convert(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv1_w": torch.zeros(1)}, "Caffe2"),
        ({"something": torch.zeros(1)}, "not a released UniRef"),
        ({"model": {"a": "text"}}, "not a tensor"),
        ([1, 2], "no table of named tensors"),
    ],
)
def test_other_models_are_named(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path / "a.pth", tmp_path / "out")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        convert(tmp_path / "none.pth", tmp_path / "out")
    with pytest.raises(CheckpointError, match="is a folder, but not one with a model"):
        convert(tmp_path, tmp_path / "out")


# --- backbones ----------------------------------------------------------------------------------------------------


def _resnet(config: BackboneConfig) -> tuple[Backbone, dict[str, Tensor]]:
    backbone = Backbone(config)
    for name, buffer in backbone.named_buffers():
        torch.nn.init.uniform_(buffer, 0.5, 1.5) if "running_var" in name else torch.nn.init.normal_(buffer)
    return backbone, {name.removeprefix("body."): t.clone() for name, t in backbone.state_dict().items()}


def _same(folder: Path, expected: nn.Module) -> None:
    stored = load_file(folder / "model.safetensors")
    wanted = {f"backbone.{name}": t for name, t in expected.state_dict().items()}
    assert stored.keys() == wanted.keys()
    assert all(torch.equal(stored[name], wanted[name]) for name in wanted)
    config = read_config(folder)
    assert config.model is None
    with pytest.raises(CheckpointError, match="starting point"):
        load_checkpoint(folder)


@pytest.mark.slow
def test_torchvision_resnet(tmp_path: Path) -> None:
    backbone, state = _resnet(BackboneConfig(options={"layers": [1, 1, 1, 1]}))
    state |= {"fc.weight": torch.zeros(10, 2048), "fc.bias": torch.zeros(10)}
    state["bn1.num_batches_tracked"] = torch.tensor(3)
    torch.save(state, tmp_path / "r50.pth")
    assert convert(tmp_path / "r50.pth", tmp_path / "out").kind.startswith("torchvision ResNet")
    _same(tmp_path / "out", backbone)


def test_detectron_resnet_pickle(tmp_path: Path) -> None:
    backbone, state = _resnet(BackboneConfig(options={"layers": [1, 1, 1, 1]}))
    prefix = "detr.detr.backbone.0.backbone."
    from tests.weights.official import spell

    arrays = {spell(f"backbone.body.{n}").removeprefix(prefix): t.numpy() for n, t in state.items()}
    arrays["stem.fc.weight"] = np.zeros((10, 2048), np.float32)
    with (tmp_path / "R-50.pkl").open("wb") as file:
        pickle.dump({"model": arrays, "__author__": "torchvision", "matching_heuristics": True}, file, protocol=2)
    assert convert(tmp_path / "R-50.pkl", tmp_path / "out").kind.startswith("detectron2 ResNet")
    _same(tmp_path / "out", backbone)


def test_official_swin(tmp_path: Path) -> None:
    backbone = Backbone(SWIN)
    state = {}
    for name, tensor in backbone.body.state_dict().items():
        new = name.replace("layers_", "layers.")
        if ".downsample." in new:
            stage = int(new.split(".")[1])
            new = new.replace(f"layers.{stage}", f"layers.{stage - 1}")
        state[new] = tensor
        if new.endswith("relative_position_bias_table"):
            state[new.replace("bias_table", "index")] = torch.zeros(25, 25, dtype=torch.int64)
    state |= {"layers.0.blocks.1.attn_mask": torch.zeros(4, 25, 25), "norm.weight": torch.zeros(128)}
    state |= {"norm.bias": torch.zeros(128), "head.weight": torch.zeros(10, 128), "head.bias": torch.zeros(10)}
    torch.save({"model": state}, tmp_path / "swin.pth")
    done = convert(tmp_path / "swin.pth", tmp_path / "out")
    assert done.kind.startswith("official Swin")
    assert any("norms" in note for note in done.notes)
    _same(tmp_path / "out", backbone)
    assert read_config(tmp_path / "out").backbone == SWIN


# --- the checkpoint folder ----------------------------------------------------------------------------------------


def _folder(config: ModelConfig, tmp_path: Path) -> Path:
    convert(write(tmp_path / "a.pth", official_state(config)[0]), tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.slow
def test_broken_checkpoint_folders_are_named(tmp_path: Path) -> None:
    folder = _folder(VARIANTS["first image step"], tmp_path)
    content = json.loads((folder / "config.json").read_text())
    for change, message in [
        ({"format_version": 99}, "newer uniref"),
        ({"model_type": "bert"}, "not a uniref checkpoint"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"model": content["model"] | {"levels": 2}}, "model.levels"),
        ({"model": content["model"] | {"levels": 3}}, "unknown tensors"),
    ]:
        (folder / "config.json").write_text(json.dumps(content | change))
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: is not valid JSON"):
        load_checkpoint(folder)
    (folder / "config.json").write_text(json.dumps(content))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged"):
        load_checkpoint(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="convert it first"):
        load_checkpoint(tmp_path / "a.pth")
