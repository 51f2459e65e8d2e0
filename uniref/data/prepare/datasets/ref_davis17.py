"""Ref-DAVIS17 (Khoreva et al., "Video Object Segmentation with Language Referring Expressions", ACCV 2018).

DAVIS 2017 with its unsupervised masks and four descriptions of every object:
`DAVIS/Annotations_unsupervised/480p/<sequence>`, and `davis_text_annotations/Davis17_annot{1,2}[_full_video].txt` with
lines `<sequence> <object> "<expression>"`. Pixels of value 255 are void: they do not count.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from uniref.core.tasks import Task
from uniref.data.prepare.dataset import RESEARCH_TERMS, DataSet, PublishedCounts, RemoteFile
from uniref.data.prepare.datasets.davis17 import DAVIS_SITE
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.regions import VOID
from uniref.data.prepare.videos import VideoFiles, add_labelled_video, add_track, read_labelled_videos, text_of
from uniref.data.protocol import VIDEO_EXPRESSIONS

_TEXTS = (
    ("Davis17_annot1.txt", "utf-8"),
    ("Davis17_annot1_full_video.txt", "utf-8"),
    ("Davis17_annot2.txt", "latin-1"),
    ("Davis17_annot2_full_video.txt", "latin-1"),
)
_SPELLING = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}

Texts = dict[str, dict[int, str]]
"""Expressions by sequence and object number."""


def convert(job: ConversionJob) -> None:
    """One sample per sequence and annotator (groups 0..3); its expression j describes its object j."""
    # masks, texts and the list of sequences
    masks = job.need(*(f"{folder}Annotations_unsupervised/480p" for folder in ("", "DAVIS/")))
    root = masks.parents[1]
    list_file = root / "ImageSets/2017/val.txt"
    texts = _texts(job)
    files = [VideoFiles(name, root / "JPEGImages/480p" / name, masks / name) for name in job.read_lines(list_file)]
    undescribed = 0
    with job.writer({"davis": root}) as writer:
        for video in read_labelled_videos(job, files, every_frame=True):
            # the objects that all annotators describe
            described = [annotator.get(video.name, {}) for annotator in texts]
            numbers = sorted(described[0])
            if not numbers or any(sorted(d) != numbers for d in described):
                job.bad(job.video(video.name), "the four annotators do not describe the same objects")
                continue
            if missing := sorted(set(numbers) - set(video.tracks)):
                job.bad(job.video(video.name), f"object {missing[0]} is described but has no mask")
                continue
            undescribed += len(set(video.tracks) - set(numbers))
            # the video with all its objects
            add_labelled_video(writer, video, "davis", f"JPEGImages/480p/{video.name}", complete=True)
            rows = {number: add_track(writer, number, track) for number, track in video.tracks.items()}
            if video.void:  # the unsupervised protocol leaves these pixels out
                add_track(writer, VOID, video.void, crowd=True)
            # one sample per annotator
            for annotator, expressions in enumerate(described):
                added = [
                    writer.add_expression(
                        expressions[number], source_id=str(4 * index + annotator), annotator=annotator
                    )
                    for index, number in enumerate(numbers)
                ]
                writer.add_sample(objects=[rows[n] for n in numbers], expressions=added, group=annotator)
        if undescribed:
            writer.notes.append(f"{undescribed} objects have masks but no expression")


def _texts(job: ConversionJob) -> list[Texts]:
    """Of the four annotators: the publishers' files, else the released system's `valid_{0..3}.json`."""
    first = f"davis_text_annotations/{_TEXTS[0][0]}"
    patterns = [f"{pattern}valid_{{}}.json" for pattern in ("", "annotations/")]
    released = [job.find(*(pattern.format(n) for pattern in patterns)) for n in range(4)]
    named = any(path.name == "valid_0.json" for path in job.named)
    if all(released) and (named or job.find(first, _TEXTS[0][0]) is None):
        return [_read_released(job, path) for path in released if path is not None]
    return [_read(job, job.need(f"davis_text_annotations/{name}", name), encoding) for name, encoding in _TEXTS]


def _read_released(job: ConversionJob, path: Path) -> Texts:
    """Records `{"video": name, "expressions": [[text of object 1, of object 2, ...]]}`."""
    data = job.read_json(path)
    texts: Texts = {}
    for position, record in enumerate(data.get("videos", ()) if isinstance(data, dict) else ()):
        with job.record(f"{path}: video {position}"):
            (expressions,) = record["expressions"]
            texts[str(record["video"])] = {n: text_of(text) for n, text in enumerate(expressions, start=1)}
    return texts


def _read(job: ConversionJob, path: Path, encoding: str) -> Texts:
    texts: Texts = defaultdict(dict)
    for number, line in enumerate(job.read_lines(path, encoding), start=1):
        parts = line.split(maxsplit=2)
        if len(parts) != 3 or not parts[1].isdecimal():
            job.bad(f"{path}: line {number}", 'is not `<sequence> <object> "<expression>"`')
            continue
        sequence, object_id, text = parts
        texts[_SPELLING.get(sequence, sequence)][int(object_id)] = text[1:-1]  # within quotes, of various kinds
    return texts


DATASETS = (
    DataSet(
        name="ref-davis17",
        title="Ref-DAVIS17",
        task=Task.RVOS,
        splits={"val": PublishedCounts(30, None, 244, 120, frames=1_999)},
        convert=convert,
        size="about 1 GB",
        licence=RESEARCH_TERMS,
        page="https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/"
        "video-segmentation/video-object-segmentation-with-language-referring-expressions",
        files="DAVIS-2017-Unsupervised-trainval-480p.zip and davis_text_annotations.zip",
        layout="DAVIS/{JPEGImages,Annotations_unsupervised}/480p/<sequence>/%05d.{jpg,png}, "
        "davis_text_annotations/Davis17_annot{1,2}[_full_video].txt",
        group="davis",
        papers=("UniRef++ (val)", "ReferFormer (val)"),
        folders=("ref-davis", "ref-davis17", "refdavis"),
        downloads=(
            RemoteFile(f"{DAVIS_SITE}/DAVIS-2017-Unsupervised-trainval-480p.zip"),
            RemoteFile("https://www.mpi-inf.mpg.de/fileadmin/inf/d2/khoreva/davis_text_annotations.zip"),
        ),
        protocol=replace(
            VIDEO_EXPRESSIONS, summary="assigned", name="valid_{group}/{media}", mode="P", propagate=False
        ),
    ),
)
