"""The contact sheet of training samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data import toy
from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.train.preview import write_preview
from uniref.model.text import TextTokenizer
from uniref.recipe.data import AugmentConfig, DataConfig, SourceConfig

AUGMENT = AugmentConfig(short_sides=(64, 80), max_long_side=120, crop_short_sides=(60, 70), crop_sides=(50, 60))


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    sources = [
        toy.images(tmp_path, Task.RIS, toy.scenes(6, portrait=2), "ris"),
        toy.images(tmp_path, Task.FSS, toy.scenes(6), "fss"),
        toy.images(tmp_path, Task.DETECTION, toy.scenes(6), "det", masks=False),
        toy.clips(tmp_path, Task.RVOS, 3, "rvos"),
    ]
    return DataConfig(sources=tuple(SourceConfig(index=each) for each in sources), augment=AUGMENT, clip_range=3)


def draw(config: DataConfig, root: Path, path: Path, count: int = 12, seed: int = 0) -> np.ndarray:
    tokenizer = TextTokenizer.bert_base_uncased()
    write_preview(
        config, root, path, count, seed=seed, micro_batches_per_step=2, micro_batch_size=2, tokenizer=tokenizer
    )
    return np.asarray(Image.open(path))


@pytest.mark.slow
def test_the_sheet_shows_the_objects(config: DataConfig, tmp_path: Path) -> None:
    sheet = draw(config, tmp_path, tmp_path / "preview.png").astype(int)
    small = draw(config, tmp_path, tmp_path / "small.png", count=3)
    assert sheet.shape[1] == small.shape[1] and sheet.shape[0] > 3.5 * small.shape[0]
    red = (sheet[..., 0] - sheet[..., 2] > 120).mean()
    assert red > 0.01
    assert not list(tmp_path.glob(".*partial"))
    assert not np.array_equal(sheet, draw(config, tmp_path, tmp_path / "other.png", seed=1))


def test_an_error_names_the_file(config: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "nowhere").touch()  # not a folder
    with pytest.raises(UniRefError, match=r"nowhere.*: cannot be written"):
        draw(config, tmp_path, tmp_path / "nowhere/preview.png")
