"""Adapters: what was trained, over the SAM that it was trained from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_sam_config
from uniref.core.errors import CheckpointError, UsageError
from uniref.model.sam import UniRefSam
from uniref.model.text import TextTokenizer
from uniref.weights.checkpoint import load_checkpoint, save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref.weights.convert import convert


def save(model: UniRefSam, folder: Path) -> Path:
    folder.mkdir()
    save_checkpoint(
        folder, model.state_dict(), CheckpointMetadata(model=model.config), TextTokenizer.bert_base_uncased()
    )
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save(UniRefSam(tiny_sam_config()), tmp_path / "sam")


@pytest.fixture
def trained(base: Path, tmp_path: Path) -> Path:
    """The base after something like training."""
    model = load_checkpoint(base).model
    assert isinstance(model, UniRefSam)
    frozen = model.frozen_names()
    for name, tensor in model.state_dict().items():
        if name not in frozen:
            tensor.add_(1)  # batch statistics and counters too
    return save(model, tmp_path / "trained")


def equal(one: Path, other: Path) -> bool:
    a, b = (load_checkpoint(folder).model.state_dict() for folder in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_round_trip(base: Path, trained: Path, tmp_path: Path) -> None:
    done = convert(trained, tmp_path / "adapter", base=base)
    assert "stay in" in done.notes[0]
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter.safetensors",
        "config.json",
        "tokenizer.json",
    ]
    whole, small = (trained / "model.safetensors").stat().st_size, (tmp_path / "adapter" / "adapter.safetensors")
    assert small.stat().st_size < whole
    assert equal(tmp_path / "adapter", trained)
    assert not equal(tmp_path / "adapter", base)
    assert load_checkpoint(tmp_path / "adapter").tokenizer is not None
    convert(tmp_path / "adapter", tmp_path / "whole", base=base)
    assert equal(tmp_path / "whole", trained)
    assert load_checkpoint(tmp_path / "whole").config.adapter is None


@pytest.mark.slow
def test_both_folders_may_move_together(base: Path, trained: Path, tmp_path: Path) -> None:
    convert(trained, tmp_path / "adapter", base=base)
    (tmp_path / "elsewhere").mkdir()
    for name in ("sam", "adapter"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    assert equal(tmp_path / "elsewhere" / "adapter", trained)


@pytest.mark.slow
def test_a_base_that_is_gone_or_another_is_told(base: Path, trained: Path, tmp_path: Path) -> None:
    convert(trained, tmp_path / "adapter", base=base)
    base.rename(tmp_path / "moved")
    with pytest.raises(CheckpointError, match=r"no such folder, but the adapter .*--base SAM") as caught:
        load_checkpoint(tmp_path / "adapter")
    assert "\n" not in str(caught.value)
    assert torch.equal(
        load_checkpoint(tmp_path / "adapter", base=tmp_path / "moved").model.state_dict()["fusion.query.weight"],
        load_checkpoint(trained).model.state_dict()["fusion.query.weight"],
    )
    torch.manual_seed(1)
    other = save(UniRefSam(tiny_sam_config()), tmp_path / "other")
    with pytest.raises(CheckpointError, match="not those that the adapter was trained over"):
        load_checkpoint(tmp_path / "adapter", base=other)
    with pytest.raises(CheckpointError, match=r"its frozen weights are not those of .*other"):
        convert(trained, tmp_path / "again", base=other)
    assert not (tmp_path / "again").exists()


def test_what_has_no_adapter(checkpoint: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a SAM model"):
        convert(checkpoint, tmp_path / "out", base=base)
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(UsageError, match="goes with a checkpoint"):
        convert(tmp_path / "a.pth", tmp_path / "out", base=base)


@pytest.mark.slow
def test_a_damaged_adapter_is_told(base: Path, trained: Path, tmp_path: Path) -> None:
    convert(trained, tmp_path / "adapter", base=base)
    config = tmp_path / "adapter" / "config.json"
    content = json.loads(config.read_text())
    assert content["adapter"]["base"] == "../sam"
    weights = tmp_path / "adapter" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors: damaged"):
        load_checkpoint(tmp_path / "adapter")
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"no adapter\.safetensors"):
        load_checkpoint(tmp_path / "adapter")
