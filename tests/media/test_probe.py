"""What ffmpeg prints about a stream, read."""

from fractions import Fraction

import pytest

from uniref.media.probe import _streams
from uniref.media.video_colors import ColorTags

LINES = {
    "h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709, progressive), 1920x1080 [SAR 1:1 DAR 16:9], 12 kb/s, "
    "29.97 fps, 29.97 tbr, 30k tbn (default)": ("yuv420p", (1080, 1920), Fraction(1), 29.97, ("bt709",) * 3, False),
    "h264 (High) (avc1 / 0x31637661), yuvj420p(pc, bt470bg/unknown/smpte170m, progressive), 8x6, 1k fps, 1k tbr": (
        *("yuvj420p", (6, 8), Fraction(1), 1000.0),
        *(("bt470bg", None, "smpte170m"), True),
    ),
    "mpeg2video (Main) ([2][0][0][0] / 0x0002), yuv420p(tv, top first), 720x576 [SAR 64:45 DAR 16:9], 25 fps, 25 tbr": (
        *("yuv420p", (576, 720), Fraction(64, 45), 25.0),
        *((None, None, None), False),
    ),
    "vp9 (Profile 0), yuv420p(tv, progressive), 384x216, SAR 2:1 DAR 32:9, 12 fps, 12 tbr, 1k tbn": (
        *("yuv420p", (216, 384), Fraction(2), 12.0),
        *((None, None, None), False),
    ),
    "h264 (High 4:4:4 Predictive), gbrp(pc, gbr/unknown/unknown, progressive), 384x216, 90k tbr, 90k tbn": (
        *("gbrp", (216, 384), Fraction(1), None),
        *(("gbr", None, None), True),
    ),
    "gif, bgra, 64x48, 12.50 fps, 11.99 tbr, 100 tbn": (
        *("bgra", (48, 64), Fraction(1), 12.5),
        *(("gbr", None, None), False),
    ),
    "rawvideo (RGB[24] / 0x18424752), rgb24, 64x48 [SAR 0:1 DAR 0:1], 25 fps": (
        *("rgb24", (48, 64), Fraction(1), 25.0),
        *(("gbr", None, None), False),
    ),
}


@pytest.mark.parametrize("line", LINES)
def test_a_video_stream(line: str) -> None:
    pixel_format, size, aspect, fps, colors, full = LINES[line]
    turned = "    Side data:\n      Display Matrix: rotation of -90.00 degrees\n"
    text = f"  Stream #0:0[0x1](und): Video: {line}\n{turned}  Stream #0:1[0x2]: Audio: aac (LC), 48000 Hz\n"
    video, audio = _streams(text)
    assert (video.kind, audio.kind, audio.index) == ("Video", "Audio", 1)
    assert (video.pixel_format, video.size, video.pixel_aspect, video.fps) == (pixel_format, size, aspect, fps)
    assert video.colors == ColorTags(*colors, full)
    assert video.rotation == 270
    assert audio.rotation is None
