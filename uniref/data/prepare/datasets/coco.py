"""COCO 2017: `{train,val}2017/%012d.jpg`, `annotations/instances_{train,val}2017[_video].json`."""

from __future__ import annotations

from uniref.data.prepare.coco_json import (
    add_image,
    add_instance,
    read_categories,
    read_images,
    read_instances,
    usable_images,
)
from uniref.data.prepare.datasets.refcoco import evaluation_images
from uniref.data.prepare.job import WITHHELD_IMAGE, ConversionJob


def prepare(job: ConversionJob) -> None:
    """Every image is kept; one sample for each that has an object which is no crowd."""
    name = f"instances_{job.split}2017.json"
    video = f"instances_{job.split}2017_video.json"  # the released system's: every image a video of one frame
    path = job.need(*(f"{place}{file}" for file in (name, video) for place in ("annotations/", "")))
    images = read_images(job, path)
    if job.subset is not None:
        images = dict(list(images.items())[: job.subset])
    folder = f"{job.split}2017"
    first = next(iter(images.values()), None)
    root = job.need(f"{folder}/{first.file_name}").parents[1] if first else path.parent
    categories = read_categories(path)
    instances = read_instances(job, path, images)
    job.used(path)
    withheld = evaluation_images(job) if job.options.get("clean") and job.split == "train" else frozenset()
    names = [f"{folder}/{image.file_name}" for image in images.values()]
    job.wanted = "images with an object that is no crowd"
    with job.writer({"coco": root}, categories=categories) as writer:
        for image, file in usable_images(job, list(images.values()), root, names):
            if image.id in withheld:
                writer.drop(WITHHELD_IMAGE)
                continue
            add_image(writer, image, "coco", file)
            found = [(x.crowd, add_instance(writer, x)) for x in instances.get(image.id, ())]
            rows = [row for crowd, row in found if not crowd]
            if rows:
                writer.add_sample(objects=rows)
