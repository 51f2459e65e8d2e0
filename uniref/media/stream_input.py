"""How ffmpeg opens cameras, network addresses and standard input: devices, and the protocols that are allowed."""

from __future__ import annotations

import os
import re
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from uniref.core.addresses import Address, is_address, parse_address, shown
from uniref.core.errors import MediaError, UsageError
from uniref.media.ffmpeg import run_ffmpeg
from uniref.media.frame import MAX_FRAME_PIXELS

_TIMEOUT = 10_000_000  # microseconds for one read; then ffmpeg gives out the frames that it still holds
_HTTP = "http,https,httpproxy,tcp,tls,crypto,data"
_PROTOCOLS = {
    "http": _HTTP,
    "https": _HTTP,
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtp,udp,tcp,tls,srtp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tcp,tls",
    "srt": "srt,udp",
    "udp": "udp",
    "tcp": "tcp",
}
"""What a source may open, by the scheme of its address; never a local file, whatever a playlist says."""
_LIMITS = ["-max_pixels", str(MAX_FRAME_PIXELS)]
_PROBED = ["-analyzeduration", "1000000"]  # microseconds in which streams are found; of MPEG-TS, frames come only then
_AT_ONCE = ["-flags", "low_delay"]
_DIRECTSHOW = re.compile(r'"([^"]+)" \(video\)')


@dataclass(frozen=True)
class StreamInput:
    """A source that is read once, as ffmpeg opens it."""

    label: str
    """For messages and files: without passwords."""
    file_name: str
    """What a file with its content would be called."""
    arguments: list[str]
    """Of ffmpeg."""
    live: bool | None
    """Whether frames are dropped while the model is busy; None = if it announces no length."""
    patient: bool = True
    """Whether it is given up when it sends nothing."""
    pipe: bool = False
    """Whether it is written to ffmpeg's stdin."""
    address: Address | None = None
    """Where it can be fetched from as a whole."""


def network_input(text: str) -> StreamInput:
    """An address as a user wrote it. Raises UniRefError unless it is a valid one of a known kind."""
    label = shown(text)
    scheme = text.partition("://")[0].lower()
    if scheme not in _PROTOCOLS:
        raise UsageError(
            f"{label}: addresses that begin with {scheme}:// are not read; expected {', '.join(_PROTOCOLS)}, or a path"
        )
    if any(ord(letter) < 33 or ord(letter) == 127 for letter in text):
        raise UsageError(f"{label}: holds a space or control character; write it percent-encoded")
    # http addresses in the form that servers take; the others as they are
    arguments = [*_LIMITS, "-protocol_whitelist", _PROTOCOLS[scheme], *_PROBED]
    if scheme in ("https", "rtsps", "rtmps"):
        arguments += ["-tls_verify", "1"]
    if scheme in ("http", "https"):
        user, at, _ = urlsplit(text).netloc.rpartition("@")
        address = parse_address(text)
        text = address.request.replace("://", f"://{user}{at}", 1)
        arguments += ["-rw_timeout", str(_TIMEOUT)]
        return StreamInput(label, _file_name(text), [*arguments, "-i", text], None, address=address)
    arguments += _AT_ONCE
    arguments += ["-rtsp_transport", "tcp", "-timeout", str(_TIMEOUT)] if scheme in ("rtsp", "rtsps") else []
    return StreamInput(label, _file_name(text), [*arguments, "-i", text], True)


def environment() -> dict[str, str]:
    """The environment of an ffmpeg that opens addresses: it verifies servers by this system's authorities, or by those
    that SSL_CERT_FILE names."""
    file = ssl.get_default_verify_paths().cafile
    return {**os.environ, **({"SSL_CERT_FILE": file} if file else {})}


def stream_name(text: str) -> str | None:
    """What a file with the content of a stream would be called; None for a path."""
    if is_address(text):
        return _file_name(text)
    if text == "-":
        return "stdin"
    return f"camera-{text}" if text.isdecimal() and not os.path.exists(text) else None


def _file_name(address: str) -> str:
    """`street.mp4` of `https://example.com/clips/street.mp4`; `10_0_0_7-cam` of `rtsp://10.0.0.7/cam`."""
    parts = urlsplit(address)
    try:
        host = (parts.hostname or "stream").replace(".", "_")  # what follows a dot would be an extension
    except ValueError:
        host = "stream"
    last = Path(parts.path).name
    name = last if parts.scheme in ("http", "https") and Path(last).suffix else f"{host}-{last}" if last else host
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:100] or "stream"


def pipe_input() -> StreamInput:
    """An encoded video on standard input."""
    arguments = [*_LIMITS, "-protocol_whitelist", "pipe,crypto,data", "-i", "pipe:0"]
    return StreamInput("standard input", "stdin", arguments, False, patient=False, pipe=True)


def camera_input(number: int) -> StreamInput:
    """A camera of this machine.

    Raises:
        MediaError: There is none of that number, or this system's cameras cannot be opened.
    """
    label = f"camera {number}"
    if sys.platform == "darwin":
        device = ["-f", "avfoundation", "-framerate", "30", "-i", f"{number}:none"]
    elif sys.platform == "win32":
        _, listing = run_ffmpeg(["-f", "dshow", "-list_devices", "true", "-i", "dummy"])
        names = _DIRECTSHOW.findall(listing)
        if number >= len(names):
            raise MediaError(f"{label}: no such file or folder, and {len(names)} cameras are there, numbered from 0")
        device = ["-f", "dshow", "-i", f"video={names[number]}"]
    else:
        path = f"/dev/video{number}"
        if not os.path.exists(path):
            raise MediaError(f"{number}: no such file or folder, and no camera of that number ({path})")
        if not os.access(path, os.R_OK | os.W_OK):
            raise MediaError(f"{label}: {path} may not be opened; add yourself to its group (video)")
        device = ["-f", "v4l2", "-i", path]
    return StreamInput(label, f"camera-{number}", [*_LIMITS, *_AT_ONCE, *device], True)
