from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uniref.core.errors import MediaError
from uniref.media.mask import PALETTE, read_labels, read_mask, write_labels


def save(array: np.ndarray, path: Path, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_black_and_white_masks_of_any_depth(disk: np.ndarray, tmp_path: Path) -> None:
    for white, kind in ((255, np.uint8), (65535, np.uint16)):
        found = read_mask(save(disk.astype(kind) * kind(white), tmp_path / f"{white}.png"))
        assert np.array_equal(found, disk.astype(np.uint8))


def test_label_png_round_trip_with_davis_colours(tmp_path: Path) -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16) % 7
    write_labels(tmp_path / "a.png", labels)
    assert np.array_equal(read_mask(tmp_path / "a.png"), labels)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[3:6] == [128, 0, 0]
    assert PALETTE[:8].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128], [128, 128, 128],
    ]  # fmt: skip


def test_void_in_a_label_png_is_background(tmp_path: Path) -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[0], labels[1], labels[2] = 1, 2, 255
    write_labels(tmp_path / "a.png", labels)
    assert set(np.unique(read_mask(tmp_path / "a.png"))) == {0, 1, 2}


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "LA"])
def test_black_and_white_is_object_one(mode: str, disk: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(disk.astype(np.uint8) * 255).convert(mode)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), disk.astype(np.uint8))


def test_grey_labels_keep_their_ids(tmp_path: Path) -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[:3], labels[5:] = 4, 9
    assert np.array_equal(read_mask(save(labels, tmp_path / "a.png")), labels)


def test_what_is_no_mask_is_told(picture: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="colour image"):
        read_mask(save(picture, tmp_path / "a.png"))
    with pytest.raises(MediaError, match="grey levels"):
        read_mask(save(picture[..., 0].copy(), tmp_path / "b.png"))
    with pytest.raises(MediaError, match="object ids go from 1 to 255"):
        read_mask(save(np.full((8, 8), 300, np.uint16), tmp_path / "c.png"))


def soft(disk: np.ndarray) -> np.ndarray:
    """A disk with the levels that smoothing gives an edge: 0, 64, 128, 192, 255."""
    from scipy import ndimage

    blurred = ndimage.uniform_filter(disk.astype(np.float64), 3)
    return (np.round(blurred * 4) * 64).clip(0, 255).astype(np.uint8)


def test_soft_edges_are_one_object(disk: np.ndarray, tmp_path: Path) -> None:
    values = soft(disk)
    assert len(np.unique(values)) == 5
    for array in (values, np.dstack([values] * 3), values.astype(np.uint16) * 257):
        found = read_labels(save(array, tmp_path / "a.png"))
        assert np.array_equal(found.ids, values >= 128)
        assert "soft edges" in found.note


def test_ids_beside_a_void_rim_are_not_soft_edges(disk: np.ndarray, tmp_path: Path) -> None:
    labels = disk.astype(np.uint8) * 100
    labels[:1] = 255
    assert set(np.unique(read_mask(save(labels, tmp_path / "a.png")))) == {0, 100}
    labels = np.zeros((48, 64), np.uint8)
    labels[5:20, 5:20], labels[25:40, 5:20], labels[5:40, 30:50] = 60, 120, 255
    assert set(np.unique(read_mask(save(labels, tmp_path / "a.png")))) == {0, 60, 120}


def test_black_and_white_jpeg(disk: np.ndarray, tmp_path: Path) -> None:
    for mode in ("L", "RGB"):
        found = read_mask(save(disk.astype(np.uint8) * 255, tmp_path / "a.jpg", mode, quality=90))
        assert (found.astype(bool) != disk).mean() < 0.01
    with pytest.raises(MediaError, match="JPEG blurs object ids"):
        read_mask(save(disk.astype(np.uint8) * 3, tmp_path / "a.jpg"))
    coloured = np.zeros((48, 64, 3), np.uint8)
    coloured[disk] = (255, 0, 0)
    with pytest.raises(MediaError, match="colour JPEG"):
        read_mask(save(coloured, tmp_path / "a.jpg"))


def test_what_is_opaque_is_the_object(disk: np.ndarray, tmp_path: Path) -> None:
    white = np.dstack([np.full((48, 64, 3), 255, np.uint8), disk.astype(np.uint8) * 255])
    assert np.array_equal(read_mask(save(white, tmp_path / "a.png")), disk.astype(np.uint8))
    black = white.copy()
    black[..., :3] = 0
    assert np.array_equal(read_mask(save(black, tmp_path / "a.png")), disk.astype(np.uint8))
    cut = np.dstack([np.dstack([disk.astype(np.uint8) * 255] * 3), np.full((48, 64), 255, np.uint8)])
    cut[:24, :, 3] = 0
    assert read_mask(save(cut, tmp_path / "a.png"))[:24].max() == 0


def test_colours_are_a_label_map(tmp_path: Path) -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[:2], labels[5:] = 3, 15
    davis = read_labels(save(PALETTE[labels], tmp_path / "a.png"))
    assert np.array_equal(davis.ids, labels)
    assert davis.colours == ()
    other = np.zeros((8, 8, 3), np.uint8)
    other[1:3], other[5:7] = (250, 50, 83), (51, 221, 255)
    found = read_labels(save(other, tmp_path / "b.png"))
    assert np.unique(found.ids).tolist() == [0, 1, 2]
    assert found.colours == ((250, 50, 83), (51, 221, 255))
    other[other.sum(2) == 0] = (10, 20, 30)  # no black: the border is the background
    assert np.array_equal(read_labels(save(other, tmp_path / "b.png")).ids, found.ids)


def test_a_palette_of_black_and_white_is_told_by_its_colours(disk: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray((~disk).astype(np.uint8), mode="P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), disk.astype(np.uint8))
