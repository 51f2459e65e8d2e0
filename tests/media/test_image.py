"""Images of any origin: how they are read, a fixed list of formats, a bound on pixels, no program is ever started."""

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from uniref.core.errors import MediaError, UniRefError
from uniref.data.prepare.job import BadRecord, image_size
from uniref.data.prepare.regions import read_label_map
from uniref.evaluation.prediction_files import BadMask, read_values
from uniref.media.animation import is_animation
from uniref.media.image import fitted, is_image, read_image
from uniref.media.mask import read_mask
from uniref.media.source import MediaSource

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n0 0 20 20 rectfill\nshowpage\n%%EOF\n"


def save(array: np.ndarray, path: Path, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_rgb_is_itself(picture: np.ndarray, tmp_path: Path) -> None:
    assert np.array_equal(read_image(save(picture, tmp_path / "a.png")), picture)


def test_grey_is_repeated(picture: np.ndarray, tmp_path: Path) -> None:
    out = read_image(save(picture[..., 0].copy(), tmp_path / "a.png"))
    assert np.array_equal(out, picture[..., :1].repeat(3, 2))


def test_transparency_is_dropped(picture: np.ndarray, tmp_path: Path) -> None:
    rgba = np.dstack([picture, picture[..., 0]])
    assert np.array_equal(read_image(save(rgba, tmp_path / "a.png")), picture)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21
    out = read_image(save(values, tmp_path / "a.png"))
    assert np.array_equal(out[..., 0], values // 257)
    assert out.shape == (48, 64, 3)


def test_palette_pictures(picture: np.ndarray, tmp_path: Path) -> None:
    flat = np.zeros_like(picture)
    flat[:, 30:] = (200, 10, 30)
    Image.fromarray(flat).quantize(4).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), flat)


def test_exif_orientation_is_applied(picture: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    path = save(picture, tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(path), np.rot90(picture, -1))


def test_cmyk_jpeg_is_read(picture: np.ndarray, tmp_path: Path) -> None:
    assert read_image(save(picture, tmp_path / "a.jpg", "CMYK")).shape == picture.shape


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5])
def test_damaged_pictures_are_one_line(share: float, picture: np.ndarray, tmp_path: Path) -> None:
    path = save(picture, tmp_path / "a.png")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(MediaError, match=r"a\.png") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="no such file"):
        read_image(tmp_path / "none.png")


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `gs` that leaves a file behind when it is run."""
    tools, ran = tmp_path / "tools", tmp_path / "ran"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (tools / "gs").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return ran


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.eps", "a.tif", "a"])
@pytest.mark.parametrize(
    "read", [read_image, read_mask, image_size, read_label_map, MediaSource, lambda path: read_values(path, (20, 20))]
)
def test_a_picture_starts_no_ghostscript(
    name: str, read: Callable[[Path], Any], ghostscript: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(UniRefError):
        read(tmp_path / name)
    assert not is_image(tmp_path / name)
    assert not is_animation(tmp_path / name)
    assert not ghostscript.exists()


@pytest.mark.parametrize("kind", ["DDS", "SPIDER", "TGA", "PCX", "SGI", "ICO"])
def test_other_formats_are_not_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = Image.new("F" if kind == "SPIDER" else "RGB", (16, 16))
    image.save(tmp_path / f"a.{kind}", format=kind)  # Pillow takes the extension for this format from now on
    (tmp_path / f"a.{kind}").rename(path)
    with pytest.raises(MediaError, match=r"a\.png: is not an image that can be read"):
        read_image(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF", "AVIF"])
def test_the_content_counts_and_not_the_name(kind: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.jpg", format=kind)
    assert read_image(tmp_path / "a.jpg").shape == (16, 24, 3)


def _bomb(width: int, height: int) -> bytes:
    """A PNG whose header announces a size that its few bytes do not have."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (10_000, 9_000), (1 << 20, 100), (65_535, 65_535)])
def test_too_many_pixels_are_told_before_they_are_made(width: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_bomb(width, height))
    for read in (read_image, read_mask):
        with pytest.raises(MediaError, match=r"a\.png: is too large an image .*pixels"):
            read(path)
    for read, kind in ((image_size, BadRecord), (read_label_map, BadRecord)):
        with pytest.raises(kind, match="too large an image"):
            read(path)
    with pytest.raises(BadMask, match="too large an image"):
        read_values(path, (height, width))


def test_an_image_is_fitted_as_a_whole() -> None:
    image = np.full((10, 20, 3), 200, np.uint8)
    inside = fitted(image, (40, 40))
    assert inside.shape == (40, 40, 3)
    assert (inside[10:30] == 200).all()
    assert (inside[:10] == 0).all()
    assert (inside[30:] == 0).all()
    cutout = fitted(np.full((8, 2, 4), 255, np.uint8), (4, 5))
    assert cutout.sum() == 4 * 1 * 4 * 255  # 4 x 1 pixels
