"""Colour tags of videos, and ffmpeg's filters that bring high dynamic range or unusual colours to 8-bit RGB."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from uniref.media.ffmpeg import run_ffmpeg

_MATRICES = ("bt2020nc", "bt709", "smpte170m", "bt470bg", "gbr")
_PRIMARIES = ("bt2020", "bt709", "smpte170m", "bt470bg", "smpte432", "smpte431")
# of ffmpeg's scaler
_REFUSED_TRANSFERS = ("log100", "log316")
_CONVERTED_MATRICES = ("ycgco",)
_REFUSED_MATRICES = (
    *("bt2020c", "ictcp", "ycgco-re", "ycgco-ro", "ipt-c2", "smpte2085"),
    *("chroma-derived-nc", "chroma-derived-c"),
)
_WHITE = 203  # nits of diffuse white in HDR (ITU-R BT.2408): becomes about the white of the result


@dataclass(frozen=True)
class ColorTags:
    """Colour tags of a video, in ffmpeg's names; None = not specified."""

    matrix: str | None = None
    """From YCbCr to RGB: "bt709", "smpte170m", "bt2020nc", ...; "gbr" = the stream itself is RGB."""
    primaries: str | None = None
    transfer: str | None = None
    full_range: bool = False
    """Values use 0..255 instead of 16..235."""


UNTAGGED = ColorTags()
"""No tags."""
BT709 = ColorTags("bt709", "bt709", "bt709")
"""HD video; also right for frames that were RGB before."""


VP8_COLORS = ColorTags("bt470bg")  # the format has no other (RFC 6386, section 9.2), and files need not say so


def tone_mapping(colors: ColorTags) -> str:
    """The filters that bring a video of high dynamic range to BT.709."""
    # tags that are missing, or that zscale cannot convert, are taken for those of nearly all HDR videos
    tags = []
    if colors.matrix not in _MATRICES:
        tags.append("colorspace=bt2020nc")
    if colors.primaries not in _PRIMARIES:
        tags.append("color_primaries=bt2020")
    assumed = f"setparams={':'.join(tags)}," if tags else ""
    # mobius leaves all but the highlights as they are
    return (
        f"{assumed}zscale=t=linear:npl={_WHITE},format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0,"
        "zscale=t=bt709:m=bt709:r=tv,format=yuv444p"
    )


def readable_colors(colors: ColorTags) -> str | None:
    """The filters that make a video readable whose tags ffmpeg's scaler refuses; None where it takes them.

    Transfer curves are not applied on the way to RGB, so that a refused one is left out. Matrices that zscale knows are
    converted, others are taken for BT.709.
    """
    filters = []
    if colors.transfer in _REFUSED_TRANSFERS:
        filters.append("setparams=color_trc=bt709")
    if colors.matrix in _CONVERTED_MATRICES:
        primaries = "" if colors.primaries in _PRIMARIES else ":color_primaries=bt709"
        filters.append(f"setparams=color_trc=bt709{primaries},zscale=m=709:r=tv,format=yuv444p")
    elif colors.matrix in _REFUSED_MATRICES:
        filters.append("setparams=colorspace=bt709")
    return ",".join(filters) or None


@functools.cache
def can_tone_map() -> bool:
    """Whether this ffmpeg has the filters for tone mapping."""
    names = {line.split()[1] for line in run_ffmpeg(["-filters"])[1].splitlines() if len(line.split()) > 2}
    return {"zscale", "tonemap"} <= names
