"""What a user's masks change in a project: the mask itself, and what was followed around it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from uniref.core import rle
from uniref.core.errors import UsageError
from uniref.core.types import BoolMask
from uniref.inference.results import FrameResult
from uniref.labeling.records import MaskRecord
from uniref.labeling.store import ProjectStore
from uniref.labeling.tracking import record_of


def painted_record(number: int, frame: int, mask: BoolMask) -> MaskRecord:
    """A mask, bool [H, W], that the user painted."""
    return MaskRecord(
        object=number,
        frame=frame,
        given=1,
        prompt=json.dumps({"kind": "mask"}),
        score=1.0,
        box=None,
        height=mask.shape[0],
        width=mask.shape[1],
        counts=rle.encode(mask),
        area=int(mask.sum()),
    )


def suggested_record(result: FrameResult, number: int, frame: int, prompt: Mapping[str, Any]) -> MaskRecord:
    """A mask that the model found for what the user asked, described by `prompt`."""
    record = record_of(replace(result, index=frame), number, None)
    return replace(record, given=1, prompt=json.dumps(dict(prompt)), own=None)


def read_runs(runs: Any, size: tuple[int, int], name: str) -> BoolMask:
    """A mask of COCO's run lengths, plain or compressed, bool [H, W].

    Args:
        runs: With `size` and `counts`.
        size: (H, W) that it must have.
        name: For messages.

    Raises:
        UsageError: Not the run lengths of a mask of this size, or an empty mask.
    """
    try:
        if not isinstance(runs, dict):
            raise ValueError("is not an object with size and counts")
        counts = rle.from_segmentation(runs, *size)
        mask = np.zeros(size, np.bool_) if counts is None else rle.decode(counts, *size)
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{name}: {error}") from None
    if not mask.any():
        raise UsageError(f"{name}: marks no pixel; clear the mask instead")
    return mask


def give_mask(store: ProjectStore, action: int, record: MaskRecord) -> None:
    """Store a given mask. What follows it, up to the object's next given mask, is out of date from now on; what was
    before it stays."""
    number, frame = record.object, record.frame
    given = store.given(number)
    same = next((each for each in given if each.frame == frame), None)
    before = next((each for each in reversed(given) if each.frame < frame), None)
    after = next((each for each in given if each.frame > frame), None)
    backwards = same.backwards if same is not None else None
    # masks before this frame that were followed back from the next given one: this one stands for them now
    if after is not None and after.backwards is not None and after.backwards <= frame:
        backwards = after.backwards if after.backwards < frame else None
        store.put_mask(action, replace(after, backwards=None))
    if before is not None and before.forwards is not None and before.forwards >= frame:
        store.set_reach(action, number, before.frame, frame - 1, None)
    # a text goes on to hold where its mask is corrected in the same frame
    text = None if same is None else same.about.get("text")
    if text is not None and "text" not in record.about:
        record = replace(record, prompt=json.dumps(record.about | {"text": text}))
    store.put_mask(action, replace(record, forwards=None, backwards=backwards))
