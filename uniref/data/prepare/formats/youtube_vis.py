"""YouTube-VIS JSON of users: clips with tracks, and phrases if `expressions` gives some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.index import IndexWriter
from uniref.data.prepare import youtube_vis_json
from uniref.data.prepare.formats.file_tree import FileTree
from uniref.data.prepare.formats.write_images import ROOT, choose_task, phrase_of
from uniref.data.prepare.job import ConversionJob


def prepare(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from one file. Raises UniRefError."""
    if len(paths) > 1:
        raise UniRefError(f"{paths[0]}: and {paths[1]} are both of split {job.split}; name one with --source")
    source = youtube_vis_json.YoutubeVis(job, paths[0])
    said = any(record.get("expressions") for record in source.records)
    task = choose_task(job, Task.RVOS if said else Task.VOS)
    with job.writer({ROOT: source.root}, task, source.categories) as writer:
        for video in source.videos():
            youtube_vis_json.add_video(writer, video, ROOT, complete=True)
            rows = youtube_vis_json.add_all(job, writer, video, given=task is Task.VOS)
            texts = video.record.get("expressions") or () if task is Task.RVOS else ()
            added = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(texts)]
            if task is Task.RVOS and not said:
                _add_by_class(writer, video, rows, source.categories)
            elif rows and (added or task is Task.VOS):
                writer.add_sample(objects=rows, expressions=added)


def _add_by_class(
    writer: IndexWriter, video: youtube_vis_json.Video, rows: Sequence[int], categories: Mapping[int, str]
) -> None:
    """A sample for every class of a clip."""
    groups: dict[str, list[int]] = defaultdict(list)
    singles = [annotation for annotation in video.annotations if not annotation.get("iscrowd")]
    if len(singles) != len(rows):
        return  # some could not be used: which row is whose is not known
    for annotation, row in zip(singles, rows, strict=True):
        if phrase := phrase_of(categories.get(int(annotation.get("category_id", -1)), "")):
            groups[phrase].append(row)
    for phrase, mine in groups.items():
        text = phrase if len(mine) == 1 else f"every {phrase.removeprefix('the ')}"
        writer.add_sample(objects=mine, expressions=[writer.add_expression(text, source_id="0")])
