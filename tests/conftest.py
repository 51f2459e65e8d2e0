"""A tiny model, its checkpoint, and small real media files."""

from __future__ import annotations

import os

# read when PyTorch is loaded: threads that wait for each other leave the core to other tests
os.environ["OMP_WAIT_POLICY"] = "passive"

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import tiny_config
from uniref.media.video_write import VideoWriter
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.recipe.model import ModelConfig
from uniref.weights.checkpoint import save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata

# tiny models gain nothing from a second thread, and lose much by it where the cores are busy
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start


def pytest_configure(config: pytest.Config) -> None:
    """On several cores, files run in the order of `pytest_collection_modifyitems`, not those with most tests first."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with many slow tests first, so that no core begins a long one when the others are done."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    """Every test starts with the same seed, and leaves PyTorch's number of threads as it was (training sets it)."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def config() -> ModelConfig:
    return tiny_config()


@pytest.fixture(scope="session")
def model(config: ModelConfig) -> UniRef:
    """A tiny model whose fusion is awake (a fresh one is the identity)."""
    torch.manual_seed(0)
    made = UniRef(config).eval()
    assert made.fusion is not None
    torch.nn.init.normal_(made.fusion.modulation.weight, std=0.3)
    torch.nn.init.normal_(made.fusion.modulation.bias, std=0.3)
    return made


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.bert_base_uncased()


@pytest.fixture(scope="session")
def checkpoint(
    model: UniRef, config: ModelConfig, tokenizer: TextTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, model.state_dict(), CheckpointMetadata(model=config), tokenizer)
    return folder


@pytest.fixture
def picture() -> np.ndarray:
    """uint8 [48, 64, 3] with some structure."""
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture
def disk() -> np.ndarray:
    """bool [48, 64]: a disk in the middle."""
    ys, xs = np.mgrid[:48, :64]
    return (ys - 24) ** 2 + (xs - 32) ** 2 < 12**2


@pytest.fixture
def png(tmp_path: Path, picture: np.ndarray) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def mask_png(tmp_path: Path, disk: np.ndarray) -> Path:
    path = tmp_path / "disk.png"
    Image.fromarray(disk.astype(np.uint8) * 255).save(path)
    return path


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Encode a real mp4 of a moving square: `make_video(name, frames, size, fps)`."""

    def make(name: str = "clip.mp4", frames: int = 5, size: tuple[int, int] = (48, 64), fps: float = 25.0) -> Path:
        path = tmp_path / name
        writer = VideoWriter(path, size, fps)
        for index in range(frames):
            frame = np.full((*size, 3), 90, np.uint8)
            frame[10:30, 5 + 2 * index : 25 + 2 * index] = (200, 40, 40)
            writer.write(frame)
        writer.close()
        return path

    return make
