"""High dynamic range (PQ, HLG) to the 8-bit colours that the model knows, by ffmpeg's zscale and tonemap filters."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from uniref.media.ffmpeg import run_ffmpeg

_TRANSFERS = ("smpte2084", "arib-std-b67")  # PQ, HLG
_STREAM = re.compile(r"Stream #.*?: Video: .*?\((?:\w+, )?(\w+)/(\w+)/([\w-]+)")
_WHITE = 203  # nits of diffuse white in HDR (ITU-R BT.2408): becomes about the white of the result


def tone_mapping(path: Path) -> str | None:
    """The filters that bring a video to BT.709, or None where it is not HDR."""
    match = _STREAM.search(run_ffmpeg(["-i", str(path)])[1])
    if match is None or match[3] not in _TRANSFERS:
        return None
    # what a file leaves open is what HDR nearly always has
    given = ("" if match[1] != "unknown" else ":min=2020_ncl") + ("" if match[2] != "unknown" else ":pin=bt2020")
    # mobius leaves all but the highlights as they are
    return (
        f"zscale=t=linear:npl={_WHITE}{given},format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0,"
        "zscale=t=bt709:m=bt709:r=tv,format=yuv444p"
    )


@functools.cache
def can_tone_map() -> bool:
    """Whether this ffmpeg has the filters."""
    names = {line.split()[1] for line in run_ffmpeg(["-filters"])[1].splitlines() if len(line.split()) > 2}
    return {"zscale", "tonemap"} <= names
