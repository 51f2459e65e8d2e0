"""Decoding the frames and masks of an index's media."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from uniref.core import rle
from uniref.core.errors import MediaError
from uniref.core.types import BoolMask, UInt8Image
from uniref.data.index import Annotations, Media
from uniref.media.image import read_image

_NEAR = 20  # frames that are decoded in one go, with those between them


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
        _check_size(media, frame, image)
    return [images[frame] for frame in frames]


def frames_in_order(media: Media, first: int = 0) -> Iterator[tuple[int, UInt8Image]]:
    """Index and image of every frame from `first` on; a video file is opened once.

    Raises:
        MediaError: As `read_frames`.
    """
    if media.kind != "video":
        for frame in range(first, media.length):
            yield frame, read_frame(media, frame)
        return
    from uniref.media.video_read import VideoFile  # decord takes a while to import

    expected = first
    for decoded in VideoFile(media.path).frames(first, media.length):
        if decoded.damaged or decoded.index != expected:
            break
        _check_size(media, decoded.index, decoded.image)
        yield decoded.index, decoded.image
        expected += 1
    if expected < media.length:
        raise MediaError(f"{media.path}: frame {expected} cannot be decoded")


def _check_size(media: Media, frame: int, image: UInt8Image) -> None:
    if image.shape[:2] != (media.height, media.width):
        raise MediaError(
            f"{media.path}: frame {frame} is {image.shape[1]} x {image.shape[0]}, the index says "
            f"{media.width} x {media.height}; prepare the data set again"
        )


def _read_pictures(media: Media, frames: list[int]) -> dict[int, UInt8Image]:
    return {frame: read_image(media.frame_path(frame)) for frame in frames}


def _read_video(media: Media, frames: list[int]) -> dict[int, UInt8Image]:
    from uniref.media.video_read import VideoFile  # decord takes a while to import

    video = VideoFile(media.path)
    # reading can start anywhere in a file whose frames are known; others are decoded from their beginning, once
    near = not video.indexed or frames[-1] - frames[0] <= _NEAR
    spans = [(frames[0], frames[-1] + 1)] if near else [(frame, frame + 1) for frame in frames]
    requested = set(frames)
    images: dict[int, UInt8Image] = {}
    for first, stop in spans:
        for frame in video.frames(first, stop):
            if frame.index in requested and not frame.damaged:
                images[frame.index] = frame.image
    if missing := sorted(requested - set(images)):
        raise MediaError(f"{media.path}: frame {missing[0]} cannot be decoded")
    return images


def union_mask(annotations: Sequence[Annotations], frame: int) -> BoolMask | None:
    """Union of several objects' masks in a frame, bool [H, W]; None where none of them has a mask there."""
    positions = [(each, each.at(frame)) for each in annotations]
    counts = [each.counts[position] for each, position in positions if position is not None]
    parts = [part for part in counts if part is not None]
    if not parts:
        return None
    height, width = annotations[0].height, annotations[0].width
    return rle.decode(rle.merge(parts, height, width), height, width)
