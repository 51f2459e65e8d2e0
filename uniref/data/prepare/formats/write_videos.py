"""Writes the index of users' videos, for every format: media, tracks, phrases and samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.index import IndexWriter
from uniref.data.prepare import youtube_vis_json
from uniref.data.prepare.formats.file_tree import FileTree
from uniref.data.prepare.formats.tables import ROOT, TextTable
from uniref.data.prepare.formats.write_images import (
    ColourNumbers,
    add_class_samples,
    choose_task,
    number_classes,
    phrase_of,
    read_tables,
)
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.videos import LabelledVideo, VideoFiles, add_labelled_video, add_track, read_labelled_videos

Classes = Mapping[str, Mapping[int, str]]
"""Class names by video and object."""


def write_videos(
    job: ConversionJob,
    base: Path,
    files: Sequence[VideoFiles],
    classes: Classes | None = None,
    videos: Iterable[LabelledVideo] | None = None,
) -> None:
    """Write the index of a split of videos.

    Phrases are those of `phrases.csv`; with `--task rvos` and without a table, class names are used.

    Args:
        job: The split that is prepared.
        base: Where tables lie, and what paths in the index start at.
        files: Where the frames of every video are, below `base`.
        classes: Class names of objects, where the format has them.
        videos: The videos as read, in the order of `files`; by default their label maps are read.

    Raises:
        UniRefError: A bad record that is not skipped.
    """
    phrases, table = read_tables(job, (base, *job.bases))
    _unknown_files(job, {each.name for each in files}, phrases, table)
    # class names: of the format, else of classes.csv
    classes_of = {name: dict(objects) for name, objects in (classes or {}).items()}
    for name, objects in table.texts.items():
        classes_of.setdefault(name, {}).update({number: texts[0] for number, texts in objects.items()})
    # what the samples are, and the numbers of classes
    task = choose_task(job, Task.RVOS if phrases else Task.VOS)
    numbers = number_classes({}, {text for objects in classes_of.values() for text in objects.values()})
    paths = {each.name: each.frames.relative_to(base).as_posix() for each in files}
    colours = ColourNumbers()
    with job.writer({ROOT: base}, task, {number: name for name, number in numbers.items()}) as writer:
        for video in read_labelled_videos(job, files) if videos is None else videos:
            # the video and its tracks
            complete = len(video.labelled) == video.length
            add_labelled_video(writer, video, ROOT, paths[video.name], complete=complete)
            class_names = classes_of.get(video.name, {})
            rows = {}
            for number, track in video.tracks.items():
                given_frame = min(track, default=-1) if task is Task.VOS else -1
                category = numbers.get(class_names.get(number, ""), -1)
                rows[number] = add_track(writer, number, track, given_frame=given_frame, category=category)
            for note in video.notes:
                colours.note(note, video.name)
            # its samples
            if task is Task.RVOS:
                _add_phrases(job, writer, video.name, rows, phrases, class_names)
            elif rows:
                writer.add_sample(objects=list(rows.values()))
        colours.add_notes(job)


def _add_phrases(
    job: ConversionJob,
    writer: IndexWriter,
    video: str,
    rows: Mapping[int, int],
    phrases: TextTable,
    classes: Mapping[int, str],
) -> None:
    """One sample per object that has phrases; class names where there are no phrases at all."""
    if not phrases:
        groups: dict[str, list[int]] = defaultdict(list)
        for number, row in rows.items():
            if phrase := phrase_of(classes.get(number, "")):
                groups[phrase].append(row)
        add_class_samples(writer, groups)
    for number, texts in phrases.of(video).items():
        if number not in rows:
            job.bad(f"{phrases.path}: {video}", f"a phrase names object {number}, which its masks do not show")
            continue
        added = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(texts)]
        writer.add_sample(objects=[rows[number]], expressions=added)


def _unknown_files(job: ConversionJob, names: set[str], *tables: TextTable) -> None:
    for table in tables:
        for file in sorted(set(table.texts) - names):
            job.bad(f"{table.path}", f"{file}: there is no such image or video")


def prepare_youtube_vis(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
    """One split from one YouTube-VIS JSON, with phrases if its videos have `expressions`. Raises UniRefError."""
    if len(paths) > 1:
        raise UniRefError(f"{paths[0]}: and {paths[1]} are both of split {job.split}; name one with --source")
    source = youtube_vis_json.YoutubeVis(job, paths[0])
    has_phrases = any(record.get("expressions") for record in source.records)
    task = choose_task(job, Task.RVOS if has_phrases else Task.VOS)
    with job.writer({ROOT: source.root}, task, source.categories) as writer:
        for video in source.videos():
            youtube_vis_json.add_video(writer, video, ROOT, complete=True)
            rows = youtube_vis_json.add_all(job, writer, video, prompted=task is Task.VOS)
            texts = video.record.get("expressions") or () if task is Task.RVOS else ()
            added = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(texts)]
            if task is Task.RVOS and not has_phrases:
                _add_classes_as_phrases(writer, video, rows, source.categories)
            elif rows and (added or task is Task.VOS):
                writer.add_sample(objects=rows, expressions=added)


def _add_classes_as_phrases(
    writer: IndexWriter, video: youtube_vis_json.Video, rows: Sequence[int], categories: Mapping[int, str]
) -> None:
    """One sample per class of a video."""
    groups: dict[str, list[int]] = defaultdict(list)
    singles = [annotation for annotation in video.annotations if not annotation.get("iscrowd")]
    if len(singles) != len(rows):
        return  # some could not be used: which row is whose is not known
    for annotation, row in zip(singles, rows, strict=True):
        if phrase := phrase_of(categories.get(int(annotation.get("category_id", -1)), "")):
            groups[phrase].append(row)
    add_class_samples(writer, groups)
