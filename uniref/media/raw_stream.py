"""Uncompressed frames with timestamps as a Matroska stream, so that ffmpeg knows when each is shown.

ffmpeg reads raw frames from a pipe at a constant rate only; a container says more. Matroska (RFC 9559) is the simplest
that can be written without going back: every element is its id, its length and its content.
"""

from __future__ import annotations

import struct
from fractions import Fraction

_NANOSECONDS = 10**9
_UNKNOWN_LENGTH = b"\x01" + b"\xff" * 7  # goes on until the stream ends

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
    """What comes before a frame of `size` bytes that is shown at a time for a while, both in seconds."""
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
