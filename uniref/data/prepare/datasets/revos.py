"""ReVOS (Yan et al., "VISA: Reasoning Video Object Segmentation via Large Language Models", ECCV 2024).

`JPEGImages/<video>/<frame>.jpg` (a video's name has folders, as UVO/all/2E4T5NCywcE), `mask_dict.json`,
`mask_dict_foreground.json` and `meta_expressions_{train,valid}_.json` (read in cilinyan/ReVOS-api, README.md, and in
cilinyan/VISA, `tools/eval_revos.py`). An expression's `type_id` is 0 for one that refers, 1 for one that needs
reasoning, and 2 for one that means nothing in the video. The evaluation compares wrong pixels with all foreground of
the video: an object of the category `foreground`, to which no expression refers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from uniref.core import rle
from uniref.core.tasks import Task
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare.dataset import OVIS_VIDEOS, DataSet, no_counts
from uniref.data.prepare.job import BadRecord, ConversionJob
from uniref.data.prepare.mask_dict import (
    ExpressionVideo,
    add_expression_video,
    expression_video,
    note_no_target,
    read_mask_dict,
)
from uniref.data.prepare.regions import merge_regions, region_of_counts
from uniref.data.prepare.videos import read_video_json
from uniref.data.protocol import FOREGROUND, REASONING_TYPES, VIDEO_EXPRESSIONS

_META = {"train": "meta_expressions_train_.json", "val": "meta_expressions_valid_.json"}
_FOREGROUND = 1
"""Category id."""


def convert(job: ConversionJob) -> None:
    """One sample per expression."""
    meta_file = job.need(*(f"{folder}{_META[job.split]}" for folder in ("ReVOS/", "")))
    base = meta_file.parent
    videos = read_video_json(job, meta_file, "expressions", "frames", nested=True)
    masks = read_mask_dict(job, base / "mask_dict.json")
    foreground = read_mask_dict(job, base / "mask_dict_foreground.json") if job.split == "val" else None
    names = job.first(sorted(videos))
    nothing = every = 0
    with job.writer({"revos": base}, categories={_FOREGROUND: FOREGROUND}) as writer:
        for name in job.progress(names, f"revos/{job.split}", len(names), "video"):
            with job.record(f"{meta_file}: video {name}"):
                video = expression_video(base, f"JPEGImages/{name}", name, videos[name], masks, _type)
                regions = [] if foreground is None else _foreground(video, foreground)
                add_expression_video(writer, video, "revos")
                _add_foreground(writer, regions)
                every += len(video.texts)
                nothing += sum(not keys for keys in (video.objects or {}).values())
        note_no_target(job, nothing, every)


def _type(expression: Mapping[str, Any]) -> int:
    number = expression["type_id"]
    if not isinstance(number, int) or not 0 <= number < len(REASONING_TYPES):
        raise BadRecord(f"the type_id of {expression['exp']!r} is {number!r}, not 0, 1 or 2")
    return number


def _foreground(video: ExpressionVideo, masks: Mapping[str, Any]) -> list[tuple[int, Any, int]]:
    """(frame, region, pixels) of every frame with foreground; pixels that several instances share count once for each,
    as in the published evaluator. Raises BadRecord."""
    if video.name not in masks:
        raise BadRecord("is not in mask_dict_foreground.json")
    of_frames = masks[video.name]["masks_rle"]
    if len(of_frames) != len(video.frames):
        raise BadRecord(f"has {len(of_frames)} foreground masks for {len(video.frames)} frames")
    size = video.height, video.width
    found = []
    for frame, each in enumerate(of_frames):
        parts = each if isinstance(each, list) else [] if each is None else [each]
        encoded = [rle.from_segmentation(part, *size) for part in parts]
        regions = [region_of_counts(counts, *size) for counts in encoded if counts is not None]
        if regions:
            found.append((frame, merge_regions(regions, *size), sum(region.area for region in regions)))
    return found


def _add_foreground(writer: IndexWriter, regions: list[tuple[int, Any, int]]) -> None:
    if regions:
        writer.add_object(source_id=-1, category=_FOREGROUND)
    for frame, region, pixels in regions:
        writer.add_annotation(frame, region.box, region.counts, pixels, TRUTH)


DATASETS = (
    DataSet(
        name="revos",
        title="ReVOS (expressions that need reasoning, or mean nothing in the video)",
        task=Task.RVOS,
        splits=no_counts("train", "val"),
        convert=convert,
        size="not published",
        licence="CC BY-NC-SA 4.0",
        page="https://github.com/cilinyan/ReVOS-api",
        files="JPEGImages.zip, mask_dict.json, mask_dict_foreground.json and meta_expressions_{train,valid}_.json",
        layout="JPEGImages/<source>/.../<video>/<frame>.jpg, mask_dict.json, mask_dict_foreground.json, "
        "meta_expressions_{train,valid}_.json",
        group="revos",
        papers=("VISA (train, val)", "HyperSeg (train, val)", "InstructSeg (train, val)"),
        protocol=replace(VIDEO_EXPRESSIONS, summary="reasoning", missing="zero"),
        media_family=OVIS_VIDEOS,
    ),
)
