"""MOSE v1 (Ding et al., "MOSE: A New Dataset for Video Object Segmentation in Complex Scenes", ICCV 2023) and MOSEv2
(Ding et al., "MOSEv2: A More Challenging Dataset for Video Object Segmentation in Complex Scenes", arXiv 2508.05630).

`{train,valid}/{JPEGImages,Annotations}/<video>/%05d.{jpg,png}`; `valid` has the first frame's masks.
The layout of v2 is that of v1 (henghuiding/MOSE-api, `MOSEv2/README.md` and issue 24).
"""

from __future__ import annotations

from dataclasses import replace

from uniref.core.tasks import Task
from uniref.data.prepare.dataset import OVIS_VIDEOS, DataSet, PublishedCounts, RemoteFile
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.videos import VideoFiles, add_labelled_video, add_track, read_labelled_videos
from uniref.data.prepare.youtube_vis_json import convert_released
from uniref.data.protocol import MOSE_SERVER, MOSE_V2_SERVER, VIDEO_OBJECTS


def convert(job: ConversionJob) -> None:
    """One sample per video. Four training videos of a single frame are kept and make no pairs."""
    train = job.split == "train"
    folders = ("train",) if train else ("valid", "val")
    if job.dataset.name == "mose" and convert_released(
        job, [f"{name}/Annotations" for name in folders], complete=train
    ):
        return
    base = job.need(*(f"{name}/JPEGImages" for name in folders)).parent
    names = sorted(x.name for x in (base / "JPEGImages").iterdir() if x.is_dir())
    files = [VideoFiles(name, base / "JPEGImages" / name, base / "Annotations" / name) for name in names]
    single = 0
    with job.writer({"mose": base}) as writer:
        for video in read_labelled_videos(job, files, every_frame=train):
            if not train and video.labelled != (0,):
                job.bad(job.video(video.name), "must have one label map, for its first frame")
                continue
            single += len(video.frames) == 1
            add_labelled_video(writer, video, "mose", f"JPEGImages/{video.name}", complete=train)
            given_frame = -1 if train else 0
            rows = [add_track(writer, n, track, given_frame=given_frame) for n, track in video.tracks.items()]
            writer.add_sample(objects=rows)
        if single:
            writer.notes.append(f"{single} videos of one frame (no pair of frames can be drawn from them)")


_SITE = "https://huggingface.co/datasets/FudanCVL/MOSE/resolve/main"

DATASETS = (
    DataSet(
        name="mose",
        title="MOSE v1",
        task=Task.VOS,
        splits={"train": PublishedCounts(1_507), "val": PublishedCounts()},
        convert=convert,
        size="24 GB",
        licence="CC BY-NC-SA 4.0",
        page="https://henghuiding.com/MOSE/",
        files="train.tar.gz and valid.tar.gz",
        layout="{train,valid}/{JPEGImages,Annotations}/<video>/%05d.{jpg,png}",
        group="mose",
        papers=("Cutie (train, val)", "SAM 2 (val)"),
        downloads=(
            RemoteFile(
                f"{_SITE}/train.tar.gz",
                sha256=(
                    "3f805e66ecb576fdd37a1ab2b06b08a428edd71994920443f70d09537918270b",
                    "8bcb6081699ee273b7983dbe8204daf6045077fe0f356d49f6f365c2b3328bdb",
                ),
                splits=("train",),
                editions=("the release of 2023-11-23", "the first release, replaced on 2023-11-23"),
            ),
            RemoteFile(
                f"{_SITE}/valid.tar.gz",
                sha256=("884baecf7d7e85cd35486e45d6c474dc34352a227ac75c49f6d5e4afb61b331c",),
                splits=("val",),
            ),
        ),
        protocol=replace(VIDEO_OBJECTS, threshold=0.4, server=MOSE_SERVER),
        hidden=("val",),
        media_family=OVIS_VIDEOS,
    ),
    DataSet(
        name="mose-v2",
        title="MOSEv2",
        task=Task.VOS,
        splits={"train": PublishedCounts(), "val": PublishedCounts()},
        convert=convert,
        size="not published",
        licence="CC BY-NC-SA 4.0 (its repository; its page on Hugging Face says CC BY-SA 4.0)",
        page="https://huggingface.co/datasets/FudanCVL/MOSEv2",
        files="the archives of train and valid",
        layout="{train,valid}/{JPEGImages,Annotations}/<video>/%05d.{jpg,png}",
        group="mose-v2",
        folders=("mosev2", "mose_v2"),
        papers=("MOSEv2 (train, val)", "LSVOS challenge 2025 (val)"),
        protocol=replace(VIDEO_OBJECTS, summary="reappearance", threshold=0.4, server=MOSE_V2_SERVER, missing="zero"),
        hidden=("val",),
        media_family=OVIS_VIDEOS,
    ),
)
