"""OVIS: `train/<video>/img_%07d.jpg` and `annotations_train.json` in YouTube-VIS form."""

from __future__ import annotations

from uniref.data.prepare import youtube_vis_json
from uniref.data.prepare.job import ConversionJob


def prepare(job: ConversionJob) -> None:
    """One sample a video with all its instances."""
    own = job.find("annotations_train.json", "annotations/annotations_train.json") or youtube_vis_json.find(job)
    path = own or job.need("annotations_train.json", "annotations/train.json")
    youtube_vis_json.prepare_videos(job, path, complete=True)
