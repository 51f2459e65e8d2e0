"""A clip with a flash and a beep at the same moment, in the containers that people have, and ffmpeg's view of it."""

from __future__ import annotations

import re
import struct
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np

FPS, SECONDS, FLASH = 12, 2, 1.0

X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
B_FRAMES = [*X264, "-g", "48", "-bf", "3", "-x264-params", "b-adapt=0"]
AAC = ["-c:a", "aac"]
BT709_TAGS = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"


def ffmpeg(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg and fail the test where it fails."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True, timeout=60)


def make_master(path: Path) -> Path:
    """The clip, lossless: a moving pattern that turns white for a quarter of a second, and a beep meanwhile."""
    flash = f"drawbox=enable='between(t,{FLASH - 0.01},{FLASH + 0.24})':color=white:t=fill"
    beep = f"aevalsrc='if(between(t,{FLASH},{FLASH + 0.25}),sin(2*PI*880*t)*0.8,0)':s=48000:d={SECONDS}"
    picture = f"testsrc2=s=96x64:r={FPS}:d={SECONDS},eq=brightness=-0.2,{flash},format=yuv420p,setsar=1"
    ffmpeg(*("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", beep), "-c:v", "ffv1", "-c:a", "pcm_s16le", path)
    return path


# file -> how ffmpeg makes it from the master; the part before the first dot only tells cases apart
CONTAINERS: dict[str, list[str]] = {
    "plain.mp4": [*B_FRAMES, *AAC],
    "one-key-frame.mov": [*B_FRAMES, "-c:a", "pcm_s16le"],
    "fragmented.mp4": [*B_FRAMES, *AAC, "-movflags", "frag_keyframe+empty_moov"],
    "no-edit-list.mp4": [*B_FRAMES, *AAC, "-use_editlist", "0"],
    "hevc.mp4": ["-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p", *AAC],
    "hevc-open-gop.mkv": ["-c:v", "libx265", "-x265-params", "log-level=none:keyint=6:open-gop=1:bframes=3", *AAC],
    "av1.mp4": ["-c:v", "libaom-av1", "-cpu-used", "8", "-pix_fmt", "yuv420p", *AAC],
    "mpeg4.mp4": ["-c:v", "mpeg4", "-q:v", "2", "-bf", "2", *AAC],
    "mpeg4.3gp": ["-c:v", "mpeg4", "-q:v", "2", *AAC],
    "prores.mov": ["-c:v", "prores_ks", "-c:a", "pcm_s24le"],
    "mjpeg.mov": ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"],
    "h264.mkv": [*B_FRAMES, "-c:a", "flac"],
    "vp8-hidden-frames.webm": ["-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "12", "-c:a", "libvorbis"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"],
    "ffv1.mkv": ["-c:v", "ffv1", "-c:a", "pcm_s16le"],
    "xvid-b-frames.avi": ["-c:v", "mpeg4", "-vtag", "XVID", "-q:v", "2", "-bf", "2", "-c:a", "libmp3lame"],
    "packed-b-frames.avi": ["-c:v", "libxvid", "-q:v", "2", "-bf", "2", "-c:a", "libmp3lame"],
    "h264.avi": [*B_FRAMES, "-c:a", "libmp3lame"],
    "raw.avi": ["-c:v", "rawvideo", "-pix_fmt", "uyvy422", "-c:a", "pcm_s16le"],
    "mpeg1.mpg": ["-r", "24", "-c:v", "mpeg1video", "-q:v", "2", "-bf", "2", "-c:a", "mp2"],
    "mpeg2.mpg": ["-r", "25", "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-c:a", "mp2"],
    "dvd.vob": ["-r", "25", "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-c:a", "ac3", "-f", "dvd"],
    "dvd-interlaced.vob": [
        *("-r", "25", "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-flags", "+ilme+ildct"),
        *("-c:a", "ac3", "-f", "vob"),
    ],
    "broadcast-mpeg2.ts": ["-r", "25", "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-c:a", "mp2"],
    "broadcast-h264.ts": [*B_FRAMES, *AAC],
    "broadcast-hevc.ts": ["-c:v", "libx265", "-x265-params", "log-level=none", *AAC],
    "open-gop.ts": [*X264, "-x264-params", "open-gop=1:keyint=6:bframes=3:b-adapt=0", "-c:a", "ac3"],
    "camera.mts": [*B_FRAMES, "-c:a", "ac3", "-f", "mpegts", "-mpegts_m2ts_mode", "1"],
    "clock-wraps.ts": [*B_FRAMES, *AAC, "-output_ts_offset", "95442.7"],
    "late-clock.ts": [*X264, "-bf", "0", *AAC, "-output_ts_offset", "50000"],
    "flash-video.flv": [*B_FRAMES, *AAC],
    "sorenson.flv": ["-c:v", "flv1", "-q:v", "2", "-c:a", "libmp3lame", "-ar", "44100"],
    "windows.wmv": ["-c:v", "wmv2", "-q:v", "2", "-c:a", "wmav2"],
    "theora.ogv": ["-c:v", "libtheora", "-q:v", "8", "-c:a", "libvorbis"],
    "material.mxf": ["-r", "25", "-c:v", "mpeg2video", "-q:v", "2", "-pix_fmt", "yuv422p", "-c:a", "pcm_s16le"],
    "bitstream.h264": [*B_FRAMES, "-an"],
    "bitstream.hevc": ["-c:v", "libx265", "-x265-params", "log-level=none", "-an"],
    "bitstream.m2v": ["-r", "25", "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-an"],
    "bitstream.mjpeg": ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p", "-an"],
    "frames.y4m": ["-an"],
    "frames.ivf": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-an"],
    "animation.gif": ["-an"],
    "short-sound.mp4": [*B_FRAMES, *AAC, "-af", "atrim=0:1.3"],
    "variable-rate.mp4": [*B_FRAMES, *AAC, "-vf", "select='not(between(n,3,9))'", "-fps_mode", "vfr"],
    "variable-rate.mkv": [*B_FRAMES, *AAC, "-vf", "select='not(between(n,14,20))'", "-fps_mode", "vfr"],
    "hd-colours.mp4": [*B_FRAMES, *AAC, "-vf", f"scale=out_color_matrix=bt709,format=yuv420p,{BT709_TAGS}"],
    "full-range.mp4": [*AAC, *X264, "-vf", "scale=out_range=pc,format=yuv420p,setparams=range=pc:colorspace=smpte170m"],
    "wide-gamut.mkv": [
        *(*AAC, "-c:v", "libx265", "-x265-params", "log-level=none"),
        "-vf",
        "scale=out_color_matrix=bt2020,format=yuv420p10le,"
        "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=bt2020-10:range=tv",
    ],
    "rgb.mkv": ["-c:v", "libx264rgb", "-crf", "10", "-c:a", "flac"],
    "anamorphic.mp4": [*B_FRAMES, *AAC, "-vf", "scale=48:64,setsar=2/1"],
    "anamorphic-pal.vob": [
        *("-r", "25", "-vf", "setsar=64/45", "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2"),
        *("-c:a", "ac3", "-f", "dvd"),
    ],
    "slow.mp4": [*B_FRAMES, *AAC, "-r", "5"],
    "ntsc.mp4": [*B_FRAMES, *AAC, "-r", "60000/1001"],
    "fast.mkv": [*B_FRAMES, *AAC, "-r", "480"],
    "camera-clock.mp4": [*B_FRAMES, *AAC, "-r", "30", "-video_track_timescale", "10000000"],
    "two-sounds.mkv": [*B_FRAMES, "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c:a:0", "aac", "-c:a:1", "flac"],
}

# file -> arguments before and after an input that is copied without encoding
COPIES: dict[str, tuple[str, list[str], list[str]]] = {
    "trimmed.mp4": ("plain.mp4", ["-ss", "0.7"], []),
    "trimmed.mov": ("plain.mp4", ["-ss", "0.35"], []),
    "trimmed.mkv": ("plain.mp4", ["-ss", "0.7"], []),
    "trimmed-negative.mkv": ("plain.mp4", ["-ss", "0.7"], ["-avoid_negative_ts", "disabled"]),
    "turned.mp4": ("anamorphic.mp4", ["-display_rotation", "90"], []),
    "mirrored.mp4": ("plain.mp4", ["-display_rotation", "0", "-display_hflip"], []),
    "askew.mp4": ("plain.mp4", ["-display_rotation", "37"], []),
    "upside-down.mov": ("plain.mp4", ["-display_rotation", "180"], []),
    "playlist.m3u8": ("broadcast-h264.ts", [], ["-f", "hls", "-hls_time", "1", "-hls_list_size", "0"]),
}


def make(name: str, folder: Path, master: Path) -> Path:
    """A file of the tables above, or of the cases that take two steps."""
    path = folder / name
    if name in CONTAINERS:
        ffmpeg("-i", master, *CONTAINERS[name], path)
    elif name in COPIES:
        origin, before, after = COPIES[name]
        ffmpeg(*before, "-i", make(origin, folder, master), "-map", "0", "-c", "copy", *after, path)
    else:
        _STEPS[name](path, master)
    return path


def _delayed(path: Path, master: Path, video: float, sound: float) -> None:
    whole = make("plain.mp4", path.parent, master)
    inputs = ["-itsoffset", str(video), "-i", whole, "-itsoffset", str(sound), "-i", whole]
    ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", path)


def _beginning_in_the_middle(path: Path, master: Path) -> None:
    """As a receiver records that is switched on at any moment."""
    data = make("broadcast-mpeg2.ts", path.parent, master).read_bytes()
    path.write_bytes(data[188 * (len(data) // 188 // 3) :])


def _one_after_the_other(path: Path, master: Path) -> None:
    """Two recordings in one file: the clock starts again."""
    data = make("late-clock.ts", path.parent, master).read_bytes()
    path.write_bytes(data + make("broadcast-h264.ts", path.parent, master).read_bytes())


def _with_a_leap(path: Path, master: Path) -> None:
    """A clock that is ten years ahead from the second half on."""
    leap = f"setts=ts=TS+gte(N\\,{FPS})*315576000000"
    ffmpeg("-i", master, "-an", *X264, "-bf", "0", "-bsf:v", leap, path)


def _of_two_sizes(path: Path, master: Path) -> None:
    pieces = []
    for size in ("96:64", "48:32", "64:96"):
        pieces.append(path.with_name(f"{size.replace(':', 'x')}.h264"))
        ffmpeg("-i", master, "-an", "-vf", f"scale={size},setsar=1", *X264, "-bf", "0", pieces[-1])
    joined = path.with_name("joined.h264")
    joined.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    ffmpeg("-r", str(FPS), "-i", joined, "-c", "copy", path)


def _with_a_cover(path: Path, master: Path) -> None:
    cover = path.with_name("cover.jpg")
    ffmpeg("-i", master, "-frames:v", "1", cover)
    inputs = ["-i", cover, "-i", make("plain.mp4", path.parent, master)]
    ffmpeg(*inputs, "-map", "0:v", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic", path)


_STEPS = {
    "late-video.mp4": lambda path, master: _delayed(path, master, 0.7, 0.0),
    "late-video.mkv": lambda path, master: _delayed(path, master, 0.45, 0.0),
    "late-sound.mp4": lambda path, master: _delayed(path, master, 0.0, 0.7),
    "late-sound.ts": lambda path, master: _delayed(path, master, 0.0, 0.3),
    "from-the-middle.ts": _beginning_in_the_middle,
    "clock-leaps.mkv": _with_a_leap,
    "two-recordings.ts": _one_after_the_other,
    "two-sizes.mp4": _of_two_sizes,
    "two-sizes.ts": _of_two_sizes,
    "cover-first.mp4": _with_a_cover,
}
NAMES = [*CONTAINERS, *COPIES, *_STEPS]


@dataclass
class Presented:
    """A video as ffmpeg presents it."""

    times: list[float]
    frames: np.ndarray
    """[T, H, W, 3]"""
    beep: float | None
    """Seconds; None without sound."""
    tags: dict[str, str]
    aspect: Fraction

    @property
    def flash(self) -> float:
        """When the first frame is shown whose middle is white."""
        rows, columns = (slice(size // 4, size - size // 4) for size in self.frames.shape[1:3])
        middle = self.frames[:, rows, columns].mean((1, 2, 3))
        return next(time for time, light in zip(self.times, middle, strict=True) if light > 235)


def present(path: Path) -> Presented:
    """Ask ffmpeg for everything about a video; nothing of the package is used."""
    source = ["-i", str(path)]
    raw = ["-map", "0:V:0", "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    shown = ffmpeg("-v", "repeat+info", *source, "-vf", "showinfo=checksum=0", *raw)
    messages = shown.stderr.decode("utf-8", "replace")
    times = [float(t) for t in re.findall(r"pts_time: *(-?[\d.]+)", messages)]
    frames = np.frombuffer(shown.stdout, np.uint8).reshape(len(times), *_size(messages), 3)
    tag = r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)"
    tags = dict(zip(("range", "matrix", "primaries", "transfer"), re.findall(tag, messages)[0], strict=True))
    aspect = Fraction(re.findall(r" sar:(\S+) ", messages)[0]) or Fraction(1)
    return Presented(times, frames, _beep(source, messages), tags, aspect)


def _size(messages: str) -> tuple[int, int]:
    width, height = re.findall(r"Video: rawvideo.*?, (\d+)x(\d+)[ ,]", messages)[-1]
    return int(height), int(width)


def _beep(source: list[str], messages: str) -> float | None:
    if "Audio:" not in messages:
        return None
    whole = ["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", "8000", "-f", "s16le", "-"]
    sound = np.frombuffer(ffmpeg(*source, *whole).stdout, np.int16)
    return float(np.flatnonzero(np.abs(sound.astype(int)) > 3000)[0]) / 8000


def with_edits(data: bytes, edits: list[tuple[float, float]]) -> bytes:
    """An MP4 whose tracks all show these pieces, (seconds, from where) each, one after the other.

    The boxes of ISO 14496-12: `moov` has a `trak` per track, its `edts` holds the edit list `elst`, and the times in it
    are in units of the `mdhd` of the track, durations in those of the `mvhd` of the file.
    """
    moov = next(box for box in _boxes(data) if box[0] == b"moov")
    movie_scale = struct.unpack(">I", next(b for n, b in _boxes(moov[1]) if n == b"mvhd")[12:16])[0]
    inside = b""
    for name, body in _boxes(moov[1]):
        inside += _box(name, _edited(body, movie_scale, edits) if name == b"trak" else body)
    # the index stands behind the frames, whose places must not move
    assert data.index(b"moov") > data.index(b"mdat")
    return b"".join(_box(name, inside if name == b"moov" else body) for name, body in _boxes(data))


def _edited(trak: bytes, movie_scale: int, edits: list[tuple[float, float]]) -> bytes:
    parts = dict(_boxes(trak))
    scale = struct.unpack(">I", dict(_boxes(parts[b"mdia"]))[b"mdhd"][12:16])[0]
    # what the encoder's delay takes off the beginning stays taken off
    delay = struct.unpack(">i", dict(_boxes(parts[b"edts"]))[b"elst"][12:16])[0] if b"edts" in parts else 0
    rows = [struct.pack(">IiI", round(d * movie_scale), delay + round(at * scale), 1 << 16) for d, at in edits]
    elst = _box(b"elst", struct.pack(">II", 0, len(rows)) + b"".join(rows))
    rest = [_box(name, body) for name, body in _boxes(trak) if name not in (b"edts", b"tkhd")]
    return _box(b"tkhd", parts[b"tkhd"]) + _box(b"edts", elst) + b"".join(rest)


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        found.append((data[at + 4 : at + 8], data[at + 8 : at + size]))
        at += size
    return found


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body
