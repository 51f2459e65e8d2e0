"""Mattes: soft masks, as PNGs and as videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uniref import Predictor
from uniref.core.boxes import mask_box
from uniref.inference.mattes import MatteSink, MatteVideoSink, matte
from uniref.inference.prompts import Objects
from uniref.inference.results import FrameResult, ImageResult
from uniref.inference.sink_base import Context
from uniref.media.frame import SourceFrame
from uniref.media.source import MediaSource, Selection
from uniref.media.video_read import VideoFile
from uniref.media.video_write import VideoWriter


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return Predictor.from_pretrained(checkpoint, "cpu")


def test_masks_of_images_are_where_probabilities_are_over_half(predictor: Predictor, picture: np.ndarray) -> None:
    results = predictor.segment_image(picture, ["dog", "cat"], short_side=64, probabilities=True)
    for result in results:
        soft = result.probability
        assert soft is not None
        assert soft.dtype == np.float32
        assert soft.shape == result.mask.shape
        assert 0 <= soft.min() <= soft.max() <= 1
        # masks are resized by the nearest pixel, probabilities are interpolated: they differ at edges alone
        assert ((soft > 0.5) == result.mask).mean() > 0.9
    assert predictor.segment_image(picture, "dog", short_side=64).probability is None


def test_probabilities_of_videos_agree_with_masks(predictor: Predictor, picture: np.ndarray, disk: np.ndarray) -> None:
    corner = np.zeros_like(disk)
    corner[:8, :8] = True
    frames = [picture, picture[:, ::-1].copy()]
    masks = {0: {1: disk, 2: corner}}
    plain = list(predictor.segment_video(frames, "dog", masks, score_threshold=0, short_side=64))
    soft = list(predictor.segment_video(frames, "dog", masks, score_threshold=0, short_side=64, probabilities=True))
    assert plain[0].probabilities == {}
    for before, after in zip(plain, soft, strict=True):
        assert np.array_equal(before.labels, after.labels)
        assert list(after.probabilities) == [1, 2, 3]
        for probability in after.probabilities.values():
            assert probability.dtype == np.float32
            assert 0 <= probability.min() <= probability.max() <= 1
        assert np.array_equal(after.probabilities[3] > 0.5, after.masks[3])  # a text that is followed: independent
        # objects that exclude each other share a pixel
        assert (matte(after, 1).astype(int) + matte(after, 2)).max() <= 256
    assert matte(soft[0], 1)[disk].min() > 110  # given here, and shared with a text at most
    assert matte(soft[0], 1)[~disk].max() == 0


def frame_result(index: int, masks: dict[int, np.ndarray]) -> FrameResult:
    size = next(iter(masks.values())).shape
    labels = np.zeros(size, np.uint8)
    for number, mask in masks.items():
        labels[mask > 0.5] = number
    return FrameResult(
        index,
        labels,
        {n: mask > 0.5 for n, mask in masks.items()},
        dict.fromkeys(masks, 0.9),
        {},
        probabilities={n: mask.astype(np.float32) for n, mask in masks.items()},
    )


def test_levels_of_a_matte() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    assert matte(frame_result(0, {1: ramp}), 1)[0].tolist() == list(range(256))
    assert matte(frame_result(0, {1: ramp / 2.1}), 1).max() == 0  # nowhere over one half: the object is not there


def test_objects_that_exclude_each_other_share_a_pixel() -> None:
    pixel = np.full((1, 1), 0.6, np.float32)
    apart = FrameResult(0, np.full((1, 1), 2, np.uint8), {}, {}, {}, {}, {1: pixel, 2: pixel + 0.1})
    apart.masks.update({1: np.zeros((1, 1), np.bool_), 2: np.ones((1, 1), np.bool_)})
    assert matte(apart, 1).item() == 0  # it has no pixel of its own
    assert matte(apart, 2).item() == round(255 * 0.7 / (0.6 + 0.7 + 0.4 * 0.3))
    apart.masks[1] = apart.masks[2]  # independent: the pixel is both objects'
    assert matte(apart, 1).item() == 153


def test_pngs_of_many_objects(tmp_path: Path, picture: np.ndarray) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.fromarray(picture).save(folder / "a b é.png")
    context = Context(tmp_path, MediaSource(folder), Objects(), 1, True, print)
    sink = MatteSink(context)
    [frame] = context.source.frames(Selection())
    soft = {n: np.zeros((48, 64), np.float32) for n in range(1, 13)}
    for n, probability in soft.items():
        probability[4 * n - 4 : 4 * n] = 0.6
    sink.write(frame, frame_result(0, soft))
    sink.close()
    files = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "mattes").rglob("*.png"))
    assert files == sorted(f"mattes/{n}/a b é.png" for n in range(1, 13))
    with Image.open(tmp_path / "mattes" / "12" / "a b é.png") as image:
        assert image.mode == "L"
        values = np.asarray(image)
    assert values[:44].max() == 0
    assert np.unique(values[44:]).tolist() == [153]


def test_videos_keep_times_levels_and_length(tmp_path: Path) -> None:
    """A variable frame rate; and an object that is found in the third frame begins with black ones."""
    clip, seconds = tmp_path / "vfr.mp4", [0.0, 0.04, 0.08, 0.5, 0.54, 1.2]
    writer = VideoWriter(clip, (48, 64), 25)
    for index, time in enumerate(seconds):
        writer.write(np.full((48, 64, 3), 40 * index, np.uint8), time, 0.04)
    writer.close()
    context = Context(tmp_path, MediaSource(clip), Objects(), 1, True, print)
    sink = MatteVideoSink(context)
    ramp = np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[None], 48, 0)
    expected: dict[int, list[np.ndarray]] = {1: [], 12: [np.zeros((48, 64), np.uint8)] * 2}
    for frame in context.source.frames(Selection()):
        result = frame_result(frame.index, {1: ramp} if frame.index < 2 else {1: ramp, 12: ramp[:, ::-1]})
        sink.write(frame, result)
        for number in result.masks:
            expected[number].append(matte(result, number))
    sink.close()
    for number, mattes in expected.items():
        frames: list[SourceFrame] = list(VideoFile(tmp_path / f"matte-{number}.mp4").frames())
        assert [frame.seconds for frame in frames] == pytest.approx(seconds, abs=1e-3)
        for frame, wanted in zip(frames, mattes, strict=True):
            image = frame.image.astype(int)
            assert np.ptp(image, axis=2).max() <= 4  # grey
            assert np.abs(image[..., 0] - wanted).max() <= 6  # H.264


def test_too_many_videos_are_told(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    said: list[str] = []
    context = Context(tmp_path, MediaSource(make_video(frames=1)), Objects(), 1, True, said.append)
    sink = MatteVideoSink(context)
    for frame in context.source.frames(Selection()):
        sink.write(frame, frame_result(0, {n: np.ones((48, 64), np.float32) for n in range(1, 19)}))
    sink.close()
    assert len(list(tmp_path.glob("matte-*.mp4"))) == 16
    assert "2 of its objects got no matte video" in said[0]


def test_supervision_reads_results(disk: np.ndarray) -> None:
    supervision = pytest.importorskip("supervision", reason="needs the package supervision")
    empty = np.zeros_like(disk)
    result = FrameResult(0, np.zeros(disk.shape, np.uint8), {4: disk, 2: empty, 12: ~disk}, {4: 0.75, 2: 0.1}, {})
    detections = result.to_supervision({4: "the dog"})
    assert isinstance(detections, supervision.Detections)
    assert detections.tracker_id.tolist() == [4, 12]
    assert detections.confidence.tolist() == [0.75, 0.0]
    assert detections["class_name"].tolist() == ["the dog", "object 12"]
    assert np.array_equal(detections.mask[0], disk)
    assert tuple(detections.xyxy[0]) == mask_box(disk)
    assert detections.area[0] == disk.sum()
    drawn = supervision.MaskAnnotator().annotate(np.zeros((*disk.shape, 3), np.uint8), detections)
    assert drawn.any()
    box = np.zeros(4, np.float32)
    assert len(ImageResult(disk, 0.5, box).to_supervision("dog")) == 1
    assert len(ImageResult(empty, 0.5, box).to_supervision()) == 0


def test_a_missing_supervision_is_told(disk: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from uniref.core.errors import UsageError

    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(UsageError, match="pip install supervision"):
        ImageResult(disk, 0.5, np.zeros(4, np.float32)).to_supervision()
