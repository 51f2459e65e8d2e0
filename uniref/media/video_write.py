"""Videos written frame by frame by imageio's ffmpeg, each frame at its own time."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError
from uniref.core.files import first_line
from uniref.media.ffmpeg import input_arguments, output_argument, run_ffmpeg, start_ffmpeg, widen_pipe
from uniref.media.frame import writing_base
from uniref.media.image import fitted
from uniref.media.probe import VideoInfo
from uniref.media.video_colors import BT709, UNTAGGED, ColorTags

_NANOSECONDS = 10**9
_UNKNOWN_LENGTH = b"\x01" + b"\xff" * 7  # until the stream ends

# element ids of RFC 9559
_EBML, _DOC_TYPE = b"\x1a\x45\xdf\xa3", b"\x42\x82"
_DOC_VERSION, _DOC_READ_VERSION = b"\x42\x87", b"\x42\x85"
_SEGMENT, _INFO, _TIMESTAMP_SCALE = b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66", b"\x2a\xd7\xb1"
_MUXING_APP, _WRITING_APP = b"\x4d\x80", b"\x57\x41"
_TRACKS, _TRACK_ENTRY = b"\x16\x54\xae\x6b", b"\xae"
_TRACK_NUMBER, _TRACK_UID, _TRACK_TYPE = b"\xd7", b"\x73\xc5", b"\x83"
_CODEC_ID, _DEFAULT_DURATION = b"\x86", b"\x23\xe3\x83"
_VIDEO, _WIDTH, _HEIGHT, _COLOUR_SPACE = b"\xe0", b"\xb0", b"\xba", b"\x2e\xb5\x24"
_CLUSTER, _TIMESTAMP = b"\x1f\x43\xb6\x75", b"\xe7"
_BLOCK_GROUP, _BLOCK, _BLOCK_DURATION = b"\xa0", b"\xa1", b"\x9b"


def stream_header(height: int, width: int, alpha: bool, fps: float) -> bytes:
    """The beginning of a stream of uint8 RGB or RGBA frames.

    Args:
        height: Of every frame.
        width: Of every frame.
        alpha: RGBA instead of RGB.
        fps: Nominal rate, a hint.
    """
    document = _element(_DOC_TYPE, b"matroska") + _number(_DOC_VERSION, 4) + _number(_DOC_READ_VERSION, 2)
    info = _number(_TIMESTAMP_SCALE, 1) + _element(_MUXING_APP, b"uniref") + _element(_WRITING_APP, b"uniref")
    pixels = b"RGBA" if alpha else b"RGB\x18"
    video = _number(_WIDTH, width) + _number(_HEIGHT, height) + _element(_COLOUR_SPACE, pixels)
    track = (
        *(_number(_TRACK_NUMBER, 1), _number(_TRACK_UID, 1), _number(_TRACK_TYPE, 1)),
        *(_element(_CODEC_ID, b"V_UNCOMPRESSED"), _number(_DEFAULT_DURATION, max(1, round(_NANOSECONDS / fps)))),
        _element(_VIDEO, video),
    )
    tracks = _element(_TRACKS, _element(_TRACK_ENTRY, b"".join(track)))
    return _element(_EBML, document) + _SEGMENT + _UNKNOWN_LENGTH + _element(_INFO, info) + tracks


def frame_header(size: int, seconds: Fraction, duration: Fraction) -> bytes:
    """The bytes before a frame of `size` bytes that is shown at `seconds` for `duration` seconds."""
    # the duration goes before the frame, so that nothing has to follow it
    length = _number(_BLOCK_DURATION, round(duration * _NANOSECONDS))
    block = b"\x81" + struct.pack(">hB", 0, 0)  # track 1, at the cluster's time, no flags
    group = length + _BLOCK + _length(len(block) + size) + block
    cluster = _number(_TIMESTAMP, round(seconds * _NANOSECONDS)) + _BLOCK_GROUP + _length(len(group) + size) + group
    return _CLUSTER + _length(len(cluster) + size) + cluster


def _element(name: bytes, content: bytes) -> bytes:
    return name + _length(len(content)) + content


def _number(name: bytes, value: int) -> bytes:
    return _element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _length(size: int) -> bytes:
    """A length in eight bytes, which holds any."""
    return (size | 1 << 56).to_bytes(8, "big")


_CODECS: dict[str, list[str]] = {
    # without B-frames: MP4 keeps durations in the order of decoding, so that a last frame that stays would be cut short
    "libx264": ["-crf", "18", "-preset", "veryfast", "-bf", "0", "-movflags", "+faststart"],
    "libvpx-vp9": ["-crf", "24", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "6"],
    "prores_ks": ["-profile:v", "4444"],
    "gif": ["-loop", "0"],
}
# a palette of its own for every frame: one for all would need all frames at once
_PALETTE = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=bayer:bayer_scale=4"
# ffmpeg's names of a matrix as a tag and in its scale filter
_MATRICES = {
    "bt709": "bt709",
    "fcc": "fcc",
    "bt470bg": "bt470",
    "smpte170m": "smpte170m",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_UNTAGGED_MATRIX = "bt601"  # what ffmpeg takes an untagged video for when it reads one
_SAR_LIMIT = 65535  # H.264's 16 bits for each side of a pixel
_PATIENCE = 10  # seconds to wait for a failed encoder to end
# sound that players understand inside an mp4; anything else is re-encoded
_MP4_SOUND = ("aac", "mp3", "ac3", "eac3", "alac", "opus")


@dataclass(frozen=True)
class VideoStyle:
    """Colour tags and pixel shape of a video."""

    colors: ColorTags = UNTAGGED
    """Tags to write, and the matrix to encode with."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel as shown over its height."""


class VideoWriter:
    """A video of the frames' own size: H.264 mp4 by default.

    Args:
        path: File to write; it is overwritten. The extension selects the container.
        size: (height, width) of the frames.
        fps: Frames per second, for frames that are written without a time.
        codec: "libx264", "libvpx-vp9", "prores_ks" or "gif".
        alpha: Frames are RGBA and their transparency is kept (VP9 and ProRes only).
        time_base: The unit in which times are kept exactly; by default that of `fps`.
        look: Colour tags and shape of the pixels.
        crf: Constant rate factor of H.264 and VP9, less is better; by default the codec's of this module.

    Raises:
        MediaError: ffmpeg cannot be started.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, ...],
        fps: float,
        codec: str = "libx264",
        alpha: bool = False,
        time_base: Fraction | None = None,
        look: VideoStyle | None = None,
        crf: int | None = None,
    ) -> None:
        # times in ticks of the time base
        self.path = Path(path)
        height, width = self._size = (size[0], size[1])
        self._interval = 1 / Fraction(fps).limit_denominator(100_000)  # 29.97003 becomes 30000/1001
        self._base = time_base or writing_base(self._interval)
        self._tick, self._frames = -1, 0
        # start the encoder
        arguments = ["-hide_banner", "-nostats", "-v", "error", "-y", "-f", "matroska", "-i", "pipe:0", "-an"]
        arguments += ["-fps_mode", "passthrough", "-enc_time_base", f"{self._base.numerator}:{self._base.denominator}"]
        arguments += ["-vf", _filters(codec, height, width, look or VideoStyle())]
        arguments += ["-c:v", codec, *_CODECS[codec], *(["-crf", str(crf)] if crf is not None else []), "-threads", "1"]
        try:
            self._process = start_ffmpeg(
                [*arguments, output_argument(self.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise MediaError(f"{path}: cannot start the video encoder ({first_line(error)})") from None
        assert self._process.stdin is not None
        widen_pipe(self._process.stdin)
        self._said: deque[bytes] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._send(stream_header(height, width, alpha, float(1 / self._interval)))

    def _listen(self) -> None:
        assert self._process.stderr is not None
        self._said.extend(self._process.stderr)

    def write(self, frame: npt.NDArray[np.uint8], seconds: float | None = None, duration: float | None = None) -> None:
        """Append a frame, uint8 [H, W, 3 or 4].

        Args:
            frame: One of another size than the writer was made for is scaled into it as a whole.
            seconds: When it is shown, from the video's start; by default one frame of `fps` after the one before.
                Times that do not grow are moved by the smallest step.
            duration: How long it is shown; counts for the last frame only.

        Raises:
            MediaError: The encoder fails (disk full, say).
        """
        if frame.shape[:2] != self._size:
            frame = fitted(frame, self._size)
        time = self._frames * self._interval if seconds is None else Fraction(seconds)
        self._tick = max(round(time / self._base), self._tick + 1)
        self._frames += 1
        length = self._interval if duration is None or duration <= 0 else Fraction(duration)
        self._send(frame_header(frame.nbytes, self._tick * self._base, length))
        self._send(np.ascontiguousarray(frame).data)

    def _send(self, data: bytes | memoryview) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except (OSError, ValueError):
            raise self._failure() from None

    def close(self) -> None:
        """Finish the file. Raises MediaError where the encoder failed; the file is not a valid video then."""
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):  # it stopped before; its exit code says so
            self._process.stdin.close()
        code = self._process.wait()
        self._listener.join()
        self._process.stderr.close()
        if code != 0:
            raise self._failure()

    def _failure(self) -> MediaError:
        with contextlib.suppress(subprocess.TimeoutExpired):  # it is about to end
            self._process.wait(_PATIENCE)
            self._listener.join(_PATIENCE)
        said = b"".join(self._said).decode("utf-8", "replace").splitlines()
        reasons = [line.rpartition(": ")[2] for line in said if "rror" in line]
        return MediaError(f"{self.path}: cannot be written ({reasons[0] if reasons else 'the encoder stopped'})")


def _filters(codec: str, height: int, width: int, look: VideoStyle) -> str:
    """ffmpeg's filters from RGB to the colours, tags and shape that the video is to have."""
    if codec == "gif":
        return _PALETTE
    colors = look.colors
    # a matrix that cannot be encoded with is replaced by the usual one, and so are the tags beside it
    if colors.matrix is not None and colors.matrix not in _MATRICES:
        colors = BT709
    full = colors.full_range and codec != "prores_ks"  # ProRes has no tag for it
    matrix, values = _MATRICES[colors.matrix] if colors.matrix else _UNTAGGED_MATRIX, "pc" if full else "tv"
    scale = f"scale=out_color_matrix={matrix}:out_range={values}:flags=bicubic+accurate_rnd+full_chroma_int"
    tags = f"range={values}:colorspace={colors.matrix or 'unknown'}"
    tags += f":color_primaries={colors.primaries or 'unknown'}:color_trc={colors.transfer or 'unknown'}"
    aspect = look.pixel_aspect.limit_denominator(_SAR_LIMIT)
    shape = f"setsar={aspect.numerator}/{aspect.denominator}:max={_SAR_LIMIT}"
    return f"{scale},format={_pixel_format(codec, height, width)},setparams={tags},{shape}"


def _pixel_format(codec: str, height: int, width: int) -> str:
    """4:2:0 needs even sides; an odd size is kept exactly by full-resolution colour instead of a resize."""
    if codec == "prores_ks":
        return "yuva444p10le"
    if codec == "libvpx-vp9":
        return "yuva420p"  # VP9 rounds odd sides itself
    return "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"


def add_audio(video: Path, source: Path, info: VideoInfo, start: float, length: float, seek: bool) -> str | None:
    """Add the sound of a source to a finished video, in place, with the same offset to the frames.

    Uncut sound is copied if players can read it inside an mp4, otherwise encoded as AAC. It ends with the last frame.

    Args:
        video: The video, whose first frame is at 0.
        source: A file.
        info: Its streams; without sound, nothing is done.
        start: When the video's first frame is shown in the source, in seconds from the source's start. Positive: the
            sound from there on. Negative: the video begins that much after the sound.
        length: Duration of the video in seconds.
        seek: ffmpeg can seek by time in the source's container.

    Returns:
        None, or why the sound could not be kept (the video stays as it was).
    """
    if info.audio_codec is None:
        return None
    # where to cut or delay the sound
    joined = video.with_name(f"{video.stem}.audio{video.suffix}")
    delay, cut = max(0.0, -start), max(0.0, start)
    filters = "aresample=async=1"  # gaps of a broken stream become silence
    before: list[str] = []
    if cut and seek:
        before = ["-ss", f"{cut:.6f}"]
    elif cut:
        filters = f"atrim=start={cut:.6f},asetpts=PTS-{cut:.6f}/TB,{filters}"
    encode = ["-af", filters, "-c:a", "aac", "-b:a", "160k"]
    # copy the sound, or else encode it; a copy would restore what an edit list takes out
    copies = not cut and not info.packets.discarded and info.audio_codec in _MP4_SOUND
    for audio in ([["-c:a", "copy"]] if copies else []) + [encode]:
        inputs = ["-itsoffset", f"{delay:.6f}", *input_arguments(video), *before, *input_arguments(source)]
        maps = ["-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", *audio, "-t", f"{delay + length:.6f}"]
        end = ["-movflags", "+faststart", output_argument(joined)]
        code, _ = run_ffmpeg(["-v", "error", "-y", *inputs, *maps, *end])
        if code == 0 and joined.is_file() and joined.stat().st_size > 0:
            joined.replace(video)
            return None
        joined.unlink(missing_ok=True)
    named = info.audio_codec != "none"
    return f"ffmpeg cannot decode its {info.audio_codec} stream" if named else "its format is unknown"
