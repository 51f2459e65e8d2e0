"""DAVIS 2017 (Pont-Tuset et al., "The 2017 DAVIS Challenge on Video Object Segmentation", arXiv 1704.00675).

`DAVIS/{JPEGImages,Annotations}/480p/<sequence>/%05d.{jpg,png}`, `DAVIS/ImageSets/2017/<split>.txt`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from uniref.core.tasks import Task
from uniref.data.prepare.dataset import RESEARCH_TERMS, DataSet, PublishedCounts, RemoteFile
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.videos import VideoFiles, add_labelled_video, add_track, read_labelled_videos
from uniref.data.prepare.youtube_vis_json import convert_released
from uniref.data.protocol import DAVIS_SERVER, VIDEO_OBJECTS

DAVIS_SITE = "https://data.vision.ee.ethz.ch/csergi/share/davis"


def convert(job: ConversionJob) -> None:
    """One sample per sequence. Masks of the first frame are the prompts; test-dev has no others."""
    lists = [f"{folder}ImageSets/2017/{job.split}.txt" for folder in ("", "DAVIS/")]
    if convert_released(job, lists, complete=job.split == "train", prefix="davis2017_"):
        return
    list_file = job.need(*lists)
    root = list_file.parents[2]
    names = job.read_names(list_file)
    labels = root / "Annotations/480p"
    hidden = job.split == "test-dev"
    files = [VideoFiles(name, root / "JPEGImages/480p" / name, labels / name) for name in names]
    with job.writer({"davis": root}) as writer:
        for video in read_labelled_videos(job, files, every_frame=not hidden):
            if not any(0 in track for track in video.tracks.values()):
                job.bad(Path("Annotations/480p") / video.name, "its first label map shows no object")
                continue
            add_labelled_video(writer, video, "davis", f"JPEGImages/480p/{video.name}", complete=not hidden)
            tracks = {n: t for n, t in video.tracks.items() if 0 in t}
            if late := sorted(set(video.tracks) - set(tracks)):
                writer.drop("object not in the first frame", len(late))
            rows = [add_track(writer, number, track, given_frame=0) for number, track in tracks.items()]
            writer.add_sample(objects=rows)


DATASETS = (
    DataSet(
        name="davis17",
        title="DAVIS 2017",
        task=Task.VOS,
        splits={
            "train": PublishedCounts(60, 144, frames=4_209),
            "val": PublishedCounts(30, 61, frames=1_999),
            "test-dev": PublishedCounts(30, 89, frames=2_086),
        },
        convert=convert,
        size="0.8 GB",
        licence=RESEARCH_TERMS,
        page="https://davischallenge.org",
        files="DAVIS-2017-trainval-480p.zip (DAVIS-2017-test-dev-480p.zip for test-dev)",
        layout="DAVIS/{JPEGImages,Annotations}/480p/<sequence>/%05d.{jpg,png}, DAVIS/ImageSets/2017/<split>.txt",
        group="davis",
        folders=("davis17", "davis2017"),
        downloads=(
            RemoteFile(f"{DAVIS_SITE}/DAVIS-2017-trainval-480p.zip", splits=("train", "val")),
            RemoteFile(f"{DAVIS_SITE}/DAVIS-2017-test-dev-480p.zip", splits=("test-dev",)),
        ),
        protocol=replace(VIDEO_OBJECTS, server=DAVIS_SERVER),
        papers=("UniRef++ (val)", "XMem (train, val, test-dev)", "Cutie (train, val, test-dev)", "SAM 2 (val)"),
        hidden=("test-dev",),
    ),
)
