"""Clips given as video files."""

from __future__ import annotations

from pathlib import Path

from uniref.core.errors import MediaError
from uniref.data.prepare.job import BadRecord

EXTENSIONS = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg"))


def is_clip_file(path: Path | str) -> bool:
    """Whether the name is that of a video file."""
    return Path(path).suffix.lower() in EXTENSIONS


def clip_file_size(path: Path) -> tuple[int, int, int]:
    """(frames, height, width) of a video file as it is shown; one frame is decoded.

    Raises:
        BadRecord: Missing, no video, or damaged.
    """
    from uniref.media.video_read import VideoFile  # decord takes a while to import

    try:
        video = VideoFile(path)
        first = next(video.frames(0, 1))
    except MediaError as error:
        raise BadRecord(str(error)) from None
    return video.exact_frame_count(), first.image.shape[0], first.image.shape[1]
