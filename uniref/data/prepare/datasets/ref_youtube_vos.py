"""Ref-YouTube-VOS (Seo et al., "URVOS: Unified Referring Video Object Segmentation Network", ECCV 2020).

Frames and masks of YouTube-VOS 2019, and `meta_expressions/<split>/meta_expressions.json`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from uniref.core.files import exists, is_folder
from uniref.core.tasks import Task
from uniref.data.index import IndexWriter
from uniref.data.prepare.dataset import RESEARCH_TERMS, DataSet, PublishedCounts
from uniref.data.prepare.datasets.youtube_vos import add_object, category_ids, read_meta, split_folder, video_objects
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.videos import VideoFiles, add_labelled_video, read_labelled_videos, read_video_json, text_of
from uniref.data.prepare.youtube_vis_json import Video, YoutubeVis, add_all, add_video, find_released
from uniref.data.protocol import REF_YOUTUBE_VOS_SERVER, VIDEO_EXPRESSIONS


def convert(job: ConversionJob) -> None:
    """Train: one sample per object with all its expressions. Val: one per expression, without masks."""
    folder = "train" if job.split == "train" else "valid"
    official = find_released(job, [f"meta_expressions/{folder}/meta_expressions.json"])
    if official is not None:
        _convert_released(job, official)
    elif job.split == "train":
        _convert_train(job)
    else:
        _convert_val(job)


def _expressions(job: ConversionJob, split: str) -> dict[str, Any]:
    path = job.need(f"meta_expressions/{split}/meta_expressions.json")
    return read_video_json(job, path, "expressions", "frames")


def _convert_train(job: ConversionJob) -> None:
    base = split_folder(job)
    # objects, expressions and frames
    meta = read_meta(job, base)
    videos = _expressions(job, "train")
    files = [VideoFiles(name, base / "JPEGImages" / name, base / "Annotations" / name) for name in sorted(videos)]
    categories = category_ids(meta)
    with job.writer({"youtube-vos": base}, categories={i: n for n, i in categories.items()}) as writer:
        for video in read_labelled_videos(job, files):
            if meta is not None and video.name not in meta:
                job.bad(job.video(video.name), "has expressions but is not in meta.json")
                continue
            # the video's objects, and their expressions
            objects = video_objects(job, video, meta)
            if objects is None:
                continue
            texts: dict[int, list[tuple[str, str]]] | None = None
            with job.record(job.video(video.name)):
                texts = _by_object(videos[video.name]["expressions"], objects)
            if texts is None:
                continue
            # one sample per object that has expressions
            add_labelled_video(writer, video, "youtube-vos", f"JPEGImages/{video.name}", complete=False)
            for number, info in objects.items():
                if number not in texts:
                    writer.drop("object without an expression")
                    continue
                row = add_object(writer, video, number, info, categories, prompted=False)
                added = [writer.add_expression(text, source_id=exp) for exp, text in texts[number]]
                writer.add_sample(objects=[row], expressions=added)


def _by_object(expressions: Mapping[str, Any], objects: Collection[int]) -> dict[int, list[tuple[str, str]]]:
    """(id, text) of every expression, by the object that it describes."""
    texts: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for number, expression in expressions.items():
        texts[int(expression["obj_id"])].append((number, text_of(expression["exp"])))
    if unknown := sorted(set(texts) - set(objects)):
        raise BadRecord(f"an expression names object {unknown[0]}, which it does not have")
    return texts


def _convert_val(job: ConversionJob) -> None:
    base = split_folder(job)
    videos = _expressions(job, "valid")
    # the published list also holds the test videos, whose own list was later withdrawn with their frames
    if job.find("meta_expressions/test/meta_expressions.json") is not None:
        names = sorted(set(videos) - set(_expressions(job, "test")))
    else:
        names = sorted(name for name in videos if is_folder(base / "JPEGImages" / name))
    names = list(job.first(names))
    with job.writer({"youtube-vos": base}) as writer:
        for name in job.progress(names, f"ref-youtube-vos/{job.split}", len(names), "video"):
            with job.record(job.video(name)):
                _add_val_video(writer, base, name, videos[name])


def _add_val_video(writer: IndexWriter, base: Path, name: str, video: dict[str, Any]) -> None:
    folder = base / "JPEGImages" / name
    frames = [f"{frame}.jpg" for frame in video["frames"]]
    for frame in frames:
        if not exists(folder / frame):
            raise BadRecord(f"{folder / frame}: no such file")
    height, width = image_size(folder / frames[0])
    texts = {number: text_of(expression["exp"]) for number, expression in video["expressions"].items()}
    writer.add_media(
        name=name,
        kind="frames",
        root="youtube-vos",
        path=f"JPEGImages/{name}",
        frames=frames,
        width=width,
        height=height,
        complete=False,
    )
    for number, text in texts.items():
        writer.add_sample(expressions=[writer.add_expression(text, source_id=number)])


def _convert_released(job: ConversionJob, path: Path) -> None:
    """The released system's own files: training has one record per object, validation one per expression."""
    source = YoutubeVis(job, path)
    group = job.dataset.group
    with job.writer({group: source.root}, categories=source.categories) as writer:
        for _, videos in groupby(_with_texts(job, source), key=lambda video: video.folder):
            _add_records(job, writer, list(videos), group)


def _add_records(job: ConversionJob, writer: IndexWriter, videos: list[Video], group: str) -> None:
    """The records of one video: an object each (training) or an expression each."""
    add_video(writer, videos[0], group, complete=False)
    for video in videos:
        rows = add_all(job, writer, video, prompted=False)
        number = str(video.record.get("exp_id", ""))
        texts = enumerate(video.record["expressions"])
        added = [writer.add_expression(text, source_id=number or str(i)) for i, text in texts]
        writer.add_sample(objects=rows, expressions=added)


def _with_texts(job: ConversionJob, source: YoutubeVis) -> Iterator[Video]:
    for video in source.videos():
        if video.record.get("expressions"):
            yield video
        else:
            job.bad(f"{source.path}: video {video.record['id']}", "has no expressions")


DATASETS = (
    DataSet(
        name="ref-youtube-vos",
        title="Ref-YouTube-VOS",
        task=Task.RVOS,
        splits={"train": PublishedCounts(3_471, 6_388, 12_913, 6_388), "val": PublishedCounts(202)},
        convert=convert,
        size="about 11 GB",
        licence=RESEARCH_TERMS,
        page="https://youtube-vos.org/dataset/rvos/",
        files="train.zip, valid.zip and the meta_expressions folder (frames are shared with youtube-vos-2019)",
        layout="{train,valid}/{JPEGImages,Annotations}/<video>/<frame>.{jpg,png}, "
        "meta_expressions/{train,valid}/meta_expressions.json",
        group="youtube-vos-2019",
        papers=("UniRef++ (train, val)", "ReferFormer (train, val)", "URVOS (train, val)"),
        folders=("ref-youtube-vos", "refytvos", "rvos", "ytbvos19", "youtube2019", "youtube-vos"),
        protocol=replace(VIDEO_EXPRESSIONS, name="Annotations/{media}/{expression}", server=REF_YOUTUBE_VOS_SERVER),
        hidden=("val",),
    ),
)
