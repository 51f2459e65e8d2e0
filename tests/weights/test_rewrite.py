"""Checkpoints written again: fewer words, another number format."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_config
from uniref.core.errors import UniRefError, UsageError
from uniref.inference.predictor import Predictor
from uniref.weights.catalog import checkpoint_folder
from uniref.weights.checkpoint import load_checkpoint, save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata, Presence, PresencePoint, read_config, write_config
from uniref.weights.convert import convert


@pytest.fixture
def words(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("the red car\n\n...\nrhombus on the left\n", "utf-8")
    return file


def test_texts_of_the_list_mean_the_same(checkpoint: Path, words: Path, tmp_path: Path) -> None:
    done = convert(checkpoint, tmp_path / "small", words=words)
    assert "of 30,522 word pieces are kept" in done.notes[0]
    before, after = load_checkpoint(checkpoint), load_checkpoint(tmp_path / "small")
    assert before.tokenizer is not None and after.tokenizer is not None
    assert after.tokenizer.size < 5000
    text = ["the red rhombus", "car on the left"]
    with torch.inference_mode():
        one = before.model.encode_text(*before.tokenizer(text))
        two = after.model.encode_text(*after.tokenizer(text))
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.keys, b.keys)
        assert torch.equal(a.embedding, b.embedding)


def test_any_other_word_can_still_be_spelt(checkpoint: Path, words: Path, tmp_path: Path) -> None:
    convert(checkpoint, tmp_path / "small", words=words)
    tokenizer = load_checkpoint(tmp_path / "small").tokenizer
    assert tokenizer is not None
    ids, valid = tokenizer(["zebra"])
    unknown = tokenizer.vocabulary()["[UNK]"]
    assert unknown not in ids[valid].tolist()
    picture = np.zeros((64, 64, 3), np.uint8)
    Predictor.from_pretrained(tmp_path / "small").segment_image(picture, text="zebra", short_side=None)


def test_half_precision_on_disk(checkpoint: Path, tmp_path: Path) -> None:
    convert(checkpoint, tmp_path / "half", dtype="float16")
    full, half = checkpoint / "model.safetensors", tmp_path / "half" / "model.safetensors"
    assert half.stat().st_size < 0.52 * full.stat().st_size
    assert load_checkpoint(tmp_path / "half").config.dtype == "float16"


def test_what_cannot_be_trimmed(checkpoint: Path, words: Path, tmp_path: Path) -> None:
    with pytest.raises(UniRefError, match=r"gone.txt: no such file"):
        convert(checkpoint, tmp_path / "out", words=tmp_path / "gone.txt")
    silent = tmp_path / "silent"
    silent.mkdir()
    from uniref.model.uniref import UniRef

    config = tiny_config(text=None)
    save_checkpoint(silent, UniRef(config).state_dict(), CheckpointMetadata(model=config), None)
    with pytest.raises(UsageError, match="has no text encoder"):
        convert(silent, tmp_path / "out", words=words)
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(UsageError, match="goes with a checkpoint of uniref"):
        convert(tmp_path / "a.pth", tmp_path / "out", words=words)
    for options in ({"base": checkpoint, "words": words}, {"text": tmp_path}, {"tokenizer": tmp_path}):
        with pytest.raises(UsageError, match="does not go with a checkpoint of uniref"):
            convert(checkpoint, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_names_of_bundled_checkpoints(tmp_path: Path) -> None:
    assert checkpoint_folder("small").parent.name == "assets"
    assert checkpoint_folder("./small") == Path("small")
    assert checkpoint_folder(tmp_path) == tmp_path


def test_a_calibrated_threshold_is_kept(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "calibrated"
    shutil.copytree(checkpoint, folder)
    point = PresencePoint(threshold=0.5, precision=1, recall=1, false_alarms=0)
    presence = Presence(threshold=0.5, rule="test", data="a/b", present=2, absent=3, curve=(point,))
    write_config(folder, read_config(folder).model_copy(update={"presence": presence}))
    convert(folder, tmp_path / "half", dtype="float16")
    assert read_config(tmp_path / "half").presence == presence
