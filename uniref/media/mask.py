"""Mask files: object ids from masks of any common form, and label maps as palette PNGs with the DAVIS colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.core.errors import MediaError
from uniref.core.types import BoolMask, LabelMap, UInt8Image
from uniref.media.image import ImageProblem, open_image, upright

_BINARY = 255
_WHITE = (_BINARY, 65535)  # of 8 and 16 bits
_MAX_GREY_LEVELS = 32  # a label map stored as grey has few values, an anti-aliased mask many
_MAX_COLOURS = 64
_HALF, _NEARLY_WHITE = 128, 240
_JPEG_TINT = 24  # how far the channels of a grey JPEG may differ
VOID = 255
"""Value of pixels without a label (void)."""


def davis_palette() -> npt.NDArray[np.uint8]:
    """The 256 RGB colours of DAVIS and Pascal VOC, uint8 [256, 3]: bit i of the id goes to a high bit of a channel."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit_index in range(8):
        for channel in range(3):
            bit = (ids >> (3 * bit_index + channel)) & 1
            colours[:, channel] |= (bit << (7 - bit_index)).astype(np.uint8)
    return colours


PALETTE = davis_palette()


def write_labels(path: Path, labels: LabelMap) -> None:
    """Write object ids, uint8 [H, W], as an indexed PNG."""
    image = Image.fromarray(labels, mode="P") if labels.dtype == np.uint8 else None
    assert image is not None
    image.putpalette(PALETTE.tobytes())
    image.save(path, format="PNG")


@dataclass(frozen=True)
class Labels:
    """Content of a mask file."""

    ids: LabelMap
    """[H, W]; 0 is background, `VOID` beside other ids means void."""
    white: bool = False
    """Whether the file is black and white (or opaque on transparent): one object, 1."""
    colours: tuple[tuple[int, int, int], ...] = ()
    """RGB of the ids 1, 2, ... where colours were numbered as they appear; other files number them otherwise."""
    note: str = ""
    """What was assumed, as a message for the user."""

    @property
    def objects(self) -> LabelMap:
        """The ids, [H, W], with void read as background."""
        values = np.unique(self.ids)
        if len(values) > 2 and values[-1] == VOID:
            return np.where(self.ids == VOID, 0, self.ids).astype(np.uint8)
        return self.ids


def read_mask(path: Path) -> LabelMap:
    """A mask file as object ids: uint8 [H, W], 0 = background; 255 beside other ids is void and read as background.

    As `read_labels` otherwise.

    Raises:
        MediaError: Missing, damaged, or not a mask.
    """
    return read_labels(path).objects


def read_labels(path: Path) -> Labels:
    """Read a mask file in any common form.

    Palette PNGs give their indices (DAVIS, YouTube-VOS), grey ones with few values those values. Black and white, in
    any mode, is one object; so is grey with soft edges (cut at half), and the opaque part of an image with
    transparency. Few colours are a label map: the colours of the DAVIS palette have its numbers, others are numbered as
    they appear. JPEG blurs values, so that it can only be black and white.

    Raises:
        MediaError: Missing, damaged, or not a mask.
    """
    try:
        with open_image(path) as image:
            return _labels(path, image.format == "JPEG", upright(image))
    except ImageProblem as problem:
        raise MediaError(f"{path}: {problem}") from None


def _labels(path: Path, jpeg: bool, image: Image.Image) -> Labels:
    if image.mode == "P" and "transparency" not in image.info:
        return _of_palette(image)
    if image.mode == "1":
        return Labels(np.asarray(image).astype(np.uint8), white=True)
    if image.mode in ("RGBA", "LA", "PA", "P", "La", "RGBa"):
        return _of_transparency(path, np.asarray(image.convert("RGBA")), image)
    if image.mode in ("RGB", "CMYK", "YCbCr", "HSV", "LAB"):
        rgb = np.asarray(image.convert("RGB"))
        if jpeg and int(np.ptp(rgb.astype(np.int16), axis=2).max(initial=0)) > _JPEG_TINT:
            raise MediaError(f"{path}: is a colour JPEG, which blurs its colours; save masks as PNG")
        if jpeg:
            rgb = np.repeat(np.asarray(image.convert("L"))[..., None], 3, axis=2)
        if not (rgb == rgb[..., :1]).all():
            return _of_colours(path, rgb, np.ones(rgb.shape[:2], np.bool_))
        return _of_grey(path, rgb[..., 0], jpeg)
    return _of_grey(path, np.asarray(image), jpeg)


def _of_palette(image: Image.Image) -> Labels:
    """The palette indices; of a black and white palette, which pixels are white."""
    values = np.asarray(image)
    indices = np.unique(values)
    table = np.asarray(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    if len(indices) == 2 and indices[-1] < len(table):
        colours = sorted(tuple(int(x) for x in table[index]) for index in indices)
        if colours == [(0, 0, 0), (_BINARY,) * 3]:
            return Labels((table[values][..., 0] == _BINARY).astype(np.uint8), white=True)
    return Labels(values.astype(np.uint8))


def _of_transparency(path: Path, rgba: npt.NDArray[np.uint8], image: Image.Image) -> Labels:
    """Transparent pixels are background; opaque pixels of one colour are one object."""
    opaque = rgba[..., 3] >= _HALF
    if opaque.all():
        return _labels(path, False, image.convert("P" if image.mode in ("P", "PA") else "RGB"))
    rgb = np.where(opaque[..., None], rgba[..., :3], 0).astype(np.uint8)
    shown = rgb[opaque]
    if not len(shown) or (shown == shown[0]).all():
        return Labels(opaque.astype(np.uint8), white=True, note="its opaque part was read as the object")
    if (rgb == rgb[..., :1]).all():
        return _of_grey(path, rgb[..., 0], False)
    return _of_colours(path, rgb, opaque)


def _of_colours(path: Path, rgb: UInt8Image, opaque: BoolMask) -> Labels:
    """Ids from colours. `opaque` marks the pixels that may show an object; the rest is background."""
    # the distinct colours, as numbers
    codes = (rgb.astype(np.int32) * (65536, 256, 1)).sum(axis=2)
    values, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    palette = {int(code): number for number, code in reversed(list(enumerate(_codes(PALETTE))))}
    davis = all(int(code) in palette for code in values)
    if len(values) > (_BINARY if davis else _MAX_COLOURS):
        raise MediaError(
            f"{path}: is a colour image ({len(values)} colours); a mask is a palette or grey PNG whose values are "
            f"object ids, black and white, or has at most {_MAX_COLOURS} colours without blending (PNG)"
        )
    # colours of the DAVIS palette are its ids
    if davis and 0 in values:
        numbers = np.array([palette[int(code)] for code in values], np.uint8)
        return Labels(
            numbers[inverse].reshape(codes.shape), note="its colours were read as the DAVIS palette's numbers"
        )
    # the background is black, or else the most frequent colour of the border
    if 0 in values:
        background = 0
    else:
        border, often = np.unique(np.concatenate([codes[0], codes[-1], codes[:, 0], codes[:, -1]]), return_counts=True)
        background = int(border[often.argmax()])
    # other colours are numbered as they appear
    order = [index for index in np.argsort(first, kind="stable") if int(values[index]) != background]
    numbers = np.zeros(len(values), np.uint8)
    numbers[order] = np.arange(1, len(order) + 1)
    ids = np.where(opaque, numbers[inverse].reshape(codes.shape), 0).astype(np.uint8)
    colours = tuple((int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in values[order])
    remark = "" if background == 0 else f"; {colour_name(*_split(background))} is the background"
    return Labels(ids, colours=colours, note=f"its colours were read as a label map{remark}")


def colour_name(red: int, green: int, blue: int) -> str:
    """`#ff8000`."""
    return f"#{red:02x}{green:02x}{blue:02x}"


def _split(code: int) -> tuple[int, int, int]:
    return code >> 16, code >> 8 & 255, code & 255


def _codes(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return (colours.astype(np.int64) * (65536, 256, 1)).sum(axis=1)


def _of_grey(path: Path, values: npt.NDArray[Any], jpeg: bool) -> Labels:
    """Ids of one channel: black and white, soft edges, or the values themselves."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise MediaError(f"{path}: holds values that are not finite")
        if float(values.max(initial=0)) <= 1 and not np.isin(values, (0, 1)).all():
            values = np.round(values * _BINARY)  # a probability
    # black and white, of 8 or 16 bits
    levels = np.unique(values)
    if levels[-1] in _WHITE and len(levels) <= 2 and levels[0] in (0, levels[-1]):
        return Labels((values == levels[-1]).astype(np.uint8), white=True)
    if levels[0] >= 0 and levels[-1] > _BINARY and levels[-1] >= _NEARLY_WHITE * 257:
        values = (values.astype(np.int64) // 257).clip(0, _BINARY)
        levels = np.unique(values)
    # soft edges
    if _is_soft(values, levels, jpeg):
        note = "soft edges were cut at half of white: one object"
        return Labels((values >= _HALF).astype(np.uint8), white=True, note=note)
    # object ids
    if jpeg and levels[-1] > 0:
        raise MediaError(f"{path}: is a JPEG that is not black and white; JPEG blurs object ids (save masks as PNG)")
    if len(levels) > _MAX_GREY_LEVELS:
        raise MediaError(
            f"{path}: has {len(levels)} grey levels; a mask holds a few object ids, or 0 and 255 "
            "(save it as PNG without smoothing)"
        )
    if levels[0] < 0 or levels[-1] > _BINARY:
        raise MediaError(f"{path}: holds the value {levels[-1]}; object ids go from 1 to 255")
    return Labels(values.astype(np.uint8))


def _is_soft(values: npt.NDArray[Any], levels: npt.NDArray[Any], jpeg: bool) -> bool:
    """Whether grey levels are those of a black-and-white mask with soft edges, not object ids.

    Ids fill areas; the levels between black and white of a soft edge are thin, or near both ends.
    """
    from scipy import ndimage  # a third of the time that `uniref eval --predictions` takes to start

    if levels[-1] < _NEARLY_WHITE or levels[0] > _BINARY - _NEARLY_WHITE or levels[-1] > _BINARY:
        return False
    between = (values > _BINARY - _NEARLY_WHITE) & (values < _NEARLY_WHITE)
    white, middle = int((values >= _NEARLY_WHITE).sum()), int(between.sum())
    if jpeg or len(levels) > _MAX_GREY_LEVELS:
        return middle <= values.size // 4
    if not middle or white * 5 < middle:
        return False

    # the levels in between without their rim of three pixels
    core = ndimage.binary_erosion(between, np.ones((3, 3), np.bool_), iterations=3)
    return bool(core.sum() <= middle // 10)
