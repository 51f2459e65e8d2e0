from pathlib import Path

import numpy as np
import pytest

from uniref.core.errors import UniRefError
from uniref.inference.frame_stack import FrameStack, StoredObject


def stored(probability: np.ndarray, score: float = 0.5) -> StoredObject:
    return StoredObject(score, np.array([1, 2, 3.5, 4], np.float32), probability.astype(np.float32))


def test_what_was_pushed_last_comes_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    maps = {index: rng.random((5, 7)) for index in (9, 7, 4)}
    stack = FrameStack(tmp_path)
    for index, probability in maps.items():
        stack.push(index, {3: stored(probability, index / 10), 200: stored(np.zeros((5, 7)))})
    assert stack.pop(0) == {}
    first = stack.pop(4)
    assert list(first) == [3, 200]
    assert first[3].score == pytest.approx(0.4)
    assert first[3].box.tolist() == [1, 2, 3.5, 4]
    assert np.abs(first[3].probability - maps[4]).max() <= 1 / 256
    assert not first[200].probability.any()
    assert stack.pop(4) == {}
    assert list(stack.pop(9)) == [3, 200]  # 7 was passed over
    assert stack.pop(10) == {}
    stack.close()


def test_a_mask_is_the_same_to_the_pixel(tmp_path: Path) -> None:
    around = np.nextafter(np.float32(0.5), np.array([0, 1], np.float32))
    values = np.array([[0, 1e-6, 0.25, *around, 0.5, 128 / 256, 129 / 256, 0.999, 1]], np.float32)
    stack = FrameStack(tmp_path)
    stack.push(0, {1: stored(values)})
    back = stack.pop(0)[1].probability
    assert np.array_equal(back > 0.5, values > 0.5)
    assert back[0, 0] == 0
    assert back[0, -1] > 0.99
    stack.close()


def test_smooth_edges_take_little_space(tmp_path: Path) -> None:
    ys, xs = np.mgrid[:480, :854]
    soft = 1 / (1 + np.exp(np.hypot(ys - 240, xs - 400) - 90))
    stack = FrameStack(tmp_path)
    stack.push(0, {1: stored(soft)})
    assert stack._end < 8_000  # of 410,000 pixels
    assert np.abs(stack.pop(0)[1].probability - soft).max() <= 1 / 256
    stack.close()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    stack = FrameStack(tmp_path)
    stack.push(0, {1: stored(np.ones((4, 4)))})
    stack.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UniRefError, match=r"none: a temporary file cannot be written there \(No such file"):
        FrameStack(tmp_path / "none")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    stack = FrameStack(tmp_path)
    stack._file = open("/dev/full", "w+b")  # noqa: SIM115
    with pytest.raises(UniRefError, match="No space left on device"):
        for index in range(2000, 0, -1):
            stack.push(index, {1: stored(np.random.default_rng(index).random((20, 20)))})
