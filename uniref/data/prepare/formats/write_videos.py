"""The one way in which clips of every format become media, tracks, phrases and samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.index import IndexWriter
from uniref.data.prepare import youtube_vis_json
from uniref.data.prepare.formats.file_tree import FileTree
from uniref.data.prepare.formats.tables import ROOT, Table
from uniref.data.prepare.formats.write_images import (
    ColourNumbers,
    choose_task,
    number_classes,
    phrase_of,
    read_tables,
)
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.videos import LabelledVideo, VideoFiles, add_labelled_video, add_track, read_labelled_videos

Classes = Mapping[str, Mapping[int, str]]
"""Class names by clip and object."""


def write_videos(
    job: ConversionJob,
    base: Path,
    files: Sequence[VideoFiles],
    classes: Classes | None = None,
    clips: Iterable[LabelledVideo] | None = None,
) -> None:
    """Write the index of a split of clips.

    Phrases are those of `phrases.csv`; with `--task rvos` and without a table, class names are used.

    Args:
        job: What is prepared.
        base: Where tables lie, and what paths in the index start at.
        files: Every clip, by which it is found below `base`.
        classes: What objects are, where the format says it.
        clips: The clips as read, in the order of `files`; by default their label maps are read.

    Raises:
        UniRefError: A bad record that is not skipped.
    """
    phrases, table = read_tables(job, (base, *job.bases))
    _unknown_files(job, {each.name for each in files}, phrases, table)
    named = {name: dict(objects) for name, objects in (classes or {}).items()}
    for name, objects in table.texts.items():
        named.setdefault(name, {}).update({number: texts[0] for number, texts in objects.items()})
    task = choose_task(job, Task.RVOS if phrases else Task.VOS)
    numbers = number_classes({}, {text for objects in named.values() for text in objects.values()})
    places = {each.name: each.frames.relative_to(base).as_posix() for each in files}
    colours = ColourNumbers()
    with job.writer({ROOT: base}, task, {number: name for name, number in numbers.items()}) as writer:
        for clip in read_labelled_videos(job, files) if clips is None else clips:
            complete = len(clip.labelled) == clip.length
            add_labelled_video(writer, clip, ROOT, places[clip.name], complete=complete)
            mine = named.get(clip.name, {})
            rows = {}
            for number, track in clip.tracks.items():
                given = min(track, default=-1) if task is Task.VOS else -1
                category = numbers.get(mine.get(number, ""), -1)
                rows[number] = add_track(writer, number, track, given=given, category=category)
            for note in clip.notes:
                colours.note(note, clip.name)
            if task is Task.RVOS:
                _add_said(job, writer, clip.name, rows, phrases, mine)
            elif rows:
                writer.add_sample(objects=list(rows.values()))
        colours.tell(job)


def _add_said(
    job: ConversionJob,
    writer: IndexWriter,
    clip: str,
    rows: Mapping[int, int],
    phrases: Table,
    classes: Mapping[int, str],
) -> None:
    """A sample for every object that something is said of; class names where nothing is said at all."""
    if not phrases:
        groups: dict[str, list[int]] = defaultdict(list)
        for number, row in rows.items():
            if phrase := phrase_of(classes.get(number, "")):
                groups[phrase].append(row)
        for phrase, mine in groups.items():
            text = phrase if len(mine) == 1 else f"every {phrase.removeprefix('the ')}"
            writer.add_sample(objects=mine, expressions=[writer.add_expression(text, source_id="0")])
    for number, texts in phrases.of(clip).items():
        if number not in rows:
            job.bad(f"{phrases.path}: {clip}", f"a phrase names object {number}, which its masks do not show")
            continue
        added = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(texts)]
        writer.add_sample(objects=[rows[number]], expressions=added)


def _unknown_files(job: ConversionJob, known: set[str], *tables: Table) -> None:
    for table in tables:
        for file in sorted(set(table.texts) - known):
            job.bad(f"{table.path}", f"{file}: there is no such picture or clip")


def prepare_youtube_vis(job: ConversionJob, paths: Sequence[Path], trees: Sequence[FileTree]) -> None:
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
                _add_classes_as_phrases(writer, video, rows, source.categories)
            elif rows and (added or task is Task.VOS):
                writer.add_sample(objects=rows, expressions=added)


def _add_classes_as_phrases(
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
