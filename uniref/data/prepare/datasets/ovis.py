"""OVIS (Qi et al., "Occluded Video Instance Segmentation: A Benchmark", IJCV 2022).

`train/<video>/img_%07d.jpg` and `annotations_train.json` in YouTube-VIS form.
"""

from __future__ import annotations

from uniref.core.tasks import Task
from uniref.data.prepare.dataset import OVIS_VIDEOS, RESEARCH_TERMS, DataSet, PublishedCounts
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.youtube_vis_json import convert_videos, find_released


def convert(job: ConversionJob) -> None:
    """One sample per video with all its instances."""
    own = job.find("annotations_train.json", "annotations/annotations_train.json") or find_released(job)
    path = own or job.need("annotations_train.json", "annotations/train.json")
    convert_videos(job, path, complete=True)


DATASETS = (
    DataSet(
        name="ovis",
        title="OVIS",
        task=Task.VOS,
        splits={"train": PublishedCounts(607)},
        convert=convert,
        size="8 GB",
        licence=RESEARCH_TERMS,
        page="https://songbai.site/ovis/",
        files="the train frames and annotations_train.json",
        layout="train/<video>/img_%07d.jpg, annotations_train.json",
        group="ovis",
        papers=("UniRef++ (train)",),
        media_family=OVIS_VIDEOS,
    ),
)
