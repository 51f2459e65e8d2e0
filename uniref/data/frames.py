"""Decoding the frames of an index's media."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError
from uniref.data.index import Media
from uniref.media.image import read_image

UInt8Image = npt.NDArray[np.uint8]


def read_frame(media: Media, frame: int) -> UInt8Image:
    """One frame (see `read_frames`)."""
    return read_frames(media, [frame])[0]


def read_frames(media: Media, frames: Sequence[int]) -> list[UInt8Image]:
    """Several frames, uint8 RGB [H, W, 3] each; one that is asked for twice is decoded once.

    Raises:
        MediaError: Missing, damaged, or not of the size that the index says.
    """
    read = _read_video if media.kind == "video" else _read_pictures
    images = read(media, sorted(set(frames)))
    for frame, image in images.items():
        if image.shape[:2] != (media.height, media.width):
            raise MediaError(
                f"{media.path}: frame {frame} is {image.shape[1]} x {image.shape[0]}, the index says "
                f"{media.width} x {media.height}; prepare the data set again"
            )
    return [images[frame] for frame in frames]


def _read_pictures(media: Media, frames: list[int]) -> dict[int, UInt8Image]:
    return {frame: read_image(media.frame_path(frame)) for frame in frames}


def _read_video(media: Media, frames: list[int]) -> dict[int, UInt8Image]:
    from uniref.media.video_read import VideoFile  # decord takes a while to import

    video = VideoFile(media.path)
    # reading can start anywhere in a file whose frames are known; others are decoded from their beginning, once
    spans = [(frame, frame + 1) for frame in frames] if video.indexed else [(frames[0], frames[-1] + 1)]
    wanted = set(frames)
    images: dict[int, UInt8Image] = {}
    for first, stop in spans:
        found = {
            each.index: each.image for each in video.frames(first, stop) if each.index in wanted and not each.damaged
        }
        images |= found
    if missing := sorted(wanted - set(images)):
        raise MediaError(f"{media.path}: frame {missing[0]} cannot be decoded")
    return images
