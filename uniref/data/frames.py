"""Decoding the frames of an index's media."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from uniref.core.errors import MediaError
from uniref.data.index import Media
from uniref.media.image import read_image


def read_frame(media: Media, frame: int) -> npt.NDArray[np.uint8]:
    """One frame, uint8 RGB [H, W, 3].

    Raises:
        MediaError: Missing, damaged, or not of the size that the index says.
    """
    if media.kind == "video":
        from uniref.media.video_read import VideoFile  # decord takes a while to import

        image = next(VideoFile(media.path).frames(frame, frame + 1)).image
    else:
        image = read_image(media.frame_path(frame))
    if image.shape[:2] != (media.height, media.width):
        raise MediaError(
            f"{media.path}: frame {frame} is {image.shape[1]} x {image.shape[0]}, the index says "
            f"{media.width} x {media.height}; prepare the data set again"
        )
    return image
