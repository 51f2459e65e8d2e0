"""Every container: the frames and times that ffmpeg presents, in and out again with sound, colours and shape."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.marks import slow_except
from tests.media.containers import AAC, NAMES, X264, Presented, ffmpeg, make, make_master, present, with_edits
from uniref.core.errors import MediaError, UsageError
from uniref.inference.prompts import Objects
from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context
from uniref.inference.sinks import SINKS
from uniref.media.source import MediaSource, Selection
from uniref.media.video_read import VideoFile, why_not_decord, why_not_indexed
from uniref.media.video_write import VideoWriter

# read through decord; everything else through ffmpeg
FAST = {
    *("plain.mp4", "one-key-frame.mov", "fragmented.mp4", "no-edit-list.mp4", "hevc.mp4", "hevc-open-gop.mkv"),
    *("av1.mp4", "h264.mkv", "short-sound.mp4", "variable-rate.mp4", "variable-rate.mkv", "hd-colours.mp4"),
    *("full-range.mp4", "wide-gamut.mkv", "rgb.mkv", "anamorphic.mp4", "two-sounds.mkv", "trimmed.mkv", "slow.mp4"),
    *("ntsc.mp4", "fast.mkv", "camera-clock.mp4", "late-video.mp4", "late-video.mkv", "late-sound.mp4"),
    "cover-first.mp4",
}


QUICK = {
    *("plain.mp4", "h264.mkv", "variable-rate.mp4", "rgb.mkv", "trimmed.mp4", "broadcast-h264.ts", "xvid-b-frames.avi"),
    *("vp9.webm", "prores.mov", "turned.mp4", "webp", "cut.webp", "still.mp4", "overlong.mp4", "ycgco"),
}
"""What the quick tests read; the others are of the full ones."""


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_master(tmp_path_factory.mktemp("master") / "master.mkv")


def write(source: MediaSource, folder: Path, kind: str, selection: Selection | None = None) -> list[str]:
    """Write an output of frames in which nothing is found; returns the warnings."""
    selection = selection or Selection()
    warnings: list[str] = []
    folder.mkdir(exist_ok=True)
    context = Context(folder, source, Objects({}, {}, {}, [], None), selection.stride, True, warnings.append)
    sink = SINKS[kind](context)
    for frame in source.frames(selection):
        context.first = context.first or frame
        size = frame.image.shape[:2]
        sink.write(frame, FrameResult(frame.index, np.zeros(size, np.uint8), {}, {}, {}))
    sink.close()
    return warnings


@pytest.mark.parametrize("name", slow_except(QUICK, NAMES))
def test_container(name: str, master: Path, tmp_path: Path) -> None:
    path = make(name, tmp_path, master)
    truth, source = present(path), MediaSource(path)
    # what is read
    frames = list(source.frames(Selection()))
    assert len(frames) == len(truth.times)
    assert not any(frame.damaged for frame in frames)
    assert isinstance(source.video, VideoFile)
    assert (source.video.tail_lost, source.video.lacks_end) == (0, False)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert source.exact_frame_count() == len(frames)
    difference = np.abs(np.stack([frame.image for frame in frames]).astype(int) - truth.frames)
    assert difference.max() <= 1
    assert [frame.seconds for frame in frames] == pytest.approx(truth.times, abs=2e-3)
    gaps = np.diff([*truth.times])
    assert [frame.duration for frame in frames[:-1]] == pytest.approx(gaps, abs=3e-3)
    # by which program
    assert isinstance(source.video, VideoFile)
    assert (why_not_decord(source.video.info) is None) == (name in FAST), why_not_decord(source.video.info)
    # what is written
    assert write(source, tmp_path / "out", "overlay") == []
    check_overlay(present(tmp_path / "out" / "overlay.mp4"), truth)


def check_overlay(overlay: Presented, truth: Presented) -> None:
    """The overlay has the source's frames, times, distance of sound and picture, colours and shape."""
    assert len(overlay.times) == len(truth.times)
    between = [time - overlay.times[0] for time in overlay.times]
    assert between == pytest.approx([time - truth.times[0] for time in truth.times], abs=2e-3)
    assert (overlay.beep is None) == (truth.beep is None)
    if overlay.beep is not None and truth.beep is not None:
        assert overlay.beep - overlay.flash == pytest.approx(truth.beep - truth.flash, abs=0.03)
    # H.264 at quality 18 of small saturated patterns; a wrong matrix or range shifts the mean
    shift = (overlay.frames.astype(float) - truth.frames).mean((0, 1, 2))
    assert np.abs(shift).max() < 2.5
    assert np.abs(overlay.frames.astype(float) - truth.frames).mean() < 9
    assert overlay.aspect == truth.aspect
    if truth.tags["matrix"] == "gbr":  # frames that were RGB become BT.709, and say so
        assert overlay.tags["matrix"] == "bt709"
    else:
        assert overlay.tags["matrix"] == truth.tags["matrix"]
        assert overlay.tags["primaries"] == truth.tags["primaries"]
        assert (overlay.tags["range"] == "pc") == (truth.tags["range"] == "pc")


@pytest.mark.parametrize("name", slow_except(QUICK, ["webp", "apng", "png", "avif"]))
def test_animated_pictures_are_videos(name: str, master: Path, tmp_path: Path) -> None:
    codec = {"webp": "libwebp_anim", "avif": "libaom-av1"}.get(name, "apng")
    path, lossless = tmp_path / f"moving.{name}", ["-lossless", "1"] if name == "webp" else []
    more = (
        ["-crf", "0", "-cpu-used", "8", "-pix_fmt", "yuv444p"] if name == "avif" else ["-f", "apng"] * (codec == "apng")
    )
    ffmpeg("-i", master, "-an", "-c:v", codec, *lossless, *more, path)
    source = MediaSource(path)
    assert source.kind == "video"
    frames = list(source.frames(Selection()))
    truth = present(master if name == "avif" else path)  # ffmpeg shows the first frame of an AVIF alone
    assert len(frames) == source.frame_count == len(truth.times)
    difference = np.abs(np.stack([f.image for f in frames]).astype(int) - truth.frames)
    assert difference.mean() < (5 if name == "avif" else 1)
    assert [f.seconds for f in frames] == pytest.approx(truth.times, abs=0.01)
    assert [f.index for f in source.frames(Selection("0.4s", "0.9s"))] == list(range(5, 11))
    assert write(source, tmp_path / "out", "overlay") == []
    overlay = present(tmp_path / "out" / "overlay.mp4")
    assert overlay.times == pytest.approx(truth.times, abs=0.01)
    assert np.abs((overlay.frames.astype(float) - truth.frames).mean((0, 1, 2))).max() < 2.5


def test_a_still_picture_of_those_kinds_is_an_image(picture: np.ndarray, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a.webp", "a.png", "a.avif", "a.gif"):
        Image.fromarray(picture).save(tmp_path / name)
        assert MediaSource(tmp_path / name).kind == "image"


@pytest.mark.parametrize("name", ["cut.webp", "cut.apng", "cut.gif"])
def test_an_animation_that_breaks_off(name: str, master: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg("-i", master, "-an", *(["-c:v", "libwebp_anim"] if name == "cut.webp" else []), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source = MediaSource(path)
    frames = list(source.frames(Selection()))
    assert 10 < len(frames) < 20
    assert source.video is not None
    assert source.video.lacks_end or len(frames) + source.video.tail_lost == 24


@pytest.mark.parametrize(("kind", "file"), [("webm", "cutout.webm"), ("prores", "cutout.mov"), ("gif", "overlay.gif")])
@pytest.mark.parametrize(
    "name",
    slow_except(["rgb.mkv"], ["hd-colours.mp4", "variable-rate.mp4", "anamorphic.mp4", "camera.mts", "rgb.mkv"]),
)
def test_other_outputs_keep_frames_times_colours_and_shape(
    name: str, kind: str, file: str, master: Path, tmp_path: Path
) -> None:
    path = make(name, tmp_path, master)
    truth = present(path)
    assert write(MediaSource(path), tmp_path / "out", kind) == []
    written = present(tmp_path / "out" / file)
    assert len(written.times) == len(truth.times)
    between = [time - truth.times[0] for time in truth.times]
    assert written.times == pytest.approx(between, abs=0.011 if kind == "gif" else 2e-3)
    if kind == "gif":
        assert np.abs(written.frames.astype(float) - truth.frames).mean() < 12  # 256 colours
        return
    assert written.aspect == truth.aspect
    assert written.tags["matrix"] == ("bt709" if truth.tags["matrix"] == "gbr" else truth.tags["matrix"])
    assert written.tags["range"] in ("tv", "unknown")
    # nothing is found in these frames, but their colours stay under the transparency
    assert np.abs((written.frames.astype(float) - truth.frames).mean((0, 1, 2))).max() < 3


@pytest.mark.parametrize(
    "name",
    slow_except(
        ["plain.mp4", "trimmed.mp4"],
        ["plain.mp4", "trimmed.mp4", "broadcast-h264.ts", "dvd.vob", "xvid-b-frames.avi", "h264.mkv"],
    ),
)
def test_sound_of_a_part_stays_with_its_picture(name: str, master: Path, tmp_path: Path) -> None:
    path = make(name, tmp_path, master)
    truth = present(path)
    first = next(i for i, time in enumerate(truth.times) if time > 0.2)
    assert write(MediaSource(path), tmp_path / "out", "overlay", Selection(str(first), str(first + 20))) == []
    overlay = present(tmp_path / "out" / "overlay.mp4")
    assert truth.beep is not None
    assert overlay.beep is not None
    assert overlay.times[0] == 0
    assert overlay.flash == pytest.approx(truth.flash - truth.times[first], abs=2e-3)
    assert overlay.beep - overlay.flash == pytest.approx(truth.beep - truth.flash, abs=0.03)


@pytest.mark.parametrize("name", ["broadcast-h264.ts", "xvid-b-frames.avi", "vp9.webm", "late-video.mp4"])
def test_a_part_by_time_and_stride(name: str, master: Path, tmp_path: Path) -> None:
    path = make(name, tmp_path, master)
    truth, source = present(path), MediaSource(path)
    frames = list(source.frames(Selection("0.9s", None, 3)))
    wanted = [i for i, time in enumerate(truth.times) if time > 0.899][::3]
    assert [frame.index for frame in frames] == wanted
    assert all(np.abs(f.image.astype(int) - truth.frames[f.index]).max() <= 1 for f in frames)
    with pytest.raises(UsageError, match="after its end"):
        list(source.frames(Selection("99")))


@pytest.mark.parametrize("name", ["two-sizes.mp4", "two-sizes.ts"])
def test_a_change_of_size_is_told(name: str, master: Path, tmp_path: Path) -> None:
    source = MediaSource(make(name, tmp_path, master))
    assert {frame.image.shape for frame in source.frames(Selection())} == {(64, 96, 3)}
    assert source.video is not None
    assert source.video.resized == "48 x 32 from frame 24 on"


@pytest.mark.parametrize(
    "name", ["10:30.mp4", "http:clip.mp4", "-i.mp4", "100%d.mp4", "it's a [clip].mp4", "日本.mp4", b"caf\xe9.mp4"]
)
@pytest.mark.parametrize("origin", slow_except(["plain.mp4"], ["plain.mp4", "broadcast-h264.ts"]))
def test_any_file_name(name: str | bytes, origin: str, master: Path, tmp_path: Path, monkeypatch) -> None:
    path = make(origin, tmp_path, master).rename(tmp_path / os.fsdecode(name))
    monkeypatch.chdir(tmp_path)
    source = MediaSource(Path(path.name))
    assert len(list(source.frames(Selection()))) == 24
    assert write(source, Path("out"), "overlay") == []
    assert present(tmp_path / "out" / "overlay.mp4").beep == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("name", ["plain.mp4", "broadcast-h264.ts", "xvid-b-frames.avi", "dvd.vob", "h264.mkv"])
def test_damage_is_told_and_nothing_else(name: str, master: Path, tmp_path: Path) -> None:
    path = make(name, tmp_path, master)
    whole = len(present(path).times)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 800] = np.random.default_rng(0).bytes(800)
    path.write_bytes(data)
    left = len(present(path).times)
    frames = list(MediaSource(path).frames(Selection()))
    assert sum(not frame.damaged for frame in frames) == left
    assert len(frames) <= whole
    seconds = [frame.seconds for frame in frames]
    assert seconds == sorted(set(seconds))


def test_pictures_and_texts_are_no_videos(tmp_path: Path, picture: np.ndarray) -> None:
    """What ffmpeg would take for a video, but nobody else."""
    from PIL import Image

    Image.fromarray(picture).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("some notes\n" * 100)
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile a.png\n")
    for name in ("a.png", "notes.txt", "list.ffconcat"):
        with pytest.raises(MediaError, match="not a video"):
            VideoFile(tmp_path / name)


@pytest.mark.slow
def test_the_reasons(master: Path, tmp_path: Path) -> None:
    """Why a file is left to ffmpeg."""

    def why(name: str) -> tuple[str | None, str | None]:
        info = VideoFile(make(name, tmp_path, master)).info
        return why_not_indexed(info), why_not_decord(info)

    assert why("plain.mp4") == (None, None)
    assert why("trimmed.mp4") == ("edit list", "edit list")
    assert why("two-sizes.mp4") == (None, "size or format changes inside the stream")
    assert why("camera.mts") == ("container mpegts", "container mpegts")
    assert why("vp9.webm") == (None, "codec vp9")
    assert why("vp8-hidden-frames.webm") == ("codec vp8", "codec vp8")


OPEN_GOP = "log-level=none:keyint=8:min-keyint=8:open-gop=1:bframes=3:scenecut=0"
HARD_TO_SEEK = {
    "closed.mp4": [*X264, "-x264-params", "keyint=6:bframes=3:b-adapt=0"],
    "fragments.mp4": [*X264, "-bf", "3", "-g", "6", "-movflags", "frag_keyframe+empty_moov+default_base_moof"],
    "open-gop.mp4": [*X264, "-x264-params", "open-gop=1:keyint=6:bframes=3:b-adapt=0"],
    "open-gop.mkv": ["-c:v", "libx265", "-x265-params", OPEN_GOP, "-pix_fmt", "yuv420p"],
    "refresh.mp4": [*X264, "-x264-params", "intra-refresh=1:bframes=0:keyint=8"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "6"],
    "open-mpeg4.mp4": ["-c:v", "mpeg4", "-q:v", "2", "-bf", "2", "-g", "6"],
}


@pytest.mark.parametrize("far", [0, 1000], ids=["by seeking", "by decoding"])
@pytest.mark.parametrize("name", slow_except(["refresh.mp4", "open-gop.mkv"], HARD_TO_SEEK))
def test_every_frame_can_be_the_first(name: str, far: int, master: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("uniref.media.video_read._FAR", far)
    monkeypatch.setattr("uniref.media.video_read._SEEK_MARGIN", 0.2)
    path = tmp_path / name
    ffmpeg("-i", master, "-an", *HARD_TO_SEEK[name], path)
    truth = present(path)
    assert VideoFile(path).info.packets.closed == (not name.startswith(("open", "refresh")))
    for first in range(1, len(truth.times), 3):
        frames = list(VideoFile(path).frames(first, first + 3))
        assert [frame.index for frame in frames] == list(range(first, min(first + 3, len(truth.times))))
        assert all(np.abs(f.image.astype(int) - truth.frames[f.index]).max() <= 1 for f in frames)
    # going back and forth in one open file
    video = VideoFile(path)
    for first in (12, 3, 4, 20, 0):
        assert np.abs(next(video.frames(first)).image.astype(int) - truth.frames[first]).max() <= 1


@pytest.mark.slow
def test_a_playlist_of_an_interrupted_recording(master: Path, tmp_path: Path) -> None:
    """Without its end mark: all that is there, at once."""
    path = make("playlist.m3u8", tmp_path, master)
    path.write_text(path.read_text().replace("#EXT-X-ENDLIST", ""))
    assert len(list(MediaSource(path).frames(Selection()))) == 24


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cut.flv", ["-c:v", "flv1", "-q:v", "2", "-c:a", "libmp3lame", "-ar", "44100"]),
        ("cut.mxf", ["-r", "25", "-c:v", "mpeg2video", "-q:v", "2", "-g", "5", "-c:a", "pcm_s16le"]),
        ("cut.mkv", [*X264, "-g", "4", "-c:a", "pcm_s16le"]),
    ],
)
def test_a_file_that_breaks_off_says_how_much_is_lost(
    name: str, arguments: list[str], master: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    ffmpeg("-i", master, *arguments, path)
    whole = len(present(path).times)
    video = VideoFile(path)
    assert len(list(video.frames())) == whole
    assert video.tail_lost == 0
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cut = VideoFile(path)
    there = len(list(cut.frames()))
    assert 3 < there < whole - 3
    assert there + cut.tail_lost == pytest.approx(whole, abs=2)


@pytest.mark.parametrize("matrix", ["ycgco", "bt2020c", "ictcp", "smpte2085", "chroma-derived-nc"])
def test_rare_matrices_are_readable(matrix: str, master: Path, tmp_path: Path) -> None:
    path = tmp_path / "rare.mkv"
    tags = f"format=yuv420p,setparams=colorspace={matrix}:range=tv"
    ffmpeg("-i", master, "-an", "-vf", tags, *X264, "-bf", "0", path)
    source = MediaSource(path)
    assert len(list(source.frames(Selection()))) == 24
    assert write(source, tmp_path / "out", "overlay") == []
    assert present(tmp_path / "out" / "overlay.mp4").tags["matrix"] == "bt709"


@pytest.mark.parametrize(
    "tags", ["color_trc=smpte2084", "color_trc=arib-std-b67:colorspace=bt2020c", "color_trc=log100"]
)
def test_transfers_without_primaries_are_readable(tags: str, master: Path, tmp_path: Path) -> None:
    path = tmp_path / "tagged.mkv"
    x265 = ["-c:v", "libx265", "-x265-params", "log-level=none"]
    ffmpeg("-i", master, "-an", "-vf", f"format=yuv420p10le,setparams={tags}", *x265, path)
    assert len(list(MediaSource(path).frames(Selection()))) == 24


def test_content_decides_among_pictures_and_videos(master: Path, picture: np.ndarray, tmp_path: Path) -> None:
    from PIL import Image

    ffmpeg("-i", master, "-an", tmp_path / "a.gif")
    assert MediaSource((tmp_path / "a.gif").rename(tmp_path / "a.webp")).kind == "video"
    Image.fromarray(picture).save(tmp_path / "still.jpg")
    assert MediaSource((tmp_path / "still.jpg").rename(tmp_path / "still.mp4")).kind == "image"


def test_sound_that_an_edit_list_cuts_in_the_middle(master: Path, tmp_path: Path) -> None:
    """Half a second of picture and sound, then from one second on: the flash comes half a second earlier."""
    plain = tmp_path / "plain.mp4"
    ffmpeg("-i", master, *X264, "-bf", "0", "-g", "6", *AAC, plain)
    path = tmp_path / "edited.mp4"
    path.write_bytes(with_edits(plain.read_bytes(), [(0.5, 0.0), (1.0, 1.0)]))
    truth, source = present(path), MediaSource(path)
    assert isinstance(source.video, VideoFile)
    assert why_not_indexed(source.video.info) == "edit list"
    assert len(list(source.frames(Selection()))) == len(truth.times) == 18
    assert write(source, tmp_path / "out", "overlay") == []
    overlay = present(tmp_path / "out" / "overlay.mp4")
    assert truth.beep is not None
    assert overlay.beep is not None
    assert overlay.beep - overlay.flash == pytest.approx(truth.beep - truth.flash, abs=0.03)


# file -> frames that may be miscounted; None = the file does not say how many it had
CUT = {
    **dict.fromkeys(["ffv1.mkv", "vp9.webm", "trimmed.mkv", "h264.mkv", "frames.ivf", "sorenson.flv", "raw.avi"], 0),
    **dict.fromkeys(["xvid-b-frames.avi", "material.mxf"], 1),
    **dict.fromkeys(["h264.avi", "flash-video.flv", "theora.ogv"], 2),
    "windows.wmv": None,
}


@pytest.mark.parametrize("kept", [0.85, 0.6])
@pytest.mark.parametrize("name", slow_except({"ffv1.mkv", "h264.mkv", "raw.avi"}, list(CUT)))
def test_a_file_without_its_end_is_never_silent(name: str, kept: float, master: Path, tmp_path: Path) -> None:
    """Not even of the last few frames."""
    path = make(name, tmp_path, master)
    whole = len(present(path).times)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    video, tolerated = VideoFile(path), CUT[name]
    there = len(list(video.frames()))
    assert there < whole
    assert video.lacks_end or video.tail_lost
    assert tolerated is None or there + video.tail_lost == pytest.approx(whole, abs=tolerated)
    # a part before the end is whole
    part = VideoFile(path)
    list(part.frames(0, 1))
    assert there == 1 or (part.tail_lost, part.lacks_end) == (0, False)


@pytest.mark.parametrize("container", slow_except({"avi", "matroska"}, ["avi", "matroska", "asf", "ogg", "flv"]))
def test_a_file_that_was_written_to_a_pipe_is_whole(container: str, master: Path, tmp_path: Path) -> None:
    """Its header was written before its size was known."""
    path = tmp_path / f"piped.{container}"
    codec = "libtheora" if container == "ogg" else "flv1" if container == "flv" else "mpeg4"
    path.write_bytes(ffmpeg("-i", master, "-an", "-c:v", codec, "-q:v", "5", "-f", container, "pipe:1").stdout)
    video = VideoFile(path)
    assert len(list(video.frames())) == len(present(path).times)
    assert (video.tail_lost, video.lacks_end) == (0, False)


@pytest.mark.parametrize("name", ["still.mp4", "still.mkv", "still.mov"])
def test_a_last_frame_that_stays(name: str, master: Path, tmp_path: Path) -> None:
    """As screen recorders leave it: nothing is lost, and the overlay lasts as long."""
    path = tmp_path / name
    writer = VideoWriter(path, (48, 64), 25, time_base=Fraction(1, 1000))
    for index in range(10):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8), index / 25, 3.0 if index == 9 else None)
    writer.close()
    video = VideoFile(path)
    frames = list(video.frames())
    assert len(frames) == 10
    assert video.tail_lost == 0
    assert video.info.seconds > 3
    if name != "still.mkv":  # whose last block need not say how long it stays
        assert frames[-1].duration == pytest.approx(3.0, abs=0.05)
        assert write(MediaSource(path), tmp_path / "out", "overlay") == []
        assert VideoFile(tmp_path / "out" / "overlay.mp4").info.seconds == pytest.approx(video.info.seconds, abs=0.05)


def test_damage_counts_in_the_times_of_a_scan(master: Path, tmp_path: Path) -> None:
    """A frame has the same index by its time as in reading, damaged ones before it or not."""
    path = make("raw.avi", tmp_path, master).with_name("damaged.ts")
    ffmpeg("-i", master, *X264, "-bf", "0", "-g", "6", "-an", path)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 1500] = bytes(1500)
    path.write_bytes(data)
    video = VideoFile(path)
    frames = list(video.frames())
    assert video.exact_frame_count() == len(frames)
    assert [video.index_at(frame.seconds) for frame in frames] == [frame.index for frame in frames]
