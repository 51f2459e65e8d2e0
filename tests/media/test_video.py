"""Videos that are really encoded, and damaged on purpose."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from uniref.core.errors import MediaError, UsageError
from uniref.media.ffmpeg import run_ffmpeg
from uniref.media.source import MediaSource, Selection, parse_duration, parse_position
from uniref.media.video_read import VideoFile
from uniref.media.video_write import VideoWriter

MakeVideo = Callable[..., Path]


def test_round_trip_keeps_size_rate_and_colours(make_video: MakeVideo) -> None:
    video = VideoFile(make_video(frames=6, fps=30000 / 1001))
    frames = list(video.frames())
    assert video.fps == pytest.approx(30000 / 1001, rel=1e-6)
    assert [f.index for f in frames] == list(range(6))
    assert [f.name for f in frames][:2] == ["00000", "00001"]
    assert frames[0].image.shape == (48, 64, 3)
    assert np.abs(frames[0].image[20, 10].astype(int) - (200, 40, 40)).max() < 20
    assert frames[2].seconds == pytest.approx(2 * 1001 / 30000, abs=1e-3)
    assert video.tail_lost == 0


def test_odd_sizes_are_kept(make_video: MakeVideo) -> None:
    assert next(iter(VideoFile(make_video(size=(47, 61))).frames())).image.shape == (47, 61, 3)


def test_selection_by_frame_time_and_stride(make_video: MakeVideo) -> None:
    source = MediaSource(make_video(frames=20, fps=10))

    def read(*args: object) -> list[int]:
        return [f.index for f in source.frames(Selection(*args))]

    assert read("5", "9") == [5, 6, 7, 8]
    assert read("0.5s", "1.2s", 3) == [5, 8, 11]
    assert read() == list(range(20))  # a second pass starts again
    assert source.selected_count(Selection("0.5s", "1.2s", 3)) == 3


@pytest.mark.parametrize(
    ("text", "place"), [("12", 12), ("1.5s", 1.5), ("1:02.5", 62.5), ("1:00:01", 3601.0), ("0:03", 3.0)]
)
def test_places(text: str, place: float) -> None:
    assert parse_position("--start", text) == place


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10.0), ("0.5", 0.5), ("2.5s", 2.5), ("1:30", 90.0), ("75:00", 4500.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration("--duration", text) == seconds


@pytest.mark.parametrize("text", ["0", "0s", "-1", "10h", "1:99", ""])
def test_unclear_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--duration .*: use a time above 0 in seconds or minutes"):
        parse_duration("--duration", text)


@pytest.mark.parametrize("text", ["", "x", "1.5", "-3", "1:2:3:4", "3m", "1:60", "1:60:00"])
def test_unclear_places_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--end"):
        Selection(end=text)


def test_impossible_selections_are_refused(make_video: MakeVideo) -> None:
    source = MediaSource(make_video(frames=5))
    with pytest.raises(UsageError, match="not after"):
        list(source.frames(Selection("3", "3")))
    with pytest.raises(UsageError, match="after its end"):
        list(source.frames(Selection("9")))
    with pytest.raises(UsageError, match="stride"):
        Selection(stride=0)


def test_a_phone_video_comes_upright(make_video: MakeVideo, tmp_path: Path) -> None:
    upright = make_video(frames=2)
    turned = tmp_path / "turned.mp4"
    assert run_ffmpeg(["-y", "-display_rotation", "90", "-i", str(upright), "-c", "copy", str(turned)])[0] == 0
    a, b = (next(iter(VideoFile(p).frames())).image for p in (upright, turned))
    assert b.shape == (64, 48, 3)
    assert np.abs(b.astype(int) - np.rot90(a).astype(int)).mean() < 3


def test_ten_bit_hdr_and_other_containers(make_video: MakeVideo, tmp_path: Path) -> None:
    source = make_video(frames=4)
    hdr = ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-color_trc", "smpte2084"]
    for name, options in {"a.mkv": [], "a.mov": [], "a.webm": [], "a.avi": [], "a.gif": [], "hdr.mp4": hdr}.items():
        path = tmp_path / name
        assert run_ffmpeg(["-y", "-i", str(source), *options, str(path)])[0] == 0
        frames = list(MediaSource(path).frames(Selection()))
        assert len(frames) == 4
        assert frames[0].image.dtype == np.uint8


COLOURS = np.array([(128, 128, 128), (204, 40, 40), (40, 180, 40), (40, 60, 200), (50, 50, 50), (180, 128, 76)])


def perceptual_quantizer(light: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084: nits to signal."""
    y = (light / 1e4) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hybrid_log_gamma(light: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100: nits on a display of 1000 to signal."""
    luminance = light @ (0.2627, 0.6780, 0.0593)
    e = light / 1000 * np.maximum(luminance / 1000, 1e-9)[..., None] ** (1 / 1.2 - 1)
    return np.where(
        e <= 1 / 12, np.sqrt(3 * e), 0.17883277 * np.log(np.maximum(12 * e - 0.28466892, 1e-9)) + 0.55991073
    )


@pytest.mark.parametrize(
    ("transfer", "curve", "tolerance"),
    # HLG's system gamma is applied to every channel by itself: saturated colours become more so
    [("smpte2084", perceptual_quantizer, 20), ("arib-std-b67", hybrid_log_gamma, 45)],
)
def test_hdr_comes_in_the_colours_of_sdr(transfer: str, curve, tolerance: int, tmp_path: Path) -> None:
    to_bt2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    picture = COLOURS.repeat(32, 0)[None].repeat(64, 0) / 255  # stripes of 32 pixels
    signal = curve((picture**2.4) @ to_bt2020.T * 203)
    raw, path = tmp_path / "hdr.raw", tmp_path / "hdr.mp4"
    raw.write_bytes((signal.clip(0, 1) * 65535).round().astype("<u2").tobytes() * 40)
    tags = f"setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc:range=tv"
    form = ["-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", "192x64", "-r", "10", "-i", str(raw)]
    filters = ["-vf", f"scale=out_color_matrix=bt2020nc:out_range=tv,format=yuv420p10le,{tags}"]
    assert run_ffmpeg(["-y", *form, *filters, "-c:v", "libx265", "-x265-params", "log-level=none", str(path)])[0] == 0
    video = VideoFile(path)
    assert video.hdr
    assert video.tone_mapped
    frames = list(video.frames(30, 36, 2))
    assert [f.index for f in frames] == [30, 32, 34]
    found = frames[0].image[32, 16::32].astype(int)
    assert np.abs(found - COLOURS).max() < tolerance
    assert np.abs(found[[0, 4]] - COLOURS[[0, 4]]).max() < 8


def test_content_counts_not_the_extension(make_video: MakeVideo, png: Path, tmp_path: Path) -> None:
    video = make_video().rename(tmp_path / "video.jpg")
    assert MediaSource(video).kind == "video"
    assert MediaSource(png.rename(tmp_path / "picture.mp4x")).kind == "image"


def test_a_cut_off_video_says_how_many_frames_are_lost(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(frames=100)
    data = path.read_bytes()  # written with the index in front
    path.write_bytes(data[: int(len(data) * 0.7)])
    video = VideoFile(path)
    frames = list(video.frames())
    assert 10 < len(frames) < 95
    assert len(frames) + video.tail_lost == 100


def test_damage_in_the_middle_costs_few_frames(make_video: MakeVideo) -> None:
    path = make_video(frames=60, size=(120, 160))
    data = bytearray(path.read_bytes())
    middle = data.find(b"mdat") + (len(data) - data.find(b"mdat")) // 2
    data[middle : middle + 60] = b"\xff" * 60
    path.write_bytes(data)
    frames = list(VideoFile(path).frames())
    assert [f.index for f in frames] == list(range(60))
    assert sum(f.damaged for f in frames) <= 5
    assert all(f.image.shape == (120, 160, 3) for f in frames)


@pytest.mark.parametrize(
    "content", [b"", b"no video at all", b"\0\0\0\x18ftypmp42" + b"\0" * 500], ids=["empty", "text", "header only"]
)
def test_unreadable_videos_are_one_line(content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"bad\.mp4") as caught:
        MediaSource(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # the decoder's own chatter stays away


def test_sound_without_pictures_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    assert run_ffmpeg(["-f", "lavfi", "-i", "sine=d=1", str(path)])[0] == 0
    with pytest.raises(MediaError, match="no video stream"):
        MediaSource(path)


def test_a_variable_rate_keeps_its_times(make_video: MakeVideo, tmp_path: Path) -> None:
    path = tmp_path / "vfr.mp4"
    drop = "select='lt(n,10)+not(mod(n,4))'"
    assert run_ffmpeg(["-y", "-i", str(make_video(frames=40)), "-vf", drop, "-fps_mode", "vfr", str(path)])[0] == 0
    # ten frames of 0.04 s, then 0.48, 0.64, 0.80, ...: times are those of the file, not of its average rate
    assert [f.index for f in MediaSource(path).frames(Selection("0.4s", "0.8s"))] == [10, 11]
    assert MediaSource(path).selected_count(Selection("0.4s", "0.8s")) == 2


def test_folders_of_frames_in_natural_order(picture: np.ndarray, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (10, 9, 1):
        Image.fromarray(picture).save(folder / f"f{number}.jpg")
    (folder / "notes.txt").write_text("x")
    source = MediaSource(folder)
    assert [f.name for f in source.frames(Selection())] == ["f1", "f9", "f10"]
    (folder / "f9.jpg").write_bytes(b"broken")
    assert [f.damaged for f in source.frames(Selection())] == [False, True, False]
    (folder / "f1.jpg").write_bytes(b"broken")
    frames = list(source.frames(Selection()))
    assert [f.damaged for f in frames] == [True, True, False]
    assert [f.image.shape for f in frames] == [picture.shape] * 3
    assert not frames[0].image.any()
    (folder / "f10.jpg").write_bytes(b"broken")
    with pytest.raises(MediaError, match=r"f1\.jpg"):
        list(source.frames(Selection()))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="holds no images"):
        MediaSource(tmp_path / "empty")


def test_an_unwritable_video_is_told(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "none" / "a.mp4", (48, 64), 25)
    with pytest.raises(MediaError, match=r"a\.mp4"):
        for _ in range(200):
            writer.write(np.zeros((48, 64, 3), np.uint8))
        writer.close()


@pytest.mark.slow
def test_decord_is_loaded_after_torch(make_video: Callable[..., Path]) -> None:
    """With decord's libraries loaded first, PyTorch's convolutions crash on some machines."""
    code = (
        "import sys; from uniref.media.video_read import VideoFile; assert 'decord' not in sys.modules\n"
        f"next(VideoFile({str(make_video())!r}).frames()); import torch\n"
        "names = list(sys.modules); assert names.index('torch') < names.index('decord')\n"
        "torch.nn.Conv2d(3, 32, 3)(torch.zeros(1, 3, 64, 64))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_without_decord_frames_are_the_same(make_video: MakeVideo) -> None:
    """decord is faster, but keeps more and more frames of a long video; what reads here and there does without it."""
    path = make_video(frames=80)
    slow, fast = MediaSource(path, fast=False), MediaSource(path)
    for selection in (Selection(), Selection(start="70"), Selection(start="5", end="9")):
        for ours, theirs in zip(slow.frames(selection), fast.frames(selection), strict=True):
            assert (ours.index, ours.seconds, ours.duration) == (theirs.index, theirs.seconds, theirs.duration)
            assert np.array_equal(ours.image, theirs.image)
    code = (
        "import sys; from uniref.media.source import MediaSource\n"
        f"next(MediaSource(__import__('pathlib').Path({str(path)!r}), fast=False).frames()); "
        "assert not {'decord', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
