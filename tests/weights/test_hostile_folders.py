"""Checkpoint folders of strangers: one line, in little memory, and nothing is loaded or run that they name."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from uniref.core.errors import CheckpointError, UsageError
from uniref.model.build import build_model
from uniref.recipe.model import ModelConfig
from uniref.weights.checkpoint import load_checkpoint

Change = Callable[[dict[str, Any]], Any]


def _set(*path: str, to: Any) -> Change:
    def change(config: dict[str, Any]) -> None:
        place: Any = config
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    target = tmp_path / "checkpoint"
    target.mkdir()
    for path in checkpoint.iterdir():
        (target / path.name).symlink_to(path)
    return target


@pytest.mark.parametrize("size", [0, -1, 2**62, 1e308, 1 << 20, "64", None, [1]])
@pytest.mark.parametrize(
    "place",
    [
        ("hidden_dim",),
        ("levels",),
        ("transformer", "queries"),
        ("transformer", "encoder_layers"),
        ("text", "encoder", "hidden_size"),
        ("text", "encoder", "vocab_size"),
        ("text", "encoder", "num_hidden_layers"),
        ("mask_encoder", "stem_width"),
        ("mask_head", "dynamic_width"),
        ("transformer", "points"),
    ],
)
def test_sizes_out_of_bounds(place: tuple[str, ...], size: Any, folder: Path, checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    _set("model", *place, to=size)(config)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="checkpoint") as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 1 << 20  # kilobytes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("model", "backbone", "name", to="hf-hub:somebody/model"), "is not the name of a timm model"),
        (_set("model", "backbone", "options", to={"checkpoint_path": "evil.pth"}), "checkpoint_path: is not an"),
        (_set("model", "backbone", "options", to={"pretrained": True}), "nothing is downloaded"),
        (_set("model", "backbone", "options", to={"pretrained_cfg": {"file": "x"}}), "pretrained_cfg"),
        (_set("model", "backbone", "options", to={"layers": [200, 200]}), "more than 256 blocks"),
        (_set("model", "backbone", "options", to={"window_size": 4096}), "not a number from 0 to 64"),
        (_set("model", "text", "encoder", "model_type", to="gpt2"), "is not a text encoder"),
        (_set("model", "text", "encoder", "auto_map", to={"AutoModel": "evil.py"}), "auto_map: is not a setting"),
        (_set("model", "text", "encoder", "_attn_implementation", to="owner/kernel"), "is not a setting"),
        (_set("model", "text", "encoder", "quantization_config", to={"a": 1}), "is not a setting"),
        (_set("format_version", to=-3), "format_version"),
        (_set("sides", to=[0, 0]), "sides"),
        (_set("model", to=[]), "model"),
        (_set("model", "family", to="x"), "family"),
    ],
)
def test_nothing_else_is_loaded(change: Change, message: str, folder: Path, checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    change(config)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(folder)
    assert "config.json" in str(caught.value)


def test_settings_of_a_far_larger_model_than_the_weights(folder: Path, checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    config["model"] |= {"hidden_dim": 16384, "groups": 8}
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="does not fit the weights beside it"):
        load_checkpoint(folder)


def test_a_model_larger_than_the_machine_is_never_begun() -> None:
    with pytest.raises(UsageError, match="the model needs more than 1,000 values"):
        build_model(ModelConfig(), most=1000)


def test_an_adapter_over_itself(folder: Path, checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config | {"adapter": {"base": ".", "frozen_sha256": "0"}}))
    (folder / "adapter.safetensors").symlink_to(checkpoint / "model.safetensors")
    with pytest.raises(CheckpointError, match="is an adapter itself"):
        load_checkpoint(folder)


def test_weights_that_are_no_numbers(folder: Path, checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.dim())
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"infinities or NaN: {name}"):
        load_checkpoint(folder)
