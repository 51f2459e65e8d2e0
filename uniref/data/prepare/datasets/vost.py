"""VOST (Tokmakov et al., "Breaking the 'Object' in Video Object Segmentation", CVPR 2023): objects are transformed.

`{JPEGImages,Annotations}/<sequence>/*.{jpg,png}`, `ImageSets/<split>.txt` (read in TRI-ML/VOST, `data.html` and
`evaluation/source/dataset.py`). Frames without a label map are left out; 255 is background. The objects of a sequence
are all ids up to the largest in its first label map.
"""

from __future__ import annotations

from dataclasses import replace

from uniref.core.tasks import Task
from uniref.data.index import IndexWriter
from uniref.data.prepare.dataset import DataSet, RemoteFile, no_counts
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.regions import empty_region
from uniref.data.prepare.videos import LabelledVideo, VideoFiles, add_labelled_video, add_track, read_labelled_videos
from uniref.data.protocol import VIDEO_OBJECTS


def convert(job: ConversionJob) -> None:
    """One sample per sequence; the first label map is the prompt."""
    lists = [f"{folder}ImageSets/{job.split}.txt" for folder in ("VOST/", "")]
    list_file = job.need(*lists)
    root = list_file.parents[1]
    names = job.read_names(list_file)
    files = [VideoFiles(name, root / "JPEGImages" / name, root / "Annotations" / name) for name in names]
    with job.writer({"vost": root}) as writer:
        for video in read_labelled_videos(job, files):
            first = video.labelled[0] if video.labelled else -1
            shown = [number for number, track in video.tracks.items() if first in track]
            if not shown:
                job.bad(job.video(video.name), "its first label map shows no object")
                continue
            add_labelled_video(
                writer, video, "vost", f"JPEGImages/{video.name}", complete=len(video.labelled) == video.length
            )
            if job.split == "train":
                rows = [add_track(writer, number, video.tracks[number]) for number in video.tracks]
            else:
                rows = [_add_object(writer, video, number, first) for number in range(1, max(shown) + 1)]
            writer.add_sample(objects=rows)


def _add_object(writer: IndexWriter, video: LabelledVideo, number: int, first: int) -> int:
    """An object that is annotated in every frame with a label map, also where it is absent."""
    absent = empty_region(video.height, video.width)
    track = video.tracks.get(number, {})
    return add_track(writer, number, {frame: track.get(frame, absent) for frame in video.labelled}, given_frame=first)


DATASETS = (
    DataSet(
        name="vost",
        title="VOST (objects that are transformed)",
        task=Task.VOS,
        splits=no_counts("train", "val", "test"),
        convert=convert,
        size="not published",
        licence="CC BY-NC-SA 4.0; videos of Ego4D and EPIC-KITCHENS",
        page="https://www.vostdataset.org/data.html",
        files="VOST.zip (train and val)",
        layout="VOST/{JPEGImages,Annotations}/<sequence>/*.{jpg,png}, VOST/ImageSets/<split>.txt",
        group="vost",
        downloads=(RemoteFile("https://tri-ml-public.s3.amazonaws.com/datasets/VOST.zip", splits=("train", "val")),),
        default_splits=("train", "val"),
        papers=("VOST (train, val, test)",),
        protocol=replace(
            VIDEO_OBJECTS, summary="transformation", threshold=0.4, frames="inner annotated", other_ids=True
        ),
        hidden=("test",),
    ),
)
