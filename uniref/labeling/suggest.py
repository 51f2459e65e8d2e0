"""The mask of one object in one frame, for what the user asks: a text, a box, points, or an example."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from uniref.core.errors import MediaError, UniRefError
from uniref.core.types import BoolMask, UInt8Image
from uniref.inference.results import SCORE_THRESHOLD, FrameResult
from uniref.labeling.tracking import new_tracker
from uniref.media.image import read_image
from uniref.media.mask import read_mask

if TYPE_CHECKING:
    from uniref.inference.predictor import Predictor


@dataclass(frozen=True)
class Request:
    """What shows an object: exactly one kind of it, but for a box and points, which belong together."""

    text: str | None = None
    box: Sequence[float] | None = None
    points: Sequence[Sequence[float]] | None = None
    """(x, y, 1 on the object or 0 beside it)."""
    example: tuple[UInt8Image, BoolMask] | None = None
    """An image uint8 RGB [h, w, 3] and the object's mask in it, bool [h, w]."""


def suggest(predictor: Predictor, image: UInt8Image, number: int, request: Request, is_video: bool) -> FrameResult:
    """An object in a frame by itself, as `uniref predict` finds it there.

    Args:
        predictor: The model.
        image: The frame, uint8 RGB [H, W, 3].
        number: The object's id.
        request: What shows it.
        is_video: The frame is one of a video, not an image of its own.

    Returns:
        With its probabilities; its mask is empty where it is not found.

    Raises:
        UsageError: A text without words, or a box or points outside of the frame.
    """
    boxes = None if request.box is None else {number: request.box}
    points = None if request.points is None else {number: request.points}
    if is_video:
        tracker = new_tracker(predictor, {} if request.example is None else {number: [request.example]})
        if request.text is not None:
            tracker.add({number: request.text})
        return tracker.step(image, boxes=boxes, points=points)
    start = SCORE_THRESHOLD if predictor.score_threshold is None else predictor.score_threshold
    return predictor.segment_objects(
        image,
        {} if request.text is None else {number: request.text},
        {} if request.example is None else {number: [request.example]},
        probabilities=True,
        score_threshold=start,
        start_threshold=start,
        boxes=boxes,
        points=points,
    )


def read_example(image: bytes, mask: bytes) -> tuple[UInt8Image, BoolMask]:
    """The files of an example, as `Request` has it. Raises MediaError where one is not an image, or they do not fit."""
    with tempfile.TemporaryDirectory(prefix="uniref-") as folder:
        paths = [Path(folder, name) for name in ("image of the example", "mask of the example")]
        for path, content in zip(paths, (image, mask), strict=True):
            path.write_bytes(content)
        try:
            pixels, marked = read_image(paths[0]), read_mask(paths[1]) > 0
        except UniRefError as error:
            raise MediaError(str(error).replace(f"{folder}/", "")) from None
    if marked.shape != pixels.shape[:2]:
        raise MediaError(
            f"mask of the example: is {marked.shape[1]} x {marked.shape[0]} pixels, but its image is "
            f"{pixels.shape[1]} x {pixels.shape[0]}"
        )
    if not marked.any():
        raise MediaError("mask of the example: marks no pixel; it must mark the object")
    return pixels, np.asarray(marked, np.bool_)
