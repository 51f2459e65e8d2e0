"""High dynamic range (PQ, HLG) to the 8-bit colours that the model knows, by ffmpeg's zscale and tonemap filters."""

from __future__ import annotations

import functools

from uniref.media.ffmpeg import run_ffmpeg
from uniref.media.probe import VideoInfo

_WHITE = 203  # nits of diffuse white in HDR (ITU-R BT.2408): becomes about the white of the result


def tone_mapping(info: VideoInfo) -> str:
    """The filters that bring a video of high dynamic range to BT.709."""
    # what a file leaves open is what HDR nearly always has
    matrix = "" if info.colors.matrix else ":min=2020_ncl"
    primaries = "" if info.colors.primaries else ":pin=bt2020"
    # mobius leaves all but the highlights as they are
    return (
        f"zscale=t=linear:npl={_WHITE}{matrix}{primaries},format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0,"
        "zscale=t=bt709:m=bt709:r=tv,format=yuv444p"
    )


@functools.cache
def can_tone_map() -> bool:
    """Whether this ffmpeg has the filters."""
    names = {line.split()[1] for line in run_ffmpeg(["-filters"])[1].splitlines() if len(line.split()) > 2}
    return {"zscale", "tonemap"} <= names
