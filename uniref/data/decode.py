"""Pictures and masks of the index, decoded; nothing random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uniref.core import rle
from uniref.core.errors import MediaError
from uniref.data.index import Annotations, Media
from uniref.media.image import read_image
from uniref.media.video_read import VideoFile
from uniref.ops.images import BoolMask, UInt8Image


def read_frames(media: Media, frames: Sequence[int]) -> list[UInt8Image]:
    """Frames of a picture, folder or video file, uint8 RGB [H, W, 3] each; a frame asked for twice is read once.

    Raises:
        MediaError: Missing, damaged, or of another size than the index says.
    """
    read = _read_video if media.kind == "video" else _read_pictures
    images = read(media, sorted(set(frames)))
    for image in images.values():
        if image.shape[:2] != (media.height, media.width):
            raise MediaError(
                f"{media.path}: is {image.shape[1]} x {image.shape[0]} pixels, its index says "
                f"{media.width} x {media.height}; prepare the data set again"
            )
    return [images[frame] for frame in frames]


def _read_pictures(media: Media, frames: list[int]) -> dict[int, UInt8Image]:
    return {frame: read_image(media.frame_path(frame)) for frame in frames}


def _read_video(media: Media, frames: list[int]) -> dict[int, UInt8Image]:
    video = VideoFile(media.path)
    images = {}
    for frame in frames:
        found = next(video.frames(frame, frame + 1), None)
        if found is None or found.damaged:
            raise MediaError(f"{media.path}: frame {frame} cannot be decoded")
        images[frame] = found.image
    return images


def union_mask(annotations: Sequence[Annotations], frame: int) -> BoolMask | None:
    """What several objects cover in a frame, bool [H, W]; None where none of them has a mask there."""
    found = [(each, each.at(frame)) for each in annotations]
    counts = [each.counts[place] for each, place in found if place is not None]
    parts = [part for part in counts if part is not None]
    if not parts:
        return None
    height, width = annotations[0].height, annotations[0].width
    return rle.decode(rle.merge(parts, height, width), height, width)


def box_of(mask: BoolMask) -> tuple[float, float, float, float] | None:
    """Tight box (x0, y0, x1, y1) in pixels, x1 and y1 exclusive; None for an empty mask."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return float(cols[0]), float(rows[0]), float(cols[-1] + 1), float(rows[-1] + 1)
