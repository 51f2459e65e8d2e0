"""COCO run-length masks: column-major, compressed counts as pycocotools writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core.types import BoolMask

_LARGEST_SIDE, _MOST_PIXELS = 1 << 17, 1 << 28
_FARTHEST, _LONGEST_OUTLINE = 1e6, 1e7  # pixels


def encode(mask: npt.NDArray[Any]) -> bytes:
    """Compressed counts of a mask [H, W]; any non-zero value is foreground."""
    from pycocotools import mask as coco

    return bytes(coco.encode(np.asfortranarray(mask != 0, dtype=np.uint8))["counts"])


def decode(counts: bytes, height: int, width: int) -> BoolMask:
    """The mask of compressed counts: bool [H, W].

    Raises:
        ValueError: The counts do not describe a mask of this size.
    """
    from pycocotools import mask as coco

    check(counts, height, width)
    return coco.decode({"size": [height, width], "counts": counts}).astype(bool)


def to_runs(mask: BoolMask) -> list[int]:
    """COCO's plain counts of a mask [H, W]: lengths of runs, column by column, the first of them of background."""
    flat = np.concatenate([[False], mask.flatten(order="F")])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(each) for each in np.diff(np.concatenate([[0], starts, [mask.size]]))]


def area(counts: bytes, height: int, width: int) -> int:
    """Number of foreground pixels."""
    from pycocotools import mask as coco

    return int(coco.area({"size": [height, width], "counts": counts}))


def box(counts: bytes, height: int, width: int) -> tuple[float, float, float, float]:
    """Tight box (x0, y0, x1, y1) in pixels, x1 and y1 exclusive; zeros for an empty mask."""
    from pycocotools import mask as coco

    x, y, w, h = coco.toBbox({"size": [height, width], "counts": counts})
    return float(x), float(y), float(x + w), float(y + h)


def merge(parts: Sequence[bytes], height: int, width: int) -> bytes:
    """Union of several masks of one size. Raises ValueError where one is of another size."""
    from pycocotools import mask as coco

    if len(parts) == 1:
        return parts[0]
    for part in parts:
        check(part, height, width)
    return bytes(coco.merge([{"size": [height, width], "counts": part} for part in parts])["counts"])


def from_segmentation(segmentation: Any, height: int, width: int) -> bytes | None:
    """Counts of a COCO `segmentation` of any kind: polygons, compressed or uncompressed runs.

    Polygons with fewer than three points or an odd number of coordinates are left out, as the official code does.

    Returns:
        None where no polygon is left.

    Raises:
        ValueError: Neither kind, of another size, or runs that do not fill the image.
    """
    from pycocotools import mask as coco

    # run lengths
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise ValueError(f"segmentation is a {type(segmentation).__name__}, not polygons or run lengths")
    # polygons with finite coordinates
    check_size(height, width)
    polygons = [p for p in segmentation if isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0]
    if not polygons:
        return None
    try:
        coordinates = [[float(value) for value in polygon] for polygon in polygons]
    except (TypeError, ValueError):
        raise ValueError("a polygon holds something that is not a number") from None
    everything = np.concatenate(coordinates)
    if not np.isfinite(everything).all():
        raise ValueError("a polygon holds a coordinate that is not finite")
    # pycocotools walks along every edge, wherever it leads
    edges = (np.diff(np.reshape(polygon, (-1, 2)), axis=0) for polygon in coordinates)
    if np.abs(everything).max() > _FARTHEST or sum(float(np.abs(edge).sum()) for edge in edges) > _LONGEST_OUTLINE:
        raise ValueError("a polygon leads far outside of the image")
    return merge([bytes(part["counts"]) for part in coco.frPyObjects(coordinates, height, width)], height, width)


def _from_runs(runs: dict[str, Any], height: int, width: int) -> bytes:
    from pycocotools import mask as coco

    # the size of the image
    size, counts = runs.get("size"), runs.get("counts")
    check_size(height, width)
    if not isinstance(size, list | tuple) or [int(x) for x in size] != [height, width]:
        raise ValueError(f"run lengths are of size {size!r:.40}, the image is {[height, width]}")
    # plain or compressed counts
    if isinstance(counts, list):
        counts = [int(x) for x in counts]
        if min(counts, default=0) < 0:
            raise ValueError("run lengths hold a negative run")
        if sum(counts) != height * width:
            raise ValueError(f"run lengths cover {sum(counts)} pixels of {height * width}")
        return bytes(coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"])
    if isinstance(counts, str):
        counts = counts.encode("ascii")
    if not isinstance(counts, bytes):
        raise ValueError("run lengths have no counts")
    check(counts, height, width)
    return counts


def check_size(height: int, width: int) -> None:
    """Raise ValueError where an image of this size is larger than any that is read."""
    if not (0 < height < _LARGEST_SIDE and 0 < width < _LARGEST_SIDE and height * width <= _MOST_PIXELS):
        raise ValueError(f"an image of {width} x {height} pixels is too large")


def check(counts: bytes, height: int, width: int) -> None:
    """Raise ValueError where compressed counts are not those of a mask of this size."""
    check_size(height, width)
    if (pixels := covered(counts)) != height * width:
        raise ValueError(f"run lengths cover {pixels} pixels of {height * width}")


def covered(counts: bytes) -> int:
    """Number of pixels that compressed counts describe; pycocotools itself reads past damaged ones unchecked.

    Raises:
        ValueError: A byte outside the format, or an unfinished or negative run.
    """
    # characters to 6-bit codes
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if not len(codes):
        return 0
    if codes.min() < 0 or codes.max() > 63:
        raise ValueError("run lengths hold a byte that the format does not have")
    last = (
        codes & 0x20
    ) == 0  # a number has 5 bits per byte, least first; bit 5 says that more follow, bit 4 of the last is its sign
    # codes to numbers
    if not last[-1]:
        raise ValueError("run lengths end in the middle of a number")
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    lengths = np.diff(np.append(starts, len(codes)))
    if lengths.max() > 7:
        raise ValueError("run lengths hold a number that is too large")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 0x1F) << shifts, starts)
    runs -= np.where(codes[last] & 0x10, 1 << (5 * lengths), 0)
    # numbers to run lengths
    runs[1::2] = np.cumsum(
        runs[1::2]
    )  # from the fourth on, a run is stored as the difference to the one before the last
    runs[2::2] = np.cumsum(runs[2::2])
    if runs.min() < 0:
        raise ValueError("run lengths hold a negative run")
    return int(runs.sum())
