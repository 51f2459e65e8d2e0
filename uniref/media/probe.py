"""Streams, frame times and colours of a video file, as ffmpeg reports them, without decoding a frame.

ffmpeg decides which frames a video shows and when: edit lists applied, times counted from the
file's start (over all its streams), in presentation order.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError
from uniref.core.files import first_line
from uniref.media.ffmpeg import input_arguments, run_ffmpeg, running_ffmpeg
from uniref.media.truncation import says_cut_off
from uniref.media.video_colors import VP8_COLORS, ColorTags

NO_TIME = np.iinfo(np.int64).min
"""A packet's timestamp where the container gives none (AV_NOPTS_VALUE)."""

_ENOUGH = 1 << 20  # bytes of messages
_KEY, _CORRUPT, _DISCARD = 1, 2, 4  # AV_PKT_FLAG_KEY, AV_PKT_FLAG_CORRUPT, AV_PKT_FLAG_DISCARD
_BROADCAST = ("mpegts", "mpeg")  # whose packets are corrupt where something was lost on the way, too
_FAULT = re.compile(r"^(.*)\[(?:error|fatal|panic)\] (.*)$", re.M)
_NOT_VIDEO = re.compile(
    r"_pipe$|^(image2|tty|concat|dash|imf|libgme)$"
)  # formats that ffmpeg calls video, but that are images or playlists
_JPEGS = (".mjpeg", ".mjpg")  # a sequence of JPEGs; images have other extensions
_INPUT = re.compile(r"^Input #0, (\S+), from ", re.M)
_DURATION = re.compile(r"(?:Duration|DURATION +): (\d+):(\d+):(\d+(?:\.\d+)?)")
_STREAM = re.compile(r"^ *Stream #0:(\d+)\S*: (Video|Audio): (.*)$", re.M)
_ROTATION = re.compile(r"rotation of (-?\d+(?:\.\d+)?) degrees")
_SIZE = re.compile(r"[ ,](\d+)x(\d+)(?=[ ,\[]|$)")
_ASPECT = re.compile(r"SAR (\d+):(\d+)")
_RATE = re.compile(r"([\d.]+k?) (fps|tbr)")


@dataclass(frozen=True)
class Packets:
    """The compressed frames of a video stream, in the order of the file."""

    times: npt.NDArray[np.int64]
    """Presentation timestamps, [N], in units of `time_base`, from the file's start; `NO_TIME` where there is none."""
    time_base: Fraction
    last_duration: int
    """How long the frame that is shown last stays, in units of `time_base`; 0 = not said."""
    starts_with_key: bool
    discarded: bool
    """An edit list hides some of them."""
    steady: bool
    """The decoder's parameters (size, pixel format) stay the same all through, as far as is known."""
    closed: bool
    """Decoding can begin at every key frame: each is a real one (no recovery point), and no frame after it in the file
    is shown before it (open GOP)."""
    error: str | None
    """The first error that ffmpeg reported while reading the packets."""
    cut_off: bool
    """ffmpeg reported that the file lacks its end."""

    @property
    def ordered(self) -> bool:
        """Every packet has a time of its own, and the first one is shown first."""
        if not len(self.times) or (self.times == NO_TIME).any():
            return False
        return bool(self.times[0] == self.times.min() and len(np.unique(self.times)) == len(self.times))

    @property
    def span(self) -> float:
        """Seconds from the file's start to the last time."""
        return float(int(self.times.max()) * self.time_base) if len(self.times) else 0.0

    @property
    def longest_step(self) -> float:
        """Seconds between the two times that are furthest apart, of those that follow each other."""
        steps = np.diff(np.sort(self.times))
        return float(steps.max() * self.time_base) if len(steps) else 0.0


@dataclass(frozen=True)
class VideoInfo:
    """A video file's first video stream (cover images are not counted)."""

    container: str
    """ffmpeg's names of the format: "mov,mp4,m4a,3gp,3g2,mj2"."""
    codec: str
    pixel_format: str
    stored_size: tuple[int, int]
    """(height, width) before the frame is turned upright."""
    rotation: int | None
    """Degrees that a player turns the frame by, as far as ffmpeg says: it may mirror it besides. None = as stored."""
    pixel_aspect: Fraction
    """Width of a pixel as shown (upright) over its height."""
    colors: ColorTags
    fps: float | None
    seconds: float
    """Duration that the file announces; 0 = none."""
    video_seconds: float
    """Until when the file announces video: the stream's own duration if told, else `seconds`; sound may be longer."""
    video_streams: int
    audio_codec: str | None
    """Of the first audio stream; None = silent."""
    other_streams: bool
    """There are streams besides video and sound: subtitles, data."""
    packets: Packets = field(repr=False)

    @property
    def hdr(self) -> bool:
        """High dynamic range: PQ or HLG."""
        return self.colors.transfer in ("smpte2084", "arib-std-b67")


def probe(path: Path) -> VideoInfo:
    """Read a file's headers and the timestamps of its packets.

    Raises:
        MediaError: Not a video, or one without frames.
    """
    # the headers
    _, text = run_ffmpeg(input_arguments(path))
    container, streams = _INPUT.search(text), _streams(text)
    videos = [s for s in streams if s.kind == "Video" and "(attached pic)" not in s.text]
    odd = container is None or (_NOT_VIDEO.search(container[1].split(",")[0]) and path.suffix.lower() not in _JPEGS)
    if container is None or odd or not videos:
        raise MediaError(f"{path}: is not a video that can be read (damaged, or no video stream)")
    video = min(videos, key=lambda stream: stream.index)
    audio = [s.text for s in streams if s.kind == "Audio"]
    # the packets
    codec = video.text.split(" ")[0].rstrip(",")
    packets = read_packets(path, container[1], codec)
    if not len(packets.times):
        raise MediaError(f"{path}: holds no video frames that can be read")
    # the description
    height, width = video.size
    aspect = video.pixel_aspect
    return VideoInfo(
        container=container[1],
        codec=codec,
        pixel_format=video.pixel_format,
        stored_size=(height, width),
        rotation=video.rotation,
        pixel_aspect=1 / aspect if video.rotation in (90, 270) else aspect,
        colors=VP8_COLORS if codec == "vp8" and video.colors.matrix is None else video.colors,
        fps=video.fps,
        seconds=_announced(text),
        video_seconds=video.seconds or _announced(text),
        video_streams=len(videos),
        other_streams=re.search(r"^ *Stream #0:\d+\S*: (?!Video|Audio)", text, re.M) is not None,
        audio_codec=audio[0].split(" ")[0].rstrip(",") if audio else None,
        packets=packets,
    )


@dataclass(frozen=True)
class Header:
    """What ffmpeg says about an input that is read once, before its first frame."""

    fps: float | None
    seconds: float
    """Duration that it announces; 0 = none."""
    video_seconds: float = 0.0
    """Until when it announces video; 0 = unknown, as where there is sound, which may be longer."""
    refused: str = ""
    """Why it is not read, for a message."""


def parse_header(text: str) -> Header | None:
    """The header of an input, of the lines that ffmpeg prints about it; None where they describe no input."""
    container = _INPUT.search(text)
    videos = [s for s in _streams(text) if s.kind == "Video" and "(attached pic)" not in s.text]
    if container is None:
        return None
    if not videos:
        return Header(None, 0.0, refused="holds no video")
    if _NOT_VIDEO.search(container[1].split(",")[0]):
        return Header(None, 0.0, refused="is an image or a list of files, not a video; download it first")
    video, silent = min(videos, key=lambda stream: stream.index), all(s.kind == "Video" for s in _streams(text))
    seconds = _announced(text)
    return Header(video.fps, seconds, video.seconds or (seconds if silent else 0.0))


def _announced(text: str) -> float:
    """Seconds that ffmpeg says an input lasts; 0 = unknown."""
    duration = _DURATION.search(text)
    return int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration else 0.0


@dataclass(frozen=True)
class _Stream:
    """A line that ffmpeg prints about a stream, with the lines of its side data."""

    index: int
    kind: str
    text: str
    details: str

    @property
    def size(self) -> tuple[int, int]:
        match = _SIZE.search(self.text)
        return (int(match[2]), int(match[1])) if match else (0, 0)

    @property
    def rotation(self) -> int | None:
        match = _ROTATION.search(self.details)
        return round(float(match[1])) % 360 if match else None

    @property
    def pixel_aspect(self) -> Fraction:
        aspects = _ASPECT.findall(self.text)  # the container's, which counts, comes after the codec's
        width, height = (int(number) for number in aspects[-1]) if aspects else (1, 1)
        return Fraction(width, height) if width and height else Fraction(1)

    @property
    def seconds(self) -> float:
        """When it ends, as Matroska says; 0 = unknown."""
        return _announced(self.details)

    @property
    def fps(self) -> float | None:
        rates = {unit: float(value.replace("k", "e3")) for value, unit in _RATE.findall(self.text)}
        rate = rates.get("fps") or rates.get("tbr")
        return rate if rate and rate < 1e4 else None

    @property
    def _pixels(self) -> tuple[str, list[str]]:
        """Pixel format and the tags in brackets behind it, just before the size."""
        match = re.search(r"(?:^|, )(\w+)(?:\(([^()]*)\))?, \d+x\d+", self.text)
        return (match[1], (match[2] or "unknown").split(", ")) if match else ("", [])

    @property
    def pixel_format(self) -> str:
        return self._pixels[0]

    @property
    def colors(self) -> ColorTags:
        pixel_format, tags = self._pixels
        full = "pc" in tags or pixel_format.startswith("yuvj")
        names = [w for w in tags if w not in ("tv", "pc") and not re.search(r"progressive|first|swapped|alpha", w)]
        matrix, primaries, transfer = (names[0].split("/") * 3)[:3] if names else ["unknown"] * 3
        if matrix == "unknown" and re.match(r"(rgb|bgr|gbr|argb|abgr|pal8|0rgb|0bgr|x2)", pixel_format):
            matrix = "gbr"
        return ColorTags(_specified(matrix), _specified(primaries), _specified(transfer), full)


def _specified(name: str) -> str | None:
    return None if name in ("", "unknown", "reserved", "unspecified") else name


def _streams(text: str) -> list[_Stream]:
    matches = list(_STREAM.finditer(text))
    ends = [*(match.start() for match in matches[1:]), len(text)]
    return [_Stream(int(m[1]), m[2], m[3], text[m.end() : end]) for m, end in zip(matches, ends, strict=False)]


# filters of packets that repeat the decoder's parameters beside every key frame
_PARAMETERS = {
    "h264": "h264_mp4toannexb,extract_extradata",
    "hevc": "hevc_mp4toannexb,extract_extradata",
    "av1": "extract_extradata",
}


def read_packets(path: Path, container: str, codec: str) -> Packets:
    """The packets of a file's first video stream, read without decoding."""
    if codec in _PARAMETERS:
        packets = _read_packets(path, container, codec, _PARAMETERS[codec])
        if packets.error is None:
            return packets
    return _read_packets(path, container, codec, None)  # such a filter drops damaged packets


def sound_ends(path: Path) -> float:
    """Start of the last packet of a file's first audio stream, in seconds from the file's start; 0 without sound."""
    arguments = ["-v", "error", *input_arguments(path), "-map", "0:a:0", "-c", "copy", "-f", "framecrc", "-"]
    _, output = run_ffmpeg(arguments)
    base = re.search(r"^#tb 0: (\d+)/(\d+)", output, re.M)
    times = re.findall(r"^0, +-?\d+, +(\d+), ", output, re.M)
    return max(map(int, times)) * int(base[1]) / int(base[2]) if base and times else 0.0


def _read_packets(path: Path, container: str, codec: str, packet_filter: str | None) -> Packets:
    arguments = ["-hide_banner", "-nostdin", "-nostats", "-v", "level+warning", *input_arguments(path)]
    arguments += ["-map", "0:V:0", "-copyinkf"]
    arguments += ["-c", "copy", *(["-bsf:v", packet_filter] if packet_filter else []), "-f", "framecrc", "-"]
    # times, flags and parameters of every packet
    times: list[int] = []
    flags, flags_seen, first_flags, base = 0, 0, 0, Fraction(1, 1000)
    key_time, closed = NO_TIME, True
    last_time, last_duration = NO_TIME, 0
    parameters: set[str] = set()
    with (
        tempfile.TemporaryFile() as messages,
        running_ffmpeg(arguments, stdout=subprocess.PIPE, stderr=messages) as child,
    ):
        assert child.stdout is not None
        for raw in child.stdout:
            line = raw.decode("utf-8", "replace")
            if match := re.match(r"0, +-?\d+, +(-?\d+), +(\d+), ", line):
                times.append(int(match[1]))
                if times[-1] >= last_time:
                    last_time, last_duration = times[-1], int(match[2])
                flag = re.search(r", F=0x([0-9A-Fa-f]+)", line)
                flags = int(flag[1], 16) if flag else _KEY
                first_flags = flags if len(times) == 1 else first_flags
                flags_seen |= flags
                if new := re.search(r"New Extradata, +\d+, (0x\w+)", line):
                    parameters.add(new[1])
                if flags & _KEY:
                    # the filters put parameters before real key frames only
                    key_time, closed = times[-1], closed and (new is not None or packet_filter is None)
                closed = closed and times[-1] >= key_time
            elif match := re.match(r"#tb 0: (\d+)/(\d+)", line):
                base = Fraction(int(match[1]), int(match[2]))
        child.wait()
        messages.seek(0)
        said = messages.read(_ENOUGH).decode("utf-8", "replace")
    fault = _FAULT.search(said)
    return Packets(
        np.array(times, np.int64),
        base,
        last_duration,
        bool(first_flags & _KEY),
        bool(flags_seen & _DISCARD),
        packet_filter is not None and len(parameters) <= 1,
        closed and (packet_filter is not None or codec not in _PARAMETERS),
        first_line(fault[1] + fault[2]) if fault else None,
        says_cut_off(said, container) or (bool(flags & _CORRUPT) and container not in _BROADCAST),
    )
