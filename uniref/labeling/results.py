"""Stored masks as the results that `uniref predict` has, for its outputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core.boxes import mask_box
from uniref.core.types import BoolMask
from uniref.inference.prompt_masks import GivenMask
from uniref.inference.prompts import Objects
from uniref.inference.results import FrameResult
from uniref.labeling.reader import ProjectReader
from uniref.labeling.records import MaskRecord, unpack_soft
from uniref.media.frame import SourceFrame

_NO_END = 1 << 60


@dataclass(frozen=True)
class LabelledObjects(Objects):
    """The objects of a project, which have names besides their texts."""

    names: dict[int, str] = field(default_factory=dict)
    """Object id -> what the user called it."""

    def describe(self, number: int) -> dict[str, Any]:
        """How an object was given, for reports; its name is its `text` where it has none."""
        about = super().describe(number)
        return ({"text": self.names[number]} if number in self.names else {}) | about

    def phrases(self, number: int) -> list[str]:
        """What refers to an object: its text and its name, where it has them."""
        return [words for words in (self.texts.get(number), self.names.get(number)) if words]


def default_name(number: int) -> str:
    """What an object is called until the user says."""
    return f"object {number}"


def labelled_objects(project: ProjectReader) -> LabelledObjects:
    """The objects of a project that have a mask."""
    objects = LabelledObjects()
    for record in project.objects():
        number = record.object
        given = project.given(number)
        text = next((each.about["text"] for each in reversed(given) if "text" in each.about), None)
        if text is not None:
            objects.texts[number] = str(text)
            if first := next(each.frame for each in given if "text" in each.about):
                objects.text_frames[number] = first
        elif mask := next(iter(given), project.nearest(number, 0, 1, _NO_END)):
            kept = GivenMask(Path(), (mask.height, mask.width), mask.counts)
            objects.masks.setdefault(mask.frame, {})[number] = kept
        else:
            continue
        if record.name != default_name(number):
            objects.names[number] = record.name
    return objects


def frame_result(
    frame: SourceFrame,
    records: Sequence[MaskRecord],
    independent: Collection[int],
    is_image: bool,
    numbers: Sequence[int] = (),
    probabilities: bool = False,
) -> FrameResult:
    """The stored masks of a frame as one result.

    Args:
        frame: The frame.
        records: Its masks.
        independent: Objects whose masks may overlap others': those of texts.
        is_image: The frame is an image of its own, whose masks may all overlap.
        numbers: Of a damaged frame: all objects.
        probabilities: The result holds masks with soft edges too.
    """
    size = (frame.image.shape[0], frame.image.shape[1])
    if frame.damaged:
        empty = {number: np.zeros(size, np.bool_) for number in numbers}
        return FrameResult(frame.index, np.zeros(size, np.uint8), empty, {}, {})
    # pixels of several objects: the user's masks come before others; then, of an image the most confident, of a video
    # the lowest id wins
    labels = np.zeros(size, np.uint8)
    masks = {each.object: each.pixels for each in records}
    for each in sorted(records, key=_image_rank if is_image else _video_rank):
        labels[each.own_pixels] = each.object
    shown = {n: mask if is_image or n in independent else labels == n for n, mask in sorted(masks.items())}
    return FrameResult(
        index=frame.index,
        labels=labels,
        masks=shown,
        scores={each.object: each.score for each in records if each.score is not None},
        boxes={each.object: _box(each, shown) for each in records},
        probabilities={each.object: _soft(each) for each in records} if probabilities else {},
    )


def _video_rank(record: MaskRecord) -> tuple[int, int]:
    return record.given, -record.object


def _image_rank(record: MaskRecord) -> tuple[float, int]:
    return record.score or 0.0, record.object


def _box(record: MaskRecord, masks: Mapping[int, BoolMask]) -> npt.NDArray[np.float32]:
    if record.box is not None and len(record.box) == 16:
        return np.frombuffer(record.box, "<f4").astype(np.float32)
    return np.array(mask_box(masks[record.object]) or (0, 0, 0, 0), np.float32)


def _soft(record: MaskRecord) -> npt.NDArray[np.float32]:
    if record.soft is None:
        return record.pixels.astype(np.float32)
    return unpack_soft(record.soft, record.height, record.width)
