"""Reading pictures and masks of any common mode as the arrays the rest of the package takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from uniref.core.errors import MediaError
from uniref.media.open_image import PictureProblem, open_image

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
_BINARY = 255
_WHITE = (_BINARY, 65535)  # of 8 and 16 bits
_MAX_GREY_LEVELS = 32  # a label map stored as grey has few values, an anti-aliased mask many


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """A picture as it is meant to be seen: uint8 RGB [H, W, 3].

    Turns it as its EXIF orientation says, scales 16-bit values to 8 bits, repeats grey, drops transparency; of
    an animation, the first frame.

    Raises:
        MediaError: Missing, damaged, too large, or not a picture.
    """
    try:
        with open_image(path) as image:
            return np.asarray(_rgb(_upright(image)))
    except PictureProblem as problem:
        raise MediaError(f"{path}: {problem}") from None


def is_picture(path: Path) -> bool:
    """Whether a file begins like a picture, damaged further on or not."""
    try:
        with open_image(path):
            return True
    except PictureProblem:
        return False


def read_mask(path: Path) -> npt.NDArray[np.uint8]:
    """A mask file as object ids: uint8 [H, W], 0 = background.

    Palette PNGs give their indices (DAVIS, YouTube-VOS), 255 beside other ids being void and read as background.
    Black-and-white pictures give one object with id 1; grey ones with few values give those values.

    Raises:
        MediaError: Missing, damaged, or not a mask.
    """
    try:
        with open_image(path) as image:
            return _labels(path, _upright(image))
    except PictureProblem as problem:
        raise MediaError(f"{path}: {problem}") from None


def _labels(path: Path, image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode in ("RGB", "RGBA", "LA", "CMYK", "YCbCr"):
        rgb = np.asarray(image.convert("RGB"))
        if not (rgb == rgb[..., :1]).all():
            raise MediaError(
                f"{path}: is a colour picture; a mask is a palette or grey PNG whose values are object ids, or "
                "black and white"
            )
        values = rgb[..., 0]
    else:
        values = np.asarray(image)
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    found = np.unique(values)
    if image.mode != "P":
        if found[-1] in _WHITE and len(found) <= 2 and found[0] in (0, found[-1]):
            return (values == found[-1]).astype(np.uint8)
        if len(found) > _MAX_GREY_LEVELS:
            raise MediaError(
                f"{path}: has {len(found)} grey levels; a mask holds a few object ids, or 0 and 255 "
                "(save it as PNG without smoothing)"
            )
    if found[0] < 0 or found[-1] > _BINARY:
        raise MediaError(f"{path}: holds the value {found[-1]}; object ids go from 1 to 255")
    labels = values.astype(np.uint8)
    if len(found) > 2 and found[-1] == _BINARY:
        labels = np.where(labels == _BINARY, 0, labels).astype(np.uint8)
    return labels


def _upright(image: Image.Image) -> Image.Image:
    """The picture as its EXIF orientation says."""
    image.load()
    return ImageOps.exif_transpose(image)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((values.clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        values = np.asarray(image)
        scale = 255.0 if float(values.max(initial=0)) <= 1 else 1.0
        return Image.fromarray((np.nan_to_num(values) * scale).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "P":
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")
