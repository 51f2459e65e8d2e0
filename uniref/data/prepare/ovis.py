"""OVIS: `train/<video>/img_%07d.jpg` and `annotations_train.json` in YouTube-VIS form."""

from __future__ import annotations

from uniref.data.prepare import ytvis
from uniref.data.prepare.job import Job


def prepare(job: Job) -> None:
    """One sample a video with all its instances."""
    own = job.find("annotations_train.json", "annotations/annotations_train.json") or ytvis.find(job)
    path = own or job.need("annotations_train.json", "annotations/train.json")
    ytvis.prepare_videos(job, path, complete=True)
